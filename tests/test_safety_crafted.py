"""The safety rule against crafted certificates, and over every set of sources that may be missing."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import forge
import pytest
from causes import both, reports, told
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from incidents import HOST, NOW, OLD, START, World, failures, interception, release, since_onset, without

from irkit.chain import Chain
from irkit.classify import classify
from irkit.drill import write
from irkit.drill.causes import BELONGS, build
from irkit.evidence import Evidence
from irkit.gather import gather
from irkit.missing import Missing
from irkit.reports import read_reports
from irkit.transparency import Log, LogList, check_scts

RELAXING = {"rotation", "misconfiguration"}
SOURCES = ("metrics", "inventory", "history", "releases", "captures", "client chains", "second vantage")
LOG = forge.make_key()
SPKI = LOG.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
LOGS = LogList("a test", {hashlib.sha256(SPKI).digest(): Log("a log", SPKI, "An operator")})
OLD_DAYS = START - timedelta(days=1)


@lru_cache(maxsize=1)
def world() -> World:
    return World()


def vector(data: bytes, size: int = 2) -> bytes:
    return len(data).to_bytes(size, "big") + data


def logged(issuer: forge.Identity) -> Chain:
    """A certificate for the host with an SCT of the log, which is valid (RFC 6962, section 3.2)."""
    key = forge.make_key()
    plain = issuer.issue(HOST, key=key, serial=77, not_before=OLD_DAYS)
    entry = b"\0\1" + hashlib.sha256(issuer.certificate.spki or b"").digest()
    entry += vector(plain.x509.tbs_certificate_bytes, 3)
    stamp = int(OLD_DAYS.timestamp() * 1000).to_bytes(8, "big")
    signature = LOG.sign(b"\0\0" + stamp + entry + b"\0\0", ec.ECDSA(hashes.SHA256()))
    listed = vector(vector(b"\0" + hashlib.sha256(SPKI).digest() + stamp + b"\0\0\4\3" + vector(signature)))
    octets = b"\x04" + (b"\x81" if len(listed) > 127 else b"") + bytes([len(listed)]) + listed
    scts = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), octets)
    return issuer.issue(HOST, key=key, serial=77, not_before=OLD_DAYS, extensions=((scts, False),)).chain


def copied(model: forge.Identity, signer: forge.Identity) -> Chain:
    """Everything of a certificate but its key: subject, serial number, times, key id and names."""
    old = model.x509
    builder = (
        x509.CertificateBuilder(old.issuer, old.subject, forge.make_key().public_key(), old.serial_number)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    made = forge.Identity(builder.sign(signer.key, hashes.SHA256()), forge.make_key(), model.above)
    assert made.certificate.subject == model.certificate.subject
    assert list(made.x509.extensions) == list(old.extensions)  # the key id too, which is another key's
    return made.chain


def crafted() -> Mapping[str, Chain]:
    genuine = world().leaf.chain.certificates
    namesake = forge.root("World Root").issue(cn="World CA", ca=True)
    return {
        "same CA, same names": world().leaf_for(not_before=OLD_DAYS).chain,
        "valid SCTs": logged(world().issuer),
        "all but the key copied, by the same CA": copied(world().leaf, world().issuer),
        "all but the key copied, by a namesake of the CA": copied(world().leaf, namesake),
        "the genuine chain appended": Chain((*copied(world().leaf, namesake).certificates[:1], *genuine)),
        "a default certificate": forge.self_signed("Kubernetes Ingress Controller Fake Certificate").chain,
        "a sister host's name": world().leaf_for("www.example.com").chain,
    }


def test_the_crafted_scts_are_valid() -> None:
    assert check_scts(logged(world().issuer), LOGS, at=NOW)[0].answer == "valid"


@pytest.mark.parametrize("name", crafted())
def test_a_crafted_certificate_that_clients_saw_is_a_mitm(name: str) -> None:
    assert classify(interception(world(), crafted()[name])).verdict == "mitm"


@pytest.mark.parametrize("name", crafted())
def test_a_crafted_certificate_that_every_vantage_sees_is_never_harmless(name: str) -> None:
    """Who holds the route or the name's DNS answers vantages as well as clients."""
    chain = crafted()[name]
    taken = world().evidence(captures=both(chain), failures=failures(since_onset()))
    quiet = world().evidence(captures=both(chain), releases=(release(OLD, world().issuer.certificate.pin),))
    for evidence in (taken, quiet):
        for count in range(4):
            for gone in itertools.combinations(SOURCES[:-1], count):
                assert classify(without(evidence, *gone)).verdict not in RELAXING, gone
    assert classify(taken).verdict in ("mitm", "inconclusive")


@pytest.mark.parametrize("status", ["retired", "compromised"])
@pytest.mark.parametrize("host", [HOST, "www.example.com"])
def test_a_key_that_was_given_up_excuses_nothing(status: str, host: str) -> None:
    """Whoever kept it can serve it, under a certificate for any name."""
    kept = world().leaf_for(host)
    evidence = world().evidence(
        captures=both(kept.chain), inventory=world().keys((kept.certificate.pin, status)),
        failures=failures(since_onset()),
    )  # fmt: skip
    assert classify(evidence).verdict in ("mitm", "inconclusive")


def test_a_forged_sign_in_page_does_not_hide_that_a_trusted_ca_signed_the_chain() -> None:
    """What follows from that, revocation, would be lost with the cause."""
    stolen = world().leaf_for(not_before=OLD_DAYS).chain
    page = reports(told(forge.self_signed("login.hotel.example").chain, count=30, region="ap-south"))
    verdict = classify(replace(interception(world(), stolen), reports=page))
    assert (verdict.verdict, verdict.cause) == ("mitm", "interception-public-ca")


def test_ten_thousand_reports_that_all_is_well_leave_one_true_chain_its_weight() -> None:
    evidence = interception(world())
    flood = reports(told(world().leaf.chain, count=10_000, region="ap-south"))
    assert classify(replace(evidence, reports=flood)).verdict == "mitm"


def test_a_log_that_names_a_strangers_pins_and_no_certificate_is_heard() -> None:
    strange = world().interceptor().chain
    line = f'{{"message": "Certificate pinning failure!\\n  Peer certificate chain:\\n    {strange.leaf.pin}: CN=x"}}'
    log = read_reports([("app.log", line.encode())])
    verdict = classify(replace(interception(world()), observed=(), reports=log))
    assert verdict.verdict == "mitm"
    assert any(str(strange.leaf.pin)[:18] in check for check in verdict.would_change_it)


def test_clients_that_were_shown_a_certificate_contradict_an_endpoint_that_is_down() -> None:
    refused = tuple(Missing(f"capture {name}", "connection refused") for name in ("office", "probe"))
    evidence = world().evidence(captures=(), failures=failures(since_onset()), missing=refused)
    assert classify(evidence).cause == "endpoint-down"
    shown = replace(evidence, reports=reports(told(world().leaf.chain)))
    assert classify(shown).verdict == "inconclusive"


# --- every set of sources


def gathered(cause: str, folder: Path) -> Evidence:
    end = datetime(2026, 11, 23, 12, tzinfo=UTC)
    scenario = build(cause, end - timedelta(hours=24), end, 7)
    return gather(write(scenario, folder, end, seed=7, step=timedelta(minutes=10)), now=end)


def stripped(evidence: Evidence, gone: frozenset[str]) -> Evidence:
    found = without(evidence, *sorted(gone))
    return replace(found, reports=None) if "client chains" in gone else found


@pytest.mark.parametrize("cause", BELONGS)
def test_whatever_sources_are_taken_away_no_verdict_moves_across(tmp_path: Path, cause: str) -> None:
    """Of all 128 sets: a MITM never turns harmless, and a rotation and a misconfiguration never into one another."""
    evidence = gathered(cause, tmp_path)
    answers = {
        frozenset(gone): classify(stripped(evidence, frozenset(gone))).verdict
        for count in range(len(SOURCES) + 1)
        for gone in itertools.combinations(SOURCES, count)
    }
    assert answers[frozenset()] == BELONGS[cause]
    assert set(answers.values()) & RELAXING <= {BELONGS[cause]}
    alarmed = [gone for gone, verdict in answers.items() if verdict == "mitm"]
    for gone, verdict in answers.items():
        if verdict in RELAXING:
            assert not any(fewer <= gone for fewer in alarmed), gone
