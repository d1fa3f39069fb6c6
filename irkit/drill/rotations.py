"""Rotations: what is served, shipped and seen when the server side changes. None of it judges anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from irkit.certificate import Pin
from irkit.drill.day import DAY, Builder, Day
from irkit.drill.pki import pin_of
from irkit.drill.scenario import FLEETS, Scenario, Shipped

__all__ = ["ROTATIONS", "ca_pins"]


def _leaf_key(day: Day) -> Scenario:
    renewed = day.leaf(day.s.issuer)
    following = pin_of(renewed.key)
    releases = day.s.releases((day.s.pin, following))
    old = [r for r in releases if following not in r.pins]
    clients = (day.client(old[0], renewed),)
    return day.scenario("leaf-key-rotated", releases, old, now=renewed, keys=[day.owned(following)], clients=clients)


def ca_pins(day: Day, old: Sequence[Pin], new: Sequence[Pin]) -> tuple[Shipped, ...]:
    """The releases in use, pinning CAs; the newer of each app pins the new ones."""
    return tuple(replace(r, scope="ca") for r in day.s.releases(tuple(new), tuple(old)))


def _intermediate(day: Day) -> Scenario:
    other = day.s.root.issue("Rehearsal TLS CA E6", at=day.start - 300 * DAY, days=1800, ca=True, key=day.key())
    first, second = pin_of(day.s.issuer.key), pin_of(other.key)
    releases = ca_pins(day, (first, day.s.backup), (first, second))
    old = [r for r in releases if second not in r.pins]
    now = day.leaf(other, key=day.s.leaf.key)
    keys = [day.owned(second, "Rehearsal TLS CA E6", role="intermediate")]
    return day.scenario("intermediate-rotated", releases, old, now=now, keys=keys, clients=(day.client(old[0], now),))


def _ca(day: Day) -> Scenario:
    root = day.root("Second Root S1", "Second Trust Services")
    issuer = root.issue("Second TLS CA 2", at=day.start - 100 * DAY, days=900, ca=True, key=day.key())
    now, pin = day.leaf(issuer), pin_of(day.s.root.key)
    releases = ca_pins(day, (pin, day.s.backup), (pin, pin_of(root.key)))
    old = [r for r in releases if pin_of(root.key) not in r.pins]
    keys = [day.owned(pin_of(now.key))]
    return day.scenario(
        "ca-changed", releases, old, now=now, keys=keys, others=(root,), clients=(day.client(old[0], now),)
    )


def _trust_path(day: Day) -> Scenario:
    day.s = replace(day.s, fleet=FLEETS[0])  # Android's path and Apple's differ
    newer = day.root("Rehearsal Root R2", "Rehearsal Trust Services")
    issuer = newer.issue("Rehearsal TLS CA E7", at=day.start - 150 * DAY, days=900, ca=True, key=day.key())
    cross = day.s.root.issue("Rehearsal Root R2", at=day.start - 150 * DAY, days=900, ca=True, key=newer.key,
                             subject=newer.signed.subject)  # fmt: skip
    leaf = issuer.issue(day.s.host, at=day.start - 40 * DAY, days=90, key=day.s.leaf.key)
    leaf = replace(leaf, above=(issuer.signed, cross.signed))
    pins = (pin_of(day.s.root.key), day.s.backup)
    releases = ca_pins(day, pins, pins)
    failing = [r for r in releases if r.platform == "android"]
    return day.scenario(
        "trust-path-changed", releases, failing, part=0.35, grow=60, now=leaf, before=leaf, others=(newer,)
    )


def _rollout(day: Day) -> Scenario:
    renewed = day.leaf(day.s.issuer)
    following = pin_of(renewed.key)
    releases = day.s.releases((day.s.pin, following))
    old = [r for r in releases if following not in r.pins]
    edges = (("probe eu-west", renewed), ("probe eu-west 2", renewed), ("probe ap-south", day.s.leaf))
    clients = (day.client(old[0], renewed, "eu-west"),)
    return day.scenario(
        "rollout-in-progress", releases, old, regions=("eu-west",), now=renewed, edges=edges,
        keys=[day.owned(following)], clients=clients,
    )  # fmt: skip


ROTATIONS: Mapping[str, Builder] = {
    "leaf-key-rotated": _leaf_key, "intermediate-rotated": _intermediate, "ca-changed": _ca,
    "trust-path-changed": _trust_path, "rollout-in-progress": _rollout,
}  # fmt: skip
