"""The short handshake, sans-I/O: what it offers, and that any answer at all gives a typed outcome."""

from __future__ import annotations

import hashlib
import ssl
import zlib

import pytest
import zoo
from hypothesis import given
from hypothesis import strategies as st
from zoo import CA, EC, RSA, ders

from irkit.flight import Flight
from irkit.hello import Offer, ShortHandshake, client_hello
from irkit.messages import MalformedError, Reader, decompress, server_hello
from irkit.possession import check_possession

TLS12 = b"\3\3" + bytes(32) + b"\0\xc0\x2b\0"


def fed(*parts: bytes, **limits: int) -> Flight:
    flight = Flight(lambda _: None, **limits)
    for part in parts:
        flight.feed(part)
    return flight


def outcome_is_typed(flight: Flight) -> None:
    """Either certificates, or a line that says why not, or more is wanted."""
    if flight.certificates is not None:
        assert flight.hello is not None
        assert all(isinstance(der, bytes) for der in flight.certificates)
    assert flight.problem.isprintable()
    assert flight.over == (flight.done or bool(flight.problem) or bool(flight.alert))


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_any_bytes_give_a_typed_outcome(parts: list[bytes]) -> None:
    outcome_is_typed(fed(*parts))


@given(
    st.lists(
        st.tuples(st.sampled_from([2, 8, 11, 12, 13, 14, 15, 20, 22, 25, 99]), st.binary(max_size=80)), max_size=6
    ),
    st.sampled_from([b"\3\3", b"\3\1"]),
    st.sampled_from([b"\xc0\x2b", b"\x00\x33", b"\x00\x2f", b"\xff\xff"]),
)
def test_any_messages_after_serverhello_give_a_typed_outcome(
    messages: list[tuple[int, bytes]], version: bytes, cipher: bytes
) -> None:
    flight = fed(zoo.records(zoo.message(2, version + bytes(32) + b"\0" + cipher + b"\0")))
    for kind, body in messages:
        flight.feed(zoo.records(zoo.message(kind, body)))
    outcome_is_typed(flight)


@given(st.binary(max_size=120))
def test_any_serverhello_is_read_or_malformed(body: bytes) -> None:
    try:
        server_hello(body)
    except MalformedError as error:
        assert str(error)


@given(st.binary(max_size=200), st.binary(max_size=64))
def test_any_tls_13_answer_gives_a_typed_outcome(extensions: bytes, rest: bytes) -> None:
    short = ShortHandshake(Offer("a.test"))
    short.start()
    share = b"\x00\x2b\x00\x02\x03\x04\x00\x33\x00\x24\x00\x1d\x00\x20" + bytes(range(32)) + extensions
    hello = zoo.message(2, b"\3\3" + bytes(32) + b"\0\x13\x01\0" + zoo.vector(share, 2))
    short.feed(zoo.records(hello) + rest)
    short.feed(zoo.records(rest, 23))
    outcome_is_typed(short.flight)
    assert short.flight.certificates is None


@given(st.integers(1, 400), st.lists(st.binary(max_size=500), min_size=1, max_size=5))
def test_records_and_packets_may_be_cut_anywhere(size: int, certificates: list[bytes]) -> None:
    whole = zoo.records(zoo.message(2, TLS12) + zoo.certificate_message(certificates), size=size)
    flight = fed(*(whole[i : i + 7] for i in range(0, len(whole), 7)))
    assert flight.certificates == tuple(certificates)


def fields(message: bytes) -> dict[int, bytes]:
    """The extensions of a ClientHello."""
    reader = Reader(message[4:])
    reader.take(34)
    reader.vector(1)
    reader.vector(2)
    reader.vector(1)
    inner = Reader(reader.vector(2))
    found = {}
    while inner:
        number = inner.number(2)
        assert number not in found
        found[number] = inner.vector(2)
    assert not reader
    return found


def test_the_hello_offers_what_it_was_told() -> None:
    share = (29, bytes(32))
    full = fields(client_hello(Offer("a.test", alpn=("h2",)), bytes(32), bytes(32), share))
    assert full[0] == b"\0\x09\0\0\6a.test"
    assert full[16] == b"\0\3\2h2"
    assert full[43] == b"\x08\3\4\3\3\3\2\3\1"
    assert 0 not in fields(client_hello(Offer(None), bytes(32), bytes(32), share))
    only = fields(client_hello(Offer("a.test", minimum=0x0304), bytes(32), bytes(32), share))
    assert only[43] == b"\2\3\4"
    old = fields(client_hello(Offer("a.test", maximum=0x0303), bytes(32), b"", None))
    assert not {43, 51} & set(old)
    rsa = Offer("a.test", key_type="rsa")
    assert all("_RSA_" in name for name in names(rsa.ciphers))
    assert 0x0403 not in rsa.schemes
    ecdsa = Offer("a.test", key_type="ecdsa")
    assert all("_ECDSA_" in name for name in names(ecdsa.ciphers))
    assert ecdsa.schemes[0] == 0x0403


def names(ciphers: tuple[int, ...]) -> list[str]:
    from irkit.iana import CIPHERS

    return [CIPHERS[number] for number in ciphers if number >> 8 != 0x13]


def test_a_hello_retry_request_is_answered_once_with_its_group_and_cookie() -> None:
    retry = hashlib.sha256(b"HelloRetryRequest").digest()
    for group, size in ((23, 65), (24, 97), (25, 133)):
        short = ShortHandshake(Offer("a.test"))
        short.start()
        wanted = b"\0\x2b\0\2\3\4\0\x33\0\2" + group.to_bytes(2, "big") + b"\0\x2c\0\4\0\2ck"
        request = zoo.message(2, b"\3\3" + retry + b"\0\x13\x01\0" + zoo.vector(wanted, 2))
        answer = fields(short.feed(zoo.records(request))[5:])
        assert answer[51][2:4] == group.to_bytes(2, "big")
        assert len(answer[51]) == 6 + size
        assert answer[44] == b"\0\2ck"
        assert short.feed(zoo.records(request)) == b""
        assert "second HelloRetryRequest" in short.flight.problem


def test_a_retry_may_want_its_cookie_only() -> None:
    retry = hashlib.sha256(b"HelloRetryRequest").digest()
    short = ShortHandshake(Offer("a.test"))
    first = fields(short.start()[5:])
    wanted = b"\0\x2b\0\2\3\4\0\x2c\0\4\0\2ck"
    answer = short.feed(zoo.records(zoo.message(2, b"\3\3" + retry + b"\0\x13\x01\0" + zoo.vector(wanted, 2))))
    second = fields(answer[5:])
    assert second[44] == b"\0\2ck"
    assert second[51] == first[51]


def test_a_group_that_was_not_offered_is_a_problem() -> None:
    retry = hashlib.sha256(b"HelloRetryRequest").digest()
    short = ShortHandshake(Offer("a.test"))
    short.start()
    wanted = b"\0\x2b\0\2\3\4\0\x33\0\2\x11\xec"
    assert short.feed(zoo.records(zoo.message(2, b"\3\3" + retry + b"\0\x13\x01\0" + zoo.vector(wanted, 2)))) == b""
    assert "0x11EC" in short.flight.problem


def test_compressed_certificates_are_unpacked_within_what_they_say() -> None:
    plain = b"certificate" * 100
    packed = zlib.compress(plain)
    body = b"\0\1" + len(plain).to_bytes(3, "big") + zoo.vector(packed, 3)
    assert decompress(body) == plain
    for bad in (
        b"\0\2" + body[2:],
        b"\0\1\0\0\5" + body[5:],
        b"\0\1\xff\xff\xff" + body[5:],
        body[:5] + zoo.vector(b"junk", 3),
    ):
        with pytest.raises(MalformedError):
            decompress(bad)


def test_a_compression_bomb_stops_at_the_size_it_says() -> None:
    bomb = zlib.compress(bytes(10**7))
    with pytest.raises(MalformedError, match="another length"):
        decompress(b"\0\1\0\0\x0a" + zoo.vector(bomb, 3))


def test_limits_hold_without_certificates_too() -> None:
    flight = fed(zoo.records(b"\1\x70", 21) * 1000, max_bytes=500)
    assert flight.problem == "stopped reading after 500 bytes"
    assert len(flight.findings) <= 20
    assert "Certificate" in fed(zoo.records(zoo.message(2, TLS12) + zoo.message(11, b"\0\0\0"))).problem


@given(st.integers(0, 0xFFFF), st.binary(max_size=40), st.binary(max_size=80))
def test_any_signature_gives_a_typed_answer(scheme: int, content: bytes, signature: bytes) -> None:
    from irkit.messages import Signed

    for leaf in (EC.certificate.der, RSA.certificate.der, b""):
        assert check_possession(leaf, Signed(scheme, content, signature))[0] in {"disproven", "unproven"}


def test_python_s_own_server_answers_the_short_handshake() -> None:
    """No socket at all: both sides in memory."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = EC.server_context().wrap_bio(incoming, outgoing, server_side=True)
    short = ShortHandshake(Offer("ec.test"))
    incoming.write(short.start())
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    assert short.feed(outgoing.read()) == b""
    assert short.flight.done
    assert short.flight.certificates == tuple(ders(EC.chain))
    assert short.flight.certificates[1] == CA.certificate.der
