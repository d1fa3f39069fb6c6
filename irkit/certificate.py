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
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self

from irkit import fields, render
from irkit.errors import InputError

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Certificate", "Pin", "pem_blocks", "unwarned"]


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """The hash of a certificate's SubjectPublicKeyInfo (RFC 7469, section 2.4).

    Attributes:
        digest: 32 bytes for SHA-256, 20 for the SHA-1 that OkHttp still reads, 16 for the MD5 that urllib3 does.
        algorithm: `sha256`, `sha1` or `md5`.
    """

    digest: bytes
    algorithm: Literal["sha256", "sha1", "md5"] = "sha256"

    def __post_init__(self) -> None:
        wanted = {"sha256": 32, "sha1": 20, "md5": 16}[self.algorithm]
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


@contextmanager
def unwarned() -> Iterator[None]:
    """Keeps the library's warnings of odd certificates, as of serial number 0, to itself: irkit says what is odd."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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

    def read(what: str, get: Callable[[x509.Certificate], Any], leniently: Callable[[bytes], Any]) -> Any:
        """By the library, or where that refuses, from its place in the DER."""
        failed = ""
        if parsed is not None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return get(parsed)
            except Exception as error:  # noqa: BLE001 - parsing is lazy and raises many kinds; the field is described
                failed = f"{what} does not parse: {render.text(error, 120)}"
        value = leniently(der)
        if failed or value is None:
            problems.append(failed or f"{what} can't be read")
        return value

    found = _Fields(
        subject=read("the subject", lambda c: c.subject.rfc4514_string(), fields.read_name),
        issuer=read("the issuer", lambda c: c.issuer.rfc4514_string(), lambda d: fields.read_name(d, issuer=True)),
        serial=read("the serial number", lambda c: c.serial_number, fields.read_serial),
        not_before=read("notBefore", lambda c: c.not_valid_before_utc, fields.read_time),
        not_after=read("notAfter", lambda c: c.not_valid_after_utc, lambda d: fields.read_time(d, after=True)),
        dns_names=read("subjectAltName", _dns_names, fields.read_names) or (),
        is_ca=read("basicConstraints", _is_ca, fields.read_is_ca),
        key=read("the key", _describe_key, _describe_spki) or "a key of unknown kind",
        problems=(),
    )
    if fields.cut_spki(der) is None:
        problems.append("no SubjectPublicKeyInfo where a certificate has one: it has no pin")
    return replace(found, problems=tuple(problems))


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
    return _kind(parsed.public_key())


def _describe_spki(der: bytes) -> str | None:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        return _kind(load_der_public_key(fields.cut_spki(der) or b""))
    except Exception:  # noqa: BLE001 - an odd key raises one of many kinds; its algorithm can be named still
        return fields.read_key(der)


def _kind(key: object) -> str:
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
        return fields.cut_spki(self.der)

    @property
    def pin(self) -> Pin | None:
        """SHA-256 of `spki` (RFC 7469, section 2.4); None where there is none."""
        spki = fields.cut_spki(self.der)
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
        import ssl

        return ssl.DER_cert_to_PEM_cert(self.der)

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
