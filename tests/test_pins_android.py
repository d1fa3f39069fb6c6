"""Android's network security configuration: each malformed case does what the platform does with it."""

from __future__ import annotations

import base64
import hashlib

import pytest

from irkit.errors import InputError
from irkit.pins import Anchor, Release, load_release_bytes

A = base64.b64encode(hashlib.sha256(b"a").digest()).decode()
B = base64.b64encode(hashlib.sha256(b"b").digest()).decode()


def read(inside: str, platform: str = "android") -> Release:
    xml = f'<?xml version="1.0" encoding="utf-8"?>\n<network-security-config>{inside}</network-security-config>'
    return load_release_bytes(xml.encode(), name="network_security_config.xml", platform=platform)


def domain_config(pins: str, domains: str = "<domain>a.example</domain>") -> str:
    return f"<domain-config>{domains}{pins}</domain-config>"


def pin(value: str, digest: str = "SHA-256") -> str:
    return f'<pin digest="{digest}">{value}</pin>'


def pin_set(*values: str, attributes: str = "") -> str:
    return f"<pin-set{attributes}>{''.join(pin(value) for value in values)}</pin-set>"


def ids(release: Release) -> set[str]:
    return {finding.id for finding in release.findings}


def test_a_plain_configuration_gives_its_rule_without_findings() -> None:
    release = read(domain_config(pin_set(A, B, attributes=' expiration="2027-01-31"'),
                                 '<domain includeSubdomains="true">a.example</domain>'))  # fmt: skip
    (rule,) = release.rules
    assert (rule.pattern, rule.subdomains, rule.expires) == ("a.example", True, "2027-01-31")
    assert [entry.pin.base64 for entry in rule.pins if entry.pin] == [A, B]
    assert (release.rejected, release.findings, release.platform) == ("", (), "android")
    assert rule.pins[0].where == "line 2"


def test_base64_is_read_as_android_reads_it() -> None:
    spaced = f"\n   {A[:20]}\n   {A[20:]}\n"
    release = read(domain_config(pin_set(A.rstrip("="), spaced, A[:10] + "!" + A[10:])))
    assert release.rejected == ""
    assert {entry.pin.base64 for entry in release.rules[0].pins if entry.pin} == {A}


REFUSED = {
    "a pin of 20 bytes": domain_config(pin_set(base64.b64encode(b"x" * 20).decode())),
    "hex": domain_config(pin_set(hashlib.sha256(b"a").hexdigest())),
    "a prefix": domain_config(pin_set("sha256/" + A)),
    "half the padding": domain_config(pin_set(base64.b64encode(b"x" * 31).decode()[:-1])),
    "words": domain_config(pin_set("REPLACE_WITH_BASE64_PIN")),
    "base64url": domain_config(pin_set("-" * 43 + "=")),
    "an empty pin": domain_config(pin_set("")),
    "another digest": domain_config(f"<pin-set>{pin(A, 'SHA-1')}</pin-set>"),
    "no digest": domain_config(f"<pin-set><pin>{A}</pin></pin-set>"),
    "an element in a pin": domain_config(f'<pin-set><pin digest="SHA-256">{A}<x/></pin></pin-set>'),
    "two pin-sets": domain_config(pin_set(A, B) * 2),
    "a pin-set in base-config": f"<base-config>{pin_set(A, B)}</base-config>",
    "a domain in base-config": "<base-config><domain>a.example</domain></base-config>",
    "no domain": domain_config(pin_set(A, B), ""),
    "an empty domain": domain_config(pin_set(A, B), "<domain> </domain>"),
    "the domain twice": domain_config("") + domain_config("", "<domain>A.example</domain>"),
    "the domain twice, nested": domain_config(domain_config(pin_set(A, B))),
    "a bad date": domain_config(pin_set(A, B, attributes=' expiration="2018/8/10"')),
    "a day that is none": domain_config(pin_set(A, B, attributes=' expiration="2026-02-30"')),
    "two base-configs": "<base-config/><base-config/>",
    "two trust-anchors": domain_config("<trust-anchors/><trust-anchors/>"),
    "an unknown source": domain_config('<trust-anchors><certificates src="device"/></trust-anchors>'),
    "no source": domain_config("<trust-anchors><certificates/></trust-anchors>"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_android_refuses_the_whole_configuration_for(case: str) -> None:
    release = read(REFUSED[case])
    assert release.rejected
    assert any(finding.severity == "error" and "Android refuses" in finding.says for finding in release.findings)


def test_a_refused_configuration_still_lists_its_pins() -> None:
    release = read(domain_config(pin_set(A, "sha256/" + B)))
    assert [str(entry) for entry in release.pins] == [f"sha256/{A}"]
    assert [entry.text for entry in release.rules[0].pins] == [A, "sha256/" + B]
    assert "51" not in release.rejected
    assert "prefix" in release.rules[0].pins[1].problem


@pytest.mark.parametrize("date", ["2027-1-1", "2027-01-31T10:00:00Z", "25-12-31", " 2027-01-31"])
def test_a_date_in_another_form_is_read_and_described(date: str) -> None:
    release = read(domain_config(pin_set(A, B, attributes=f' expiration="{date}"')))
    assert release.rejected == ""
    assert release.rules[0].expires == date
    assert "odd-expiration" in ids(release)


def test_a_nested_configuration_inherits_only_what_it_does_not_declare() -> None:
    release = read(
        '<domain-config><domain>a.example</domain><trust-anchors><certificates src="user"/></trust-anchors>'
        + pin_set(A, B, attributes=' expiration="2027-01-31"')
        + domain_config("", "<domain>b.a.example</domain>")
        + domain_config(pin_set(B), "<domain>c.a.example</domain>")
        + "</domain-config>"
    )
    a, b, c = release.rules
    assert (b.pins, b.expires, b.anchors) == (a.pins, "2027-01-31", (Anchor("user"),))
    assert ([str(entry.pin) for entry in c.pins], c.expires, c.anchors) == ([f"sha256/{B}"], None, a.anchors)


def test_a_domain_config_inherits_anchors_of_a_base_config_that_comes_after_it() -> None:
    anchors = (
        '<base-config><trust-anchors><certificates src="@raw/ca" overridePins="true"/></trust-anchors></base-config>'
    )
    release = read(domain_config(pin_set(A, B)) + anchors)
    assert release.rules[0].anchors == (Anchor("@raw/ca", override_pins=True),)
    assert "pins-overridden" in ids(release)


def test_debug_overrides_skip_pins_and_cannot_break_a_release_build() -> None:
    inside = (
        '<debug-overrides><trust-anchors><certificates src="user"/><certificates/></trust-anchors></debug-overrides>'
    )
    release = read(domain_config(pin_set(A, B)) + inside)
    assert release.debug_anchors[0] == Anchor("user", override_pins=True)
    assert release.rejected == ""
    assert [finding.severity for finding in release.findings] == ["warning"]


@pytest.mark.parametrize(
    ("inside", "slug", "meant"),
    [
        (domain_config(pin_set(A, B).replace("pin-set", "pinset")), "unknown-element", "pin-set"),
        (domain_config(pin_set(A, B)).replace("domain-config", "domainConfig"), "unknown-element", "domain-config"),
        (domain_config(pin(A)), "misplaced-element", "pin-set"),
        (pin_set(A, B), "misplaced-element", "domain-config"),
        (domain_config(pin_set(A, B, attributes=' expires="2026-01-01"')), "unknown-attribute", "expiration"),
        (domain_config("", '<domain includeSubDomains="true">a</domain>'), "unknown-attribute", "includeSubdomains"),
        (domain_config("", '<domain includeSubdomains="yes">a.example</domain>'), "bad-boolean", "false"),
        (domain_config("<pin-set/>"), "empty-pin-set", "not pinned"),
        (domain_config("<trust-anchors/>"), "no-trust-anchors", "nothing"),
    ],
)  # fmt: skip
def test_what_android_skips_silently_is_an_error_that_names_what_was_meant(inside: str, slug: str, meant: str) -> None:
    release = read(inside)
    found = [finding for finding in release.findings if finding.id == slug]
    assert found
    assert found[0].severity == "error"
    assert meant in found[0].says
    assert release.rejected == ""


def test_commented_out_pins_are_an_error_when_none_is_left_and_a_warning_beside_others() -> None:
    comment = f"\n<!-- {pin_set(A, B)} -->"
    alone, beside = read(domain_config(comment)), read(domain_config(pin_set(A, B) + comment))
    assert [(f.id, f.severity, f.where) for f in alone.findings] == [("commented-out-pin", "error", "line 3")]
    assert [(f.id, f.severity) for f in beside.findings] == [("commented-out-pin", "warning")]
    assert alone.pins == ()


def test_trustkit_android_keeps_the_last_domain_compares_text_and_does_not_enforce_by_default() -> None:
    inside = domain_config(pin_set(A, B.rstrip("=")), "<domain>a.example</domain><domain>b.example</domain>")
    release = read(inside, "trustkit-android")
    (rule,) = release.rules
    assert (rule.pattern, rule.enforce) == ("b.example", False)
    assert rule.pins[1].pin is None
    assert "compares pins as text" in rule.pins[1].problem
    assert "domains-dropped" in ids(release)


def test_trustkit_android_refuses_a_single_pin_when_it_enforces() -> None:
    enforced = '<trustkit-config enforcePinning="true"/>'
    assert "two pins" in read(domain_config(pin_set(A) + enforced), "trustkit-android").rejected
    release = read(domain_config(pin_set(A, B) + enforced), "trustkit-android")
    assert release.rejected == ""
    assert release.rules[0].enforce
    assert read(domain_config(f"<pin-set>{pin(A, 'sha-256')}</pin-set>"), "trustkit-android").rejected
    assert not read(domain_config(f"<pin-set>{pin(A, 'sha-256')}</pin-set>")).rejected


@pytest.mark.parametrize(
    "raw",
    [
        b"<other/>",
        b"<network-security-config>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><network-security-config>&b;</network-security-config>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><network-security-config>&b;</network-security-config>',
        b"<network-security-config>" * 100_000,
    ],
)
def test_hostile_or_foreign_xml_is_an_input_error(raw: bytes) -> None:
    with pytest.raises(InputError):
        load_release_bytes(raw, name="x.xml")
