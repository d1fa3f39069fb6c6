"""Prometheus' range answers, and the arithmetic of counters: increases per series, before anything is summed.

`rate()` and `increase()` extrapolate, smear an onset over their window and lose a series' first value (74 failures
became 65.7; prometheus/prometheus#1673). Here raw counters are differenced instead: a reset counts from zero, a series
that was born counts in full, a scrape gap stays a gap and what was counted meanwhile stands in the bin after it.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from irkit.errors import MetricsError, MissingExtraError
from irkit.render import text

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError:
    raise MissingExtraError("numpy is not installed", 'pip install "irkit[workbench]"') from None

__all__ = ["PARTIAL", "Grid", "Increases", "Kind", "Series", "increases", "merge", "parse", "read_matrix"]

Kind = Literal["counter", "gauge", "rate"]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAX_CELLS = 50_000_000  # series x bins held as numbers: 400 MB
MAX_WORDS = 32 * 2**20  # bytes of an answer besides its samples; as Python objects they take 20 times as much

# How findings begin after which counts may be too low: Thanos warns, VictoriaMetrics marks the answer.
PARTIAL = ("Prometheus warns", "the answer is partial")

# Labels that say who was scraped, not what was counted. A process restarts and is missed as a whole.
TARGET = ("job", "instance", "namespace", "pod", "container", "cluster")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One series of a range answer: its labels, sample times in seconds since 1970 (increasing) and values."""

    labels: Mapping[str, str]
    times: Floats
    values: Floats

    @property
    def target(self) -> tuple[str, ...]:
        """Who was scraped; all alike for aggregated series."""
        return tuple(self.labels.get(label, "") for label in TARGET)


_VALUES = re.compile(rb'"values"\s*:\s*(?=\[\s*\[)')
_END = re.compile(rb"\]\s*\]")


def _whenever() -> None:
    """Time is no matter."""


def parse(data: bytes, what: str, check: Callable[[], None] = _whenever) -> tuple[Any, list[bytes]]:
    """JSON without its sample lists: these are cut out as text, and each `"values"` becomes its index among them.

    A million samples as Python objects cost a gigabyte. Inside a JSON string a quote is escaped, so the key and its
    bracket are found by their bytes.

    Args:
        data: The text.
        what: It, in an error's words.
        check: Is called again and again; may raise, where it takes too long.

    Raises:
        MetricsError: It is no JSON, or far too large besides its samples.
    """
    pieces, lists, done = list[bytes](), list[bytes](), 0
    for start in _VALUES.finditer(data):
        check()
        end = _END.search(data, start.end())
        if start.start() < done or end is None:
            continue
        pieces.append(data[done : start.end()] + str(len(lists)).encode())
        lists.append(data[start.end() : end.end()])
        done = end.end()
    pieces.append(data[done:])
    if sum(map(len, pieces)) > MAX_WORDS:
        raise MetricsError(
            f"{what} holds more than {MAX_WORDS:,} bytes besides samples", "add matchers: there are too many series"
        )
    check()
    try:
        return json.loads(b"".join(pieces)), lists
    except (ValueError, RecursionError):
        raise MetricsError(*_no_json(data, what)) from None


def _no_json(data: bytes, what: str) -> tuple[str, str]:
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")):
        return (
            f"{what} is a web page, not JSON",
            "a sign-in page or a proxy answers there: check the address and the token",
        )
    if not head:
        return f"{what} is empty", "check the address"
    if head[:1] in b"{[":
        return f"{what} is broken JSON, {len(data)} bytes: cut off or damaged", "ask again, or for a shorter window"
    return (
        f"{what} is no JSON: {text(data[:60].decode(errors='replace'), 60)!r}",
        "is this the address of a Prometheus?",
    )


def read_matrix(
    document: Any, lists: Sequence[bytes], what: str, check: Callable[[], None] = _whenever
) -> tuple[list[Series], list[str]]:
    """The series of one body of /api/v1/query_range that `parse` has read, and findings: what the server warned of.

    Args:
        document: What `parse` gave.
        lists: As well.
        what: The body, in an error's words.
        check: As for `parse`.

    Raises:
        MetricsError: The body says error, holds no matrix, or is damaged.
    """
    if not isinstance(document, dict) or "status" not in document:
        raise MetricsError(f"{what} is JSON, but not an answer of Prometheus", "it wants a body of /api/v1/query_range")
    if document["status"] != "success":
        kind, said = text(document.get("errorType", "error"), 40), text(document.get("error", "no reason given"), 200)
        raise MetricsError(f"{what} is an error: {kind}: {said}", "run the query in Prometheus' own page")
    found = document.get("data")
    if not isinstance(found, dict) or not isinstance(found.get("result"), list):
        raise MetricsError(f"{what} has no data.result", "it wants a body of /api/v1/query_range")
    if found.get("resultType") != "matrix":
        raise MetricsError(
            f"{what} is a {text(found.get('resultType'), 20)}, not a matrix",
            "save a range query (/api/v1/query_range) rather than an instant one",
        )
    findings = _warnings(document, found)
    series, histograms = list[Series](), 0
    for item in found["result"]:
        check()
        labels = item.get("metric") if isinstance(item, dict) else None
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise MetricsError(f"{what} has a series without labels", "it wants a body of /api/v1/query_range")
        if "values" in item:
            series.append(Series(labels, *_samples(item["values"], lists, what)))
        elif "histograms" in item:
            series.append(Series(labels, *_observations(item["histograms"], what)))
            histograms += 1
    if histograms:
        findings.append(f"{histograms} series are native histograms; their observations are counted")
    return series, findings


def _warnings(document: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    findings = []
    for key, does in (("warnings", "warns"), ("infos", "says")):
        said = document.get(key)
        findings += [f"Prometheus {does}: {text(line, 200)}" for line in (said if isinstance(said, list) else [])[:10]]
    if document.get("isPartial") or found.get("isPartial"):
        findings.append(f"{PARTIAL[1]}: some of the servers behind this address did not answer")
    return findings


def _samples(values: Any, lists: Sequence[bytes], what: str) -> tuple[Floats, Floats]:
    if values == []:
        return np.empty(0), np.empty(0)
    if not isinstance(values, int) or not 0 <= values < len(lists):
        raise MetricsError(f"{what} has a series whose samples can't be read", "save the answer again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # older NumPy only warns of text that is no number
            flat = np.fromstring(lists[values].translate(None, b'[]"').decode("ascii"), sep=",")
    except (ValueError, DeprecationWarning):
        flat = np.empty(1)
    times = flat[0::2]
    if flat.size % 2 or not np.all(np.isfinite(times)) or not np.all(np.diff(times) > 0):
        raise MetricsError(f"{what} has a series whose samples can't be read", "save the answer again")
    return times.copy(), flat[1::2].copy()


def _observations(samples: Any, what: str) -> tuple[Floats, Floats]:
    """How many observations a native histogram counts at each time."""
    try:
        pairs = np.array([(float(at), float(found["count"])) for at, found in samples]).reshape(-1, 2)
    except (ValueError, TypeError, KeyError):
        raise MetricsError(f"{what} has a histogram that can't be read", "save the answer again") from None
    if not np.isfinite(pairs[:, 0]).all() or not (np.diff(pairs[:, 0]) > 0).all():
        raise MetricsError(f"{what} has a histogram that can't be read", "save the answer again")
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def merge(answers: Sequence[Sequence[Series]]) -> list[Series]:
    """The series of several answers, the parts of one series joined in time; a time that occurs twice counts once."""
    parts: dict[frozenset[tuple[str, str]], list[Series]] = {}
    for answer in answers:
        for series in answer:
            parts.setdefault(frozenset(series.labels.items()), []).append(series)
    merged = []
    for same in parts.values():
        if len(same) == 1:
            merged.append(same[0])
            continue
        times, first = np.unique(np.concatenate([part.times for part in same]), return_index=True)
        merged.append(Series(same[0].labels, times, np.concatenate([part.values for part in same])[first]))
    return merged


@dataclass(frozen=True, slots=True)
class Grid:
    """Bins of time, in seconds since 1970: bin i is what happened after `start + i·step`, until `start + (i + 1)·step`.

    Attributes:
        lead: How many bins before `start` are looked at to know what a counter stood at.
    """

    start: int
    step: int
    bins: int
    lead: int = 10

    @property
    def end(self) -> int:
        """The end of the last bin."""
        return self.start + self.bins * self.step

    def at(self, column: int) -> str:
        """When a column (a bin, counted from the lead's first) begins, as text."""
        return datetime.fromtimestamp(self.start + (column - self.lead) * self.step, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True, eq=False)
class Increases:
    """What each series counted in each bin.

    Attributes:
        counts: Series x bins; 0 where nothing was counted or nothing is known.
        target: For each series, the row of its target below.
        covered: Targets x bins: its counters were read.
        missed: Targets x bins: they were read before and after, but not here.
        findings: Resets, gaps and what was left out, as sentences.
    """

    counts: Floats
    target: NDArray[np.intp]
    covered: Bools
    missed: Bools
    findings: tuple[str, ...]


def increases(series: Sequence[Series], grid: Grid, kind: Kind) -> Increases:
    """Counts per series and bin.

    Args:
        series: As `merge` gives them.
        grid: The bins.
        kind: `counter`: only the differences count. `gauge`: each value is the count of its bin. `rate`: per second.

    Raises:
        MetricsError: The values are not of that kind, or far too many.
    """
    if (grid.bins + grid.lead) * len(series) > MAX_CELLS:
        raise MetricsError(
            f"there are {len(series):,} series of {grid.bins:,} steps, too many", "give a longer step, or matchers"
        )
    values, odd = _align(series, grid)
    present = np.isfinite(values)
    names = sorted({item.target for item in series})
    target = np.array([names.index(item.target) for item in series], dtype=np.intp)
    seen = np.zeros((len(names), values.shape[1]), dtype=bool)
    np.logical_or.at(seen, target, present)
    covered, missed = _coverage(seen)
    findings = [f"{odd} samples are not finite (NaN or Inf); they count as not read"] if odd else []
    if kind == "counter":
        counts, said = _differences(values, target, seen, grid, names)
        findings += said
    else:
        counts = np.where(present, values, 0.0) * (grid.step if kind == "rate" else 1)
        if (counts < 0).any():
            raise MetricsError(f"some values are below zero: no {kind} of failures", 'pass kind="counter"')
    findings += _gaps(covered, missed, grid, names)
    window = slice(grid.lead, None)
    return Increases(counts[:, window], target, covered[:, window], missed[:, window], tuple(findings))


def _align(series: Sequence[Series], grid: Grid) -> tuple[Floats, int]:
    """Series x columns: the last value in each bin, NaN without one; and how many values were not finite."""
    values = np.full((len(series), grid.lead + grid.bins), np.nan)
    odd, origin = 0, grid.start + (1 - grid.lead) * grid.step
    for row, item in enumerate(series):
        column = np.ceil((item.times - origin) / grid.step - 1e-6).astype(np.int64)
        inside = (column >= 0) & (column < values.shape[1])
        odd += int((~np.isfinite(item.values[inside])).sum())
        values[row, column[inside]] = item.values[inside]  # times increase, and of several the last stays
    values[~np.isfinite(values)] = np.nan
    return values, odd


def _coverage(seen: Bools) -> tuple[Bools, Bools]:
    """Which targets were read in which bins, and where they were missed between readings."""
    covered, missed = seen.copy(), np.zeros_like(seen)
    for row in range(len(seen)):
        columns = np.flatnonzero(seen[row])
        apart = np.diff(columns)
        usual = float(np.median(apart)) if apart.size else 1.0  # a scrape interval longer than a bin is no gap
        for left, length in zip(columns[:-1][apart > 1], apart[apart > 1], strict=True):
            (missed if length > 1.5 * usual else covered)[row, left + 1 : left + length] = True
    return covered, missed


def _differences(
    values: Floats, target: NDArray[np.intp], seen: Bools, grid: Grid, names: list[tuple[str, ...]]
) -> tuple[Floats, list[str]]:
    present = np.isfinite(values)
    columns = np.arange(values.shape[1])
    newest = np.maximum.accumulate(np.where(present, columns, -1), axis=1)
    before = np.concatenate([np.full((len(values), 1), -1), newest[:, :-1]], axis=1)  # column of the sample before
    known = present & (before >= 0)
    previous = np.where(known, np.take_along_axis(values, np.maximum(before, 0), axis=1), 0.0)
    fell = known & (values < previous)
    # A target restarted where most of its counters fell; then those that overtook their old value began anew too.
    fallen, could = (np.zeros(seen.shape, dtype=np.int64) for _ in range(2))
    np.add.at(fallen, target, fell)
    np.add.at(could, target, known & (previous > 0))
    restarted = (fallen > 0) & (2 * fallen >= could)
    restarts = np.cumsum(restarted, axis=1)[target]
    anew = fell | (known & (restarts > np.take_along_axis(restarts, np.maximum(before, 0), axis=1)))
    changes = int((known & (values != previous)).sum())
    if changes >= 20 and fell.sum() > 0.2 * changes:
        raise MetricsError(
            f"the values fall in {fell.sum() / changes:.0%} of their changes: no counter",
            'pass kind="gauge" for counts per bin, or kind="rate" for rates per second',
        )
    counts = np.where(known, np.where(anew, values, values - previous), 0.0)
    # Born: its target was read before, without it. Then everything it says was counted since.
    first = np.where(seen.any(axis=1), seen.argmax(axis=1), len(columns))
    born = present & (before < 0) & (columns > first[target][:, None])
    counts[born] = values[born]
    findings = _resets(restarted, grid, names)
    inside = int((born[:, grid.lead :] & (counts[:, grid.lead :] > 0)).sum())
    if inside:
        findings.append(f"{inside} series began inside the window; their first value counts in full")
    for row in np.flatnonzero(first > first.min(initial=len(columns))):
        # A new target counts from its start, unless it plainly counted long before it was read.
        rows, at = np.flatnonzero(target == row), first[row]
        if at == len(columns):
            continue
        start = np.where(present[rows, at], values[rows, at], 0.0)
        following = counts[rows, at + 1 : at + 6].sum(axis=0).max(initial=0.0)
        if start.sum() <= 3 * following + 10:
            counts[rows, at] = start
        elif at >= grid.lead:
            findings.append(
                f"{_name(names[row])} is first read at {grid.at(at)} with counters at {start.sum():.0f}: "
                "what it counted before is left out"
            )
    return counts, findings


def _name(target: tuple[str, ...]) -> str:
    return "target " + (" ".join(text(part, 60) for part in target if part) or "(all)")


def _several(items: list[str]) -> str:
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def _resets(restarted: Bools, grid: Grid, names: list[tuple[str, ...]]) -> list[str]:
    findings = []
    for row, name in enumerate(names):
        at = np.flatnonzero(restarted[row, grid.lead :]) + grid.lead
        if at.size:
            findings.append(
                f"counters of {_name(name)} began anew at {_several([grid.at(int(column)) for column in at])}"
            )
    return findings


def _gaps(covered: Bools, missed: Bools, grid: Grid, names: list[tuple[str, ...]]) -> list[str]:
    nothing = ~covered.any(axis=0)
    findings = [f"no samples at all {span}" for span in _spans(nothing, grid)]
    for row, name in enumerate(names):
        if spans := _spans(missed[row] & ~nothing, grid):
            findings.append(f"no samples of {_name(name)} {_several(spans)}")
    return findings[:20]


def _spans(mask: Any, grid: Grid) -> list[str]:
    inside = mask[grid.lead :]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8))) + grid.lead
    return [f"from {grid.at(a)} to {grid.at(b)}" for a, b in zip(edges[::2], edges[1::2], strict=True)]
