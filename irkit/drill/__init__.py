"""Rehearsals: an incident of a known kind on loopback, with real TLS, real pin files and metrics, to practise on.

A rehearsal ends in an ordinary incident file. It knows the right answer from how it was built; irkit works it out from
the evidence, as in any other incident.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from irkit.capture import capture
from irkit.certificate import Certificate
from irkit.chain import Chain, Obtained
from irkit.drill.causes import BELONGS, SCENARIOS, build
from irkit.drill.files import Table, metrics_table, pin_file, to_toml, write_keys
from irkit.drill.pki import Credential
from irkit.drill.reports import ndjson
from irkit.drill.scenario import WINDOW, Scenario
from irkit.drill.server import Intercepting, Presenting, Server, serving
from irkit.drill.traffic import STEP, Series
from irkit.errors import InputError
from irkit.history import add_capture
from irkit.render import text

__all__ = ["KINDS", "Drill", "prepare", "register", "write"]

KINDS = (*SCENARIOS, *BELONGS)


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
        undecided: Whether the evidence can't decide it, so that `inconclusive` is right.
        parts: Verdict and cause of each incident, where there are several at once.
    """

    kind: str
    incident: Path
    verdict: str
    cause: str
    onset: datetime | None
    releases: tuple[str, ...]
    address: str
    interceptor: str = ""
    undecided: bool = False
    parts: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """Verdict and cause, as `mitm / interception-untrusted-ca`."""
        return f"{self.verdict} / {self.cause}" if self.cause else self.verdict

    @property
    def told(self) -> str:
        """How it was built, in a sentence for whoever played it."""
        said = f"built as: {' and '.join(self.parts) or self.expected}"
        return f"{said}; what there is to see does not decide it: inconclusive is right" if self.undecided else said

    def right(self, answer: str) -> bool:
        """Whether a person's answer is right: the verdict, the cause, or both."""
        if self.undecided:
            return answer == "inconclusive"
        return answer in (self.verdict, self.cause, self.expected, *self.parts)


@contextlib.contextmanager
def prepare(kind: str, folder: str | Path, *, seed: int = 0, prometheus: bool = False) -> Iterator[Drill]:
    """Builds a rehearsal in a folder and keeps its servers running until the block ends.

    Args:
        kind: One of KINDS.
        folder: A new or empty folder.
        seed: Of the traffic, and for a cause of the keys too.
        prometheus: Put the metrics into a real Prometheus instead of a file.

    Raises:
        InputError: There is no such kind, the folder is in use, or Prometheus is not installed.
    """
    if kind not in KINDS:
        raise InputError(f"no rehearsal {text(kind, 40)!r}", "it is one of " + ", ".join(KINDS))
    folder = Path(folder)
    _empty(folder)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    scenario = _scenario(kind, end, seed)
    with contextlib.ExitStack() as stack:
        servers = _Servers(scenario, stack)
        write(
            scenario, folder, end, seed=seed, servers=servers, kept=stack if prometheus else None, name=f"DRILL-{kind}"
        )
        yield Drill(
            kind=kind,
            incident=folder / "incident.toml",
            verdict=scenario.verdict,
            cause=scenario.cause,
            onset=scenario.onset,
            releases=scenario.failing,
            address=servers.address(scenario.now),
            interceptor=servers.address(scenario.forged) if scenario.forged else "",
        )


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{text(folder)} is not empty", "give a new folder")
    folder.mkdir(parents=True, exist_ok=True)


def _scenario(kind: str, end: datetime, seed: int) -> Scenario:
    return SCENARIOS[kind](end - WINDOW, end) if kind in SCENARIOS else build(kind, end - WINDOW, end, seed)


class _Servers:
    """The servers of a rehearsal, one for each chain that is presented, started when first asked for."""

    def __init__(self, scenario: Scenario, stack: contextlib.ExitStack) -> None:
        self._scenario, self._stack, self._running = scenario, stack, dict[Credential, Server]()

    def address(self, credential: Credential) -> str:
        """Where that chain is presented; by an interceptor when it is forged."""
        if credential not in self._running:
            forged = credential == self._scenario.forged
            role = Intercepting(credential, self.address(self._scenario.now)) if forged else Presenting(credential)
            self._running[credential] = self._stack.enter_context(serving(role))
        return self._running[credential].address

    def seen(self, credential: Credential) -> Chain:
        """What a client is presented there, captured for real."""
        return capture(self._scenario.host, connect=self.address(credential))


def write(
    scenario: Scenario,
    folder: Path,
    end: datetime,
    *,
    seed: int = 0,
    lacking: Collection[str] = (),
    step: timedelta = STEP,
    servers: _Servers | None = None,
    kept: contextlib.ExitStack | None = None,
    name: str = "DRILL",
    forged: float = 0.0,
    noise: bool = False,
) -> Path:
    """Writes the incident file with all that it names.

    Args:
        scenario: What happened.
        folder: An empty folder.
        end: The window's end, aware, a whole minute.
        seed: Of the traffic.
        lacking: Sources to leave out, of irkit.drill.chance.SOURCES.
        step: Between two samples of the metrics.
        servers: To capture from; without them the chains are in files.
        kept: Keeps a Prometheus with the metrics going; without it they are in a file.
        name: The incident's id.
        forged: The part of the clients' reports that is forged.
        noise: Whether the reports have the faults of real ones.

    Returns:
        The incident file.
    """
    start = end - WINDOW
    chain = servers.seen if servers else _filed
    if "history" not in lacking:
        _remember(chain(scenario.before), scenario.host, folder, scenario.onset or end)
    tables: list[Table] = [("[incident]", {"id": name, "host": scenario.host, "start": start, "end": end})]
    tables += [("[[annotation]]", {"at": at, "what": what}) for at, what in scenario.notes]
    if "metrics" not in lacking:
        tables.append(metrics_table(_metrics(scenario, folder, start, end, seed=seed, step=step, stack=kept)))
    tables += _vantages(scenario, folder, end, servers, lacking)
    if "client chains" not in lacking:
        tables += _observed(scenario, chain, folder)
        if scenario.clients and (servers is None or not scenario.forged):  # else it is known only to what intercepts
            told = ndjson(scenario, seed=seed, forged=forged, noise=noise).encode()
            (folder / "reports.ndjson.gz").write_bytes(gzip.compress(told, mtime=0))
            tables.append(("[reports]", {"files": ["reports.ndjson.gz"]}))
    if "releases" not in lacking:
        tables += _releases(scenario, folder)
    if "inventory" not in lacking:
        write_keys(scenario.keys, folder / "keys.toml", scenario.allowed)
        tables.append(("[inventory]", {"file": "keys.toml"}))
    roots = "".join(root.certificate.pem() for root in (scenario.root, *scenario.others))
    (folder / "rehearsal-root.pem").write_text(roots, encoding="ascii")
    tables += [("[history]", {"folder": "captures"}), ("[trust]", {"roots": ["rehearsal-root.pem"]})]
    incident = folder / "incident.toml"
    incident.write_text("# A rehearsal, on loopback.\n" + to_toml(tables), encoding="utf-8")
    return incident


def _filed(credential: Credential) -> Chain:
    """The chain that a credential presents, without asking a server."""
    ders = [signed.public_bytes(Encoding.DER) for signed in (credential.signed, *credential.above)]
    return Chain(tuple(map(Certificate.from_der, ders)), Obtained("file", "rehearsal"))


def _vantages(
    scenario: Scenario, folder: Path, end: datetime, servers: _Servers | None, lacking: Collection[str]
) -> Iterator[Table]:
    found = scenario.vantages[:1] if "second vantage" in lacking else scenario.vantages
    for number, (name, credential) in enumerate(found, 1):
        table: dict[str, Any] = {"vantage": name}
        if "captures" in lacking:
            table |= {"file": f"vantage-{number}.pem", "at": end}  # which isn't there
        elif credential is None:
            table["connect"] = "127.0.0.1:1"  # nothing listens there
        elif servers:
            table["connect"] = servers.address(credential)
        else:
            table |= {"file": f"vantage-{number}.pem", "at": end}
            (folder / table["file"]).write_text(_filed(credential).pem(), encoding="ascii")
        yield "[[capture]]", table


def _remember(chain: Chain, host: str, folder: Path, before: datetime) -> None:
    """The history that earlier scheduled runs would have left: two days of what was presented until the onset."""
    for hours in (46, 22, 2):
        at = before - timedelta(hours=hours)
        earlier = Chain(chain.certificates, replace(chain.obtained, at=at, host=host, port=443))
        add_capture(folder / "captures", earlier, vantage="office", trusted=True)


def _metrics(
    scenario: Scenario,
    folder: Path,
    start: datetime,
    end: datetime,
    *,
    seed: int,
    step: timedelta,
    stack: contextlib.ExitStack | None,
) -> dict[str, str]:
    """Plays the traffic and says where its metrics are: in a file or, with a stack to keep it on, in a Prometheus."""
    from irkit.drill.prometheus import prometheus

    if stack:
        series = _played(scenario, start, end, seed, step)
        return {"url": stack.enter_context(prometheus(series, folder / "prometheus"))}
    (folder / "failures.json").write_text(_saved(scenario, start, end, seed, step), encoding="utf-8")
    return {"file": "failures.json"}


def _played(scenario: Scenario, start: datetime, end: datetime, seed: int, step: timedelta) -> list[Series]:
    from irkit.drill.traffic import count

    return count(scenario.groups, scenario.host, start=start, end=end, seed=seed, step=step)


@lru_cache(maxsize=1)  # the same day is written again with other sources left out
def _saved(scenario: Scenario, start: datetime, end: datetime, seed: int, step: timedelta) -> str:
    from irkit.drill.traffic import matrix

    return matrix(_played(scenario, start, end, seed, step))


def _observed(scenario: Scenario, chain: Callable[[Credential], Chain], folder: Path) -> Iterator[Table]:
    for number, client in enumerate(scenario.clients, 1):
        saw = client.saw or (scenario.forged if client.intercepted and scenario.forged else scenario.now)
        name = f"clients/phone-{number}.pem"
        (folder / "clients").mkdir(exist_ok=True)
        (folder / name).write_text(chain(saw).pem(), encoding="ascii")
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
        epilog="examples:\n  irkit drill mitm\n  irkit drill rotation --serve --out rehearsal",
    )
    parser.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--random", action="store_true", help="one drawn by lot from all causes, by --seed, from files")
    parser.add_argument("--quiz", action="store_true", help="answer first, then see irkit's evidence")
    parser.add_argument(
        "--out", metavar="DIR", help="a new folder for the incident and its run (default: a temporary one)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the traffic (default: 0)")
    parser.add_argument("--prometheus", action="store_true", help="put the metrics into a real Prometheus")
    parser.add_argument("--serve", action="store_true", help="only keep it going until Ctrl-C: triage it yourself")
    parser.add_argument("--json", action="store_true", help="print result.json instead of the summary")
    parser.set_defaults(handler=_play)


def _play(arguments: argparse.Namespace) -> int:
    """Builds the rehearsal, triages it as any incident, and shows both answers."""
    if bool(arguments.kind) == arguments.random:
        raise InputError("say what to rehearse", "give one kind, as in irkit drill mitm, or --random")
    if arguments.random and (arguments.serve or arguments.prometheus):
        raise InputError("a drawn incident is in files: it has no servers", "leave out --serve and --prometheus")
    folder = Path(arguments.out or tempfile.mkdtemp(prefix="irkit-drill-"))
    if arguments.random:
        playing = _drawn(arguments.seed, folder)
    else:
        playing = prepare(arguments.kind, folder, seed=arguments.seed, prometheus=arguments.prometheus)
    with playing as drill:
        if arguments.serve:
            return _serve(drill)
        from irkit.run import triage

        called = "of a kind yet to be found out" if arguments.quiz else drill.kind
        said = f"rehearsal: {called}, on loopback; incident file {text(drill.incident, 1000)}"
        print(said, file=sys.stderr, flush=True)
        answer = _ask() if arguments.quiz else ""
        outcome = triage(drill.incident, out=folder / "runs")
    if arguments.json:
        print(json.dumps(outcome.result | {"built_as": drill.expected}, indent=1))
    else:
        print(outcome.summary)
        print(f"report: {text(outcome.folder / 'report.html', 1000)}")
        print(drill.told)
        if answer:
            print(f"you said: {text(answer, 80)}, which is {'right' if drill.right(answer) else 'wrong'}")
    if outcome.error is not None:
        raise outcome.error
    return outcome.exit_code


@contextlib.contextmanager
def _drawn(seed: int, folder: Path) -> Iterator[Drill]:
    """An incident drawn by lot, in files."""
    from irkit.drill.chance import draw

    _empty(folder)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    drawn = draw(seed, end)
    made = drawn.scenario
    incident = write(made, folder, end, seed=seed, lacking=drawn.lacking, name=f"DRILL-{seed}", noise=True)
    parts = tuple(f"{part.verdict} / {part.cause}" for part in made.parts)
    undecided = drawn.verdicts == {"inconclusive"}
    yield Drill("random", incident, made.verdict, made.cause, made.onset, made.failing, "", "", undecided, parts)


def _ask() -> str:
    """The person's answer, one line of stdin."""
    print("Look at the files it names. Verdict or cause (as mitm, or leaf-key-rotated): ", end="", flush=True)
    return sys.stdin.readline().strip()


def _serve(drill: Drill) -> int:
    """Keeps the servers running until Ctrl-C or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(f"going on until Ctrl-C; in another terminal:\n  irkit triage {text(drill.incident, 1000)}", flush=True)
    ended.wait()
    print(f"built as: {drill.expected}")
    return 0
