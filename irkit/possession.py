"""Did the server show that it holds the leaf's key? Checks what it signed in its first flight."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from irkit import iana
from irkit.certificate import Certificate
from irkit.messages import Signed

__all__ = ["Possession", "check_possession"]

Possession = Literal["proven", "disproven", "unproven"]

_HASHES: dict[str, type[Any]] = {
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


def check_possession(leaf: bytes, signed: Signed | None) -> tuple[Possession, str]:
    """Verifies the server's signature under the leaf's key.

    Args:
        leaf: DER of the first certificate presented.
        signed: ServerKeyExchange or CertificateVerify; None where there was none.

    Returns:
        `proven`, `disproven` (the signature is another key's) or `unproven`, with the reason for the last two.
    """
    if signed is None:
        return "unproven", "the server signed nothing before Certificate ended"
    try:
        key = _key(leaf)
        _verify(key, signed)
    except (InvalidSignature, TypeError):
        return "disproven", f"what the server signed ({iana.scheme_name(signed.scheme)}) is not by the leaf's key"
    except Exception:  # noqa: BLE001 - keys and schemes are the server's choice; the library raises many kinds
        return "unproven", f"no way here to check {iana.scheme_name(signed.scheme)} with the leaf's key"
    return "proven", ""


def _key(leaf: bytes) -> Any:
    parsed = Certificate(leaf).x509
    if parsed is not None:
        return parsed.public_key()
    spki = Certificate(leaf).spki
    if spki is None:
        raise ValueError("no key")
    return load_der_public_key(spki)


def _verify(key: Any, signed: Signed) -> None:
    """Raises InvalidSignature for another key's signature, TypeError for a scheme of another kind of key."""
    name = iana.scheme_name(signed.scheme)
    if signed.scheme == 0:
        _verify_before_12(key, signed)
    elif name in {"ed25519", "ed448"}:
        _expect(key, ed25519.Ed25519PublicKey if name == "ed25519" else ed448.Ed448PublicKey)
        key.verify(signed.signature, signed.content)
    elif name.startswith("mldsa"):
        if not type(key).__name__.startswith("MLDSA"):
            raise TypeError(name)
        key.verify(signed.signature, signed.content)
    else:
        algorithm = _HASHES[name.rsplit("_", 1)[1]]()
        if name.startswith("ecdsa"):
            _expect(key, ec.EllipticCurvePublicKey)
            key.verify(signed.signature, signed.content, ec.ECDSA(algorithm))
        elif name.startswith("rsa_pss"):
            _expect(key, rsa.RSAPublicKey)
            pss = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
            key.verify(signed.signature, signed.content, pss, algorithm)
        elif name.startswith("rsa_pkcs1"):
            _expect(key, rsa.RSAPublicKey)
            key.verify(signed.signature, signed.content, padding.PKCS1v15(), algorithm)
        else:
            _expect(key, dsa.DSAPublicKey)
            key.verify(signed.signature, signed.content, algorithm)


def _expect(key: Any, kind: type) -> None:
    if not isinstance(key, kind):
        raise TypeError(type(key).__name__)


def _verify_before_12(key: Any, signed: Signed) -> None:
    """TLS 1.0 and 1.1 (RFC 4346, section 4.7): RSA over MD5 and SHA-1 together, the others over SHA-1."""
    if isinstance(key, rsa.RSAPublicKey):
        md5 = hashlib.md5(signed.content, usedforsecurity=False).digest()
        both = md5 + hashlib.sha1(signed.content, usedforsecurity=False).digest()
        if key.recover_data_from_signature(signed.signature, padding.PKCS1v15(), None) != both:
            raise InvalidSignature
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signed.signature, signed.content, ec.ECDSA(hashes.SHA1()))  # noqa: S303 - what the protocol says
    else:
        key.verify(signed.signature, signed.content, hashes.SHA1())  # noqa: S303 - as above
