"""Incidents whose evidence can't decide: what a responder gets is the same, byte for byte, under two truths.

Each builder is given the truth by lot, harmless or a MITM, and must not let it change anything that is written down:
then the right answer is `inconclusive`, whoever judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from irkit.drill.day import Day
from irkit.drill.mistakes import default_certificate
from irkit.drill.pki import Credential
from irkit.drill.scenario import Scenario

__all__ = ["TWINS", "Twin"]


@dataclass(frozen=True, slots=True)
class Twin:
    """Two truths with one appearance.

    Attributes:
        harmless, mitm: The cause under either truth; empty for a day on which nothing happened.
        shows: What there is to see of both.
        lacking: Sources that neither leaves.
    """

    harmless: str
    mitm: str
    shows: Callable[[Day], Scenario]
    lacking: tuple[str, ...] = ()


def _region(day: Day) -> Scenario:
    """One region's edges switched to a key that nobody pins, or somebody there intercepts everyone."""
    releases = day.good()
    return day.scenario("", releases, releases, regions=(day.region,))


def _part(day: Day) -> Scenario:
    """Some of a region's edges did, or somebody intercepts some of its networks."""
    releases = day.good()
    return day.scenario("", releases, releases, regions=(day.region,), part=day.dice.choice((0.3, 0.45, 0.7)))


def _new_key(day: Day) -> Scenario:
    """Everyone is presented another key of the same CA: the owner's new one, or that of whoever took the name over."""
    releases, now = day.good(), day.leaf(day.s.issuer)
    return day.scenario("", releases, releases, now=now, clients=(day.client(releases[1], now),))


def _default(day: Day) -> Scenario:
    """Everyone is presented a default certificate that is on no list: the ingress's, or an impostor's."""
    releases, now = day.good(), default_certificate(day)
    return day.scenario("", releases, releases, now=now, clients=(day.client(releases[1], now),))


def _one_vantage_differs(day: Day) -> Scenario:
    """An edge has a new key already, or somebody is in the path of that vantage."""
    releases, new = day.good(), day.leaf(day.s.issuer)
    edges = (("office", new), ("probe eu-west", day.s.leaf), ("probe us-east", day.s.leaf))
    return day.scenario("", releases, releases, part=0.4, edges=edges, clients=(day.client(releases[1], new),))


def _cut_off(day: Day, *seen: Credential, part: float = 0.45) -> Scenario:
    """No vantage gets through, and clients fail."""
    releases, nothing = day.good(), (("office", None), ("probe eu-west", None))
    clients = tuple(day.client(releases[1], saw, day.region, "AS64500") for saw in seen)
    return day.scenario("", releases, releases, regions=(day.region,), part=part, edges=nothing, clients=clients)


def _short(day: Day) -> Scenario:
    """A leaf alone, with a key that nothing accounts for: its intermediate was left out, or it is an impostor's."""
    releases, now = day.good(), replace(day.leaf(day.s.issuer), above=())
    clients = (day.client(releases[1], now),)
    return day.scenario("", releases, releases, now=now, clients=clients, untrusting=True)


def _unnoticed(day: Day) -> Scenario:
    """Nothing fails, since the releases pin the CA; every vantage sees a leaf key that the owner did not list."""
    from irkit.drill.pki import pin_of
    from irkit.drill.rotations import ca_pins

    pins = (pin_of(day.s.issuer.key), day.s.backup)
    return day.scenario("", ca_pins(day, pins, pins), now=day.leaf(day.s.issuer))


TWINS: Mapping[str, Twin] = {
    "counts of one region": Twin("rollout-in-progress", "interception-untrusted-ca", _region),
    "counts of part of a region": Twin("rollout-in-progress", "interception-untrusted-ca", _part),
    "a new key at one vantage": Twin("leaf-key-rotated", "origin-replaced", _new_key, ("inventory", "second vantage")),
    "a new key at every vantage": Twin("leaf-key-rotated", "origin-replaced", _new_key, ("inventory",)),
    "a new key that is not listed": Twin("leaf-key-rotated", "origin-replaced", _new_key),
    "a new key, and nothing known of before": Twin("wrong-pin", "origin-replaced", _new_key, ("inventory", "history")),
    "a default certificate": Twin("wrong-certificate-served", "origin-replaced", _default),
    "a default certificate, nothing listed": Twin("wrong-certificate-served", "origin-replaced", _default,
                                                  ("inventory",)),
    "one vantage differs": Twin("rollout-in-progress", "origin-replaced", _one_vantage_differs, ("inventory",)),
    "clients' reports alone": Twin("leaf-key-rotated", "interception-public-ca",
                                   lambda day: _cut_off(day, day.leaf(day.s.issuer)),
                                   ("captures", "history", "inventory")),
    "clients' reports of a default certificate": Twin("wrong-certificate-served", "interception-untrusted-ca",
                                                      lambda day: _cut_off(day, default_certificate(day), part=0.9),
                                                      ("captures", "history", "inventory")),
    "vantages cut off": Twin("endpoint-down", "interception-untrusted-ca", _cut_off),
    "a leaf alone": Twin("chain-untrusted", "origin-replaced", _short, ("inventory", "history")),
    "an unlisted key that nobody notices": Twin("", "origin-replaced", _unnoticed),
}  # fmt: skip
