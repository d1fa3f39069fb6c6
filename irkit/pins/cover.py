"""Which rules of a release are for a host, as its platform matches hosts: for `irkit.accept`, and for the lint."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from contextlib import suppress

from irkit.pins.pattern import checks_patterns, okhttp_pattern
from irkit.pins.release import HostRule, Release
from irkit.render import text

__all__ = ["android_rule", "canonical_host", "pattern_problem", "rules_for", "unclear_host", "why_not"]

# Here a rule's own words say how far it reaches: they are of one request, of a session, or a plain list.
_AS_WRITTEN = frozenset({"list", "curl", "python"})


def canonical_host(host: str) -> str:
    """A host as platforms are asked for it: lower case, in its xn-- form, no dot at its end."""
    lowered = host.strip().lower()
    with suppress(UnicodeError):
        lowered = lowered if lowered.isascii() else lowered.encode("idna").decode()
    return lowered.rstrip(".")


def unclear_host(host: str) -> str:
    """Why a host is another one to IDNA 2003 than to IDNA 2008, so that no one rule can be named; empty otherwise."""
    odd = "".join(sorted(set(host.lower()) & set("ßς\u200c\u200d")))
    return f"platforms read {text(odd)!r} in a host name differently: give its xn-- form" if odd else ""


def rules_for(release: Release, host: str) -> tuple[HostRule, ...]:
    """The rules that decide for a host; empty where it is not covered.

    Android, TrustKit and Chromium take one, the most specific; OkHttp and iOS join all that match (pinning-semantics:
    "Host match"). An OkHttp of no known version counts as one from 4.3.0 on, TrustKit Android as on Android 7 or newer.
    """
    host, rules = canonical_host(host), release.rules
    match release.platform:
        case "okhttp":
            checked = checks_patterns(release.library) is not False
            return tuple(rule for rule in rules if _okhttp(rule.pattern, host, checked))
        case "ios":
            return tuple(rule for rule in rules if _ios(rule, host))
        case "list" | "curl" | "python":
            return tuple(rule for rule in rules if _as_written(rule, host))
        case "android" | "trustkit-android":
            found = android_rule(rules, host)
        case "trustkit-ios":
            found = _trustkit_ios(rules, host)
        case _:
            found = _known_host(rules, host)
    return () if found is None else (found,)


def _okhttp(pattern: str, host: str, checked: bool) -> bool:
    try:
        return okhttp_pattern(pattern, checked=checked)(host)
    except ValueError:
        return False


def _ios(rule: HostRule, host: str) -> bool:
    """A name, and with NSIncludesSubdomains the hosts one label below it."""
    name, parent = rule.pattern.lower().removesuffix("."), host.partition(".")[2]
    return name in (host, "*") or (rule.subdomains and bool(parent) and name == parent)


def _as_written(rule: HostRule, host: str) -> bool:
    """An empty pattern or `*` for every host, a name, `*.` for one label, `**.` or subdomains for any depth."""
    name = rule.pattern.lower().removesuffix(".")
    if name in ("", "*", host):
        return True
    if name.startswith("**."):
        return host == name[3:] or host.endswith(name[2:])
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return rule.subdomains and host.endswith("." + name)


def android_rule(rules: Sequence[HostRule], host: str, *, fold: bool = True) -> HostRule | None:
    """An exact match, whatever it says of subdomains; else the longest domain that includes them; else `*`.

    Args:
        rules: In the order of the file.
        host: As `canonical_host` gives it.
        fold: Whether case is ignored, as Android does and TrustKit Android does not.
    """

    def name(rule: HostRule) -> str:
        return rule.pattern.lower() if fold else rule.pattern

    exact = next((rule for rule in rules if name(rule) == host), None)
    above = [rule for rule in rules if rule.subdomains and rule.pattern and host.endswith("." + name(rule))]
    return exact or max(above, key=lambda rule: len(rule.pattern), default=_everywhere(rules))


def _trustkit_ios(rules: Sequence[HostRule], host: str) -> HostRule | None:
    """As Android, but case counts, and a name without a dot has no subdomains."""
    exact = next((rule for rule in rules if rule.pattern == host), None)
    above = [rule for rule in rules if rule.subdomains and "." in rule.pattern and host.endswith("." + rule.pattern)]
    return exact or max(above, key=lambda rule: len(rule.pattern), default=_everywhere(rules))


def _known_host(rules: Sequence[HostRule], host: str) -> HostRule | None:
    """A known host of Chromium: the host itself, else the nearest domain above it that includes its subdomains."""
    names = [".".join(host.split(".")[i:]) for i in range(host.count(".") + 1)]
    known = ((rule, name) for name in names for rule in rules if rule.pattern.lower().removesuffix(".") == name)
    return next((rule for rule, name in known if name == host or rule.subdomains), _everywhere(rules))


def _everywhere(rules: Sequence[HostRule]) -> HostRule | None:
    return next((rule for rule in rules if rule.pattern == "*"), None)


def why_not(release: Release, host: str) -> str:
    """Why no rule covers a host, where one nearly does; empty otherwise."""
    host = canonical_host(host)
    parent = host.partition(".")[2]
    names = [rule.pattern.rstrip(".").lower() for rule in release.rules]
    for rule, name in zip(release.rules, names, strict=True):
        bare = name.lstrip("*").lstrip(".")
        shown = text(rule.pattern, 80)
        near = bare == host or (bool(bare) and host.endswith(f".{bare}"))
        if near and (problem := pattern_problem(release, rule.pattern)):
            return f"{shown} matches no host: {problem}"
        if name == host:
            return f"{shown} is compared as written, and the host is asked for as {text(host, 80)}"
        if name.startswith("*.") and host == bare:
            return f"{shown} covers its subdomains, not {bare} itself"
        if bare and host.endswith(f".{bare}"):
            if release.platform == "ios" and rule.subdomains:
                return f"{shown} covers one label below it only, on iOS"
            if name.startswith("*.") and parent != bare:
                return f"{shown} covers exactly one label"
            if not rule.subdomains:
                return f"{shown} does not include its subdomains"
    alike = difflib.get_close_matches(host, names, 1, 0.8)
    return f"{text(alike[0], 80)} is near it: a typing mistake?" if alike else ""


def pattern_problem(release: Release, pattern: str) -> str:
    """Why a pattern matches no host at all; empty where it can match one."""
    if pattern == "*":
        return ""
    if release.platform == "okhttp":
        return _okhttp_problem(pattern, checks_patterns(release.library))
    bare = pattern.removeprefix("**.").removeprefix("*.") if release.platform in _AS_WRITTEN else pattern
    if re.search(r"[/:@?#\s]", bare) and not re.fullmatch(r"[0-9a-fA-F:]+", bare):
        return "a host stands without scheme, port, path or spaces"
    if "*" in bare:
        return "there are no wildcards at this place here"
    if not bare.isascii():
        return "a name with other letters than ASCII stands in its xn-- form"
    if not bare.strip(".") and not (release.platform in _AS_WRITTEN and not pattern):
        return "it is empty"
    if release.platform in {"android", "trustkit-android", "trustkit-ios"} and bare.endswith("."):
        return "a name stands without a dot at its end"
    if release.platform == "trustkit-ios" and bare != bare.lower():
        return "TrustKit compares names as they are written, and a host is asked for in lower case"
    return ""


def _okhttp_problem(pattern: str, checked: bool | None) -> str:
    """What OkHttp makes of a pattern that a host can't have; an unknown version counts as one from 4.3.0 on."""
    try:
        okhttp_pattern(pattern, checked=checked is not False)
    except ValueError as error:
        return f"CertificatePinner throws, {error}"
    if checked is False and pattern.startswith("**."):
        return "before OkHttp 4.3 `**.` is no wildcard"
    if checked is False and "*" in pattern.removeprefix("*."):
        return "there are no wildcards at this place here"
    if checked is False and re.match(r"\w+:/", pattern):
        return "a host stands without scheme, port, path or spaces"
    return "a name stands without a dot at its end" if pattern.endswith(".") else ""
