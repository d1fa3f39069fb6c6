"""What many tests share: real TLS servers on loopback, the corpus, programs to test against, and no way out."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from forge import Identity

with contextlib.suppress(ImportError):  # the core alone has no numpy, and its tests need no Prometheus
    from prometheus_server import fault, history  # noqa: F401 - fixtures of the tests that need Prometheus

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI", "") not in ("", "0", "false")

# An example may be slow on a busy machine. In CI a failure has to be there again in the next run.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "local")

Answer = Callable[[ssl.SSLSocket], None]


def answer_http(connection: ssl.SSLSocket) -> None:
    """Reads one request's head and answers `ok`."""
    head = b""
    while b"\r\n\r\n" not in head and (data := connection.recv(4096)):
        head += data
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


class TlsServer:
    """A TLS server on loopback, a thread for each connection.

    Attributes:
        host: "127.0.0.1".
        port: A free port.
        connections: How many clients have connected; failed handshakes count.
    """

    def __init__(self, context: ssl.SSLContext, answer: Answer) -> None:
        self.context = context
        self.answer = answer
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.listener.getsockname()
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:  # closed
                return
            self.connections += 1
            self.open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(10)
        try:
            with self.context.wrap_socket(raw, server_side=True) as connection:
                self.answer(connection)
                connection.unwrap()
        except (OSError, ValueError):  # the client may leave whenever it likes
            pass
        finally:
            raw.close()

    def close(self) -> None:
        # close() alone leaves accept() and recv() waiting on Linux.
        for connection in (self.listener, *self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def tls_server() -> Iterator[Callable[..., TlsServer]]:
    """`tls_server(identity)` starts a server that presents the identity's chain; all are closed after the test.

    Give it an `SSLContext` instead of an identity to set more, and `answer` to speak something else than HTTP.
    """
    servers: list[TlsServer] = []

    def start(identity: Identity | ssl.SSLContext, answer: Answer = answer_http) -> TlsServer:
        context = identity if isinstance(identity, ssl.SSLContext) else identity.server_context()
        servers.append(TlsServer(context, answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """A folder of real pin files and certificates, kept outside this repository."""
    folder = Path(os.environ.get("IRKIT_CORPUS") or ROOT.parent / "shared" / "corpus")
    if not folder.is_dir():
        pytest.skip("no corpus: set IRKIT_CORPUS to its folder")
    return folder


@pytest.fixture(scope="session")
def tool() -> Callable[..., str]:
    """`tool("mitmdump")` is the path of a program: from $MITMDUMP, .tools or PATH. The first name that is there counts.

    Where it is missing the test is skipped, but in CI it fails: there, nothing real is left out.
    """

    def find(*names: str) -> str:
        for name in names:
            if found := find_tool(name):
                return found
        reason = f"{names[0]} is not installed: `make test` installs it"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)

    return find


def find_tool(name: str) -> str | None:
    """The path of a program, or None. An absolute path, of a jar say, is there or it isn't."""
    if name.startswith("/"):
        return name if Path(name).exists() else None
    if named := os.environ.get(name.upper().replace("-", "_")):
        return named
    own = sorted(ROOT.glob(f".tools/*/bin/{name}"))
    return str(own[0]) if own else shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@pytest.fixture(autouse=True)
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that connects to another machine fails, even where the code under test swallows the error."""
    outside: list[str] = []

    def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(address[0]):
                outside.append(str(address[0]))
                raise ConnectionRefusedError(f"tests stay on this machine: {address[0]}")
            return original(self, address)

        return call

    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
    yield
    assert not outside, f"the test connected to another machine: {outside}"


def is_loopback(host: str) -> bool:
    """Whether a connection to `host`, a name or an address, stays on this machine."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host in ("localhost", "")
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or address.is_unspecified
