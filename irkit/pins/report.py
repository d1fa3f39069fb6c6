"""The pins that a pin-failure report or an inventory says a release has: less than the file it is built from."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from irkit.errors import InputError
from irkit.pins.keys import load_inventory_bytes
from irkit.pins.notes import Notes
from irkit.pins.release import ConfiguredPin, HostRule, Platform, Release
from irkit.pins.source import decode_text
from irkit.render import text

__all__ = ["read_inventory", "read_report"]

_LIVE = frozenset({"active", "next", "backup"})


def read_report(raw: bytes, platform: Platform | None, name: str) -> Release:
    """Reads the known-pins of a report: TrustKit's for iOS or Android, or RFC 7469's (section 3).

    Anyone can send a report; what it says about pins is a lead, not the configuration.

    Raises:
        InputError: It is no report.
    """
    try:
        report = json.loads(decode_text(raw, name))
        known = report["known-pins"]
        host = report.get("noted-hostname") or report["hostname"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{text(name)} is no pin-failure report: {type(error).__name__} {text(error, 120)}",
            "a report is JSON with hostname and known-pins",
        ) from None
    if platform is None:
        system = str(report.get("app-platform", "")).upper()
        platform = "trustkit-android" if system == "ANDROID" else "trustkit-ios" if system else "hpkp"
    notes = Notes(platform)
    notes.add("from-report", "warning", "the pins are what a client reported; anyone can send a report")
    pins = tuple(_pin(value, i, notes) for i, value in enumerate(known if isinstance(known, list) else ()))
    expires = report.get("known-pins-expiration-date")
    rule = HostRule(
        str(host),
        report.get("include-subdomains") is True,
        pins,
        frozenset({"any"}),
        expires if isinstance(expires, str) else None,
        enforce=report.get("enforce-pinning") is not False,
    )
    app, version = (str(report.get(key, "")) for key in ("app-bundle-id", "app-version"))
    # What a client sent says nothing of what the platform would refuse.
    return Release(platform, (rule,), app, version, findings=notes.findings)


def _pin(value: Any, number: int, notes: Notes) -> ConfiguredPin:
    match = re.fullmatch(r'pin-sha256="([^"]*)"', value) if isinstance(value, str) else None
    where = f"known-pins[{number}]"
    if match:
        return notes.pin(match[1], where=where)
    notes.add("malformed-pin", "error", f"{text(value, 80)} is not written as a report writes pins", where)
    return ConfiguredPin(str(value)[:200], None, problem="is not written as a report writes pins", where=where)


def read_inventory(raw: bytes, _platform: str, name: str) -> Release:
    """Reads the keys of a keys.toml that are to be pinned: active, next and backup.

    Raises:
        InputError: As `irkit.pins.load_inventory`.
    """
    inventory = load_inventory_bytes(raw, name=name)
    notes = Notes("list")
    hosts: dict[str, list[ConfiguredPin]] = {}
    for key in inventory.keys:
        where = text(key.name or key.pin, 80)
        if key.status not in _LIVE:
            notes.add("not-pinned", "info", f"a key with the status {key.status} is not to be pinned", where)
            continue
        scope: Literal["leaf", "ca"] = "leaf" if key.role == "leaf" else "ca"
        for host in key.hosts or ("*",):
            hosts.setdefault(host, []).append(ConfiguredPin(str(key.pin), key.pin, scope, where=where))
    return notes.release(HostRule(host, False, tuple(pins), frozenset({"any"})) for host, pins in hosts.items())
