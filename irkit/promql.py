"""PromQL, built from data. A value is quoted by PromQL's rules, so that it is looked for and never run.

Rules: https://prometheus.io/docs/prometheus/latest/querying/basics/ (strings as Go's; regular expressions as RE2's and
always anchored; names outside [a-zA-Z_:][a-zA-Z0-9_:]* are quoted inside the braces, from Prometheus 3 on).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from irkit.errors import InputError
from irkit.render import text

__all__ = [
    "POINTS",
    "Matcher",
    "Selector",
    "chunks",
    "counted_in",
    "duration",
    "label_name",
    "matchers_of",
    "quote",
    "summed_increases",
]

POINTS = 11_000  # a query_range with more steps than this is refused, see web/api/v1/api.go

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(value: str) -> str:
    r"""A PromQL string literal for a value. What can't be printed is written `\uXXXX`, which means the same.

    Raises:
        InputError: The value is no Unicode text (a lone surrogate), so that no label can have it.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text(value, 60)!r} is no Unicode text", "label values are UTF-8") from None
    return '"' + "".join(_escape(char) for char in value) + '"'


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label.

    Attributes:
        label: The label's name.
        value: What it is compared with; a regular expression for `=~` and `!~`. An empty value also matches series
            without the label.
        op: How.
    """

    label: str
    value: str
    op: Literal["=", "!=", "=~", "!~"] = "="

    @classmethod
    def one_of(cls, label: str, values: Collection[str]) -> Matcher:
        """Any of these values, each taken literally."""
        return cls(label, "|".join(re.escape(value) for value in values), "=~")

    def __str__(self) -> str:
        return f"{label_name(self.label)}{self.op}{quote(self.value)}"


@dataclass(frozen=True, slots=True)
class Selector:
    """The series of one metric that fulfil all matchers; of any metric where it is empty. `str()` is the PromQL."""

    metric: str
    matchers: tuple[Matcher, ...] = ()

    def __str__(self) -> str:
        conditions = [str(matcher) for matcher in self.matchers]
        if not self.metric or _METRIC.match(self.metric):
            return f"{self.metric}{{{', '.join(conditions)}}}"
        return f"{{{', '.join([quote(self.metric), *conditions])}}}"

    def last_in(self, step: timedelta) -> str:
        """The newest sample of each series in each step, and none where a step has no sample.

        A plain selector would repeat an old sample for five minutes and hide a scrape gap. The window is a millisecond
        short of a step, because before Prometheus 3 both of its edges count.
        """
        return f"last_over_time({self}[{duration(step - timedelta(milliseconds=1))}])"


def label_name(name: str) -> str:
    """A label's name, quoted where it has to be."""
    return name if _LABEL.match(name) else quote(name)


def summed_increases(selector: Selector, step: timedelta, by: Sequence[str], target: Sequence[str]) -> str:
    """What all series together counted in each step, by some labels: the increase of each before it is summed.

    As `irkit.counters` counts: what fell began anew and counts in full; so does a series that is new at a target that
    was read before. `increase()` would lose first values and smear over its window.

    Args:
        selector: Of counters.
        step: Of the evaluations; a counter's last value is looked for ten steps back.
        by: The labels to keep.
        target: The labels that say who was read.
    """
    now = selector.last_in(step)
    back = f"last_over_time({selector}[{duration(10 * step - timedelta(milliseconds=1))}] offset {duration(step)})"
    kept, who = (", ".join(map(label_name, names)) for names in (by, target))
    return f"sum by ({kept}) (({now} - {back} >= 0) or ({now} and on ({who}) {back}))"


def counted_in(selector: Selector, step: timedelta, by: Sequence[str], target: Sequence[str], kind: str) -> str:
    """What all series together counted in each long step, by some labels, at the cost of a sample a step and series.

    As `summed_increases`, but a counter is only read at the steps' ends: one that is missed there loses both steps.

    Args:
        selector: Of counters, of counts (`gauge`) or of counts per second (`rate`).
        step: Of the evaluations.
        by: The labels to keep.
        target: The labels that say who was read.
        kind: Which of the three.
    """
    kept, who = (", ".join(map(label_name, names)) for names in (by, target))
    if kind != "counter":
        over = {"gauge": "sum", "rate": "avg"}[kind]
        return f"sum by ({kept}) ({over}_over_time({selector}[{duration(step - timedelta(milliseconds=1))}]))"
    back = f"{selector} offset {duration(step)}"
    return f"sum by ({kept}) (({selector} - {back} >= 0) or ({selector} and on ({who}) {back}))"


def matchers_of(conditions: Mapping[str, str | Collection[str]]) -> tuple[Matcher, ...]:
    """Matchers from a mapping: a text must be equal, of a collection any one must be.

    Raises:
        InputError: A name is no text or empty, or a value is neither text nor a collection of texts.
    """
    found = []
    for label, value in conditions.items():
        if not isinstance(label, str) or not label:
            raise InputError(f"a matcher names no label: {text(label, 60)!r}", "write matchers as {label: value}")
        if isinstance(value, str):
            found.append(Matcher(label, value))
        elif isinstance(value, Collection) and value and all(isinstance(item, str) for item in value):
            found.append(Matcher.one_of(label, value))
        else:
            raise InputError(
                f"the matcher for {text(label, 60)} is {text(value, 60)!r}", "a value is a text, or a list of texts"
            )
    return tuple(found)


def duration(value: timedelta) -> str:
    """A duration as PromQL writes it: the largest unit that divides it, `60s` as `1m`, `59.999 s` as `59999ms`."""
    milliseconds = value // timedelta(milliseconds=1)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def chunks(first: int, last: int, step: int, points: int = POINTS) -> Iterator[tuple[int, int]]:
    """The times `first, first + step, …, last`, split into ranges that Prometheus takes and that share no edge.

    Args:
        first: Seconds since 1970, evaluated.
        last: Seconds since 1970, on the step's grid, evaluated too.
        step: Seconds.
        points: The most evaluation times of one range.
    """
    while first <= last:
        end = min(last, first + (points - 1) * step)
        yield first, end
        first = end + step
