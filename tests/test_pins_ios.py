"""iOS: NSPinnedDomains and TrustKit in an Info.plist; each malformed case does what the platform does with it."""

from __future__ import annotations

import base64
import hashlib
import plistlib
from typing import Any

import pytest

from irkit.errors import InputError
from irkit.pins import Release, load_release_bytes

A = base64.b64encode(hashlib.sha256(b"a").digest()).decode()
B = base64.b64encode(hashlib.sha256(b"b").digest()).decode()


def spki(*values: object) -> list[dict[str, object]]:
    return [{"SPKI-SHA256-BASE64": value} for value in values]


def info(entry: object, host: str = "a.example") -> dict[str, Any]:
    return {"NSAppTransportSecurity": {"NSPinnedDomains": {host: entry}}}


def trustkit(policy: object, host: str = "a.example") -> dict[str, Any]:
    return {"TSKConfiguration": {"TSKSwizzleNetworkDelegates": False, "TSKPinnedDomains": {host: policy}}}


def read(document: Any, fmt: plistlib.PlistFormat = plistlib.FMT_XML, **options: Any) -> Release:
    return load_release_bytes(plistlib.dumps(document, fmt=fmt), name="Info.plist", **options)


def errors(release: Release) -> list[str]:
    return [finding.id for finding in release.findings if finding.severity == "error"]


@pytest.mark.parametrize("fmt", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_leaf_and_ca_lists_are_read_from_xml_and_binary(fmt: plistlib.PlistFormat) -> None:
    entry = {"NSIncludesSubdomains": True, "NSPinnedLeafIdentities": spki(A), "NSPinnedCAIdentities": spki(B)}
    release = read(info(entry), fmt)
    (rule,) = release.rules
    assert (release.platform, rule.pattern, rule.subdomains) == ("ios", "a.example", True)
    assert [(str(pin.pin), pin.scope) for pin in rule.pins] == [(f"sha256/{A}", "leaf"), (f"sha256/{B}", "ca")]
    assert rule.lists == {"leaf", "ca"}
    assert release.findings == ()


@pytest.mark.parametrize(
    ("identities", "slug"),
    [
        ([], "empty-list"),
        ("not an array", "wrong-type"),
        ([A], "wrong-type"),
        ([{"SPKI-SHA256-Base64": A}], "unknown-key"),
        ([{"spki": A}], "unknown-key"),
        (spki(7), "wrong-type"),
        (spki(""), "wrong-type"),
        (spki(b"data"), "wrong-type"),
    ],
)
def test_a_list_whose_entries_are_dropped_is_still_there_and_denies_everything(identities: object, slug: str) -> None:
    release = read(info({"NSPinnedLeafIdentities": identities}))
    (rule,) = release.rules
    assert (rule.pins, rule.lists, release.rejected) == ((), {"leaf"}, "")
    assert slug in errors(release)
    assert any("no connection is allowed" in finding.says for finding in release.findings)


def test_apple_takes_a_pin_of_any_length_and_never_matches_it() -> None:
    release = read(info({"NSPinnedLeafIdentities": spki(A.rstrip("="), "sha256/" + A, A)}))
    problems = [pin.problem for pin in release.rules[0].pins]
    assert "30 bytes" in problems[0]
    assert "36 bytes" in problems[1]
    assert problems[2] == ""
    assert release.rejected == ""
    assert errors(release) == ["malformed-pin", "malformed-pin"]


def test_subdomains_need_a_boolean() -> None:
    release = read(info({"NSIncludesSubdomains": "YES", "NSPinnedLeafIdentities": spki(A)}))
    assert not release.rules[0].subdomains
    assert errors(release) == ["wrong-type"]


@pytest.mark.parametrize(
    ("document", "slug", "says"),
    [
        (info({"NSPinnedLeafIdentites": spki(A)}), "unknown-key", "NSPinnedLeafIdentities"),
        (info("text"), "wrong-type", "dropped"),
        ({"NSPinnedDomains": {"a.example": {}}}, "misplaced-key", "NSAppTransportSecurity"),
        (
            {"NSAppTransportSecurity": {"NSExceptionDomains": {"a.example": {"NSPinnedDomains": {}}}}},
            "misplaced-key",
            "belongs in",
        ),
        (
            {"NSAppTransportSecurity": {"NSExceptionDomains": {"a.example": {"NSPinnedLeafIdentities": spki(A)}}}},
            "misplaced-key",
            "the host",
        ),
        ({"NSAppTransportSecurity": {"NSPinnedDomain": {}}}, "unknown-key", "NSPinnedDomains"),
        ({"NSAppTransportSecurity": ["x"]}, "wrong-type", "ignored"),
        ({"NSAppTransportSecurity": {"NSPinnedDomains": []}}, "wrong-type", "nothing is pinned"),
    ],
)
def test_a_key_that_nothing_reads_is_an_error_that_says_where_it_belongs(document: Any, slug: str, says: str) -> None:
    release = read(document)
    assert release.pins == ()
    assert any(f.id == slug and f.severity == "error" and says in f.says for f in release.findings)


def test_a_misspelt_subdomain_key_leaves_the_pins() -> None:
    release = read(info({"NSIncludeSubdomains": True, "NSPinnedLeafIdentities": spki(A)}))
    assert errors(release) == ["unknown-key"]
    assert not release.rules[0].subdomains
    assert len(release.pins) == 1


def test_an_entry_without_a_list_pins_nothing() -> None:
    release = read(info({}))
    assert (release.rules[0].lists, errors(release)) == (frozenset(), [])


def test_pins_in_an_xml_comment_are_found() -> None:
    raw = plistlib.dumps({"CFBundleName": "x"}).replace(
        b"</dict>", b"<!-- <key>NSPinnedDomains</key>\n<dict/> --></dict>"
    )
    release = load_release_bytes(raw, name="Info.plist")
    assert [(finding.id, finding.severity) for finding in release.findings] == [("commented-out-pin", "error")]
    closing = raw.replace(b"<key>NSPinnedDomains</key>", b"NSPinnedDomains")
    assert load_release_bytes(closing, name="Info.plist").findings == ()


# TrustKit


def test_a_trustkit_configuration_is_chosen_where_only_it_pins() -> None:
    policy = {
        "TSKPublicKeyHashes": [A, B],
        "TSKIncludeSubdomains": True,
        "TSKEnforcePinning": False,
        "TSKExpirationDate": "2027-01-31",
    }
    release = read(trustkit(policy))
    (rule,) = release.rules
    assert (release.platform, rule.subdomains, rule.enforce, rule.expires) == (
        "trustkit-ios",
        True,
        False,
        "2027-01-31",
    )
    assert (release.rejected, release.findings) == ("", ())


def test_each_part_of_a_file_with_both_is_read_by_its_platform() -> None:
    both = info({"NSPinnedLeafIdentities": spki(A)}) | trustkit({"TSKPublicKeyHashes": [A, B]})
    apple, other = read(both), read(both, platform="trustkit-ios")
    assert (apple.platform, len(apple.pins), other.platform, len(other.pins)) == ("ios", 1, "trustkit-ios", 2)
    assert "second-configuration" in {finding.id for finding in apple.findings}
    assert read(both, platform="ios").rules == apple.rules


@pytest.mark.parametrize(
    "policy",
    [
        {"TSKPublicKeyHashes": [A]},
        {"TSKPublicKeyHashes": [A, A]},
        {"TSKPublicKeyHashes": [A, B.rstrip("=")]},
        {"TSKPublicKeyHashes": [A, "sha256/" + B]},
        {"TSKPublicKeyHashes": [A, f" {B}"]},
        {"TSKPublicKeyHashes": [A, 7]},
        {"TSKPublicKeyHashes": A},
        {"TSKEnforcePinning": False, "TSKPublicKeyHashes": []},
        "text",
    ],
)
def test_trustkit_throws_at_the_start_for(policy: object) -> None:
    release = read(trustkit(policy))
    assert release.rejected
    assert any("throws when the app starts" in finding.says for finding in release.findings)


def test_one_pin_is_enough_for_trustkit_where_it_does_not_enforce() -> None:
    assert read(trustkit({"TSKEnforcePinning": False, "TSKPublicKeyHashes": [A]})).rejected == ""


def excluding(policy: dict[str, Any], parent: str = "a.example", **changes: Any) -> dict[str, Any]:
    """A TrustKit configuration with a policy for open.a.example, below one that pins its subdomains."""
    above = {"TSKPublicKeyHashes": [A, B], "TSKIncludeSubdomains": True} | changes
    document = trustkit(above, parent)
    document["TSKConfiguration"]["TSKPinnedDomains"]["open.a.example"] = policy
    return document


def test_trustkit_throws_for_an_excluded_subdomain_with_any_other_key_or_without_a_parent() -> None:
    alone = {"kSKExcludeSubdomainFromParentPolicy": True}
    assert read(excluding(alone)).rejected == ""
    for more in ({"TSKIncludeSubdomains": False}, {"TSKPublicKeyHashes": [A, B]}, {"TSKEnforcePinning": True}):
        assert "other keys" in read(excluding(alone | more)).rejected
    assert "not there" in read(trustkit(alone, "open.a.example")).rejected
    assert "not there" in read(excluding(alone, "b.example")).rejected
    assert "not there" in read(excluding(alone, TSKIncludeSubdomains=False)).rejected


@pytest.mark.parametrize(
    ("host", "subdomains", "refused"),
    [
        ("192.0.2.7", False, True),
        ("2001:db8::1", False, True),
        ("api.local", False, True),
        ("shop.internal", False, True),
        ("com", False, True),
        ("co.uk", True, True),
        ("CO.UK", True, True),
        ("herokuapp.com", True, True),
        ("co.uk", False, False),
        ("shop.co.uk", True, False),
        ("shop.herokuapp.com", True, False),
        ("net.de", True, False),
        ("example.com", True, False),
    ],
)
def test_trustkit_throws_for_a_domain_that_no_registry_gives_out(host: str, subdomains: bool, refused: bool) -> None:
    release = read(trustkit({"TSKPublicKeyHashes": [A, B], "TSKIncludeSubdomains": subdomains}, host))
    assert bool(release.rejected) is refused
    assert ("public-suffix" in {finding.id for finding in release.findings}) is (host == "net.de")


def test_only_the_misspelt_key_excludes_a_subdomain() -> None:
    works = read(excluding({"kSKExcludeSubdomainFromParentPolicy": True}))
    fails = read(trustkit({"TSKExcludeSubdomainFromParentPolicy": True, "TSKPublicKeyHashes": [A, B]}))
    assert works.rules[1].excluded
    assert works.rejected == ""
    assert not fails.rules[0].excluded
    assert errors(fails) == ["unknown-key"]


def test_trustkit_refuses_an_empty_configuration_and_a_bare_name() -> None:
    assert read({"TSKConfiguration": {"TSKPinnedDomains": {}}}).rejected
    assert read(trustkit({"TSKPublicKeyHashes": [A, B]}, "localhost")).rejected


def test_an_odd_date_is_kept_as_written_with_a_finding() -> None:
    release = read(trustkit({"TSKPublicKeyHashes": [A, B], "TSKExpirationDate": "31.12.2026"}))
    assert (release.rules[0].expires, errors(release), release.rejected) == ("31.12.2026", ["odd-expiration"], "")


# What nobody should send


def cycle() -> bytes:
    """A binary property list whose dictionary holds itself."""
    key = b"\x5f\x10\x16NSAppTransportSecurity"
    objects = [b"\xd1\x01\x00", key]
    table = bytes([8, 8 + len(objects[0])])
    body = b"bplist00" + b"".join(objects) + table
    return body + bytes(6) + bytes([1, 1]) + (2).to_bytes(8) + (0).to_bytes(8) + (8 + 3 + len(key)).to_bytes(8)


def test_a_plist_that_holds_itself_is_read_and_pins_nothing() -> None:
    document = plistlib.loads(cycle())
    assert document["NSAppTransportSecurity"] is document
    release = load_release_bytes(cycle(), name="Info.plist")
    assert release.rules == ()


def test_a_plist_with_shared_lists_is_walked_once() -> None:
    shared: list[Any] = ["x"]
    for _ in range(40):  # 2 ** 40 paths
        shared = [shared, shared]
    assert read({"bomb": shared}, plistlib.FMT_BINARY).rules == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"bplist00" + b"\xff" * 60,
        b'<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "b">]><plist><string>&a;</string></plist>',
        b"<plist><dict><key>a</key></plist>",
        b"<plist>" + b"<array>" * 100_000,
        b"bplist00" + b"\xa1\x00" + b"\x08" + bytes(6) + b"\x01\x01" + (1).to_bytes(8) + bytes(8) + (9).to_bytes(8),
    ],
)
def test_a_broken_plist_is_an_input_error_or_pins_nothing(raw: bytes) -> None:
    try:
        release = load_release_bytes(raw, name="Info.plist")
    except InputError as error:
        assert error.hint
    else:
        assert release.pins == ()
