"""A day on which something happens: the service, the dice, and when. What each cause's builder starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from irkit.certificate import Pin
from irkit.drill.pki import Credential, authority, new_key, pin_of
from irkit.drill.scenario import FLEETS, HOST, ClientChain, Key, Scenario, Service, Shipped
from irkit.drill.traffic import REGIONS, Group

__all__ = ["DAY", "HOUR", "MINUTE", "Builder", "Day"]

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_HOSTS = (HOST, "login.example.org", "edge.pay.example.net")
_SCALES = (0.1, 0.4, 1.0, 2.5)
_PARTS = (0.08, 0.2, 0.45, 0.8)


class Day:
    """The service as it was, the dice, and what builders take from them.

    Attributes:
        at: When it happens.
        s: The service.
        region: Where an interceptor stands.
        scale: Traffic, as a multiple of the usual.
        part: Of the validations there, those that go through an interceptor.
    """

    def __init__(self, start: datetime, end: datetime, dice: Random, *, varied: bool = False) -> None:
        """A day in a window; `varied`: with a host, apps, a region and traffic by lot, instead of the usual ones."""
        self.start, self.end, self.dice = start, end, dice
        self.at = end - timedelta(minutes=dice.randint(25, 900) if varied else dice.randint(100, 300))
        host, fleet = (dice.choice(_HOSTS), dice.choice(FLEETS)) if varied else (HOST, FLEETS[0])
        self.region = dice.choice(tuple(REGIONS)) if varied else "ap-south"
        self.scale = dice.choice(_SCALES) if varied else 1.0
        self.part = dice.choice(_PARTS) if varied else 0.45
        self.s = Service.opened(start, dice, host=host, fleet=fleet)

    def key(self) -> Any:
        """A new private key."""
        return new_key(self.dice)

    def pin(self) -> Pin:
        """The pin of a key that nobody has."""
        return pin_of(self.key())

    def leaf(self, issuer: Credential, *, key: Any = None, name: str = "", hours: int = 26) -> Credential:
        """A certificate for the host, issued that many hours before it happens."""
        return issuer.issue(name or self.s.host, at=self.at - hours * HOUR, days=90, key=key or self.key())

    def root(self, name: str, organisation: str) -> Credential:
        """A CA of somebody else's."""
        return authority(name, organisation, at=self.start - 200 * DAY, key=self.key())

    def client(
        self, release: Shipped, saw: Credential, region: str = "us-east", network: str = "AS64499", after: int = 37
    ) -> Any:
        """A failing client that kept the chain it saw, so many minutes after the onset."""
        return ClientChain(release.name, region, network, self.at + after * MINUTE, saw=saw)

    def good(self) -> tuple[Shipped, ...]:
        """The releases, each pinning the key in service and the backup."""
        return self.s.releases((self.s.pin, self.s.backup))

    def owned(self, pin: Pin, name: str = "edge key of next year", status: str = "next", role: str = "leaf") -> Key:
        """A line of the inventory."""
        return Key(pin, name, role, status, self.start - 60 * DAY, (self.s.host,))

    def scenario(
        self,
        cause: str,
        releases: Sequence[Shipped],
        failing: Sequence[Shipped] = (),
        *,
        regions: Sequence[str] = (),
        part: float = 1.0,
        grow: int = 0,
        now: Credential | None = None,
        keys: Sequence[Key] = (),
        **more: Any,
    ) -> Scenario:
        """The day as a value: that part of the failing releases' validations fails there from the onset on.

        Its verdict is left blank: the one who names the builder knows which it is.
        """
        import numpy as np

        begin = (self.at - self.start) / MINUTE

        def group(release: Shipped) -> Group:
            def hit(region: str, minutes: Any) -> Any:
                there = release in failing and (not regions or region in regions)
                shape = np.clip((minutes - begin) / grow, 0, 1) if grow else minutes > begin
                return part * there * shape

            def share(minutes: Any) -> Any:
                rolling = np.clip((minutes - begin) / 240, 0, 1) if release.released >= self.start else 1
                return self.scale * release.share * rolling + 0 * minutes

            return Group(release.family, release.version, share, hit)

        return Scenario(
            **{
                "verdict": "",
                "cause": cause,
                "onset": self.at if failing else None,
                "root": self.s.root,
                "before": self.s.leaf,
                "now": now or self.s.leaf,
                "releases": tuple(releases),
                "groups": tuple(map(group, releases)),
                "keys": self.s.keys(*keys),
                "failing": tuple(release.name for release in failing),
                "host": self.s.host,
            }
            | more
        )


Builder = Callable[[Day], Scenario]
