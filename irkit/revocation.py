"""Is a leaf revoked, by the OCSP response that its server stapled, or by a CRL at hand? Nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from irkit.certificate import Certificate, unwarned
from irkit.chain import Chain
from irkit.signature import signs
from irkit.trust import issuers

__all__ = ["Revocation", "check_revocation"]


@dataclass(frozen=True, slots=True)
class Revocation:
    """What is known of a leaf's revocation.

    Attributes:
        answer: `revoked`, `good`, or `unknown` where nothing at hand says it, or what does is not to be trusted.
        reason: In a sentence.
        at: When it was revoked, aware UTC.
    """

    answer: Literal["good", "revoked", "unknown"]
    reason: str
    at: datetime | None = None


@unwarned()
def check_revocation(
    chain: Chain, *, crls: Iterable[bytes] = (), at: datetime | None = None, extra: Iterable[Certificate] = ()
) -> Revocation:
    """What the stapled OCSP response and CRLs say of the leaf; one that says revoked outweighs the rest.

    Args:
        chain: As captured; its `obtained.ocsp` is the staple. The leaf's issuer has to be in it, or in `extra`.
        crls: DER or PEM.
        at: When, aware; default: now.
        extra: More certificates, such as roots, among which the leaf's issuer may be.
    """
    now = at or datetime.now(UTC)
    issuer = next(iter(issuers(chain.leaf, (*chain[1:], *extra))), None)
    sources = ([] if chain.obtained.ocsp is None else [chain.obtained.ocsp], list(crls))
    if not any(sources):
        return Revocation("unknown", "no OCSP response was stapled, and no CRL was given")
    if issuer is None or issuer.x509 is None or chain.leaf.x509 is None:
        return Revocation("unknown", "the leaf's issuer was not presented: nothing that it signed can be checked")
    found = [_guarded(_ocsp, raw, chain.leaf, issuer, now) for raw in sources[0]]
    found += [_guarded(_crl, raw, chain.leaf, issuer, now) for raw in sources[1]]
    rank = {"revoked": 0, "good": 1, "unknown": 2}
    return min(found, key=lambda one: rank[one.answer])


def _guarded(check: Any, raw: bytes, leaf: Certificate, issuer: Certificate, now: datetime) -> Revocation:
    what = "the stapled OCSP response" if check is _ocsp else "the CRL"
    try:
        found: Revocation = check(raw, leaf.x509, issuer.x509, now)
    except Exception:  # noqa: BLE001 - it comes from outside, and breaks the library in many ways
        return Revocation("unknown", f"{what} can't be read, or its signature can't be checked")
    return found


def _in_time(start: datetime | None, end: datetime | None, now: datetime, what: str) -> str:
    if start is not None and now < start:
        return f"{what} is not valid before {start:%Y-%m-%d %H:%M} UTC"
    if end is not None and now > end:
        return f"{what} is out of date since {end:%Y-%m-%d %H:%M} UTC"
    return ""


def _ocsp(raw: bytes, leaf: Any, issuer: Any, now: datetime) -> Revocation:
    """RFC 6960, section 3.2."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509 import ocsp

    response = ocsp.load_der_ocsp_response(raw)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return Revocation("unknown", f"the responder answered {response.response_status.name.lower()}")
    digest = hashes.Hash(response.hash_algorithm)
    digest.update(issuer.subject.public_bytes())
    if response.serial_number != leaf.serial_number or response.issuer_name_hash != digest.finalize():
        return Revocation("unknown", "the stapled OCSP response is for another certificate")
    signers = [issuer, *(c for c in response.certificates if _delegated(c, issuer, now))]
    signed = (response.signature, response.tbs_response_bytes, response.signature_hash_algorithm)
    if not any(signs(one.public_key(), *signed) for one in signers):
        return Revocation("unknown", "the stapled OCSP response is signed neither by the issuer nor in its name")
    what = "the stapled OCSP response"
    if wrong := _in_time(response.this_update_utc, response.next_update_utc, now, what):
        return Revocation("unknown", wrong)
    if response.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return Revocation("good", f"{what} of {response.this_update_utc:%Y-%m-%d %H:%M} UTC says good")
    if response.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        when = response.revocation_time_utc
        why = f" for {response.revocation_reason.value}" if response.revocation_reason else ""
        return Revocation("revoked", f"{what} says revoked at {when:%Y-%m-%d %H:%M} UTC{why}", when)
    return Revocation("unknown", f"{what} says that the responder does not know it")


def _delegated(responder: Any, issuer: Any, now: datetime) -> bool:
    """Whether the issuer lets this certificate answer in its name (RFC 6960, section 4.2.2.2)."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        responder.verify_directly_issued_by(issuer)
        usage = responder.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except Exception:  # noqa: BLE001 - it may be anyone's certificate
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage and (
        responder.not_valid_before_utc <= now <= responder.not_valid_after_utc
    )


def _crl(raw: bytes, leaf: Any, issuer: Any, now: datetime) -> Revocation:
    """RFC 5280, section 6.3."""
    from cryptography import x509

    crl = x509.load_pem_x509_crl(raw) if raw.lstrip().startswith(b"-----") else x509.load_der_x509_crl(raw)
    if crl.issuer != issuer.subject or not crl.is_signature_valid(issuer.public_key()):
        return Revocation("unknown", "the CRL is not by the leaf's issuer")
    entry = crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
    if entry is not None and entry.revocation_date_utc <= now:
        return Revocation(
            "revoked", f"the CRL says revoked at {entry.revocation_date_utc:%Y-%m-%d %H:%M} UTC",
            entry.revocation_date_utc,
        )  # fmt: skip
    if wrong := _in_time(crl.last_update_utc, crl.next_update_utc, now, "the CRL"):
        return Revocation("unknown", wrong)
    odd = {x509.IssuingDistributionPoint.oid, x509.DeltaCRLIndicator.oid} & {e.oid for e in crl.extensions}
    if odd:
        return Revocation("unknown", "the CRL covers only some of its issuer's certificates, and this is not in it")
    return Revocation("good", f"the CRL of {crl.last_update_utc:%Y-%m-%d %H:%M} UTC does not list it")
