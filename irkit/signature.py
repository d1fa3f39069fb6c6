"""Did this key sign that? Old hashes are checked, too: what is weak is said so, and not called a forgery."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, Literal

from irkit.certificate import Certificate

__all__ = ["algorithm_of", "relation", "signed_with", "signs"]

Relation = Literal["signed", "weak", "unknown", "no"]

WEAK = frozenset({"md2", "md4", "md5", "sha1"})


def signs(key: Any, signature: bytes, content: bytes, algorithm: Any, parameters: Any = None) -> bool:
    """Whether a public key's signature of some content is right.

    Args:
        key: As cryptography loads it.
        signature: As the certificate, CRL or response has it.
        content: What was signed.
        algorithm: The hash; None for a kind of key that has its own.
        parameters: The padding of RSA; default: PKCS #1 v1.5.

    Raises:
        Exception: The library does not know the key or the algorithm, each in its own way.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa

    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, content, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, parameters or padding.PKCS1v15(), algorithm)
        elif isinstance(key, dsa.DSAPublicKey):
            key.verify(signature, content, algorithm)
        else:
            key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def signed_with(certificate: Certificate) -> str:
    """The hash of a certificate's signature, as `sha256`; empty where there is none or it can't be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (
                "" if certificate.x509 is None else str(getattr(certificate.x509.signature_hash_algorithm, "name", ""))
            )
    except Exception:  # noqa: BLE001 - an odd algorithm raises one of many kinds
        return ""


def algorithm_of(certificate: Certificate) -> str:
    """A certificate's signature algorithm, as `sha256WithRSAEncryption`, or its OID; `unreadable` where it is."""
    try:
        oid = certificate.x509.signature_algorithm_oid if certificate.x509 is not None else None
    except Exception:  # noqa: BLE001 - as in signed_with
        oid = None
    name = getattr(oid, "_name", "")
    return "unreadable" if oid is None else oid.dotted_string if name in {"", "Unknown OID"} else str(name)


@lru_cache(maxsize=16384)
def relation(certificate: Certificate, issuer: Certificate) -> Relation:
    """Whether the second certificate's key signed the first.

    Returns:
        `signed`; `weak` where it did with MD5 or SHA-1, which proves little; `no`; or `unknown` where the key or the
        algorithm is of a kind that can't be checked. Names, dates and rights are not looked at.
    """
    child, above = certificate.x509, issuer.x509
    if child is None or above is None:
        return "unknown"
    try:
        right = signs(
            above.public_key(), child.signature, child.tbs_certificate_bytes, child.signature_hash_algorithm,
            child.signature_algorithm_parameters if child.signature_algorithm_oid.dotted_string == _PSS else None,
        )  # fmt: skip
    except Exception:  # noqa: BLE001 - as the docstring of signs says
        return "unknown"
    return ("weak" if signed_with(certificate) in WEAK else "signed") if right else "no"


_PSS = "1.2.840.113549.1.1.10"
