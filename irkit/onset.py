"""When failures began, in which shape, and whose they are: the smallest set of cohorts that explains the excess."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irkit import render
from irkit.changepoint import RISE, THRESHOLD, Change, Episode, Shape, change, dispersion, episode, when
from irkit.errors import InputError
from irkit.failures import ROLES, Failures
from irkit.usual import Usual

__all__ = ["Onset", "Shape", "beyond", "onset", "onsets"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

INCIDENTS = 6  # at most as many are told apart in one window
COVER = 0.9  # of the excess that a set of cohorts has to hold to explain it
OUTSIDE = 0.25  # of the inside ratio that may be left outside
TRIED = 12  # rises looked at in turn, until one is more than a change of mix
CHRONIC = 0.1  # a ratio from here on is no baseline
WORST = 4  # values of a role that may be one of two incidents
VALUES = 40  # values of a role, and pairs of values, that are scanned on their own


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
    cells, found = _Cells.of(failures, usual), list[Onset]()
    for beyond_usual in (True, False) if usual is not None else (False,):
        cells = cells if beyond_usual else cells.plain()
        while len(found) < INCIDENTS and (surest := cells.surest()) is not None:
            one, cells = cells.peel(*surest)
            if one is not None:
                found.append(one)
    return tuple(sorted(found, key=lambda one: -one.excess))


def beyond(failures: Failures, inside: Bools) -> tuple[Floats, Floats, Floats]:
    """Failures, validations and expected failures of each cohort in some bins; the other bins are the baseline.

    Where all bins are chosen nothing is expected.
    """
    cells = _Cells.of(failures)
    k, n = cells.k[:, inside].sum(axis=1), cells.n[:, inside].sum(axis=1)
    return k, n, np.zeros_like(k) if inside.all() else cells.expected(inside)


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Counts by cohort and bin, of which what is explained has been taken away.

    `k` leaves out what is usual at its hour, where that is known; `real` does not. `all_n` is everyone's validations.
    """

    starts: NDArray[np.datetime64]
    k: Floats
    n: Floats
    all_n: Floats
    real: Floats
    usual: Usual | None
    names: Mapping[str, tuple[str, ...]]  # from role to the values that occur
    codes: Mapping[str, NDArray[np.intp]]  # from role to each cohort's value, as an index into the names
    searched: dict[bytes, Episode | None] = field(default_factory=dict)  # by mask: found already

    @classmethod
    def of(cls, failures: Failures, usual: Usual | None = None) -> _Cells:
        k, n = np.nan_to_num(failures.failures), np.nan_to_num(failures.validations)
        names, codes = {}, {}
        for role in ROLES:
            if role in failures.roles:
                values = [cohort[role] for cohort in failures.cohorts]
                names[role] = tuple(sorted(set(values)))
                if len(names[role]) > 1:
                    place = {value: i for i, value in enumerate(names[role])}
                    codes[role] = np.array([place[value] for value in values], dtype=np.intp)
        beyond = k if usual is None else usual.beyond(k, n)
        return cls(failures.times, beyond, n, n.sum(axis=0), k, usual, names, codes)

    def plain(self) -> _Cells:
        """The same with what is usual."""
        return self if self.k is self.real else replace(self, k=self.real, searched={})

    def floor(self, mask: Bools) -> float:
        """The least spread of some cohorts: that between days, where these are the baseline."""
        if self.usual is None or self.k is self.real:
            return 1.0
        return 1.0 + (self.usual.spread - 1.0) * float(self.n[mask].sum() / max(self.n.sum(), 1e-9))

    def candidates(self) -> Iterator[Bools]:
        """Everyone, each value of a role, and the pairs of values with the most failures."""
        yield np.ones(len(self.k), dtype=bool)
        total = self.k.sum(axis=1)
        for codes in self.codes.values():
            sums = np.bincount(codes, total)
            for value in np.argsort(-sums, kind="stable")[:VALUES]:
                yield codes == value
        for a, b in combinations(self.codes.values(), 2):
            width = int(b.max()) + 1
            both = a * width + b
            sums = np.bincount(both, total)
            for value in np.argsort(-sums, kind="stable")[: VALUES // 2]:
                if sums[value]:
                    yield both == value

    def rises(self) -> list[Episode]:
        """The rises of all candidates, surest first; the more were searched, the more it takes to be one."""
        masks = list(self.candidates())
        for mask in masks:
            if (key := mask.tobytes()) not in self.searched:
                counts = self.k[mask].sum(axis=0), self.n[mask].sum(axis=0)
                self.searched[key] = episode(*counts, least=THRESHOLD, floor=self.floor(mask))
        least = THRESHOLD + np.log(len(masks))
        found = [one for mask in masks if (one := self.searched[mask.tobytes()]) is not None and one.score >= least]
        return sorted(found, key=lambda one: -one.score)[:TRIED]

    def surest(self) -> tuple[Episode, Bools, dict[str, str | tuple[str, ...]]] | None:
        """The surest rise that is more than a change of mix, and the cohorts that explain it.

        Where cohorts with different baselines are busy at different hours, everyone's ratio moves and no cohort's own.
        """
        spread = dispersion(self.k.sum(axis=0), self.n.sum(axis=0))
        for rise in self.rises():
            inside = np.zeros(len(self.all_n), dtype=bool)
            inside[rise.first : rise.last] = True
            mask, cohort = self.explain(rise)
            k, e = self.k[:, inside].sum(axis=1)[mask].sum(), self.expected(inside)[mask].sum()
            if k > RISE * e and _scan(k, e) / spread >= THRESHOLD:
                return rise, mask, cohort
        return None

    def expected(self, inside: Bools) -> Floats:
        """Failures of each cohort expected inside a time, from outside it.

        A cohort with a baseline of its own keeps its ratio. One that outside was hardly used, as a new release, or that
        fails by the tenth keeps its failures for everyone's validations: so its growing share of traffic is a rise.
        At least everyone's ratio is expected of all.
        """
        k_out, n_out = self.k[:, ~inside].sum(axis=1), self.n[:, ~inside].sum(axis=1)
        n_in = self.n[:, inside].sum(axis=1)
        growth = self.all_n[inside].sum() / max(self.all_n[~inside].sum(), 1.0)
        ratio = (k_out.sum() + 0.5) / (n_out.sum() + 1)
        weight = 5 / ratio  # as if five failures at everyone's ratio had been seen too
        own = (k_out + 5) / (n_out + weight)
        based = (n_out * growth >= 0.25 * n_in) & (own < CHRONIC)
        found: Floats = np.maximum(np.where(based, own * n_in, k_out * growth), ratio * n_in)
        return found

    def explain(self, rise: Episode) -> tuple[Bools, dict[str, str | tuple[str, ...]]]:
        """The set of cohorts that makes the rise likeliest, as a mask and as values of roles."""
        inside = np.zeros(len(self.all_n), dtype=bool)
        inside[rise.first : rise.last] = True
        k, n, e = self.k[:, inside].sum(axis=1), self.n[:, inside].sum(axis=1), self.expected(inside)
        spread = dispersion(self.k.sum(axis=0), self.n.sum(axis=0))
        everyone = np.ones(len(k), dtype=bool)
        # Everyone, unless some cohorts explain it: then the others fail little, and perhaps for another reason.
        best: tuple[float, Bools, dict[str, tuple[int, ...]]] = (-np.inf, everyone, {})
        for size in (1, 2):
            for roles in combinations(self.codes, size):
                score, chosen = self._likeliest(roles, k, n, e, spread)
                mask = np.logical_and.reduce([np.isin(self.codes[role], chosen[role]) for role in roles])
                if score > best[0] and _explains(mask, k, n, e):
                    best = (score, mask, chosen)
        if not best[2]:
            best = self._one_of_two(k, n, e) or best
        cohort: dict[str, str | tuple[str, ...]] = {}
        for role, values in best[2].items():
            named = tuple(self.names[role][value] for value in values)
            cohort[role] = named[0] if len(named) == 1 else tuple(sorted(named))
        return best[1], cohort

    def _one_of_two(self, k: Floats, n: Floats, e: Floats) -> tuple[float, Bools, dict[str, tuple[int, ...]]] | None:
        """Where a value of one role and one of another explain the rise together: the likelier, as two incidents."""
        worst = list[tuple[float, Bools, dict[str, tuple[int, ...]]]]()
        for role, codes in self.codes.items():
            scores = _scan(np.bincount(codes, k), np.bincount(codes, e))
            worst += [
                (float(scores[i]), codes == i, {role: (int(i),)}) for i in np.argsort(-scores)[:WORST] if scores[i]
            ]
        both = [
            (float(_scan(k[either].sum(), e[either].sum())), max(one, other, key=lambda found: found[0]))
            for one, other in combinations(worst, 2)
            if one[2].keys() != other[2].keys() and _explains(either := one[1] | other[1], k, n, e)
        ]
        return max(both, key=lambda pair: pair[0])[1] if both else None

    def _likeliest(
        self, roles: tuple[str, ...], k: Floats, n: Floats, e: Floats, spread: float
    ) -> tuple[float, dict[str, tuple[int, ...]]]:
        """Of the sets that take the worst values of each role first, the likeliest. Larger sets pay for their size."""
        orders = []
        for role in roles:
            codes, size = self.codes[role], len(self.names[role])
            ratio = (np.bincount(codes, k - e, size)) / (np.bincount(codes, n, size) + 20.0)
            orders.append(np.argsort(-ratio, kind="stable"))
        shape = tuple(len(order) for order in orders)
        places = tuple(np.argsort(order)[self.codes[role]] for role, order in zip(roles, orders, strict=True))
        sums = []
        for counts in (k, e):
            table = np.zeros(shape)
            np.add.at(table, places, counts)
            for axis in range(len(roles)):
                table = table.cumsum(axis=axis)
            sums.append(table)
        sizes = sum(np.ix_(*(np.arange(length) for length in shape)), np.zeros(shape))
        score = _scan(sums[0], sums[1]) / spread - 2.0 * sizes - 3.0 * len(roles)
        score = score[tuple(slice(-1) for _ in shape)]  # all values of a role are no condition
        at = np.unravel_index(int(np.argmax(score)), score.shape)
        chosen = {role: tuple(order[: i + 1].tolist()) for role, order, i in zip(roles, orders, at, strict=True)}
        return float(score[at]), chosen

    def peel(self, rise: Episode, mask: Bools, cohort: dict[str, str | tuple[str, ...]]) -> tuple[Onset | None, _Cells]:
        """The onset of these cohorts, and what is left without it."""
        k, n = self.k[mask].sum(axis=0), self.n[mask].sum(axis=0)
        found = change(k, n, 0.0)
        before = n[: rise.first].sum() / max(self.all_n[: rise.first].sum(), 1.0)
        during = n[rise.first : rise.last].sum() / max(self.all_n[rise.first : rise.last].sum(), 1.0)
        if mask.all():
            pass
        elif found is None or (before < 0.1 * during and found.end is None):
            # It had hardly a baseline of its own, as a new release: its failures are held against everyone's traffic.
            found = self._adopted(change(k, self.all_n, 0.0), k, n)
        if found is None:
            last = rise.last if rise.last < len(k) else None
            found = Change(rise.first, rise.first, rise.first, last, "step", 0.0, rise.score)
        found = replace(found, score=max(found.score, rise.score))
        inside = np.zeros(len(k), dtype=bool)
        inside[found.at : found.end] = True
        expected = self.expected(inside)
        excess = self.k[:, inside].sum(axis=1) - expected
        everyone = max(float(excess.sum()), float(excess[mask].sum()), 1e-9)
        own = min(max(float(expected[mask].sum()), 0.0), float(k[inside].sum()))
        real = self.real[mask].sum(axis=0)
        by_bin = n * (own / max(float(n[inside].sum()), 1e-9)) + real - k
        usual = None if self.usual is None else self.usual.expected(mask, inside, real, n)
        daily = usual is not None and float(real[inside].sum()) <= RISE * usual
        one = replace(
            _onset(self.starts, found, (real, n, by_bin), cohort, float(np.clip(excess[mask].sum() / everyone, 0, 1))),
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
        real = np.where(taken, 0.0, self.real)
        left = replace(
            self,
            k=real if self.k is self.real else np.where(taken, 0.0, self.k),
            n=np.where(taken, 0.0, self.n),
            real=real,
            searched={k: one for k, one in self.searched.items() if not (np.frombuffer(k, bool) & mask).any()},
        )
        return (one if one.excess > 0 else None), left

    def _adopted(self, found: Change | None, k: Floats, n: Floats) -> Change | None:
        """The change of a cohort that grew into everyone's traffic: it begins with its first failures.

        Its failures against its own validations date that to the minute. But where these are far earlier, as from the
        few who had a release before all others, the rise counts.
        """
        if found is None or found.shape == "recurring":
            return found
        base = (self.k.sum() - k.sum() + 0.5) / (self.n.sum() - n.sum() + 1)
        last = len(k) if found.end is None else found.end
        at, earliest, latest = when((k[:last], n[:last]), found.at, last, base, dispersion(k, n))
        if abs(at - found.at) > max(30, found.latest - found.earliest):
            return found
        earliest = max(min(earliest, found.earliest), int(np.argmax(n > 0)))
        return replace(found, at=at, earliest=earliest, latest=latest, baseline=base)


def _scan(k: Any, e: Any) -> Any:
    """The log-likelihood ratio of `k` Poisson failures where `e` were expected; 0 where there are fewer."""
    e = np.maximum(e, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(k > e, k * np.log(np.maximum(k, 1e-9) / e) - (k - e), 0.0)


def _explains(mask: Bools, k: Floats, n: Floats, e: Floats) -> bool:
    """Whether these cohorts hold nearly all the excess, or at least leave hardly any ratio of it outside."""
    excess = k - e
    inside, outside = excess[mask].sum(), max(float(excess[~mask].sum()), 0.0)
    if inside <= 0:
        return False
    thin = outside / max(n[~mask].sum(), 1.0) < OUTSIDE * inside / max(n[mask].sum(), 1.0)
    return bool(thin and (inside >= COVER * (inside + outside) or inside >= 0.3 * (inside + outside)))
