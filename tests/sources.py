"""Texts that hold pins, read as files of a release, and what was found: what the tests of the readers share."""

from __future__ import annotations

import base64
import hashlib

from irkit.pins import Release, load_release_bytes

A = base64.b64encode(hashlib.sha256(b"a").digest()).decode()
B = base64.b64encode(hashlib.sha256(b"b").digest()).decode()
C = base64.b64encode(hashlib.sha256(b"c").digest()).decode()
HEX = hashlib.sha256(b"certificate").hexdigest()


def read(content: str, platform: str | None = None) -> Release:
    release = load_release_bytes(content.encode(), name="x", platform=platform)
    again = load_release_bytes(release.raw, name="x", format=release.format, platform=release.platform)
    assert again == release
    return release


def table(release: Release) -> dict[str, list[str]]:
    """Base64 of the readable pins of each host."""
    found: dict[str, list[str]] = {}
    for rule in release.rules:
        found.setdefault(rule.pattern, []).extend(pin.pin.base64 for pin in rule.pins if pin.pin)
    return found


def ids(release: Release) -> list[str]:
    return [finding.id for finding in release.findings]
