"""STARTTLS: each protocol to the chain, and each way it can fail."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
import zoo
from forge import Identity
from hypothesis import given
from hypothesis import strategies as st
from zoo import EC, context, ders, local, within

from irkit.errors import CaptureError
from irkit.starttls import PROTOCOLS, start_tls
from irkit.wire import Wire


def lines(*exchange: tuple[bytes, bytes], ends: tuple[bytes, ...] = (b"\n", b">")) -> Callable[[socket.socket], None]:
    """Says each second part after a line that begins with the first; an empty first part is said at once."""

    def talk(connection: socket.socket) -> None:
        for wanted, answer in exchange:
            heard = b""
            while wanted and not heard.endswith(ends):
                heard += zoo.exactly(connection, 1)
            assert heard.startswith(wanted)
            connection.sendall(answer)

    return talk


XMPP_TLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
LDAP_OK = bytes.fromhex("300c02010178070a010004000400")
MYSQL_GREETING = b"\x0a8.0.36\0" + bytes(4) + b"abcdefgh\0" + b"\xff\xff" + bytes(30)


def mysql(greeting: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
        request = zoo.exactly(connection, 36)
        assert request[4] | request[5] << 8 & 0x0800

    return talk


def imap(connection: socket.socket) -> None:
    """Answers CAPABILITY, too, which s_client asks for first."""
    connection.sendall(b"* OK ready\r\n")
    command = ""
    while command != "STARTTLS":
        heard = b""
        while not heard.endswith(b"\r\n"):
            heard += zoo.exactly(connection, 1)
        tag, command = heard.decode().split()
        assert command in {"CAPABILITY", "STARTTLS"}
        connection.sendall(f"* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK begin\r\n".encode())


def xmpp(connection: socket.socket) -> None:
    """The XML declaration may be left out, as s_client does."""
    for begin, answer in (
        (b"<stream:stream", b"<stream:features>" + XMPP_TLS + b"</stream:features>"), (b"<starttls", b"<proceed/>"),
    ):  # fmt: skip
        heard = b""
        while not heard.endswith(b">") or heard.endswith(b"?>"):
            heard += zoo.exactly(connection, 1)
        assert heard.partition(b"?>")[2].startswith(begin) or heard.startswith(begin)
        connection.sendall(answer)


TALKS = {
    "smtp": lines((b"", b"220-mx.test\r\n220 ESMTP\r\n"), (b"EHLO ", b"250-mx.test\r\n250 STARTTLS\r\n"),
                  (b"STARTTLS\r\n", b"220 go\r\n")),
    "imap": imap,
    "pop3": lines((b"", b"+OK ready\r\n"), (b"STLS", b"+OK begin\r\n")),
    "ftp": lines((b"", b"220-hello\r\n there\r\n220 ready\r\n"), (b"AUTH TLS", b"234 go\r\n")),
    "xmpp": xmpp,
    "ldap": lines((b"0\x1d\x02\x01\x01", LDAP_OK), ends=(b"20037",)),
    "postgres": lines((b"\0\0\0\x08\x04\xd2\x16\x2f", b"S"), ends=(b"\x2f",)),
    "mysql": mysql(MYSQL_GREETING),
}  # fmt: skip


def then_tls(talk: Callable[[socket.socket], None], identity: Identity = EC) -> zoo.Serve:
    served = context(identity)

    def serve(connection: socket.socket) -> None:
        talk(connection)
        with served.wrap_socket(connection, server_side=True) as tls:
            tls.recv(10)

    return serve


@pytest.mark.parametrize("protocol", TALKS)
def test_starttls_leads_to_the_chain(protocol: str) -> None:
    with zoo.raw(then_tls(TALKS[protocol])) as port:
        chain = local(port, starttls=protocol, deadline=5)
    assert ders(chain) == ders(EC.chain)
    assert (chain.obtained.starttls, chain.obtained.possession) == (protocol, "proven")


SAID = [b"220 x\r\n", b"250-x\r\n", b"250 STARTTLS\r\n", b"* OK\r\n", b"a OK\r\n", b"+OK\r\n", b"234 x\r\n", LDAP_OK,
        b"S", XMPP_TLS + b"</stream:features>", b"<proceed/>",
        len(MYSQL_GREETING).to_bytes(3, "little") + b"\0" + MYSQL_GREETING]  # fmt: skip
REFUSALS = {
    "smtp": lines((b"", b"220 x\r\n"), (b"EHLO", b"250 x\r\n"), (b"STARTTLS", b"454 no TLS today\r\n")),
    "imap": lines((b"", b"* OK\r\n"), (b"a ", b"a BAD what\r\n")),
    "pop3": lines((b"", b"+OK\r\n"), (b"STLS", b"-ERR no\r\n")),
    "ftp": lines((b"", b"220 x\r\n"), (b"AUTH", b"502 no\r\n")),
    "xmpp": lines((b"<?xml", b""), (b"<stream", b"<stream:features></stream:features>")),
    "ldap": lines((b"0\x1d", bytes.fromhex("300c02010178070a013504000400")), ends=(b"20037",)),
    "postgres": lines((b"\0", b"N"), ends=(b"\x2f",)),
    "mysql": mysql(b"\x0a8.0.36\0" + bytes(4) + b"abcdefgh\0" + b"\0\0" + bytes(30)),
}  # fmt: skip


@pytest.mark.parametrize("protocol", REFUSALS)
@pytest.mark.parametrize("kind", ["refuses", "speaks HTTP", "says nothing", "closes"])
def test_starttls_that_fails_is_a_reason(protocol: str, kind: str) -> None:
    def refuse(connection: socket.socket) -> None:
        REFUSALS[protocol](connection)
        connection.recv(10)

    serve = {
        "refuses": refuse, "speaks HTTP": zoo.answering(b"HTTP/1.1 400 Bad\r\n\r\n" * 5), "says nothing": zoo.silent,
        "closes": lambda _: None,
    }[kind]  # fmt: skip
    with (
        zoo.raw(serve) as port,
        pytest.raises(CaptureError, match=f"before TLS, speaking {protocol}, the server") as raised,
    ):
        within(20, lambda: local(port, starttls=protocol, deadline=0.7))
    assert raised.value.hint


@given(
    st.sampled_from(sorted(PROTOCOLS)),
    st.lists(st.binary(min_size=1, max_size=120) | st.sampled_from(SAID), max_size=9),
)
def test_any_answer_before_tls_leads_to_tls_or_is_a_reason(protocol: str, answers: list[bytes]) -> None:
    wire = Wire()
    talk = start_tls(wire, protocol, "a.test")
    try:
        next(talk)
        for answer in answers:
            talk.send(answer)
        talk.send(b"")
    except StopIteration:
        return
    except CaptureError as error:
        assert error.message.isprintable()
        assert error.message.startswith(f"before TLS, speaking {protocol}, the server")
        return
    raise AssertionError("it waits on after the end")
