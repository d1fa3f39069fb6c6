"""The lint and `accepts` read a host pattern alike, and a pattern that is said to match no host matches none."""

from __future__ import annotations

import pytest
from pinned import AT, CHAIN, OTHER, SECOND, answer, release

from irkit.accept import accepts
from irkit.pins import check_pins
from irkit.pins.cover import pattern_problem, rules_for, why_not
from irkit.pins.release import PLATFORMS, Platform, Release

PATTERNS = (
    "example.com", "api.example.com", "*.example.com", "**.example.com", "Example.com", "example.com.",
    "API.example.com", "com", "*", '"*"', "a.b.example.com", ".example.com", "https://example.com", "example.com:443",
    "example.com/v1", "xn--bcher-kva.example", "bücher.example", "a.*.com", "",
)  # fmt: skip
HOSTS = (
    "example.com", "api.example.com", "a.b.example.com", "example.org", "EXAMPLE.com", "api.example.com.",
    "notexample.com", "bücher.example", "com",
)  # fmt: skip
LIBRARIES = [(platform, "") for platform in PLATFORMS] + [("okhttp", "okhttp 3.13.1"), ("okhttp", "okhttp 4.12.0")]


def shipped(platform: Platform, pattern: str, library: str, subdomains: bool) -> Release:
    lists = frozenset[str]({"leaf"} if platform == "ios" else ())
    return release(platform, OTHER, SECOND, pattern=pattern, library=library, subdomains=subdomains, lists=lists)


@pytest.mark.parametrize(("platform", "library"), LIBRARIES)
def test_the_lint_and_the_verdict_agree_on_which_hosts_a_pattern_covers(platform: Platform, library: str) -> None:
    decided = 0
    for pattern in PATTERNS:
        for subdomains in (False, True):
            one = shipped(platform, pattern, library, subdomains)
            for host in HOSTS:
                found = accepts(one, CHAIN, host=host, at=AT)
                if found.why in ("config-rejected", "version"):
                    continue
                decided += 1
                covered = found.why != "no-rule"
                assert bool(rules_for(one, host)) is covered, (pattern, subdomains, host, found)
                errors = {finding.id for finding in check_pins(one, host=host, now=AT)}
                assert ("host-not-covered" not in errors) is covered, (pattern, subdomains, host, found)
    assert decided > 100


@pytest.mark.parametrize(("platform", "library"), LIBRARIES)
def test_a_pattern_that_is_said_to_match_no_host_matches_none(platform: Platform, library: str) -> None:
    for pattern in PATTERNS:
        one = shipped(platform, pattern, library, subdomains=True)
        if pattern_problem(one, pattern):
            assert not any(rules_for(one, host) for host in HOSTS), pattern


@pytest.mark.parametrize(
    ("platform", "pattern", "library", "host", "says"),
    [
        ("okhttp", "**.example.com", "okhttp 3.13.1", "api.example.com", "before OkHttp 4.3"),
        ("okhttp", "*.example.com", "", "a.b.example.com", "exactly one label"),
        ("okhttp", "*.example.com", "", "example.com", "not example.com itself"),
        ("android", "example.com.", "", "example.com", "without a dot at its end"),
        ("android", "*.example.com", "", "api.example.com", "no wildcards"),
        ("android", "example.com", "", "api.example.com", "does not include its subdomains"),
        ("trustkit-ios", "Example.com", "", "example.com", "as they are written"),
        ("ios", "exmaple.com", "", "example.com", "a typing mistake?"),
    ],
)
def test_a_host_that_is_nearly_covered_is_told_why_not(
    platform: Platform, pattern: str, library: str, host: str, says: str
) -> None:
    one = release(platform, OTHER, SECOND, pattern=pattern, library=library)
    assert rules_for(one, host) == ()
    assert says in why_not(one, host)


def test_a_plain_lists_double_star_covers_any_depth() -> None:
    everywhere = release("list", OTHER, pattern="**.example.com")
    for host in ("example.com", "api.example.com", "a.b.example.com"):
        assert answer(everywhere, CHAIN, host=host) == ("no", "pin")
    assert answer(everywhere, CHAIN, host="notexample.com") == ("unpinned", "no-rule")


def test_a_host_that_platforms_read_differently_is_not_called_covered() -> None:
    one = release("android", OTHER, SECOND, pattern="xn--strae-oqa.example")
    assert "host-unclear" in {finding.id for finding in check_pins(one, host="straße.example", now=AT)}
    assert answer(one, CHAIN, host="straße.example") == ("unknown", "unconfirmed")
