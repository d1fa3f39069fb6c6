"""The words irkit answers with, and the values that carry them. `irkit.classify` arrives at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from irkit import render
from irkit.missing import Missing

__all__ = ["CAUSES", "EXIT_CODES", "VERDICTS", "Cohort", "CohortVerdict", "Finding", "Verdict"]

# Gravest first: an incident's verdict is its gravest cohort's.
VERDICTS = ("mitm", "inconclusive", "misconfiguration", "rotation", "not-a-pin-failure", "none")

EXIT_CODES: Mapping[str, int] = MappingProxyType(
    {"none": 0, "rotation": 10, "misconfiguration": 11, "mitm": 12, "inconclusive": 13, "not-a-pin-failure": 14}
)

_MISCONFIGURATIONS = (
    "wrong-pin", "certificate-hash-pinned", "raw-key-hash-pinned", "text-hash-pinned", "empty-input-pin",
    "reencoded-pin", "hex-pin", "base64-of-hex-pin", "corrupt-pin", "placeholder-pin", "staging-pin", "retired-pin",
    "pin-in-wrong-position", "host-pattern-mismatch", "pin-set-expired", "config-rejected", "wrong-certificate-served",
    "dual-certificate", "incomplete-chain",
)  # fmt: skip

# Each cause and the verdict it belongs to.
CAUSES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("leaf-key-rotated", "intermediate-rotated", "ca-changed", "trust-path-changed", "rollout-in-progress"),
        "rotation",
    )
    | dict.fromkeys(
        ("interception-untrusted-ca", "interception-public-ca", "origin-replaced", "inspection-authorised",
         "inspection-product", "user-installed-ca"),
        "mitm",
    )
    | dict.fromkeys(_MISCONFIGURATIONS, "misconfiguration")
    | dict.fromkeys(
        ("captive-portal", "clock-wrong", "certificate-expired", "chain-untrusted", "endpoint-down"),
        "not-a-pin-failure",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was seen.

    Attributes:
        id: A slug: which observation it is; stable across versions.
        says: One sentence: what was seen and where.
        source: The evidence it rests on: a vantage, a file, a query.
        supports: The cause or verdict it speaks for (weight above 0) or against (below 0); empty for context.
        weight: Strength, in natural-log odds.
    """

    id: str
    says: str
    source: str
    supports: str = ""
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Cohort:
    """Failures that belong together. An empty tuple means "all of them".

    Attributes:
        releases: Names as `Release.name`.
        share: Its share of all validations in the window, 0 to 1; None without metrics.
        failures, validations: Counts in the window; None without metrics.
        onset, earliest, latest: When its failures began, with the interval, aware UTC; None if unknown.
        end: When they ended; None while they go on.
        shape: step, ramp, blip, recurring, drift or none; empty if unknown.
    """

    releases: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    share: float | None = None
    failures: float | None = None
    validations: float | None = None
    onset: datetime | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    end: datetime | None = None
    shape: str = ""

    @property
    def name(self) -> str:
        """The cohort in words, as `shop-android 4.2.0 in ap-south`."""
        who = ", ".join(self.releases or self.platforms) or "all releases"
        where = ", ".join((*self.regions, *self.networks))
        return f"{who} in {where}" if where else who


@dataclass(frozen=True, slots=True)
class CohortVerdict:
    """The verdict on one cohort.

    Attributes:
        cause: A key of CAUSES; empty for the verdicts `inconclusive` and `none`.
        confidence: Probability that the verdict is right, 0 to 1.
        probabilities: One for each of VERDICTS but `inconclusive`; they add up to 1.
        findings: Strongest first.
        would_change_it: The single observations that would change or settle the verdict, a sentence each.
    """

    cohort: Cohort
    verdict: str
    cause: str
    confidence: float
    probabilities: Mapping[str, float]
    findings: tuple[Finding, ...] = ()
    would_change_it: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """The answer: the gravest cohort's verdict, with every cohort's.

    Attributes:
        onset: When the gravest cohort's failures began, aware UTC; None if unknown.
        cohorts: Gravest first.
        findings: Of all cohorts without repeats, strongest of the gravest cohort first.
        missing: What could not be had; each lowers the confidence.
    """

    verdict: str
    cause: str
    confidence: float
    probabilities: Mapping[str, float]
    onset: datetime | None = None
    cohorts: tuple[CohortVerdict, ...] = ()
    findings: tuple[Finding, ...] = ()
    missing: tuple[Missing, ...] = field(default=())
    would_change_it: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """The exit code of `irkit triage` for this verdict."""
        return EXIT_CODES[self.verdict]

    @property
    def name(self) -> str:
        """Verdict and cause, as `mitm / interception-untrusted-ca`."""
        return f"{self.verdict} / {self.cause}" if self.cause else self.verdict

    def __repr__(self) -> str:
        lines = [f"Verdict({self.name}, {self.confidence:.2f})"]
        lines += [f"  {render.text(finding.says, 500)}" for finding in self.findings[:5]]
        lines += [f"  missing {render.text(item.source)}: {render.text(item.reason)}" for item in self.missing]
        return "\n".join(lines + [f"  would decide it: {render.text(check, 500)}" for check in self.would_change_it])

    def _repr_html_(self) -> str:
        head = render.paragraph(render.strong(self.name), f", confidence {self.confidence:.2f}")
        rows = [(f.says, f.source, f.supports, f"{f.weight:+.1f}") for f in self.findings]
        table = render.table(("what was seen", "where", "speaks for", "log-odds"), rows, "Findings")
        return render.fragment(head, table)
