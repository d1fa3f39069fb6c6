"""The incident of each cause, as it was built; and what happens that is no pin failure. None of it judges anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from random import Random

from irkit.drill.day import DAY, Builder, Day
from irkit.drill.interceptions import INTERCEPTIONS, intercepted
from irkit.drill.mistakes import MISTAKES
from irkit.drill.rotations import ROTATIONS
from irkit.drill.scenario import Scenario

__all__ = ["BELONGS", "build", "built"]


def _portal(day: Day) -> Scenario:
    portal = day.leaf(day.root("Hotel Gateway", "Hotel"), name="login.hotel.example", hours=2000)
    return intercepted(day, "captive-portal", portal, 0.0, untrusting=True)


def _clock(day: Day) -> Scenario:
    releases = day.good()
    odd = replace(day.client(releases[1], day.s.leaf), at=day.start - 2000 * DAY)
    return day.scenario("clock-wrong", releases, clients=(odd,), untrusting=True)


def _ran_out(day: Day) -> Scenario:
    releases = day.good()
    leaf = day.s.issuer.issue(day.s.host, at=day.at - 90 * DAY, days=90, key=day.s.leaf.key)
    clients = (day.client(releases[1], leaf),)
    return day.scenario(
        "certificate-expired", releases, releases, now=leaf, before=leaf, clients=clients, untrusting=True
    )


def _no_anchor(day: Day) -> Scenario:
    releases, now = day.good(), replace(day.s.leaf, above=())
    clients = (day.client(releases[1], now),)
    return day.scenario("chain-untrusted", releases, releases, now=now, clients=clients, untrusting=True)


def _down(day: Day) -> Scenario:
    releases = day.good()
    return day.scenario("endpoint-down", releases, releases, edges=(("office", None), ("probe eu-west", None)))


_OTHERS: Mapping[str, Builder] = {
    "captive-portal": _portal, "clock-wrong": _clock, "certificate-expired": _ran_out, "chain-untrusted": _no_anchor,
    "endpoint-down": _down,
}  # fmt: skip

_ALL = {
    "rotation": ROTATIONS, "mitm": INTERCEPTIONS, "misconfiguration": MISTAKES, "not-a-pin-failure": _OTHERS,
}  # fmt: skip
_BUILDERS = {cause: builder for builders in _ALL.values() for cause, builder in builders.items()}
BELONGS = {cause: verdict for verdict, builders in _ALL.items() for cause in builders}


def build(cause: str, start: datetime, end: datetime, seed: int = 0) -> Scenario:
    """The incident of one cause; the same seed and times give the same one."""
    return built(cause, Day(start, end, Random(f"{cause} {seed}")))  # noqa: S311 - reproducible, not secret


def built(cause: str, day: Day) -> Scenario:
    """The same on a given day."""
    return replace(_BUILDERS[cause](day), verdict=BELONGS[cause])
