"""What a rehearsal is made of: what happened, to whom and when. It knows its answer from how it is built."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from irkit.certificate import Pin
from irkit.drill.pki import Credential, authority, new_key, pin_of
from irkit.drill.traffic import Group

__all__ = [
    "FLEETS", "HOST", "WINDOW", "ClientChain", "Key", "Part", "Scenario", "Service", "Shipped",
]  # fmt: skip

HOST = "api.example.com"
WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Key:
    """A line of keys.toml."""

    pin: Pin
    name: str
    role: str
    status: str
    since: datetime
    hosts: tuple[str, ...] = (HOST,)


@dataclass(frozen=True, slots=True)
class Shipped:
    """A release with the pins it ships.

    Attributes:
        pins: A pin, or whatever text stands in its place.
        share: Its part of all validations at the end of the window.
        scope: Where iOS looks for the pins: leaf or ca.
        twice: Names its domain twice, which Android refuses.
        brand: The app, whatever it runs on.
    """

    platform: str
    version: str
    pins: tuple[Pin | str, ...]
    released: datetime
    share: float
    scope: str = "leaf"
    pattern: str = HOST
    subdomains: bool = False
    expires: str = ""
    twice: bool = False
    brand: str = "shop"

    @property
    def family(self) -> str:
        """The platform as the metrics call it."""
        return "ios" if "ios" in self.platform else "android"

    @property
    def app(self) -> str:
        """The app, as `shop-ios`."""
        return f"{self.brand}-{self.platform}"

    @property
    def name(self) -> str:
        """App and version."""
        return f"{self.app} {self.version}"


@dataclass(frozen=True, slots=True)
class ClientChain:
    """A client that failed and kept the chain it saw: through the interceptor, or straight from the server.

    Attributes:
        saw: The chain itself, where it is neither.
        devices: How many devices report it.
    """

    release: str
    region: str
    network: str
    at: datetime
    intercepted: bool = False
    saw: Credential | None = None
    devices: int = 4


@dataclass(frozen=True, slots=True)
class Part:
    """One of the incidents that happen at once.

    Attributes:
        releases: Names of those that fail for it.
        regions: Where they do; empty for everywhere.
    """

    verdict: str
    cause: str
    releases: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One rehearsal.

    Attributes:
        verdict, cause: The right answer. An empty cause goes with the verdict `none`.
        onset: When it began; None when nothing did.
        before, now: What the genuine server presented before the onset, and presents now.
        root: The root to trust.
        forged: What the interceptor presents; None without one.
        groups: The traffic.
        clients: Failing clients that kept a chain.
        failing: The releases whose validations fail because of it.
        edges: Vantages and what each is presented, where they differ.
        others: More roots to trust.
        allowed: Inspection CAs that the inventory allows, with their names.
        untrusting: The clients report that the chain is not trusted, rather than that no pin matches.
        parts: Each of the incidents, where there are several at once; `verdict` and `cause` are the gravest one's.
        notes: What the owner wrote down besides: when, and what.
    """

    verdict: str
    cause: str
    onset: datetime | None
    root: Credential
    before: Credential
    now: Credential
    releases: tuple[Shipped, ...]
    groups: tuple[Group, ...]
    keys: tuple[Key, ...]
    forged: Credential | None = None
    clients: tuple[ClientChain, ...] = ()
    failing: tuple[str, ...] = ()
    host: str = HOST
    edges: tuple[tuple[str, Credential | None], ...] = ()
    others: tuple[Credential, ...] = ()
    allowed: tuple[tuple[Pin, str], ...] = ()
    untrusting: bool = False
    parts: tuple[Part, ...] = ()
    notes: tuple[tuple[datetime, str], ...] = ()

    @property
    def vantages(self) -> tuple[tuple[str, Credential | None], ...]:
        """Trusted vantages, and what each is presented; None where nothing answers."""
        return self.edges or (("office", self.now), ("probe eu-west", self.now))


# Releases in use: app, platform, version, days before the window, share, and whether it ships the newer pins.
Fleet = tuple[tuple[str, str, str, int, float, bool], ...]
FLEETS: tuple[Fleet, ...] = (
    (
        ("shop", "android", "4.1.0", 120, 0.24, False), ("shop", "android", "4.2.0", 35, 0.38, True),
        ("shop", "ios", "7.2", 110, 0.11, False), ("shop", "ios", "7.3", 30, 0.27, True),
    ),
    (
        ("bank", "okhttp", "5.8.0", 90, 0.31, False), ("bank", "okhttp", "5.9.1", 21, 0.27, True),
        ("bank", "trustkit-ios", "3.11", 95, 0.12, False), ("bank", "trustkit-ios", "3.12", 25, 0.30, True),
    ),
    (
        ("shop", "android", "4.1.0", 120, 0.15, False), ("shop", "android", "4.2.0", 35, 0.25, True),
        ("shop", "ios", "7.2", 110, 0.10, False), ("shop", "ios", "7.3", 30, 0.20, True),
        ("courier", "trustkit-android", "1.14", 70, 0.12, False),
        ("courier", "trustkit-android", "1.15", 14, 0.18, True),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Service:
    """The service that every rehearsal begins with: its CA, its leaf, and a backup key that never served."""

    start: datetime
    root: Credential
    issuer: Credential
    leaf: Credential
    backup: Pin
    host: str = HOST
    fleet: Fleet = FLEETS[0]

    @classmethod
    def opened(
        cls, start: datetime, dice: Random | None = None, *, host: str = HOST, fleet: Fleet = FLEETS[0]
    ) -> Service:
        """A new service; with `dice`, the same one for the same seed."""
        born = start - timedelta(days=900)
        root = authority("Rehearsal Root R1", "Rehearsal Trust Services", at=born, key=new_key(dice))
        issued = start - timedelta(days=400)
        issuer = root.issue("Rehearsal TLS CA E5", at=issued, days=1800, ca=True, key=new_key(dice))
        leaf = issuer.issue(host, at=start - timedelta(days=40), days=90, key=new_key(dice))
        return cls(start, root, issuer, leaf, pin_of(new_key(dice)), host, fleet)

    @property
    def pin(self) -> Pin:
        """The leaf's."""
        return pin_of(self.leaf.key)

    def keys(self, *more: Key) -> tuple[Key, ...]:
        """The inventory, with more keys."""
        since, hosts = self.start - timedelta(days=400), (self.host,)
        return (
            Key(self.pin, "edge key of this year", "leaf", "active", since, hosts),
            *more,
            Key(self.backup, "backup key, in the safe", "leaf", "backup", since, hosts),
            Key(pin_of(self.issuer.key), "Rehearsal TLS CA E5", "intermediate", "active", since, hosts),
        )

    def releases(self, new: tuple[Pin, ...], old: tuple[Pin, ...] = ()) -> tuple[Shipped, ...]:
        """The releases in use. The newer one of each app ships `new`."""
        old = old or (self.pin, self.backup)
        return tuple(
            Shipped(platform, version, new if newer else old, self.start - timedelta(days=days), share,
                    pattern=self.host, brand=brand)
            for brand, platform, version, days, share, newer in self.fleet
        )  # fmt: skip
