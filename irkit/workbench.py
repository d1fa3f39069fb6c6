"""How a notebook begins: with a desk for its parameters, or with a form where nobody gave any.

Papermill and `irkit triage` give parameters, and no widget is made; in JupyterLab and Voilà a form asks.
"""

from __future__ import annotations

import os

from irkit.desk import Desk
from irkit.run import open_run

__all__ = ["open_desk"]


def open_desk(incident: str = "", *, out: str = "", replay: str = "", folder: str = "") -> Desk:
    """Opens a desk for a notebook's parameters.

    Args:
        incident: An incident file. With neither it nor a replay, a form asks, where there is somebody to ask.
        out: Where the run's folder is made; left out, nothing is written.
        replay: A run's folder, whose evidence is judged again, with no network.
        folder: The run's folder, made already.

    Raises:
        InputError: The incident file or the evidence can't be used, or none is given and nobody can be asked.
    """
    if not (incident or replay) and _somebody_is_there():
        from irkit.widgets import FormDesk

        return FormDesk(out)
    return Desk(open_run(incident, out=out, replay=replay, folder=folder))


def _somebody_is_there() -> bool:
    """Whether a form can be filled in: the frontend takes input, or Voilà serves this notebook.

    Papermill and nbconvert send `allow_stdin` as false (https://jupyter-client.readthedocs.io/en/stable/messaging.html);
    Voilà does so too, and names itself in SERVER_SOFTWARE.
    """
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila"):
        return True
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))
