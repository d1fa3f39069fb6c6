"""`irkit metrics save`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from irkit.render import text

if TYPE_CHECKING:
    from irkit.incident import Incident

__all__ = ["register", "saved"]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `metrics` to a command line."""
    metrics = commands.add_parser(
        "metrics",
        help="save what Prometheus says",
        description="Keeps what Prometheus says of an incident: `save`.",
        epilog="example:\n  irkit metrics save incident.toml",
    )
    inner = metrics.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = inner.add_parser(
        "save",
        help="save what a triage asks of Prometheus",
        description="Writes the answers that a triage of this incident uses into one file: the counts of failures, and "
        'what dates changes on the server\'s side. With file = "failures.json" in place of url under [metrics] the '
        "triage needs no Prometheus.",
        epilog="example:\n  irkit metrics save incident.toml --out failures.json",
    )
    command.add_argument("incident", help="the incident file (TOML)")
    command.add_argument("--out", default="failures.json", metavar="FILE", help="default: failures.json")
    command.add_argument("--deadline", type=float, default=60.0, metavar="SECONDS", help="for all (default: 60)")
    command.add_argument("--json", action="store_true", help="print what was said as JSON")
    command.set_defaults(handler=_run)


def saved(incident: Incident, deadline: float) -> tuple[bytes, str]:
    """The answers as one JSON file, and in words what they say.

    Raises:
        MetricsError: Prometheus can't be asked, or has no such failures.
    """
    import time

    from irkit.gather import counted, server_changes

    until = time.monotonic() + deadline
    failures = counted(incident, deadline)
    server = server_changes(incident, max(1.0, until - time.monotonic()))
    lines = [str(failures), *map(str, server.changes), *failures.findings, *server.findings]
    answers = failures.raw.strip()
    if server.entries and answers[:1] == b"[":
        answers = answers[:-1] + b",\n" + b",\n".join(server.entries) + b"]"
    return answers + b"\n", "\n".join(lines)


def _run(arguments: argparse.Namespace) -> int:
    from irkit.errors import InputError
    from irkit.files import write_atomically
    from irkit.incident import load_incident

    incident = load_incident(arguments.incident)
    if incident.metrics is None or not incident.metrics.url:
        raise InputError(
            f"{text(arguments.incident)} names no Prometheus", 'write url = "http://prometheus:9090" under [metrics]'
        )
    answers, said = saved(incident, arguments.deadline)
    write_atomically(Path(arguments.out), answers)
    if arguments.json:
        print(json.dumps({"saved": arguments.out, "says": said.splitlines()}, indent=1))
        return 0
    print(said)
    print(f"saved: {text(arguments.out, 1000)}; under [metrics], write file = and its name in place of url")
    return 0
