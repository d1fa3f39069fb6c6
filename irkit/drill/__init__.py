"""Rehearsals: an incident of a known kind on loopback, with real TLS, real pin files and metrics, to practise on.

A rehearsal ends in an ordinary incident file. It knows the right answer from how it was built; irkit works it out from
the evidence, as in any other incident.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from irkit.capture import capture
from irkit.chain import Chain
from irkit.drill.files import Table, metrics_table, pin_file, to_toml, write_keys
from irkit.drill.scenario import HOST, SCENARIOS, WINDOW, Scenario
from irkit.drill.server import Intercepting, Presenting, Server, serving
from irkit.errors import InputError
from irkit.history import add_capture
from irkit.render import text

__all__ = ["KINDS", "Drill", "prepare", "register"]

KINDS = tuple(SCENARIOS)
_VANTAGES = ("office", "probe eu-west")


@dataclass(frozen=True, slots=True)
class Drill:
    """A rehearsal that is going on.

    Attributes:
        kind: One of KINDS.
        incident: The incident file.
        verdict, cause: The right answer, as it was built.
        onset: When it began, aware UTC; None when nothing did.
        releases: The releases whose validations fail for it.
        address: Where the genuine server listens.
        interceptor: Where the interceptor listens; empty without one.
    """

    kind: str
    incident: Path
    verdict: str
    cause: str
    onset: datetime | None
    releases: tuple[str, ...]
    address: str
    interceptor: str = ""

    @property
    def expected(self) -> str:
        """Verdict and cause, as `mitm / interception-untrusted-ca`."""
        return f"{self.verdict} / {self.cause}" if self.cause else self.verdict


@contextlib.contextmanager
def prepare(kind: str, folder: str | Path, *, seed: int = 0, prometheus: bool = False) -> Iterator[Drill]:
    """Builds a rehearsal in a folder and keeps its servers running until the block ends.

    Args:
        kind: One of KINDS.
        folder: A new or empty folder.
        seed: Of the traffic. Keys and certificates are new each time.
        prometheus: Put the metrics into a real Prometheus instead of a file.

    Raises:
        InputError: There is no such kind, the folder is in use, or Prometheus is not installed.
    """
    if kind not in SCENARIOS:
        raise InputError(f"no rehearsal {text(kind, 40)!r}", "it is one of " + ", ".join(KINDS))
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{text(folder)} is not empty", "give a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    start = end - WINDOW
    scenario = SCENARIOS[kind](start, end)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(Presenting(scenario.before)))
        _remember(server, folder, scenario.onset or end)
        server.role = Presenting(scenario.now)
        interceptor = None
        if scenario.forged:
            interceptor = stack.enter_context(serving(Intercepting(scenario.forged, server.address)))
        tables = [
            ("[incident]", {"id": f"DRILL-{kind}", "host": HOST, "start": start, "end": end}),
            metrics_table(_metrics(scenario, folder, start, end, seed=seed, stack=stack if prometheus else None)),
            *(("[[capture]]", {"vantage": name, "connect": server.address}) for name in _VANTAGES),
            *_observed(scenario, server, interceptor, folder),
            *_releases(scenario, folder),
            ("[inventory]", {"file": "keys.toml"}),
            ("[history]", {"folder": "captures"}),
            ("[trust]", {"roots": ["rehearsal-root.pem"]}),
        ]
        write_keys(scenario.keys, folder / "keys.toml")
        (folder / "rehearsal-root.pem").write_text(scenario.root.certificate.pem(), encoding="ascii")
        incident = folder / "incident.toml"
        incident.write_text(f"# A rehearsal, on loopback: {kind}.\n" + to_toml(tables), encoding="utf-8")
        yield Drill(
            kind=kind,
            incident=incident,
            verdict=scenario.verdict,
            cause=scenario.cause,
            onset=scenario.onset,
            releases=scenario.failing,
            address=server.address,
            interceptor=interceptor.address if interceptor else "",
        )


def _seen(server: Server) -> Chain:
    """What a client of that server is presented, captured for real."""
    return capture(HOST, connect=server.address)


def _remember(server: Server, folder: Path, before: datetime) -> None:
    """The history that earlier scheduled runs would have left: two days of what was presented until the onset."""
    chain = _seen(server)
    for hours in (46, 22, 2):
        at = before - timedelta(hours=hours)
        earlier = Chain(chain.certificates, replace(chain.obtained, at=at))
        add_capture(folder / "captures", earlier, vantage=_VANTAGES[0], trusted=True)


def _metrics(
    scenario: Scenario,
    folder: Path,
    start: datetime,
    end: datetime,
    *,
    seed: int,
    stack: contextlib.ExitStack | None,
) -> dict[str, str]:
    """Plays the traffic and says where its metrics are: in a file or, with a stack to keep it on, in a Prometheus."""
    from irkit.drill.prometheus import prometheus
    from irkit.drill.traffic import count, matrix

    series = count(scenario.groups, HOST, start=start, end=end, seed=seed)
    if stack:
        return {"url": stack.enter_context(prometheus(series, folder / "prometheus"))}
    (folder / "failures.json").write_text(matrix(series), encoding="utf-8")
    return {"file": "failures.json"}


def _observed(scenario: Scenario, server: Server, interceptor: Server | None, folder: Path) -> Iterator[Table]:
    for number, client in enumerate(scenario.clients, 1):
        chain = _seen(interceptor if client.intercepted and interceptor else server)
        name = f"clients/phone-{number}.pem"
        (folder / "clients").mkdir(exist_ok=True)
        (folder / name).write_text(chain.pem(), encoding="ascii")
        found = {"file": name, "at": client.at, "release": client.release, "network": client.network}
        yield "[[observed]]", found | {"region": client.region}


def _releases(scenario: Scenario, folder: Path) -> Iterator[Table]:
    for release in scenario.releases:
        found: dict[str, Any] = {"app": release.app, "platform": release.platform, "version": release.version}
        found |= {"pins": pin_file(release, folder), "released": release.released, "share": release.share}
        yield "[[release]]", found


def register(subparsers: Any) -> None:
    """Adds `irkit drill` to a command line's subparsers; its handler takes the arguments and gives the exit code."""
    parser = subparsers.add_parser(
        "drill",
        help="rehearse an incident on loopback",
        description="Builds an incident of a known kind on loopback and triages it. The exit code is the verdict's.",
    )
    parser.add_argument("kind", choices=KINDS, help="what happened")
    parser.add_argument(
        "--out", metavar="DIR", help="a new folder for the incident and its run (default: a temporary one)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the traffic (default: 0)")
    parser.add_argument("--prometheus", action="store_true", help="put the metrics into a real Prometheus")
    parser.add_argument("--serve", action="store_true", help="only keep it going until Ctrl-C: triage it yourself")
    parser.set_defaults(handler=_play)


def _play(arguments: argparse.Namespace) -> int:
    """Builds the rehearsal, triages it as any incident, and shows both answers."""
    folder = Path(arguments.out or tempfile.mkdtemp(prefix="irkit-drill-"))
    with prepare(arguments.kind, folder, seed=arguments.seed, prometheus=arguments.prometheus) as drill:
        if arguments.serve:
            return _serve(drill)
        from irkit.run import triage

        print(f"rehearsal: {arguments.kind}, on loopback; incident file {text(drill.incident, 1000)}", flush=True)
        outcome = triage(drill.incident, out=folder / "runs")
    print(outcome.summary)
    print(f"report: {text(outcome.folder / 'report.html', 1000)}")
    print(f"built as: {drill.expected}")
    if outcome.error is not None:
        raise outcome.error
    return outcome.exit_code


def _serve(drill: Drill) -> int:
    """Keeps the servers running until Ctrl-C or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(f"going on until Ctrl-C; in another terminal:\n  irkit triage {text(drill.incident, 1000)}", flush=True)
    ended.wait()
    print(f"built as: {drill.expected}")
    return 0
