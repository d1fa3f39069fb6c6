"""Certificates made in code: what the tests need and no library makes, such as same-key renewals and cross-signs."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from irkit.certificate import Certificate
from irkit.chain import Chain, Obtained

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)  # when forged certificates begin to be valid, unless told otherwise


def make_key(kind: str = "ec") -> Any:
    """A private key: ec, ec384, rsa, rsa4096, ed25519, ed448, dsa."""
    makers = {
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ec384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "rsa4096": lambda: rsa.generate_private_key(65537, 4096),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
        "dsa": lambda: dsa.generate_private_key(2048),
    }
    return makers[kind]()


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key and the certificates that go above it when it is served."""

    x509: x509.Certificate
    key: Any
    above: tuple[x509.Certificate, ...] = ()

    @property
    def certificate(self) -> Certificate:
        return Certificate.from_der(self.x509.public_bytes(serialization.Encoding.DER))

    @property
    def chain(self) -> Chain:
        """As a server presents it: the leaf and what goes above it, without the root."""
        ders = [c.public_bytes(serialization.Encoding.DER) for c in (self.x509, *self.above)]
        return Chain(tuple(Certificate.from_der(der) for der in ders), Obtained("file", "forged"))

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def chain_pem(self) -> str:
        return self.chain.pem()

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Writes NAME.pem and NAME.key, as servers want them."""
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        cert.write_text(self.chain_pem)
        key.write_bytes(self.key_pem)
        return cert, key

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            cert, key = self.write(Path(folder), "server")
            context.load_cert_chain(cert, key)
        return context

    def issue(  # each is what some test needs to be odd
        self,
        *names: str,
        cn: str | None = None,
        ca: bool = False,
        key: Any = None,
        not_before: datetime = EPOCH,
        days: float = 90,
        serial: int | None = None,
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
        path_length: int | None = None,
    ) -> Identity:
        """A certificate signed by this one: a leaf for the names, or with ca=True an intermediate called `cn`."""
        key = key or make_key()
        above = (self.x509, *self.above) if self.x509.issuer != self.x509.subject else ()
        made = _build(
            names, cn or (names[0] if names else "unnamed"), key, self.x509.subject, self.key, ca=ca,
            not_before=not_before, days=days, serial=serial, extensions=extensions, path_length=path_length,
            issuer_public=self.key.public_key(),
        )  # fmt: skip
        return Identity(made, key, above)


def root(cn: str = "Forge Root", *, key: Any = None, not_before: datetime = EPOCH, days: float = 3650) -> Identity:
    """A self-signed CA."""
    key = key or make_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    made = _build((), cn, key, name, key, ca=True, not_before=not_before, days=days, issuer_public=key.public_key())
    return Identity(made, key)


def self_signed(*names: str, key: Any = None, not_before: datetime = EPOCH, days: float = 90) -> Identity:
    """A leaf that signed itself."""
    key = key or make_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    made = _build(names, names[0], key, name, key, ca=False, not_before=not_before, days=days,
                  issuer_public=key.public_key())  # fmt: skip
    return Identity(made, key)


def cross_sign(subject: Identity, issuer: Identity) -> Certificate:
    """The subject's name and key, signed by another CA."""
    made = (
        x509.CertificateBuilder()
        .subject_name(subject.x509.subject)
        .issuer_name(issuer.x509.subject)
        .public_key(subject.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(EPOCH)
        .not_valid_after(EPOCH + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer.key, hashes.SHA256())
    )
    return Certificate.from_der(made.public_bytes(serialization.Encoding.DER))


def _build(
    names: tuple[str, ...],
    cn: str,
    key: Any,
    issuer: x509.Name,
    signer: Any,
    *,
    ca: bool,
    not_before: datetime,
    days: float,
    issuer_public: Any,
    serial: int | None = None,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    path_length: int | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn[:64])]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_before + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=ca,
                crl_sign=ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    plain = not isinstance(signer, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey)
    return builder.sign(signer, None if plain else hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
