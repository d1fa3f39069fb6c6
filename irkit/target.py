"""Endpoints to capture from, as a list of hosts names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from irkit import render
from irkit.errors import InputError
from irkit.link import Endpoint, a_label

__all__ = ["Target", "read_targets"]

_LIMIT = 2**26  # bytes of a list


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint of many.

    Attributes:
        host: Name or address.
        port: TCP port.
        connect: Where to connect instead, as "address:port"; empty for the host's own addresses.
    """

    host: str
    port: int = 443
    connect: str = ""

    @classmethod
    def parse(cls, value: str) -> Self:
        """Reads `host`, `host:port`, `[v6]:port`, and after a space where to connect instead, in the same form.

        Raises:
            InputError: It is none of these.
        """
        words = value.split()
        if not 1 <= len(words) <= 2:
            raise InputError(
                f"not an endpoint: {render.text(value, 100)}", "write host:port, or host:port address:port"
            )
        endpoint = Endpoint.parse(words[0], 443)
        if not endpoint.is_address:
            if set(endpoint.host) & set("/@"):
                raise InputError(f"not a host: {render.text(endpoint.host, 100)}", "write host:port, without a URL")
            a_label(endpoint.host.rstrip("."))
        connect = str(Endpoint.parse(words[1], endpoint.port)) if len(words) == 2 else ""
        return cls(endpoint.host, endpoint.port, connect)

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
        return f"{self.endpoint} {self.connect}" if self.connect else str(self.endpoint)


def read_targets(path: str | Path) -> tuple[Target, ...]:
    """Reads a list of endpoints: one a line, as `Target.parse` takes them; `#` begins a comment. Repeats count once.

    Raises:
        InputError: It can't be read, a line is no endpoint (the line is named), or there is none.
    """
    shown = render.text(path, 200)
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise InputError(f"can't read {shown}: {error.strerror or error}", "give a file with one host a line") from None
    if len(data) > _LIMIT:
        raise InputError(f"{shown} is larger than {_LIMIT >> 20} MB", "split it")
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
