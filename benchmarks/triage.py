"""How long a triage takes, stage by stage, beside what papermill takes for a notebook with nothing in it.

    python benchmarks/triage.py [rotation|mitm|misconfiguration|quiet]

A rehearsal on loopback: 24 hours of one-minute counters in some 24 series, two vantages, four releases. Each stage is
run several times, warm, and the quickest round is shown; the processes at the end are cold. An incident has its network
on top: add its round trips to "capture" and "metrics".
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

import irkit
from irkit.drill import KINDS, prepare
from irkit.report import report_html

ROUNDS = 5
WHOLE_ROUNDS = 3


def timed(work: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """The seconds of the quickest round, since other work on the machine only adds to it; and what the last gave."""
    seconds, value = [], None
    for _ in range(rounds):
        began = time.perf_counter()
        value = work()
        seconds.append(time.perf_counter() - began)
    return min(seconds), value


def process(*arguments: str, code: int = 0) -> Callable[[], None]:
    """A whole process, which has to end with that exit code."""

    def work() -> None:
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != code:
            raise SystemExit(f"{arguments} ended with {done.returncode}: {done.stderr[-1000:]}")

    return work


def bare_papermill(folder: Path) -> float:
    """The peer: papermill's own command, on a notebook with one empty cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "empty.ipynb")
    work = process("-m", "papermill", "--no-progress-bar", str(folder / "empty.ipynb"), str(folder / "done.ipynb"))
    return timed(work, WHOLE_ROUNDS)[0]


def stages(incident: Path) -> tuple[list[tuple[str, float]], Any]:
    """The library's calls in the order of a run, in this process."""
    now = datetime.now(UTC)
    rows = []

    def stage(name: str, work: Callable[[], Any]) -> Any:
        work()  # imports and caches of the first call are the process', not the stage's
        seconds, value = timed(work, ROUNDS)
        rows.append((name, seconds))
        return value

    evidence = irkit.begin(incident)
    evidence = stage("metrics", lambda: irkit.gather_failures(evidence, again=True))
    evidence = stage("capture", lambda: irkit.gather_chains(evidence, again=True))
    evidence = stage("pins", lambda: irkit.gather_pins(evidence, again=True))
    stage("onset", lambda: irkit.onsets(evidence.failures))
    verdict = stage("classify, the onset known", lambda: irkit.classify(evidence))
    remediation = stage("remedies", lambda: irkit.remedies(evidence, verdict))
    stage("report", lambda: report_html(evidence, verdict, remediation, started=now, finished=now))
    return rows, verdict


def main() -> int:
    kind = sys.argv[1] if len(sys.argv) > 1 else "mitm"
    if kind not in KINDS:
        sys.stderr.write(f"no rehearsal {kind}; it is one of {', '.join(KINDS)}\n")
        return 2
    with tempfile.TemporaryDirectory() as name, prepare(kind, Path(name) / "incident") as drill:
        folder = Path(name)
        rows, verdict = stages(drill.incident)
        rows.append(("all stages in one process", sum(seconds for _, seconds in rows)))
        rows.append(("import irkit (process)", timed(process("-c", "import irkit"), WHOLE_ROUNDS)[0]))
        triage = process(
            "-m", "irkit.cli", "triage", str(drill.incident), "--out", str(folder / "runs"), code=verdict.exit_code
        )
        rows.append(("irkit triage (process, notebook)", timed(triage, WHOLE_ROUNDS)[0]))
        peer = bare_papermill(folder)
    rows.append(("papermill, empty notebook (process)", peer))
    print(f"{kind}: {verdict.name}; built as {drill.expected}")
    print(f"{'stage':<38}{'seconds':>9}{'of bare papermill':>20}")
    for stage, seconds in rows:
        print(f"{stage:<38}{seconds:>9.3f}{seconds / peer:>19.2f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
