"""One scheduled run: its folder, its pages, and an end that says whether it is whole.

DIR/runs/<UTC start>/   result.json (incomplete first, complete last), report.html, pin_health.ipynb, hosts/*.json
DIR/index.html          all runs with the trend
DIR/irkit.prom          what the last complete run found, for node_exporter
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irkit import render
from irkit.classify import classify
from irkit.errors import InputError, IrkitError, RunError
from irkit.files import read_file, workbench_file, write_atomically
from irkit.gather import gather
from irkit.health import Check, HostHealth, document, examine, textfile, worst
from irkit.incident import Incident, load_incident
from irkit.notebook import execute_notebook
from irkit.render import Markup, text
from irkit.summary import percent
from irkit.tomlfile import TEXT, Table, parse_toml

__all__ = ["HealthOutcome", "HealthRun", "finish_health", "health", "load_hosts", "look", "open_health", "overview"]

SCHEMA = "irkit.health/1"
_MARKS = {"error": "✖ error", "warning": "! warning", "unknown": "? not known", "info": "info", "": "✓ well"}
_SHOWN = 60  # runs on the index


@dataclass(frozen=True, slots=True)
class HealthRun:
    """A run under way.

    Attributes:
        incidents: What is looked at, a host each.
        broken: Entries that can't be used, as results already.
        folder: Where it leaves its files; None when it leaves none.
        started: Aware UTC.
        watched: Whether `health` watches it, and so says when it is whole.
    """

    incidents: tuple[Incident, ...]
    broken: tuple[HostHealth, ...]
    folder: Path | None
    started: datetime
    watched: bool = False

    def say(self, line: str) -> None:
        """Tells whoever waits what is being done."""
        print(text(line, 500), flush=True)


@dataclass(frozen=True, slots=True)
class HealthOutcome:
    """What a run came to: `result` is the content of result.json; `error` ended it before its end."""

    folder: Path
    result: dict[str, Any]
    error: IrkitError | None = None

    @property
    def exit_code(self) -> int:
        """0 nothing to do, 1 a warning, an error or something not known; 3 and 4 where the run did not complete."""
        if self.error is not None:
            return self.error.exit_code
        return int(any(check["severity"] != "info" for host in self.result["hosts"] for check in host["checks"]))


def load_hosts(path: str | Path, *, now: datetime) -> tuple[tuple[Incident, ...], tuple[HostHealth, ...]]:
    """Reads hosts.toml: a `[[host]]` for each, with `incident = "api.toml"`.

    Returns:
        The incidents, and a result for each file that can't be used, so that the others are still looked at.

    Raises:
        InputError: The file can't be read, has an unknown key, or names no host.
    """
    path = Path(path)
    hint = 'write [[host]] and incident = "api.toml" for each host'
    entries = parse_toml(
        read_file(path, hint), {"host": Table({"incident": TEXT}, ("incident",), many=True)}, str(path)
    )
    if not entries["host"]:
        raise InputError(f"{text(path)} names no host", hint)
    incidents, broken = list[Incident](), list[HostHealth]()
    for file in (entry["incident"] for entry in entries["host"]):
        try:
            incidents.append(load_incident(path.parent / file, now=now))
        except InputError as error:
            broken.append(HostHealth(file, checks=(Check("incident-unusable", "error", str(error)),)))
    return tuple(incidents), tuple(broken)


def open_health(hosts: str | Path, *, out: str | Path = "", folder: str | Path = "") -> HealthRun:
    """Opens a run over the hosts of a hosts.toml.

    Args:
        hosts: The file.
        out: Where the run's folder is made; left out, nothing is written.
        folder: The run's folder, made already; `health` sets it.

    Raises:
        InputError: The file can't be used.
        RunError: The folder can't be written.
    """
    started = datetime.now(UTC).replace(microsecond=0)
    incidents, broken = load_hosts(hosts, now=started)
    if folder:
        return HealthRun(incidents, broken, Path(folder), started, watched=True)
    run = HealthRun(incidents, broken, _make(Path(out), started) if out else None, started)
    content = _write(run, (), "incomplete", None)
    if run.folder is not None:
        _report(run.folder, content, "it has not ended, or was killed")
    return run


def _make(out: Path, started: datetime) -> Path:
    for attempt in range(100):
        made = out / "runs" / (f"{started:%Y%m%dT%H%M%SZ}" + (f"-{attempt}" if attempt else ""))
        try:
            made.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunError(f"can't make {text(made)}: {text(error.strerror)}", "give --out a folder to write") from None
        return made
    raise RunError(f"{text(out)} holds a hundred runs of this second", "give --out another folder")


def look(run: HealthRun) -> tuple[HostHealth, ...]:
    """Looks at every host, one after the other; what was found of one is on disk before the next begins."""
    results = list(run.broken)
    for number, incident in enumerate(run.incidents):
        run.say(f"{incident.host} …")
        try:
            evidence = gather(incident)
            result = examine(evidence, classify(evidence))
        except Exception as error:  # noqa: BLE001 - the other hosts must not be lost to a fault in looking at this one
            said = f"an error of irkit itself: {type(error).__name__}: {text(error, 200)}"
            result = HostHealth(incident.host, checks=(Check("not-known", "unknown", said),))
        results.append(result)
        run.say(f"{incident.host}: {_MARKS[worst([result])]}")
        if run.folder is not None:
            write_atomically(run.folder / "hosts" / f"{number:04d}.json", json.dumps(document(result), indent=1) + "\n")
    return tuple(results)


def overview(results: Sequence[HostHealth]) -> Markup:
    """All hosts in a table, and what is to be done about each."""
    return _overview([document(result) for result in results])


def _overview(hosts: Sequence[dict[str, Any]]) -> Markup:
    rows = [
        (
            host["host"], _MARKS[_worst(host)], host["verdict"] or "not judged", _days(host["certificate_days"]),
            _days(min((item["days"] for item in host["pin_days"]), default=None)), percent(host["failure_ratio"]),
        )
        for host in hosts
    ]  # fmt: skip
    headers = ("host", "state", "verdict", "days of certificate left", "days of pin set left", "failures")
    parts = [render.table(headers, rows, "Hosts", limit=500)]
    for host in hosts:
        if host["checks"]:
            found = [(_MARKS[c["severity"]], render.html(c["says"], 600), c["id"]) for c in host["checks"]]
            parts.append(render.table(("state", "what was found", "check"), found, host["host"]))
    return render.fragment(*parts)


def _worst(host: dict[str, Any]) -> str:
    found = {check["severity"] for check in host["checks"]}
    return next((name for name in _MARKS if name in found), "")


def _days(days: float | None) -> str:
    return "none" if days is None else f"{days:.0f}"


def finish_health(run: HealthRun, results: Sequence[HostHealth]) -> Path | None:
    """Writes report.html and result.json; a run that nobody watches is whole with that."""
    if run.folder is None:
        return None
    content = _write(run, results, "incomplete", datetime.now(UTC).replace(microsecond=0))
    shown = _report(run.folder, content, "")
    if not run.watched:
        _complete(run.folder, content)
    return shown


def _complete(folder: Path, content: dict[str, Any]) -> None:
    """Says that a run is whole, last of all in the index."""
    out = folder.parent.parent
    content["status"] = "complete"
    write_atomically(out / "irkit.prom", textfile(_results(content), finished=datetime.now(UTC)))
    write_atomically(folder / "result.json", json.dumps(content, indent=1) + "\n")
    write_atomically(out / "index.html", _index(out))


def _write(run: HealthRun, results: Sequence[HostHealth], status: str, finished: datetime | None) -> dict[str, Any]:
    content = {
        "schema": SCHEMA, "status": status, "started": run.started.isoformat(),
        "finished": finished.isoformat() if finished else None, "hosts": [document(result) for result in results],
    }  # fmt: skip
    if run.folder is not None:
        write_atomically(run.folder / "result.json", json.dumps(content, indent=1) + "\n")
    return content


def _report(folder: Path, content: dict[str, Any], error: str) -> Path:
    head = [render.heading("Pin health", 1)]
    if error:
        head.append(render.banner(f"THIS RUN DID NOT COMPLETE: {text(error, 600)}. What follows is what it had."))
    well = sum(not host["checks"] for host in content["hosts"])
    head.append(render.paragraph(f"{well} of {len(content['hosts'])} hosts are well. Begun {content['started']}."))
    page = render.page("Pin health", render.fragment(*head, _overview(content["hosts"])))
    write_atomically(folder / "report.html", page)
    return folder / "report.html"


def health(hosts: str | Path, *, out: str | Path = "health", deadline: float = 300.0) -> HealthOutcome:
    """Runs notebooks/pin_health.ipynb over the hosts of a hosts.toml, and updates index.html and irkit.prom.

    Args:
        hosts: The file.
        out: Where runs, index and textfile are.
        deadline: Seconds for the whole run.

    Raises:
        InputError: hosts.toml can't be used.
        RunError: The folder can't be written.
    """
    out = Path(out)
    run = open_health(hosts, out=out)
    assert run.folder is not None
    parameters = {"hosts": str(Path(hosts).resolve()), "folder": str(run.folder.resolve())}
    notebook = workbench_file("notebooks/pin_health.ipynb")
    failed: IrkitError | None = None
    try:
        execute_notebook(notebook, run.folder / "pin_health.ipynb", parameters, deadline=deadline)
        content: dict[str, Any] = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
        if content["finished"] is None:
            raise RunError("the notebook ended before its last cell", "open pin_health.ipynb to see where")
        _complete(run.folder, content)
    except IrkitError as error:
        failed = error
        content = _write(run, (), "incomplete", datetime.now(UTC).replace(microsecond=0))
        done = sorted((run.folder / "hosts").glob("[0-9]*.json"))
        content["hosts"] = [*map(document, run.broken), *(json.loads(file.read_text()) for file in done)]
        content["error"] = error.message
        _report(run.folder, content, str(error))
        write_atomically(run.folder / "result.json", json.dumps(content, indent=1) + "\n")
        write_atomically(out / "index.html", _index(out))
    return HealthOutcome(run.folder, content, failed)


def _results(content: dict[str, Any]) -> list[HostHealth]:
    return [
        HostHealth(
            **{name: value for name, value in host.items() if name not in ("checks", "pin_days")},
            checks=tuple(Check(**check) for check in host["checks"]),
            pin_days={(pin["platform"], pin["app"], pin["version"]): pin["days"] for pin in host["pin_days"]},
        )
        for host in content["hosts"]
    ]


def _index(out: Path) -> str:
    """All runs, the newest first: whole or not, how many hosts are well, and each host's days left, run by run."""
    rows: list[tuple[object, ...]] = []
    trend: dict[str, list[str]] = {}
    folders = sorted((out / "runs").iterdir(), reverse=True)[:_SHOWN]
    for place, folder in enumerate(folders):
        try:
            content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            hosts = content["hosts"]
            well = f"{sum(not host['checks'] for host in hosts)} of {len(hosts)}"
            state = "complete" if content["status"] == "complete" else "✖ DID NOT COMPLETE"
            for host in hosts if place < 7 else ():
                trend.setdefault(host["host"], ["no result"] * min(7, len(folders)))[place] = (
                    f"{_MARKS[_worst(host)]}, certificate {_days(host['certificate_days'])} d, "
                    f"failures {percent(host['failure_ratio'])}"
                )
        except (OSError, ValueError, KeyError, TypeError):
            state, well = "✖ unreadable", "unknown"
        rows.append((render.link(f"runs/{folder.name}/report.html", folder.name), state, well))
    names = [folder.name for folder in folders[:7]]
    by_host = [(name, *cells) for name, cells in sorted(trend.items())]
    runs = ("run", "status", "hosts that are well")
    body = render.fragment(
        render.heading("Pin health", 1),
        render.section("trend", "Trend", render.table(("host", *names), by_host, "State by run, the newest first")),
        render.section("runs", "Runs", render.table(runs, rows, "Runs, the newest first")),
    )
    return render.page("Pin health: all runs", body)
