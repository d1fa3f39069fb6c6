"""Incidents drawn by lot, over all causes, with sources missing; and what may be answered, by how each was built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from irkit.drill.beside import CONFOUNDERS, SECONDS, has_room
from irkit.drill.causes import BELONGS, built
from irkit.drill.day import Day
from irkit.drill.scenario import WINDOW, Scenario
from irkit.drill.twins import TWINS

__all__ = ["SOURCES", "TURNS", "Drawn", "acceptable", "draw"]

# What can be taken away from an incident.
SOURCES = ("metrics", "history", "inventory", "client chains", "releases", "second vantage", "captures")

# What seeds take in turn: every cause, a quiet day, and every pair of truths with one appearance.
TURNS = (*BELONGS, "quiet", *TWINS)

# A key that was not served before. (Another intermediate over the same leaf key is served by its holder alone.)
_SERVED = {"leaf-key-rotated", "ca-changed", "rollout-in-progress"}
_SEEN = {"interception-untrusted-ca", "interception-public-ca", "inspection-authorised", "inspection-product",
         "user-installed-ca", "captive-portal", "clock-wrong"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawn:
    """An incident drawn by lot.

    Attributes:
        lacking: Sources, of SOURCES, that are taken away.
        verdicts: The verdicts that are right: one where the evidence decides, `inconclusive` where it does not, and
            both where a source is missing that helps.
        turn: Of TURNS.
    """

    seed: int
    scenario: Scenario
    lacking: frozenset[str]
    verdicts: frozenset[str]
    turn: str = ""

    @property
    def decided(self) -> bool:
        """Whether the evidence decides it."""
        return self.verdicts == {self.scenario.verdict}

    def without(self, source: str) -> Drawn:
        """The same incident with one more of SOURCES taken away; an empty one takes nothing."""
        lacking = self.lacking | ({source} if source else set())
        return replace(self, lacking=lacking, verdicts=_right(self.turn, self.scenario, lacking))


def draw(seed: int, end: datetime) -> Drawn:
    """Draws an incident: seeds in a row take TURNS; the same seed and end give the same incident.

    Args:
        seed: Any whole number from 0 on.
        end: The window's end, aware.
    """
    dice = Random(f"incident {seed}")  # noqa: S311 - reproducible, not secret
    turn = TURNS[seed % len(TURNS)]
    taken = {source for source in SOURCES if dice.random() < 0.03}
    chance, harmless, second = dice.random(), dice.random() < 0.5, dice.choice(SECONDS)
    confounder = dice.choice(CONFOUNDERS)
    day = Day(end - WINDOW, end, dice, varied=True)
    if turn in TWINS:
        twin = TWINS[turn]
        cause = twin.harmless if harmless else twin.mitm
        scenario = replace(twin.shows(day), cause=cause, verdict=BELONGS.get(cause, "none"))
        lacking = frozenset(taken | set(twin.lacking))
        return Drawn(seed, scenario, lacking, _right(turn, scenario, lacking), turn)
    scenario = built(turn, day) if turn in BELONGS else replace(day.scenario("", day.good()), verdict="none")
    if chance < 0.12 and has_room(scenario):
        scenario = second(day, scenario)
    elif chance < 0.5:
        scenario = confounder(day, scenario)
    return Drawn(seed, scenario, frozenset(taken), acceptable(scenario, frozenset(taken)), turn)


def _right(turn: str, scenario: Scenario, lacking: frozenset[str]) -> frozenset[str]:
    if turn not in TWINS:
        return acceptable(scenario, lacking)
    if not scenario.failing and lacking & {"inventory", "captures"}:  # nothing fails, and no list is at odds with it
        return frozenset({"none", "inconclusive"})
    return frozenset({"inconclusive"})


def acceptable(scenario: Scenario, lacking: frozenset[str]) -> frozenset[str]:
    """The right verdicts, from what happened and what is missing; irkit.classify has no say in it."""
    happened, cause = scenario.verdict, scenario.cause
    unheard = "client chains" in lacking or not scenario.clients
    if cause in _SEEN and unheard:
        if not scenario.failing:  # nothing rises, and nobody says anything: a quiet day as far as one can know
            return frozenset({"none", "inconclusive"})
        if scenario.parts and "metrics" in lacking:  # of two incidents the lesser is all that left a trace
            return frozenset({scenario.parts[-1].verdict, "inconclusive"})
        return frozenset({"inconclusive"})
    if cause in _SERVED and "inventory" in lacking and lacking & {"second vantage", "captures"}:
        return frozenset({"inconclusive"})
    if not lacking:
        return frozenset({happened})
    return frozenset({happened, "inconclusive"})
