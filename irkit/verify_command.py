"""`irkit verify`, and the questions about trust that `irkit capture` answers, too."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from irkit.errors import InputError
from irkit.files import read_file
from irkit.render import text

if TYPE_CHECKING:
    from irkit.appraisal import Appraisal
    from irkit.chain import Chain

__all__ = ["ROOTS", "add_trust_options", "appraiser", "register"]

ROOTS = "roots: mozilla (the default), a file or folder of PEM or DER, a Java keystore; repeatable"
_LIMIT = 2**26  # bytes of a CRL


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `verify` to a command line."""
    command = commands.add_parser(
        "verify",
        help="does a chain from a file verify, and if not, why?",
        description="Says of a chain, such as one that a failing client saw, whether it verifies for a host, at a "
        "time, to roots; whether its SCTs are by the logs; whether it is revoked; whose interception it looks like.\n"
        "Exit code 0 where it verifies, 1 where it doesn't.",
        epilog="examples:\n  irkit verify phone.pem --host api.example.com\n"
        "  irkit verify probe.json --at 2026-11-23T09:10:00Z --roots mozilla --roots corp-root.pem",
    )
    command.add_argument("chain", help="a file or folder, as irkit.load_chain reads it")
    command.add_argument(
        "--host", default=None, metavar="NAME", help="whom it is to be for (default: as the file says)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    add_trust_options(command)
    command.set_defaults(handler=_run)


def add_trust_options(command: argparse.ArgumentParser) -> None:
    """Adds what `appraiser` reads."""
    group = command.add_argument_group("trust")
    add = group.add_argument
    add("--roots", action="append", default=[], metavar="FILE",
        help=ROOTS)  # fmt: skip
    add(
        "--at",
        default="",
        metavar="TIME",
        help="when it is to verify, as 2026-11-23T09:10:00Z (default: the capture's)",
    )
    add("--crl", action="append", default=[], metavar="FILE", help="a CRL of the leaf's issuer; repeatable")
    add("--ct-logs", default="", metavar="FILE", help="a log_list.json (default: the one that ships, of 2026-08-29)")
    add("--inventory", default="", metavar="FILE", help="keys.toml, whose [[inspection]] entries are allowed")
    add("--fetch-aia", action="store_true",
        help="fetch issuers that the server left out from where the chain says (HTTP, public addresses)")  # fmt: skip
    add("--allow-private-aia", action="store_true", help="with --fetch-aia: on private networks, too")


def appraiser(arguments: argparse.Namespace) -> Callable[[Chain, str | None], Appraisal]:
    """What appraises chains as the options of a call say; it has read their files.

    Raises:
        InputError: A file can't be used, or the time.
    """
    from irkit.aia import fetch_issuers
    from irkit.appraisal import appraise
    from irkit.pins.keys import load_inventory
    from irkit.transparency import load_logs
    from irkit.truststore import load_roots

    if arguments.allow_private_aia and not arguments.fetch_aia:
        raise InputError("--allow-private-aia fetches nothing by itself", "give --fetch-aia, too")
    trust = load_roots(arguments.roots or ["mozilla"])
    at = _time(arguments.at) if arguments.at else None
    crls = [read_file(name, "name a CRL, DER or PEM", limit=_LIMIT) for name in arguments.crl]
    logs = load_logs(arguments.ct_logs or None)
    inventory = load_inventory(arguments.inventory) if arguments.inventory else None

    def appraised(chain: Chain, host: str | None) -> Appraisal:
        private = arguments.allow_private_aia
        fetched = fetch_issuers(chain, trust, allow_private=private) if arguments.fetch_aia else ()
        return appraise(
            chain, host, trust=trust, at=at, crls=crls, logs=logs, inventory=inventory, fetched=fetched
        )  # fmt: skip

    return appraised


def _time(value: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise InputError(f"not a time: {text(value, 60)}", "write 2026-11-23T09:10:00Z") from None
    if at.tzinfo is None:
        raise InputError(f"the time {text(value, 60)} has no zone", "write 2026-11-23T09:10:00Z for UTC")
    return at.astimezone(UTC)


def _run(arguments: argparse.Namespace) -> int:
    from irkit.chainfile import load_chain
    from irkit.incident import usable_host

    if arguments.host:
        arguments.host = usable_host(arguments.host, "--host")
    chain = load_chain(arguments.chain, host=arguments.host or "")
    found = appraiser(arguments)(chain, arguments.host)
    if arguments.json:
        print(json.dumps(found.to_value(), indent=1))
    else:
        print(f"{chain!r}\n\n{found!r}")
    return 0 if found.verification.ok else 1
