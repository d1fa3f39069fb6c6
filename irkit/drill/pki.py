"""The rehearsal's certificate authorities: made anew for every drill, good for nothing outside it."""

from __future__ import annotations

import hashlib
import ssl
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from irkit.certificate import Certificate, Pin

__all__ = ["Credential", "authority", "new_key", "pin_of"]

_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def new_key(dice: Random | None = None) -> ec.EllipticCurvePrivateKey:
    """A new P-256 key; with `dice`, always the same one for the same seed. Such a key guards nothing."""
    if dice is None:
        return ec.generate_private_key(ec.SECP256R1())
    return ec.derive_private_key(dice.getrandbits(254) + 1, ec.SECP256R1())


def pin_of(key: Any) -> Pin:
    """The SPKI pin of a key."""
    from cryptography.hazmat.primitives.serialization import PublicFormat

    return Pin.of(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate with its private key.

    Attributes:
        signed: The certificate.
        key: Its private key.
        above: What a server presents after it, in order, without the root.
    """

    signed: x509.Certificate
    key: Any
    above: tuple[x509.Certificate, ...] = ()

    @property
    def certificate(self) -> Certificate:
        """The certificate as irkit reads it."""
        return Certificate.from_der(self.signed.public_bytes(Encoding.DER))

    def issue(
        self,
        name: str,
        *,
        at: datetime,
        days: int,
        key: Any = None,
        ca: bool = False,
        subject: x509.Name | None = None,
    ) -> Credential:
        """Signs a certificate: a server's for a host, or with `ca` an intermediate called `name`.

        Args:
            name: Host, or the CA's common name.
            at: notBefore, aware.
            days: From notBefore to notAfter.
            key: The subject's key; a new one when left out.
            ca: Whether it may issue certificates itself.
            subject: The whole name, for a cross-signed CA.
        """
        key = key or new_key()
        signed = _sign(subject or name, key, self.signed.subject, self.key, at=at, days=days, ca=ca)
        above = () if self.signed.issuer == self.signed.subject else (self.signed, *self.above)
        return Credential(signed, key, above)

    def context(self) -> ssl.SSLContext:
        """A server context that presents this chain."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # ssl reads keys from files only; this one is 0600
            file.write(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            for signed in (self.signed, *self.above):
                file.write(signed.public_bytes(Encoding.PEM))
            file.flush()
            context.load_cert_chain(file.name)
        return context


def authority(name: str, organisation: str, *, at: datetime, days: int = 3650, key: Any = None) -> Credential:
    """A self-signed root CA."""
    key = key or new_key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    return Credential(_sign(subject, key, subject, key, at=at, days=days, ca=True), key)


def _sign(
    subject: str | x509.Name,
    key: Any,
    issuer: x509.Name,
    signer: Any,
    *,
    at: datetime,
    days: int,
    ca: bool,
) -> x509.Certificate:
    """A certificate with the extensions that RFC 5280, section 4.2 asks for."""
    host = subject if isinstance(subject, str) and not ca else ""
    if isinstance(subject, str):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    allowed = {"digital_signature", "key_cert_sign", "crl_sign"} if ca else {"digital_signature"}
    # Of what is signed: the same seed gives the same certificate, byte for byte.
    told = f"{subject}{issuer}{at}{days}".encode() + pin_of(key).digest
    serial = int.from_bytes(hashlib.sha256(told).digest()[:16], "big") | 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(at)
        .not_valid_after(at + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{usage: usage in allowed for usage in _USAGES}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if host:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    deterministic = True if isinstance(signer, ec.EllipticCurvePrivateKey) else None
    return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=deterministic)
