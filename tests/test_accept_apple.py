from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from forge import make_key, root
from pinned import (
    AT,
    CA,
    CHAIN,
    GOOD,
    HOST,
    LEAF,
    MIDNIGHT,
    OTHER,
    SECOND,
    STORE,
    answer,
    pin_of,
    release,
    rules,
)

from irkit.accept import accepts
from irkit.pins.release import ConfiguredPin, HostRule, Release

LEAF_PIN, CA_PIN = pin_of(LEAF.certificate, scope="leaf"), pin_of(CA.certificate, scope="ca")
NO_LEAF, NO_CA = replace(OTHER, scope="leaf"), replace(OTHER, scope="ca")


@pytest.mark.parametrize(
    ("pins", "wanted"),
    [
        ((LEAF_PIN,), "yes"),
        ((CA_PIN,), "yes"),
        ((LEAF_PIN, CA_PIN), "yes"),
        ((LEAF_PIN, NO_CA), "no"),
        ((NO_LEAF, CA_PIN), "no"),
        ((LEAF_PIN, NO_LEAF, CA_PIN, NO_CA), "yes"),
        ((pin_of(LEAF.certificate, scope="ca"),), "no"),
        ((pin_of(CA.certificate, scope="leaf"),), "no"),
    ],
)
def test_apple_wants_a_match_in_each_list_that_is_there(pins: tuple[ConfiguredPin, ...], wanted: str) -> None:
    assert answer(release("ios", *pins), CHAIN)[0] == wanted
    assert answer(release("ios", *pins), CHAIN, trust=STORE)[0] == wanted


def test_apple_s_mismatch_says_that_the_pin_stands_in_the_other_list() -> None:
    found = accepts(release("ios", pin_of(CA.certificate, scope="leaf")), CHAIN, host=HOST)
    assert any("not where the platform looks for it" in reason for reason in found.reasons)


def test_apple_s_empty_list_is_not_confirmed() -> None:
    lists: Any = frozenset({"leaf", "ca"})
    assert answer(release("ios", lists=frozenset({"leaf"})), CHAIN) == ("unknown", "unconfirmed")
    assert answer(release("ios", CA_PIN, lists=lists), CHAIN) == ("unknown", "unconfirmed")
    assert answer(release("ios", NO_CA, lists=lists), CHAIN) == ("no", "pin")
    assert answer(release("ios"), CHAIN) == ("unpinned", "no-pins")


@pytest.mark.parametrize(
    ("pattern", "subdomains", "host", "wanted"),
    [
        ("API.example.com", False, HOST, "no"),
        ("example.com", True, HOST, "no"),
        ("example.com", False, HOST, "unpinned"),
        ("example.com", True, "a.b.example.com", "unpinned"),
        ("example.com.", True, "example.com", "no"),
    ],
)
def test_apple_looks_one_level_up_only(pattern: str, subdomains: bool, host: str, wanted: str) -> None:
    pins = release("ios", NO_LEAF, pattern=pattern, subdomains=subdomains)
    assert answer(pins, CHAIN, host=host)[0] == wanted


def test_apple_merges_the_entries_that_match() -> None:
    merged = Release(
        "ios", (HostRule(HOST, pins=(NO_LEAF,)), HostRule("example.com", subdomains=True, pins=(LEAF_PIN,)))
    )
    assert answer(merged, CHAIN) == ("yes", "pin")


def test_a_ca_list_needs_a_certificate_above_the_leaf() -> None:
    found = accepts(release("ios", CA_PIN), CHAIN[:1], host=HOST)
    assert found.answer == "no"
    assert "no certificate above the leaf" in found.reasons[0]


# --- TrustKit for iOS


def test_trustkit_wants_two_distinct_pins_where_it_enforces() -> None:
    assert answer(release("trustkit-ios", GOOD), CHAIN) == ("no", "config-rejected")
    assert answer(release("trustkit-ios", GOOD, GOOD), CHAIN) == ("no", "config-rejected")
    assert answer(release("trustkit-ios", GOOD, enforce=False), CHAIN) == ("yes", "pin")
    assert answer(release("trustkit-ios", OTHER, enforce=False), CHAIN) == ("unpinned", "not-enforced")


def test_trustkit_s_excluded_subdomain_is_unpinned() -> None:
    pins = Release(
        "trustkit-ios",
        (HostRule("example.com", subdomains=True, pins=(OTHER, SECOND)), HostRule(HOST, excluded=True)),
    )
    assert answer(pins, CHAIN) == ("unpinned", "excluded")
    assert answer(pins, CHAIN, host="x." + HOST) == ("no", "pin")


def test_trustkit_throws_at_a_configuration_made_by_hand_too() -> None:
    alone = Release("trustkit-ios", (HostRule(HOST, excluded=True),))
    assert answer(alone, CHAIN) == ("no", "config-rejected")
    for pattern in ("192.0.2.7", "api.local", "co.uk"):
        pins = release("trustkit-ios", OTHER, SECOND, pattern=pattern, subdomains=True)
        assert answer(pins, CHAIN, host="shop.co.uk") == ("no", "config-rejected")


def test_trustkit_matches_hosts_case_by_case() -> None:
    assert answer(release("trustkit-ios", OTHER, SECOND, pattern="API.example.com"), CHAIN) == ("unpinned", "no-rule")
    assert answer(release("trustkit-ios", OTHER, SECOND, pattern="com", subdomains=True), CHAIN) == (
        "no",
        "config-rejected",
    )


@pytest.mark.parametrize(
    ("expires", "at", "wanted"),
    [
        ("2026-11-08", MIDNIGHT, ("no", "pin")),
        ("2026-11-08", MIDNIGHT + timedelta(seconds=1), ("unpinned", "expired-config")),
        ("next year", AT, ("unknown", "unconfirmed")),
        ("2026-13-01", AT, ("unknown", "unconfirmed")),
    ],
)
def test_trustkit_s_expiry_is_utc(expires: str, at: datetime, wanted: tuple[str, str]) -> None:
    assert answer(release("trustkit-ios", OTHER, SECOND, expires=expires), CHAIN, at=at) == wanted


def test_trustkit_blocks_on_a_key_it_can_t_hash_above_the_pinned_one() -> None:
    odd = root("Odd Root", key=make_key("ed25519"))
    leaf = odd.issue(HOST)
    pins = release("trustkit-ios", pin_of(leaf.certificate), OTHER, enforce=False)
    found = accepts(pins, (leaf.certificate, odd.certificate), host=HOST, at=AT)
    assert (found.answer, found.certificate) == ("no", odd.certificate)
    assert answer(pins, leaf.chain) == ("yes", "pin")


# --- Chromium, HPKP, curl, Python


def test_a_bad_hash_forbids_what_a_good_one_allows() -> None:
    bad = pin_of(CA.certificate, bad=True)
    found = accepts(release("chromium", GOOD, bad), CHAIN, host=HOST)
    assert (found.answer, found.certificate) == ("no", CA.certificate)
    assert answer(release("chromium", replace(OTHER, bad=True)), CHAIN)[0] == "unpinned"


def test_chromium_includes_subdomains_where_told_and_the_nearest_entry_counts() -> None:
    assert answer(release("chromium", OTHER, pattern="example.com", subdomains=True), CHAIN)[0] == "no"
    assert answer(release("chromium", OTHER, pattern="example.com"), CHAIN)[0] == "unpinned"
    assert answer(rules("chromium", ("example.com", True, OTHER), (HOST, True, GOOD)), CHAIN)[0] == "yes"


def test_curl_and_python_look_at_the_leaf_alone() -> None:
    assert answer(release("curl", pin_of(CA.certificate), pattern=""), CHAIN)[0] == "no"
    spki_for_certificate = ConfiguredPin("hex", LEAF.certificate.pin, of="certificate")
    assert answer(release("python", spki_for_certificate, pattern=""), CHAIN)[0] == "no"
