"""Certificates that a server left out, fetched from where the chain says they are (RFC 5280, section 4.2.2.1).

Only on request: an address in a certificate is anybody's, and fetching it tells its owner that somebody looks. What is
fetched was not presented; it is kept apart, and serves to say what the server should send.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from io import BufferedReader, RawIOBase
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from irkit.certificate import Certificate, unwarned
from irkit.chainfile import load_chain_bytes
from irkit.errors import CaptureError, InputError
from irkit.link import Endpoint, broken, resolve, unreachable
from irkit.render import text
from irkit.signature import relation
from irkit.trust import TrustStore, issuers, linked_paths

__all__ = ["Fetch", "fetch_issuers", "issuer_urls"]

_T = TypeVar("_T")

_SIZE = 2**16  # bytes of one answer; an issuer's certificate has 1 to 2 KB
_FETCHES = 4  # of one chain
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: any IPv4 address behind it


@dataclass(frozen=True, slots=True)
class Fetch:
    """One address that was asked, or that was not and why.

    Attributes:
        url: As the certificate has it; hostile, show it through irkit.render.
        of: The certificate that names it.
        certificates: What it gave that signed `of`; empty for nothing.
        problem: Why it gave nothing, in a sentence.
    """

    url: str
    of: Certificate
    certificates: tuple[Certificate, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"{text(self.url, 200)}: {self.problem}"
        return f"{text(self.url, 200)}: {', '.join(text(c.subject or 'unreadable', 120) for c in self.certificates)}"


@unwarned()
def issuer_urls(certificate: Certificate) -> tuple[str, ...]:
    """Where a certificate says that its issuer's can be had, in its order; empty where it doesn't."""
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID

    try:
        if certificate.x509 is None:
            return ()
        access = certificate.x509.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        wanted = AuthorityInformationAccessOID.CA_ISSUERS
        return tuple(str(one.access_location.value) for one in access if one.access_method == wanted)
    except Exception:  # noqa: BLE001 - absent, or odd: parsing is lazy and raises many kinds
        return ()


def fetch_issuers(
    chain: Sequence[Certificate],
    trust: TrustStore | None = None,
    *,
    deadline: float = 5.0,
    allow_private: bool = False,
) -> tuple[Fetch, ...]:
    """Asks for the issuer of a chain that ends too early, and for that one's issuer, up to a root.

    Plain HTTP only, no redirect, at most 64 KB an answer and four answers.

    Args:
        chain: As presented.
        trust: Roots: what they issued is not asked about.
        deadline: Seconds for everything.
        allow_private: Ask addresses of networks that are not public, too. An address in a stranger's certificate can
            name a service inside one's own network.

    Returns:
        Each address that was asked, with what it gave; empty where the chain is complete, or names none.

    Raises:
        InputError: The deadline is none.
    """
    if not 0 < deadline < 3600:
        raise InputError(f"a deadline of {deadline} s", "give seconds, more than 0 and less than an hour")
    end = time.monotonic() + deadline
    roots = () if trust is None else trust.roots
    found: list[Fetch] = []
    known = list(chain)
    while known and (last := max(linked_paths(known), key=len, default=(known[0],))[-1]):
        if relation(last, last) in {"signed", "weak"} or last in roots or next(issuers(last, roots), None):
            break
        fresh: tuple[Certificate, ...] = ()
        for url in issuer_urls(last):
            if any(one.url == url for one in found) or len(found) >= _FETCHES:
                continue
            found.append(_fetch(url, last, end, allow_private=allow_private))
            if fresh := found[-1].certificates:
                break
        if not fresh:
            break
        known += fresh
    return tuple(found)


def _fetch(url: str, of: Certificate, end: float, *, allow_private: bool) -> Fetch:
    try:
        body = _get(url, end, allow_private=allow_private)
        given = load_chain_bytes(body, "the answer").certificates
    except (CaptureError, InputError) as error:
        return Fetch(url, of, problem=error.message)
    except (HTTPException, ValueError, OSError) as error:
        return Fetch(url, of, problem=f"the answer is not HTTP: {text(error, 80) or type(error).__name__}")
    own = tuple(issuers(of, given))
    return Fetch(url, of, own, "" if own else "no certificate in the answer signed this one")


def _get(url: str, end: float, *, allow_private: bool) -> bytes:
    """The body of an answer; raises what went wrong, in words."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.username is not None:
        raise InputError("not fetched: only http://host/… is")
    if not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
        raise InputError("not fetched: it holds characters that no address has")
    host = Endpoint(parts.hostname, parts.port or 80)
    addresses = resolve(host, end)
    allowed = [address for address in addresses if allow_private or _is_public(address)]
    if not allowed:
        raise InputError(f"not fetched: {addresses[0]} is no public address")
    with _connected(allowed[0], host.port, end) as sock:  # the address that was looked at, not the name again
        target, answer = (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), _Answer(sock, end)
        answer.ask(f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nUser-Agent: irkit\r\n\r\n".encode())
        response = HTTPResponse(cast("Any", answer))
        response.begin()
        if response.status != 200:
            moved = ": redirects are not followed" if 300 <= response.status < 400 else ""
            raise InputError(f"it answered {response.status}{moved}")
        body = response.read(_SIZE + 1)
    if len(body) > _SIZE:
        raise InputError(f"its answer is longer than {_SIZE >> 10} KB")
    return body


def _is_public(address: str) -> bool:
    place = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(place, "ipv4_mapped", None) or getattr(place, "sixtofour", None) or place
    return bool(place.is_global and inner.is_global and not inner.is_multicast) and place not in _TRANSLATED


def _connected(address: str, port: int, end: float) -> socket.socket:
    if (left := end - time.monotonic()) <= 0:
        raise CaptureError("out of time before it was tried", "give a longer deadline")
    try:
        return socket.create_connection((address, port), left)
    except (OSError, ValueError) as error:
        raise unreachable(error) from None


class _Answer(RawIOBase):
    """What http.client reads an answer from; it gives up at the deadline, however the other side dawdles."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        self._socket, self._end, self._heard = sock, end, False

    def ask(self, request: bytes) -> None:
        self._in_time(lambda: self._socket.sendall(request))

    def makefile(self, *_: object) -> BufferedReader:
        return BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._in_time(lambda: self._socket.recv_into(buffer))
        self._heard = self._heard or size > 0
        return size

    def _in_time(self, act: Callable[[], _T]) -> _T:
        if (left := self._end - time.monotonic()) <= 0:
            raise broken(TimeoutError(), heard=self._heard)
        try:
            self._socket.settimeout(left)
            return act()
        except OSError as error:
            raise broken(error, heard=self._heard) from None
