"""`irkit health`."""

from __future__ import annotations

import argparse
import json
import sys

from irkit.errors import InputError
from irkit.render import text

__all__ = ["register"]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `health` to a command line."""
    command = commands.add_parser(
        "health",
        help="look at many hosts before it hurts",
        description="Runs notebooks/pin_health.ipynb over the hosts of hosts.toml: pins and certificates that will "
        "end, missing backups, releases that a planned rotation breaks, chains that changed, failures. Leaves "
        "DIR/runs/<UTC start>/, DIR/index.html with the trend, and DIR/irkit.prom for node_exporter.",
        epilog="example:\n  irkit health hosts.toml --out /var/lib/irkit\n\nexit codes:\n"
        "  0 all is well, 1 something was found or could not be looked at,\n"
        "  2 a wrong call, 3 the run did not complete, 4 out of time",
    )
    command.add_argument("hosts", help='the list (TOML): [[host]] and incident = "api.toml" for each')
    command.add_argument("--out", default="health", metavar="DIR", help="where runs and index go (default: health)")
    command.add_argument("--deadline", type=float, default=300.0, metavar="SECONDS", help="for all (default: 300)")
    command.add_argument("--json", action="store_true", help="print result.json instead of the summary")
    command.set_defaults(handler=_run)


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.deadline > 0:
        raise InputError(f"a deadline of {arguments.deadline} s is none", "give the seconds the run may take")
    from irkit.healthindex import MARKS, state_of
    from irkit.healthrun import health

    outcome = health(arguments.hosts, out=arguments.out, deadline=arguments.deadline)
    if arguments.json:
        print(json.dumps(outcome.result, indent=1))
    else:
        for host in outcome.result["hosts"]:
            judged = f"verdict {host['verdict']}" if host["verdict"] else "not judged"
            print(f"{text(host['host'])}: {MARKS[state_of(host)]}, {judged}")
            for check in host["checks"]:
                print(f"  {check['severity']:7}  {text(check['says'], 400)} [{check['id']}]")
        print(f"report: {text(outcome.folder / 'report.html', 1000)}")
    if outcome.error is not None:
        sys.stderr.write(f"irkit: {text(outcome.error, 600)}\n")
    return outcome.exit_code
