"""The incident of each cause, as it was built; and what happens that is no pin failure. None of it judges anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random, SystemRandom
from typing import Any

from irkit.drill.day import DAY, MINUTE, Builder, Day
from irkit.drill.interceptions import INTERCEPTIONS, intercepted
from irkit.drill.mistakes import MISTAKES, certificate_hashes
from irkit.drill.rotations import ROTATIONS
from irkit.drill.scenario import Scenario, Shipped
from irkit.drill.traffic import Group

__all__ = ["BELONGS", "SCENARIOS", "build", "built"]


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


# --- the rehearsals that the first triage is learnt on: keys are new each time, the hour and the cohort are not


def _rotation(day: Day) -> Scenario:
    """The edge switched to the next key while two releases in use still lack its pin."""
    made = ROTATIONS["leaf-key-rotated"](day)
    android, ios = (release for release in made.releases if release.name in made.failing)
    clients = (day.client(android, made.now, "eu-west", "AS64496", 31), day.client(ios, made.now, after=48))
    return replace(made, clients=clients)


def _mitm(day: Day) -> Scenario:
    """A network in one region shows its users a certificate of its own CA. The server is as it was."""
    forged = day.leaf(day.root("Web Access CA 3", "Access Networks"), hours=30)
    made = intercepted(day, "interception-untrusted-ca", forged)
    seen = zip(made.clients, (22, 57), strict=True)
    return replace(made, clients=tuple(replace(client, at=day.at + after * MINUTE) for client, after in seen))


def _misconfiguration(day: Day) -> Scenario:
    """A release pins hashes of whole certificates; its failures follow its rollout."""
    import numpy as np

    old, begin = day.good(), (day.at - day.start) / MINUTE
    new = Shipped("android", "4.3.0", certificate_hashes(day), day.at, 0.2)

    def rollout(minutes: Any) -> Any:
        return new.share * np.clip((minutes - begin) / 480, 0, 1)

    def displaced(release: Shipped) -> Group:  # the new release's users come from the other Android releases
        part = release.share / (0.24 + 0.38) if release.platform == "android" else 0.0
        share = lambda minutes: release.share - part * rollout(minutes)  # noqa: E731 - a function of time, as the others
        return Group(release.platform, release.version, share, lambda _region, minutes: 0 * minutes)

    failing = Group("android", new.version, rollout, lambda _region, minutes: 1.0 * (minutes > begin))
    return day.scenario(
        "certificate-hash-pinned", (*old, new), [new], groups=(*map(displaced, old), failing),
        clients=(day.client(new, day.s.leaf, after=95),),
    )  # fmt: skip


def _first(verdict: str, before: timedelta, builder: Builder) -> Callable[[datetime, datetime], Scenario]:
    """A rehearsal in a window, its onset that long before the end."""

    def made(start: datetime, end: datetime) -> Scenario:
        day = Day(start, end, SystemRandom())
        day.at = end - before
        return replace(builder(day), verdict=verdict)

    return made


# From the window's start and end to what happened in it.
SCENARIOS: Mapping[str, Callable[[datetime, datetime], Scenario]] = {
    "rotation": _first("rotation", timedelta(hours=3, minutes=17), _rotation),
    "mitm": _first("mitm", timedelta(hours=2, minutes=41), _mitm),
    "misconfiguration": _first("misconfiguration", timedelta(hours=9, minutes=8), _misconfiguration),
    "quiet": _first("none", timedelta(), lambda day: day.scenario("", day.good())),  # the trickle that never stops
}
