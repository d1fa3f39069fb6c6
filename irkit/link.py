"""Endpoints: their names and addresses, and in words why one can't be reached or a connection to it ended."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from irkit import render
from irkit.errors import CaptureError, InputError

__all__ = ["Endpoint", "a_label", "broken", "resolve", "unreachable"]

_NAME_HINT = "check the name and the resolver, or name an address: connect=, --connect"
_DEVIATIONS = frozenset("ßς\u200c\u200d")  # Unicode Technical Standard #46, section 4: deviation characters
_SLOW_HINT = "give a longer deadline, or check the path to the host"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host (a name or an address) and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, value: str, port: int) -> Self:
        """Reads `host`, `host:port`, `address`, `address:port` or `[v6]:port`.

        Raises:
            InputError: It is none of these.
        """
        hint = 'write "203.0.113.7:443", "host:443" or "[2001:db8::1]:443"'
        text = value.strip()
        if _is_address(text):
            return cls(text, port)
        host, colon, number = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        if not colon:
            host, number = text, str(port)
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise InputError(f"not an endpoint: {render.text(value, 100)}", hint)
        if not host or not number.isascii() or not number.isdigit() or not 0 < int(number) < 65536:
            raise InputError(f"not an endpoint: {render.text(value, 100)}", hint)
        return cls(host, int(number))

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address."""
        return _is_address(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(1024)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def a_label(name: str) -> str:
    """A name as protocols carry it: ASCII, international names as A-labels (RFC 5890).

    Raises:
        InputError: It has no such form, or two: IDNA 2003 and 2008 read some letters as different names.
    """
    if _DEVIATIONS & set(name):  # asking for fass.de instead of faß.de would be asking another host
        labels = (x if x.isascii() else "xn--" + x.lower().encode("punycode").decode() for x in name.split("."))
        raise InputError(
            f"{render.text(name, 100)} is one name to old programs and another to new ones",
            f"give its A-label: {render.text('.'.join(labels), 100)}",
        )
    try:
        found = name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        found = ""
    if not found or not found.isprintable() or " " in found or len(found) > 255:
        raise InputError(f"not a name of a server: {render.text(name, 100)}", "give a DNS name")
    return found


def broken(error: OSError, *, heard: bool) -> CaptureError:
    """Why a connection can't be used further: what the other side did, without naming it."""
    if isinstance(error, TimeoutError):
        said = "did not finish within the deadline" if heard else "said nothing within the deadline"
        return CaptureError(said, _SLOW_HINT)
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return CaptureError(
            "reset the connection", "something on the path cuts it: try another vantage or server_name="
        )
    return CaptureError(f"connection failed: {error.strerror or error}", "check the path to the host")


def resolve(endpoint: Endpoint, deadline: float) -> tuple[str, ...]:
    """The addresses of a host, in the resolver's order, without repeats.

    Raises:
        CaptureError: The name has none, or the resolver did not answer within the deadline.
    """
    if endpoint.is_address:
        return (endpoint.host,)
    box: list[tuple[str, ...] | OSError | ValueError] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
            box.append(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except (OSError, ValueError) as error:  # ValueError: a NUL, or a label that IDNA refuses
            box.append(error)

    # getaddrinfo has no timeout: its thread is left behind when the resolver hangs
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    shown = render.text(endpoint.host, 100)
    if not box:
        raise CaptureError(f"{shown} did not resolve within the deadline", _NAME_HINT)
    if isinstance(box[0], tuple) and box[0]:
        return box[0]
    why = getattr(box[0], "strerror", None) or "not a host name"
    raise CaptureError(f"{shown} does not resolve: {why}", _NAME_HINT)


def unreachable(error: OSError | ValueError) -> CaptureError:
    """Why there is no connection."""
    if isinstance(error, TimeoutError):
        return CaptureError("no answer to connecting within the deadline", _SLOW_HINT)
    if isinstance(error, ConnectionRefusedError):
        return CaptureError("refused the connection", "is the port right, and does a server listen there?")
    why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return CaptureError(f"can't be reached: {render.text(why, 100)}", "check the path to the host")
