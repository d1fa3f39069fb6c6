"""What a chain is worth, said plainly, in the library, on the command line and in the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zoo
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from forge import EPOCH, Identity, root
from hypothesis import example, given
from hypothesis import strategies as st
from test_aia import giving, naming, server
from test_revocation import CA as REVOKER
from test_revocation import LEAF as REVOKED
from test_revocation import crl
from test_transparency import LOGS, embedded, listed

import irkit
from irkit import exhibits
from irkit.appraisal import appraise
from irkit.chain import Chain, Obtained
from irkit.cli import main
from irkit.evidence import Capture, Evidence, Observed
from irkit.history import read_history
from irkit.pins.keys import Inspection, Inventory
from irkit.trust import TrustStore

AT = EPOCH + timedelta(days=5)
ROOT = root("Appraisal Root")
CA = ROOT.issue(cn="Appraisal CA", ca=True)
LEAF = CA.issue("api.test")
STORE = TrustStore("own.pem", (ROOT.certificate,))


def seen(identity: Identity, host: str = "api.test", at: datetime = AT, **more: Any) -> Chain:
    return Chain(identity.chain.certificates, Obtained("handshake", host, at=at, host=host, port=443, **more))


def said(chain: Chain, **options: Any) -> str:
    return repr(appraise(chain, **{"trust": STORE, **options}))


def test_a_good_chain_says_by_which_path_to_which_roots_at_which_time() -> None:
    assert said(seen(LEAF)).splitlines()[:2] == [
        "trust:        verifies for api.test at 2026-11-06 00:00 UTC against the roots own.pem, by 1 path",
        "              CN=api.test < CN=Appraisal CA < CN=Appraisal Root",
    ]


def test_a_bad_chain_says_all_that_is_wrong_first_of_all_that_it_does_not_verify() -> None:
    shown = said(seen(LEAF), host="www.test", at=EPOCH + timedelta(days=99)).splitlines()
    assert shown[0].endswith("DOES NOT VERIFY for www.test at 2027-02-08 00:00 UTC against the roots own.pem: expired")
    assert [line.strip() for line in shown[1:3]] == [
        "CN=api.test expired at 2027-01-30 00:00 UTC", "the certificate is for api.test, not for www.test"
    ]  # fmt: skip


def test_the_host_is_whom_the_capture_asked_for() -> None:
    assert appraise(seen(LEAF, "192.0.2.1", server_name="api.test"), trust=STORE).verification.ok
    assert appraise(seen(LEAF, "192.0.2.1"), trust=STORE).verification.why == "name"
    assert appraise(seen(LEAF, "192.0.2.1"), "", trust=STORE).verification.ok


def test_scts_are_counted_with_their_logs_and_reasons() -> None:
    shown = said(embedded(), host="ct.test", at=AT, logs=LOGS)
    assert "SCTs:         1 of 1 valid, by logs of An operator" in shown
    assert "valid: a log, 2026-11-01 00:00 UTC, in the certificate" in shown
    assert "0 of 1 valid" in said(embedded(), host="ct.test", at=AT)


def test_a_crl_says_that_it_is_revoked() -> None:
    chain = Chain(REVOKED.chain.certificates, replace(REVOKED.chain.obtained, at=AT))
    assert "revocation:   REVOKED: the CRL says" in said(chain, host="", crls=[crl(REVOKED.x509.serial_number)])
    assert "revocation:   unknown: no OCSP response" in said(chain, host="")


def test_an_issuer_that_is_a_root_or_was_fetched_counts_for_scts_and_revocation() -> None:
    chain = embedded()
    alone = Chain(chain[:1], chain.obtained)
    store = TrustStore("own", (chain[1],))
    assert "1 of 1 valid" in said(alone, host="ct.test", at=AT, logs=LOGS, trust=store)
    assert "0 of 1 valid" in said(alone, host="ct.test", at=AT, logs=LOGS)
    leaf = Chain(REVOKED.chain[:1], REVOKED.chain.obtained)
    revoked = crl(REVOKED.x509.serial_number)
    assert "REVOKED" in said(leaf, at=AT, crls=[revoked], trust=TrustStore("own", (REVOKER.certificate,)))
    assert "issuer was not presented" in said(leaf, at=AT, crls=[revoked])


def zscaler() -> Identity:
    names = [(x509.NameOID.COMMON_NAME, "Zscaler Intermediate Root CA"),
             (x509.NameOID.ORGANIZATION_NAME, "Zscaler Inc.")]  # fmt: skip
    authority = root("Any")
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    built = x509.CertificateBuilder(
        name, name, authority.key.public_key(), 7, EPOCH, EPOCH + timedelta(days=90),
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)  # fmt: skip

    return Identity(built.sign(authority.key, hashes.SHA256()), authority.key)


def test_an_interception_is_recognised_and_an_allowed_one_named_as_such() -> None:
    box = zscaler()
    leaf = box.issue("api.test")
    chain = Chain((leaf.certificate, box.certificate), Obtained("file", ""))
    assert "looks like Zscaler, an inspection product, by its issuer's names, which anyone can copy" in said(
        chain, at=AT
    )
    assert box.certificate.pin is not None
    allowed = Inventory(inspections=(Inspection(box.certificate.pin, "the office proxy", ("AS64500",)),))
    assert "by the office proxy, which the inventory allows" in said(chain, at=AT, inventory=allowed, network="AS64500")
    assert "looks like Zscaler" in said(chain, at=AT, inventory=allowed)
    appended = Chain((CA.issue("api.test").certificate, box.certificate), Obtained("file", ""))
    assert "allows" not in said(appended, at=AT, inventory=allowed, network="AS64500")


def test_what_the_server_left_out_is_named_and_kept_apart() -> None:
    with server(giving(CA.certificate.der)) as (url, _):
        leaf = naming(url, by=CA)
        chain = Chain(leaf.chain.certificates, Obtained("handshake", "x", at=AT, host="aia.test", port=443))
        fetched = irkit.fetch_issuers(chain, STORE, allow_private=True)
    found = appraise(chain, trust=STORE, fetched=fetched)
    assert not found.verification.ok
    assert found.left_out == (CA.certificate,)
    assert "would verify if the server sent CN=Appraisal CA" in repr(found)
    assert ": incomplete chain\n" in repr(found)
    assert f"from {url}: CN=Appraisal CA" in repr(found)
    assert found.to_value()["left_out"] == [CA.certificate.sha256]
    assert len(chain) == 1
    alone = said(chain)
    assert "incomplete chain, or an unknown CA" in alone
    assert f"by its own word it can be had at {url} (not fetched)" in alone


@given(scts=st.binary(max_size=200), ocsp=st.binary(max_size=200), crl_bytes=st.binary(max_size=200))
@example(scts=b"\x00\x2f\x00\x2d" + bytes(45), ocsp=b"0\x80", crl_bytes=b"-----BEGIN X509 CRL-----")
def test_no_bytes_of_a_handshake_or_a_crl_raise(scts: bytes, ocsp: bytes, crl_bytes: bytes) -> None:
    found = appraise(seen(LEAF, scts=scts, ocsp=ocsp), trust=STORE, crls=[crl_bytes])
    assert found.verification.ok
    assert found.revocation.answer == "unknown"
    assert {check.answer for check in found.scts} <= {"invalid", "unknown"}
    assert repr(found)


def test_hostile_names_are_shown_escaped() -> None:
    odd = CA.issue("api.test", cn="<script>\x1b[31m")
    found = appraise(seen(odd), "<b>.test", trust=TrustStore("<i>", (ROOT.certificate,)))
    assert "\x1b" not in repr(found)
    shown = found._repr_html_()
    assert not {"<script", "<b>", "<i>", "\x1b"} & {part for part in ("<script", "<b>", "<i>", "\x1b") if part in shown}
    assert "\x1b" not in json.dumps(found.to_value())


def test_the_report_says_it_of_each_chain_that_it_shows() -> None:
    box = zscaler()
    incident = irkit.Incident(host="api.test", start=AT - timedelta(hours=1), end=AT)
    evidence = Evidence(
        incident, AT, captures=(Capture(seen(LEAF), "office", trusted=True),), trust=STORE,
        observed=(Observed(Chain((box.issue("api.test").certificate,)), "phone.pem", AT),),
    )  # fmt: skip
    shown = exhibits.captures(evidence)
    assert shown.count("<caption>What it is worth") == 2
    assert "verifies for api.test at 2026-11-06 00:00 UTC against the roots own.pem, by 1 path" in shown
    assert "DOES NOT VERIFY for api.test" in shown
    assert "looks like Zscaler" in shown
    assert "What it is worth" not in exhibits.captures(replace(evidence, trust=None))


def test_a_crl_of_the_incident_file_counts_in_the_report_and_in_a_replay(tmp_path: Path) -> None:
    (tmp_path / "ca.crl").write_bytes(crl(REVOKED.x509.serial_number))
    (tmp_path / "incident.toml").write_text(
        '[incident]\nhost = "a.test"\n[trust]\ncrls = ["ca.crl", "absent.crl"]\n[[capture]]\nvantage = "x"\n'
    )
    evidence = irkit.gather_pins(irkit.begin(tmp_path / "incident.toml"))
    assert [item.source for item in evidence.missing if item.source.startswith("CRL")] == ["CRL absent.crl"]
    capture = Capture(Chain(REVOKED.chain.certificates, Obtained("handshake", "a.test", at=AT)), "x", trusted=True)
    irkit.save_evidence(replace(evidence, captures=(capture,)), tmp_path / "saved")
    again = irkit.load_evidence(tmp_path / "saved")
    assert again.crls == evidence.crls
    assert "REVOKED: the CRL says" in exhibits.captures(again)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "root.pem").write_text(ROOT.certificate.pem())
    (tmp_path / "chain.pem").write_text(LEAF.chain.pem())
    (tmp_path / "ca.crl").write_bytes(crl(5, by=REVOKER))
    (tmp_path / "logs.json").write_text(json.dumps(listed()))
    pin = CA.certificate.pin
    (tmp_path / "keys.toml").write_text(f'[[inspection]]\npin = "{pin}"\nname = "our own box"\n')
    return tmp_path


def test_verify_judges_a_file_and_its_exit_code_says_the_answer(files: Path, capsys: Any) -> None:
    options = ["--roots", str(files / "root.pem"), "--at", "2026-11-06T00:00:00Z"]
    chain = str(files / "chain.pem")
    assert main(["verify", chain, "--host", "api.test", *options]) == 0
    assert "verifies for api.test" in capsys.readouterr().out
    assert main(["verify", chain, "--host", "other.test", *options]) == 1
    assert "DOES NOT VERIFY for other.test" in capsys.readouterr().out
    more = ["--inventory", str(files / "keys.toml"), "--crl", str(files / "ca.crl"), "--ct-logs",
            str(files / "logs.json"), "--json"]  # fmt: skip
    assert main(["verify", chain, *options, *more]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["verifies"], value["interception"]["authorised"]) == (True, "our own box")
    assert [one["subject"] for one in value["paths"][0]][-1] == "CN=Appraisal Root"
    assert "not by the leaf's issuer" in value["revocation"]["reason"]


@pytest.mark.parametrize(
    "options",
    [["--at", "yesterday"], ["--at", "2026-11-06"], ["--roots", "absent.pem"], ["--crl", "absent.crl"],
     ["--ct-logs", "absent.json"], ["--inventory", "absent.toml"], ["--allow-private-aia"]],
)  # fmt: skip
def test_an_option_that_can_t_be_used_is_said_with_a_hint(files: Path, capsys: Any, options: list[str]) -> None:
    assert main(["verify", str(files / "chain.pem"), *options]) == 2
    assert "hint: " in capsys.readouterr().err
    assert main(["capture", "127.0.0.1:1", *options]) == 2  # before anything is asked
    assert "hint: " in capsys.readouterr().err


def test_a_capture_goes_into_a_history_on_request(tls_server: Callable[..., Any], files: Path, capsys: Any) -> None:
    call = ["capture", "api.test", "--connect", tls_server(LEAF).address, "--vantage", "office"]
    assert main([*call, "--history", str(files / "past")]) == 0
    assert main([*call, "--history", str(files / "past"), "--trusted"]) == 0
    assert "added to" in capsys.readouterr().err
    past = read_history(files / "past", "api.test").captures
    assert [(one.vantage, one.trusted, one.chain) for one in past] == [
        ("office", trusted, LEAF.chain) for trusted in (False, True)
    ]
    assert main([*call, "--trusted"]) == 2


def test_of_several_addresses_the_same_is_said_once(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    zoo.resolving(monkeypatch, "127.0.0.1", "127.0.0.2")
    with (
        zoo.python_tls(LEAF.server_context()) as port,
        zoo.python_tls(LEAF.server_context(), "127.0.0.2", port),
    ):
        assert main(["capture", f"api.test:{port}", "--all"]) == 0
    shown = capsys.readouterr()
    assert (shown.out.count("trust: "), shown.out.count("worth the same as that chain above")) == (1, 1)
    assert "2 addresses, 2 with a chain: the same chain" in shown.err


def test_capture_says_what_the_chain_is_worth(tls_server: Callable[..., Any], files: Path, capsys: Any) -> None:
    now = datetime.now(UTC)
    live = root("Live Root", not_before=now - timedelta(days=9))
    ca = live.issue(cn="Live CA", ca=True, not_before=now - timedelta(days=9))
    (files / "live.pem").write_text(live.certificate.pem())
    with server(giving(ca.certificate.der)) as (url, asked):
        made = naming(url, by=ca)
        leaf = Identity(made.x509, made.key)
        call = ["capture", "aia.test", "--connect", tls_server(leaf).address, "--roots", str(files / "live.pem")]
        assert main(call) == 0
        assert "DOES NOT VERIFY for aia.test" in capsys.readouterr().out
        assert main([*call, "--fetch-aia"]) == 0
        assert "is no public address" in capsys.readouterr().out
        assert asked == []  # neither unasked nor on a private network
        assert main([*call, "--fetch-aia", "--allow-private-aia", "--json"]) == 0
        assert len(asked) == 1
    printed = capsys.readouterr().out
    trust = json.loads(printed)["trust"]
    assert (trust["host"], trust["verifies"], trust["why"]) == ("aia.test", False, "missing-issuer")
    assert trust["left_out"] == [ca.certificate.sha256]
    assert trust["fetched"][0]["certificates"][0]["pem"] == ca.certificate.pem()
    (files / "probe.json").write_text(printed)
    assert irkit.load_chain(files / "probe.json") == Chain((leaf.certificate,))
