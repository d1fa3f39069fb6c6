"""What happens beside an incident: a second one, or something that looks like a reason and is none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from irkit.certificate import Pin
from irkit.drill.day import DAY, MINUTE, Day
from irkit.drill.scenario import Part, Scenario, Shipped
from irkit.drill.traffic import Group

__all__ = ["CONFOUNDERS", "SECONDS", "has_room"]


def has_room(scenario: Scenario) -> bool:
    """Whether a second incident beside it can be told from it: vantages agree, and some releases go on connecting."""
    some = 0 < len(scenario.failing) < len(scenario.releases)
    return scenario.verdict in ("rotation", "misconfiguration") and not scenario.edges and some


def _first(scenario: Scenario) -> Part:
    return Part(scenario.verdict, scenario.cause, scenario.failing)


def _intercepted(day: Day, scenario: Scenario, *, public: bool = False) -> Scenario:
    """An interception of one region beside it, which is the graver."""
    import numpy as np

    forged = day.leaf(day.s.issuer if public else day.root("Web Access CA 3", "Access Networks"))
    begin, region, release = (day.at - day.start) / MINUTE, day.region, scenario.releases[1]
    part = max(day.part, 0.2)  # beside another incident, less is lost in it

    def widened(group: Group) -> Group:
        def hit(where: str, minutes: Any) -> Any:
            return np.maximum(group.failing(where, minutes), part * (where == region) * (minutes > begin))

        return replace(group, failing=hit)

    cause = "interception-public-ca" if public else "interception-untrusted-ca"
    return replace(
        scenario,
        verdict="mitm",
        cause=cause,
        parts=(Part("mitm", cause, (), (region,)), _first(scenario)),
        groups=tuple(map(widened, scenario.groups)),
        forged=forged,
        clients=(*scenario.clients, day.client(release, forged, region, "AS64500")),
    )


def _shipped_wrong(day: Day, scenario: Scenario) -> Scenario:
    """A release beside it that pins hashes of whole certificates: misconfiguration is the graver, of the two."""
    served = (scenario.before.signed, *scenario.before.above)
    pins = tuple(Pin(hashlib.sha256(c.public_bytes(Encoding.DER)).digest()) for c in served)
    bad = Shipped("okhttp", "9.0.0", pins, day.at, 0.15, pattern=day.s.host, brand=day.s.fleet[0][0])
    adopted = _adopted(day, bad)
    part = Part("misconfiguration", "certificate-hash-pinned", (bad.name,))
    return replace(
        scenario,
        verdict=part.verdict,
        cause=part.cause,
        parts=(part, _first(scenario)),
        releases=(*scenario.releases, bad),
        groups=(*scenario.groups, replace(adopted, failing=lambda _, minutes: 1.0 + 0 * minutes)),
        failing=(*scenario.failing, bad.name),
    )


def _adopted(day: Day, release: Shipped) -> Group:
    """The users of a release that is rolled out from the onset on, and connect."""
    import numpy as np

    begin = (day.at - day.start) / MINUTE

    def share(minutes: Any) -> Any:
        return day.scale * release.share * np.clip((minutes - begin) / 240, 0, 1)

    return Group(release.family, release.version, share, lambda _, minutes: 0 * minutes)


# A second incident, for a scenario that has room.
SECONDS: tuple[Callable[[Day, Scenario], Scenario], ...] = (
    _intercepted,
    lambda day, scenario: _intercepted(day, scenario, public=True),
    lambda day, scenario: (
        _shipped_wrong(day, scenario) if scenario.verdict == "rotation" else _intercepted(day, scenario)
    ),
)


# --- what is no reason


def _untouched(day: Day, scenario: Scenario) -> bool:
    """Whether the server goes on presenting what it did, on every edge."""
    return scenario.now == scenario.before == day.s.leaf and not scenario.edges


def _renewed(day: Day, scenario: Scenario) -> Scenario:
    """The certificate is renewed at the same hour, with the same key."""
    if not _untouched(day, scenario):
        return scenario
    new = day.leaf(day.s.issuer, key=day.s.leaf.key, hours=1)
    clients = tuple(replace(c, saw=new) if c.saw == day.s.leaf else c for c in scenario.clients)
    return replace(scenario, now=new, clients=clients)


def _released(day: Day, scenario: Scenario) -> Scenario:
    """A release with right pins is rolled out at the same hour."""
    if not _untouched(day, scenario):
        return scenario
    good = Shipped("ios", "9.4", (day.s.pin, day.s.backup), day.at, 0.15, pattern=day.s.host, brand="courier")
    return replace(scenario, releases=(*scenario.releases, good), groups=(*scenario.groups, _adopted(day, good)))


def _dipped(day: Day, scenario: Scenario) -> Scenario:
    """Half of all traffic is gone for forty minutes, in an outage of something else."""
    began = day.dice.randint(200, 1100)

    def dip(group: Group) -> Group:
        return replace(group, share=lambda minutes: group.share(minutes) * (1 - 0.5 * (abs(minutes - began - 20) < 20)))

    return replace(scenario, groups=tuple(map(dip, scenario.groups)))


def _deployed(day: Day, scenario: Scenario) -> Scenario:
    """Something is deployed at the same hour."""
    return replace(scenario, notes=((day.at, "gateway 7.1 deployed"), (day.start - 2 * DAY, "certificates audited")))


CONFOUNDERS: tuple[Callable[[Day, Scenario], Scenario], ...] = (_renewed, _released, _dipped, _deployed)
