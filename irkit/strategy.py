"""Pinning strategies as values: which keys, at which levels of a path, how many of them must match, and when.

`irkit.accepts` takes a Strategy where it takes a Release. The three modes are those of the usual advice on pinning:
strict (the leaf and a CA), balanced (any two levels), flexible (any one).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

from irkit import render
from irkit.accept.value import Position, position
from irkit.certificate import Certificate, Pin
from irkit.errors import InputError
from irkit.trust import linked_path

__all__ = ["Level", "Mode", "PinnedKey", "Strategy", "ca_pins", "certificate_pins", "due", "levels_of", "spki_pins"]

Level = Position
Mode = Literal["strict", "balanced", "flexible"]


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """One pin of a strategy; several for a level are alternatives, such as the current key and the next.

    Attributes:
        pin: The hash.
        level: Where in the path it must be.
        of: What is hashed: the `spki`, or the whole `certificate`, which every renewal changes.
        name: What the owner calls it.
        since, until: When it counts, aware; None for open. It goes on counting through the strategy's grace.
    """

    pin: Pin
    level: Level = "leaf"
    of: Literal["spki", "certificate"] = "spki"
    name: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        _aware(self.since, self.until)
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise InputError(f"the pin {self.pin} ends before it begins", "let since be before until")


@dataclass(frozen=True, slots=True, repr=False)
class Strategy:
    """What a client pins.

    Attributes:
        keys: The pins.
        mode: `strict`: the leaf and one level above must match; `balanced`: any two levels; `flexible`: any one.
        hosts: The hosts it is for, `*.` for one label; empty for every host.
        grace: How long a pin counts past its end: time for slow updates, and a warning.
        enforce_from: Before it, a mismatch is only reported; None for always enforced. Aware.
        enforce_until: From then on nothing is enforced, so that an abandoned app doesn't break; None for never. Aware.
        name: What to call it.

    Raises:
        InputError: It could never be satisfied, or a time is naive.
    """

    keys: tuple[PinnedKey, ...]
    mode: Mode = "flexible"
    hosts: tuple[str, ...] = ()
    grace: timedelta = timedelta(0)
    enforce_from: datetime | None = None
    enforce_until: datetime | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _aware(self.enforce_from, self.enforce_until)
        levels = {key.level for key in self.keys}
        if not self.keys:
            raise InputError("a strategy without pins pins nothing", "give at least the current key and the next")
        if self.mode not in get_args(Mode):
            raise InputError(f"no mode {render.text(self.mode, 40)}", "the modes are strict, balanced and flexible")
        if self.mode == "strict" and not ("leaf" in levels and len(levels) > 1):
            raise InputError("strict needs pins of the leaf and of a CA", "add the other, or choose flexible")
        if self.mode == "balanced" and len(levels) < 2:
            raise InputError("balanced needs pins at two levels", "add pins of another level, or choose flexible")
        if self.grace < timedelta(0):
            raise InputError("the grace is negative", "give a timedelta of zero or more")
        for host in self.hosts:
            if not re.fullmatch(r"(\*\.)?[\w.:-]+", host, re.ASCII):
                says = f"{render.text(host, 80)!r} is no host"
                raise InputError(says, "give the name alone, an international one in its xn-- form")

    def covers(self, host: str) -> bool:
        """Whether the strategy is for this host."""
        wanted = host.rstrip(".").lower()
        above = wanted.partition(".")[2]
        names = {name.rstrip(".").lower() for name in self.hosts}
        return not names or wanted in names or (bool(above) and f"*.{above}" in names)

    def counting(self, at: datetime) -> tuple[PinnedKey, ...]:
        """The pins that count at a time, those in their grace included."""
        return tuple(
            key
            for key in self.keys
            if (key.since is None or key.since <= at) and (key.until is None or at <= key.until + self.grace)
        )

    def enforced(self, at: datetime) -> bool:
        """Whether a mismatch breaks the connection at a time."""
        begun = self.enforce_from is None or self.enforce_from <= at
        return begun and (self.enforce_until is None or at < self.enforce_until)

    def with_keys(self, *keys: PinnedKey) -> Strategy:
        """The same with more pins: the next key ahead of a rotation."""
        return replace(self, keys=tuple(dict.fromkeys((*self.keys, *keys))))

    def _rows(self) -> list[tuple[object, ...]]:
        return [(k.level, k.name, k.pin, k.of, k.since or "always", k.until or "open") for k in self.keys]

    def __repr__(self) -> str:
        head = f"Strategy {render.text(self.name)} ({self.mode})"
        return head + "\n" + render.text_table(("level", "name", "pin", "of", "since", "until"), self._rows())

    def _repr_html_(self) -> str:
        caption = f"{self.name or 'Strategy'} ({self.mode})"
        return render.table(("level", "name", "pin", "of", "since", "until"), self._rows(), caption)


def levels_of(path: Sequence[Certificate]) -> tuple[Level, ...]:
    """The level of each certificate of a path: first the leaf, last the root if it issued itself."""
    return tuple(position(path, i) for i in range(len(path)))


def spki_pins(chain: Sequence[Certificate], levels: Iterable[Level] = get_args(Level)) -> tuple[PinnedKey, ...]:
    """The keys on the path of a chain, at the levels wanted. What signed nothing on the path is left out."""
    path, wanted = linked_path(chain), set(levels)
    found = zip(path, levels_of(path), strict=True)
    return tuple(PinnedKey(c.pin, level) for c, level in found if level in wanted and c.pin is not None)


def ca_pins(chain: Sequence[Certificate]) -> tuple[PinnedKey, ...]:
    """The keys above the leaf: they outlive its renewals, and trust everything that the CA issues."""
    return spki_pins(chain, ("intermediate", "root"))


def certificate_pins(chain: Sequence[Certificate], levels: Iterable[Level] = ("leaf",)) -> tuple[PinnedKey, ...]:
    """Whole certificates, each until its own end: the narrowest pins, and the ones that every renewal breaks."""
    path, wanted = linked_path(chain), set(levels)
    return tuple(
        PinnedKey(Pin(hashlib.sha256(c.der).digest()), level, "certificate", until=c.not_after)
        for c, level in zip(path, levels_of(path), strict=True)
        if level in wanted
    )


def due(strategy: Strategy, at: datetime, within: timedelta = timedelta(days=30)) -> tuple[PinnedKey, ...]:
    """The pins that end within a time, or have ended and count only by grace: replace them, soonest first."""
    ending = [key for key in strategy.counting(at) if key.until is not None and key.until <= at + within]
    return tuple(sorted(ending, key=lambda key: key.until or at))


def _aware(*times: datetime | None) -> None:
    for time in times:
        if time is not None and time.tzinfo is None:
            raise InputError(f"the time {time} has no time zone", "give an aware datetime, as datetime(…, tzinfo=UTC)")
