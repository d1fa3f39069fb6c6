"""The whole handshake sans-I/O: whatever comes in, a typed outcome comes out."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import RSA, ders

from irkit.handshake import Handshake
from irkit.hello import Offer, ShortHandshake


def shaken(answer: bytes) -> Handshake:
    """What comes of a server that says this, whatever it is asked, and leaves."""
    handshake = Handshake(Offer("a.test"), max_bytes=2**20, max_certificates=100)
    handshake.start()
    for start in range(0, len(answer), 4096):
        if not handshake.over:
            handshake.feed(answer[start : start + 4096])
    handshake.lost("the server closed the connection")
    return handshake


def flight(version: ssl.TLSVersion) -> bytes:
    """What Python's own server answers to a hello."""
    context = RSA.server_context()
    context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(ShortHandshake(Offer("a.test")).start())
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    return outgoing.read()


FLIGHTS = [flight(ssl.TLSVersion.TLSv1_2), flight(ssl.TLSVersion.TLSv1_3)]


@settings(max_examples=60)
@given(st.binary(max_size=600))
def test_any_bytes_are_a_failure_with_a_reason(answer: bytes) -> None:
    result = shaken(answer)
    assert result.failure.isprintable()
    assert result.failure
    assert result.flight.certificates is None


@settings(max_examples=150)
@given(st.sampled_from(FLIGHTS), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=4))
def test_a_flight_with_changed_bytes_is_a_failure_with_a_reason(whole: bytes, changes: list[tuple[int, int]]) -> None:
    answer = bytearray(whole)
    for place, value in changes:
        answer[place % len(answer)] = value
    result = shaken(bytes(answer))
    assert result.failure.isprintable()
    assert result.failure


def test_a_flight_for_another_client_shows_its_chain_and_fails() -> None:
    result = shaken(FLIGHTS[0])
    assert result.flight.certificates == tuple(ders(RSA.chain))
    assert "bad signature" in result.failure
    assert shaken(FLIGHTS[1]).flight.certificates is None  # encrypted for another key
