"""Names and addresses: one entry for each, whatever resolving and connecting do."""

from __future__ import annotations

import errno
import socket
import threading
from typing import Any

import pytest
import zoo
from forge import Identity
from zoo import EC, RSA, context, ders, local, resolving, within

from irkit.capture import capture, capture_all
from irkit.certificate import pem_blocks
from irkit.chain import CaptureFailure, Chain
from irkit.cli import main
from irkit.errors import CaptureError, InputError
from irkit.fleet import capture_many
from irkit.link import Endpoint, a_label


def test_a_refusal_and_a_name_without_address_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(CaptureError, match="refused the connection") as refused:
        local(port)
    assert "port" in refused.value.hint
    name = "x" * 64 + ".test"
    with pytest.raises(CaptureError, match="does not resolve"):
        capture(name)
    (failure,) = capture_all(name)
    assert isinstance(failure, CaptureFailure)
    assert "does not resolve" in failure.reason
    stop = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [stop.wait(30)][:0])
    with pytest.raises(CaptureError, match="did not resolve within the deadline"):
        within(20, lambda: capture("slow.test", deadline=0.3))
    stop.set()


def test_every_address_has_its_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1", "::ffff:127.0.0.1")
    with zoo.python_tls(context(EC)) as port, zoo.python_tls(context(RSA), "127.0.0.3", port):
        first, second, third, sixth = capture_all("multi.test", port)
        assert isinstance(first, Chain)
        assert isinstance(second, CaptureFailure)
        assert isinstance(third, Chain)
        assert (ders(first), ders(third)) == (ders(EC.chain), ders(RSA.chain))
        assert second.reason == "refused the connection"
        assert second.where == f"multi.test:{port} at 127.0.0.2:{port}"
        assert [chain.obtained.address for chain in (first, third)] == [f"127.0.0.1:{port}", f"127.0.0.3:{port}"]
        assert isinstance(sixth, Chain)
        assert (sixth, sixth.obtained.address) == (first, f"[::ffff:127.0.0.1]:{port}")
        (only,) = capture_all("multi.test", port, connect=f"127.0.0.3:{port}")
        assert only == third


def test_addresses_are_asked_at_the_same_time_and_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither server says a word before the other was called, too."""
    resolving(monkeypatch, "127.0.0.1", "127.0.0.3")
    both = threading.Barrier(2, timeout=10)

    def waiting(identity: Identity) -> zoo.Serve:
        served = context(identity)

        def serve(connection: socket.socket) -> None:
            both.wait()
            with served.wrap_socket(connection, server_side=True) as tls:
                tls.recv(10)

        return serve

    with zoo.raw(waiting(EC)) as port, zoo.raw(waiting(RSA), "127.0.0.3", port):
        assert capture_all("multi.test", port) == (EC.chain, RSA.chain)
        assert main(["capture", f"multi.test:{port}", "--all", "--pem"]) == 0
    said = capsys.readouterr()
    assert "2 addresses, 2 with a chain: 2 different chains" in said.err
    assert pem_blocks(said.out) == [*ders(EC.chain), *ders(RSA.chain)]


def test_capture_goes_on_to_the_next_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.2", "127.0.0.4", "127.0.0.1")
    with zoo.python_tls(context(EC)) as port, zoo.raw(zoo.silent, "127.0.0.4", port):
        chain = capture("multi.test", port, deadline=3)
    assert ders(chain) == ders(EC.chain)
    assert [attempt.reason for attempt in chain.obtained.attempts] == [
        "refused the connection", "the server said nothing within the deadline"
    ]  # fmt: skip


def test_a_machine_without_ipv6_asks_the_other_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(socket.socket):
        def __init__(self, family: int = -1, *rest: Any, **options: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "not here")
            super().__init__(family, *rest, **options)

    resolving(monkeypatch, "::1", "127.0.0.1")
    with zoo.python_tls(context(EC)) as port:
        monkeypatch.setattr(socket, "socket", Old)
        chain = capture("multi.test", port)
    assert ders(chain) == ders(EC.chain)
    assert "can't be reached: Address family not supported" in chain.obtained.attempts[0].reason


def test_ipv6_with_and_without_brackets() -> None:
    with zoo.python_tls(context(EC)) as port:
        for host, connect in (
            ("::ffff:127.0.0.1", None), ("[::ffff:127.0.0.1]", None), ("ec.test", f"[::ffff:127.0.0.1]:{port}"),
            ("ec.test", "::ffff:127.0.0.1"), ("ec.test", "[::ffff:127.0.0.1]"),
        ):  # fmt: skip
            chain = capture(host, port, connect=connect)
            assert chain == EC.chain
            assert chain.obtained.address == f"[::ffff:127.0.0.1]:{port}"
            assert chain.obtained.server_name == (None if host != "ec.test" else host)


def test_an_endpoint_is_read_as_it_is_written() -> None:
    for text, host, port in (
        ("a.test", "a.test", 8443), ("a.test:1", "a.test", 1), ("192.0.2.7", "192.0.2.7", 8443),
        ("192.0.2.7:443", "192.0.2.7", 443), ("2001:db8::7", "2001:db8::7", 8443),
        (" [2001:db8::7]:1 ", "2001:db8::7", 1),
    ):  # fmt: skip
        assert Endpoint.parse(text, 8443) == Endpoint(host, port)
    for text in ("", ":1", "a:b", "a:0", "a:65536", "[::1", "x:y:1", "a:1:", "[]:1", "a:\u0661"):
        with pytest.raises(InputError):
            Endpoint.parse(text, 8443)


def test_addresses_beyond_the_limit_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, *(f"127.0.1.{n}" for n in range(1, 101)))
    found = capture_all("many.test", 1, deadline=5)
    assert len(found) == 100
    reasons = [one.reason for one in found if isinstance(one, CaptureFailure)]
    assert reasons == ["refused the connection"] * 64 + ["not asked: of the 100 addresses, the first 64 are"] * 36
    with pytest.raises(CaptureError):
        capture("many.test", 1, deadline=5)
    ((_, failure),) = capture_many(["many.test:1"], deadline=5)
    assert isinstance(failure, CaptureFailure)
    assert len(failure.attempts) == 65
    assert failure.attempts[-1].reason == "not asked: the 36 addresses after the first 64"


def test_a_name_that_two_standards_read_differently_is_not_guessed() -> None:
    with pytest.raises(InputError) as raised:
        a_label("fa\xdf.de")
    assert raised.value.hint == "give its A-label: xn--fa-hia.de"
    assert a_label("m\xfcller.de") == "xn--mller-kva.de"
