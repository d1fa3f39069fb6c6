"""The rehearsal's servers: the genuine one, and one that intercepts. Real TLS, on loopback only."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from irkit.drill.pki import Credential

__all__ = ["Intercepting", "Presenting", "Server", "serving"]

_PATIENCE = 10.0  # seconds a server waits for a peer
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@dataclass(slots=True)
class Presenting:
    """The genuine service: presents a credential, answers every request with an empty JSON object."""

    credential: Credential

    def context(self) -> ssl.SSLContext:
        """The context of the next connection."""
        return self.credential.context()

    def answer(self, peer: ssl.SSLSocket) -> None:
        """Answers one request."""
        if _request(peer):
            peer.sendall(_REPLY)


@dataclass(slots=True)
class Intercepting:
    """An interceptor: shows each client a certificate of its own CA, reads along, and passes everything on.

    Attributes:
        forged: What it presents.
        upstream: "address:port" of the genuine server.
        seen: The requests that it could read.
    """

    forged: Credential
    upstream: str
    seen: list[bytes] = field(default_factory=list)

    def context(self) -> ssl.SSLContext:
        """The context of the next connection."""
        return self.forged.context()

    def answer(self, peer: ssl.SSLSocket) -> None:
        """Passes one request on to the genuine server, and its answer back."""
        if not (request := _request(peer)):
            return
        self.seen.append(request)
        host, _, port = self.upstream.partition(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # an interceptor does not care whom it talks to
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((host, int(port)), _PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as server,
        ):
            server.sendall(request)
            while reply := server.recv(65536):
                peer.sendall(reply)


def _request(peer: ssl.SSLSocket) -> bytes:
    """One HTTP request without a body; nothing when the peer only shook hands."""
    received = b""
    while b"\r\n\r\n" not in received and len(received) < 65536:
        if not (part := peer.recv(4096)):
            return b""
        received += part
    return received


class Server(socketserver.ThreadingTCPServer):
    """A TLS server on a free port of 127.0.0.1. `role` may be exchanged while it runs."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, role: Presenting | Intercepting) -> None:
        self.role = role
        super().__init__(("127.0.0.1", 0), _Connection)

    @property
    def address(self) -> str:
        """Where it listens, as "127.0.0.1:port"."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Connection(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        role = self.server.role
        self.request.settimeout(_PATIENCE)
        # A peer that refuses the certificate or only wanted to see it ends the connection in its own way.
        with contextlib.suppress(OSError), role.context().wrap_socket(self.request, server_side=True) as peer:
            role.answer(peer)


@contextlib.contextmanager
def serving(role: Presenting | Intercepting) -> Iterator[Server]:
    """Runs a server until the block ends."""
    with Server(role) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
