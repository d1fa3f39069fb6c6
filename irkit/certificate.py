"""Certificates as they were presented: raw DER kept, the SPKI pin cut from it, fields read leniently.

An odd certificate is kept and described, never refused: what can't be read is `None` here and a line in `problems`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self

from irkit import render
from irkit.errors import InputError

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Certificate", "Pin", "cut_spki", "der_children", "der_element", "pem_blocks"]


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """The hash of a certificate's SubjectPublicKeyInfo (RFC 7469, section 2.4).

    Attributes:
        digest: 32 bytes for SHA-256, 20 for the SHA-1 that OkHttp still reads.
        algorithm: `sha256` or `sha1`.
    """

    digest: bytes
    algorithm: Literal["sha256", "sha1"] = "sha256"

    def __post_init__(self) -> None:
        wanted = 32 if self.algorithm == "sha256" else 20
        if len(self.digest) != wanted:
            raise InputError(
                f"a {self.algorithm} pin has {wanted} bytes, not {len(self.digest)}",
                "give the base64 of the SHA-256 of the certificate's SubjectPublicKeyInfo",
            )

    @classmethod
    def parse(cls, value: str) -> Self:
        """Reads `sha256/…`, `sha1/…`, `pin-sha256="…"` or the base64 alone; strictly, unlike most platforms.

        Raises:
            InputError: It is not base64 of the right length.
        """
        shown = value.strip()
        match = re.fullmatch(r'(?:pin-)?(sha256|sha1)[/=]"?([^"]*)"?', shown)
        algorithm, encoded = (match[1], match[2]) if match else ("sha256", shown)
        if len(encoded) % 4 == 1:  # curl writes sha256//…, but a digest of the right length may begin with a slash, too
            encoded = encoded.removeprefix("/")
        try:
            digest = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise InputError(
                f"not a pin: {render.text(value, 80)}", "a pin is sha256/ and 44 characters of base64"
            ) from None
        return cls(digest, "sha1" if algorithm == "sha1" else "sha256")

    @classmethod
    def of(cls, spki: bytes) -> Self:
        """The SHA-256 pin of a DER SubjectPublicKeyInfo."""
        return cls(hashlib.sha256(spki).digest())

    @property
    def base64(self) -> str:
        """The digest in base64, padded."""
        return base64.b64encode(self.digest).decode()

    def __str__(self) -> str:
        return f"{self.algorithm}/{self.base64}"

    def __repr__(self) -> str:
        return f"Pin({str(self)!r})"


def der_element(data: bytes, pos: int, end: int) -> tuple[int, int, int]:
    """The DER element at `pos`: its tag byte, where its content begins and where it ends."""
    if pos + 2 > end:
        raise ValueError("truncated")
    tag, length = data[pos], data[pos + 1]
    start = pos + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("a long tag")
    if length == 0x80:
        raise ValueError("indefinite length")
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > end:
        raise ValueError("an element longer than what holds it")
    return tag, start, start + length


def der_children(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The elements between start and end: (tag, where it begins, where its content begins, where it ends)."""
    while start < end:
        tag, content, after = der_element(data, start, end)
        yield tag, start, content, after
        start = after


def _tbs(der: bytes) -> list[tuple[int, int, int, int]]:
    """The elements of TBSCertificate from serialNumber on (RFC 5280, section 4.1)."""
    tag, start, end = der_element(der, 0, len(der))
    if tag != 0x30:
        raise ValueError("not a SEQUENCE")
    tag, start, end = der_element(der, start, end)
    if tag != 0x30:
        raise ValueError("TBSCertificate is not a SEQUENCE")
    parts = list(der_children(der, start, end))
    return parts[1:] if parts and parts[0][0] == 0xA0 else parts


def cut_spki(der: bytes) -> bytes | None:
    """The bytes of SubjectPublicKeyInfo as they stand in a DER certificate, or None where it has no such shape.

    Re-encoding a parsed key gives other bytes for RSA without NULL, RSA-PSS and compressed or explicit EC keys, and so
    another pin; the certificate's own bytes are what RFC 7469, section 2.4 hashes.
    """
    try:
        parts = _tbs(der)
        tag, begin, _, end = parts[5]
        if tag != 0x30:
            return None
        inner = [part[0] for part in der_children(der, *parts[5][2:])]
    except (ValueError, IndexError):
        return None
    return der[begin:end] if inner[:2] == [0x30, 0x03] else None


_NAME_OIDS = {"550403": "CN", "550406": "C", "55040a": "O", "55040b": "OU", "550407": "L", "550408": "ST"}


def _lenient_name(der: bytes, index: int) -> str | None:
    """Issuer (2) or subject (4) read as far as it goes, when the strict reader refuses it."""
    try:
        _, _, start, end = _tbs(der)[index]
        shown = []
        for _, _, rdn_start, rdn_end in der_children(der, start, end):
            for _, _, pair_start, pair_end in der_children(der, rdn_start, rdn_end):
                oid, value = list(der_children(der, pair_start, pair_end))[:2]
                name = _NAME_OIDS.get(der[oid[2] : oid[3]].hex(), "OID." + der[oid[2] : oid[3]].hex())
                raw = der[value[2] : value[3]]
                encoding = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1"}.get(value[0], "utf-8")
                shown.append(f"{name}={raw.decode(encoding, 'backslashreplace')}")
    except (ValueError, IndexError):
        return None
    return ",".join(reversed(shown))


@lru_cache(maxsize=4096)
def _load(der: bytes) -> tuple[x509.Certificate | None, str]:
    from cryptography import x509

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "non-positive serial", which real roots have; described in problems
            return x509.load_der_x509_certificate(der), ""
    except Exception as error:  # noqa: BLE001 - the library raises many kinds; a certificate is described, not refused
        return None, f"does not parse as X.509: {render.text(error, 120)}"


@dataclass(frozen=True, slots=True)
class _Fields:
    subject: str | None
    issuer: str | None
    serial: int | None
    not_before: datetime | None
    not_after: datetime | None
    dns_names: tuple[str, ...]
    is_ca: bool | None
    key: str
    problems: tuple[str, ...]


@lru_cache(maxsize=4096)
def _fields(der: bytes) -> _Fields:
    parsed, problem = _load(der)
    problems = [problem] if problem else []

    def read(what: str, get: Callable[[x509.Certificate], Any], default: Any = None) -> Any:
        if parsed is None:
            return default
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return get(parsed)
        except Exception as error:  # noqa: BLE001 - parsing is lazy and raises many kinds; the field is described
            problems.append(f"{what} does not parse: {render.text(error, 120)}")
            return default

    subject = read("the subject", lambda c: c.subject.rfc4514_string())
    issuer = read("the issuer", lambda c: c.issuer.rfc4514_string())
    fields = _Fields(
        subject=_lenient_name(der, 4) if subject is None else subject,
        issuer=_lenient_name(der, 2) if issuer is None else issuer,
        serial=read("the serial number", lambda c: c.serial_number),
        not_before=read("notBefore", lambda c: c.not_valid_before_utc),
        not_after=read("notAfter", lambda c: c.not_valid_after_utc),
        dns_names=read("subjectAltName", _dns_names, ()),
        is_ca=read("basicConstraints", _is_ca),
        key=read("the key", _describe_key, "a key of unknown kind"),
        problems=(),
    )
    if cut_spki(der) is None:
        problems.append("no SubjectPublicKeyInfo where a certificate has one: it has no pin")
    return replace(fields, problems=tuple(problems))


def _dns_names(parsed: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found = [str(name) for name in names.get_values_for_type(x509.DNSName)]
    return (*found, *(str(ip) for ip in names.get_values_for_type(x509.IPAddress)))


def _is_ca(parsed: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _describe_key(parsed: x509.Certificate) -> str:
    key = parsed.public_key()
    curve = getattr(getattr(key, "curve", None), "name", "")
    size = getattr(key, "key_size", "")
    kind = type(key).__name__.removesuffix("PublicKey").removeprefix("_")
    return f"EC {curve}" if curve else f"{kind} {size}".strip()


@dataclass(frozen=True, slots=True, repr=False)
class Certificate:
    """One certificate, as its raw DER; every other field is read from it when asked for.

    Attributes:
        der: The bytes exactly as they were presented.
    """

    der: bytes

    @classmethod
    def from_der(cls, der: bytes) -> Self:
        """Takes any bytes: what they are not is said in `problems`."""
        return cls(bytes(der))

    @classmethod
    def from_pem(cls, pem: str) -> Self:
        """Reads the first CERTIFICATE block.

        Raises:
            InputError: There is no such block, or its base64 is broken.
        """
        ders = pem_blocks(pem)
        if not ders:
            raise InputError("no BEGIN CERTIFICATE block in the text", "give PEM text, or use from_der for DER bytes")
        return cls(ders[0])

    @property
    def spki(self) -> bytes | None:
        """DER of SubjectPublicKeyInfo, cut from the certificate; None where there is none."""
        return cut_spki(self.der)

    @property
    def pin(self) -> Pin | None:
        """SHA-256 of `spki` (RFC 7469, section 2.4); None where there is none."""
        spki = self.spki
        return None if spki is None else Pin.of(spki)

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole certificate, in lower-case hex: its fingerprint."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def x509(self) -> x509.Certificate | None:
        """The certificate as `cryptography` reads it; None when it doesn't."""
        return _load(self.der)[0]

    @property
    def subject(self) -> str | None:
        """RFC 4514 text of the subject; hostile, show it through irkit.render."""
        return _fields(self.der).subject

    @property
    def issuer(self) -> str | None:
        """RFC 4514 text of the issuer; anyone can copy it, it proves nothing."""
        return _fields(self.der).issuer

    @property
    def serial(self) -> int | None:
        """The serial number."""
        return _fields(self.der).serial

    @property
    def not_before(self) -> datetime | None:
        """Start of validity, aware UTC."""
        return _fields(self.der).not_before

    @property
    def not_after(self) -> datetime | None:
        """End of validity, aware UTC."""
        return _fields(self.der).not_after

    @property
    def dns_names(self) -> tuple[str, ...]:
        """DNSName and iPAddress entries of subjectAltName, in order."""
        return _fields(self.der).dns_names

    @property
    def is_ca(self) -> bool | None:
        """Whether basicConstraints says cA; None when the extension can't be read."""
        return _fields(self.der).is_ca

    @property
    def key(self) -> str:
        """The kind of key in words, as `EC secp256r1` or `RSA 2048`."""
        return _fields(self.der).key

    @property
    def self_issued(self) -> bool:
        """Subject and issuer are the same name; says nothing of who signed it."""
        return self.subject is not None and self.subject == self.issuer

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read of this certificate, a line each."""
        return _fields(self.der).problems

    def pem(self) -> str:
        """The certificate as a PEM block."""
        body = base64.encodebytes(self.der).decode().replace("\n", "")
        lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
        return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"

    def _rows(self) -> list[tuple[str, object]]:
        rows: list[tuple[str, object]] = [
            ("subject", self.subject),
            ("issuer", self.issuer),
            ("names", ", ".join(self.dns_names) or "none"),
            ("valid", f"{self.not_before} to {self.not_after}"),
            ("key", self.key),
            ("pin", self.pin or "none"),
            ("SHA-256", self.sha256),
        ]
        return rows + [("problem", problem) for problem in self.problems]

    def __repr__(self) -> str:
        return f"Certificate(subject={render.text(self.subject, 80)}, pin={self.pin})"

    def _repr_html_(self) -> str:
        return render.table(("field", "value"), self._rows(), "Certificate")


_PEM = re.compile(
    r"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.*?)-----END (?:X509 |TRUSTED )?CERTIFICATE-----", re.DOTALL
)


def pem_blocks(pem: str) -> list[bytes]:
    """The DER of each CERTIFICATE block of a text, in order, whatever stands around them.

    Raises:
        InputError: The base64 of a block is broken.
    """
    found = []
    for match in _PEM.finditer(pem):
        try:
            found.append(base64.b64decode("".join(match[1].split()), validate=True))
        except (binascii.Error, ValueError) as error:
            line = pem[: match.start()].count("\n") + 1
            raise InputError(
                f"the CERTIFICATE block at line {line} is not base64: {render.text(error, 80)}",
                "copy the block again, whole, from BEGIN to END",
            ) from None
    return found
