"""One scheduled run: its folder, its pages, and an end that says whether it is whole.

DIR/runs/<UTC start>/   result.json (incomplete first, complete last), report.html, pin_health.ipynb, hosts/*.json
DIR/index.html          all runs with the trend
DIR/irkit.prom          what the last complete run found, for node_exporter
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irkit import render
from irkit.classify import classify
from irkit.errors import InputError, IrkitError, RunError
from irkit.files import read_file, run_folder, workbench_file, write_atomically
from irkit.gather import gather
from irkit.health import Check, HostHealth, document, examine, textfile, worst
from irkit.healthindex import MARKS, hosts_table, index_page, state_of
from irkit.incident import Incident, load_incident
from irkit.notebook import execute_notebook
from irkit.parameters import check_given
from irkit.render import Markup, moment, text
from irkit.runbook import RunbookSection, load_runbooks
from irkit.tomlfile import TEXT, Table, parse_toml

__all__ = ["HealthOutcome", "HealthRun", "finish_health", "health", "load_hosts", "look", "open_health", "overview"]

SCHEMA = "irkit.health/1"


@dataclass(frozen=True, slots=True)
class HealthRun:
    """A run under way.

    Attributes:
        incidents: What is looked at, a host each.
        broken: Entries that can't be used, as results already.
        folder: Where it leaves its files; None when it leaves none.
        started: Aware UTC.
        watched: Whether `health` watches it, and so says when it is whole.
        runbooks: The sections of the teams' own runbooks, of all incidents.
    """

    incidents: tuple[Incident, ...]
    broken: tuple[HostHealth, ...]
    folder: Path | None
    started: datetime
    watched: bool = False
    runbooks: tuple[RunbookSection, ...] = ()

    def say(self, line: str) -> None:
        """Tells whoever waits what is being done."""
        print(text(line, 500) + "\n", end="", flush=True)  # in one write: threads speak at once


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
    """Opens a run over the hosts of a hosts.toml, for a notebook.

    Args:
        hosts: The file.
        out: Where the run's folder is made; left out, nothing is written.
        folder: The run's folder, made already; `health` sets it.

    Raises:
        InputError: The file can't be used, or the notebook was given a parameter that it doesn't have. Where `out` is
            given, a run's folder there says so too.
        RunError: The folder can't be written.
    """
    try:
        check_given()
        return _open(hosts, out, folder)
    except InputError as error:
        if isinstance(out, str | Path) and out and not folder:
            started = datetime.now(UTC).replace(microsecond=0)
            _leave(HealthRun((), (), run_folder(Path(out) / "runs", started), started), [], error)
        raise


def _open(hosts: str | Path, out: str | Path, folder: str | Path = "") -> HealthRun:
    started = datetime.now(UTC).replace(microsecond=0)
    incidents, broken = load_hosts(hosts, now=started)
    if folder:
        return HealthRun(incidents, broken, Path(folder), started, watched=True, runbooks=_own(incidents))
    made = run_folder(Path(out) / "runs", started) if out else None
    run = HealthRun(incidents, broken, made, started, runbooks=_own(incidents))
    content = _write(run, (), "incomplete", None)
    if run.folder is not None:
        _report(run, content, "it has not ended, or was killed")
        write_atomically(run.folder.parent.parent / "index.html", index_page(run.folder.parent.parent))
    return run


def _own(incidents: Sequence[Incident]) -> tuple[RunbookSection, ...]:
    """The teams' own runbooks; what is wrong with them is found again, and said, when each host is looked at."""
    found = dict[str, RunbookSection]()
    for folder in dict.fromkeys(item.path(item.runbooks) for item in incidents if item.runbooks):
        with contextlib.suppress(InputError):
            found = {one.cause: one for one in load_runbooks(folder)[0]} | found
    return tuple(found.values())


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
        run.say(f"{incident.host}: {MARKS[worst([result])]}")
        if run.folder is not None:
            write_atomically(run.folder / "hosts" / f"{number:04d}.json", json.dumps(document(result), indent=1) + "\n")
    return tuple(results)


def overview(results: Sequence[HostHealth], own: tuple[RunbookSection, ...] = ()) -> Markup:
    """All hosts in a table, what is to be done about each, and what the runbooks say of it.

    Args:
        results: Of all hosts.
        own: A team's own sections, such as the run's.
    """
    return hosts_table([document(result) for result in results], own)


def finish_health(run: HealthRun, results: Sequence[HostHealth]) -> Path | None:
    """Writes report.html and result.json; a run that nobody watches is whole with that."""
    if run.folder is None:
        return None
    content = _write(run, results, "incomplete", datetime.now(UTC).replace(microsecond=0))
    shown = _report(run, content, "")
    if not run.watched:
        _complete(run.folder, content)
    return shown


def _complete(folder: Path, content: dict[str, Any]) -> None:
    """Says that a run is whole, last of all in the index."""
    out = folder.parent.parent
    content["status"] = "complete"
    write_atomically(folder / "result.json", json.dumps(content, indent=1) + "\n")
    write_atomically(out / "irkit.prom", textfile(_results(content), finished=datetime.now(UTC)))
    write_atomically(out / "index.html", index_page(out))


def _leave(run: HealthRun, hosts: list[dict[str, Any]], error: IrkitError) -> dict[str, Any]:
    """Leaves what there is of a run that did not complete, and why it did not."""
    assert run.folder is not None
    content = _write(run, (), "incomplete", datetime.now(UTC).replace(microsecond=0))
    content |= {"hosts": hosts, "error": error.message}
    _report(run, content, str(error))
    write_atomically(run.folder / "result.json", json.dumps(content, indent=1) + "\n")
    write_atomically(run.folder.parent.parent / "index.html", index_page(run.folder.parent.parent))
    return content


def _write(run: HealthRun, results: Sequence[HostHealth], status: str, finished: datetime | None) -> dict[str, Any]:
    content = {
        "schema": SCHEMA, "status": status, "started": run.started.isoformat(),
        "finished": finished.isoformat() if finished else None, "hosts": [document(result) for result in results],
    }  # fmt: skip
    if run.folder is not None:
        write_atomically(run.folder / "result.json", json.dumps(content, indent=1) + "\n")
    return content


def _report(run: HealthRun, content: dict[str, Any], error: str) -> Path:
    assert run.folder is not None
    head = [render.heading("Pin health", 1)]
    if error:
        head.append(render.banner(f"THIS RUN DID NOT COMPLETE: {text(error, 600)}. What follows is what it had."))
    well = sum(not state_of(host) for host in content["hosts"])
    began = moment(run.started)
    head.append(render.paragraph(f"{well} of {len(content['hosts'])} hosts are well. Begun {began}."))
    page = render.page("Pin health", render.fragment(*head, hosts_table(content["hosts"], run.runbooks)))
    write_atomically(run.folder / "report.html", page)
    return run.folder / "report.html"


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
    run = _open(hosts, out)
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
        done = sorted((run.folder / "hosts").glob("[0-9]*.json"))
        content = _leave(run, [*map(document, run.broken), *(json.loads(file.read_text()) for file in done)], error)
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
