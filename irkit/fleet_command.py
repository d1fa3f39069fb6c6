"""`irkit capture --targets`: many endpoints into one file, with a progress bar; and `irkit survey`, what is in it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from irkit.errors import InputError
from irkit.proxy import Proxy
from irkit.render import text
from irkit.starttls import check_protocol
from irkit.verify_command import ROOTS

if TYPE_CHECKING:
    from irkit.fleetfile import Tally
    from irkit.target import Target

__all__ = ["register", "run_many"]

# What is asked of one host only, with its default.
_SINGLE: dict[str, Any] = {
    "connect": None, "all": False, "server_name": None, "no_server_name": False, "key_type": "any",
    "minimum": "TLSv1", "maximum": "TLSv1.3", "alpn": [], "client_cert": None, "client_key": None,
    "pem": False, "max_bytes": 2**22, "max_certificates": 1000,
    "roots": [], "at": "", "crl": [], "ct_logs": "", "inventory": "", "fetch_aia": False, "allow_private_aia": False,
}  # fmt: skip


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `survey` to a command line."""
    command = commands.add_parser(
        "survey",
        help="sum up the captures of many endpoints",
        description="Says of what `irkit capture --targets` wrote which endpoints differ between vantages, don't "
        "verify, share a key, gave no chain, and expire first. notebooks/fleet.ipynb shows it, too.",
        epilog="examples:\n  irkit survey fleet.ndjson\n  irkit survey eu.ndjson ap.ndjson --roots corp-root.pem",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help=".ndjson or .parquet; of each vantage one, or one")
    command.add_argument("--roots", action="append", default=[], metavar="FILE", help=ROOTS)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(handler=_survey)


def _survey(arguments: argparse.Namespace) -> int:
    from irkit.fleetfile import load_captures
    from irkit.survey import survey
    from irkit.truststore import load_roots

    roots = load_roots(arguments.roots or ["mozilla"])
    found = survey((one for file in arguments.files for one in load_captures(file)), trust=roots)
    print(json.dumps(found.to_value(), indent=1) if arguments.json else repr(found))
    return 0


def run_many(arguments: argparse.Namespace) -> int:
    """Captures from the endpoints of `--targets` into `--out`; gives the exit code."""
    from irkit.fleetfile import keep_captures
    from irkit.target import read_targets

    if wrong := [name for name, default in _SINGLE.items() if getattr(arguments, name) != default]:
        raise InputError(f"--{wrong[0].replace('_', '-')} is for one host, not for --targets", "leave it out")
    if not arguments.out:
        raise InputError("--targets needs --out", "irkit capture --targets hosts.txt --out fleet.ndjson")
    targets = [_through(target, arguments) for target in read_targets(arguments.targets)]
    tally = keep_captures(
        targets, arguments.out, sweep=arguments.sweep, concurrency=arguments.concurrency,
        deadline=arguments.deadline, retry_failed=arguments.retry_failed,
        vantage=None if arguments.vantage == "local" else arguments.vantage, progress=_Progress(len(targets)),
    )  # fmt: skip
    if arguments.json:
        print(json.dumps({"out": arguments.out, **tally._asdict()}, indent=1))
        return 0
    before = f", {tally.before} were there before" if tally.before else ""
    print(f"{tally.chains} chains captured, {tally.different} different in all, {tally.failures} failures{before}")
    print(f"in {text(arguments.out, 1000)}; irkit survey {text(arguments.out, 1000)} sums it up")
    return 0


def _through(target: Target, arguments: argparse.Namespace) -> Target:
    """A target with what the call says of all, where its line says nothing else."""
    if arguments.starttls:
        check_protocol(arguments.starttls)
    if arguments.proxy:
        Proxy.parse(arguments.proxy, arguments.proxy_auth_env or "")
    return replace(
        target,
        starttls=target.starttls or arguments.starttls or "",
        proxy=target.proxy or arguments.proxy or "",
        proxy_auth_env=target.proxy_auth_env or ("" if target.proxy else arguments.proxy_auth_env or ""),
    )


class _Progress:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, total: int) -> None:
        self._total, self._said = total, time.monotonic()
        self._live = sys.stderr.isatty()

    def __call__(self, tally: Tally) -> None:
        done, now = tally.before + tally.chains + tally.failures, time.monotonic()
        if now - self._said < (0.1 if self._live else 10) and done < self._total:
            return
        self._said = now
        filled = 30 * done // self._total
        bar = f"{'#' * filled}{'.' * (30 - filled)} {done}/{self._total}, {tally.failures} failures"
        sys.stderr.write(f"\r{bar}{chr(10) if done == self._total else ''}" if self._live else f"{bar}\n")
        sys.stderr.flush()
