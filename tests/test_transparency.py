from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from forge import EPOCH, make_key, root

from irkit.chain import Chain
from irkit.errors import InputError
from irkit.transparency import LogList, SctCheck, check_scts, load_logs

AT = EPOCH + timedelta(days=5)
CA = root("CT Root").issue(cn="CT CA", ca=True)
KEY = make_key()
SPKI = KEY.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)  # fmt: skip
LOGS = LogList("a test", {hashlib.sha256(SPKI).digest(): ("a log", SPKI)})
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


def test_an_sct_in_the_certificate_is_checked_against_its_log() -> None:
    assert check_scts(embedded(), LOGS, at=AT) == (SctCheck("a log", EPOCH, "certificate", "valid"),)
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
    assert "Chromium 150" in load_logs().source
    assert "2026" in load_logs().source


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"operators": [{"logs": [{"key": "!"}]}]}', '{"operators": 1}'])
def test_a_file_that_is_no_log_list_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "logs.json").write_text(content)
    with pytest.raises(InputError, match="no log list"):
        load_logs(tmp_path / "logs.json")


def test_times_are_utc() -> None:
    (found,) = check_scts(embedded(), LOGS, at=AT)
    assert found.at is not None
    assert found.at.tzinfo is UTC
