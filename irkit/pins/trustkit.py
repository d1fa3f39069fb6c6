"""TrustKit for iOS: the dictionary it is configured with, from an Info.plist or from Swift and Objective-C sources.

Follows `parse_configuration.m`: what it refuses raises an exception when the app starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from irkit.pins.grammar import text_of
from irkit.pins.notes import Notes
from irkit.pins.okhttp import unknown_pin
from irkit.pins.release import ConfiguredPin, HostRule
from irkit.pins.source import Unknown
from irkit.render import text

__all__ = ["EXCLUDE", "trustkit_rules"]

# The constant's value lacks its T in TrustKit's own source; the plist key that works is the misspelt one.
EXCLUDE = "kSKExcludeSubdomainFromParentPolicy"
_KEYS = (
    "TSKPublicKeyHashes", "TSKEnforcePinning", "TSKIncludeSubdomains", "TSKPublicKeyAlgorithms", "TSKReportUris",
    "TSKDisableDefaultReportUri", "TSKExpirationDate", "TSKAdditionalTrustAnchors", EXCLUDE,
)  # fmt: skip


def trustkit_rules(configuration: Any, notes: Notes) -> Iterator[HostRule]:
    """The rules of a TSKConfiguration dictionary; what TrustKit refuses goes into the notes."""
    domains = configuration.get("TSKPinnedDomains") if isinstance(configuration, dict) else None
    if not isinstance(domains, dict) or not domains:
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
            meant = notes.nearest(str(key), _KEYS)
            says = f"the key {text(key, 60)} is ignored" + (f"; it is spelt {meant}" if meant else "")
            notes.add("unknown-key", "error" if meant else "warning", says, where)
    unnamed = host == "*" and any(finding.id == "unknown-host" for finding in notes.findings)
    if "." not in host.strip(".") and not unnamed:
        notes.refuse(f"{text(host, 80)} is not a domain", where)
    if "TSKPublicKeyAlgorithms" in policy:
        says = "TSKPublicKeyAlgorithms counts in TrustKit 1 only; later ones know every kind of key by themselves"
        notes.add("key-kinds", "info", says, where)
    excluded = _flag(policy, EXCLUDE, False, where, notes)
    enforce = _flag(policy, "TSKEnforcePinning", True, where, notes)
    hashes = policy.get("TSKPublicKeyHashes", [])
    pins: tuple[ConfiguredPin, ...] = ()
    if isinstance(hashes, Unknown):
        pins = (unknown_pin(hashes, where, notes),)
    elif not isinstance(hashes, list):
        notes.refuse(f"TSKPublicKeyHashes is {text_of(hashes)}, not an array", where)
    else:
        pins = tuple(_pin(value, f"{where}, TSKPublicKeyHashes[{i}]", notes) for i, value in enumerate(hashes))
    distinct = {pin.pin for pin in pins if pin.pin is not None}
    needed = 2 if enforce else 1
    if not excluded and len(distinct) < needed and all(pin.pin is not None for pin in pins):
        notes.refuse(f"TrustKit wants {needed} different pins, there are {len(distinct)}", where)
    return HostRule(
        host,
        _flag(policy, "TSKIncludeSubdomains", False, where, notes),
        pins,
        frozenset({"any"}) if pins else frozenset(),
        _expires(policy.get("TSKExpirationDate"), where, notes),
        enforce,
        excluded,
        where=where,
    )


def _pin(value: Any, where: str, notes: Notes) -> ConfiguredPin:
    if isinstance(value, str):
        return notes.pin(value, where=where)
    if isinstance(value, Unknown):
        return unknown_pin(value, where, notes)
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
