"""What a triage depends on, each thing touched for real: what is missing, what to do about it, which steps it weakens.

`installation` looks at this machine, `examine` at what an incident names. Nothing is kept and no history is written.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from irkit.chain import CaptureFailure
from irkit.errors import IrkitError
from irkit.evidence import Evidence
from irkit.files import workbench_file, workbench_folder
from irkit.gather import access, begin, counted, gather_pins, look
from irkit.history import read_history
from irkit.incident import Incident, Vantage
from irkit.render import Markup, details, fragment, moment, paragraph, strong, table, text

__all__ = ["Check", "describe", "examine", "installation", "register"]

SKEW = timedelta(seconds=30)  # more makes windows, onsets and certificates' dates doubtful
PATIENCE = 5.0  # seconds for each endpoint and for Prometheus
SCOPE, CAPTURE, COMPARE, CLASSIFY, REMEDY = "1. Scope", "2. Capture", "3. Compare", "4. Classify", "5. Remedy"
_SAYS = {"ok": "✓ ok", "weaker": "△ weaker", "broken": "✖ broken"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a triage depends on.

    Attributes:
        what: The thing.
        state: `ok`; `weaker`: a triage runs, and the steps of `weakens` know less; `broken`: it does not run.
        says: What was found.
        hint: What to do about it; empty where nothing is to be done.
        weakens: The steps, as the notebook calls them.
    """

    what: str
    state: Literal["ok", "weaker", "broken"]
    says: str
    hint: str = ""
    weakens: tuple[str, ...] = ()


def installation(folder: str | Path = ".") -> tuple[Check, ...]:
    """Looks at Python, the packages, the notebooks and the runbooks that irkit needs here.

    Args:
        folder: Where runs will be written.
    """
    version = sys.version_info
    python = Check("Python", "ok" if version >= (3, 11) else "broken", f"{sys.version.split()[0]} at {sys.executable}")
    checks = [replace(python, hint="irkit needs Python 3.11 or newer") if python.state == "broken" else python]
    checks += [_extra(name, *said) for name, said in _EXTRAS.items()]
    checks += [
        _found("notebooks", lambda: workbench_file("notebooks/triage.ipynb"), "broken"),
        _found("runbooks", lambda: workbench_folder("runbooks"), "weaker"),
        _kernel(),
        _writable(Path(folder)),
    ]
    return tuple(checks)


# Each optional extra: what is broken or weaker without it, and the state that this is.
_EXTRAS: dict[str, tuple[str, Literal["weaker", "broken"]]] = {
    "workbench": ("no notebook, no metrics, no `irkit triage`", "broken"),
    "apk": ("pins inside APK and AAB files are not read", "weaker"),
    "metrics": ("irkit.pinned_session does not count", "weaker"),
    "voila": ("no page without code", "weaker"),
}


def _extra(extra: str, without: str, state: Literal["weaker", "broken"]) -> Check:
    """Whether the packages of an extra are here, in versions that do."""
    wrong = []
    for line in importlib.metadata.requires("irkit") or ():
        requirement, _, marker = line.partition(";")
        match = re.match(r"([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9.]+))?", requirement)
        if match is None or not re.search(rf"extra == ['\"]{extra}['\"]", marker):
            continue
        try:
            there = importlib.metadata.version(match[1])
        except importlib.metadata.PackageNotFoundError:
            wrong.append(match[1])
            continue
        if match[2] and _number(there) < _number(match[2]):
            wrong.append(f"{match[1]} {there} is older than {match[2]}")
    if not wrong:
        return Check(f"packages of [{extra}]", "ok", "all here")
    said = f"missing: {', '.join(wrong)}; without them {without}"
    return Check(f"packages of [{extra}]", state, said, f'pip install "irkit[{extra}]"')


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def _found(what: str, find: Callable[[], Path], state: Literal["weaker", "broken"]) -> Check:
    try:
        return Check(what, "ok", text(find()))
    except IrkitError as error:
        return Check(what, state, text(error.message), error.hint)


def _kernel() -> Check:
    """The kernel that notebooks name has to start this Python, or cells find no irkit."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return Check("Jupyter kernel", "broken", "jupyter_client is not installed", 'pip install "irkit[workbench]"')
    fix = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        argv = KernelSpecManager().get_kernel_spec("python3").argv
    except NoSuchKernel:
        return Check("Jupyter kernel", "broken", "there is no kernel python3", fix)
    started = argv[0] if argv else "nothing"
    ours = {"python", "python3", sys.executable}
    if started not in ours and Path(started).resolve() != Path(sys.executable).resolve():
        return Check("Jupyter kernel", "broken", f"the kernel python3 starts {text(started)}, not this Python", fix)
    return Check("Jupyter kernel", "ok", f"python3 starts {text(started)}")


def _writable(folder: Path) -> Check:
    import tempfile

    where = next((part for part in (folder.resolve(), *folder.resolve().parents) if part.exists()), Path("/"))
    try:
        tempfile.TemporaryFile(dir=where).close()  # os.access says yes to root, even of /proc
    except OSError as error:
        said = f"{text(where)} can't be written: {text(error.strerror)}"
        return Check("folder for runs", "broken", said, "give --out a folder to write")
    return Check("folder for runs", "ok", text(folder.resolve()))


def examine(incident: Incident | str | Path, *, deadline: float = PATIENCE) -> tuple[Check, ...]:
    """Touches everything an incident names: Prometheus, its clock, endpoints, pin files, chains, history, roots.

    Args:
        incident: An incident, or the path of an incident file.
        deadline: Seconds for each endpoint and for Prometheus; they are asked at once.

    Raises:
        InputError: The incident file can't be used.
    """
    evidence = begin(incident)
    asked: list[Callable[[], Iterable[Check]]] = [
        lambda: _metrics(evidence, deadline),
        *(partial(_vantage, evidence.incident, vantage, deadline) for vantage in evidence.incident.vantages),
        lambda: _clients(evidence.incident),
        lambda: _pins(evidence),
        lambda: _history(evidence.incident),
    ]
    with ThreadPoolExecutor(max_workers=16) as pool:
        return tuple(check for found in pool.map(_safely, asked) for check in found)


def _safely(ask: Callable[[], Iterable[Check]]) -> list[Check]:
    try:
        return list(ask())
    except IrkitError as error:
        return [Check("a thing the incident names", "weaker", error.message, error.hint)]
    except Exception as error:  # noqa: BLE001 - one check that fails must not hide the others
        said = f"{type(error).__name__}: {text(error, 200)}"
        return [Check("a check of irkit itself", "weaker", said, "report it")]


def _metrics(evidence: Evidence, deadline: float) -> Iterable[Check]:
    incident, source = evidence.incident, evidence.incident.metrics
    if source is None:
        hint = 'add [metrics] with url = "http://prometheus:9090"'
        yield Check("metrics", "weaker", "none named: who fails and since when will not be known", hint, (SCOPE,))
        return
    try:
        from irkit.metrics import clock_skew
    except IrkitError as error:
        yield Check("metrics", "broken", error.message, error.hint, (SCOPE,))
        return
    what = f"metrics {text(source.url or source.file, 120)}"
    # A quarter of an hour of Prometheus tells as much of the names and labels as the whole window.
    start = incident.start if source.file else max(incident.start, incident.end - timedelta(minutes=15))
    try:
        failures = counted(replace(incident, start=start), deadline)
    except IrkitError as error:
        yield Check(what, "weaker", error.message, error.hint, (SCOPE, CLASSIFY))
    else:
        said = f"{text(source.metric, 80)} is there, told apart by {', '.join(failures.roles) or 'nothing'}"
        if "version" in failures.roles:
            yield Check(what, "ok", said)
        else:
            hint = 'map the label of the app\'s version: labels = { version = "…" }'
            yield Check(what, "weaker", f"{said}, so not by release", hint, (SCOPE, CLASSIFY))
    if source.url:
        yield _clock(lambda: clock_skew(source.url, deadline=deadline, **access(incident)))


def _clock(ask: Callable[[], timedelta | None]) -> Check:
    try:
        skew = ask()
    except IrkitError:
        return Check("clock", "weaker", "could not be compared: Prometheus does not answer", "", (SCOPE,))
    if skew is None:
        return Check("clock", "weaker", "could not be compared: Prometheus does not tell its time", "", (SCOPE,))
    if abs(skew) <= SKEW:
        return Check("clock", "ok", f"{moment(datetime.now(UTC))}, as Prometheus' own")
    ahead = "ahead of" if skew < timedelta() else "behind"
    said = f"this machine is {abs(skew.total_seconds()):,.0f} s {ahead} Prometheus"
    return Check("clock", "weaker", said, "set this machine's clock (chronyc makestep)", (SCOPE, COMPARE))


def _vantage(incident: Incident, vantage: Vantage, deadline: float) -> Iterable[Check]:
    what = f"vantage {text(vantage.name, 80)}"
    try:
        results = look(incident, vantage, deadline, sweep=True)
    except IrkitError as error:
        yield Check(what, "weaker", error.message, error.hint, (CAPTURE, COMPARE))
        return
    lost = [f"{found.where}: {found.reason}" for found in results if isinstance(found, CaptureFailure)]
    answered = [found for found in results if not isinstance(found, CaptureFailure) and len(found)]
    if lost or not answered:
        said = text("; ".join(lost) or "no certificate", 400)
        yield Check(what, "weaker", said, "check that the endpoint answers from there", (CAPTURE, COMPARE))
        return
    where = vantage.file or answered[0].obtained.where or incident.host
    yield Check(what, "ok", f"{text(where, 120)} presents {len(answered[0])} certificates")


def _clients(incident: Incident) -> Iterable[Check]:
    from irkit.chainfile import load_chain

    if not incident.observed:
        hint = "get one from an affected device and network, and name it under [[observed]]"
        yield Check(
            "client chains", "weaker", "none: an interception can't be shown, only suspected", hint, (CLASSIFY,)
        )
    for source in incident.observed:
        what = f"client chain {text(source.file, 120)}"
        try:
            chain = load_chain(incident.path(source.file), host=incident.host)
        except IrkitError as error:
            yield Check(what, "weaker", error.message, error.hint, (CAPTURE, CLASSIFY))
        else:
            yield Check(what, "ok", f"{len(chain)} certificates")


_WEAKENED = {"inventory": (CLASSIFY,), "runbook": (REMEDY,), "runbooks": (REMEDY,)}


def _pins(evidence: Evidence) -> Iterable[Check]:
    read = gather_pins(evidence)
    for release in read.releases:
        bad = sum(entry.pin is None for rule in release.rules for entry in rule.pins)
        said = f"{len(release.pins)} pins" + (f", {bad} that can't match or can't be read" if bad else "")
        if release.rejected:
            said = f"the platform refuses it: {text(release.rejected, 200)}"
        # A wrong pin is what may be found; a file without any may be the wrong file.
        state: Literal["ok", "weaker"] = "ok" if release.pins or bad or release.rejected else "weaker"
        hint = "" if state == "ok" else "is this the file that the release ships?"
        yield Check(f"pins of {text(release.name, 80)}", state, said, hint, () if state == "ok" else (COMPARE,))
    for item in read.missing:
        steps = _WEAKENED.get(item.source.split()[0], (COMPARE, CLASSIFY))
        yield Check(item.source, "weaker", item.reason, item.hint, steps)
    if read.runbooks:
        yield Check("runbooks of your own", "ok", f"sections on {len(read.runbooks)} causes and checks")
    if read.inventory is not None:
        yield Check("inventory", "ok", f"{len(read.inventory.keys)} keys")


def _history(incident: Incident) -> Iterable[Check]:
    folder = incident.path(incident.history)
    past = read_history(folder, incident.host, incident.port) if folder.is_dir() else None
    if past is not None and past.captures:
        yield Check("history", "ok", f"{len(past.captures)} earlier captures")
    else:
        said = f"no earlier capture in {text(folder)}: what was served before is not known"
        yield Check("history", "weaker", said, "run `irkit triage` every day", (COMPARE,))


def describe(checks: Iterable[Check]) -> Markup:
    """What is not well as a table, the steps that will be weaker in a sentence, and what is well to be opened."""
    checks = sorted(checks, key=lambda check: check.state)  # broken, ok, weaker
    weak = [
        (_SAYS[check.state], check.what, check.says, check.hint, ", ".join(check.weakens))
        for check in checks if check.state != "ok"
    ]  # fmt: skip
    well = [(_SAYS[check.state], check.what, check.says) for check in checks if check.state == "ok"]
    return fragment(
        paragraph(strong(_verdict(checks))),
        table(("", "what", "found", "what to do", "weaker"), weak) if weak else "",
        details(f"{len(well)} things are well", table(("", "what", "found"), well)) if well else "",
    )


def _verdict(checks: Iterable[Check]) -> str:
    checks = list(checks)
    broken = [check.what for check in checks if check.state == "broken"]
    weak = sorted({step for check in checks for step in check.weakens})
    if broken:
        return f"Broken: {', '.join(broken)}."
    return f"Weaker than they could be: {', '.join(weak)}." if weak else "Everything that was looked at is well."


def register(commands: Any) -> None:
    """Adds `irkit doctor` to a command line's subparsers."""
    command = commands.add_parser(
        "doctor",
        help="say what is missing here, and the fix",
        description="Looks at this installation, and with an incident file at everything it names: Prometheus, its "
        "metric and labels, its clock, each vantage, each pin file. Exit code 0: a triage runs; 3: it does not.",
        epilog="examples:\n  irkit doctor\n  irkit doctor incident.toml\n  irkit doctor incident.toml --json",
    )
    command.add_argument("incident", nargs="?", default="", help="an incident file (TOML)")
    command.add_argument("--out", default="runs", metavar="DIR", help="where runs will go (default: runs)")
    command.add_argument("--deadline", type=float, default=PATIENCE, metavar="SECONDS", help="for each thing asked")
    command.add_argument("--json", action="store_true", help="print the checks as JSON")
    command.set_defaults(handler=_run)


def _run(arguments: argparse.Namespace) -> int:
    checks = installation(arguments.out)
    if arguments.incident:
        checks += examine(arguments.incident, deadline=arguments.deadline)
    if arguments.json:
        print(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        for check in checks:
            print(f"{_SAYS[check.state]:<9} {text(check.what, 120)}: {text(check.says, 400)}")
            if check.hint and check.state != "ok":
                print(f"          fix: {text(check.hint, 400)}")
        print(_verdict(checks))
    return 3 if any(check.state == "broken" for check in checks) else 0
