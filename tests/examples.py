"""Incidents made by hand, evidence and answer, for tests that show them: a MITM, a rotation, and one with nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import forge
import numpy as np

from irkit.chain import Attempt, Chain, Obtained
from irkit.evidence import Capture, Evidence, Observed
from irkit.failures import Failures
from irkit.incident import Incident, MetricsSource
from irkit.missing import Missing
from irkit.pins import ConfiguredPin, HostRule, Inventory, InventoryKey, PinFinding, Release
from irkit.remedy import Action, Remediation
from irkit.trust import TrustStore
from irkit.verdict import Cohort, CohortVerdict, Finding, Verdict

HOST = "api.example.com"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
START = NOW - timedelta(hours=24)
ONSET = datetime(2026, 11, 23, 8, 42, tzinfo=UTC)

SCRIPT = "<script>window.pwned=1</script>"
HANDLER = "<img src=x onerror=window.pwned=1>"
# What a certificate, a label or a file name can hold; put beside real values wherever such a thing is shown.
HOSTILE = (
    SCRIPT + HANDLER + "[x](javascript:window.pwned=1)![b](http://198.51.100.9/b.png)"
    r"$\color{green}{\text{VERDICT: ROTATION}}$" + "\x1b[2J\r\u202e\u200b\x00\"'>"
)


class Example(NamedTuple):
    evidence: Evidence
    verdict: Verdict
    remediation: Remediation


def obtained(chain: Chain, where: str, at: datetime, how: str = "handshake", **more: object) -> Chain:
    return Chain(
        chain.certificates,
        Obtained(
            "file" if how == "file" else "handshake", where, at, 0.08, HOST, 443, HOST, where, "TLSv1.3",
            "TLS_AES_256_GCM_SHA384", possession="unproven" if how == "file" else "proven", **more,  # type: ignore[arg-type]  # what a test adds
        ),
    )  # fmt: skip


def failures(
    ratios: Mapping[tuple[str, str], tuple[float, float]],
    *,
    onset: datetime = ONSET,
    per_minute: float = 900.0,
    gap: tuple[int, int] | None = (300, 330),
    minutes: int = 1440,
) -> Failures:
    """Failures by (version, region): the ratio before the onset and after it, with a day's curve of traffic."""
    rng = np.random.default_rng(7)
    times = np.datetime64("2026-11-22T12:00", "s") + np.arange(minutes) * np.timedelta64(60, "s")
    begun = times >= np.datetime64(onset.replace(tzinfo=None), "s")
    day = 1 + 0.6 * np.sin(np.arange(minutes) / minutes * 2 * np.pi)
    counts, failed = [], []
    for i, (before, after) in enumerate(ratios.values()):
        all_of_them = np.round(per_minute * day / (1 + i % 3) / len(ratios) * 3)
        counts.append(all_of_them)
        failed.append(rng.binomial(all_of_them.astype(int), np.where(begun, after, before)).astype(float))
    validations, failing = np.array(counts), np.array(failed)
    if gap:
        validations[:, slice(*gap)] = failing[:, slice(*gap)] = np.nan
    return Failures(
        host=HOST,
        times=times,
        step=timedelta(minutes=1),
        cohorts=tuple({"version": version, "region": region} for version, region in ratios),
        failures=failing,
        validations=validations,
        reasons={"success": float(np.nansum(validations - failing)), "pin_mismatch": float(np.nansum(failing))},
        query=f'sum by (result, app_version, region) (increase(cert_pin_validation_total{{domain="{HOST}"}}[1m]))',
        raw=b"{}",
        findings=("30 minutes were not read: the target was down from 17:00 to 17:30",),
        source="http://prometheus:9090",
    )


def release(name: str, version: str, pins: list[forge.Identity], platform: str = "android", more: str = "") -> Release:
    entries = [ConfiguredPin(str(i.certificate.pin), i.certificate.pin, where="line 7") for i in pins]
    if more:
        entries.append(ConfiguredPin(more, None, problem="not base64"))
    return Release(
        platform,  # type: ignore[arg-type]  # one of the literals
        (HostRule("example.com", subdomains=True, pins=tuple(entries)),),
        app=name,
        version=version,
        released=datetime(2026, 11, 20, tzinfo=UTC) if version != "4.2.0" else datetime(2026, 11, 22, 20, tzinfo=UTC),
        share=0.3,
        findings=(PinFinding("no-backup-pin", "warning", f"only one pin for {HOST}", "line 7"),) if more else (),
        source=f"{name}-{version}/network_security_config.xml",
    )


def mitm(*, hostile: bool = False) -> Example:
    """Someone in ap-south presents a chain of an unknown root, with the genuine intermediate appended to it."""
    extra = HOSTILE if hostile else ""
    ca = forge.root("Example Trust Root R1")
    middle = ca.issue(cn="Example Trust Issuing CA 3", ca=True)
    leaf = middle.issue(HOST, "*.example.com")
    backup = middle.issue(HOST)
    fake = forge.root("Example Trust Root R1")
    seen_leaf = fake.issue(HOST, cn=f"{extra[:60]}", not_before=ONSET - timedelta(minutes=20), days=30)
    seen = Chain((*seen_leaf.chain.certificates, fake.certificate, middle.certificate))
    version = "4.2.0" + extra
    shipped = (
        release("shop-android", "4.1.0", [leaf, backup]),
        release("shop-android", version, [middle, backup], more=extra),
        release("shop-ios", "3.9", [leaf, backup], "trustkit-ios"),
    )
    regions = ("eu-west", "us-east", "ap-south" + extra, "sa-east")
    ratios = {
        (v, region): (0.0012, 0.94 if region.startswith("ap-south") else 0.0013)
        for v in ("4.1.0", version, "3.9")
        for region in regions
    }
    counted = failures(ratios)
    part = counted.select(region=regions[2])
    whole, bad = float(np.nansum(part.validations)), float(np.nansum(part.failures))
    cohort = Cohort(
        (), (), (regions[2],), ("AS64500",), counted.share(region=regions[2]), bad, whole, ONSET,
        ONSET - timedelta(minutes=3), ONSET + timedelta(minutes=2), None, "step",
    )  # fmt: skip
    at = NOW - timedelta(minutes=2)
    served = [
        Capture(obtained(leaf.chain, "192.0.2.7:443", at), "office" + extra, trusted=True),
        Capture(obtained(leaf.chain, "192.0.2.8:443", at), "office" + extra, trusted=True),
        Capture(
            obtained(
                leaf.chain, "192.0.2.7:443", at, findings=("the certificates came in an odd order" + extra,),
                attempts=(Attempt("192.0.2.9:443", "handshake", "connection refused" + extra),),
            ),
            "cloud-us", trusted=True,
        ),
    ]  # fmt: skip
    findings = (
        Finding(
            "client-chain-untrusted-root",
            "A failing client on AS64500 saw a chain with leaf key sha256/"
            f"{seen_leaf.certificate.pin.base64 if seen_leaf.certificate.pin else ''}, which neither the inventory nor "
            f"any trusted capture knows; it ends at CN=Example Trust Root R1 and does not verify.{extra}",
            "reports/phone.pem" + extra, "interception-untrusted-ca", 7.0,
        ),
        Finding("trusted-chain-accepted", "Every release would accept the chain that office and cloud-us see now.",
                "3 pin files", "rotation", -5.0),
        Finding("localised", "The failures keep to ap-south, AS64500; elsewhere the same releases connect.",
                "metrics http://prometheus:9090", "mitm", 2.0),
        Finding("vantages-agree", "office and cloud-us see the same leaf key.", "captures", "rotation", 2.0),
    )  # fmt: skip
    missing = (
        Missing("release shop-ios 4.0", f"Info.plist holds no NSPinnedDomains{extra}", "give the plist that ships"),
        Missing("capture probe-in", "no answer within 10 s", "check that the endpoint answers from there"),
    )
    checks = ("A chain captured by a second device on AS64500 would confirm it; the genuine one would refute it.",)
    probabilities = {"mitm": 0.971, "misconfiguration": 0.012, "rotation": 0.006, "not-a-pin-failure": 0.009}
    probabilities["none"] = 0.002
    judged = CohortVerdict(cohort, "mitm", "interception-untrusted-ca", 0.971, probabilities, findings, checks)
    incident = Incident(
        HOST, START, NOW, id="INC-2041" + extra, metrics=MetricsSource("http://prometheus:9090"), inventory="keys.toml"
    )
    pin = leaf.certificate.pin
    assert pin is not None
    evidence = Evidence(
        incident=incident,
        now=NOW,
        captures=tuple(served),
        observed=(
            Observed(
                obtained(seen, "reports/phone.pem" + extra, ONSET + timedelta(minutes=28), "file"),
                "reports/phone.pem" + extra, ONSET + timedelta(minutes=28), "shop-android 4.1.0", "AS64500", "ap-south",
            ),
        ),
        history=(Capture(obtained(leaf.chain, "192.0.2.7:443", NOW - timedelta(days=3)), "office", trusted=True),),
        releases=shipped,
        inventory=Inventory((InventoryKey(pin, "api 2026"),), source="keys.toml"),
        trust=TrustStore("corp", (ca.certificate,)),
        failures=counted,
        missing=missing,
        gathered=frozenset({"failures", "chains", "pins"}),
    )  # fmt: skip
    verdict = Verdict(
        "mitm", "interception-untrusted-ca", 0.971, probabilities, ONSET, (judged,), findings, missing, checks
    )
    actions = (
        Action(
            "investigate-network",
            f"Keep pinning on, and find out who intercepts in AS64500, ap-south{extra}.",
            (
                f"Capture from an affected device: openssl s_client -connect {HOST}:443 -servername {HOST} -showcerts",
                "Ask the operator of the network whether it inspects TLS; it can exempt the host.",
                f"dig +short CAA {HOST}   # does CAA name only your CA?{extra}",
            ),
            why="The apps fail because pinning works; what has to go is the interceptor.",
        ),
        Action("tell-users", "Tell users on that network to use another one.", ("Publish the support article.",), 0.6),
    )
    do_not = (
        "Do not disable or loosen pinning: it is what keeps these users from the interceptor.",
        "Do not add the key that was seen to any pin list, and do not ship an update that accepts it.",
    )
    return Example(evidence, verdict, Remediation(actions, do_not))


def rotation(*, releases: int = 7, regions: int = 3) -> Example:
    """The leaf key was rotated; of many releases only the newest pins the new key."""
    ca = forge.root("Example Trust Root R1")
    middle = ca.issue(cn="Example Trust Issuing CA 3", ca=True)
    old = middle.issue(HOST)
    new = middle.issue(HOST, not_before=ONSET - timedelta(hours=1))
    names = [f"5.{n}.0" for n in range(releases)]
    shipped = tuple(release("shop-android", v, [old, new] if v == names[-1] else [old]) for v in names)
    ratios = {
        (v, f"region-{r}"): (0.001, 0.001 if v == names[-1] else max(0.5, 0.97 - 0.02 * n))
        for n, v in enumerate(names)
        for r in range(regions)
    }
    counted = failures(ratios)
    part = counted.select(version=names[:-1])
    cohort = Cohort(
        tuple(f"shop-android {v}" for v in names[:-1]), (), (), (), counted.share(version=names[:-1]),
        float(np.nansum(part.failures)), float(np.nansum(part.validations)), ONSET, ONSET, ONSET, None, "step",
    )  # fmt: skip
    findings = (
        Finding("leaf-key-owned", "The served leaf key is the owner's: the inventory lists it as next.", "captures",
                "rotation", 4.0),
        Finding("acceptance-changed", "The six releases would refuse the chain now, and accepted the one before.",
                "their pin files", "leaf-key-rotated", 3.0),
    )  # fmt: skip
    probabilities = {"mitm": 0.01, "misconfiguration": 0.03, "rotation": 0.95, "not-a-pin-failure": 0.01, "none": 0.0}
    judged = CohortVerdict(cohort, "rotation", "leaf-key-rotated", 0.95, probabilities, findings)
    evidence = Evidence(
        incident=Incident(HOST, START, NOW, id="INC-2042"),
        now=NOW,
        captures=tuple(
            Capture(obtained(new.chain, f"192.0.2.{n}:443", NOW), name, trusted=True)
            for n, name in enumerate(("office", "cloud-us"))
        ),
        history=(Capture(obtained(old.chain, "192.0.2.7:443", NOW - timedelta(days=1)), "office", trusted=True),),
        releases=shipped,
        trust=TrustStore("corp", (ca.certificate,)),
        failures=counted,
        missing=(Missing("client chains", "no chain that a failing client saw", "get one from an affected device"),),
        gathered=frozenset({"failures", "chains", "pins"}),
    )
    action = Action(
        "roll-back-key", "Serve the previous certificate and key again, then rotate as planned.",
        (f"Put back the key with pin {old.certificate.pin}.",
         "kubectl create secret tls api --cert=chain.pem --key=old.key --dry-run=client -o yaml | kubectl apply -f -"),
        0.985, tuple((f"shop-android {v}", 1.0) for v in names[:-1]), why="The releases accept it, by their pin files.",
    )  # fmt: skip
    verdict = Verdict("rotation", "leaf-key-rotated", 0.95, probabilities, ONSET, (judged,), findings, evidence.missing)
    do_not = ("Do not disable pinning: serving a key that the releases pin brings them back with it on.",)
    return Example(evidence, verdict, Remediation((action,), do_not))


def bare(*, missing: bool = True) -> Example:
    """A host and nothing else: no source gave anything."""
    gone = (
        Missing("metrics", "the incident file names no metrics", "add [metrics]"),
        Missing("capture local", "connection refused", "check that the endpoint answers from there"),
    )
    evidence = Evidence(Incident(HOST, START, NOW, id="bare"), NOW, missing=gone if missing else ())
    even = dict.fromkeys(("mitm", "misconfiguration", "rotation", "not-a-pin-failure", "none"), 0.2)
    return Example(evidence, Verdict("inconclusive", "", 0.0, even, missing=evidence.missing), Remediation(()))
