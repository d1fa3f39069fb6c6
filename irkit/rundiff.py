"""What changed between two runs of an incident: from their result.json alone."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from irkit.errors import InputError
from irkit.files import read_file
from irkit.render import markdown, moment, percent, text
from irkit.summary import SCHEMA

__all__ = ["Change", "compare_runs", "load_result", "register"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was.

    Attributes:
        what: `status`, `verdict`, `confidence`, `onset`, `do first`, `who`, `do not`, `missing` or `finding`.
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
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not _dated(found.get("started")):
        raise InputError(f"{text(path)} is no {SCHEMA}", "give a folder that irkit triage left")
    return found


def _dated(at: object) -> bool:
    try:
        return datetime.fromisoformat(str(at)).utcoffset() is not None
    except ValueError:
        return False


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
        ("verdict", _verdict),
        ("confidence", lambda r: percent(r["confidence"])),
        ("onset", lambda r: _moment(r["onset"])),
        ("do first", lambda r: "; ".join(r["remediation"][0]["steps"][:1]) if r["remediation"] else ""),
    ]
    found = [Change(what, said(before), said(after)) for what, said in single]
    several: list[tuple[str, Callable[[dict[str, Any]], list[tuple[str, str]]]]] = [
        ("who", lambda r: [(_name(cohort), _cohort(cohort)) for cohort in r["cohorts"]]),
        ("do not", lambda r: [(line, line) for line in r["do_not"]]),
        ("missing", lambda r: [(item["source"], f"{item['source']}: {item['reason']}") for item in r["missing"]]),
        ("finding", lambda r: [(item["id"], f"{item['says']} ({item['source']})") for item in r["findings"]]),
    ]
    for what, listed in several:
        was, now = _keyed(listed(before)), _keyed(listed(after))
        found += [Change(what, line, now.get(key, "")) for key, line in was.items()]
        found += [Change(what, "", line) for key, line in now.items() if key not in was]
    return [change for change in found if change.before != change.after]


def _keyed(lines: Sequence[tuple[str, str]]) -> dict[tuple[str, int], str]:
    """Lines by what they are about; of several about one thing the first is held against the first."""
    found: dict[tuple[str, int], str] = {}
    for key, line in lines:
        found[key, sum(known == key for known, _ in found)] = line
    return found


def _verdict(result: dict[str, Any]) -> str:
    return f"{result['verdict']} / {result['cause']}" if result["cause"] else str(result["verdict"])


def _moment(at: str | None) -> str:
    return moment(None if at is None else datetime.fromisoformat(at))


def _name(cohort: dict[str, Any]) -> str:
    who = ", ".join(cohort["releases"] or cohort["platforms"]) or "all releases"
    where = ", ".join([*cohort["regions"], *cohort["networks"]])
    return f"{who} in {where}" if where else who


def _cohort(cohort: dict[str, Any]) -> str:
    share = "" if cohort["share"] is None else f", {percent(cohort['share'])} of all validations"
    return f"{_name(cohort)}: {_verdict(cohort)}{share}"


_NUMBERS = re.compile(r"\d[\d,.:-]*")


def _line(change: Change, shown: Callable[..., str]) -> str:
    was, now = shown(change.before, 600), shown(change.after, 600)
    if not was:
        return f"{change.what}, new: {now}"
    if not now:
        return f"{change.what}, {'had since' if change.what == 'missing' else 'gone'}: {was}"
    if change.what == "finding" and _NUMBERS.sub("", change.before) == _NUMBERS.sub("", change.after):
        return f"{change.what}, with newer numbers: {now}"
    return f"{change.what}: {was} → {now}"


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
        runs = {name: {"started": run["started"], "verdict": run["verdict"], "cause": run["cause"]}
                for name, run in (("before", before), ("after", after))}  # fmt: skip
        listed = [{"what": c.what, "before": c.before, "after": c.after} for c in changes]
        print(json.dumps({"host": after["host"], **runs, "changes": listed}, indent=1))
        return int(bool(changes))
    bullet, shown = ("- ", markdown) if arguments.markdown else ("  ", text)
    times = (shown(_moment(run["started"])) for run in (before, after))
    many = {0: "nothing changed", 1: "1 change"}.get(len(changes), f"{len(changes)} changes")
    print(f"{shown(after['host'])}, {' to '.join(times)}: {many}")
    if not any(change.what == "verdict" for change in changes):
        print(f"{bullet}verdict: still {shown(_verdict(after))}, {percent(after['confidence'])} confident")
    for change in changes:
        print(bullet + _line(change, shown))
    return int(bool(changes))
