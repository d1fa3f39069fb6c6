"""How a notebook begins: with a desk for its parameters, or with a form where they ask nothing yet.

Papermill and `irkit triage` give parameters, and no widget is made; in JupyterLab and Voilà a form asks.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import inspect
import os
from typing import Any

from irkit.desk import Desk
from irkit.errors import InputError, IrkitError
from irkit.question import Question, ask, parse_filter
from irkit.render import text
from irkit.run import open_run, refuse, resumed
from irkit.tomlfile import nearest

__all__ = ["open_desk"]


def open_desk(
    incident: str = "",
    *,
    alert: str = "",
    rehearse: str = "",
    host: str = "",
    window: str = "",
    vantages: str = "",
    releases: str = "",
    prometheus: str = "",
    only: str = "",
    out: str = "",
    replay: str = "",
    folder: str = "",
) -> Desk:
    """Opens a desk for a notebook's parameters. Where somebody can be asked, a form shows them, to be changed.

    Args:
        incident: An incident file. With neither it nor an alert, a rehearsal, a host or a replay, a form asks.
        alert: An alert: its JSON, a file, or the address of an API.
        rehearse: The kind of a rehearsal, as `mitm`.
        host: Another host than the incident file's, one of several alerts', or all that is known.
        window: `6h` before the end, or `START/END`.
        vantages: Names, with commas between; empty for all.
        releases: Names, with commas between; empty for all.
        prometheus: Where failures are counted, if the incident file does not say it.
        only: What section 1 shows, as `region=ap-south`.
        out: Where the run's folder is made; left out, nothing is written.
        replay: A run's folder, whose evidence is judged again, with no network.
        folder: The run's folder, made already.

    Raises:
        IrkitError: A parameter can't be used or is mistyped, or nothing is asked and nobody can be. Where `out` is
            given, a run's folder there says so too.
    """
    given, shell = dict(locals()), _shell()
    try:
        _refuse_mistyped(shell)
        _refuse_numbers(given)
        question = Question(incident, alert, rehearse, host, window, vantages, releases, prometheus, only)
        if not (question.asks or replay) and _somebody_is_there(shell):
            from irkit.form import FormDesk

            return FormDesk(question, out=out)
        if replay or folder:
            run = open_run(incident, out=out, replay=replay, folder=folder)
        else:
            stay = contextlib.ExitStack()
            atexit.register(stay.close)
            run = open_run(ask(question, stay), out=out)
            if out:
                run = resumed(run, out)
                if run.resumed:
                    run.say(run.resumed)
    except IrkitError as error:
        if isinstance(out, str) and out and not folder:
            refuse(error, out=out)
        raise
    return Desk(run, parse_filter(only))


def _shell() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _refuse_mistyped(shell: Any) -> None:
    """Finds what papermill lets pass with a warning: a parameter that the notebook doesn't have.

    Papermill puts parameters into a cell that begins with "# Parameters", after the one with their defaults, and the
    kernel remembers its cells.
    """
    known = list(inspect.signature(open_desk).parameters)
    for cell in getattr(shell, "user_ns", {}).get("In", ()):
        names = _assigned(cell)
        for name in names if cell.startswith("# Parameters\n") else ():
            if name not in known:
                raise InputError(f"the notebook has no parameter {text(name, 60)}", nearest(name, known))
        known += names


def _assigned(cell: str) -> list[str]:
    """The names that a cell sets; none for one that is no plain Python, such as a magic."""
    try:
        nodes = ast.walk(ast.parse(cell))
    except (SyntaxError, ValueError):
        return []
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _refuse_numbers(given: dict[str, Any]) -> None:
    for name, value in given.items():
        if not isinstance(value, str):  # papermill makes a number of what looks like one
            raise InputError(
                f"the parameter {name} is {type(value).__name__}, not text: {text(value, 60)}",
                f"give it as text; to papermill with -r {name} …",
            )


def _somebody_is_there(shell: Any) -> bool:
    """Whether a form can be filled in: the frontend takes input, or Voilà serves this notebook.

    Papermill and nbconvert send `allow_stdin` as false (https://jupyter-client.readthedocs.io/en/stable/messaging.html);
    Voilà does so too, and names itself in SERVER_SOFTWARE.
    """
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila"):
        return True
    kernel = getattr(shell, "kernel", None)
    return kernel is not None and bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))
