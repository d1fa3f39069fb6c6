"""When failures began, in which shape, and whose they are: the smallest set of cohorts that explains the excess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irkit import render
from irkit.cells import Cells
from irkit.changepoint import RISE, Change, Episode, Shape, change, dispersion, when
from irkit.errors import InputError
from irkit.failures import Failures
from irkit.usual import Usual

__all__ = ["Onset", "Shape", "beyond", "found_onsets", "onset", "onsets"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

INCIDENTS = 6  # at most as many are told apart in one window


@dataclass(frozen=True, slots=True)
class Onset:
    """A rise of failures above their baseline.

    Attributes:
        cohort: Whose: from role to value, or to a tuple of values; empty for everyone.
        at: When it began: the start of the first bin above the baseline, aware UTC.
        earliest: The 95 % interval's start.
        latest: The 95 % interval's end.
        end: When it was over; None if it lasts until the window's end.
        shape: `step`, `ramp` (over 15 bins or more, as a release is adopted), `blip` (short and over), `recurring`
            (three times or more, or on the days before at these hours), `drift` (slow, through most of the window).
        excess: Failures beyond the baseline, from `at` to `end`.
        failures: All failures of the cohort from `at` to `end`.
        validations: All its validations from `at` to `end`.
        baseline: The failure ratio expected without the rise.
        share_of_excess: The cohort's part of everyone's excess in that time, 0 to 1.
        score: How surely: a log-likelihood ratio corrected for overdispersion; 16 is the least reported.
        usual: Failures that the same hours of the days before let expect from `at` to `end`; None without such days.
    """

    at: datetime
    earliest: datetime
    latest: datetime
    end: datetime | None
    shape: Shape
    excess: float
    failures: float
    validations: float
    baseline: float
    share_of_excess: float
    score: float
    cohort: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    usual: float | None = None

    def __str__(self) -> str:
        who = ", ".join(
            f"{role} {render.text(value if isinstance(value, str) else ' or '.join(value))}"
            for role, value in self.cohort.items()
        )
        until = f" until {self.end:%Y-%m-%d %H:%M}" if self.end else ""
        return (
            f"{who or 'everyone'}: {self.shape} from {self.at:%Y-%m-%d %H:%M} UTC "
            f"({self.earliest:%H:%M} to {self.latest:%H:%M}){until}, "
            f"{self.failures:,.0f} of {self.validations:,.0f} failed, {self.excess:,.0f} beyond the baseline"
            + ("" if self.usual is None else f"; at these hours {self.usual:,.0f} are usual")
        )


def onset(times: Any, failures: Any, validations: Any) -> Onset | None:
    """The rise of one series, or None if it does not rise.

    Args:
        times: The bins' starts, evenly spaced: datetime64 in UTC, or aware.
        failures: Counts by bin; NaN where nothing was read.
        validations: All validations by bin.

    Raises:
        InputError: The arrays are not of one length, the bins are uneven, or counts are below zero.
    """
    starts = np.asarray(
        [np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "s") for at in times]
        if len(times) and isinstance(times[0], datetime)
        else times
    ).astype("datetime64[s]")
    k, n = np.asarray(failures, dtype=float), np.asarray(validations, dtype=float)
    if not starts.shape == k.shape == n.shape or starts.ndim != 1:
        raise InputError("times, failures and validations are not of one length", "give one value a bin in each")
    if len(starts) < 2:
        return None
    if len(set(np.diff(starts).tolist())) > 1 or starts[1] <= starts[0]:
        raise InputError("the times are not evenly spaced", "give the start of every bin, NaN where nothing was read")
    if (k < 0).any() or (n < 0).any():
        raise InputError("counts are below zero", "give counts, not differences from a mean")
    found = change(k, n)
    return None if found is None else _onset(starts, found, (k, n, found.baseline * n), {}, 1.0)


def _onset(
    starts: NDArray[np.datetime64],
    found: Change,
    counts: tuple[Floats, Floats, Floats],
    cohort: Mapping[str, str | tuple[str, ...]],
    share: float,
) -> Onset:
    k, n, expected = counts
    step = starts[1] - starts[0]

    def when(index: int) -> datetime:
        return datetime.fromtimestamp(int((starts[0] + index * step).astype(np.int64)), UTC)

    inside = slice(found.at, found.end)
    failed, validated = float(np.nansum(k[inside])), float(np.nansum(n[inside]))
    before = float(np.nansum(expected[inside]))
    return Onset(
        at=when(found.at),
        earliest=when(min(found.earliest, found.at)),
        latest=when(max(found.latest, found.at)),
        end=None if found.end is None else when(found.end),
        shape=found.shape,
        excess=failed - before,
        failures=failed,
        validations=validated,
        baseline=before / validated if validated else found.baseline,
        share_of_excess=share,
        score=found.score,
        cohort=cohort,
    )


def onsets(failures: Failures) -> tuple[Onset, ...]:
    """The rises in these failures, each with the cohorts that explain it, the largest excess first.

    Everyone, each value of each role and the pairs of values with the most failures are searched for a rise. The surest
    is given to the set of cohorts under which what happened is likeliest (an expectation-based Poisson scan statistic,
    Neill 2009, over values of one role or of two). So a release that fails only because the failing region uses it is
    not blamed: that the region's other releases fail, and that it works elsewhere, speaks against it. What is explained
    is set aside and the rest is searched again.

    Where the days before the window were counted too, the null is their ratio at the same hours, not one for all hours.
    What rises all the same is searched for without them next, so that they never hide anything: a rise that they had at
    these hours as well is reported as `recurring`.

    Returns:
        None of them when nothing rises above its baseline.
    """
    usual = Usual.of(failures)
    cells, found = Cells.of(failures, usual), list[Onset]()
    for beyond_usual in (True, False) if usual is not None else (False,):
        cells = cells if beyond_usual else cells.plain()
        while len(found) < INCIDENTS and (surest := cells.surest()) is not None:
            one, cells = _peel(cells, *surest)
            if one is not None:
                found.append(one)
    return tuple(sorted(found, key=lambda one: -one.excess))


@lru_cache(maxsize=4)
def found_onsets(failures: Failures) -> tuple[Onset, ...]:
    """`onsets`, searched for once: dating is part of counting, and verdict, remedies and report start from it."""
    return onsets(failures)


def beyond(failures: Failures, inside: Bools) -> tuple[Floats, Floats, Floats]:
    """Failures, validations and expected failures of each cohort in some bins; the other bins are the baseline.

    Where all bins are chosen nothing is expected.
    """
    cells = Cells.of(failures)
    k, n = cells.k[:, inside].sum(axis=1), cells.n[:, inside].sum(axis=1)
    return k, n, np.zeros_like(k) if inside.all() else cells.expected(inside)


def _peel(
    cells: Cells, rise: Episode, mask: Bools, cohort: dict[str, str | tuple[str, ...]]
) -> tuple[Onset | None, Cells]:
    """The onset of these cohorts, and what is left without it."""
    k, n = cells.k[mask].sum(axis=0), cells.n[mask].sum(axis=0)
    found = change(k, n, 0.0)
    before = n[: rise.first].sum() / max(cells.all_n[: rise.first].sum(), 1.0)
    during = n[rise.first : rise.last].sum() / max(cells.all_n[rise.first : rise.last].sum(), 1.0)
    if mask.all():
        pass
    elif found is None or (before < 0.1 * during and found.end is None):
        # It had hardly a baseline of its own, as a new release: its failures are held against everyone's traffic.
        found = _adopted(cells, change(k, cells.all_n, 0.0), k, n)
    if found is None:
        last = rise.last if rise.last < len(k) else None
        found = Change(rise.first, rise.first, rise.first, last, "step", 0.0, rise.score)
    found = replace(found, score=max(found.score, rise.score))
    inside = np.zeros(len(k), dtype=bool)
    inside[found.at : found.end] = True
    expected = cells.expected(inside)
    excess = cells.k[:, inside].sum(axis=1) - expected
    everyone = max(float(excess.sum()), float(excess[mask].sum()), 1e-9)
    own = min(max(float(expected[mask].sum()), 0.0), float(k[inside].sum()))
    real = cells.real[mask].sum(axis=0)
    by_bin = n * (own / max(float(n[inside].sum()), 1e-9)) + real - k
    usual = None if cells.usual is None else cells.usual.expected(mask, inside, real, n)
    daily = usual is not None and float(real[inside].sum()) <= RISE * usual
    one = replace(
        _onset(cells.starts, found, (real, n, by_bin), cohort, float(np.clip(excess[mask].sum() / everyone, 0, 1))),
        shape="recurring" if daily else found.shape,
        usual=usual,
    )
    margin = max(5, (found.at - found.earliest), (found.latest - found.at))
    gone = np.zeros(len(k), dtype=bool)
    if found.shape in ("recurring", "drift"):
        gone[:] = True
    else:
        gone[max(0, min(found.earliest, rise.first) - margin) : max(found.end or len(k), rise.last) + margin] = True
    taken = mask[:, None] & gone
    real = np.where(taken, 0.0, cells.real)
    left = replace(
        cells,
        k=real if cells.k is cells.real else np.where(taken, 0.0, cells.k),
        n=np.where(taken, 0.0, cells.n),
        real=real,
        searched={k: one for k, one in cells.searched.items() if not (np.frombuffer(k, bool) & mask).any()},
    )
    return (one if one.excess > 0 else None), left


def _adopted(cells: Cells, found: Change | None, k: Floats, n: Floats) -> Change | None:
    """The change of a cohort that grew into everyone's traffic: it begins with its first failures.

    Its failures against its own validations date that to the minute. But where these are far earlier, as from the
    few who had a release before all others, the rise counts.
    """
    if found is None or found.shape == "recurring":
        return found
    base = (cells.k.sum() - k.sum() + 0.5) / (cells.n.sum() - n.sum() + 1)
    last = len(k) if found.end is None else found.end
    at, earliest, latest = when((k[:last], n[:last]), found.at, last, base, dispersion(k, n))
    if abs(at - found.at) > max(30, found.latest - found.earliest):
        return found
    earliest = max(min(earliest, found.earliest), int(np.argmax(n > 0)))
    return replace(found, at=at, earliest=earliest, latest=latest, baseline=base)
