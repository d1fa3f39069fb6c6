"""Runs that break off say so, with the documented exit codes; a second run goes on from the evidence on disk."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

import irkit
from irkit.drill import Drill, prepare
from irkit.resume import WITHIN, unfinished

ROOT = Path(__file__).parent.parent


@pytest.fixture
def slow_drill(tmp_path: Path) -> Iterator[tuple[Drill, Callable[[], None]]]:
    """A mitm drill with a vantage that never answers, and the function that ends its silence."""
    with socket.create_server(("127.0.0.1", 0)) as silent, prepare("mitm", tmp_path / "drill") as drill:
        slow = f'\n[[capture]]\nvantage = "slow"\nconnect = "127.0.0.1:{silent.getsockname()[1]}"\n'
        drill.incident.write_text(drill.incident.read_text().replace("\n[inventory]", f"{slow}\n[inventory]"))
        yield drill, silent.close


def command(drill: Drill, *more: str) -> list[str]:
    runs = str(drill.incident.parent.parent / "runs")
    return [sys.executable, "-m", "irkit.cli", "triage", str(drill.incident), "--out", runs, *more]


def newest(drill: Drill) -> Path:
    return max((drill.incident.parent.parent / "runs").glob("*/*"), key=lambda path: path.name)


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def break_off(drill: Drill, how: Callable[[psutil.Process], None]) -> subprocess.CompletedProcess[str]:
    """Starts a run, and breaks it off once its first stage is on disk."""
    with subprocess.Popen(command(drill), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        until = time.monotonic() + 60
        while not list((drill.incident.parent.parent / "runs").glob("*/*/evidence/evidence.json")):
            assert child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        how(psutil.Process(child.pid))
        out, err = child.communicate(timeout=60)
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def kill_kernel(process: psutil.Process) -> None:
    (kernel,) = [c for c in process.children(recursive=True) if "ipykernel_launcher" in " ".join(c.cmdline())]
    os.kill(kernel.pid, signal.SIGKILL)


@pytest.mark.parametrize("how", [kill_kernel, psutil.Process.terminate], ids=["kernel killed", "SIGTERM"])
def test_a_run_that_broke_off_says_so_and_the_next_one_goes_on_from_its_evidence(
    slow_drill: tuple[Drill, Callable[[], None]], how: Callable[[psutil.Process], None]
) -> None:
    drill, end_the_silence = slow_drill
    broken = break_off(drill, how)
    first = newest(drill)
    assert broken.returncode == 3, broken.stderr
    assert result(first)["status"] == "incomplete"
    assert "did not complete" in (first / "report.html").read_text()
    end_the_silence()
    drill.incident.with_name("failures.json").unlink()  # whoever counted again would find nothing
    again = subprocess.run(command(drill), capture_output=True, text=True, check=False)
    assert again.returncode == 12, again.stderr
    assert "going on from the evidence of" in again.stderr
    second = result(newest(drill))
    assert newest(drill) != first
    assert second["status"] == "complete"
    assert "metrics" not in {item["source"] for item in second["missing"]}
    fresh = subprocess.run(command(drill, "--fresh"), capture_output=True, text=True, check=False)
    assert "metrics" in {item["source"] for item in result(newest(drill))["missing"]}, fresh.stderr


def test_a_run_out_of_time_is_exit_code_4_and_leaves_what_the_next_goes_on_from(
    slow_drill: tuple[Drill, Callable[[], None]],
) -> None:
    drill, _ = slow_drill
    late = subprocess.run(command(drill, "--deadline", "0.5"), capture_output=True, text=True, check=False)
    assert late.returncode == 4
    assert result(newest(drill))["status"] == "incomplete"
    assert "did not complete" in (newest(drill) / "report.html").read_text()


def test_only_fresh_evidence_of_the_same_question_is_gone_on_from(tmp_path: Path) -> None:
    with prepare("quiet", tmp_path / "drill") as drill:
        run = irkit.open_run(drill.incident, out=tmp_path / "runs")
        irkit.keep(run, irkit.gather_failures(run.evidence))
        now, same = run.started, run.incident
        found = unfinished(tmp_path / "runs", same, now=now)
        assert found is not None
        assert found.gathered == {"failures"}
        assert found.incident.folder == same.folder
        later = timedelta(minutes=3)
        moved = replace(same, id="made of the start", start=same.start + later, end=same.end + later)
        assert unfinished(tmp_path / "runs", moved, now=now + later) is not None, "a window that ends now moves on"
        assert unfinished(tmp_path / "runs", same, now=now + WITHIN + later) is None
        assert unfinished(tmp_path / "runs", replace(same, host="other.example"), now=now) is None
        assert unfinished(tmp_path / "runs", replace(same, start=same.start - later), now=now) is None
        evidence = irkit.gather(drill.incident)
        verdict = irkit.classify(evidence)
        irkit.finish_run(run, evidence, verdict, irkit.remedies(evidence, verdict))
        assert unfinished(tmp_path / "runs", same, now=now) is None, "a whole run is not gone on from"
