"""What a reader writes down while it reads: findings, and why the platform would refuse the whole configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from irkit.errors import InputError
from irkit.pins.grammar import read_pin
from irkit.pins.release import ConfiguredPin, HostRule, PinFinding, Platform, Release
from irkit.pins.source import written
from irkit.render import text

__all__ = ["Notes"]

PINS = 20_000
LOOKUPS = 2_000  # comparisons of spelling, which are slow

# What a platform does with a pin that it refuses; a pin that it takes but can't match says so itself.
_REFUSAL: dict[Platform, str] = {
    "android": "Android refuses the whole configuration: the app breaks at its first TLS use",
    "trustkit-android": "TrustKit throws when the app starts",
    "okhttp": "CertificatePinner throws when it is built",
    "trustkit-ios": "TrustKit throws when the app starts",
    "hpkp": "browsers ignore the whole header",
}


@dataclass(slots=True)
class Notes:
    """Collects what a reader sees.

    Attributes:
        platform: Whose rules the reader follows.
        rejected: The first reason for which the platform refuses the configuration.
    """

    platform: Platform
    rejected: str = ""
    _findings: dict[PinFinding, None] = field(default_factory=dict)
    _pins: int = 0
    _lookups: int = 0

    @property
    def findings(self) -> tuple[PinFinding, ...]:
        """What was written down, in order."""
        return tuple(self._findings)

    def add(self, slug: str, severity: Literal["error", "warning", "info"], says: str, where: str = "") -> None:
        """Writes a finding down, once."""
        self._findings[PinFinding(slug, severity, says, where)] = None

    def spend(self, count: int = 1) -> None:
        """Counts pins against a bound: a small file can name a list of them many times over.

        Raises:
            InputError: There are more than any app ships.
        """
        self._pins += count
        if self._pins > PINS:
            raise InputError(f"there are more than {PINS} pins", "give the configuration of one app")

    def nearest(self, word: str, known: Iterable[str], cutoff: float = 0.75) -> str:
        """The known word that a misspelt one is nearest to; empty when none is near. Case counts little."""
        self._lookups += 1
        if len(word) > 64 or self._lookups > LOOKUPS:
            return ""
        words = {name.lower(): name for name in known}
        found = difflib.get_close_matches(word.lower(), words, 1, cutoff)
        return words[found[0]] if found else ""

    def refuse(self, says: str, where: str = "", slug: str = "config-refused") -> None:
        """Writes down that the platform refuses the whole configuration."""
        self.rejected = self.rejected or (f"{says} ({where})" if where else says)
        self.add(slug, "error", f"{says}: {_REFUSAL.get(self.platform, 'the platform refuses it')}", where)

    def ignored(
        self, what: str, word: str, known: Iterable[str], where: str = "", *, slug: str = "unknown-key",
        cutoff: float = 0.75, form: str = "{}",
    ) -> None:  # fmt: skip
        """Writes down what the platform passes over as it doesn't know the word: an error where it nearly knows it."""
        meant = self.nearest(word, known, cutoff)
        says = f"{what}; it is spelt {form.format(meant)}" if meant else what
        self.add(slug, "error" if meant else "warning", says, where)

    def commented_out(
        self, what: str, where: str, *, live: bool = True, then: str = "this app is not pinned here"
    ) -> None:
        """Writes down that pins are commented out: an error where no live ones are left."""
        left = "" if live else f", and none is left: {then}"
        self.add("commented-out-pin", "warning" if live else "error", f"{what} commented out{left}", where)

    def host(self, value: Any, where: str) -> str:
        """A host out of a source; `*` with a finding for one that the file does not define."""
        if isinstance(value, str):
            return value
        says = f"the host is {text(written(value), 80)}, which this file does not define"
        self.add("unknown-host", "warning", f"{says}: its pins count for every host here", where)
        return "*"

    def release(self, rules: Iterable[HostRule]) -> Release:
        """The release that was read, with what was written down about it."""
        return Release(self.platform, tuple(rules), rejected=self.rejected, findings=self.findings)

    def pin(self, value: Any, *, scope: Literal["any", "leaf", "ca"] = "any", where: str = "") -> ConfiguredPin:
        """Reads a pin as the platform does and writes down what is wrong with it; one that is no text is unknown."""
        self.spend()
        if not isinstance(value, str):
            self.add("unknown-pin", "warning", f"the pin {text(written(value), 80)} is not defined in this file", where)
            return ConfiguredPin(written(value), None, scope, problem="is not defined in this file", where=where)
        pin, refused = read_pin(value, self.platform, scope=scope, where=where)
        slug = "placeholder-pin" if "placeholder" in pin.problem else "malformed-pin"
        if refused:
            self.refuse(f"the pin {text(value, 80)} {pin.problem}", where, slug)
        elif pin.pin is None:
            self.add(slug, "error", f"the pin {text(value, 80)} {pin.problem}: it never matches", where)
        elif pin.problem:
            self.add(slug, "warning", f"the pin {text(value, 80)} {pin.problem}", where)
        return pin
