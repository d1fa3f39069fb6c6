"""Failures from files: what a query left behind, a body of /api/v1/query_range, a CSV of Grafana's, or a dump."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from irkit.counters import MAX_CELLS, Grid, Kind, Series, merge, parse, read_matrix
from irkit.counting import ABOUT_DAYS, DAYS, QUARTER, Days, count, days_counted, days_grid, nearest, with_days
from irkit.errors import InputError, MetricsError
from irkit.failures import SUCCESS, Failures, Labels
from irkit.metricdump import is_text, read_csv, read_parquet, read_text
from irkit.render import text

__all__ = ["METRIC", "STEP", "entry", "grid_of", "load_failures", "window_of"]

METRIC = "cert_pin_validation_total"
STEP = timedelta(minutes=1)
WINDOW = timedelta(hours=24)
MAX_BINS = 200_000


def window_of(
    start: datetime | None, end: datetime | None, since: timedelta | None = None
) -> tuple[datetime, datetime]:
    """The window a call means, in UTC.

    Raises:
        InputError: A time has no zone, both `start` and `since` are given, or the window is empty.
    """
    for name, at in (("start", start), ("end", end)):
        if at is not None and (not isinstance(at, datetime) or at.utcoffset() is None):
            raise InputError(f"{name} has no time zone: {text(at, 60)}", "give an aware datetime, as datetime.now(UTC)")
    if start is not None and since is not None:
        raise InputError("both start and since are given", "give one of the two")
    end = (end or datetime.now(UTC)).astimezone(UTC)
    start = start.astimezone(UTC) if start else end - (since or WINDOW)
    if start >= end:
        raise InputError(
            f"the window is empty: it starts {start:%Y-%m-%d %H:%M:%S} UTC and ends {end:%Y-%m-%d %H:%M:%S} UTC",
            "give a start before the end",
        )
    return start, end


def grid_of(start: datetime, end: datetime, step: timedelta, lead: int = 10) -> Grid:
    """The bins of a window: both ends rounded down to the step, so that the last bin is whole.

    Raises:
        InputError: The step is not a number of whole seconds, or the window holds no bin or far too many.
    """
    seconds = step // timedelta(seconds=1) if isinstance(step, timedelta) else 0
    if seconds < 1 or step != timedelta(seconds=seconds):
        raise InputError(f"the step {text(step, 40)} is not a number of whole seconds", "give timedelta(minutes=1)")
    first = int(start.timestamp() // seconds) * seconds
    bins = int(end.timestamp() // seconds) - first // seconds
    if not 1 <= bins <= MAX_BINS:
        raise InputError(f"the window holds {bins:,} steps of {seconds} s", f"choose 1 to {MAX_BINS:,} steps")
    return Grid(first, seconds, bins, lead)


def entry(query: str, asked: tuple[int, int], grid: Grid, reading: Mapping[str, Any], body: bytes) -> bytes:
    """One answer with what was asked and how it was read, as JSON; a list of them is what a query leaves behind."""
    head = {
        "query": query,
        "from": asked[0],
        "to": asked[1],
        "step": grid.step,
        "window": [grid.start, grid.end],
        **reading,
    }
    return json.dumps(head)[:-1].encode() + b', "body": ' + body.strip() + b"}"


def load_failures(
    source_file: str | Path | bytes,
    host: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    step: timedelta | None = None,
    metric: str = METRIC,
    labels: Labels = Labels(),  # noqa: B008 - a frozen value
    matchers: Mapping[str, str | Collection[str]] | None = None,
    kind: Kind | None = None,
    success: Collection[str] | None = None,
    source: str = "",
) -> Failures:
    """Failures from a file, whose form is found out.

    `Failures.raw` or what `irkit metrics save` wrote, a body of /api/v1/query_range, a CSV that Grafana saved, a
    Parquet table with a row a sample, OpenMetrics text with times, or what `promtool tsdb dump` prints.

    Args:
        source_file: A path, or the file's bytes.
        host: Series of other domains are left out.
        start: Aware; where the file's samples start when left out.
        end: Aware; where the file's samples end when left out.
        step: The bins' length; the file's own when left out.
        metric: Series of other metrics are left out, where the file names metrics.
        labels: What the roles' labels are called.
        matchers: Series that have such a label with another value are left out.
        kind: What the values are, see `query_failures`, where the file does not say it; else `counter`.
        success: The results that are no failure; what the file says, else `success`.
        source: What to call the source; the path when left out.

    Raises:
        MetricsError: The file can't be read, is of no known form, or holds nothing of this host.
        InputError: A time without a zone, or another argument that can't be used.
    """
    if isinstance(source_file, bytes):
        data, name = source_file, source or "the saved answer"
    else:
        name = source or str(source_file)
        try:
            data = Path(source_file).read_bytes()
        except OSError as error:
            raise MetricsError(
                f"{text(name, 200)} can't be read: {text(error.strerror, 80)}", "check the path"
            ) from None
    what = text(name, 200)
    head: dict[str, Any] = {}
    days: Days | None = None
    if data.lstrip()[:1] in (b"{", b"[") and not is_text(data):
        series, findings, head, days = _read_saved(data, what)
    else:
        read = read_parquet if data[:4] == b"PAR1" else read_text if is_text(data) else read_csv
        series, findings = read(data, what)
    wanted = {**(matchers or {}), labels.domain: host, "__name__": metric}
    chosen, left_out = _choose(series, wanted, labels.domain, what)
    findings += left_out
    grid = _grid(chosen, head, (start, end), step, what)
    found = count(
        chosen, host=host, grid=grid, labels=labels, kind=head.get("kind") or kind or "counter",
        success=tuple(success if success is not None else head.get("success", SUCCESS)),
        query=str(head.get("query", "")), raw=data, findings=findings, source=name,
    )  # fmt: skip
    reading: Reading = (head.get("kind") or kind or "counter", success if success is not None else SUCCESS)
    if days is not None:
        return days_counted(found, days, reading[1] if success is not None else head["success"])
    return found if head else _earlier(found, chosen, grid, reading)


Reading = tuple[Kind, Collection[str]]


def _earlier(found: Failures, series: Sequence[Series], grid: Grid, reading: Reading) -> Failures:
    """The failures with what the same samples say of the days before the window, as far as they reach back."""
    first = min(float(item.times[0]) for item in series if item.times.size)
    whole = days_grid(grid.start, 1)
    days = min(DAYS, int((whole.end - first) // 86400))
    if days < 1:
        return found
    whole = days_grid(grid.start, days)
    step = grid.step if whole.step % grid.step == 0 else whole.step
    fine, width = Grid(whole.start, step, (whole.end - whole.start) // step, grid.lead), whole.step // step
    if (fine.bins + fine.lead) * len(series) > MAX_CELLS:
        return with_days(found, None, f"{len(series):,} series are too many to count the days before as well")
    counted = count(
        series, host=found.host, grid=fine, labels=found.labels, kind=reading[0], success=reading[1], query="", raw=b"",
        findings=(), source="",
    )  # fmt: skip

    def packed(counts: Any) -> Any:
        parts = counts.reshape(len(counts), -1, width)
        return np.where(np.isnan(parts).all(axis=2), np.nan, np.nansum(parts, axis=2))

    times, counts = counted.times[::width], (packed(counted.failures), packed(counted.validations))
    return with_days(found, replace(counted, times=times, step=QUARTER, failures=counts[0], validations=counts[1]))


def _read_saved(data: bytes, what: str) -> tuple[list[Series], list[str], dict[str, Any], Days | None]:
    document, lists = parse(data, what)
    if not isinstance(document, list):
        series, findings = read_matrix(document, lists, what)
        return series, findings, {}, None
    about = [item.get("about") if isinstance(item, dict) else None for item in document]
    before = [item for item, what_for in zip(document, about, strict=True) if what_for == ABOUT_DAYS]
    document = [item for item, what_for in zip(document, about, strict=True) if what_for not in ("server", ABOUT_DAYS)]
    heads = [item for item in document if isinstance(item, dict) and "body" in item]
    if not heads or len(heads) < len(document):
        raise MetricsError(f"{what} is a list, but not of saved answers", "save Failures.raw, or a body of query_range")
    answers, findings = [], list[str]()
    for item in heads:
        series, said = read_matrix(item["body"], lists, what)
        answers.append(series)
        findings += [finding for finding in said if finding not in findings]
    head = heads[0]
    good = (
        isinstance(head.get("step"), int)
        and head.get("kind") in ("counter", "gauge", "rate")
        and isinstance(head.get("window"), list)
        and len(head["window"]) == 2
        and all(isinstance(at, int) for at in head["window"])
        and isinstance(head.get("success"), list)
    )
    if not good:
        raise MetricsError(f"{what} does not say what was asked", "take an undamaged copy")
    return merge(answers), findings, head, _days(before[0], head, lists, what) if before else None


def _days(item: Mapping[str, Any], head: Mapping[str, Any], lists: Sequence[bytes], what: str) -> Days:
    days, why = item.get("days"), item.get("why", "")
    if not isinstance(days, int) or not 0 <= days <= 366 or not isinstance(why, str):
        raise MetricsError(f"{what} does not say what was asked of the days before", "take an undamaged copy")
    series, said = ([], []) if item.get("body") is None else read_matrix(item["body"], lists, what)
    return Days(days_grid(head["window"][0], days), series, text(why, 300), said)


def _choose(
    series: Sequence[Series], wanted: Mapping[str, Any], domain: str, what: str
) -> tuple[list[Series], list[str]]:
    findings = []
    metric, host = wanted["__name__"], wanted[domain]
    names = {item.labels["__name__"] for item in series if "__name__" in item.labels}
    if names and metric not in names:
        raise MetricsError(f"{what} has no metric {text(metric, 100)!r}", f"there are {nearest(metric, names)}")
    hosts = {item.labels[domain] for item in series if domain in item.labels}
    if hosts and host not in hosts:
        raise MetricsError(
            f"{what} has nothing of {text(domain, 60)} {text(host, 100)!r}", f"there are {nearest(host, hosts)}"
        )
    if not hosts and series:
        findings.append(f"the series name no {text(domain, 60)}; all are taken for {text(host, 100)}")
    chosen = [
        item
        for item in series
        if all(
            item.labels.get(label, value) == value
            if isinstance(value, str)
            else item.labels.get(label, next(iter(value), "")) in value
            for label, value in wanted.items()
        )
    ]
    if not any(item.times.size for item in chosen):
        raise MetricsError(f"{what} holds no samples of {text(host, 100)}", "no samples are not no failures")
    return chosen, findings


def _grid(
    series: Sequence[Series],
    head: Mapping[str, Any],
    window: tuple[datetime | None, datetime | None],
    step: timedelta | None,
    what: str,
) -> Grid:
    times = np.concatenate([item.times for item in series])
    if step is None:
        apart = np.concatenate([np.diff(item.times) for item in series])
        usual = float(np.quantile(apart, 0.5, method="lower")) if apart.size else STEP.total_seconds()
        step = timedelta(seconds=head["step"] if head else max(60, round(usual)))
    seconds = step.total_seconds()
    first, last = head["window"] if head else (float(times.min()) - seconds, float(times.max()))
    try:
        began = window[0] or datetime.fromtimestamp(first, UTC)
        ended = window[1] or datetime.fromtimestamp(-(-last // seconds) * seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise MetricsError(f"{what} holds impossible times", "times are seconds since 1970") from None
    return grid_of(*window_of(began, ended), step)
