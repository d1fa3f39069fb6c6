"""The lint: what will hurt in the pins of a release, and between releases."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from irkit.certificate import Pin
from irkit.pins import Inventory, PinFinding, Release, check_pins, load_inventory_bytes, load_release_bytes
from irkit.pins.cover import pattern_problem, rules_for, why_not
from irkit.pins.release import Platform

A, B, C, D = (Pin.of(name) for name in (b"a", b"b", b"c", b"d"))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def android(
    pins: list[Pin], domain: str = "<domain>a.example.com</domain>", attributes: str = "", name: str = "x"
) -> Release:
    inside = "".join(f'<pin digest="SHA-256">{pin.base64}</pin>' for pin in pins)
    return load_release_bytes(
        f"<network-security-config><domain-config>{domain}<pin-set{attributes}>{inside}</pin-set></domain-config>"
        "</network-security-config>".encode(),
        name=name,
    )


def okhttp(*rules: tuple[str, Pin], library: str = "", name: str = "y") -> Release:
    calls = "".join(f'.add("{pattern}", "{pin}", "{B}")' for pattern, pin in rules)
    return load_release_bytes(f"CertificatePinner.Builder(){calls}".encode(), name=name, library=library)


def ios(host: str, pins: list[Pin], *, subdomains: bool = False, name: str = "z") -> Release:
    entries = "".join(f"<dict><key>SPKI-SHA256-BASE64</key><string>{pin.base64}</string></dict>" for pin in pins)
    below = "<key>NSIncludesSubdomains</key><true/>" if subdomains else ""
    return load_release_bytes(
        "<plist><dict><key>NSAppTransportSecurity</key><dict><key>NSPinnedDomains</key><dict>"
        f"<key>{host}</key><dict>{below}<key>NSPinnedLeafIdentities</key><array>{entries}</array></dict>"
        "</dict></dict></dict></plist>".encode(),
        name=name,
    )


def keys(*entries: str) -> Inventory:
    return load_inventory_bytes("\n".join(entries).encode())


def key(pin: Pin, status: str = "active", role: str = "leaf", hosts: str = "") -> str:
    listed = f'hosts = ["{hosts}"]' if hosts else ""
    return f'[[key]]\npin = "{pin}"\nstatus = "{status}"\nrole = "{role}"\n{listed}'


def found(findings: tuple[PinFinding, ...]) -> dict[str, str]:
    return {finding.id: finding.severity for finding in findings}


def test_two_pins_without_more_are_fine() -> None:
    assert check_pins(android([A, B]), now=NOW, host="a.example.com") == ()


def test_one_pin_is_a_warning_and_no_usable_pin_an_error() -> None:
    assert found(check_pins(android([A]), now=NOW)) == {"one-pin": "warning"}
    placeholder = Pin.parse("A" * 43 + "=")
    assert found(check_pins(android([A, placeholder]), now=NOW))["one-pin"] == "warning"
    assert found(check_pins(android([placeholder]), now=NOW))["no-usable-pin"] == "error"
    assert found(check_pins(ios("a.example.com", [A]), now=NOW))["one-pin"] == "warning"


def test_nothing_pinned_is_said() -> None:
    release = load_release_bytes(b"<network-security-config/>", name="x")
    assert found(check_pins(release, now=NOW)) == {"nothing-pinned": "warning"}


@pytest.mark.parametrize(
    ("day", "slug"),
    [
        ("2026-11-22", "pin-set-expired"),
        ("2026-11-23", "pin-set-expired"),
        ("2026-11-24", "pin-set-expiring"),
        ("2027-01-20", "pin-set-expiring"),
        ("2027-06-01", None),
        ("25-12-31", "pin-set-expired"),
    ],
)
def test_an_expired_or_expiring_pin_set_is_found(day: str, slug: str | None) -> None:
    ids = found(check_pins(android([A, B], attributes=f' expiration="{day}"'), now=NOW))
    assert {name for name in ids if name.startswith("pin-set")} == ({slug} if slug else set())


def test_a_pin_set_is_not_called_expired_before_the_last_time_zone_reached_it() -> None:
    release = android([A, B], attributes=' expiration="2026-11-23"')
    assert found(check_pins(release, now=NOW - timedelta(seconds=1))) == {"pin-set-expiring": "warning"}


@pytest.mark.parametrize(
    ("release", "why"),
    [
        (android([A, B], "<domain>example.com</domain>"), "does not include its subdomains"),
        (android([A, B], "<domain>ap.example.com</domain>"), "typing mistake"),
        (android([A, B], '<domain includeSubdomains="true">*.example.com</domain>'), "not pinned"),
        (okhttp(("example.com", A)), "does not include"),
        (okhttp(("*.com", A)), "exactly one label"),
        (ios("com", [A, B], subdomains=True), "one label below"),
        (ios("example.org", [A, B]), "not pinned"),
    ],
)
def test_a_host_that_is_not_covered_is_an_error_that_says_why(release: Release, why: str) -> None:
    (finding,) = [item for item in check_pins(release, now=NOW, host="a.example.com") if item.id == "host-not-covered"]
    assert finding.severity == "error"
    assert why in finding.says


def test_a_more_specific_rule_without_pins_unpins_its_host() -> None:
    xml = (
        f'<network-security-config><domain-config><domain includeSubdomains="true">example.com</domain><pin-set>'
        f'<pin digest="SHA-256">{A.base64}</pin><pin digest="SHA-256">{B.base64}</pin></pin-set></domain-config>'
        '<domain-config><domain includeSubdomains="true">a.example.com</domain></domain-config>'
        "</network-security-config>"
    )
    release = load_release_bytes(xml.encode(), name="x")
    assert found(check_pins(release, now=NOW, host="v2.a.example.com"))["host-not-covered"] == "error"
    assert "host-not-covered" not in found(check_pins(release, now=NOW, host="b.example.com"))


@pytest.mark.parametrize(
    ("platform", "pattern", "host", "covered"),
    [
        ("okhttp", "*.example.com", "a.example.com", True),
        ("okhttp", "*.example.com", "example.com", False),
        ("okhttp", "*.example.com", "b.a.example.com", False),
        ("okhttp", "**.example.com", "example.com", True),
        ("okhttp", "**.example.com", "b.a.example.com", True),
        ("okhttp", "**.example.com", "badexample.com", False),
        ("ios", "example.com", "A.Example.com.", True),
        ("ios", "example.com", "b.a.example.com", False),
        ("android", "example.com", "b.a.example.com", True),
        ("android", "example.com", "badexample.com", False),
    ],
)
def test_hosts_are_matched_as_the_platform_matches_them(platform: str, pattern: str, host: str, covered: bool) -> None:
    release = {
        "okhttp": lambda: okhttp((pattern, A)),
        "ios": lambda: ios(pattern, [A], subdomains=True),
        "android": lambda: android([A], f'<domain includeSubdomains="true">{pattern}</domain>'),
    }[platform]()
    assert bool(rules_for(release, host)) is covered
    assert why_not(release, "nothing.test") == ""


def test_android_takes_the_longest_rule_and_okhttp_joins_all() -> None:
    domains = '<domain includeSubdomains="true">com</domain><domain includeSubdomains="true">example.com</domain>'
    assert [rule.pattern for rule in rules_for(android([A], domains), "a.example.com")] == ["example.com"]
    joined = okhttp(("*.example.com", A), ("a.example.com", C))
    assert len(rules_for(joined, "a.example.com")) == 2


@pytest.mark.parametrize(
    ("platform", "pattern", "bad"),
    [
        ("android", "https://a.example", True),
        ("android", "*.a.example", True),
        ("android", "a.example:443", True),
        ("ios", "*.a.example", True),
        ("okhttp", "*.a.example", False),
        ("okhttp", "a.*.example", True),
        ("android", "bücher.example", True),
        ("okhttp", "bücher.example", False),
        ("android", "a.example.", True),
        ("trustkit-ios", "A.example", True),
        ("android", "xn--bcher-kva.example", False),
        ("android", "", True),
        ("android", "2001:db8::1", False),
        ("list", "*", False),
    ],
)
def test_a_pattern_that_matches_no_host_is_found(platform: Platform, pattern: str, bad: bool) -> None:
    assert bool(pattern_problem(Release(platform, ()), pattern)) is bad


def test_okhttp_before_4_3_takes_double_stars_for_no_host() -> None:
    rule = ("**.example.com", A)
    assert found(check_pins(okhttp(rule, library="okhttp 3.13.1"), now=NOW))["bad-pattern"] == "error"
    assert "bad-pattern" not in found(check_pins(okhttp(rule, library="okhttp 4.12.0"), now=NOW))


def test_the_inventory_shows_backups_roles_and_keys_that_should_not_be_pinned() -> None:
    inventory = keys(key(A), key(B, "backup"), key(C, "retired"), key(D, "compromised"))
    assert check_pins(android([A, B]), now=NOW, inventory=inventory)[0].id == "one-level"
    assert found(check_pins(android([A, C]), now=NOW, inventory=inventory)) == {
        "key-retired": "warning", "no-backup": "warning",
    }  # fmt: skip
    assert found(check_pins(android([A, B, D]), now=NOW, inventory=inventory))["key-compromised"] == "error"
    assert found(check_pins(android([B, C]), now=NOW, inventory=inventory))["no-active-key"] == "error"
    stranger = Pin.of(b"stranger")
    assert found(check_pins(android([A, B, stranger]), now=NOW, inventory=inventory)) == {"key-unknown": "warning"}
    staging = keys(key(A), key(B, "staging"))
    assert found(check_pins(android([A, B]), now=NOW, inventory=staging))["key-staging"] == "error"
    mixed = keys(key(A), key(B, "backup", "root"))
    assert check_pins(android([A, B]), now=NOW, inventory=mixed) == ()


def test_the_ca_of_an_inspection_must_not_be_pinned() -> None:
    inventory = keys(key(A), f'[[inspection]]\npin = "{B}"')
    assert found(check_pins(android([A, B]), now=NOW, inventory=inventory))["inspection-pinned"] == "error"


def test_a_planned_rotation_to_a_key_that_is_not_pinned_is_an_error_until_it_is_done() -> None:
    rotation = f'[[rotation]]\nhost = "a.example.com"\nfrom = "{A}"\nto = "{C}"\nat = 2026-12-01T09:00:00Z'
    inventory = keys(key(A), key(B, "backup", "root"), rotation)
    assert found(check_pins(android([A, B]), now=NOW, inventory=inventory)) == {"rotation-not-pinned": "error"}
    assert check_pins(android([A, B]), now=NOW + timedelta(days=30), inventory=inventory) == ()
    assert "rotation-not-pinned" not in found(check_pins(android([A, C]), now=NOW, inventory=inventory))


def test_a_rule_that_catches_a_host_with_another_key_is_an_error() -> None:
    inventory = keys(key(A, hosts="example.com"), key(B, "backup", "root"), key(C, hosts="www.example.com"))
    release = android([A, B], '<domain includeSubdomains="true">example.com</domain>')
    assert found(check_pins(release, now=NOW, inventory=inventory))["over-covered"] == "error"
    assert "over-covered" not in found(
        check_pins(android([A, B, C], "<domain>a.example.com</domain>"), now=NOW, inventory=inventory)
    )
    assert found(check_pins(release, now=NOW))["broad-pattern"] == "info"


def test_platforms_that_disagree_are_told_with_their_files() -> None:
    one, other = android([A, B], name="nsc.xml"), ios("a.example.com", [A, C], name="Info.plist")
    findings = [item for item in check_pins([one, other], now=NOW) if item.id == "platforms-disagree"]
    assert len(findings) == 2
    assert any(str(B) in item.says and "and not by Info.plist (ios)" in item.says for item in findings)
    assert not [
        item for item in check_pins([one, ios("a.example.com", [A, B])], now=NOW) if item.id == "platforms-disagree"
    ]


def test_a_host_pinned_on_one_platform_only_is_told() -> None:
    findings = check_pins([android([A, B]), ios("b.example.com", [A, B])], now=NOW, host="a.example.com")
    assert found(findings)["platforms-disagree"] == "warning"
    assert found(findings)["host-not-covered"] == "error"


def test_subdomains_mean_less_on_ios() -> None:
    both = [
        android([A, B], '<domain includeSubdomains="true">a.example.com</domain>'),
        ios("a.example.com", [A, B], subdomains=True),
    ]
    assert found(check_pins(both, now=NOW))["subdomains-differ"] == "warning"


def test_errors_come_first_and_name_their_file_when_there_are_several() -> None:
    findings = check_pins([android([A], name="one.xml"), android([], name="two.xml")], now=NOW)
    assert [item.severity for item in findings] == sorted(
        (item.severity for item in findings), key=("error", "warning", "info").index
    )
    assert findings[0].where.startswith("two.xml: line 1")


def test_an_old_pin_of_a_certificate_is_not_compared_with_keys() -> None:
    fingerprint = hashlib.sha256(b"certificate").hexdigest()
    release = load_release_bytes(f'assert_fingerprint="{fingerprint}"'.encode(), name="x")
    assert set(found(check_pins(release, now=NOW, inventory=keys(key(A))))) == {"hostname-unchecked"}
    assert base64.b64encode(bytes.fromhex(fingerprint)).decode() == release.pins[0].base64
