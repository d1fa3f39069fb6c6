"""Failures from series: results and roles told apart, replicas and buckets counted once, and the days before joined."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from irkit.counters import Grid, Increases, Kind, Series, increases
from irkit.errors import MetricsError
from irkit.failures import ROLES, Failures, Labels
from irkit.render import text

__all__ = ["ABOUT_DAYS", "DAYS", "QUARTER", "Days", "count", "days_counted", "days_grid", "nearest", "with_days"]

DAYS = 7  # before the window
QUARTER = timedelta(minutes=15)  # their bins
ABOUT_DAYS = "days before"  # marks their answers in what a query leaves behind
_SOUNDS_GOOD = {"ok", "pass", "passed", "valid", "true", "match", "matched", "succeeded", "none"}


def nearest(name: str, known: Collection[str], limit: int = 5) -> str:
    """The names most like one that is not there, quoted, for an error's hint."""
    folded = {item.lower(): item for item in known}
    close = [folded[item] for item in difflib.get_close_matches(name.lower(), folded, limit, 0.5)]
    words = {word for word in name.lower().replace(":", "_").split("_") if len(word) > 2}
    close += [item for item in sorted(known) if item not in close and words & set(item.lower().split("_"))]
    shown = close[:limit] or sorted(known)[:limit]
    return ", ".join(text(item, 80) for item in shown) or "none"


def count(
    series: Sequence[Series],
    *,
    host: str,
    grid: Grid,
    labels: Labels,
    kind: Kind,
    success: Collection[str],
    query: str,
    raw: bytes,
    findings: Sequence[str],
    source: str,
) -> Failures:
    """Failures from the series of a range answer.

    Raises:
        MetricsError: A label that is needed or was named on purpose is not there, or the values are of another kind.
    """
    series, findings = _once(*_whole(series, list(findings)))
    there = sorted({label for item in series for label in item.labels if label != "__name__"})
    roles, findings = _roles(labels, there, findings)
    counted = increases(series, grid, kind)
    results = [item.labels.get(labels.result, "") for item in series]
    keys = [tuple(item.labels.get(getattr(labels, role), "") for role in roles) for item in series]
    cohorts = sorted(set(keys))
    place = {key: i for i, key in enumerate(cohorts)}
    row = np.array([place[key] for key in keys], dtype=np.intp)
    failed = np.array([result not in success for result in results], dtype=bool)
    validations = np.zeros((len(cohorts), grid.bins))
    failures = np.zeros_like(validations)
    np.add.at(validations, row, counted.counts)
    np.add.at(failures, row[failed], counted.counts[failed])
    unread = _unread(counted, row, len(cohorts))
    validations[unread] = failures[unread] = np.nan
    reasons: dict[str, float] = dict.fromkeys(sorted(set(results)), 0.0)
    for result, total in zip(results, counted.counts.sum(axis=1), strict=True):
        reasons[result] += float(total)
    findings += counted.findings
    for result in reasons:
        if result.lower() in _SOUNDS_GOOD and result not in success:
            findings.append(f"the result {text(result, 40)!r} counts as a failure; if it is none, pass success=(…,)")
    if "" in reasons:
        findings.append(f"some series have no label {text(labels.result, 60)}; they count as failures")
    return Failures(
        host=host,
        times=(np.datetime64(grid.start, "s") + np.arange(grid.bins) * np.timedelta64(grid.step, "s")),
        step=timedelta(seconds=grid.step),
        cohorts=tuple(dict(zip(roles, key, strict=True)) for key in cohorts),
        failures=failures,
        validations=validations,
        reasons=reasons,
        query=query,
        raw=raw,
        findings=tuple(findings),
        source=source,
        labels=labels,
    )


def with_days(failures: Failures, counted: Failures | None, why: str = "") -> Failures:
    """The failures with what was counted in the days before, for the same cohorts; a finding says what is not there.

    Args:
        failures: Of the window.
        counted: Of whole days that end where the window starts, in bins of a quarter of an hour.
        why: Why there are none.
    """
    if counted is None or not np.nansum(counted.validations):
        said = f"what is usual at an hour is not known: {why or 'no samples of the days before the window'}"
        return replace(failures, findings=(*failures.findings, said))
    place = {tuple(cohort.values()): row for row, cohort in enumerate(failures.cohorts)}
    shape = (len(failures.cohorts), len(counted.times))
    k, n, seen = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=bool)
    for cohort, failed, validated in zip(counted.cohorts, counted.failures, counted.validations, strict=True):
        row = place.get(tuple(cohort.get(role, "") for role in failures.roles))
        if row is not None:
            known = ~np.isnan(validated)
            k[row, known] += failed[known]
            n[row, known] += validated[known]
            seen[row] |= known
    k[~seen] = n[~seen] = np.nan
    before = replace(counted, cohorts=failures.cohorts, failures=k, validations=n, reasons={}, raw=b"", findings=())
    a_day = np.nansum(n, axis=0).reshape(-1, timedelta(days=1) // counted.step).sum(axis=1)
    days = int((a_day > 0).sum())
    findings = [f"of the {len(a_day)} days before the window {days} were counted"] if days < len(a_day) else []
    return replace(failures, before=before, findings=(*failures.findings, *findings))


def _whole(series: Sequence[Series], findings: list[str]) -> tuple[Sequence[Series], list[str]]:
    """Without what would count twice: of a histogram's buckets the last counts every observation.

    Raises:
        MetricsError: The series are a summary's quantiles, which count nothing.
    """
    if any("quantile" in item.labels for item in series):
        raise MetricsError("the series are quantiles: they count nothing", "name the metric that ends with _count")
    if not any("le" in item.labels for item in series):
        return series, findings
    whole = [item for item in series if item.labels.get("le", "+Inf") in ("+Inf", "inf")]
    findings.append("the series are a histogram's buckets; the last, which counts all, is read: better name its _count")
    return [replace(item, labels={k: v for k, v in item.labels.items() if k != "le"}) for item in whole], findings


_REPLICA = {"replica", "prometheus_replica", "__replica__"}


def _once(series: Sequence[Series], findings: list[str]) -> tuple[Sequence[Series], list[str]]:
    """Of series that only differ in which of two Prometheus read them, the one with the most samples.

    Thanos and Mimir leave the others out themselves, where they were told these labels.
    """
    if not any(_REPLICA & item.labels.keys() for item in series):
        return series, findings
    best: dict[frozenset[tuple[str, str]], Series] = {}
    for item in series:
        key = frozenset((label, value) for label, value in item.labels.items() if label not in _REPLICA)
        if key not in best or item.times.size > best[key].times.size:
            best[key] = item
    if len(best) == len(series):
        return series, findings
    said = f"{len(series) - len(best)} of {len(series)} series are another replica's and left out: they count the same"
    return list(best.values()), [*findings, said]


def _roles(labels: Labels, there: Sequence[str], findings: list[str]) -> tuple[list[str], list[str]]:
    """The roles that the series have labels for."""
    if labels.result not in there:
        raise MetricsError(
            f"no series has a label {text(labels.result, 60)!r}: which validations failed is not known",
            f"map it, labels = {{ result = … }}; there are {nearest(labels.result, there, 12)}",
        )
    roles = []
    for role in ROLES:
        name = getattr(labels, role)
        if name in there:
            roles.append(role)
        elif name != getattr(Labels(), role):
            raise MetricsError(
                f"no series has the label {text(name, 60)!r} for the {role}", f"there are {nearest(name, there, 12)}"
            )
        else:
            findings.append(f"no series has a label {text(name, 60)}: failures can't be told apart by {role}")
    return roles, findings


def _unread(counted: Increases, row: NDArray[np.intp], cohorts: int) -> NDArray[np.bool_]:
    """Cohorts x bins that nothing is known of: all its targets were missed, or nothing at all was read."""
    has = np.zeros((cohorts, len(counted.covered)), dtype=np.int64)
    has[row, counted.target] = 1
    missed = (has @ counted.missed.astype(np.int64) > 0) & (has @ counted.covered.astype(np.int64) == 0)
    unread: NDArray[np.bool_] = missed | ~counted.covered.any(axis=0)
    return unread


def days_grid(start: int, days: int) -> Grid:
    """The bins of the whole days before a window, a quarter of an hour each."""
    seconds = int(QUARTER.total_seconds())
    end = start // seconds * seconds
    return Grid(end - days * 86400, seconds, days * 86400 // seconds, 0)


@dataclass(frozen=True, slots=True)
class Days:
    """What was asked of the days before a window: the answer, in which bins, why there is none, and its warnings."""

    grid: Grid
    series: Sequence[Series] = ()
    why: str = ""
    findings: Sequence[str] = ()


def days_counted(found: Failures, days: Days, success: Collection[str]) -> Failures:
    """The failures with the days before the window, as `irkit.metrics` asks for them: counts in quarters of an hour."""
    counted = None
    if any(item.times.size for item in days.series):
        counted = count(
            days.series, host=found.host, grid=days.grid, labels=found.labels, kind="gauge", success=success, query="",
            raw=b"", findings=(), source="",
        )  # fmt: skip
    found = with_days(found, counted, days.why)
    return replace(found, findings=(*found.findings, *(f"the days before: {said}" for said in days.findings)))
