"""How a notebook begins: with a desk for its parameters, or with a form where they ask nothing yet.

Papermill and `irkit triage` give parameters, and no widget is made; in JupyterLab and Voilà a form asks.
"""

from __future__ import annotations

import atexit
import contextlib
import inspect
import os
from typing import Any

from irkit.desk import Desk
from irkit.errors import InputError, IrkitError
from irkit.parameters import check_given, kernel_shell
from irkit.question import Question, ask, parse_filter
from irkit.render import text
from irkit.run import open_run, refuse, resumed

__all__ = ["open_desk"]


def open_desk(
    incident: str = "",
    *,
    alert: str = "",
    token_env: str = "",
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
        token_env: The name of the variable with the token for the alert's address; never the token itself.
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
    given, shell = dict(locals()), kernel_shell()
    try:
        check_given(inspect.signature(open_desk).parameters)
        _refuse_numbers(given)
        question = Question(incident, alert, token_env, rehearse, host, window, vantages, releases, prometheus, only)
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
