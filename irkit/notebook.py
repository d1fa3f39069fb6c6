"""Runs a notebook through papermill in a process of its own, with what papermill itself lacks.

papermill coerces values, only warns of a mistyped parameter, injects parameter names as code, marks the cells of a dead
kernel as completed, and has no deadline. So parameters go in as a checked dict, the process is watched from outside,
and nothing is read from papermill's own marks but the error that it raised.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from irkit.errors import DeadlineError, InputError, RunError
from irkit.render import text
from irkit.tomlfile import nearest

__all__ = ["check_parameters", "declared_parameters", "execute_notebook"]

_GRACE = 5.0  # seconds a told-to-stop run has to save its notebook


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Names and defaults of the notebook's parameters: one literal assignment a line in the cell tagged `parameters`.

    Raises:
        InputError: There is no notebook, or it has no such cell.
    """
    import ast

    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{text(notebook)} is no notebook: {text(error, 120)}", "reinstall irkit") from None
    sources = ["".join(c["source"]) for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    if not sources:
        raise InputError(f"{text(notebook)} has no cell tagged parameters", "tag the cell that sets the defaults")
    found = {}
    for node in ast.parse(sources[0]).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            found[ast.unparse(target)] = ast.literal_eval(node.value)
    return found


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Holds parameters against the declared names and types.

    Raises:
        InputError: A name is not declared (the nearest one is named), or a value is of another type than its default.
    """
    declared = declared_parameters(notebook)
    for name, value in parameters.items():
        if name not in declared:
            raise InputError(f"{text(notebook.name)} has no parameter {text(name, 60)}", nearest(name, declared))
        default = declared[name]
        if type(value) is not type(default) and not (isinstance(default, float) and type(value) is int):
            raise InputError(
                f"the parameter {text(name)} of {text(notebook.name)} is {type(default).__name__}, "
                f"not {type(value).__name__}",
                f"give a value like {default!r}",
            )
    return dict(parameters)


class _Stopped(Exception):  # noqa: N818 - a request to stop, not an error
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Turns SIGTERM into an exception while a run is watched, so that what it has is kept."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        raise _Stopped(number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: whoever runs us there handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def execute_notebook(
    notebook: Path, output: Path, parameters: Mapping[str, Any], *, deadline: float, cwd: Path | None = None
) -> None:
    """Runs a notebook to its end.

    Args:
        notebook: The notebook.
        output: Where the executed notebook goes; it is there whatever happens.
        parameters: Checked against the declared ones before anything runs.
        deadline: Seconds for the whole run, the kernel's start included.
        cwd: The kernel's working directory.

    Raises:
        InputError: A parameter is wrong.
        DeadlineError: The run was ended at its deadline.
        RunError: A cell raised, the kernel died, or the run was told to stop.
    """
    job = {
        "notebook": str(notebook.resolve()),
        "output": str(output.resolve()),
        "parameters": check_parameters(notebook, parameters),
        "cwd": str((cwd or Path.cwd()).resolve()),
    }
    command = [sys.executable, "-m", "irkit.notebook"]
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONUNBUFFERED": "1"}
    try:
        with _stoppable():  # before there is an output: who sees one may tell the run to stop
            shutil.copyfile(notebook, output)  # what there is if the run ends before its first cell
            answer, code = _watch(command, environment, json.dumps(job), deadline)
    except (_Stopped, KeyboardInterrupt) as stop:
        name = signal.Signals(stop.signal).name if isinstance(stop, _Stopped) else "an interrupt"
        raise RunError(f"the run was stopped by {name}", "run it again: it starts from the evidence it has") from None
    _judge(answer, code)


def _watch(command: list[str], environment: Mapping[str, str], job: str, deadline: float) -> tuple[str, int]:
    """Runs the process that runs the notebook: what it answered, and its exit code."""
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True, text=True
    ) as child:  # fmt: skip
        try:
            answer, _ = child.communicate(job, timeout=deadline)
        except subprocess.TimeoutExpired:
            _end(child)
            raise DeadlineError(
                f"the notebook did not end within {deadline:.0f} s", "give more time with --deadline"
            ) from None
        except BaseException:
            _end(child)  # or the block would wait for it
            raise
    return answer, child.returncode


def _judge(answer: str, code: int) -> None:
    try:
        error = json.loads(answer.strip().splitlines()[-1])["error"]
    except (ValueError, IndexError, KeyError, TypeError):
        raise RunError(
            f"the notebook's process died with exit code {code}", "look for memory or disk running out"
        ) from None
    if error:
        raise RunError(f"the notebook failed: {text(error, 400)}", "open triage.ipynb: the cell that failed says more")


def _end(child: subprocess.Popen[str]) -> None:
    """Tells the run to stop, gives it time to save, then ends it. Its kernel ends with it (ipykernel watches it)."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=_GRACE)
            return


def _run() -> None:
    """The watched process: reads one job from standard input, leaves one line of JSON on standard output."""
    import logging

    import papermill

    logging.disable(logging.WARNING)
    job = json.load(sys.stdin)
    progress = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8")  # what cells print, as they print it
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # and not what the kernel says of itself
    error = ""
    try:
        papermill.execute_notebook(
            job["notebook"], job["output"], job["parameters"], cwd=job["cwd"], kernel_name="python3",
            progress_bar=False, log_output=False, stdout_file=progress, stderr_file=progress,
        )  # fmt: skip
    except papermill.PapermillExecutionError as failure:
        error = f"{failure.ename}: {failure.evalue}"
    except KeyboardInterrupt:
        error = "stopped"
    except Exception as failure:  # noqa: BLE001 - whatever ended the run is told to the process that watches
        error = f"{type(failure).__name__}: {failure}"
    sys.stdout.write(json.dumps({"error": error}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _run()
