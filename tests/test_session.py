"""Pinned requests sessions against real TLS servers on loopback, directly and through a real CONNECT proxy."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from conftest import TlsServer
from forge import Identity, root
from prometheus_client import CollectorRegistry, generate_latest

from irkit.certificate import Pin
from irkit.errors import IrkitError
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.session import PinError, PinMetrics, pinned_session

ROOT = root("Session Root")
CA = ROOT.issue(cn="Session CA", ca=True, days=3650)
LEAF = CA.issue("localhost", days=3650)
OTHER = Pin(b"\x07" * 32)


def release(*pins: Pin | None, pattern: str = "localhost") -> Release:
    return Release("list", (HostRule(pattern, pins=tuple(ConfiguredPin(str(pin), pin) for pin in pins)),))


class Kept:
    """Answers many requests on one connection, and remembers what it was sent."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def __call__(self, connection: ssl.SSLSocket) -> None:
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(4096)
                if not data:
                    return
                head += data
            self.heads.append(head)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture
def roots(tmp_path: Path) -> str:
    path = tmp_path / "roots.pem"
    path.write_text(ROOT.certificate.pem())
    return str(path)


@pytest.fixture
def session(roots: str) -> Iterator[Callable[..., requests.Session]]:
    made: list[requests.Session] = []

    def make(pins: Release, metrics: PinMetrics | None = None) -> requests.Session:
        made.append(pinned_session(pins, metrics=metrics or PinMetrics(CollectorRegistry())))
        made[-1].verify = roots
        made[-1].trust_env = False
        return made[-1]

    yield make
    for one in made:
        one.close()


class ConnectProxy:
    """An HTTP proxy that tunnels; it can be told to lead elsewhere."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(4096)
            if not data:
                return
            head += data
        target = head.split()[1].decode()
        self.asked.append(f"{head.split()[0].decode()} {target}")
        with client, socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join(5)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    made = ConnectProxy()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()


Serve = Callable[..., TlsServer]
Make = Callable[..., requests.Session]


@pytest.mark.parametrize("pinned", [LEAF, CA, ROOT], ids=["leaf", "intermediate", "root"])
def test_a_pinned_connection_goes_through(tls_server: Serve, session: Make, pinned: Identity) -> None:
    url = f"https://localhost:{tls_server(LEAF).port}/"
    assert session(release(OTHER, pinned.certificate.pin)).get(url, timeout=10).text == "ok"


def test_a_connection_without_a_pinned_key_is_refused_before_anything_is_sent(tls_server: Serve, session: Make) -> None:
    kept = Kept()
    server = tls_server(LEAF, kept)
    with pytest.raises(PinError) as caught:
        session(release(OTHER)).post(f"https://localhost:{server.port}/", data=b"secret", timeout=10)
    assert isinstance(caught.value, IrkitError)
    assert isinstance(caught.value, requests.exceptions.SSLError)
    assert caught.value.acceptance is not None
    assert caught.value.acceptance.why == "pin"
    assert "no certificate on the path has a pinned key" in str(caught.value)
    assert (server.connections, kept.heads) == (1, [])


def test_a_connection_that_is_used_again_is_checked_again(tls_server: Serve, session: Make) -> None:
    kept, metrics = Kept(), PinMetrics(CollectorRegistry())
    server = tls_server(LEAF, kept)
    pinned = session(release(LEAF.certificate.pin), metrics)
    for _ in range(3):
        pinned.get(f"https://localhost:{server.port}/", timeout=10)
    assert (server.connections, len(kept.heads)) == (1, 3)
    assert metrics.validations.labels("success", "localhost")._value.get() == 3


def test_the_check_holds_through_a_connect_proxy(tls_server: Serve, session: Make, proxy: ConnectProxy) -> None:
    kept = Kept()
    server = tls_server(LEAF, kept)
    url, proxies = f"https://localhost:{server.port}/", {"https": proxy.url}
    good = session(release(LEAF.certificate.pin))
    assert [good.get(url, timeout=10, proxies=proxies).text for _ in range(2)] == ["ok", "ok"]
    with pytest.raises(PinError, match="localhost"):
        session(release(OTHER)).get(url, timeout=10, proxies=proxies)
    assert proxy.asked == [f"CONNECT localhost:{server.port}"] * 2
    assert len(kept.heads) == 2


def test_an_appended_genuine_ca_certificate_convinces_nobody(tls_server: Serve, session: Make) -> None:
    evil = replace(root("Evil", days=3650).issue("localhost", days=3650), above=(CA.x509, ROOT.x509))
    url = f"https://localhost:{tls_server(evil).port}/"
    with pytest.raises(requests.exceptions.SSLError):
        session(release(CA.certificate.pin, ROOT.certificate.pin)).get(url, timeout=10)


def test_verification_can_t_be_switched_off(tls_server: Serve, session: Make, proxy: ConnectProxy) -> None:
    server = tls_server(LEAF)
    url = f"https://localhost:{server.port}/"
    with pytest.raises(PinError, match="verify=False"):
        session(release(LEAF.certificate.pin)).get(url, timeout=10, verify=False)
    for pins in (release(LEAF.certificate.pin), release(OTHER, pattern="api.example.com")):
        debug = session(pins)
        debug.verify = False  # as a debug build does it
        for proxies in ({}, {"https": proxy.url}):
            with pytest.raises(PinError, match="verified path") as caught:
                debug.get(url, timeout=10, proxies=proxies)
            assert "roots" in caught.value.hint
    assert (server.connections, proxy.asked) == (0, [])


def test_verification_comes_first(tls_server: Serve, session: Make) -> None:
    stranger = root("Stranger", days=3650).issue("localhost", days=3650)
    with pytest.raises(requests.exceptions.SSLError) as caught:
        session(release(stranger.certificate.pin)).get(f"https://localhost:{tls_server(stranger).port}/", timeout=10)
    assert not isinstance(caught.value, PinError)
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)


def test_hosts_without_pins_are_left_alone(tls_server: Serve, session: Make) -> None:
    url = f"https://localhost:{tls_server(LEAF).port}/"
    assert session(release(OTHER, pattern="api.example.com")).get(url, timeout=10).text == "ok"


def test_plain_http_is_refused_and_so_is_a_redirect_to_it(tls_server: Serve, session: Make) -> None:
    with pytest.raises(PinError, match="is not https"):
        session(release(OTHER)).get("http://localhost:9/", timeout=10)

    def redirect(connection: ssl.SSLSocket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://localhost:9/\r\nContent-Length: 0\r\n\r\n")

    server = tls_server(LEAF, redirect)
    with pytest.raises(PinError, match="is not https"):
        session(release(LEAF.certificate.pin)).get(f"https://localhost:{server.port}/", timeout=10)


def test_what_is_unknown_is_refused(tls_server: Serve, session: Make) -> None:
    unsure = Release("ios", (HostRule("localhost", lists=frozenset({"leaf"})),))
    with pytest.raises(PinError, match="not confirmed"):
        session(unsure).get(f"https://localhost:{tls_server(LEAF).port}/", timeout=10)


def test_checks_are_counted_and_timed(tls_server: Serve, session: Make) -> None:
    registry = CollectorRegistry()
    metrics = PinMetrics(registry)
    url = f"https://localhost:{tls_server(LEAF).port}/"
    session(release(LEAF.certificate.pin), metrics).get(url, timeout=10)
    with pytest.raises(PinError):
        session(release(OTHER), metrics).get(url, timeout=10)
    exposed = generate_latest(registry).decode()
    assert 'cert_pin_validation_total{domain="localhost",result="success"} 1.0' in exposed
    assert 'cert_pin_validation_total{domain="localhost",result="failure"} 1.0' in exposed
    assert "cert_pin_validation_duration_seconds_count 2.0" in exposed
    days = registry.get_sample_value("cert_pin_expiry_days", {"domain": "localhost"})
    assert days is not None
    assert 3000 < days < 3651


def test_two_sessions_share_the_process_s_own_counters() -> None:
    for _ in range(2):
        with pinned_session(release(OTHER)):
            pass
