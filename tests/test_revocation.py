from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from forge import EPOCH, Identity, root

from irkit.chain import Chain
from irkit.revocation import check_revocation

AT = EPOCH + timedelta(days=5)
CA = root("Revocation Root").issue(cn="Revocation CA", ca=True)
LEAF, OTHER = CA.issue("r.test"), CA.issue("other.test")
STRANGER = root("Revocation Root").issue(cn="Revocation CA", ca=True)  # the same names, other keys


def staple(status: Any, *, of: Identity = LEAF, by: Identity = CA, at: datetime = AT, sent: bool = False) -> Chain:
    revoked = at if status is ocsp.OCSPCertStatus.REVOKED else None
    reason = x509.ReasonFlags.key_compromise if revoked else None
    builder = ocsp.OCSPResponseBuilder().add_response(
        of.x509, CA.x509, hashes.SHA1(), status, at, at + timedelta(days=3), revoked, reason
    )  # fmt: skip
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, by.x509)
    builder = builder.certificates([by.x509]) if sent else builder
    raw = builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)
    return Chain(LEAF.chain.certificates, replace(LEAF.chain.obtained, ocsp=raw))


def crl(*serials: int, by: Identity = CA, at: datetime = AT) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(by.x509.subject).last_update(at)
    builder = builder.next_update(at + timedelta(days=3))
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)


GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


def test_a_staple_by_the_issuer_counts() -> None:
    assert check_revocation(staple(GOOD), at=AT).answer == "good"
    found = check_revocation(staple(REVOKED), at=AT)
    assert (found.answer, found.at) == ("revoked", AT)
    assert found.reason.endswith("says revoked at 2026-11-06 00:00 UTC for keyCompromise")


def test_a_staple_in_the_issuers_name_needs_its_leave() -> None:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
    delegate = CA.issue(cn="Responder", ca=True, extensions=((usage, False),))
    assert check_revocation(staple(GOOD, by=delegate, sent=True), at=AT).answer == "good"
    assert check_revocation(staple(GOOD, by=OTHER, sent=True), at=AT).answer == "unknown"


@pytest.mark.parametrize(
    ("chain", "when", "says"),
    [
        (staple(GOOD, by=STRANGER), AT, "neither by the issuer"),
        (staple(GOOD, by=STRANGER, sent=True), AT, "neither by the issuer"),
        (staple(GOOD, of=OTHER), AT, "another certificate"),
        (staple(GOOD), AT + timedelta(days=4), "out of date"),
        (staple(GOOD), AT - timedelta(days=1), "not valid before"),
        (staple(ocsp.OCSPCertStatus.UNKNOWN), AT, "does not know"),
        (LEAF.chain, AT, "no OCSP response was stapled"),
        (Chain(staple(GOOD)[:1], staple(GOOD).obtained), AT, "issuer was not presented"),
        (Chain(LEAF.chain.certificates, replace(LEAF.chain.obtained, ocsp=b"junk")), AT, "can't be read"),
    ],
)
def test_what_can_t_be_relied_on_is_unknown(chain: Chain, when: datetime, says: str) -> None:
    found = check_revocation(chain, at=when)
    assert (found.answer, says in found.reason) == ("unknown", True), found.reason


def test_a_crl_by_the_issuer_counts_and_no_other() -> None:
    serial = LEAF.x509.serial_number
    assert check_revocation(LEAF.chain, crls=[crl(serial)], at=AT).answer == "revoked"
    assert check_revocation(LEAF.chain, crls=[crl(1)], at=AT).answer == "good"
    assert check_revocation(LEAF.chain, crls=[crl(serial, by=STRANGER)], at=AT).answer == "unknown"
    assert check_revocation(LEAF.chain, crls=[crl(1), crl(1, at=AT - timedelta(days=9))], at=AT).answer == "good"
    assert check_revocation(LEAF.chain, crls=[b"junk"], at=AT).answer == "unknown"


def test_one_source_that_says_revoked_outweighs_one_that_says_good() -> None:
    assert check_revocation(staple(GOOD), crls=[crl(LEAF.x509.serial_number)], at=AT).answer == "revoked"
