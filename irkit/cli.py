"""`irkit …`: a thin layer over the library. What it can do, `import irkit` can."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import __version__
from irkit.errors import InputError, IrkitError
from irkit.render import text

if TYPE_CHECKING:
    from irkit.incident import Incident

__all__ = ["main", "parser"]

_EXIT_CODES = """exit codes of triage and drill:
  0 none, 10 rotation, 11 misconfiguration, 12 mitm, 13 inconclusive, 14 not-a-pin-failure;
  2 a wrong call, 3 the run did not complete, 4 out of time"""


class _Help(argparse.HelpFormatter):
    """Fills long lines, and keeps line breaks and what is indented."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            line if line[:1] == " " else textwrap.fill(line, width, initial_indent=indent, subsequent_indent=indent)
            for line in text.splitlines()
        )


class _Parser(argparse.ArgumentParser):
    """The parser of every command: a subcommand's is of the same class."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help} | options)


def parser() -> argparse.ArgumentParser:
    """The command line, for `main` and for the documentation's tests."""
    top: argparse.ArgumentParser = _Parser(
        prog="irkit",
        description="Is it a legitimate rotation, a MITM or a misconfiguration? Triage of certificate pin failures.",
        epilog="examples:\n  irkit drill mitm                # rehearse, on this machine\n"
        "  irkit doctor incident.toml      # what is missing, and the fix\n"
        "  irkit triage incident.toml      # judge, and leave a report\n"
        "Results go to standard output, progress and errors to standard error.\n\n" + _EXIT_CODES,
    )
    top.add_argument("--version", action="version", version=f"irkit {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _triage(commands)
    from irkit import (
        capture_command,
        completion,
        doctor,
        drill,
        fleet_command,
        health_command,
        history_command,
        incident_command,
        metrics_command,
        plan_command,
        rundiff,
        verify_command,
    )
    from irkit.pins import command as pins

    drill.register(commands)
    doctor.register(commands)
    capture_command.register(commands)
    verify_command.register(commands)
    fleet_command.register(commands)
    incident_command.register(commands)
    health_command.register(commands)
    history_command.register(commands)
    rundiff.register(commands)
    metrics_command.register(commands)
    plan_command.register(commands)
    pins.register(commands)
    completion.register(commands, parser)
    return top


def _triage(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "triage",
        help="judge an incident and leave a report",
        description="Captures chains, reads pins, queries Prometheus, and leaves a verdict with its evidence in "
        "DIR/<id>/<UTC start>/: result.json, report.html, triage.ipynb, evidence/ and a SHA-256 manifest.",
        epilog="examples:\n  irkit triage incident.toml --out runs\n"
        "  irkit triage /etc/irkit --alert - < webhook-body.json\n\n" + _EXIT_CODES,
    )
    command.add_argument("incident", nargs="?", default="", help="the incident file (TOML)")
    command.add_argument(
        "--alert", default="", metavar="FILE|-|URL",
        help="triage an alert; the incident file, or a folder of them to choose from, says what else is known",
    )  # fmt: skip
    command.add_argument("--out", default="runs", metavar="DIR", help="where the run's folder goes (default: runs)")
    command.add_argument("--replay", default="", metavar="RUN", help="judge a run's evidence again, with no network")
    command.add_argument("--deadline", type=float, default=60.0, metavar="SECONDS", help="for all (default: 60)")
    command.add_argument(
        "--runbooks", default="", metavar="DIR", help="your own runbooks, before those that ship with irkit"
    )
    command.add_argument("--json", action="store_true", help="print result.json instead of the summary")
    command.add_argument(
        "--fresh", action="store_true", help="gather all again, also what a run that broke off minutes ago has"
    )
    from irkit.incident_command import add_alert_options

    add_alert_options(command)
    command.set_defaults(handler=_run_triage)


def _run_triage(arguments: argparse.Namespace) -> int:
    if bool(arguments.incident or arguments.alert) == bool(arguments.replay):
        raise InputError(
            "triage wants an incident file or --replay, one of them, or --alert",
            "irkit triage incident.toml --out runs",
        )
    if not arguments.deadline > 0:
        raise InputError(f"a deadline of {arguments.deadline} s is none", "give the seconds the run may take")
    from irkit.incident_command import alert_incident, alert_notes
    from irkit.run import triage

    incident: Incident | str = arguments.incident
    notes = list[str]()
    if arguments.alert:
        incident, alerts = alert_incident(arguments, arguments.incident)
        notes = ["From the alert:", *alert_notes(alerts)]
    if arguments.runbooks:
        incident = _with_runbooks(incident, arguments.runbooks)
    outcome = triage(
        incident, out=arguments.out, replay=arguments.replay, deadline=arguments.deadline, notes=notes,
        resume=not arguments.fresh,
    )  # fmt: skip
    if arguments.json:
        print(json.dumps(outcome.result, indent=1))
    else:
        print(outcome.summary)
        print(f"report: {text(outcome.folder / 'report.html', 1000)}")
    if outcome.error is not None:
        _complain(outcome.error)
    return outcome.exit_code


def _with_runbooks(incident: Incident | str, folder: str) -> Incident:
    """The incident with a team's own runbooks.

    Raises:
        InputError: It is a replay, which shows what the saved run's runbooks say; or there is no runbook there.
    """
    from irkit.incident import load_incident
    from irkit.runbook import load_runbooks

    if not incident:
        raise InputError("a replay shows the runbooks that its run had", "leave out --runbooks or --replay")
    load_runbooks(folder)
    known = load_incident(incident) if isinstance(incident, str) else incident
    return replace(known, runbooks=str(Path(folder).absolute()))


def _complain(error: IrkitError) -> None:
    sys.stderr.write(f"irkit: {text(error.message, 600)}\n")
    if error.hint:
        sys.stderr.write(f"  hint: {text(error.hint, 600)}\n")


def _open_streams() -> None:
    """Gives /dev/null the numbers of standard streams that are closed: the next file that is opened would take them."""
    for number in range(3):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - open until the process ends
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - the same


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: Arguments without the program's name; those of the process when left out.

    Returns:
        The exit code; see `irkit --help`.
    """
    _open_streams()
    for stream in (sys.stdout, sys.stderr):  # a terminal without UTF-8 gets a ? for the symbols, not a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    arguments = parser().parse_args(argv)
    try:
        code: int = arguments.handler(arguments)
        sys.stdout.flush()
    except IrkitError as error:
        _complain(error)
        return error.exit_code
    except BrokenPipeError:  # who read it has seen enough, as `head` does; what is left would fail again at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3  # 0 would be a verdict
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"irkit: {error.strerror}\n  hint: make room where the results go\n")
        return 3
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("irkit"):
            raise
        sys.stderr.write(f"irkit: this needs the package {error.name}\n  hint: pip install 'irkit[workbench]'\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("irkit: interrupted\n")
        return 3
    return code


if __name__ == "__main__":
    sys.exit(main())
