"""Which rules of a release are for a host, as its platform matches hosts."""

from __future__ import annotations

import difflib
import re

from irkit.pins.release import HostRule, Release
from irkit.render import text

__all__ = ["normal_host", "pattern_problem", "rules_for", "why_not"]


def normal_host(host: str) -> str:
    """A host as rules are compared with: lower case, no dot at its end."""
    return host.strip().rstrip(".").lower()


def rules_for(release: Release, host: str) -> tuple[HostRule, ...]:
    """The rules that decide for a host; empty where it is not covered.

    Android and TrustKit take one, the most specific; OkHttp and iOS join all that match (pinning-semantics: "Host
    match").
    """
    host = normal_host(host)
    matching = tuple(rule for rule in release.rules if _matches(release.platform, rule, host))
    if release.platform in {"okhttp", "ios", "list", "curl", "python"}:
        return matching
    exact = [rule for rule in matching if _name(rule) == host]
    return tuple(exact[:1]) or tuple(sorted(matching, key=lambda rule: -len(rule.pattern))[:1])


def _name(rule: HostRule) -> str:
    return rule.pattern.rstrip(".").lower()


def _matches(platform: str, rule: HostRule, host: str) -> bool:
    name = _name(rule)
    if name in {"*", host}:
        return True
    parent = host.partition(".")[2]
    if platform in {"okhttp", "list"} and name.startswith("**."):
        return host == name[3:] or host.endswith(name[2:])
    if platform in {"okhttp", "list"} and name.startswith("*."):
        return parent == name[2:]
    if platform in {"okhttp", "curl"} or not rule.subdomains or not name:
        return False
    return parent == name if platform == "ios" else host.endswith(f".{name}")


def why_not(release: Release, host: str) -> str:
    """Why no rule covers a host, where one nearly does; empty otherwise."""
    host = normal_host(host)
    parent = host.partition(".")[2]
    for rule in release.rules:
        name = _name(rule)
        bare = name.lstrip("*").lstrip(".")
        shown = text(rule.pattern, 80)
        if name.startswith("*.") and host == bare:
            return f"{shown} covers its subdomains, not {bare} itself"
        if bare and host.endswith(f".{bare}"):
            if release.platform == "ios" and rule.subdomains:
                return f"{shown} covers one label below it only, on iOS"
            if name.startswith("*.") and parent != bare:
                return f"{shown} covers exactly one label"
            return f"{shown} does not include its subdomains"
    near = difflib.get_close_matches(host, [_name(rule) for rule in release.rules], 1, 0.8)
    return f"{text(near[0], 80)} is near it: a typing mistake?" if near else ""


def pattern_problem(platform: str, pattern: str) -> str:
    """Why a pattern matches no host at all; empty where it can match one."""
    if pattern == "*":
        return ""
    bare = pattern
    if platform in {"okhttp", "list"}:
        bare = pattern.removeprefix("**.").removeprefix("*.")
    if re.search(r"[/:@?#\s]", bare) and not re.fullmatch(r"[0-9a-fA-F:]+", bare):
        return "a host stands without scheme, port, path or spaces"
    if "*" in bare:
        return "there are no wildcards at this place here"
    if not bare.isascii():
        return "a name with other letters than ASCII stands in its xn-- form"
    if not bare.strip("."):
        return "it is empty"
    return ""
