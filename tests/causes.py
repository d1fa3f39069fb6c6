"""A case of every cause, from evidence that a responder can have; and reports as clients send them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import forge
from incidents import (
    HOST,
    NOW,
    OLD,
    ONSET,
    START,
    World,
    capture,
    failures,
    interception,
    nsc,
    release,
    rotation,
    since_onset,
    wrong_pins,
)

from irkit.certificate import Pin
from irkit.chain import Chain
from irkit.evidence import Evidence
from irkit.missing import Missing
from irkit.pins import Inspection, Inventory, InventoryKey, load_release_bytes
from irkit.reports import Reports, read_reports
from irkit.trust import TrustStore


def told(chain: Chain, *, result: int = 1, count: int = 3, at: datetime = NOW, **more: Any) -> list[dict[str, Any]]:
    """Reports as TrustKit for iOS sends them, of as many devices."""
    return [
        {
            "app-bundle-id": "com.example.shop", "app-version": "4.2.0", "app-platform": "IOS", "hostname": HOST,
            "app-vendor-id": f"device-{i}", "date-time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "validation-result": result,
            "validated-certificate-chain": [c.pem() for c in chain], "known-pins": [],
        }
        | more
        for i in range(count)
    ]  # fmt: skip


def reports(*items: list[dict[str, Any]]) -> Reports:
    lines = "\n".join(json.dumps(item) for part in items for item in part)
    return read_reports([("reports.ndjson.gz", gzip.compress(lines.encode()))])


def both(chain: Chain) -> tuple[Any, ...]:
    return capture(chain, "office"), capture(chain, "probe")


def pinned_ca(world: World) -> Evidence:
    """Releases that pin the intermediate; the leaf keeps its key under another intermediate of the root."""
    other = world.root.issue(cn="World CA 2", ca=True, not_before=START - timedelta(days=100), days=300)
    leaf = other.issue(HOST, key=world.leaf.key, not_before=START - timedelta(days=1))
    pin = world.issuer.certificate.pin
    return world.evidence(
        captures=both(leaf.chain),
        releases=(release(OLD, pin, Pin(b"\1" * 32)),),
        failures=failures(since_onset(), versions=("4.1.0",)),
    )


def other_ca(world: World) -> Evidence:
    """The owner's next key, certified by another CA; releases pin the old root."""
    root = forge.root("Other Root", not_before=START - timedelta(days=900))
    leaf = root.issue(cn="Other CA", ca=True, not_before=START - timedelta(days=300), days=900).issue(
        HOST, not_before=START - timedelta(days=1)
    )
    return world.evidence(
        captures=both(leaf.chain),
        releases=(release(OLD, world.root.certificate.pin, Pin(b"\1" * 32)),),
        inventory=world.keys((leaf.certificate.pin, "next")),
        trust=TrustStore("two", (world.root.certificate, root.certificate)),
        failures=failures(since_onset(), versions=("4.1.0",)),
    )


def cross_signed(world: World) -> Evidence:
    """The pin is the old root's; with the newer root as an anchor no device builds the path through its cross-sign."""
    old = forge.root("Old Root", not_before=START - timedelta(days=2000))
    bridge = forge.cross_sign(world.root, old)
    chain = Chain((*world.leaf.chain.certificates, bridge, old.certificate))
    return world.evidence(
        captures=both(chain),
        history=(capture(chain, at=START - timedelta(hours=6)),),
        releases=(release(OLD, old.certificate.pin, Pin(b"\1" * 32)),),
        failures=failures(since_onset(0.4), versions=("4.1.0",)),
    )


def rollout(world: World) -> Evidence:
    following = world.leaf_for()
    return world.evidence(
        captures=(*both(world.leaf.chain), capture(following.chain, "edge")),
        inventory=world.keys((following.certificate.pin, "next")),
        failures=failures(since_onset(0.4)),
    )


def dual(world: World) -> Evidence:
    rsa = world.leaf_for(key=forge.make_key("rsa"))
    return world.evidence(
        captures=(*both(world.leaf.chain), capture(rsa.chain, "rsa only")),
        inventory=world.keys((rsa.certificate.pin, "active")),
        failures=failures(since_onset(0.4)),
    )


def seen(cn: str) -> Callable[[World], Evidence]:
    return lambda world: interception(world, world.interceptor(cn=cn).chain)


def public(world: World) -> Evidence:
    return interception(world, world.leaf_for(not_before=START).chain)


def taken_over(world: World) -> Evidence:
    return world.evidence(captures=both(world.interceptor().chain), failures=failures(since_onset()))


def authorised(world: World) -> Evidence:
    ca = forge.root("Corp Inspection")
    keys = replace(world.keys(), inspections=(Inspection(ca.certificate.pin, "the office's proxy"),))
    return replace(interception(world, Chain((*ca.issue(HOST).chain, ca.certificate))), inventory=keys)


def debugged(world: World) -> Evidence:
    chain = world.interceptor(cn="mitmproxy").chain
    return world.evidence(reports=reports(told(chain, count=2, region="eu-west")))


def listed(status: str) -> Callable[[World], Evidence]:
    def made(world: World) -> Evidence:
        other = world.leaf_for().certificate.pin
        return replace(wrong_pins(world, other), inventory=world.keys((other, status)))

    return made


def ios_release(world: World, *pins: Pin | None, name: str = "NSPinnedCAIdentities") -> Any:
    import plistlib

    entries = [{"SPKI-SHA256-BASE64": pin.base64} for pin in pins if pin is not None]
    raw = plistlib.dumps({"NSAppTransportSecurity": {"NSPinnedDomains": {HOST: {name: entries}}}})
    del world
    return load_release_bytes(raw, name="Info.plist", platform="ios", app="shop-ios", version="4.3.0", released=ONSET)


def misplaced(world: World) -> Evidence:
    evidence = wrong_pins(world, world.backup)
    return replace(evidence, releases=(*evidence.releases[:2], ios_release(world, world.leaf.certificate.pin)),
                   failures=platformed(evidence))  # fmt: skip


def platformed(evidence: Evidence) -> Any:
    counts = evidence.failures
    assert counts is not None
    cohorts = tuple(c | {"platform": "ios"} if c["version"] == "4.3.0" else c for c in counts.cohorts)
    return replace(counts, cohorts=cohorts)


def parents(world: World) -> Evidence:
    """The rule for example.com includes subdomains, and so catches this host with the web site's pins."""
    site = Pin(b"\5" * 32)
    raw = nsc(site).replace(HOST.encode(), b"example.com").replace(b'"false"', b'"true"')
    bad = load_release_bytes(raw, name="p.xml", platform="android", app="shop-android", version="4.3.0", released=ONSET)
    evidence = wrong_pins(world, site)
    keys = Inventory((*world.keys().keys, InventoryKey(site, hosts=("example.com",))))
    return replace(evidence, releases=(*evidence.releases[:2], bad), inventory=keys)


def uncovered(world: World) -> Evidence:
    raw = nsc(world.leaf.certificate.pin, world.backup).replace(HOST.encode(), b"api.example.org")
    bad = load_release_bytes(raw, name="p.xml", platform="android", app="shop-android", version="4.2.0")
    return world.evidence(releases=(world.evidence().releases[0], bad))


def lapsed(world: World) -> Evidence:
    raw = nsc(world.leaf.certificate.pin, world.backup).replace(b"<pin-set>", b'<pin-set expiration="2026-11-01">')
    bad = load_release_bytes(raw, name="p.xml", platform="android", app="shop-android", version="4.2.0")
    return world.evidence(releases=(world.evidence().releases[0], bad))


def default_host(world: World) -> Evidence:
    other = forge.self_signed("Kubernetes Ingress Controller Fake Certificate")
    keys = world.keys((other.certificate.pin, "staging"))
    return world.evidence(captures=both(other.chain), inventory=keys, failures=failures(since_onset()))


def shortened(world: World, *, pinned: bool) -> Evidence:
    second = world.issuer.issue(cn="World Sub CA", ca=True, not_before=START - timedelta(days=100), days=300)
    leaf = second.issue(HOST, key=world.leaf.key, not_before=START - timedelta(days=10))
    short = Chain(leaf.chain.certificates[:1])
    pins = (second.certificate.pin, world.backup) if pinned else (world.leaf.certificate.pin, world.backup)
    return world.evidence(
        captures=both(short),
        history=(capture(leaf.chain, at=START - timedelta(hours=6)),),
        releases=(release(OLD, *pins),),
        failures=failures(since_onset(), versions=("4.1.0",)),
        reports=None if pinned else reports(told(short, result=2)),
    )


def portal(world: World) -> Evidence:
    page = forge.self_signed("login.hotel.example")
    return world.evidence(reports=reports(told(page.chain, result=2, network="AS64510")))


def clock(world: World) -> Evidence:
    early = START - timedelta(days=2000)
    return world.evidence(reports=reports(told(world.leaf.chain, result=2, at=early)))


def expired(world: World) -> Evidence:
    leaf = world.leaf_for(key=world.leaf.key, not_before=NOW - timedelta(days=91), days=90.9)
    return world.evidence(captures=both(leaf.chain), failures=failures(since_onset()))


def down(world: World) -> Evidence:
    refused = tuple(Missing(f"capture {name}", "connection refused") for name in ("office", "probe"))
    return world.evidence(captures=(), failures=failures(since_onset()), missing=refused)


def written(make: Callable[[World], tuple[object, ...]]) -> Callable[[World], Evidence]:
    return lambda world: wrong_pins(world, *make(world))


def digest(data: bytes | str | None) -> Pin:
    import hashlib

    return Pin(hashlib.sha256(data.encode() if isinstance(data, str) else data or b"").digest())


def raw_point(world: World) -> bytes:
    assert world.leaf.certificate.spki is not None
    return world.leaf.certificate.spki[26:]  # after the header of an EC P-256 key


def compressed(world: World) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    point = world.leaf.key.public_key().public_bytes(s.Encoding.X962, s.PublicFormat.CompressedPoint)
    return bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point


def okhttp(pin: str) -> Callable[[World], Evidence]:
    """OkHttp takes malformed pins and never matches them; Android refuses the file."""

    def made(world: World) -> Evidence:
        base64 = world.leaf.certificate.pin.base64 if world.leaf.certificate.pin else ""
        digits = world.leaf.certificate.pin.digest.hex() if world.leaf.certificate.pin else ""
        import base64 as b

        at = next(i for i in range(10, 40) if base64[i].lower() != base64[i + 1].lower())

        text = {
            "hex": digits, "base64 of hex": b.b64encode(digits.encode()).decode(),
            "cut": base64[:-6], "swapped": base64[:at] + base64[at + 1] + base64[at] + base64[at + 2 :],
        }.get(pin, pin)  # fmt: skip
        raw = f'CertificatePinner.Builder().add("{HOST}", "sha256/{text}").build()'.encode()
        bad = load_release_bytes(raw, name="Pins.kt", platform="okhttp", app="shop-android", version="4.3.0",
                                 library="okhttp 4.12.0", released=ONSET)  # fmt: skip
        evidence = wrong_pins(world, world.backup)
        return replace(evidence, releases=(*evidence.releases[:2], bad))

    return made


CASES: Mapping[str, Callable[[World], Evidence]] = {
    "leaf-key-rotated": rotation,
    "intermediate-rotated": pinned_ca,
    "ca-changed": other_ca,
    "trust-path-changed": cross_signed,
    "rollout-in-progress": rollout,
    "interception-untrusted-ca": seen("Web Access CA"),
    "interception-public-ca": public,
    "origin-replaced": taken_over,
    "inspection-authorised": authorised,
    "inspection-product": seen("Zscaler Intermediate Root CA"),
    "user-installed-ca": debugged,
    "wrong-pin": written(lambda _: (digest("never"), digest("served"))),
    "certificate-hash-pinned": written(lambda w: tuple(Pin(bytes.fromhex(c.sha256)) for c in w.leaf.chain)),
    "raw-key-hash-pinned": written(lambda w: (digest(raw_point(w)), digest("x"))),
    "text-hash-pinned": written(lambda w: (digest(w.leaf.certificate.pem()), digest("x"))),
    "empty-input-pin": written(lambda _: (digest(b""), digest("x"))),
    "reencoded-pin": written(lambda w: (digest(compressed(w)), digest("x"))),
    "hex-pin": okhttp("hex"),
    "base64-of-hex-pin": okhttp("base64 of hex"),
    "corrupt-pin": okhttp("cut"),
    "placeholder-pin": written(lambda _: ("A" * 43 + "=",)),
    "staging-pin": listed("staging"),
    "retired-pin": listed("retired"),
    "pin-in-wrong-position": misplaced,
    "host-pattern-mismatch": parents,
    "pin-set-expired": lapsed,
    "config-rejected": written(lambda _: ("c2hvcnQ=",)),
    "wrong-certificate-served": default_host,
    "dual-certificate": dual,
    "incomplete-chain": lambda world: shortened(world, pinned=True),
    "captive-portal": portal,
    "clock-wrong": clock,
    "certificate-expired": expired,
    "chain-untrusted": lambda world: shortened(world, pinned=False),
    "endpoint-down": down,
}
