"""TrustKit for iOS: the dictionary it is configured with, from an Info.plist or from Swift and Objective-C sources.

Follows `parse_configuration.m`: what it refuses raises an exception when the app starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from irkit.pins.grammar import literal, text_of
from irkit.pins.notes import Notes
from irkit.pins.release import ConfiguredPin, HostRule
from irkit.pins.source import Unknown
from irkit.pins.suffix import doubtful_suffix, is_suffix, no_registry
from irkit.render import text

__all__ = ["EXCLUDE", "refusals", "trustkit_rules"]

# The constant's value lacks its T in TrustKit's own source; the plist key that works is the misspelt one.
EXCLUDE = "kSKExcludeSubdomainFromParentPolicy"
_KEYS = (
    "TSKPublicKeyHashes", "TSKEnforcePinning", "TSKIncludeSubdomains", "TSKPublicKeyAlgorithms", "TSKReportUris",
    "TSKDisableDefaultReportUri", "TSKExpirationDate", "TSKAdditionalTrustAnchors", EXCLUDE,
)  # fmt: skip


def trustkit_rules(configuration: Any, notes: Notes) -> list[HostRule]:
    """The rules of a TSKConfiguration dictionary; what TrustKit refuses goes into the notes."""
    rules = list(_rules(configuration, notes))
    for rule, problem in refusals(rules, whole=len(rules) == len(_domains(configuration))):
        notes.refuse(problem, rule.where)
    for rule in rules:
        if rule.subdomains and not rule.excluded and doubtful_suffix(rule.pattern):
            says = f"{text(rule.pattern, 80)} looks like a public suffix, whose subdomains TrustKit refuses to pin"
            notes.add("public-suffix", "warning", says, rule.where)
    return rules


def refusals(rules: Sequence[HostRule], *, whole: bool = True) -> Iterator[tuple[HostRule, str]]:
    """What `parse_configuration.m` refuses of some rules, and why.

    Args:
        rules: `*` is a host that a source does not say.
        whole: Whether these are all rules of the configuration.
    """
    whole = whole and not any(rule.pattern == "*" for rule in rules)
    for rule in rules:
        name, subdomains = text(rule.pattern, 80), rule.subdomains and not rule.excluded
        if rule.pattern != "*" and (problem := no_registry(rule.pattern)):
            yield rule, f"{name} {problem}"
        if rule.pattern != "*" and subdomains and is_suffix(rule.pattern):
            yield rule, f"{name} is a public suffix, whose subdomains can't be pinned"
        distinct, wanted = {entry.pin for entry in rule.pins}, 2 if rule.enforce else 1
        if not rule.excluded and len(distinct) < wanted and None not in distinct:
            yield rule, f"TrustKit wants {wanted} different pins for {name}, there are {len(distinct)}"
        above = (other for other in rules if other is not rule and other.subdomains)
        if rule.excluded and whole and not any(rule.pattern.endswith("." + other.pattern) for other in above):
            yield rule, f"{name} is excluded from a parent's policy that is not there"


def _domains(configuration: Any) -> dict[Any, Any]:
    domains = configuration.get("TSKPinnedDomains") if isinstance(configuration, dict) else None
    return domains if isinstance(domains, dict) else {}


def _rules(configuration: Any, notes: Notes) -> Iterator[HostRule]:
    domains = _domains(configuration)
    if not domains:
        notes.refuse("TSKPinnedDomains has no domain", "TSKConfiguration")
        return
    if "TSKSwizzleNetworkDelegates" not in configuration:
        says = "TSKSwizzleNetworkDelegates is missing, which TrustKit 1 and 2 refuse"
        notes.add("missing-key", "info", says, "TSKConfiguration")
    for host, policy in domains.items():
        where = f"TSKPinnedDomains, {text(host, 80)}"
        if isinstance(policy, Unknown):
            notes.add("unknown-pin", "warning", f"the policy {text(policy.written, 80)} is not in this file", where)
        elif isinstance(policy, dict):
            yield _rule(str(host), policy, where, notes)
        else:
            notes.refuse(f"the policy is {text_of(policy)}, not a dictionary", where)


def _flag(policy: dict[Any, Any], key: str, default: bool, where: str, notes: Notes) -> bool:
    value = policy.get(key, default)
    if isinstance(value, str):
        # -[NSString boolValue]
        notes.add("wrong-type", "warning", f"{key} is a text, not a boolean", where)
        return bool(re.match(r"\s*[-+]?0*[yYtT1-9]", value))
    return bool(value) if isinstance(value, bool | int | float) else default


def _rule(host: str, policy: dict[Any, Any], where: str, notes: Notes) -> HostRule:
    for key in policy:
        if key == "TSKExcludeSubdomainFromParentPolicy":
            says = f"{key} is ignored in a plist: TrustKit's own constant is spelt {EXCLUDE}"
            notes.add("unknown-key", "error", says, where)
        elif key not in _KEYS:
            notes.ignored(f"the key {text(key, 60)} is ignored", str(key), _KEYS, where)
    unnamed = any(finding.id == "unknown-host" for finding in notes.findings)
    if "TSKPublicKeyAlgorithms" in policy:
        says = "TSKPublicKeyAlgorithms counts in TrustKit 1 only; later ones know every kind of key by themselves"
        notes.add("key-kinds", "info", says, where)
    excluded = _flag(policy, EXCLUDE, False, where, notes)
    if excluded and len(policy) > 1:
        others = ", ".join(text(key, 60) for key in list(policy)[:6] if key != EXCLUDE)
        notes.refuse(f"{text(host, 80)} is excluded and has other keys too: {others}", where)
    subdomains = _flag(policy, "TSKIncludeSubdomains", False, where, notes)
    enforce = _flag(policy, "TSKEnforcePinning", True, where, notes)
    hashes = policy.get("TSKPublicKeyHashes", [])
    pins: tuple[ConfiguredPin, ...] = ()
    if isinstance(hashes, Unknown):
        pins = (notes.pin(hashes, where=where),)
    elif not isinstance(hashes, list):
        notes.refuse(f"TSKPublicKeyHashes is {text_of(hashes)}, not an array", where)
    else:
        pins = tuple(_pin(value, f"{where}, TSKPublicKeyHashes[{i}]", notes) for i, value in enumerate(hashes))
    return HostRule(
        host if unnamed else literal(host),
        subdomains,
        pins,
        frozenset({"any"}) if pins else frozenset(),
        _expires(policy.get("TSKExpirationDate"), where, notes),
        enforce,
        excluded,
        where=where,
    )


def _pin(value: Any, where: str, notes: Notes) -> ConfiguredPin:
    if isinstance(value, str | Unknown):
        return notes.pin(value, where=where)
    notes.refuse(f"a pin is {text_of(value)}, not a text", where)
    return ConfiguredPin("", None, problem=f"is {text_of(value)}", where=where)


def _expires(value: Any, where: str, notes: Notes) -> str | None:
    """TrustKit reads yyyy-MM-dd in UTC; what it makes of anything else is not established."""
    if value is None or isinstance(value, Unknown):
        return None
    if isinstance(value, datetime):
        notes.add(
            "odd-expiration", "error", "TSKExpirationDate is a date, not a text: TrustKit expects yyyy-MM-dd", where
        )
        return value.date().isoformat()
    if not isinstance(value, str):
        notes.add("odd-expiration", "error", f"TSKExpirationDate is {text_of(value)}, not a text", where)
        return None
    try:
        datetime.strptime(value, "%Y-%m-%d")  # noqa: DTZ007 - only its form is checked
    except ValueError:
        says = f"TSKExpirationDate {text(value, 40)} is not yyyy-MM-dd: the pins probably never expire"
        notes.add("odd-expiration", "error", says, where)
    return value
