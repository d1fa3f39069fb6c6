"""What people read after a scheduled look: all hosts, the gravest first, what to do about each finding, the trend.

Made from what runs left, `runs/<UTC start>/result.json`, and nothing else: one that can't be read says so.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import render
from irkit.errors import MissingExtraError
from irkit.render import Markup, moment
from irkit.runbook import RunbookSection, section
from irkit.summary import percent

if TYPE_CHECKING:
    from irkit.plots import Picture

__all__ = ["MARKS", "Record", "hosts_table", "index_page", "read_runs", "state_of"]

MARKS = {"error": "✖ error", "warning": "! warning", "unknown": "? not known", "info": "info", "": "✓ well"}
_RUNS = 60  # shown on the index
_COLUMNS = 10  # of them in the trend's table
_LINES = 5  # hosts in the trend's picture
_ENOUGH = 3  # earlier runs that make a usual share of failures


@dataclass(frozen=True, slots=True)
class Record:
    """One run as it lies on disk.

    Attributes:
        name: Of its folder.
        at: When it began, aware; None where that can't be read.
        complete: Whether it came to its end.
        hosts: What it found, as `irkit.health.document` gives it; None where that can't be read.
    """

    name: str
    at: datetime | None
    complete: bool
    hosts: tuple[dict[str, Any], ...] | None


def read_runs(out: Path) -> tuple[Record, ...]:
    """The newest runs below a folder, the newest first."""
    return tuple(_read(folder) for folder in sorted((out / "runs").iterdir(), reverse=True)[:_RUNS])


def _read(folder: Path) -> Record:
    try:
        content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        at = datetime.fromisoformat(content["started"]).astimezone(UTC)
        for host in content["hosts"]:  # whatever lacks a field is damaged
            _row(host)
        return Record(folder.name, at, content["status"] == "complete", tuple(content["hosts"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Record(folder.name, None, complete=False, hosts=None)


def state_of(host: dict[str, Any]) -> str:
    """The gravest severity of a host's checks; empty where all is well."""
    found = {check["severity"] for check in host["checks"]}
    return next((name for name in MARKS if name in found), "")


def _grave(host: dict[str, Any]) -> tuple[int, str]:
    return list(MARKS).index(state_of(host)), host["host"]


def _days(days: float | None) -> str:
    return "none" if days is None else f"{days:.0f}"


def _row(host: dict[str, Any]) -> tuple[object, ...]:
    pins = min((item["days"] for item in host["pin_days"]), default=None)
    name = "/".join(part for part in (host["verdict"] or "not judged", host["cause"]) if part)
    return (
        host["host"], MARKS[state_of(host)], name, _days(host["certificate_days"]), _days(pins),
        percent(host["failure_ratio"]),
    )  # fmt: skip


_HEADERS = ("host", "state", "verdict", "certificate, days", "pin set, days", "failures")


def hosts_table(hosts: Sequence[dict[str, Any]], own: tuple[RunbookSection, ...] = ()) -> Markup:
    """All hosts in a table, the gravest first; what was found on each; and what the runbook says of each finding.

    Args:
        hosts: As `irkit.health.document` gives them.
        own: A team's own sections of runbooks.
    """
    ordered = sorted(hosts, key=_grave)
    parts = [render.table(_HEADERS, map(_row, ordered), "Hosts", limit=500)]
    ids = list[str]()
    for host in ordered:
        checks = sorted(host["checks"], key=lambda check: list(MARKS).index(check["severity"]))
        if checks:
            found = [(MARKS[c["severity"]], render.html(c["says"], 600), c["id"]) for c in checks]
            parts.append(render.table(("state", "what was found", "check"), found, host["host"]))
            ids += [check["id"] for check in checks] + [host["cause"]]
    said = {one.body: one for one in (section(name, own) for name in dict.fromkeys(ids)) if one is not None}
    if said:
        parts.append(render.heading("What the runbook says", 2))
        parts += [render.details(f"{one.cause}: {one.title}", one.shown()) for one in said.values()]
    return render.fragment(*parts)


def index_page(out: Path) -> str:
    """The index of all runs below a folder, as a whole HTML page."""
    runs = read_runs(out)
    whole = [run for run in runs if run.complete]
    parts = [render.heading("Pin health", 1)]
    if runs and not runs[0].complete:
        last = f"The last whole one began {moment(whole[0].at)}." if whole else "None has been whole yet."
        parts.append(render.banner("The newest run did not complete, or has not ended. ", last))
    if whole:
        newest, hosts = whole[0], whole[0].hosts or ()
        well = sum(not state_of(host) for host in hosts)
        report = render.link(f"runs/{newest.name}/report.html", "its report")
        parts.append(render.paragraph(f"{well} of {len(hosts)} hosts are well, {moment(newest.at)}: ", report, "."))
        rows = [(*_row(host), _usual(host["host"], whole[1:])) for host in sorted(hosts, key=_grave)]
        parts.append(render.table((*_HEADERS, "usual failures"), rows, "Hosts, the gravest first", limit=500))
        parts.append(render.section("trend", "Trend", _picture(whole), _trend(runs)))
    listed = [
        (render.link(f"runs/{run.name}/report.html", moment(run.at) if run.at else run.name), _state(run), _well(run))
        for run in runs
    ]
    headers = ("run", "status", "hosts that are well")
    parts.append(render.section("runs", "Runs", render.table(headers, listed, "Runs, the newest first")))
    return render.page("Pin health: all runs", render.fragment(*parts))


def _state(run: Record) -> str:
    return "complete" if run.complete else "✖ unreadable" if run.hosts is None else "✖ DID NOT COMPLETE"


def _well(run: Record) -> str:
    if run.hosts is None:
        return "unknown"
    return f"{sum(not state_of(host) for host in run.hosts)} of {len(run.hosts)}"


def _usual(name: str, earlier: Sequence[Record]) -> str:
    """The median share of failures of the runs before: what a failing host is held against."""
    known = [host["failure_ratio"] for run in earlier for host in run.hosts or () if host["host"] == name]
    ratios = [ratio for ratio in known if ratio is not None]
    return percent(statistics.median(ratios)) if len(ratios) >= _ENOUGH else "not known yet"


def _trend(runs: Sequence[Record]) -> Markup:
    """Host by run in words; a run that broke off has what it got to."""
    shown = runs[:_COLUMNS]
    names = sorted({host["host"] for run in shown for host in run.hosts or ()})
    found = [{host["host"]: MARKS[state_of(host)] for host in run.hosts or ()} for run in shown]
    rows = [(name, *(states.get(name, "no result") for states in found)) for name in names]
    heads = [f"{run.at:%d %b %H:%M}" if run.at else run.name for run in shown]
    return render.table(("host", *heads), rows, "State by run, the newest first; times in UTC", limit=500)


def _picture(whole: Sequence[Record]) -> Markup:
    if len(whole) < 2:
        return Markup()
    try:
        return _over_time(list(reversed(whole))).markup
    except MissingExtraError:
        return Markup()


def _over_time(runs: Sequence[Record]) -> Picture:
    """Failures, and days until a certificate ends, of the gravest hosts, run by run."""
    from irkit.plots import STYLES, Picture, dates, drawing, naive, to_png

    names = [host["host"] for host in sorted(runs[-1].hosts or (), key=_grave)]
    times = [naive(run.at) for run in runs if run.at is not None]
    with drawing(9.2, 4.6) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        said = []
        for name, (colour, dash, marker) in zip(names[:_LINES], STYLES, strict=False):
            look = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 4, "linewidth": 1.6}
            found = [next((host for host in run.hosts or () if host["host"] == name), {}) for run in runs if run.at]
            ratios, days = ([host.get(key) for host in found] for key in ("failure_ratio", "certificate_days"))
            above.plot(times, [float("nan") if r is None else 100 * r for r in ratios], **look)
            below.plot(times, [float("nan") if d is None else d for d in days], **look, label=render.plot_text(name))
            said.append(
                f"{render.text(name, 60)}: failures {percent(ratios[0])} to {percent(ratios[-1])}, "
                f"days of certificate {_days(days[0])} to {_days(days[-1])}."
            )
        above.set_ylabel("failures, %")
        below.set_ylabel("certificate, days left")
        for axes in (above, below):
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        dates(below)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        image = to_png(figure)
    more = f" {len(names) - _LINES} more hosts are not drawn." if len(names) > _LINES else ""
    span = f"Line chart of {len(runs)} whole runs, {moment(runs[0].at)} to {moment(runs[-1].at)}."
    return Picture(image, f"{span} {' '.join(said)}{more}", f"The gravest hosts, run by run; whole runs only.{more}")
