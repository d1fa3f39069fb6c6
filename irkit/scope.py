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
        lift: The first cohort's ratio over that of all others, infinite where those have none.
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
    lift: float = 1.0

    @property
    def name(self) -> str:
        """The set in words, as `region ap-south`, or `version 5.2.0 or 5.3.0 with region ap-south`."""
        values = {role: dict.fromkeys(cohort[role] for cohort in self.cohorts) for role in self.roles}
        if prod(map(len, values.values())) == len(self.cohorts):
            return " with ".join(f"{role} {_either(found)}" for role, found in values.items())
        return _either(" with ".join(f"{role} {cohort[role]}" for role in self.roles) for cohort in self.cohorts)

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
    said = (
        f"{_begun(first.name)} has {percent(first.share)} of the failures beyond the baseline: "
        f"{percent(first.ratio)} of validations fail there, {percent(first.outside)} elsewhere."
    )
    for one in [one for one in others if one.through and len(one.roles) == 1 and one.lift >= 2][:2]:
        if one.roles[0] not in first.roles:
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
    masks = list[np.ndarray]()
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
                one = _explanation(names, cohorts, mask, (k, n, e), spread)
                found.append(replace(one, lift=_lift(chosen[0], ks - es, ns)))
                masks.append(mask)
    ranked = sorted(range(len(found)), key=lambda i: _rank(found[i]))
    return tuple(_apart(found[i], masks[i], found[ranked[0]], masks[ranked[0]], (k, n, e)) for i in ranked)


def _rank(one: Explanation) -> tuple[bool, float]:
    return not one.explains, -one.score


def _lift(i: int, excess: np.ndarray, n: np.ndarray) -> float:
    rest, rest_n = max(float(excess.sum() - excess[i]), 0.0), float(n.sum() - n[i])
    return float(excess[i] / n[i] * rest_n / rest) if rest > 0 else float("inf")


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


def _apart(one: Explanation, mask: np.ndarray, best: Explanation, within: np.ndarray, counts: Counts) -> Explanation:
    """With the better explanation that it owes its failures to, if it has none outside that."""
    k, n, e = counts
    alone = mask & ~within
    if one is best or not best.explains or n[alone].sum() < LEAST:
        return one
    ratio = float((k - e)[alone].sum()) / float(n[alone].sum())
    return replace(one, through=best.roles) if ratio < OUTSIDE * one.excess / float(n[mask].sum()) else one


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
