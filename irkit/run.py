"""One run of a triage: its folder, what it leaves there, and an end that says whether it is whole.

`result.json` is written first with the status `incomplete`, and last, atomically, with `complete`. The status is read
from there alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irkit.archive import load_evidence, save_evidence
from irkit.errors import InputError, IrkitError, RunError
from irkit.evidence import Evidence
from irkit.files import run_folder, workbench_file, write_atomically
from irkit.gather import STAGES, begin
from irkit.incident import WINDOW, Incident
from irkit.incidentfile import incident_toml, with_absolute_paths
from irkit.notebook import execute_notebook
from irkit.remedy import Remediation
from irkit.render import moment, text
from irkit.report import report_html
from irkit.resume import go_on, unfinished
from irkit.summary import result_json, summary_markdown, summary_text
from irkit.verdict import EXIT_CODES, VERDICTS, Finding, Verdict

__all__ = ["Outcome", "Run", "finish_run", "keep", "open_run", "refuse", "resumed", "triage"]


@dataclass(frozen=True, slots=True)
class Run:
    """A run under way.

    Attributes:
        incident: What is asked.
        evidence: What there is when it opens: nothing, or in a replay everything.
        folder: Where it leaves its files; None when it leaves none.
        started: Aware UTC.
        watched: Whether `triage` watches it, and so ends it.
    """

    incident: Incident
    evidence: Evidence
    folder: Path | None
    started: datetime
    watched: bool = False

    def say(self, line: str) -> None:
        """Tells whoever waits what is being done."""
        print(text(line, 500) + "\n", end="", flush=True)  # in one write: threads speak at once

    @property
    def resumed(self) -> str:
        """What it goes on from, in words; empty where it begins anew."""
        if not self.evidence.gathered:
            return ""
        stages = ", ".join(sorted(self.evidence.gathered))
        return f"going on from the evidence of {moment(self.evidence.now, seconds=True)}: {stages}"

    def __repr__(self) -> str:
        return f"Run of {text(self.incident.id)}, " + (f"in {text(self.folder)}" if self.folder else "nothing written")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a triage came to.

    Attributes:
        folder: The run's folder.
        result: The content of result.json.
        error: What ended the run before its end; None for a whole run.
    """

    folder: Path
    result: dict[str, Any]
    error: IrkitError | None = None

    @property
    def exit_code(self) -> int:
        """The verdict's exit code, or the error's."""
        return self.error.exit_code if self.error is not None else EXIT_CODES[self.result["verdict"]]

    @property
    def summary(self) -> str:
        """The answer for a terminal, escaped."""
        return (self.folder / "summary.txt").read_text(encoding="utf-8").rstrip()


def open_run(
    incident: Incident | str | Path = "", *, out: str | Path = "", replay: str | Path = "", folder: str | Path = ""
) -> Run:
    """Opens a run.

    Args:
        incident: An incident, or the path of an incident file; left out in a replay.
        out: Where the run's folder, `<id>/<UTC start>`, is made; left out, nothing is written.
        replay: A run's folder, whose evidence is judged again, with no network.
        folder: The run's folder, made already; `triage` sets it.

    Raises:
        InputError: The incident file or the evidence can't be used, or neither is given.
        RunError: The folder can't be written.
    """
    started = datetime.now(UTC).replace(microsecond=0)
    if replay:
        evidence = load_evidence(replay)
        # Nothing is gathered again: not even what the saved run did not get to.
        evidence = replace(evidence, gathered=frozenset(STAGES))
    elif incident:
        evidence = begin(incident, now=started)
        if folder and (Path(folder) / "evidence" / "evidence.json").exists():
            evidence = go_on(load_evidence(folder), evidence.incident)
    else:
        raise InputError("no incident given", 'set incident = "incident.toml", or replay to a run\'s folder')
    if folder:
        run = Run(evidence.incident, evidence, Path(folder), started, watched=True)
        if evidence.gathered and not replay:
            run.say(run.resumed)
        return run
    if not out:
        return Run(evidence.incident, evidence, None, started)
    made = _make_folder(Path(out), evidence.incident.id, started)
    run = Run(evidence.incident, evidence, made, started)
    _leave_incomplete(run, evidence, "it has not ended, or was killed", None)
    return run


def resumed(run: Run, out: str | Path) -> Run:
    """The run, going on from the evidence of one below `out` that asked the same minutes ago and broke off."""
    earlier = unfinished(Path(out), run.incident, now=run.started)
    if earlier is None:
        return run
    return replace(run, incident=earlier.incident, evidence=keep(run, earlier))


def refuse(error: IrkitError, *, out: str | Path) -> Path:
    """Leaves the folder of a run that did not begin, for whoever looks there and not at the error.

    Args:
        error: Why it did not.
        out: Where the folder is made, `refused/<UTC start>`.

    Raises:
        RunError: The folder can't be written.
    """
    started = datetime.now(UTC).replace(microsecond=0)
    incident = Incident("unknown", started - WINDOW, started, id="refused")
    folder = _make_folder(Path(out), incident.id, started)
    run = Run(incident, Evidence(incident, started), folder, started)
    _leave_incomplete(run, run.evidence, error.message, started, str(error))
    return folder


def _make_folder(out: Path, name: str, started: datetime) -> Path:
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:80] or "incident"
    if safe != name:  # ids that differ only in what is not safe in a file name stay apart
        safe += "-" + hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return run_folder(out / safe, started)


def keep(run: Run, evidence: Evidence) -> Evidence:
    """Saves the evidence into the run's folder, if it has one, and gives it back: nothing gathered is lost.

    Raises:
        RunError: The folder can't be written.
    """
    if run.folder is not None:
        save_evidence(evidence, run.folder / "evidence")
    return evidence


def finish_run(run: Run, evidence: Evidence, verdict: Verdict, remediation: Remediation) -> Path | None:
    """Writes evidence, report.html, summary.txt (for a terminal), summary.md (for a chat) and result.json.

    Args:
        run: As `open_run` opened it.
        evidence: What was gathered.
        verdict: As `classify` judges it.
        remediation: As `remedies` works it out.

    Returns:
        The path of report.html; None when the run writes nothing.

    Raises:
        RunError: The folder can't be written.
    """
    if run.folder is None:
        return None
    keep(run, evidence)
    finished = datetime.now(UTC).replace(microsecond=0)
    page = report_html(evidence, verdict, remediation, started=run.started, finished=finished)
    write_atomically(run.folder / "report.html", page)
    write_atomically(run.folder / "summary.txt", summary_text(evidence, verdict, remediation) + "\n")
    write_atomically(run.folder / "summary.md", summary_markdown(evidence, verdict, remediation))
    _write_result(run, (evidence, verdict), remediation, "incomplete", finished)
    if not run.watched:
        _complete(run.folder)
    return run.folder / "report.html"


def _write_result(
    run: Run,
    judged: tuple[Evidence, Verdict],
    remediation: Remediation,
    status: str,
    finished: datetime | None,
) -> dict[str, Any]:
    assert run.folder is not None
    document = result_json(*judged, remediation, status=status, started=run.started, finished=finished)
    write_atomically(run.folder / "result.json", json.dumps(document, indent=1) + "\n")
    return document


def _complete(folder: Path) -> dict[str, Any]:
    """Writes the manifest, then, last, the status."""
    document: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    document["status"] = "complete"
    content = json.dumps(document, indent=1) + "\n"
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("manifest-sha256.txt", "result.json")
    ]
    lines.append(f"{hashlib.sha256(content.encode()).hexdigest()}  result.json")
    write_atomically(folder / "manifest-sha256.txt", "\n".join(lines) + "\n")  # for sha256sum -c
    write_atomically(folder / "result.json", content)
    return document


def _leave_incomplete(
    run: Run, evidence: Evidence, why: str, finished: datetime | None, error: str = ""
) -> dict[str, Any]:
    """Leaves a report of what there is, which says that the run did not complete."""
    assert run.folder is not None
    finding = Finding("incomplete-run", f"The run did not complete: {why}. What follows is what it had.", "irkit")
    even = {verdict: 0.2 for verdict in VERDICTS if verdict != "inconclusive"}
    verdict = Verdict("inconclusive", "", 0.0, even, findings=(finding,), missing=evidence.missing)
    page = report_html(
        evidence, verdict, Remediation(()), status="incomplete", started=run.started, finished=finished, error=error
    )
    write_atomically(run.folder / "report.html", page)
    write_atomically(run.folder / "summary.txt", summary_text(evidence, verdict, Remediation(())) + "\n")
    return _write_result(run, (evidence, verdict), Remediation(()), "incomplete", finished)


def triage(
    incident: Incident | str | Path = "",
    *,
    out: str | Path = "runs",
    replay: str | Path = "",
    deadline: float = 60.0,
    notes: Sequence[str] = (),
    resume: bool = True,
) -> Outcome:
    """Runs notebooks/triage.ipynb on an incident file, and leaves result.json, report.html, the notebook and evidence.

    Args:
        incident: The incident file, or an incident, whose file is left in the run's folder; left out in a replay.
        out: Where the run's folder is made.
        replay: A run's folder, whose evidence is judged again, with no network.
        deadline: Seconds for the whole run.
        notes: What to say at the top of an incident's file, such as the alert that it comes from.
        resume: Go on from the evidence of a run below `out` that asked the same minutes ago and broke off.

    Returns:
        The outcome. A run that did not complete has an `error`, and a report of what it had.

    Raises:
        InputError: The incident file or the evidence can't be used.
        RunError: The folder can't be written.
    """
    run = open_run(incident, out=out, replay=replay)
    if resume and not replay:
        run = resumed(run, out)
    assert run.folder is not None
    if isinstance(incident, Incident):
        file = run.folder / "incident.toml"
        write_atomically(file, incident_toml(with_absolute_paths(incident), notes))
        incident = file
    parameters = {
        "incident": str(Path(incident).resolve()) if incident else "",
        "replay": str(Path(replay).resolve()) if replay else "",
        "folder": str(run.folder.resolve()),
    }
    try:
        execute_notebook(
            workbench_file("notebooks/triage.ipynb"), run.folder / "triage.ipynb", parameters, deadline=deadline
        )
        document: dict[str, Any] = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
        if document["finished"] is None:
            raise RunError("the notebook ended before its last cell", "open triage.ipynb to see where")
        return Outcome(run.folder, _complete(run.folder))
    except IrkitError as error:
        return Outcome(run.folder, _abandon(run, error), error)


def _abandon(run: Run, error: IrkitError) -> dict[str, Any]:
    """Leaves a report of what there is, which says that the run did not complete."""
    assert run.folder is not None
    try:
        evidence = load_evidence(run.folder)
    except InputError:  # it did not get as far as its first evidence
        evidence = run.evidence
    finished = datetime.now(UTC).replace(microsecond=0)
    return _leave_incomplete(run, evidence, error.message, finished, str(error))
