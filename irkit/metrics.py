"""Pin validation failures from Prometheus. The one importer of prometheus_api_client, which asks through our transport.

What it leaves open (prometheus_connect.py of 0.7.2) is closed by `irkit.transport`; selectors come from `irkit.promql`,
counting from `irkit.counters`, and times are aware.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack
from urllib.parse import quote as quote_path

from irkit.counters import TARGET, Grid, Kind, Series, merge
from irkit.counting import ABOUT_DAYS, DAYS, Days, count, days_counted, days_grid, nearest
from irkit.errors import MetricsError, MissingExtraError
from irkit.failures import ROLES, SUCCESS, Failures, Labels
from irkit.incident import Annotation
from irkit.metricfile import METRIC, STEP, entry, grid_of, load_failures, window_of
from irkit.promql import Matcher, Selector, chunks, counted_in, duration, matchers_of, summed_increases
from irkit.render import text
from irkit.servermetrics import ServerChanges, changes_of, in_order, noted, selectors, server_entry
from irkit.transport import Access, Transport

try:
    from prometheus_api_client import PrometheusConnect
    from urllib3.util.retry import Retry
except ImportError:
    raise MissingExtraError("the Prometheus client is not installed", 'pip install "irkit[workbench]"') from None

__all__ = [
    "Access", "Failures", "Labels", "clock_skew", "load_failures", "query_changes",
    "query_failures",
]  # fmt: skip

DEADLINE = 30.0  # seconds for everything one call asks
MAX_BYTES = 128 * 2**20
MOST_SERIES = 10_000  # that are fetched as they are, and of
MOST_RAW = 4_000_000  # series x steps, of 26 bytes; more are summed by Prometheus
MOST_READ = 40_000_000  # samples that the days before may hold, at one a minute
MOST_SUMMED = 4_000_000  # series x steps of one sum: Prometheus holds several such, and refuses 50 million


def query_failures(
    source: str,
    host: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    since: timedelta | None = None,
    step: timedelta = STEP,
    metric: str = METRIC,
    labels: Labels = Labels(),  # noqa: B008 - a frozen value
    matchers: Mapping[str, str | Collection[str]] | None = None,
    kind: Kind = "counter",
    success: Collection[str] = SUCCESS,
    days: int = DAYS,
    deadline: float = DEADLINE,
    max_bytes: int = MAX_BYTES,
    **access: Unpack[Access],
) -> Failures:
    """Failed and all pin validations of a host from Prometheus, per cohort and bin.

    Raw counters are fetched and differenced here, per series, before anything is summed (see `irkit.counters`). Of so
    many series that this would take gigabytes, Prometheus sums the increases of each step, in parts.

    Args:
        source: The base URL of a Prometheus or of what speaks its API: with a path where it has one, as Mimir's
            `/prometheus` (and its `tenant`) and `/select/0/prometheus` of a VictoriaMetrics cluster. What such a server
            leaves out of an answer, Thanos too, is a finding.
        host: The value of the domain label.
        start: Aware; or give `since`. Rounded down to the step.
        end: Aware; the clock's when left out. Rounded down to the step, so that the last bin is whole.
        since: How long before `end` to start; 24 h when neither it nor `start` is given.
        step: The length of a bin, whole seconds.
        metric: A counter of validations with a result label.
        labels: What the roles' labels are called.
        matchers: Further conditions: label to value, or to several values of which one must be.
        kind: What the values are: a `counter`, a `gauge` of counts per bin, or a `rate` per second.
        success: The results that are no failure; every other is one.
        days: Of the days before the window, how many are counted too (`Failures.before`): at the same hours they say
            what is usual. Fewer of many series; none where that fails, which is a finding.
        deadline: Seconds for all requests of this call together.
        max_bytes: The most bytes of all answers together, unpacked.
        access: See `Access`.

    Raises:
        MetricsError: Prometheus is down, refuses, is slow, answers nonsense or too much, or has no such metric.
        InputError: A time without a zone, an empty window, or another argument that can't be used.
    """
    began, ended = window_of(start, end, since)
    grid = grid_of(began, ended, step)
    conditions = (Matcher(labels.domain, host), *matchers_of(matchers or {}))
    selector = Selector(metric, conditions)
    query, counter = selector.last_in(step), kind
    client = _Client(source, deadline, max_bytes, access)
    answers: list[list[Series]] = []
    entries = []
    parts = chunks(grid.start - (grid.lead - 1) * grid.step, grid.end, grid.step)
    kept = [labels.domain, labels.result, *(getattr(labels, role) for role in ROLES)]
    many = client.count(selector, grid) if kind == "counter" else 0
    if many > MOST_SERIES or many * (grid.bins + grid.lead) > MOST_RAW:
        query, kind = summed_increases(selector, step, kept, TARGET), "gauge"
        parts = chunks(grid.start + grid.step, grid.end, grid.step, max(1, MOST_SUMMED // many))
    reading = {"kind": kind, "success": list(success)}
    for first, last in parts:
        answers.append(client.range(query, first, last, grid.step))
        entries.append(entry(query, (first, last), grid, reading, client.transport.body))
    series = merge(answers)
    if not any(item.times.size for item in series):
        raise _nothing(client, selector, labels, host, (began, ended))
    if kind == "gauge" and many:
        client.transport.findings.append(f"{many:,} series: Prometheus summed the increases of each step by cohort")
    before = None
    if days:
        # At one sample a minute; a single day would be no habit.
        most = min(days, MOST_READ // (1440 * max(many, len(series))))
        before, asked, body = _days_before(
            client, selector, days_grid(grid.start, most if most > 1 else 0), kept, counter
        )
        entries.append(json.dumps(asked)[:-1].encode() + b', "body": ' + body.strip() + b"}")
    found = count(
        series, host=host, grid=grid, labels=labels, kind=kind, success=success, query=query,
        raw=b"[" + b",\n".join(entries) + b"]\n", findings=client.transport.findings, source=source,
    )  # fmt: skip
    return found if before is None else days_counted(found, before, success)


def _days_before(
    client: _Client, selector: Selector, whole: Grid, kept: list[str], kind: Kind
) -> tuple[Days, dict[str, Any], bytes]:
    """What was counted in some days; what was asked, and the answer. It is a courtesy: nothing it lacks is an error."""
    query, days = "", Days(whole, why="there are too many series to count the days before as well")
    before, body = list(client.transport.findings), b"null"
    if whole.bins:
        query = counted_in(selector, timedelta(seconds=whole.step), kept, TARGET, kind)
        client.transport.findings = []
        try:
            with client.transport.hurried():
                series = client.range(query, whole.start + whole.step, whole.end, whole.step)
            days, body = Days(whole, series, findings=client.transport.findings), client.transport.body
        except MetricsError as error:
            days = Days(whole, why=text(f"the days before could not be counted: {error.message}", 300))
        client.transport.findings = before
    asked = {"about": ABOUT_DAYS, "query": query, "days": whole.bins * whole.step // 86400, "why": days.why}
    return days, asked, body


def query_changes(
    source: str,
    host: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    since: timedelta | None = None,
    annotations: Collection[Annotation] = (),
    deadline: float = DEADLINE,
    max_bytes: int = MAX_BYTES,
    **access: Unpack[Access],
) -> ServerChanges:
    """What changed on the server's side, dated by the metrics of blackbox_exporter and others (`irkit.servermetrics`).

    Raw samples are read, so that a change is dated to the probe that saw it first. An annotation with a time needs no
    Prometheus and is taken as it is; one with a metric is asked for. A metric that is not there says nothing.

    Args:
        source: The base URL.
        host: Whose certificates.
        start: Aware; or give `since`.
        end: Aware; the clock's when left out.
        since: How long before `end` to start; 24 h when neither it nor `start` is given.
        annotations: Further metrics, of releases and deployments, and moments that are known.
        deadline: Seconds for all requests of this call together.
        max_bytes: The most bytes of all answers together, unpacked.
        access: See `Access`.

    Raises:
        MetricsError: As `query_failures`, but a metric that is not there is none.
        InputError: A time without a zone, an empty window, or another argument that can't be used.
    """
    began, ended = window_of(start, end, since)
    asked = [(selector, "") for selector in selectors(host)]
    asked += [(Selector(one.metric, matchers_of(one.matchers)), one.what) for one in annotations if one.metric]
    client = _Client(source, deadline, max_bytes, access)
    found, findings, entries = noted(annotations), list[str](), list[bytes]()
    for selector, what in asked:
        query = f"{selector}[{duration(ended - began)}]"
        series = client.samples(query, ended)
        changes, said = changes_of(series, host, what)
        found += changes
        findings += said
        entries.append(server_entry(query, ended, what, client.transport.body))
    return ServerChanges(in_order(found), (*findings, *client.transport.findings), tuple(entries))


def clock_skew(
    source: str, *, deadline: float = 10.0, max_bytes: int = MAX_BYTES, **access: Unpack[Access]
) -> timedelta | None:
    """How far the clock of a Prometheus is ahead of this machine's, to the second; None where it doesn't tell.

    Raises:
        MetricsError: As `query_failures`.
    """
    client = _Client(source, deadline, max_bytes, access)
    client.labels(Selector("up"))
    return client.transport.skew


def _nothing(
    client: _Client, selector: Selector, labels: Labels, host: str, window: tuple[datetime, datetime]
) -> MetricsError:
    """Why an answer is empty: found out by asking for the names that are there."""
    span = {"start": int(window[0].timestamp()), "end": int(window[1].timestamp())}
    said = f"no samples for {text(selector, 200)} from {window[0]:%Y-%m-%d %H:%M} to {window[1]:%Y-%m-%d %H:%M} UTC"
    if client.transport.findings:
        said += f" ({client.transport.findings[0]})"
    try:
        metrics = client.values("__name__", **span)
        if selector.metric not in metrics:
            there = nearest(selector.metric, metrics)
            return MetricsError(
                f"there is no metric {text(selector.metric, 100)!r} in this window", f"near it: {there}"
            )
        names = client.labels(Selector(selector.metric), **span)
        if absent := [m.label for m in selector.matchers if m.label not in names and m.value]:
            return MetricsError(
                f"{text(selector.metric, 100)} has no label {text(absent[0], 60)!r}",
                f"map it; there are {nearest(absent[0], names, 12)}",
            )
        hosts = client.values(labels.domain, **{"match[]": str(Selector(selector.metric))}, **span)
    except MetricsError:  # the names are a courtesy; the empty answer is the news
        return MetricsError(said, "check the metric, the labels and the window")
    if host not in hosts:
        return MetricsError(
            f"{text(selector.metric, 100)} has no {text(labels.domain, 60)} {text(host, 100)!r}",
            f"there are {nearest(host, hosts)}",
        )
    return MetricsError(said, "loosen the matchers or look at another window; no samples are not no failures")


class _Client:
    """prometheus-api-client over our transport, for one call."""

    def __init__(self, source: str, deadline: float, max_bytes: int, access: Access) -> None:
        self.transport = Transport(source, deadline, max_bytes, access)
        self.prometheus = PrometheusConnect(self.transport.url, session=self.transport, retry=Retry(0), method="POST")

    def range(self, query: str, first: int, last: int, step: int) -> list[Series]:
        """The series of a query_range, evaluated at `first`, `first + step`, …, `last`."""
        found: list[Series] = self.prometheus.custom_query_range(
            query,
            datetime.fromtimestamp(first, UTC),
            datetime.fromtimestamp(last, UTC),
            str(step),
        )
        return found

    def count(self, selector: Selector, grid: Grid) -> int:
        """How many series there are at the most, at ten times of the window."""
        apart = max(grid.step, (grid.end - grid.start) // 10)
        found = self.range(f"count({selector})", grid.start + grid.step, grid.end, apart)
        return int(max((float(item.values.max()) for item in found if item.values.size), default=0))

    def samples(self, query: str, at: datetime) -> list[Series]:
        """The raw samples of a range selector, each at the time it was taken."""
        found: list[Series] = self.prometheus.custom_query(query, params={"time": f"{at.timestamp():.3f}"})
        return found

    def values(self, label: str, **params: Any) -> tuple[str, ...]:
        return self._names(self.prometheus.get_label_values(quote_path(label, safe=""), params=params))

    def labels(self, selector: Selector, **params: Any) -> tuple[str, ...]:
        names = self._names(self.prometheus.get_label_names(params={"match[]": str(selector), **params}))
        return tuple(name for name in names if name != "__name__")

    def _names(self, found: Any) -> tuple[str, ...]:
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise MetricsError(
                f"the answer of {self.transport.shown} is no list of names", "is this the address of a Prometheus?"
            )
        return tuple(sorted(found))
