"""Endpoints to capture from, as a list of hosts names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from irkit import render
from irkit.errors import InputError
from irkit.files import read_file
from irkit.link import Endpoint, a_label
from irkit.proxy import Proxy
from irkit.starttls import check_protocol

__all__ = ["Target", "read_targets"]

_LIMIT = 2**26  # bytes of a list


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint of many.

    Attributes:
        host: Name or address.
        port: TCP port.
        connect: Where to connect instead, as "address:port"; empty for the host's own addresses.
        starttls: The protocol to speak first, as `capture` takes it; empty for none.
        proxy: What to go through, as `capture` takes it; empty for none.
        proxy_auth_env: Name of the variable with the proxy's `user:password`, where it is asked from; empty for none.
    """

    host: str
    port: int = 443
    connect: str = ""
    starttls: str = ""
    proxy: str = ""
    proxy_auth_env: str = ""

    @classmethod
    def parse(cls, value: str) -> Self:
        """Reads `host`, `host:port` or `[v6]:port`; after a space where to connect instead, in the same form.

        Then may follow, in any order: `starttls=smtp`, `proxy=socks5h://127.0.0.1:1080`, `proxy-auth-env=VARIABLE`.

        Raises:
            InputError: It is none of these.
        """
        words = value.split()
        places = [word for word in words if "=" not in word]
        if not 1 <= len(places) <= 2 or words[: len(places)] != places:
            raise InputError(
                f"not an endpoint: {render.text(value, 100)}", "write host:port, or host:port address:port"
            )
        endpoint = Endpoint.parse(places[0], 443)
        if not endpoint.is_address:
            if set(endpoint.host) & set("/@"):
                raise InputError(f"not a host: {render.text(endpoint.host, 100)}", "write host:port, without a URL")
            a_label(endpoint.host.rstrip("."))
        connect = str(Endpoint.parse(places[1], endpoint.port)) if len(places) == 2 else ""
        return cls(endpoint.host, endpoint.port, connect, **_options(words[len(places) :]))

    @property
    def plain(self) -> bool:
        """Whether TLS begins at once, on a connection of our own."""
        return not (self.starttls or self.proxy)

    @property
    def endpoint(self) -> Endpoint:
        """Host and port."""
        return Endpoint(self.host, self.port)

    @property
    def server_name(self) -> str | None:
        """The SNI to send: the host as A-labels; None for an address (RFC 6066, section 3)."""
        return None if self.endpoint.is_address else a_label(self.host.rstrip("."))

    def __str__(self) -> str:
        """What `parse` reads; names the target in files."""
        options = (f"{word}={getattr(self, field)}" for word, field in _OPTIONS.items() if getattr(self, field))
        return " ".join([str(self.endpoint), *([self.connect] if self.connect else []), *options])


_OPTIONS = {"starttls": "starttls", "proxy": "proxy", "proxy-auth-env": "proxy_auth_env"}


def _options(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in _OPTIONS or _OPTIONS[name] in found:
            raise InputError(
                f"not an option of an endpoint: {render.text(word, 100)}",
                f"after it may stand {', '.join(_OPTIONS)}, once",
            )
        found[_OPTIONS[name]] = value
    if "starttls" in found:
        check_protocol(found["starttls"])
    if "proxy" in found:
        Proxy.parse(found["proxy"])
    return found


def read_targets(path: str | Path) -> tuple[Target, ...]:
    """Reads a list of endpoints: one a line, as `Target.parse` takes them; `#` begins a comment. Repeats count once.

    Raises:
        InputError: It can't be read, a line is no endpoint (the line is named), or there is none.
    """
    shown = render.text(path, 200)
    data = read_file(path, "give a file with one host a line, or split it", limit=_LIMIT)
    found: dict[Target, None] = {}
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        if entry := line.partition("#")[0].strip():
            try:
                found[Target.parse(entry)] = None
            except InputError as error:
                raise InputError(f"{shown}, line {number}: {error.message}", error.hint) from None
    if not found:
        raise InputError(f"{shown} names no endpoint", "write one host, or host:port, a line")
    return tuple(found)
