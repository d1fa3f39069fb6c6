"""Actions as values, and how much each brings back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from irkit.accept import Acceptance
from irkit.cohorts import Case
from irkit.facts import Facts
from irkit.pins import Release

__all__ = ["CONNECTS", "DAYS", "HOUR", "MINUTES", "Action", "Remediation", "gains"]

# How long an action takes, with the reason. Quick ones come first.
MINUTES = "minutes: a configuration pushed to the servers"
HOUR = "about an hour: a certificate has to be issued first"
DAYS = "days: the store's review, then users update at their own pace"

# Answers with which the app connects. "on some devices" and "unknown" bring nobody back for certain.
CONNECTS = frozenset({"yes", "unpinned"})


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do.

    Attributes:
        action: A slug: `roll-back-chain`, `switch-key`, `emergency-update`, `investigate-network`, …
        title: What to do, in one imperative sentence.
        steps: The steps, commands to copy among them.
        restores: Share of the cohort's failing validations that accepts() says it would bring back, 0 to 1; None where
            it can't be worked out.
        by_release: The same by release name.
        takes: How long until then, in words.
        weakens: What it takes away from pinning while it lasts, in words; empty for nothing.
        why: The reason, in one sentence.
    """

    action: str
    title: str
    steps: tuple[str, ...] = ()
    restores: float | None = None
    by_release: tuple[tuple[str, float], ...] = ()
    takes: str = ""
    weakens: str = ""
    why: str = ""

    @property
    def weakens_pinning(self) -> bool:
        """Whether it takes away protection while it lasts."""
        return bool(self.weakens)


@dataclass(frozen=True, slots=True)
class Remediation:
    """Actions in the order to take them, and what not to do. In a mitm `do_not` is shown first."""

    actions: tuple[Action, ...]
    do_not: tuple[str, ...] = ()


def gains(
    facts: Facts, case: Case, decide: Callable[[Release], Acceptance]
) -> tuple[float | None, tuple[tuple[str, float], ...]]:
    """What share of a case's failing validations would connect, were a release to decide like that.

    Args:
        facts: Of the evidence.
        case: Whose releases are asked.
        decide: What a release would make of what the action serves or ships.

    Returns:
        The share, 0 to 1, and 1 or 0 for each release; (None, ()) where no release is known.
    """
    releases = [opinion.release for opinion in case.opinions]
    if not releases:
        return None, ()
    back = {release.name: float(decide(release).answer in CONNECTS) for release in releases}
    weights = {release.name: _failing(facts, case, release) for release in releases}
    whole = sum(weights.values())
    if not whole:
        weights, whole = dict.fromkeys(back, 1.0), float(len(back))
    return round(sum(weights[name] * back[name] for name in back) / whole, 4), tuple(back.items())


def _failing(facts: Facts, case: Case, release: Release) -> float:
    """The failures of a release in the case's places; its share of traffic where they are not counted by version."""
    failures = facts.evidence.failures
    if failures is None or "version" not in failures.roles or not release.version:
        return release.share or 0.0
    places = {"region": case.cohort.regions, "network": case.cohort.networks}
    wanted = {role: values for role, values in places.items() if values and role in failures.roles}
    return float(failures.select(version=release.version, **wanted).by()["failures"].sum())
