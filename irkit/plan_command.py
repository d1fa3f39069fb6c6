"""`irkit plan` and `irkit preflight`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from irkit.errors import InputError
from irkit.render import text

__all__ = ["register"]

_FILE = """rotation.toml:
  [rotation]
  incident = "api.toml"         # host, releases, metrics, inventory and roots, as for a triage
  to = "sha256/…"               # the key that is to be served
  at = 2027-02-01T00:00:00Z     # when; default: the earliest date
  tolerate = 0.01               # the share of validations that may break
  chain = "next.pem"            # its certificate, once it is issued
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `plan` and `preflight` to a command line."""
    plan = commands.add_parser(
        "plan",
        help="plan a rotation: who breaks, from when on few enough do",
        description="Says which releases break if a key is served on a date, and the earliest date on which at most "
        "the tolerated share does, with the calendar of the rotation. Give the incident file a window of some weeks: "
        "adoption is fitted to it.",
        epilog=f"example:\n  irkit plan rotation.toml --at 2027-02-01\n\n{_FILE}",
    )
    plan.add_argument("--at", default="", metavar="DATE", help="yyyy-mm-dd; default: the file's, else the earliest")
    plan.set_defaults(handler=_plan)
    check = commands.add_parser(
        "preflight",
        help="may the key be switched now?",
        description="Captures, compares with the plan, and refuses with reasons. Exit code 0 to go, 1 not to.",
        epilog="example:\n  irkit preflight rotation.toml",
    )
    check.set_defaults(handler=_preflight)
    for command in (plan, check):
        command.add_argument("rotation", help="the rotation's file (TOML)")
        command.add_argument("--json", action="store_true", help="print JSON")


def _say(line: str) -> None:
    sys.stderr.write(text(line, 500) + "\n")


def _plan(arguments: argparse.Namespace) -> int:
    from irkit.gather import gather
    from irkit.plan import load_rotation, plan_rotation

    rotation = load_rotation(arguments.rotation)
    if arguments.at:
        try:
            rotation = replace(rotation, at=datetime.strptime(arguments.at, "%Y-%m-%d").replace(tzinfo=UTC))
        except ValueError:
            raise InputError(f"{text(arguments.at, 40)} is not a date", "write it as 2027-02-01") from None
    plan = plan_rotation(gather(rotation.incident, progress=_say), rotation)
    if not arguments.json:
        print(repr(plan))
        return 0
    document: dict[str, Any] = {
        "schema": "irkit.plan/1",
        "host": rotation.incident.host,
        "to": str(rotation.to),
        "at": plan.at.isoformat(),
        "broken": plan.broken,
        "tolerate": rotation.tolerate,
        "earliest": plan.earliest.isoformat() if plan.earliest else None,
        "releases": [asdict(fate) for fate in plan.fates],
        "milestones": [asdict(step) | {"at": step.at.isoformat()} for step in plan.milestones],
        "notes": list(plan.notes),
    }
    print(json.dumps(document, indent=1))
    return 0


def _preflight(arguments: argparse.Namespace) -> int:
    from irkit.classify import classify
    from irkit.gather import gather
    from irkit.plan import load_rotation, plan_rotation
    from irkit.preflight import preflight

    rotation = load_rotation(arguments.rotation)
    evidence = gather(rotation.incident, progress=_say)
    found = preflight(evidence, rotation, plan_rotation(evidence, rotation), classify(evidence))
    if arguments.json:
        points = [asdict(point) for point in found.points]
        print(json.dumps({"schema": "irkit.preflight/1", "ok": found.ok, "points": points}, indent=1))
    else:
        print(repr(found))
    return 0 if found.ok else 1
