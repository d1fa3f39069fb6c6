"""Captures through HTTP CONNECT and SOCKS 5 proxies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
import zoo
from hypothesis import given
from hypothesis import strategies as st
from zoo import EC, context, ders, resolving, within

from irkit.capture import capture, capture_all
from irkit.chain import Chain
from irkit.errors import CaptureError, InputError
from irkit.link import Endpoint
from irkit.proxy import Proxy
from irkit.wire import Wire


def relay(one: socket.socket, other: socket.socket) -> None:
    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=pump, args=(other, one), daemon=True)
    thread.start()
    pump(one, other)
    thread.join(5)


@contextmanager
def connect_proxy(target: int, seen: list[bytes], login: bytes = b"") -> Iterator[int]:
    def serve(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += zoo.exactly(connection, 1)
        seen.append(head)
        if login and b"Proxy-Authorization: Basic " + login not in head:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        connection.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        with socket.create_connection(("127.0.0.1", target)) as other:
            relay(connection, other)

    with zoo.raw(serve) as port:
        yield port


@contextmanager
def socks_proxy(target: int, seen: list[bytes], login: bytes = b"") -> Iterator[int]:
    def serve(connection: socket.socket) -> None:
        methods = zoo.exactly(connection, zoo.exactly(connection, 2)[1])
        if login:
            if 2 not in methods:
                connection.sendall(b"\x05\xff")
                return
            connection.sendall(b"\x05\x02")
            user = zoo.exactly(connection, zoo.exactly(connection, 2)[1])
            word = zoo.exactly(connection, zoo.exactly(connection, 1)[0])
            connection.sendall(b"\x01\x00" if user + b":" + word == login else b"\x01\x01")
        else:
            connection.sendall(b"\x05\x00")
        kind = zoo.exactly(connection, 4)[3]
        size = {1: 4, 4: 16}.get(kind) or zoo.exactly(connection, 1)[0]
        seen.append(bytes([kind]) + zoo.exactly(connection, size) + zoo.exactly(connection, 2))
        if seen[-1].startswith(b"\x03closed"):
            connection.sendall(b"\x05\x05\x00\x01" + bytes(6))
            return
        connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
        with socket.create_connection(("127.0.0.1", target)) as other:
            relay(connection, other)

    with zoo.raw(serve) as port:
        yield port


Proxied = Callable[..., AbstractContextManager[int]]


@pytest.mark.parametrize(("scheme", "proxied"), [("http", connect_proxy), ("socks5h", socks_proxy)])
def test_a_proxy_resolves_the_name_itself(scheme: str, proxied: Proxied) -> None:
    seen: list[bytes] = []
    with zoo.python_tls(context(EC)) as target, proxied(target, seen) as port:
        proxy = f"{scheme}://127.0.0.1:{port}"
        (chain,) = capture_all("only-there.test", proxy=proxy)
        assert isinstance(chain, Chain)
        assert ders(chain) == ders(EC.chain)
        assert (chain.obtained.proxy, chain.obtained.server_name) == (proxy, "only-there.test")
        assert capture("bücher.test", proxy=proxy) == chain
    assert b"only-there.test" in seen[0]
    assert b"xn--bcher-kva.test" in seen[1]


def test_socks5_resolves_the_name_here(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.9")
    seen: list[bytes] = []
    with zoo.python_tls(context(EC)) as target, socks_proxy(target, seen) as port:
        assert capture("here.test", 8443, proxy=f"socks5://127.0.0.1:{port}") == EC.chain
    assert seen == [b"\x01\x7f\x00\x00\x09" + (8443).to_bytes(2, "big")]


@pytest.mark.parametrize(
    ("scheme", "proxied", "login"), [("http", connect_proxy, b"bWU6czNjcjN0"), ("socks5h", socks_proxy, b"me:s3cr3t")]
)
def test_proxy_credentials_come_from_the_environment_and_show_nowhere(
    scheme: str, proxied: Proxied, login: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PROXY_LOGIN", "me:s3cr3t")
    monkeypatch.setenv("WRONG_LOGIN", "me:wr0ng")
    with zoo.python_tls(context(EC)) as target, proxied(target, [], login) as port:
        proxy = f"{scheme}://127.0.0.1:{port}"
        chain = capture("a.test", proxy=proxy, proxy_auth_env="MY_PROXY_LOGIN")
        assert chain == EC.chain
        assert "s3cr3t" not in repr(chain.obtained)
        for variable in (None, "WRONG_LOGIN"):
            with pytest.raises(CaptureError, match="the proxy") as raised:
                capture("a.test", proxy=proxy, proxy_auth_env=variable)
            assert "wr0ng" not in str(raised.value)


def test_a_proxy_that_fails_is_named() -> None:
    with (
        zoo.raw(zoo.silent) as port,
        pytest.raises(CaptureError, match=f"the proxy http://127.0.0.1:{port} said nothing"),
    ):
        within(20, lambda: capture("a.test", proxy=f"http://127.0.0.1:{port}", deadline=0.5))
    with (
        zoo.raw(zoo.answering(b"HTTP/1.1 503 Down\r\n\r\n")) as port,
        pytest.raises(CaptureError, match="answered 503 Down"),
    ):
        capture("a.test", proxy=f"http://127.0.0.1:{port}")
    with zoo.raw(zoo.answering(b"SSH-2.0-x\r\n")) as port:
        with pytest.raises(CaptureError, match="does not speak HTTP"):
            capture("a.test", proxy=f"http://127.0.0.1:{port}")
        with pytest.raises(CaptureError, match="does not speak SOCKS 5"):
            capture("a.test", proxy=f"socks5h://127.0.0.1:{port}")
    with socks_proxy(1, []) as port, pytest.raises(CaptureError, match="could not connect: connection refused"):
        capture("closed.test", proxy=f"socks5h://127.0.0.1:{port}")
    with pytest.raises(CaptureError, match=r"the proxy http://127\.0\.0\.1:1: refused the connection"):
        capture("a.test", proxy="http://127.0.0.1:1")
    name = "x" * 64 + ".test"
    with pytest.raises(CaptureError, match=f"the proxy http://{name}:8080: {name} does not resolve"):
        capture("a.test", proxy=f"http://{name}")
    talkative = zoo.answering(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300)
    with zoo.raw(talkative) as port, pytest.raises(CaptureError, match="too many header lines"):
        capture("a.test", proxy=f"http://127.0.0.1:{port}")
    for url in ("http://[::1", "http://x:99999", "socks4://x:1", "http://x:1/path", "http://"):
        with pytest.raises(InputError, match="not a proxy"):
            capture("a.test", proxy=url)


ANSWERS = [b"\5\0", b"\5\2", b"\1\0", b"\5\0\0\1" + bytes(6), b"\5\0\0\3\x02ab\1\2", b"HTTP/1.1 200 OK\r\n", b"\r\n",
           b"HTTP/1.1\r\n"]  # fmt: skip


@given(st.sampled_from(["http", "socks5", "socks5h"]), st.booleans(),
       st.lists(st.binary(min_size=1, max_size=60) | st.sampled_from(ANSWERS), max_size=8))  # fmt: skip
def test_any_answer_of_a_proxy_is_a_way_through_or_a_reason(scheme: str, login: bool, answers: list[bytes]) -> None:
    proxy = Proxy(scheme, Endpoint("proxy.test", 3128), *(("me", "s3cr3t") if login else ()))
    wire = Wire()
    talk = proxy.ask(wire, Endpoint("a.test", 443))
    try:
        next(talk)
        for answer in answers:
            talk.send(answer)
        talk.send(b"")
    except StopIteration:
        return
    except CaptureError as error:
        assert error.message.isprintable()
        assert error.message.startswith(f"the proxy {proxy}")
        assert "s3cr3t" not in error.message
        return
    raise AssertionError("it waits on after the end")
