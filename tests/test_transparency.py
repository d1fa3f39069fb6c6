from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto.core import ParsableOctetString
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from forge import EPOCH, Identity, make_key, root

from irkit.chain import Chain
from irkit.errors import InputError
from irkit.revocation import check_revocation
from irkit.transparency import Log, LogList, SctCheck, check_scts, load_logs

AT = EPOCH + timedelta(days=5)
CA = root("CT Root").issue(cn="CT CA", ca=True)
KEY = make_key()
SPKI = KEY.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)  # fmt: skip
LOGS = LogList("a test", {hashlib.sha256(SPKI).digest(): Log("a log", SPKI, "An operator")})
OID = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def vector(data: bytes, size: int = 2) -> bytes:
    return len(data).to_bytes(size, "big") + data


def sct(entry: bytes, at: datetime = EPOCH) -> bytes:
    stamp = int(at.timestamp() * 1000).to_bytes(8, "big")
    signature = KEY.sign(b"\0\0" + stamp + entry + b"\0\0", ec.ECDSA(hashes.SHA256()))
    return b"\0" + hashlib.sha256(SPKI).digest() + stamp + b"\0\0\4\3" + vector(signature)


def embedded(entry: bytes | None = None) -> Chain:
    """A leaf with one SCT in it; over its own precertificate unless told otherwise."""
    key, days = make_key(), 90
    plain = CA.issue("ct.test", key=key, serial=77, days=days)
    own = b"\0\1" + hashlib.sha256(CA.certificate.spki or b"").digest() + vector(plain.x509.tbs_certificate_bytes, 3)
    listed = vector(vector(sct(own if entry is None else entry)))
    octets = b"\x04" + (b"\x81" if len(listed) > 127 else b"") + bytes([len(listed)]) + listed
    extension = x509.UnrecognizedExtension(OID, octets)
    return CA.issue("ct.test", key=key, serial=77, days=days, extensions=((extension, False),)).chain


def stapled(leaf: Identity, scts: bytes) -> Chain:
    """With an OCSP response that says good and carries SCTs (RFC 6962, section 3.3); no library makes one whole."""
    made = ocsp.OCSPResponseBuilder().add_response(
        leaf.x509, CA.x509, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, EPOCH, EPOCH + timedelta(days=9), None, None
    )  # fmt: skip
    made = made.responder_id(ocsp.OCSPResponderEncoding.NAME, CA.x509)
    raw = made.sign(CA.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    response = asn1_ocsp.OCSPResponse.load(raw)
    basic = response["response_bytes"]["response"].parsed
    single = basic["tbs_response_data"]["responses"][0]
    single["single_extensions"] = [{"extn_id": "1.3.6.1.4.1.11129.2.4.5", "critical": False, "extn_value": scts}]
    signed = basic["tbs_response_data"].dump(force=True)
    basic["signature"] = CA.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    response["response_bytes"]["response"] = ParsableOctetString(basic.dump(force=True))
    return Chain(leaf.chain.certificates, replace(leaf.chain.obtained, ocsp=response.dump(force=True)))


def test_an_sct_in_the_certificate_is_checked_against_its_log() -> None:
    assert check_scts(embedded(), LOGS, at=AT) == (SctCheck("a log", EPOCH, "certificate", "valid", "", "An operator"),)
    (wrong,) = check_scts(embedded(b"\0\0" + vector(b"another", 3)), LOGS, at=AT)
    assert (wrong.answer, wrong.reason) == ("invalid", "it is not signed by that log for this certificate")
    (alone,) = check_scts(Chain(embedded()[:1]), LOGS, at=AT)
    assert (alone.answer, "issuer was not presented" in alone.reason) == ("unknown", True)
    (future,) = check_scts(embedded(), LOGS, at=EPOCH - timedelta(hours=1))
    assert future.answer == "invalid"
    (stranger,) = check_scts(embedded(), load_logs(), at=AT)
    assert (stranger.answer, "no such log" in stranger.reason) == ("unknown", True)


def test_an_sct_delivered_by_tls_is_checked() -> None:
    chain = CA.issue("tls.test").chain
    for entry, answer in ((chain.leaf.der, "valid"), (b"another", "invalid")):
        raw = vector(vector(sct(b"\0\0" + vector(entry, 3))))
        (found,) = check_scts(Chain(chain.certificates, replace(chain.obtained, scts=raw)), LOGS, at=AT)
        assert (found.delivered, found.answer) == ("tls", answer)


@pytest.mark.parametrize("raw", [b"", b"\0", b"\0\5\0\3abc", b"\xff" * 40])
def test_a_malformed_list_is_said_and_no_sct(raw: bytes) -> None:
    chain = CA.issue("bad.test").chain
    found = check_scts(Chain(chain.certificates, replace(chain.obtained, scts=raw)), LOGS, at=AT)
    assert [check.answer for check in found] == ["invalid"]


def test_a_chain_without_scts_has_no_checks() -> None:
    assert check_scts(CA.issue("none.test").chain, LOGS, at=AT) == ()


def test_every_log_of_the_snapshot_has_the_id_of_its_key() -> None:
    document = json.loads((Path(__file__).parent.parent / "irkit" / "ct_logs.json").read_text())
    logs = [log for operator in document["operators"] for log in operator["logs"]]
    assert len(logs) == len(load_logs().logs) == 54
    for log in logs:
        assert hashlib.sha256(base64.b64decode(log["key"])).digest() == base64.b64decode(log["log_id"])
        assert set(log["temporal_interval"]) == {"start_inclusive", "end_exclusive"}
    assert load_logs().source == "the log list that ships with irkit, of 2026-08-29"
    oak = next(log for log in load_logs().logs.values() if "Oak2026h2" in log.name)
    assert (oak.operator, oak.state, oak.since) == ("Let's Encrypt", "retired", datetime(2026, 2, 28, tzinfo=UTC))


def listed(**more: Any) -> dict[str, Any]:
    """A log list of version 3 with the test's log in it, as Google writes them."""
    entry = {"description": "a log", "key": base64.b64encode(SPKI).decode(), "url": "https://log.test/", "mmd": 86400}
    identity = base64.b64encode(hashlib.sha256(SPKI).digest()).decode()
    operator = {"name": "An operator", "email": [], "logs": [], "tiled_logs": [entry | {"log_id": identity} | more]}
    return {"version": "3.1", "log_list_timestamp": "2026-11-03T00:00:00Z", "operators": [operator]}


def interval(start: datetime, end: datetime) -> dict[str, str]:
    return {"start_inclusive": f"{start:%Y-%m-%dT00:00:00Z}", "end_exclusive": f"{end:%Y-%m-%dT00:00:00Z}"}


EXPIRY = EPOCH + timedelta(days=90)
RETIRED = "2026-11-01T00:00:00Z"  # the moment of the SCT, which is then too late


@pytest.mark.parametrize(
    ("more", "answer", "says"),
    [
        ({}, "valid", ""),
        ({"state": {"usable": {"timestamp": "2026-01-01T00:00:00Z"}}}, "valid", ""),
        ({"state": {"qualified": {"timestamp": "2026-01-01T00:00:00Z"}}}, "valid", ""),
        ({"state": {"readonly": {"timestamp": RETIRED, "final_tree_head": {"tree_size": 7}}}}, "valid", ""),
        ({"state": {"retired": {"timestamp": RETIRED}}}, "disqualified",
         "the log was retired on 2026-11-01, before it signed this"),
        ({"state": {"retired": {"timestamp": "2026-11-02T00:00:00Z"}}}, "valid", ""),
        ({"state": {"retired": {}}}, "disqualified", "the log was retired"),
        ({"state": {"rejected": {"timestamp": "2026-11-02T00:00:00Z"}}}, "disqualified",
         "the log was rejected on 2026-11-02"),
        ({"state": {"pending": {"timestamp": "2026-01-01T00:00:00Z"}}}, "disqualified",
         "the log is not accepted by clients yet"),
        ({"temporal_interval": interval(EXPIRY - timedelta(days=9), EXPIRY + timedelta(days=9))}, "valid", ""),
        ({"temporal_interval": interval(EXPIRY, EXPIRY + timedelta(days=1))}, "valid", ""),
        ({"temporal_interval": interval(EPOCH, EXPIRY)}, "disqualified",
         "the certificate expires on 2027-01-30, and the log takes what expires from 2026-11-01 to 2027-01-29"),
    ],
)  # fmt: skip
def test_a_log_s_state_and_interval_decide_whether_its_sct_counts(
    tmp_path: Path, more: dict[str, Any], answer: str, says: str
) -> None:
    (tmp_path / "logs.json").write_text(json.dumps(listed(**more)))
    logs = load_logs(tmp_path / "logs.json")
    assert logs.at == datetime(2026, 11, 3, tzinfo=UTC)
    (found,) = check_scts(embedded(), logs, at=AT)
    assert (found.log, found.operator, found.answer, found.reason) == ("a log", "An operator", answer, says)


def test_a_list_without_a_log_s_key_knows_it_by_name_only(tmp_path: Path) -> None:
    document = listed()
    del document["operators"][0]["tiled_logs"][0]["key"]
    (tmp_path / "logs.json").write_text(json.dumps(document))
    (found,) = check_scts(embedded(), load_logs(tmp_path / "logs.json"), at=AT)
    assert (found.log, found.answer, "without its key" in found.reason) == ("a log", "unknown", True)


def test_an_sct_in_the_stapled_ocsp_response_is_checked() -> None:
    leaf = CA.issue("staple.test")
    raw = vector(vector(sct(b"\0\0" + vector(leaf.certificate.der, 3))))
    for content, answer in ((raw, "valid"), (vector(vector(sct(b"another"))), "invalid")):
        chain = stapled(leaf, content)
        (found,) = check_scts(chain, LOGS, at=AT)
        assert check_revocation(chain, at=AT).answer == "good"
        assert (found.delivered, found.answer, found.log) == ("ocsp", answer, "a log")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"operators": [{"logs": [{"key": "!"}]}]}', '{"operators": 1}'])
def test_a_file_that_is_no_log_list_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "logs.json").write_text(content)
    with pytest.raises(InputError, match="no log list"):
        load_logs(tmp_path / "logs.json")


def test_times_are_utc() -> None:
    (found,) = check_scts(embedded(), LOGS, at=AT)
    assert found.at is not None
    assert found.at.tzinfo is UTC
