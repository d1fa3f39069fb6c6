"""What changed between two runs of an incident: from their result.json alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irkit.errors import InputError
from irkit.files import read_file
from irkit.render import markdown, text
from irkit.summary import SCHEMA, percent

__all__ = ["Change", "compare_runs", "load_result", "register"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was.

    Attributes:
        what: `verdict`, `confidence`, `onset`, `who`, `finding`, `missing`, `do first` or `status`.
        before, after: As the runs say it; empty where there was, or is, none. They quote what others wrote.
    """

    what: str
    before: str
    after: str


def load_result(run: str | Path) -> dict[str, Any]:
    """The result of a run.

    Args:
        run: The run's folder, or its result.json.

    Raises:
        InputError: It can't be read, or is none.
    """
    path = Path(run)
    path = path / "result.json" if path.is_dir() else path
    hint = "give a run's folder, runs/<id>/<UTC start>"
    try:
        found = json.loads(read_file(path, hint, what="result"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"can't read the result {text(path)}: {text(error, 120)}", hint) from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise InputError(f"{text(path)} is no {SCHEMA}", "give a folder that irkit triage left")
    return found


def compare_runs(before: dict[str, Any], after: dict[str, Any]) -> tuple[Change, ...]:
    """What the second run says that the first did not, and the other way round.

    Args:
        before: The content of a result.json; see `load_result`.
        after: The content of a later one.

    Raises:
        InputError: They are about different hosts, or one of them is not as irkit writes it.
    """
    if before.get("host") != after.get("host"):
        raise InputError(
            f"the runs are about {text(before.get('host'))} and {text(after.get('host'))}", "compare runs of one host"
        )
    try:
        return tuple(_changes(before, after))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise InputError(f"a result is not as irkit writes it: {text(error, 120)}", "run the triage again") from None


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Sequence[Change]:
    single: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("status", lambda r: str(r["status"])),
        ("verdict", lambda r: f"{r['verdict']} / {r['cause']}" if r["cause"] else str(r["verdict"])),
        ("confidence", lambda r: percent(r["confidence"])),
        ("onset", lambda r: str(r["onset"] or "unknown")),
        ("do first", lambda r: "; ".join(r["remediation"][0]["steps"][:1]) if r["remediation"] else ""),
    ]
    found = [Change(what, said(before), said(after)) for what, said in single]
    several: list[tuple[str, Callable[[dict[str, Any]], list[str]]]] = [
        ("who", lambda r: [_cohort(cohort) for cohort in r["cohorts"]]),
        ("finding", lambda r: [f"{item['says']} ({item['source']})" for item in r["findings"]]),
        ("missing", lambda r: [f"{item['source']}: {item['reason']}" for item in r["missing"]]),
    ]
    for what, listed in several:
        was, now = listed(before), listed(after)
        found += [Change(what, line, "") for line in was if line not in now]
        found += [Change(what, "", line) for line in now if line not in was]
    return [change for change in found if change.before != change.after]


def _cohort(cohort: dict[str, Any]) -> str:
    who = ", ".join(cohort["releases"] or cohort["platforms"]) or "all releases"
    where = ", ".join([*cohort["regions"], *cohort["networks"]])
    cause = f" / {cohort['cause']}" if cohort["cause"] else ""
    return f"{who}{' in ' + where if where else ''}: {cohort['verdict']}{cause}"


def _line(change: Change, shown: Callable[..., str]) -> str:
    was, now = shown(change.before, 600), shown(change.after, 600)
    if was and now:
        return f"{change.what}: {was} → {now}"
    return f"{change.what}, new: {now}" if now else f"{change.what}, gone: {was}"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `report` to a command line."""
    command = commands.add_parser(
        "report",
        help="say what changed between two runs",
        description="Compares two runs of an incident: verdict, who, findings, what is missing, what to do first.",
        epilog="example:\n  irkit report --diff runs/INC-2041/20261123T120000Z runs/INC-2041/20261123T130000Z\n\n"
        "exit codes:\n  0 nothing changed, 1 something did, 2 a wrong call",
    )
    command.add_argument(
        "--diff", nargs=2, required=True, metavar=("BEFORE", "AFTER"), help="two runs' folders, the earlier one first"
    )
    command.add_argument("--markdown", action="store_true", help="print Markdown, for a chat")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(handler=_run)


def _run(arguments: argparse.Namespace) -> int:
    before, after = (load_result(run) for run in arguments.diff)
    changes = compare_runs(before, after)
    if arguments.json:
        print(json.dumps([{"what": c.what, "before": c.before, "after": c.after} for c in changes], indent=1))
    elif not changes:
        print(f"{text(after['host'])}: nothing changed")
    else:
        bullet, shown = ("- ", markdown) if arguments.markdown else ("  ", text)
        print(f"{shown(after['host'])}: {len(changes)} changes since {shown(before.get('started'))}")
        print("\n".join(bullet + _line(change, shown) for change in changes))
    return int(bool(changes))
