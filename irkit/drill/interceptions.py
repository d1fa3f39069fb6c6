"""Interceptions: somebody between the users and the server, or in its place. None of it judges anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from irkit.drill.day import DAY, Builder, Day
from irkit.drill.pki import Credential, pin_of
from irkit.drill.scenario import Scenario

__all__ = ["INTERCEPTIONS", "intercepted"]

_PRODUCTS = ("Zscaler Intermediate Root CA", "Fortinet Untrusted CA", "Kaspersky Anti-Virus Personal Root Certificate")
_PROXIES = ("mitmproxy", "Charles Proxy CA", "PortSwigger CA")


def intercepted(day: Day, cause: str, forged: Credential, part: float | None = None, **more: Any) -> Scenario:
    """One region's clients are presented that chain, and that part of their validations fails."""
    releases, part = day.good(), day.part if part is None else part
    clients = tuple(day.client(r, forged, day.region, "AS64500") for r in releases[1::2])
    failing = releases if part else ()
    given: dict[str, Any] = {"forged": forged, "clients": clients} | more
    return day.scenario(cause, releases, failing, regions=(day.region,), part=part, **given)


def _untrusted(day: Day) -> Scenario:
    forged = day.leaf(day.root("Web Access CA 3", "Access Networks"))
    if day.dice.random() < 0.5:  # the genuine intermediate sent along proves nothing
        forged = replace(forged, above=(day.s.issuer.signed, day.s.root.signed))
    return intercepted(day, "interception-untrusted-ca", forged)


def _public(day: Day) -> Scenario:
    root = day.root("Second Root S1", "Second Trust Services")
    other = root.issue("Second TLS CA 2", at=day.start - 100 * DAY, days=900, ca=True, key=day.key())
    issuer = day.dice.choice((other, day.s.issuer))
    return intercepted(day, "interception-public-ca", day.leaf(issuer), others=(root,))


def _origin(day: Day) -> Scenario:
    releases, keys = day.good(), []
    variant = day.dice.randrange(3)
    edges: tuple[tuple[str, Credential], ...] = ()
    now = day.leaf(day.root("Web Access CA 3", "Access Networks")) if variant == 0 else day.leaf(day.s.issuer)
    if variant == 1:
        keys = [day.owned(pin_of(now.key), "key lost in the spring", "compromised")]
    if variant == 2:
        edges = (("office", now), ("probe eu-west", day.s.leaf), ("probe us-east", now))
    return day.scenario(
        "origin-replaced", releases, releases, now=now, keys=keys, edges=edges, clients=(day.client(releases[1], now),)
    )


def _authorised(day: Day) -> Scenario:
    ca = day.root("Example Corp Inspection CA", "Example Corp")
    allowed = ((pin_of(ca.key), "Example Corp Inspection CA"),)
    forged = replace(day.leaf(ca), above=(ca.signed,))
    return intercepted(day, "inspection-authorised", forged, 0.15, allowed=allowed)


def _product(day: Day) -> Scenario:
    name = day.dice.choice(_PRODUCTS)
    ca = day.root(name, name.split()[0])
    return intercepted(day, "inspection-product", replace(day.leaf(ca), above=(ca.signed,)), 0.15)


def _user(day: Day) -> Scenario:
    name = day.dice.choice(_PROXIES)
    ca = day.root(name, name)
    made = intercepted(day, "user-installed-ca", replace(day.leaf(ca, hours=0), above=(ca.signed,)), 0.0)
    return replace(made, clients=tuple(replace(client, devices=1) for client in made.clients))


INTERCEPTIONS: Mapping[str, Builder] = {
    "interception-untrusted-ca": _untrusted, "interception-public-ca": _public, "origin-replaced": _origin,
    "inspection-authorised": _authorised, "inspection-product": _product, "user-installed-ca": _user,
}  # fmt: skip
