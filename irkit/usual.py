"""What is usual at an hour: the same hours of the days before, by which a daily wave or spike is known for one.

Of each hour the lower median of the days counts, so that neither yesterday's incident nor one quiet night makes it. At
least two days have to be there. Where counts are thin, no hour is assumed to differ from another. Hours are UTC's: when
clocks change, habits of local time are news for some days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from irkit.failures import Failures

__all__ = ["DAY", "Usual"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DAY = 86_400  # seconds
LEAST_DAYS = 2
TWICE = 2.0  # as changepoint.RISE
STRENGTH = 10.0  # expected failures at which counts of an hour weigh as much as what is assumed without them


class Usual:
    """The days before a window, cohort x day x time of day; and for each of its bins, which time of day that is."""

    __slots__ = ("k", "n", "slot", "spread")

    def __init__(self, before: Failures, times: NDArray[np.datetime64]) -> None:
        seconds = int(before.step.total_seconds())
        slots = DAY // seconds
        days = len(before.times) // slots
        shape = (len(before.cohorts), days, slots)
        counts = (before.failures, before.validations)
        self.k, self.n = (np.nan_to_num(one[:, one.shape[1] - days * slots :]).reshape(shape) for one in counts)
        ended = before.times[-1].astype(np.int64) + seconds if len(before.times) else 0
        self.slot = (times.astype(np.int64) - ended) % DAY // seconds
        self.spread = _spread(self.k.sum(axis=0), self.n.sum(axis=0))

    @classmethod
    def of(cls, failures: Failures) -> Usual | None:
        """None where no hour of the window was counted on two days."""
        if failures.before is None or not len(failures.times):
            return None
        found = cls(failures.before, failures.times)
        return None if np.isnan(found.ratio()).all() else found

    def beyond(self, failures: Floats, validations: Floats) -> Floats:
        """Failures by cohort and bin without those that are usual at their hour but not at the quietest one.

        A quarter of an hour may be as bad as its neighbours: what recurs is rarely punctual. What is below twice the
        usual is usual as a whole; where the usual rise stays away nothing is taken off.
        """
        level = self.k.sum(axis=(1, 2)) / np.maximum(self.n.sum(axis=(1, 2)), 1.0)
        shape = _unpunctual(_shape(self.k, self.n))
        starts = np.flatnonzero(np.diff(self.slot, prepend=-1))
        usual = level[:, None] * shape[:, self.slot[starts]]
        low = usual.min(axis=1, keepdims=True)
        k, n = (np.add.reduceat(counts, starts, axis=1) for counts in (failures, validations))
        lengths = np.diff(np.append(starts, len(self.slot)))
        away, less = (
            np.repeat(one, lengths, axis=1)
            for one in (k <= n * low + 2 * np.sqrt(n * low) + 1, 1 - n * (usual - low) / np.maximum(k, 1e-9))
        )
        whole = np.repeat(k <= TWICE * n * usual, lengths, axis=1)
        return np.asarray(np.where(away, failures, np.where(whole, validations * low, failures * less)))

    def ratio(self) -> Floats:
        """Everyone's usual failure ratio by bin; NaN where fewer than two days were counted."""
        found: Floats = _median(self.k.sum(axis=0), self.n.sum(axis=0))[self.slot]
        return found

    def expected(self, mask: Bools, inside: Bools, k: Floats, n: Floats) -> float | None:
        """Failures that a window's own baseline and the same hours of the days before let expect.

        Args:
            mask: Of which cohorts.
            inside: In which bins.
            k: Failures of these cohorts by bin.
            n: Their validations by bin.
        """
        size = self.k.shape[2]
        bins = np.bincount(self.slot, minlength=size)
        share = np.bincount(self.slot[inside], minlength=size) / np.maximum(bins, 1)
        days_k, days_n = self.k[mask].sum(axis=0), self.n[mask].sum(axis=0)
        ratio, seen = _median(days_k, days_n), days_n.sum(axis=0)
        high, low = (
            float(np.nansum(one * part * seen) / max(np.sum((part * seen)[~np.isnan(one)]), 1e-9))
            for one, part in ((_unpunctual(ratio), share), (ratio, np.where(bins > 0, 1 - share, 0.0)))
        )
        if not (share * seen)[~np.isnan(ratio)].any():
            return None
        own = (k[~inside].sum() + 0.5) / (n[~inside].sum() + 1)
        return float(n[inside].sum() * max(own + high - low, 0.0))


def _unpunctual(usual: Floats) -> Floats:
    """The highest of each time of day and its neighbours."""
    return np.asarray(np.fmax(usual, np.fmax(np.roll(usual, 1, axis=-1), np.roll(usual, -1, axis=-1))))


def _median(k: Floats, n: Floats) -> Floats:
    """The lower median of the days' ratios, by time of day; NaN where fewer than two days were counted."""
    counted = n > 0
    ratios = np.sort(np.where(counted, k / np.maximum(n, 1e-9), np.inf), axis=-2)
    many = counted.sum(axis=-2, keepdims=True)
    middle = np.take_along_axis(ratios, np.maximum((many - 1) // 2, 0), axis=-2)
    return np.where(many >= LEAST_DAYS, middle, np.nan).squeeze(axis=-2)


def _shape(k: Floats, n: Floats) -> Floats:
    """The ratio by time of day over that of the whole day, drawn towards no difference where counts are few."""
    ratio = _median(k, n)
    seen = np.where(np.isnan(ratio), 0.0, n.sum(axis=-2))
    failed = np.nan_to_num(ratio) * seen
    mean = failed.sum(axis=-1, keepdims=True) / np.maximum(seen.sum(axis=-1, keepdims=True), 1e-9)
    found: Floats = (failed + STRENGTH) / (seen * mean + STRENGTH)
    return found


def _spread(k: Floats, n: Floats) -> float:
    """How much more than Poisson one day differs from the next at the same hour, each at its own level; at least 1."""
    level = k.sum(axis=1, keepdims=True) / np.maximum(n.sum(axis=1, keepdims=True), 1.0)
    expected = n * level * _shape(k, n)
    known = expected > 1
    if known.sum() < 10:
        return 1.0
    return max(1.0, float(np.median((k - expected)[known] ** 2 / expected[known])) / 0.455)
