"""Whose failures rise: the smallest set of cohorts under which what happened is likeliest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irkit.changepoint import RISE, THRESHOLD, Episode, dispersion, episode
from irkit.failures import ROLES, Failures
from irkit.usual import Usual

__all__ = ["Cells"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

COVER = 0.3  # of the excess that a set of cohorts has to hold to explain it
WORST = 4  # values of a role that may be one of two incidents
OUTSIDE = 0.25  # of the inside ratio that may be left outside
TRIED = 12  # rises looked at in turn, until one is more than a change of mix
CHRONIC = 0.1  # a ratio from here on is no baseline
VALUES = 40  # values of a role, and pairs of values, that are scanned on their own


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
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
    def of(cls, failures: Failures, usual: Usual | None = None) -> Cells:
        """Of all cohorts, without what is usual where that is given."""
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

    def plain(self) -> Cells:
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


def _scan(k: Any, e: Any) -> Any:
    """The log-likelihood ratio of `k` Poisson failures where `e` were expected; 0 where there are fewer."""
    e = np.maximum(e, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(k > e, k * np.log(np.maximum(k, 1e-9) / e) - (k - e), 0.0)


def _explains(mask: Bools, k: Floats, n: Floats, e: Floats) -> bool:
    """Whether these cohorts hold much of the excess and leave hardly any ratio of it outside."""
    excess = k - e
    inside, outside = excess[mask].sum(), max(float(excess[~mask].sum()), 0.0)
    if inside <= 0:
        return False
    thin = outside / max(n[~mask].sum(), 1.0) < OUTSIDE * inside / max(n[mask].sum(), 1.0)
    return bool(thin and inside >= COVER * (inside + outside))
