"""Misconfigurations, of a release's pins and of what the server presents. None of it judges anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from irkit.certificate import Pin
from irkit.drill.day import DAY, HOUR, Builder, Day
from irkit.drill.pki import Credential, pin_of
from irkit.drill.rotations import ca_pins
from irkit.drill.scenario import Key, Scenario, Shipped

__all__ = ["MISTAKES", "certificate_hashes", "default_certificate", "shipped"]

# --- of a release


def shipped(day: Day, cause: str, pins: Sequence[Pin | str], platform: str = "android", **more: Any) -> Scenario:
    """A release with these pins, rolled out from the onset on; only its validations fail."""
    odd: dict[str, Any] = {
        name: more.pop(name) for name in ("scope", "pattern", "subdomains", "expires", "twice") if name in more
    }
    version = "8.0" if "ios" in platform else "6.0.0"
    odd = {"pattern": day.s.host, "brand": day.s.fleet[0][0], **odd}
    bad = Shipped(platform, version, tuple(pins), day.at, 0.2, **odd)
    releases = (*day.good(), bad)
    clients = (day.client(bad, day.s.leaf),)
    given: dict[str, Any] = {"clients": clients} | more
    return day.scenario(cause, releases, [bad], **given)


def _hashes(*inputs: bytes) -> tuple[Pin, ...]:
    return tuple(Pin(hashlib.sha256(data).digest()) for data in inputs)


def certificate_hashes(day: Day) -> tuple[Pin, ...]:
    """Pins that hash whole certificates, the leaf's and its issuer's."""
    return _hashes(*_ders(day))


def _ders(day: Day) -> tuple[bytes, bytes]:
    return day.s.leaf.certificate.der, day.s.issuer.certificate.der


def _raw_key(day: Day) -> Scenario:
    points = [c.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
              for c in (day.s.leaf, day.s.issuer)]  # fmt: skip
    return shipped(day, "raw-key-hash-pinned", _hashes(*points))


def _text(day: Day) -> Scenario:
    pems = [c.signed.public_bytes(Encoding.PEM) for c in (day.s.leaf, day.s.issuer)]
    lines = [base64.b64encode(der) + b"\n" for der in _ders(day)]
    return shipped(day, "text-hash-pinned", _hashes(*day.dice.choice((pems, lines))))


def _reencoded(day: Day) -> Scenario:
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")  # a P-256 key, its point compressed
    points = [c.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
              for c in (day.s.leaf, day.s.issuer)]  # fmt: skip
    return shipped(day, "reencoded-pin", _hashes(*(head + point for point in points)))


def _corrupt(day: Day) -> Scenario:
    pin = day.s.pin.base64
    place = day.dice.randrange(5, 35)
    wrong = pin[:place] + ("B" if pin[place] != "B" else "C") + pin[place + 1 :]
    return shipped(day, "corrupt-pin", [wrong, wrong], "okhttp")


def _staging(day: Day) -> Scenario:
    pins = [day.pin(), day.pin()]
    return shipped(day, "staging-pin", pins, keys=[day.owned(pin, "staging key", "staging") for pin in pins])


def _retired(day: Day) -> Scenario:
    pins = [day.pin(), day.pin()]
    return shipped(day, "retired-pin", pins, keys=[day.owned(pin, "key of last year", "retired") for pin in pins])


def _pattern(day: Day) -> Scenario:
    pins, parent = (day.pin(), day.pin()), day.s.host.partition(".")[2]
    keys = [Key(pin, "key of www", "leaf", "active", day.start - 90 * DAY, (f"www.{parent}",)) for pin in pins]
    return shipped(day, "host-pattern-mismatch", pins, pattern=parent, subdomains=True, keys=keys)


def _expired_pins(day: Day) -> Scenario:
    midnight = day.end.replace(hour=0, minute=0)
    day.at = midnight if midnight > day.start + 3 * HOUR else day.at
    releases = day.s.releases((day.s.pin, day.s.backup))
    old = replace(releases[2], platform="trustkit-ios", expires=f"{midnight:%Y-%m-%d}")
    releases = (*releases[:2], old, *releases[3:])
    return day.scenario("pin-set-expired", releases, [old], part=0.9, clients=(day.client(old, day.s.leaf),))


def _hex(day: Day) -> list[str]:
    return [day.s.pin.digest.hex(), day.s.backup.digest.hex()]


# --- of the server


def _wrong_certificate(day: Day) -> Scenario:
    """Another host's certificate, or the default one: the inventory lists its key, for another host or as staging."""
    other = "www." + day.s.host.partition(".")[2]
    now, key = day.leaf(day.s.issuer, name=other), day.key()
    keys = [Key(pin_of(now.key), "key of www", "leaf", "active", day.start - 90 * DAY, (other,))]
    if day.dice.random() < 0.5:
        now = default_certificate(day, key)
        keys = [day.owned(pin_of(key), "the ingress's default certificate", "staging")]
    releases = day.good()
    return day.scenario(
        "wrong-certificate-served", releases, releases, now=now, keys=keys, clients=(day.client(releases[1], now),)
    )


def default_certificate(day: Day, key: Any = None) -> Credential:
    """What an ingress presents that has none for the host."""
    fake = "Kubernetes Ingress Controller Fake Certificate"
    return replace(day.leaf(day.root(fake, "Acme Co"), name="ingress.local", key=key), above=())


def _dual(day: Day) -> Scenario:
    rsa_key = rsa.generate_private_key(65537, 2048)  # the one key that no seed gives
    second = day.leaf(day.s.issuer, key=rsa_key)
    releases = day.s.releases((day.s.pin, pin_of(rsa_key)))
    failing = [r for r in releases if pin_of(rsa_key) not in r.pins and r.family == "android"]
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


def _incomplete(day: Day) -> Scenario:
    pins = (pin_of(day.s.issuer.key), day.s.backup)
    releases, now = ca_pins(day, pins, pins), replace(day.s.leaf, above=())
    return day.scenario("incomplete-chain", releases, releases, now=now, clients=(day.client(releases[1], now),))


MISTAKES: Mapping[str, Builder] = {
    "wrong-pin": lambda day: shipped(day, "wrong-pin", [day.pin(), day.pin()]),
    "certificate-hash-pinned": lambda day: shipped(day, "certificate-hash-pinned", certificate_hashes(day)),
    "raw-key-hash-pinned": _raw_key,
    "text-hash-pinned": _text,
    "empty-input-pin": lambda day: shipped(day, "empty-input-pin", _hashes(b"", b"\n")),
    "reencoded-pin": _reencoded,
    "hex-pin": lambda day: shipped(day, "hex-pin", _hex(day), "okhttp"),
    "base64-of-hex-pin": lambda day: shipped(
        day, "base64-of-hex-pin", [base64.b64encode(text.encode()).decode() for text in _hex(day)], "okhttp"
    ),
    "corrupt-pin": _corrupt,
    "placeholder-pin": lambda day: shipped(day, "placeholder-pin", ["A" * 43 + "="] * 2),
    "staging-pin": _staging,
    "retired-pin": _retired,
    "pin-in-wrong-position": lambda day: shipped(
        day, "pin-in-wrong-position", [day.s.pin, day.s.backup], "ios", scope="ca"
    ),
    "host-pattern-mismatch": _pattern,
    "pin-set-expired": _expired_pins,
    "config-rejected": lambda day: shipped(day, "config-rejected", [day.s.pin, day.s.backup], twice=True),
    "wrong-certificate-served": _wrong_certificate,
    "dual-certificate": _dual,
    "incomplete-chain": _incomplete,
}
