from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from forge import make_key
from pinned import (
    AT,
    CA,
    CHAIN,
    GOOD,
    HOST,
    LEAF,
    MIDNIGHT,
    OTHER,
    STORE,
    answer,
    pin_of,
    release,
    rules,
)

from irkit.accept import accepts
from irkit.certificate import Certificate
from irkit.pins.grammar import read_pin
from irkit.pins.release import Anchor, ConfiguredPin, HostRule, PinFinding, Platform, Release
from irkit.trust import mozilla


@pytest.mark.parametrize(
    ("patterns", "host", "wanted"),
    [
        ((("API.Example.com", False, GOOD),), HOST, "yes"),
        (((HOST, False, GOOD),), "API.example.COM.", "yes"),
        ((("example.com", False, OTHER),), HOST, "unpinned"),
        ((("example.com", True, GOOD),), "a.b.c.example.com", "yes"),
        ((("com", True, OTHER), ("example.com", True, GOOD)), HOST, "yes"),
        (((HOST, False, GOOD), ("example.com", True, OTHER)), HOST, "yes"),
        (((HOST, True, OTHER), ("example.com", True, GOOD)), "x." + HOST, "no"),
        ((("*.example.com", True, OTHER),), HOST, "unpinned"),
        ((("ample.com", True, OTHER),), HOST, "unpinned"),
    ],
)
def test_android_takes_the_exact_or_the_longest_domain(
    patterns: tuple[tuple[str, bool, ConfiguredPin], ...], host: str, wanted: str
) -> None:
    assert answer(rules("android", *patterns), CHAIN, host=host)[0] == wanted


def test_android_never_unites_two_domains() -> None:
    assert answer(rules("android", (HOST, False, OTHER), ("example.com", True, GOOD)), CHAIN) == ("no", "pin")


@pytest.mark.parametrize(
    ("expires", "at", "tz", "wanted"),
    [
        ("2026-11-08", MIDNIGHT, UTC, ("no", "pin")),
        ("2026-11-08", MIDNIGHT + timedelta(milliseconds=1), UTC, ("unpinned", "expired-config")),
        ("2026-11-08", MIDNIGHT - timedelta(hours=9), ZoneInfo("Asia/Tokyo"), ("no", "pin")),
        ("2026-11-08", MIDNIGHT - timedelta(hours=8), ZoneInfo("Asia/Tokyo"), ("unpinned", "expired-config")),
        ("2026-11-08", MIDNIGHT + timedelta(hours=3), ZoneInfo("America/New_York"), ("no", "pin")),
        ("2026-11-08", MIDNIGHT, None, ("on some devices", "time-zone")),
        ("2026-11-08", MIDNIGHT - timedelta(hours=15), None, ("no", "pin")),
        ("2026-11-08", MIDNIGHT + timedelta(hours=13), None, ("unpinned", "expired-config")),
        ("2026-11-8T12:00", MIDNIGHT + timedelta(hours=13), None, ("unpinned", "expired-config")),
        ("26-11-08", AT, None, ("unpinned", "expired-config")),
        ("99999-01-01", AT, None, ("no", "pin")),
        ("2026/11/08", AT, None, ("no", "config-rejected")),
        ("2026-02-30", AT, None, ("no", "config-rejected")),
        ("soon", AT, UTC, ("no", "config-rejected")),
        ("", AT, UTC, ("no", "config-rejected")),
    ],
)
def test_android_s_expiry_is_the_start_of_the_day_on_the_device(
    expires: str, at: datetime, tz: Any, wanted: tuple[str, str]
) -> None:
    assert answer(release("android", OTHER, expires=expires), CHAIN, at=at, tz=tz) == wanted
    # A chain that the pins accept is accepted either way, unless the date breaks the app.
    if wanted[1] != "config-rejected":
        assert answer(release("android", GOOD, expires=expires), CHAIN, at=at, tz=tz)[0] in ("yes", "unpinned")


def test_the_answers_by_time_zone_are_told() -> None:
    found = accepts(release("android", OTHER, expires="2026-11-08"), CHAIN, host=HOST, at=MIDNIGHT)
    assert found.devices == (("zones where 2026-11-08 has begun", "unpinned"), ("other zones", "no"))


@pytest.mark.parametrize("platform", ["android", "trustkit-android", "trustkit-ios", "okhttp"])
def test_a_malformed_pin_anywhere_breaks_the_app(platform: Platform) -> None:
    bad = read_pin("REPLACE ME!", platform)[0]
    pins = Release(platform, (HostRule(HOST, pins=(GOOD, OTHER)), HostRule("x.example", pins=(bad, OTHER))))
    found = accepts(pins, CHAIN, host=HOST, at=AT)
    assert (found.answer, found.why) == ("no", "config-rejected")
    assert "REPLACE ME!" in found.reasons[0]


@pytest.mark.parametrize("platform", ["ios", "curl", "list"])
def test_a_malformed_pin_elsewhere_never_matches(platform: Platform) -> None:
    bad = ConfiguredPin("no+hash", None, problem="has 5 bytes")
    assert answer(release(platform, bad), CHAIN)[0] == "no"
    assert answer(release(platform, bad, GOOD), CHAIN)[0] == "yes"
    assert "no+hash can never match: has 5 bytes" in " ".join(accepts(release(platform, bad), CHAIN, host=HOST).reasons)


def test_no_pins_at_all_are_no_pinning() -> None:
    assert answer(release("android"), CHAIN) == ("unpinned", "no-pins")


def test_an_anchor_with_override_pins_decides_on_the_device() -> None:
    anchors = (Anchor("system"), Anchor("user", override_pins=True))
    found = accepts(release("android", OTHER, anchors=anchors), CHAIN, host=HOST, at=AT, trust=STORE)
    assert (found.answer, found.why) == ("on some devices", "override")
    assert found.devices == (("anchor in user", "unpinned"), ("another anchor", "no"))
    assert answer(release("android", GOOD, anchors=anchors), CHAIN, trust=STORE) == ("yes", "pin")
    assert answer(release("android", OTHER, anchors=(Anchor("user"),)), CHAIN, trust=STORE) == ("no", "pin")


def test_debug_overrides_count_in_a_debuggable_app_only() -> None:
    pins = replace(release("android", OTHER), debug_anchors=(Anchor("user", override_pins=True),))
    assert answer(pins, CHAIN, trust=STORE) == ("no", "pin")
    debuggable = replace(pins, findings=(PinFinding("debuggable", "warning", "the app is debuggable"),))
    found = accepts(debuggable, CHAIN, host=HOST, at=AT, trust=STORE)
    assert (found.answer, found.why) == ("on some devices", "override")
    assert found.devices == (("anchor in user", "unpinned"), ("another anchor", "no"))
    kept = replace(debuggable, debug_anchors=(Anchor("user"),))
    assert answer(kept, CHAIN, trust=STORE) == ("no", "pin")
    own = replace(debuggable, debug_anchors=(Anchor("@raw/charles", override_pins=True),))
    assert answer(own, CHAIN, trust=mozilla()) == ("unknown", "unconfirmed")
    assert answer(replace(own, findings=()), CHAIN, trust=mozilla()) == ("no", "trust")


def test_an_app_with_roots_of_its_own_is_not_judged_by_others() -> None:
    pins = release("android", GOOD, anchors=(Anchor("@raw/own_root"),))
    assert answer(pins, CHAIN, trust=mozilla()) == ("unknown", "unconfirmed")
    assert answer(pins, CHAIN, trust=STORE) == ("yes", "pin")


def test_android_hashes_an_rsa_key_with_its_null() -> None:
    with_null, without = bytes.fromhex("0d06092a864886f70d0101010500"), bytes.fromhex("0b06092a864886f70d010101")
    key = make_key("rsa")
    leaf = CA.issue(HOST, key=key)
    spki = leaf.certificate.spki or b""
    shorter = spki.replace(with_null, without)
    shorter = shorter[:2] + (len(shorter) - 4).to_bytes(2, "big") + shorter[4:]
    tbs = leaf.x509.tbs_certificate_bytes.replace(spki, shorter)
    tbs = tbs[:2] + (len(tbs) - 4).to_bytes(2, "big") + tbs[4:]
    der = leaf.x509.public_bytes(Encoding.DER).replace(leaf.x509.tbs_certificate_bytes, tbs)
    odd = Certificate(der[:2] + (len(der) - 4).to_bytes(2, "big") + der[4:])
    assert odd.spki == shorter
    assert answer(release("android", pin_of(leaf.certificate)), [odd]) == ("yes", "pin")
    assert answer(release("android", pin_of(odd)), [odd]) == ("no", "pin")
    assert answer(release("ios", pin_of(odd, scope="leaf")), [odd]) == ("yes", "pin")


def test_trustkit_android_compares_as_android_does_from_7_on() -> None:
    spaced = ConfiguredPin(f" {LEAF.certificate.pin.base64}", None) if LEAF.certificate.pin else OTHER
    spaced = read_pin(spaced.text, "trustkit-android")[0]
    assert spaced.pin is None
    found = accepts(release("trustkit-android", spaced, OTHER), CHAIN, host=HOST, at=AT)
    assert (found.answer, found.devices) == ("on some devices", (("Android 7 and newer", "yes"), ("older", "no")))
    assert answer(release("trustkit-android", OTHER, enforce=False), CHAIN) == ("unpinned", "not-enforced")


# --- OkHttp (its own rules are run against the real one in test_accept_okhttp.py)


@pytest.mark.parametrize(
    ("pattern", "host", "new", "old"),
    [
        (HOST, HOST, "no", "no"),
        ("API.Example.com", HOST, "no", "no"),
        ("*.example.com", HOST, "no", "no"),
        ("*.example.com", "example.com", "unpinned", "unpinned"),
        ("*.example.com", "a.b.example.com", "unpinned", "unpinned"),
        ("**.example.com", HOST, "no", "unpinned"),
        ("**.example.com", "example.com", "no", "unpinned"),
        ("**.example.com", "a.b.example.com", "no", "unpinned"),
        ("**.example.com", "badexample.com", "unpinned", "unpinned"),
        ("https://api.example.com", HOST, "config-rejected", "unpinned"),
        ("api.example.com:443", HOST, "config-rejected", "no"),
        ("a.*.example.com", HOST, "config-rejected", "unpinned"),
        ('"*"', HOST, "config-rejected", "unpinned"),
        ("***.example.com", HOST, "config-rejected", "unpinned"),
        ("", HOST, "config-rejected", "config-rejected"),
        ("a b", HOST, "config-rejected", "config-rejected"),
        ("b\u00fccher.example", "xn--bcher-kva.example", "no", "no"),
        ("b\u00fccher.example", "b\u00fccher.example", "no", "no"),
    ],
)
def test_okhttp_s_patterns_by_version(pattern: str, host: str, new: str, old: str) -> None:
    def shown(library: str) -> str:
        found, why = answer(release("okhttp", OTHER, pattern=pattern, library=library), CHAIN, host=host)
        return why if why == "config-rejected" else found

    assert (shown("okhttp 4.12.0"), shown("okhttp 3.13.1")) == (new, old)
    assert shown("okhttp 4.3.0") == shown("okhttp 5.0") == new
    assert shown("okhttp 4.2.2") == old
    if new == old:
        assert shown("") == new
    else:
        found = accepts(release("okhttp", OTHER, pattern=pattern), CHAIN, host=host)
        assert found.answer == ("no" if {new, old} == {"no", "config-rejected"} else "unknown")


def test_okhttp_unites_the_pins_of_every_pattern_that_matches() -> None:
    both = Release("okhttp", (HostRule(HOST, pins=(OTHER,)), HostRule("*.example.com", pins=(GOOD,))), library="4.12")
    found = accepts(both, CHAIN, host=HOST)
    assert found.answer == "yes"
    assert found.rule is not None
    assert found.rule.pattern == "*.example.com"


def test_okhttp_still_reads_sha1() -> None:
    sha1 = hashlib.sha1(LEAF.certificate.spki or b"", usedforsecurity=False).digest()
    pin = read_pin("sha1/" + base64.b64encode(sha1).decode(), "okhttp")[0]
    assert answer(release("okhttp", pin), CHAIN) == ("yes", "pin")
