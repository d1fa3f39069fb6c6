"""Whose the failures are: which sets of cohorts hold the excess, ranked, and tables of the worst as Grafana's top-k."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from irkit.changepoint import THRESHOLD, dispersion
from irkit.errors import InputError
from irkit.failures import Failures, wilson
from irkit.onset import beyond
from irkit.render import percent, text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Explanation", "in_words", "scope", "top"]

COVER = 0.95  # of the excess that a set of cohorts has to hold
OUTSIDE = 0.25  # of the inside's ratio that may be left outside
NAMED = 6  # cohorts of a set that are named
LEAST = 20  # validations below which a cohort explains nothing


@dataclass(frozen=True, slots=True)
class Explanation:
    """A smallest set of cohorts that holds the excess.

    Attributes:
        roles: What the set is told apart by: one role or two.
        cohorts: From role to value, the largest excess first.
        excess: Its failures beyond the baseline.
        share: Of everyone's excess, 0 to 1.
        ratio: Of its validations that fail.
        outside: The same ratio of all others.
        explains: It holds 95 % of the excess, outside it the ratio beyond the baseline is below a quarter of its own,
            and it is more than noise: its score is that of an onset at the least.
        score: How likely its failures make it, as a log-likelihood ratio corrected for overdispersion; less for each
            cohort and role that it needs.
        through: The roles of the better explanation that it owes its failures to: outside that one's cohorts it does
            not fail (Simpson's paradox). Empty where it fails by itself.
        seems: It owes its failures to another, and its first cohort would be blamed all the same: it fails at twice the
            rate of all others.
    """

    roles: tuple[str, ...]
    cohorts: tuple[Mapping[str, str], ...]
    excess: float
    share: float
    ratio: float
    outside: float
    explains: bool
    score: float
    through: tuple[str, ...] = ()
    seems: bool = False

    @property
    def name(self) -> str:
        """The set in words, as `region ap-south`, or `version 5.2.0 or 5.3.0 with region ap-south`."""
        if self.whole:
            return " with ".join(f"{role} {_either(found)}" for role, found in self._values().items())
        return _either(" with ".join(f"{role} {cohort[role]}" for role in self.roles) for cohort in self.cohorts)

    @property
    def whole(self) -> bool:
        """Whether every combination of its values is in it, as of one role always."""
        return prod(map(len, self._values().values())) == len(self.cohorts)

    def _values(self) -> dict[str, dict[str, None]]:
        return {role: dict.fromkeys(cohort[role] for cohort in self.cohorts) for role in self.roles}

    def __str__(self) -> str:
        owed = f"; only through {' and '.join(self.through)}" if self.through else ""
        return (
            f"{self.name}: {percent(self.share)} of the excess, {percent(self.ratio)} inside, "
            f"{percent(self.outside)} outside{owed}"
        )


def _either(values: Iterable[str]) -> str:
    named = [text(value or "(no value)", 60) for value in values]
    more = [f"{len(named) - NAMED} more"] if len(named) > NAMED else []
    return " or ".join(named[:NAMED] + more)


def in_words(ranked: Sequence[Explanation]) -> str:
    """What `scope` found, in a sentence or two for those who don't know its terms; nothing where nothing is in excess.

    A set that only seems to explain the failures is named as such.
    """
    if not ranked:
        return ""
    first, *others = ranked
    if not first.explains:
        return "No label, nor two together, tells those that fail from the others."
    if len(first.cohorts) > 3 and not first.whole:
        pairs = f"{len(first.cohorts)} pairs of {' and '.join(first.roles)}"
        return f"It takes {pairs} to hold the failures: they may be more than one incident."
    said = (
        f"{_begun(first.name)} has {percent(first.share)} of the failures beyond the baseline: "
        f"{percent(first.ratio)} of validations fail there, {percent(first.outside)} elsewhere."
    )
    for one in [one for one in others if one.seems and len(one.roles) == 1 and one.roles[0] not in first.roles][:2]:
        leading = f"{one.roles[0]} {_either(one.cohorts[0].values())}"
        said += (
            f" {_begun(leading)} stands out too, but only through the {' and '.join(one.through)}: "
            "outside it works (Simpson's paradox)."
        )
    return said


def _begun(words: str) -> str:
    return words[:1].upper() + words[1:]


def scope(
    failures: Failures, *, since: datetime | None = None, until: datetime | None = None
) -> tuple[Explanation, ...]:
    """Which labels explain the failures: for each role and each two, the smallest set that holds 95 % of the excess.

    Args:
        failures: The counts.
        since: When the excess began, aware; what was before is the baseline.
        until: When it was over, aware; the window's end when left out.

    Returns:
        Ranked: those that explain first, of these the likeliest, which are the smallest. None without an excess.

    Raises:
        InputError: A time without a zone, or no bin between the two.
    """
    inside = _inside(failures, since, until)
    k, n, e = beyond(failures, inside)
    spread = dispersion(*map(np.nan_to_num, failures.totals()))
    found = list[Explanation]()
    masks = list[tuple[np.ndarray, np.ndarray]]()  # of the set, and of its first cohort
    whole = float(np.maximum(k - e, 0).sum())
    roles = [role for role in failures.roles if len({cohort[role] for cohort in failures.cohorts}) > 1]
    for size in (1, 2) if whole > 0 else ():
        for names in combinations(roles, size):
            keys = [tuple(cohort[role] for role in names) for cohort in failures.cohorts]
            order = sorted(set(keys))
            place = np.array([order.index(key) for key in keys])
            ks, ns, es = (np.bincount(place, counts, len(order)) for counts in (k, n, e))
            chosen = list[int]()
            for i in np.argsort(-(ks - es), kind="stable").tolist():
                held = float((ks - es)[chosen].sum())
                if held >= COVER * float((ks - es).sum()) or ks[i] <= es[i]:
                    break
                if ns[i] >= LEAST:
                    chosen.append(i)
            if chosen:
                mask = np.isin(place, chosen)
                cohorts = tuple(dict(zip(names, order[i], strict=True)) for i in chosen)
                found.append(_explanation(names, cohorts, mask, (k, n, e), spread))
                masks.append((mask, place == chosen[0]))
    ranked = sorted(range(len(found)), key=lambda i: _rank(found[i]))
    return tuple(_apart(found[i], masks[i], found[ranked[0]], masks[ranked[0]][0], (k, n, e)) for i in ranked)


def _rank(one: Explanation) -> tuple[bool, float]:
    return not one.explains, -one.score


Counts = tuple[np.ndarray, np.ndarray, np.ndarray]


def _explanation(
    names: tuple[str, ...], cohorts: tuple[Mapping[str, str], ...], mask: np.ndarray, counts: Counts, spread: float
) -> Explanation:
    k, n, e = counts
    excess, rest = float((k - e)[mask].sum()), float((k - e)[~mask].sum())
    share = excess / max(excess + max(rest, 0.0), 1e-9)
    inside, outside = excess / max(float(n[mask].sum()), 1.0), max(rest, 0.0) / max(float(n[~mask].sum()), 1.0)
    failed, expected = float(k[mask].sum()), max(float(e[mask].sum()), 0.5)
    score = (failed * np.log(max(failed, 1e-9) / expected) - (failed - expected)) / spread
    score -= 2.0 * len(cohorts) + 3.0 * len(names)
    explains = share >= COVER and outside < OUTSIDE * inside and score >= THRESHOLD and not bool(mask.all())
    ratio, others = failed / max(float(n[mask].sum()), 1.0), float(k[~mask].sum()) / max(float(n[~mask].sum()), 1.0)
    return Explanation(names, cohorts, excess, min(share, 1.0), ratio, others, bool(explains), float(score))


def _apart(
    one: Explanation, sets: tuple[np.ndarray, np.ndarray], best: Explanation, within: np.ndarray, counts: Counts
) -> Explanation:
    """With the better explanation that it owes its failures to, if it has none outside that."""
    (mask, lead), (k, n, e) = sets, counts

    def ratio(chosen: np.ndarray) -> float:
        return float((k - e)[chosen].sum()) / max(float(n[chosen].sum()), 1.0)

    if one is best or not best.explains or n[mask & ~within].sum() < LEAST:
        return one
    if ratio(mask & ~within) >= OUTSIDE * ratio(mask):
        return one
    # That the platform of the failing release fails says nothing more; that a release of the failing region does, does.
    seems = bool(n[within & ~lead].sum() >= LEAST) and ratio(lead) >= 2 * max(ratio(~lead), 0.0)
    return replace(one, through=best.roles, seems=seems)


def top(
    failures: Failures, *roles: str, limit: int = 10, since: datetime | None = None, until: datetime | None = None
) -> pd.DataFrame:
    """The worst cohorts, by their failures beyond the baseline.

    Args:
        failures: The counts.
        roles: Roles or their labels' names.
        limit: Rows.
        since: As `scope`.
        until: As `scope`.

    Returns:
        Indexed by the roles; columns failures, validations, ratio, low and high (its 95 % Wilson interval), excess,
        share (of everyone's excess), lift (the ratio over that of all others; NaN where they have none) and first (the
        start of the first bin with a failure, UTC; NaT without).

    Raises:
        InputError: As `scope`, or the failures are not counted by such a role.
    """
    import pandas as pd

    names = list(failures.by(*roles).index.names)  # refuses what is not counted
    known = [failures.role(name) for name in roles]
    inside = _inside(failures, since, until)
    k, n, e = beyond(failures, inside)
    whole = max(float(np.maximum(k - e, 0).sum()), 1e-9)
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, cohort in enumerate(failures.cohorts):
        groups.setdefault(tuple(cohort[role] for role in known), []).append(i)
    starts, rows = failures.times[inside], []
    for key, members in groups.items():
        failed, all_n = float(k[members].sum()), float(n[members].sum())
        rest, rest_n = float(k.sum()) - failed, float(n.sum()) - all_n
        low, high = wilson(failed, all_n)
        excess = float((k - e)[members].sum())
        begun = np.flatnonzero(np.nansum(failures.failures[members][:, inside], axis=0))
        rows.append((
            key, failed, all_n, failed / all_n if all_n else np.nan, float(low), float(high), excess,
            max(excess, 0.0) / whole, failed / all_n * rest_n / rest if all_n and rest > 0 else np.nan,
            pd.Timestamp(starts[begun[0]], tz="UTC") if begun.size else pd.NaT,
        ))  # fmt: skip
    rows = sorted(rows, key=lambda row: (-row[6], row[0]))[:limit]
    columns = ["failures", "validations", "ratio", "low", "high", "excess", "share", "lift", "first"]
    keys = [row[0] for row in rows]
    index = (
        pd.MultiIndex.from_tuples(keys, names=names)
        if len(known) > 1
        else pd.Index([k[0] for k in keys], name=names[0])
    )
    return pd.DataFrame([row[1:] for row in rows], index=index, columns=columns)


def _inside(failures: Failures, since: datetime | None, until: datetime | None) -> np.ndarray:
    for at in (since, until):
        if at is not None and at.utcoffset() is None:
            raise InputError(f"the time {at} has no zone", "give an aware datetime")
    first, last = (
        np.datetime64((at or default).astimezone(UTC).replace(tzinfo=None), "s")
        for at, default in ((since, failures.start), (until, failures.end))
    )
    inside = (failures.times >= first) & (failures.times < last)
    if not inside.any():
        raise InputError("there is no bin between since and until", "give times within the window")
    return np.asarray(inside)
