"""Reaching an endpoint through an HTTP CONNECT or a SOCKS 5 proxy."""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from irkit import render
from irkit.errors import CaptureError, InputError
from irkit.link import Endpoint, a_label
from irkit.wire import Wire

__all__ = ["Proxy"]

_PORTS = {"http": 8080, "socks5": 1080, "socks5h": 1080}
_REPLIES = {
    1: "general failure", 2: "not allowed by its rules", 3: "network unreachable", 4: "host unreachable",
    5: "connection refused", 6: "TTL expired", 7: "command not supported", 8: "address type not supported",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        scheme: `http` (CONNECT), `socks5` (names are resolved here) or `socks5h` (names are resolved there).
        endpoint: Where it listens.
        user, password: Never part of any text.
    """

    scheme: str
    endpoint: Endpoint
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str, auth_env: str = "") -> Self:
        """Reads `http://host:port`, `socks5://host:port` or `socks5h://host:port`.

        Args:
            url: Without credentials: a URL ends up in evidence and logs.
            auth_env: Name of the environment variable that holds `user:password`; empty for none.

        Raises:
            InputError: It is no such URL, holds credentials, or the variable is not set.
        """
        hint = 'write "http://proxy.example:3128" or "socks5h://127.0.0.1:1080"'
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise InputError(f"not a proxy: {render.text(url.rpartition('@')[2], 100)}", hint) from None
        if "@" in url:
            raise InputError(
                "the proxy's URL holds credentials, which would end up in evidence and logs",
                "put user:password into an environment variable and give its name as proxy_auth_env=",
            )
        if parts.scheme not in _PORTS or not host or parts.path.strip("/") or parts.query:
            raise InputError(f"not a proxy: {render.text(url, 100)}", hint)
        user = password = ""
        if auth_env:
            if ":" not in os.environ.get(auth_env, ""):
                raise InputError(
                    f"no credentials in the environment variable {render.text(auth_env, 60)}", "set it to user:password"
                )
            user, _, password = os.environ[auth_env].partition(":")
        return cls(parts.scheme, Endpoint(host, port or _PORTS[parts.scheme]), user, password)

    @property
    def resolves(self) -> bool:
        """Whether names are left to the proxy."""
        return self.scheme != "socks5"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.endpoint}"

    def ask(self, wire: Wire, target: Endpoint) -> Generator[None, bytes]:
        """Has it connect to the target.

        Raises:
            CaptureError: It does not.
        """
        try:
            yield from (self._connect_http if self.scheme == "http" else self._connect_socks)(wire, target)
        except CaptureError as error:
            if error.message.startswith("the proxy"):
                raise
            raise CaptureError(f"the proxy {self} {error.message}", error.hint) from None

    def _connect_http(self, wire: Wire, target: Endpoint) -> Generator[None, bytes]:
        """RFC 9110, section 9.3.6."""
        target = Endpoint(a_label(target.host), target.port)
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
        if self.user:
            secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            head += f"Proxy-Authorization: Basic {secret}\r\n"
        wire.say(f"{head}\r\n".encode())
        status = (yield from wire.line()).decode("latin-1")
        parts = status.split(" ", 2)
        if not status.startswith("HTTP/1.") or len(parts) < 2:
            raise CaptureError(
                f"the proxy {self} does not speak HTTP: {render.text(status, 60)}", "is it a SOCKS proxy? socks5h://…"
            )
        if parts[1] != "200":
            hint = "the proxy does not let this through: ask for another, or capture from another vantage"
            if parts[1] == "407":
                hint = "name the environment variable that holds user:password as proxy_auth_env="
            raise CaptureError(f"the proxy {self} answered {render.text(' '.join(parts[1:]), 80)}", hint)
        for _ in range(200):
            if not (yield from wire.line()):
                return
        raise CaptureError(f"the proxy {self} answered with too many header lines", "use another proxy")

    def _connect_socks(self, wire: Wire, target: Endpoint) -> Generator[None, bytes]:
        """RFC 1928, with the user name and password of RFC 1929."""
        wire.say(b"\x05\x02\x00\x02" if self.user else b"\x05\x01\x00")
        version, method = yield from wire.exactly(2)
        if version != 5:
            raise CaptureError(f"the proxy {self} does not speak SOCKS 5", "is it an HTTP proxy? http://…")
        if method == 2 and self.user:
            user, password = self.user.encode()[:255], self.password.encode()[:255]
            wire.say(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
            if (yield from wire.exactly(2))[1] != 0:
                raise CaptureError(f"the proxy {self} refused user and password", "check the variable's user:password")
        elif method != 0:
            raise CaptureError(
                f"the proxy {self} wants a way to log in that was not offered",
                "name the environment variable that holds user:password as proxy_auth_env=",
            )
        wire.say(b"\x05\x01\x00" + _socks_address(target) + target.port.to_bytes(2, "big"))
        _, reply, _, kind = yield from wire.exactly(4)
        if reply:
            why = _REPLIES.get(reply, f"reply {reply}")
            raise CaptureError(f"the proxy {self} could not connect: {why}", "check host and port, or another proxy")
        size = {1: 4, 4: 16}.get(kind) or (yield from wire.exactly(1))[0]
        yield from wire.exactly(size + 2)


def _socks_address(target: Endpoint) -> bytes:
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        name = a_label(target.host).encode()
        return b"\x03" + bytes([len(name)]) + name
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed
