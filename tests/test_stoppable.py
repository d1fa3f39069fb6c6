"""Cancelling a step ends it at once, keeps what it has, and writes nothing afterwards."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import irkit
from irkit.drill import Drill, prepare
from irkit.stoppable import StoppedError, at_once

SILENT = '\n[[capture]]\nvantage = "slow"\nconnect = "127.0.0.1:{}"\n'


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    """A mitm drill with a vantage that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent, prepare("mitm", tmp_path / "drill") as made:
        slow = SILENT.format(silent.getsockname()[1])
        made.incident.write_text(made.incident.read_text().replace("\n[inventory]", f"{slow}\n[inventory]"))
        yield made


def stop_when(told: Callable[[str], bool]) -> tuple[threading.Event, Callable[[str], None]]:
    """An event to stop by, and a listener that sets it at a line of the progress."""
    stop = threading.Event()
    return stop, lambda line: stop.set() if told(line) else None


def test_works_that_ended_have_their_value_or_error_and_the_others_are_let_go() -> None:
    stop, gate = threading.Event(), threading.Event()

    def late() -> int:
        stop.set()
        return 1 if gate.wait(30) else 0

    def broken() -> int:
        raise ValueError("broken")

    done, failed = at_once([lambda: 7, broken], stop)
    (lost,) = at_once([late], stop)
    gate.set()
    assert done() == 7
    with pytest.raises(ValueError, match="broken"):
        failed()
    with pytest.raises(StoppedError) as caught:
        lost()
    assert caught.value.hint
    (never,) = at_once([lambda: 8], stop)
    with pytest.raises(StoppedError):
        never()


def test_a_cancelled_capture_keeps_the_chains_it_has_and_those_of_an_earlier_try(drill: Drill) -> None:
    answered: set[str] = set()

    def both(line: str) -> bool:
        answered.update(name for name in ("office", "probe eu-west") if f"{name} is captured" in line)
        return len(answered) == 2

    stop, progress = stop_when(both)
    began = time.monotonic()
    first = irkit.gather_chains(irkit.begin(drill.incident), stop=stop, progress=progress)
    assert time.monotonic() - began < 9, "the silent vantage alone would take ten seconds"
    assert {capture.vantage for capture in first.captures} == {"office", "probe eu-west"}
    assert [item.reason for item in first.missing if item.source == "capture slow"] == ["cancelled before it answered"]
    assert len(first.observed) == 2, "files that clients sent are no reason to wait"
    assert "chains" not in first.gathered
    stopped = threading.Event()
    stopped.set()
    second = irkit.gather_chains(first, again=True, stop=stopped)
    assert second.captures == first.captures
    assert second.history == first.history


def test_nothing_is_written_to_the_history_after_a_cancel(drill: Drill) -> None:
    folder = drill.incident.parent / "captures"
    before = {path for path in folder.rglob("*") if path.is_file()}
    stop = threading.Event()
    stop.set()
    evidence = irkit.gather_chains(irkit.begin(drill.incident), stop=stop)
    assert evidence.captures == ()
    workers = [thread for thread in threading.enumerate() if thread.name == "irkit-work"]
    for worker in workers:
        worker.join(15)
    assert {path for path in folder.rglob("*") if path.is_file()} == before


def test_cancelled_counts_and_pins_leave_what_was_there(drill: Drill) -> None:
    whole = irkit.gather_pins(irkit.gather_failures(irkit.begin(drill.incident)))
    stop = threading.Event()
    stop.set()
    again = irkit.gather_pins(irkit.gather_failures(whole, again=True, stop=stop), again=True, stop=stop)
    assert again.failures == whole.failures
    assert again.changes == whole.changes
    assert {release.name for release in again.releases} == {release.name for release in whole.releases}
    assert again.gathered == frozenset()
    done = irkit.gather_pins(irkit.gather_failures(again))
    assert (done.gathered, done.missing) == (whole.gathered, whole.missing)


def test_one_vantage_is_not_called_several(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[incident]\nhost = "127.0.0.1"\nport = 1\n')
    said: list[str] = []
    irkit.gather(tmp_path / "a.toml", progress=said.append)
    assert "capturing chains from 1 vantage …" in said
    assert "reading pins of 0 releases …" in said
