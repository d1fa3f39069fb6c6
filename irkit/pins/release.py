"""What a release ships: its host rules, the pins in them as they were written, and what is odd about them.

Values only. Each format's reader makes them, `irkit.accept` judges by them. A rule says what the file says; how a
platform acts on it (which rule wins, what a malformed pin does, when an expiry falls) is `irkit.accept`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from irkit import render
from irkit.certificate import Pin

__all__ = ["PLATFORMS", "Anchor", "ConfiguredPin", "HostRule", "PinFinding", "Platform", "Release"]

Platform = Literal[
    "android", "okhttp", "ios", "trustkit-ios", "trustkit-android", "hpkp", "chromium", "curl", "python", "list"
]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
# How the problem of a pin ends that the file names and does not hold.
_UNREAD = ("in this file", "in the app's bundle", ".pins file")


@dataclass(frozen=True, slots=True)
class ConfiguredPin:
    """One pin of a configuration.

    Attributes:
        text: The pin as written, prefix and all; hostile, show it through irkit.render.
        pin: What this platform decodes the text to; None where that is not a hash that a key can have (another length,
            not base64, a placeholder of words). Such a pin never matches; `problem` says why.
        scope: Where in the path the platform looks for it: `leaf` (index 0), `ca` (index 1 on), `any`.
        of: What is hashed: the `spki`, or the whole `certificate` (urllib3, Flutter).
        bad: A hash that must not occur (Chromium's bad_static_spki_hashes).
        problem: Why `pin` is None, or what is odd about the text.
        where: Line or element in the source, as text.
    """

    text: str
    pin: Pin | None
    scope: Literal["any", "leaf", "ca"] = "any"
    of: Literal["spki", "certificate"] = "spki"
    bad: bool = False
    problem: str = ""
    where: str = ""

    @property
    def unread(self) -> bool:
        """Whether the pin may be a good one that the file does not show: defined elsewhere."""
        return self.pin is None and self.problem.endswith(_UNREAD)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A `<certificates>` element of an Android trust-anchors list.

    Attributes:
        src: `system`, `user`, or a raw resource as `@raw/name`.
        override_pins: Paths that end at it skip the pins.
    """

    src: str
    override_pins: bool = False


@dataclass(frozen=True, slots=True)
class HostRule:
    """The pins of one host pattern.

    Attributes:
        pattern: Host or pattern as written. `*` alone stands for every host where the source names none (a plain list,
            curl's option, strings out of an APK); where the source itself writes a `*`, it stands here in quotes.
        subdomains: Whether the rule says that it includes subdomains (includeSubdomains, NSIncludesSubdomains, …).
        pins: The configured pins, in order; empty means that the rule pins nothing.
        lists: Pin lists that are present though they may be empty: iOS denies everything for a list whose every entry
            it dropped.
        expires: The expiry as written; None for none. Each platform has its own grammar and time zone for it.
        enforce: False where a mismatch is only reported (TSKEnforcePinning, Report-Only).
        excluded: The host is exempted from its parent's pins (TrustKit).
        anchors: Android's trust anchors for this rule, inherited ones included; empty for the platform's default.
        where: Line or element in the source.
    """

    pattern: str
    subdomains: bool = False
    pins: tuple[ConfiguredPin, ...] = ()
    lists: frozenset[Literal["leaf", "ca", "any"]] = frozenset()
    expires: str | None = None
    enforce: bool = True
    excluded: bool = False
    anchors: tuple[Anchor, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class PinFinding:
    """Something a reader or the lint saw in a configuration.

    Attributes:
        id: A slug, stable across versions: `commented-out-pin`, `malformed-pin`, `unknown-element`, …
        severity: `error` (connections break, or pinning is silently off), `warning`, `info`.
        says: One sentence.
        where: Line or element.
    """

    id: str
    severity: Literal["error", "warning", "info"]
    says: str
    where: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Release:
    """One app, platform and version with the pin configuration that it ships.

    Attributes:
        platform: Whose rules decide: see irkit.accept.
        rules: Host rules in the order of the file.
        app, version, library: As the incident file names them; `library` as in "okhttp 4.12.0".
        released: When the release reached its first users, aware UTC; None if unknown.
        share: Its share of validations, 0 to 1; None if unknown.
        rejected: Why the platform refuses the whole configuration (the app breaks at its first TLS use, or at launch);
            empty when it doesn't.
        findings: What the reader noticed.
        debug_anchors: Android's debug-overrides anchors; they act only in debuggable builds.
        source: The file it was read from, as text.
        format: The reader that read it (`load_release_bytes(raw, format=…)` reads it again).
        raw: The bytes read, for the evidence; for an APK or IPA the configuration taken out of it.
    """

    platform: Platform
    rules: tuple[HostRule, ...]
    app: str = ""
    version: str = ""
    library: str = ""
    released: datetime | None = None
    share: float | None = None
    rejected: str = ""
    findings: tuple[PinFinding, ...] = ()
    debug_anchors: tuple[Anchor, ...] = ()
    source: str = ""
    format: str = ""
    raw: bytes = b""

    @property
    def name(self) -> str:
        """App and version, as cohorts and reports call it: `shop-android 4.2.0`."""
        return " ".join(part for part in (self.app, self.version) if part) or self.source or self.platform

    @property
    def pins(self) -> tuple[Pin, ...]:
        """Every decodable pin of every rule, first seen first, without repeats and without bad hashes."""
        found = (entry.pin for rule in self.rules for entry in rule.pins if not entry.bad)
        return tuple(dict.fromkeys(pin for pin in found if pin is not None))

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (rule.pattern + (" and subdomains" if rule.subdomains else ""), entry.text, entry.scope, entry.problem)
            for rule in self.rules
            for entry in rule.pins
        ]

    def __repr__(self) -> str:
        head = f"Release {render.text(self.name)} ({self.platform})"
        return head + "\n" + render.text_table(("host", "pin", "position", "problem"), self._rows())

    def _repr_html_(self) -> str:
        return render.table(("host", "pin", "position", "problem"), self._rows(), f"{self.name} ({self.platform})")
