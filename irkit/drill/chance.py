"""Incidents drawn by lot, over all causes, with sources missing; and what may be answered, by how each was built."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from random import Random

from irkit.drill.causes import BELONGS, build, with_interception
from irkit.drill.scenario import SCENARIOS, WINDOW, Scenario

__all__ = ["SOURCES", "Drawn", "acceptable", "draw"]

# What can be taken away from an incident.
SOURCES = ("metrics", "history", "inventory", "client chains", "releases", "second vantage", "captures")
_SERVED = {"leaf-key-rotated", "intermediate-rotated", "ca-changed", "rollout-in-progress"}
_SEEN = {"interception-untrusted-ca", "interception-public-ca", "inspection-authorised", "inspection-product",
         "user-installed-ca", "captive-portal", "clock-wrong"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawn:
    """An incident drawn by lot.

    Attributes:
        lacking: Sources, of SOURCES, that are taken away.
        verdicts: The verdicts that are right: one where the evidence decides, `inconclusive` where it does not, and
            both where a source is missing that helps.
    """

    seed: int
    scenario: Scenario
    lacking: frozenset[str]
    verdicts: frozenset[str]

    @property
    def decided(self) -> bool:
        """Whether the evidence decides it."""
        return self.verdicts == {self.scenario.verdict}


def draw(seed: int, end: datetime, *, without: str = "") -> Drawn:
    """Draws an incident: seeds in a row take the causes in turn; the same seed and end give the same incident.

    Args:
        seed: Any whole number from 0 on.
        end: The window's end, aware.
        without: One of SOURCES that is taken away besides.
    """
    dice = Random(f"incident {seed}")  # noqa: S311 - reproducible, not secret
    start, causes = end - WINDOW, (*BELONGS, "")
    cause = causes[seed % len(causes)]
    scenario = build(cause, start, end, seed) if cause else SCENARIOS["quiet"](start, end)
    if scenario.verdict in ("rotation", "misconfiguration") and not scenario.edges and dice.random() < 0.1:
        scenario = with_interception(scenario, start, end, dice)
    lacking = {source for source in SOURCES if dice.random() < 0.03} | ({without} if without else set())
    return Drawn(seed, scenario, frozenset(lacking), acceptable(scenario, frozenset(lacking)))


def acceptable(scenario: Scenario, lacking: frozenset[str]) -> frozenset[str]:
    """The right verdicts, from what happened and what is missing; irkit.classify has no say in it."""
    happened, cause = scenario.verdict, scenario.cause
    unheard = "client chains" in lacking or not scenario.clients
    if cause in _SEEN and unheard:
        if not scenario.failing:  # nothing rises, and nobody says anything: a quiet day as far as one can know
            return frozenset({"none", "inconclusive"})
        return frozenset({"inconclusive"})
    if cause in _SERVED and "inventory" in lacking and lacking & {"second vantage", "captures"}:
        return frozenset({"inconclusive"})
    if not lacking:
        return frozenset({happened})
    return frozenset({happened, "inconclusive"})
