"""The rehearsals: what happened, to whom and when. Each knows its answer from how it is built, not from judging it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from irkit.certificate import Pin
from irkit.drill.pki import Credential, authority, new_key, pin_of
from irkit.drill.traffic import Group

if TYPE_CHECKING:
    from irkit.drill.traffic import Minutes

__all__ = [
    "FLEETS", "HOST", "SCENARIOS", "WINDOW", "ClientChain", "Key", "Part", "Scenario", "Service", "Shipped",
]  # fmt: skip

HOST = "api.example.com"
WINDOW = timedelta(hours=24)
_MINUTE = timedelta(minutes=1)


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


def _nobody(_region: str, minutes: Minutes) -> Minutes:
    return 0 * minutes


def _steady(release: Shipped, failing: Callable[[str, Minutes], Minutes] = _nobody) -> Group:
    return Group(release.platform, release.version, lambda minutes: release.share + 0 * minutes, failing)


def _since(start: datetime, onset: datetime, part: float = 1.0) -> Callable[[str, Minutes], Minutes]:
    """A step: from the onset on, that part fails. A sample counts the minute before it."""
    return lambda _region, minutes: part * (minutes > (onset - start) / _MINUTE)


def _rotation(start: datetime, end: datetime) -> Scenario:
    """The edge switched to the next key while two releases in use still lack its pin."""
    service, onset = Service.opened(start), end - timedelta(hours=3, minutes=17)
    renewed = service.issuer.issue(HOST, at=onset - timedelta(hours=26), days=90)
    following = pin_of(renewed.key)
    releases = service.releases((service.pin, following))
    lacking = [release for release in releases if following not in release.pins]
    return Scenario(
        verdict="rotation",
        cause="leaf-key-rotated",
        onset=onset,
        root=service.root,
        before=service.leaf,
        now=renewed,
        releases=releases,
        groups=tuple(_steady(release, _since(start, onset) if release in lacking else _nobody) for release in releases),
        keys=service.keys(Key(following, "edge key of next year", "leaf", "next", start - timedelta(days=60))),
        clients=(
            ClientChain("shop-android 4.1.0", "eu-west", "AS64496", onset + timedelta(minutes=31)),
            ClientChain("shop-ios 7.2", "us-east", "AS64499", onset + timedelta(minutes=48)),
        ),
        failing=tuple(release.name for release in lacking),
    )


def _mitm(start: datetime, end: datetime) -> Scenario:
    """A network in one region shows its users a certificate of its own CA. The server is as it was."""
    service, onset = Service.opened(start), end - timedelta(hours=2, minutes=41)
    unknown = authority("Web Access CA 3", "Access Networks", at=onset - timedelta(days=200))
    releases = service.releases((service.pin, service.backup))

    def failing(region: str, minutes: Minutes) -> Minutes:
        return (0.45 if region == "ap-south" else 0.0) * (minutes > (onset - start) / _MINUTE)

    return Scenario(
        verdict="mitm",
        cause="interception-untrusted-ca",
        onset=onset,
        root=service.root,
        before=service.leaf,
        now=service.leaf,
        releases=releases,
        groups=tuple(_steady(release, failing) for release in releases),
        keys=service.keys(),
        forged=unknown.issue(HOST, at=onset - timedelta(hours=30), days=365),
        clients=(
            ClientChain("shop-android 4.2.0", "ap-south", "AS64500", onset + timedelta(minutes=22), intercepted=True),
            ClientChain("shop-ios 7.3", "ap-south", "AS64500", onset + timedelta(minutes=57), intercepted=True),
        ),
        failing=tuple(release.name for release in releases),
    )


def _misconfiguration(start: datetime, end: datetime) -> Scenario:
    """A release pins hashes of whole certificates; its failures follow its rollout."""
    import numpy as np

    service, onset = Service.opened(start), end - timedelta(hours=9, minutes=8)
    certificates = (service.leaf.certificate, service.issuer.certificate)
    hashes = tuple(Pin(bytes.fromhex(certificate.sha256)) for certificate in certificates)
    old = service.releases((service.pin, service.backup))
    new = Shipped("android", "4.3.0", hashes, onset, 0.2)

    def rollout(minutes: Minutes) -> Minutes:
        return new.share * np.clip((minutes - (onset - start) / _MINUTE) / 480, 0, 1)

    def displaced(release: Shipped) -> Group:  # the new release's users come from the other Android releases
        part = release.share / (0.24 + 0.38) if release.platform == "android" else 0.0
        share = lambda minutes: release.share - part * rollout(minutes)  # noqa: E731 - a function of time, as the others
        return Group(release.platform, release.version, share, _nobody)

    return Scenario(
        verdict="misconfiguration",
        cause="certificate-hash-pinned",
        onset=onset,
        root=service.root,
        before=service.leaf,
        now=service.leaf,
        releases=(*old, new),
        groups=(*map(displaced, old), Group("android", new.version, rollout, _since(start, onset))),
        keys=service.keys(),
        clients=(ClientChain(new.name, "us-east", "AS64499", onset + timedelta(minutes=95)),),
        failing=(new.name,),
    )


def _quiet(start: datetime, _end: datetime) -> Scenario:
    """A day like any other: the trickle of failures that never stops."""
    service = Service.opened(start)
    releases = service.releases((service.pin, service.backup))
    return Scenario(
        verdict="none",
        cause="",
        onset=None,
        root=service.root,
        before=service.leaf,
        now=service.leaf,
        releases=releases,
        groups=tuple(map(_steady, releases)),
        keys=service.keys(),
    )


# From the window's start and end to what happened in it.
SCENARIOS: Mapping[str, Callable[[datetime, datetime], Scenario]] = {
    "rotation": _rotation,
    "mitm": _mitm,
    "misconfiguration": _misconfiguration,
    "quiet": _quiet,
}
