"""Before it hurts: what will end, what a planned change breaks, and what changed since the last look. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time
from operator import add
from typing import Any

from irkit.evidence import Capture, Evidence
from irkit.facts import Facts, establish
from irkit.lineup import role, short_name
from irkit.pins.check import check_pins, expiry_day
from irkit.pins.release import Release
from irkit.render import text
from irkit.verdict import VERDICTS, Verdict

__all__ = ["Check", "HostHealth", "document", "examine", "textfile", "worst"]

SOON = 30  # days before its end in which a certificate is worth a word
_ORDER = ("error", "warning", "unknown", "info")
# A matter of how a release is built, which `irkit pins check` says there; not of what will happen to it.
_LINT = frozenset({"one-level", "platforms-disagree", "subdomains-differ"})
_KNOWN_ELSEWHERE = ("client chain", "history")  # missing on every quiet day: no client failed


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at and is not as it should be.

    Attributes:
        id: A slug, stable across versions; `irkit.runbook` has a section for some.
        severity: `error` (users are cut off or unprotected, now or on a known date), `warning`, `unknown` (it could not
            be looked at), or `info`.
        says: One sentence. It may quote what others wrote: show it through `irkit.render`.
    """

    id: str
    severity: str
    says: str


@dataclass(frozen=True, slots=True)
class HostHealth:
    """What a scheduled look at one host found.

    Attributes:
        host: Its name.
        verdict, cause, confidence: As `irkit.classify` judges the failures of the window; empty where it could not.
        checks: Gravest first.
        certificate_days: Until the first certificate of a trusted chain ends; None where no chain was had.
        pin_days: Until a release's pin set ends, by (platform, app, version); only those with an expiry.
        failure_ratio: Failures per validation in the window; None without metrics.
        chain: SHA-256 of the trusted chain; empty without one.
    """

    host: str
    verdict: str = ""
    cause: str = ""
    confidence: float = 0.0
    checks: tuple[Check, ...] = ()
    certificate_days: float | None = None
    pin_days: Mapping[tuple[str, str, str], float] | None = None
    failure_ratio: float | None = None
    chain: str = ""


def examine(evidence: Evidence, verdict: Verdict) -> HostHealth:
    """Looks at one host. Pure: "now" is the evidence's.

    Args:
        evidence: Gathered as for a triage.
        verdict: As `irkit.classify` gives it.
    """
    facts = establish(evidence)
    host, now = evidence.incident.host, evidence.now
    checks = [
        Check(item.id, item.severity, f"{item.where}: {item.says}" if item.where else item.says)
        for item in check_pins(evidence.releases, host=host, now=now, inventory=evidence.inventory)
        if item.severity != "info" and item.id not in _LINT
    ]
    checks += [*_verdict(verdict), *_certificates(facts), *_acceptance(facts), *_drift(facts), *_unknown(evidence)]
    failures = evidence.failures
    total = None if failures is None else failures.by().iloc[0]
    ends = [_days(c.not_after, now) for c in (facts.chain or ()) if c.not_after is not None]
    return HostHealth(
        host,
        verdict.verdict,
        verdict.cause,
        verdict.confidence,
        tuple(sorted(checks, key=lambda item: _ORDER.index(item.severity))),
        min(ends, default=None),
        _pin_days(evidence.releases, now),
        float(total.ratio) if total is not None and total.validations else None,
        facts.chain.sha256 if facts.chain is not None else "",
    )


def _days(until: datetime, now: datetime) -> float:
    return (until - now).total_seconds() / 86400


def _pin_days(releases: Iterable[Release], now: datetime) -> dict[tuple[str, str, str], float]:
    found: dict[tuple[str, str, str], float] = {}
    for release in releases:
        days = [expiry_day(release.platform, rule.expires) for rule in release.rules if rule.expires and rule.pins]
        ends = [_days(datetime.combine(day, time(), UTC), now) for day in days if day is not None]
        if ends:
            found[release.platform, release.app, release.version] = min(ends)
    return found


def _verdict(verdict: Verdict) -> Iterable[Check]:
    if verdict.verdict != "none" and verdict.cohorts:
        yield Check("failing-now", "error", f"failures rise above their baseline: {verdict.name}; run a triage")


def _certificates(facts: Facts) -> Iterable[Check]:
    now = facts.evidence.now
    if facts.chain is None:
        yield Check("no-chain", "error", "no trusted vantage saw a chain")
        return
    for position, certificate in enumerate(facts.chain):
        who = f"the {role(position, certificate)} certificate {short_name(certificate)}"
        if certificate.not_after is None:
            yield Check("certificate-unreadable", "unknown", f"{who} does not say when it ends")
        elif (days := _days(certificate.not_after, now)) < 0:
            yield Check("certificate-expired", "error", f"{who} ended on {certificate.not_after:%F}")
        elif days < SOON:
            says = f"{who} ends on {certificate.not_after:%F}, in {days:.0f} days: will its renewal keep the key?"
            yield Check("certificate-expiring", "warning", says)
    if facts.dissent:
        others = ", ".join(sorted({text(capture.vantage, 60) for capture in facts.dissent}))
        yield Check("vantages-disagree", "error", f"{others} see another leaf key than {', '.join(facts.witnesses)}")


def _acceptance(facts: Facts) -> Iterable[Check]:
    for opinion in facts.opinions:
        if opinion.now is not None and opinion.now.answer == "no":
            why = opinion.now.reasons[0] if opinion.now.reasons else opinion.now.why
            yield Check("rejected-now", "error", f"{opinion.release.name} does not accept the chain served now: {why}")
        elif opinion.now is not None and opinion.now.answer == "unpinned":
            yield Check("unpinned", "warning", f"{opinion.release.name} does not pin this host")


def _drift(facts: Facts) -> Iterable[Check]:
    """What the chain changed since the newest trusted capture of an earlier run."""
    earlier: list[Capture] = [c for c in facts.evidence.history if c.trusted and len(c.chain)]
    if facts.chain is None or not earlier:
        return
    before = earlier[-1]
    when = f"{before.at:%F}" if before.at is not None else "the last capture"
    pins = {certificate.pin for certificate in before.chain}
    for position, certificate in enumerate(facts.chain):
        who = f"{role(position, certificate)} {short_name(certificate)}"
        if certificate.pin not in pins:
            listed = facts.status(certificate.pin)
            known = f"the inventory lists it as {listed}" if listed else "the inventory does not know it"
            severity = "warning" if listed in ("active", "next", "backup") or position else "error"
            yield Check("key-changed", severity, f"the key of {who} was not in the chain of {when}; {known}")
    seen = {certificate.sha256 for capture in earlier for certificate in capture.chain}
    for position, certificate in enumerate(facts.chain):
        if certificate.sha256 not in seen and certificate.pin in pins:
            who = f"{role(position, certificate)} {short_name(certificate)}"
            yield Check(
                "new-certificate", "warning", f"a certificate never seen before: {who}, with a key known before"
            )


def _unknown(evidence: Evidence) -> Iterable[Check]:
    for item in evidence.missing:
        if not item.source.startswith(_KNOWN_ELSEWHERE):
            yield Check("not-known", "unknown", f"{item.source}: {item.reason}")


def worst(results: Iterable[HostHealth]) -> str:
    """The gravest severity of all checks; empty where there is none."""
    found = {item.severity for result in results for item in result.checks}
    return next((severity for severity in _ORDER if severity in found), "")


def document(result: HostHealth) -> dict[str, Any]:
    """A host's result for JSON. Texts are as they were found: escape them where they are shown."""
    shown = asdict(result)
    shown["pin_days"] = [
        {"platform": platform, "app": app, "version": version, "days": round(days, 2)}
        for (platform, app, version), days in (result.pin_days or {}).items()
    ]
    return shown


# --- for Prometheus' node_exporter


def textfile(results: Sequence[HostHealth], *, finished: datetime) -> str:
    """What a complete run found, in Prometheus' text format, for node_exporter's textfile collector.

    Args:
        results: Of all hosts.
        finished: When the run ended, aware. A run that breaks off writes nothing: alert on the age of this.
    """
    lines: list[str] = []

    def metric(
        name: str, says: str, samples: Iterable[tuple[Mapping[str, str], float]],
        both: Callable[[float, float], float] = max,
    ) -> None:  # fmt: skip
        found = dict[str, float]()
        for labels, value in samples:  # a host may be listed twice, and node_exporter drops a file with a series twice
            said = _labels(labels)
            found[said] = both(found[said], value) if said in found else value
        if found:
            rows = (f"{name}{said} {value:.10g}" for said, value in found.items())
            lines.extend((f"# HELP {name} {says}", f"# TYPE {name} gauge", *rows))

    metric(
        "irkit_health_completed_timestamp_seconds", "When the last complete run ended.", [({}, finished.timestamp())]
    )
    metric(
        "cert_pin_expiry_days", "Days until a release's pin set for the domain ends.",
        (({"domain": r.host, "platform": platform, "app": app, "app_version": version}, days)
         for r in results for (platform, app, version), days in (r.pin_days or {}).items()), min,
    )  # fmt: skip
    metric(
        "cert_expiry_timestamp_seconds", "When the first certificate of the served chain ends.",
        (({"domain": r.host}, finished.timestamp() + 86400 * r.certificate_days)
         for r in results if r.certificate_days is not None), min,
    )  # fmt: skip
    metric(
        "cert_pin_failure_ratio", "Failures per pin validation in the last 24 hours.",
        (({"domain": r.host}, r.failure_ratio) for r in results if r.failure_ratio is not None),
    )  # fmt: skip
    metric(
        "irkit_verdict", "1 for the verdict on the domain's failures, 0 for the others.",
        (({"domain": r.host, "verdict": name}, float(name == r.verdict))
         for r in results if r.verdict for name in VERDICTS),
    )  # fmt: skip
    metric(
        "irkit_health_checks", "Checks that found something, by severity.",
        (({"domain": r.host, "severity": severity}, float(sum(c.severity == severity for c in r.checks)))
         for r in results for severity in _ORDER[:3]), add,
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escape = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
    return "{" + ",".join(f'{name}="{value.translate(escape)}"' for name, value in labels.items()) + "}"
