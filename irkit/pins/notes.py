"""What a reader writes down while it reads: findings, and why the platform would refuse the whole configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from irkit.errors import InputError
from irkit.pins.grammar import read_pin
from irkit.pins.release import ConfiguredPin, PinFinding, Platform
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

    def pin(
        self, value: str, *, scope: Literal["any", "leaf", "ca"] = "any", bad: bool = False, where: str = ""
    ) -> ConfiguredPin:
        """Reads a pin as the platform does and writes down what is wrong with it."""
        self.spend()
        pin, refused = read_pin(value, self.platform, scope=scope, bad=bad, where=where)
        slug = "placeholder-pin" if "placeholder" in pin.problem else "malformed-pin"
        if refused:
            self.refuse(f"the pin {text(value, 80)} {pin.problem}", where, slug)
        elif pin.pin is None:
            self.add(slug, "error", f"the pin {text(value, 80)} {pin.problem}: it never matches", where)
        elif pin.problem:
            self.add(slug, "warning", f"the pin {text(value, 80)} {pin.problem}", where)
        return pin
