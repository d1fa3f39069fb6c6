"""One short builder for each cause: what is served, shipped and seen when it happens. None of them judges anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from irkit.certificate import Pin
from irkit.drill.pki import Credential, authority, new_key, pin_of
from irkit.drill.scenario import HOST, ClientChain, Key, Scenario, Service, Shipped
from irkit.drill.traffic import Group

__all__ = ["BELONGS", "BUILDERS", "build", "with_interception"]

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_PRODUCTS = ("Zscaler Intermediate Root CA", "Fortinet Untrusted CA", "Kaspersky Anti-Virus Personal Root Certificate")
_PROXIES = ("mitmproxy", "Charles Proxy CA", "PortSwigger CA")


class _Day:
    """A day on which something happens: the service, the dice, and when."""

    def __init__(self, start: datetime, end: datetime, dice: Random) -> None:
        self.start, self.end, self.dice = start, end, dice
        self.at = end - timedelta(minutes=dice.randint(100, 300))
        self.s = Service.opened(start, dice)

    def key(self) -> Any:
        return new_key(self.dice)

    def pin(self) -> Pin:
        return pin_of(self.key())

    def leaf(self, issuer: Credential, *, key: Any = None, name: str = HOST, hours: int = 26) -> Credential:
        return issuer.issue(name, at=self.at - hours * _HOUR, days=90, key=key or self.key())

    def root(self, name: str, organisation: str) -> Credential:
        return authority(name, organisation, at=self.start - 200 * _DAY, key=self.key())

    def client(self, release: Shipped, saw: Credential, region: str = "us-east", network: str = "AS64499") -> Any:
        return ClientChain(release.name, region, network, self.at + 37 * _MINUTE, saw=saw)

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
        """The day as a value: that part of the failing releases' validations fails there from the onset on."""
        import numpy as np

        begin = (self.at - self.start) / _MINUTE

        def group(release: Shipped) -> Group:
            def hit(region: str, minutes: Any) -> Any:
                there = release in failing and (not regions or region in regions)
                shape = np.clip((minutes - begin) / grow, 0, 1) if grow else minutes > begin
                return part * there * shape

            def share(minutes: Any) -> Any:
                rolling = np.clip((minutes - begin) / 240, 0, 1) if release.released >= self.start else 1
                return release.share * rolling + 0 * minutes

            return Group(release.family, release.version, share, hit)

        return Scenario(
            **{
                "verdict": BELONGS[cause],
                "cause": cause,
                "onset": self.at if failing else None,
                "root": self.s.root,
                "before": self.s.leaf,
                "now": now or self.s.leaf,
                "releases": tuple(releases),
                "groups": tuple(map(group, releases)),
                "keys": self.s.keys(*keys),
                "failing": tuple(release.name for release in failing),
            }
            | more
        )

    def good(self) -> tuple[Shipped, ...]:
        return self.s.releases((self.s.pin, self.s.backup))

    def owned(self, pin: Pin, name: str = "edge key of next year", status: str = "next", role: str = "leaf") -> Key:
        return Key(pin, name, role, status, self.start - 60 * _DAY)


# --- rotations


def _leaf_key(day: _Day) -> Scenario:
    renewed = day.leaf(day.s.issuer)
    following = pin_of(renewed.key)
    releases = day.s.releases((day.s.pin, following))
    old = [r for r in releases if following not in r.pins]
    clients = (day.client(old[0], renewed),)
    return day.scenario("leaf-key-rotated", releases, old, now=renewed, keys=[day.owned(following)], clients=clients)


def _ca_pins(day: _Day, old: Sequence[Pin], new: Sequence[Pin]) -> tuple[Shipped, ...]:
    return tuple(replace(r, scope="ca") for r in day.s.releases(tuple(new), tuple(old)))


def _intermediate(day: _Day) -> Scenario:
    other = day.s.root.issue("Rehearsal TLS CA E6", at=day.start - 300 * _DAY, days=1800, ca=True, key=day.key())
    first, second = pin_of(day.s.issuer.key), pin_of(other.key)
    releases = _ca_pins(day, (first, day.s.backup), (first, second))
    old = [r for r in releases if second not in r.pins]
    now = day.leaf(other, key=day.s.leaf.key)
    keys = [day.owned(second, "Rehearsal TLS CA E6", role="intermediate")]
    return day.scenario("intermediate-rotated", releases, old, now=now, keys=keys, clients=(day.client(old[0], now),))


def _ca(day: _Day) -> Scenario:
    root = day.root("Second Root S1", "Second Trust Services")
    issuer = root.issue("Second TLS CA 2", at=day.start - 100 * _DAY, days=900, ca=True, key=day.key())
    now, pin = day.leaf(issuer), pin_of(day.s.root.key)
    releases = _ca_pins(day, (pin, day.s.backup), (pin, pin_of(root.key)))
    old = [r for r in releases if pin_of(root.key) not in r.pins]
    keys = [day.owned(pin_of(now.key))]
    return day.scenario(
        "ca-changed", releases, old, now=now, keys=keys, others=(root,), clients=(day.client(old[0], now),)
    )


def _trust_path(day: _Day) -> Scenario:
    newer = day.root("Rehearsal Root R2", "Rehearsal Trust Services")
    issuer = newer.issue("Rehearsal TLS CA E7", at=day.start - 150 * _DAY, days=900, ca=True, key=day.key())
    cross = day.s.root.issue("Rehearsal Root R2", at=day.start - 150 * _DAY, days=900, ca=True, key=newer.key,
                             subject=newer.signed.subject)  # fmt: skip
    leaf = issuer.issue(HOST, at=day.start - 40 * _DAY, days=90, key=day.s.leaf.key)
    leaf = replace(leaf, above=(issuer.signed, cross.signed))
    pins = (pin_of(day.s.root.key), day.s.backup)
    releases = _ca_pins(day, pins, pins)
    failing = [r for r in releases if r.platform == "android"]
    return day.scenario(
        "trust-path-changed", releases, failing, part=0.35, grow=60, now=leaf, before=leaf, others=(newer,)
    )


def _rollout(day: _Day) -> Scenario:
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


# --- interceptions


def _intercepted(day: _Day, cause: str, forged: Credential, part: float = 0.45, **more: Any) -> Scenario:
    releases = day.good()
    clients = tuple(day.client(r, forged, "ap-south", "AS64500") for r in releases[1::2])
    failing = releases if part else ()
    given: dict[str, Any] = {"forged": forged, "clients": clients} | more
    return day.scenario(cause, releases, failing, regions=("ap-south",), part=part, **given)


def _untrusted(day: _Day) -> Scenario:
    forged = day.leaf(day.root("Web Access CA 3", "Access Networks"))
    if day.dice.random() < 0.5:  # the genuine intermediate sent along proves nothing
        forged = replace(forged, above=(day.s.issuer.signed, day.s.root.signed))
    return _intercepted(day, "interception-untrusted-ca", forged)


def _public(day: _Day) -> Scenario:
    root = day.root("Second Root S1", "Second Trust Services")
    other = root.issue("Second TLS CA 2", at=day.start - 100 * _DAY, days=900, ca=True, key=day.key())
    issuer = day.dice.choice((other, day.s.issuer))
    return _intercepted(day, "interception-public-ca", day.leaf(issuer), others=(root,))


def _origin(day: _Day) -> Scenario:
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


def _authorised(day: _Day) -> Scenario:
    ca = day.root("Example Corp Inspection CA", "Example Corp")
    allowed = ((pin_of(ca.key), "Example Corp Inspection CA"),)
    forged = replace(day.leaf(ca), above=(ca.signed,))
    return _intercepted(day, "inspection-authorised", forged, 0.15, allowed=allowed)


def _product(day: _Day) -> Scenario:
    name = day.dice.choice(_PRODUCTS)
    ca = day.root(name, name.split()[0])
    return _intercepted(day, "inspection-product", replace(day.leaf(ca), above=(ca.signed,)), 0.15)


def _user(day: _Day) -> Scenario:
    name = day.dice.choice(_PROXIES)
    ca = day.root(name, name)
    return _intercepted(day, "user-installed-ca", replace(day.leaf(ca, hours=0), above=(ca.signed,)), 0.0)


# --- misconfigurations of a release


def _shipped(day: _Day, cause: str, pins: Sequence[Pin | str], platform: str = "android", **more: Any) -> Scenario:
    """A release with these pins, rolled out from the onset on; only its validations fail."""
    odd = {name: more.pop(name) for name in ("scope", "pattern", "subdomains", "expires", "twice") if name in more}
    version = "8.0" if "ios" in platform else "4.3.0"
    bad = Shipped(platform, version, tuple(pins), day.at, 0.2, **odd)
    releases = (*day.good(), bad)
    clients = (day.client(bad, day.s.leaf),)
    given: dict[str, Any] = {"clients": clients} | more
    return day.scenario(cause, releases, [bad], **given)


def _hashes(*inputs: bytes) -> tuple[Pin, ...]:
    return tuple(Pin(hashlib.sha256(data).digest()) for data in inputs)


def _ders(day: _Day) -> tuple[bytes, bytes]:
    return day.s.leaf.certificate.der, day.s.issuer.certificate.der


def _raw_key(day: _Day) -> Scenario:
    points = [c.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
              for c in (day.s.leaf, day.s.issuer)]  # fmt: skip
    return _shipped(day, "raw-key-hash-pinned", _hashes(*points))


def _text(day: _Day) -> Scenario:
    pems = [c.signed.public_bytes(Encoding.PEM) for c in (day.s.leaf, day.s.issuer)]
    lines = [base64.b64encode(der) + b"\n" for der in _ders(day)]
    return _shipped(day, "text-hash-pinned", _hashes(*day.dice.choice((pems, lines))))


def _reencoded(day: _Day) -> Scenario:
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")  # a P-256 key, its point compressed
    points = [c.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
              for c in (day.s.leaf, day.s.issuer)]  # fmt: skip
    return _shipped(day, "reencoded-pin", _hashes(*(head + point for point in points)))


def _corrupt(day: _Day) -> Scenario:
    pin = day.s.pin.base64
    place = day.dice.randrange(5, 35)
    wrong = pin[:place] + ("B" if pin[place] != "B" else "C") + pin[place + 1 :]
    return _shipped(day, "corrupt-pin", [wrong, wrong], "okhttp")


def _staging(day: _Day) -> Scenario:
    pins = [day.pin(), day.pin()]
    return _shipped(day, "staging-pin", pins, keys=[day.owned(pin, "staging key", "staging") for pin in pins])


def _retired(day: _Day) -> Scenario:
    pins = [day.pin(), day.pin()]
    return _shipped(day, "retired-pin", pins, keys=[day.owned(pin, "key of last year", "retired") for pin in pins])


def _pattern(day: _Day) -> Scenario:
    pins = (day.pin(), day.pin())
    keys = [Key(pin, "key of www", "leaf", "active", day.start - 90 * _DAY, ("www.example.com",)) for pin in pins]
    return _shipped(day, "host-pattern-mismatch", pins, pattern="example.com", subdomains=True, keys=keys)


def _expired_pins(day: _Day) -> Scenario:
    midnight = day.end.replace(hour=0, minute=0)
    day.at = midnight if midnight > day.start + 3 * _HOUR else day.at
    releases = day.s.releases((day.s.pin, day.s.backup))
    old = replace(releases[2], platform="trustkit-ios", expires=f"{midnight:%Y-%m-%d}")
    releases = (*releases[:2], old, releases[3])
    return day.scenario("pin-set-expired", releases, [old], part=0.9, clients=(day.client(old, day.s.leaf),))


# --- misconfigurations of the server


def _wrong_certificate(day: _Day) -> Scenario:
    now = day.leaf(day.s.issuer, name="www.example.com")
    if day.dice.random() < 0.5:
        fake = "Kubernetes Ingress Controller Fake Certificate"
        now = replace(day.leaf(day.root(fake, "Acme Co"), name="ingress.local"), above=())
    releases = day.good()
    return day.scenario(
        "wrong-certificate-served", releases, releases, now=now, clients=(day.client(releases[1], now),)
    )


def _dual(day: _Day) -> Scenario:
    rsa_key = rsa.generate_private_key(65537, 2048)  # the one key that no seed gives
    second = day.leaf(day.s.issuer, key=rsa_key)
    releases = day.s.releases((day.s.pin, pin_of(rsa_key)))
    failing = [r for r in releases if pin_of(rsa_key) not in r.pins and r.platform == "android"]
    edges = (("office, ECDSA", day.s.leaf), ("office, RSA", second))
    keys = [day.owned(pin_of(rsa_key), "RSA key", "active")]
    return day.scenario(
        "dual-certificate",
        releases,
        failing,
        part=0.6,
        keys=keys,
        edges=edges,
        clients=(day.client(failing[0], second),),
    )


def _incomplete(day: _Day) -> Scenario:
    pins = (pin_of(day.s.issuer.key), day.s.backup)
    releases, now = _ca_pins(day, pins, pins), replace(day.s.leaf, above=())
    return day.scenario("incomplete-chain", releases, releases, now=now, clients=(day.client(releases[1], now),))


# --- no pin failures


def _portal(day: _Day) -> Scenario:
    portal = day.leaf(day.root("Hotel Gateway", "Hotel"), name="login.hotel.example", hours=2000)
    return _intercepted(day, "captive-portal", portal, 0.0, untrusting=True)


def _clock(day: _Day) -> Scenario:
    releases = day.good()
    odd = replace(day.client(releases[1], day.s.leaf), at=day.start - 2000 * _DAY)
    return day.scenario("clock-wrong", releases, clients=(odd,), untrusting=True)


def _ran_out(day: _Day) -> Scenario:
    releases = day.good()
    leaf = day.s.issuer.issue(HOST, at=day.at - 90 * _DAY, days=90, key=day.s.leaf.key)
    clients = (day.client(releases[1], leaf),)
    return day.scenario(
        "certificate-expired", releases, releases, now=leaf, before=leaf, clients=clients, untrusting=True
    )


def _no_anchor(day: _Day) -> Scenario:
    releases, now = day.good(), replace(day.s.leaf, above=())
    clients = (day.client(releases[1], now),)
    return day.scenario("chain-untrusted", releases, releases, now=now, clients=clients, untrusting=True)


def _down(day: _Day) -> Scenario:
    releases = day.good()
    return day.scenario("endpoint-down", releases, releases, edges=(("office", None), ("probe eu-west", None)))


def _hex(day: _Day) -> list[str]:
    return [day.s.pin.digest.hex(), day.s.backup.digest.hex()]


_ROTATIONS: Mapping[str, Callable[[_Day], Scenario]] = {
    "leaf-key-rotated": _leaf_key, "intermediate-rotated": _intermediate, "ca-changed": _ca,
    "trust-path-changed": _trust_path, "rollout-in-progress": _rollout,
}  # fmt: skip
_INTERCEPTIONS: Mapping[str, Callable[[_Day], Scenario]] = {
    "interception-untrusted-ca": _untrusted, "interception-public-ca": _public, "origin-replaced": _origin,
    "inspection-authorised": _authorised, "inspection-product": _product, "user-installed-ca": _user,
}  # fmt: skip
_MISTAKES: Mapping[str, Callable[[_Day], Scenario]] = {
    "wrong-pin": lambda day: _shipped(day, "wrong-pin", [day.pin(), day.pin()]),
    "certificate-hash-pinned": lambda day: _shipped(day, "certificate-hash-pinned", _hashes(*_ders(day))),
    "raw-key-hash-pinned": _raw_key,
    "text-hash-pinned": _text,
    "empty-input-pin": lambda day: _shipped(day, "empty-input-pin", _hashes(b"", b"\n")),
    "reencoded-pin": _reencoded,
    "hex-pin": lambda day: _shipped(day, "hex-pin", _hex(day), "okhttp"),
    "base64-of-hex-pin": lambda day: _shipped(
        day, "base64-of-hex-pin", [base64.b64encode(text.encode()).decode() for text in _hex(day)], "okhttp"
    ),
    "corrupt-pin": _corrupt,
    "placeholder-pin": lambda day: _shipped(day, "placeholder-pin", ["A" * 43 + "="] * 2),
    "staging-pin": _staging,
    "retired-pin": _retired,
    "pin-in-wrong-position": lambda day: _shipped(
        day, "pin-in-wrong-position", [day.s.pin, day.s.backup], "ios", scope="ca"
    ),
    "host-pattern-mismatch": _pattern,
    "pin-set-expired": _expired_pins,
    "config-rejected": lambda day: _shipped(day, "config-rejected", [day.s.pin, day.s.backup], twice=True),
    "wrong-certificate-served": _wrong_certificate,
    "dual-certificate": _dual,
    "incomplete-chain": _incomplete,
}
_OTHERS: Mapping[str, Callable[[_Day], Scenario]] = {
    "captive-portal": _portal, "clock-wrong": _clock, "certificate-expired": _ran_out, "chain-untrusted": _no_anchor,
    "endpoint-down": _down,
}  # fmt: skip

_ALL = {
    "rotation": _ROTATIONS, "mitm": _INTERCEPTIONS, "misconfiguration": _MISTAKES, "not-a-pin-failure": _OTHERS,
}  # fmt: skip
BUILDERS = {cause: builder for builders in _ALL.values() for cause, builder in builders.items()}
BELONGS = {cause: verdict for verdict, builders in _ALL.items() for cause in builders}


def build(cause: str, start: datetime, end: datetime, seed: int = 0) -> Scenario:
    """The incident of one cause; the same seed and times give the same one."""
    return BUILDERS[cause](_Day(start, end, Random(f"{cause} {seed}")))  # noqa: S311 - reproducible, not secret


def with_interception(scenario: Scenario, start: datetime, end: datetime, dice: Random) -> Scenario:
    """The scenario with an interception of one region beside it: that one is the graver."""
    import numpy as np

    day = _Day(start, end, dice)
    forged = day.leaf(day.root("Web Access CA 3", "Access Networks"))
    begin = (day.at - start) / _MINUTE
    release = scenario.releases[1]

    def widened(group: Group) -> Group:
        def hit(region: str, minutes: Any) -> Any:
            return np.maximum(group.failing(region, minutes), 0.5 * (region == "ap-south") * (minutes > begin))

        return replace(group, failing=hit)

    return replace(
        scenario,
        verdict="mitm",
        cause="interception-untrusted-ca",
        groups=tuple(map(widened, scenario.groups)),
        forged=forged,
        clients=(*scenario.clients, day.client(release, forged, "ap-south", "AS64500")),
    )
