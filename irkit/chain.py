"""A chain exactly as it was presented, with how it was obtained."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, overload

from irkit import render
from irkit.certificate import Certificate, Pin
from irkit.marks import marks

__all__ = ["Attempt", "CaptureFailure", "Chain", "Obtained"]

_MARKED = 50  # certificates whose names are looked at


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an endpoint that gave no chain: where, how, and why not."""

    where: str
    how: str
    reason: str


@dataclass(frozen=True, slots=True)
class Obtained:
    """How a chain was obtained.

    Attributes:
        how: `handshake` (a TLS handshake that completed), `hello` (read as far as Certificate), `file` or `report`.
        where: The endpoint or the file, as text.
        at: When, aware UTC; None when a file doesn't say.
        duration: Seconds the capture took.
        host, port, server_name, address: What was asked; server_name is the SNI sent, None for none.
        protocol, cipher, signature_scheme, alpn: What the handshake agreed on, by the names of the IANA registries.
        possession: Whether the server showed that it holds the leaf's key: `proven`, `disproven` or `unproven`.
        ocsp: The stapled OCSP response, raw; None for none.
        scts: The SCTs delivered in the handshake, raw: a SignedCertificateTimestampList; None for none.
        attempts: Tries that failed on the way, with their reasons.
        findings: What is odd about the capture, a line each.
        vantage: The name of the place it was captured from.
        proxy, starttls: What was gone through; empty for none. A proxy is named without credentials.
    """

    how: Literal["handshake", "hello", "file", "report"]
    where: str
    at: datetime | None = None
    duration: float = 0.0
    host: str = ""
    port: int = 0
    server_name: str | None = None
    address: str = ""
    protocol: str = ""
    cipher: str = ""
    signature_scheme: str = ""
    alpn: str = ""
    possession: Literal["proven", "disproven", "unproven"] = "unproven"
    ocsp: bytes | None = None
    scts: bytes | None = None
    attempts: tuple[Attempt, ...] = ()
    findings: tuple[str, ...] = ()
    vantage: str = ""
    proxy: str = ""
    starttls: str = ""

    @property
    def network(self) -> str:
        """What kind of network the address is in, where it isn't the public internet: `private`, `shared` and so on.

        A private address for a public name is a resolver's or a proxy's work: an office's own zone, a captive portal.
        """
        try:
            address = ipaddress.ip_address(self.address.rpartition(":")[0].strip("[]").partition("%")[0])
        except ValueError:
            return ""
        mapped = getattr(address, "ipv4_mapped", None) or address
        if mapped.is_loopback:
            return "loopback"
        if mapped.is_link_local:
            return "link-local"
        if mapped in _SHARED:
            return "shared (RFC 6598: a provider's NAT)"
        if mapped in _UNIQUE_LOCAL or any(mapped in network for network in _RFC1918):
            return "private (RFC 4193)" if mapped.version == 6 else "private (RFC 1918)"
        return "" if mapped.is_global else "reserved (RFC 6890)"


def _end(certificate: Certificate) -> str:
    return render.moment(certificate.not_after) if certificate.not_after is not None else "unreadable"


_SHARED = ipaddress.ip_network("100.64.0.0/10")
_UNIQUE_LOCAL = ipaddress.ip_network("fc00::/7")
_RFC1918 = tuple(ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


@dataclass(frozen=True, slots=True)
class CaptureFailure:
    """One address that gave no chain.

    Attributes:
        where: The endpoint, as text.
        reason: Why, in one line.
        attempts: Each way that was tried, with its reason.
        at: When it was asked, aware UTC.
        hint: What to do next, in one line.
        vantage: The name of the place it was asked from.
    """

    where: str
    reason: str
    attempts: tuple[Attempt, ...] = ()
    at: datetime | None = None
    hint: str = ""
    vantage: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Chain(Sequence[Certificate]):
    """Certificates in the order they were presented, duplicates and strangers kept. Nothing here is verified.

    Two chains are equal when their certificates are, however they were obtained.

    Attributes:
        certificates: The leaf first, as a rule; as presented.
        obtained: From where, when and how.
    """

    certificates: tuple[Certificate, ...]
    obtained: Obtained = field(default=Obtained("file", ""), compare=False)

    @property
    def leaf(self) -> Certificate:
        """The first certificate presented."""
        return self.certificates[0]

    @property
    def pins(self) -> tuple[Pin | None, ...]:
        """The pin of each certificate, in order."""
        return tuple(certificate.pin for certificate in self.certificates)

    @property
    def sha256(self) -> str:
        """SHA-256 over the certificates' fingerprints, in hex: names the presented list."""
        return hashlib.sha256(b"".join(bytes.fromhex(c.sha256) for c in self.certificates)).hexdigest()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader has to know of how the chain was obtained and of its names, a line each."""
        obtained = self.obtained
        network = (f"the address {obtained.address} is {obtained.network}",) if obtained.network else ()
        misleading = (
            f"certificate {number}: {mark}"
            for number, certificate in enumerate(self.certificates[:_MARKED])
            for mark in marks(certificate, obtained.host)
        )
        return (*network, *obtained.findings, *misleading)

    def pem(self) -> str:
        """Every certificate as PEM, in order."""
        return "".join(certificate.pem() for certificate in self.certificates)

    @overload
    def __getitem__(self, index: int) -> Certificate: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Certificate, ...]: ...
    def __getitem__(self, index: int | slice) -> Certificate | tuple[Certificate, ...]:
        return self.certificates[index]

    def __len__(self) -> int:
        return len(self.certificates)

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (i, c.subject or "unreadable", c.issuer or "unreadable", _end(c), c.pin or "none")
            for i, c in enumerate(self.certificates)
        ]

    def __repr__(self) -> str:
        head = f"Chain of {len(self)} from {render.text(self.obtained.where) or 'memory'}"
        table = render.text_table(("", "subject", "issuer", "notAfter", "pin"), self._rows())
        return "\n".join([head, table, *(f"  {render.text(remark, 600)}" for remark in self.remarks)])

    def _repr_html_(self) -> str:
        caption = f"Chain from {self.obtained.where}" if self.obtained.where else "Chain"
        table = render.table(("", "subject", "issuer", "notAfter", "pin"), self._rows(), caption)
        return render.fragment(table, render.bullets(self.remarks)) if self.remarks else table
