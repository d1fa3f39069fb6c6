"""`irkit history`: what is known of an endpoint's past."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from irkit.errors import InputError
from irkit.render import text

__all__ = ["register"]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `history` to a command line."""
    command = commands.add_parser(
        "history",
        help="which chains and keys an endpoint had, and since when",
        description="Says which chains and keys earlier captures saw, first and last, and which changes metrics date "
        "from before: blackbox_exporter's probe_ssl_last_chain_info and probe_ssl_earliest_cert_expiry.",
        epilog="examples:\n  irkit history api.example.com --folder captures\n"
        "  irkit history api.example.com --metrics failures.json --picture history.png",
    )
    add = command.add_argument
    add("host", help="as it was captured; host or host:port")
    add("--folder", default="captures", metavar="DIR", help="that a triage adds its captures to (default: captures)")
    add("--metrics", default=None, metavar="FILE", help="what irkit metrics save wrote, a query_range body, or a dump")
    add("--picture", default="", metavar="FILE", help="draw it, too, into a PNG")
    add("--json", action="store_true", help="print JSON")
    command.set_defaults(handler=_run)


def _run(arguments: argparse.Namespace) -> int:
    from irkit.chronicle import history
    from irkit.files import write_atomically
    from irkit.link import Endpoint

    endpoint = Endpoint.parse(arguments.host, 443)
    found = history(endpoint.host, arguments.folder, port=endpoint.port, metrics=arguments.metrics)
    print(json.dumps(found.to_value(), indent=1) if arguments.json else repr(found))
    if arguments.picture:
        picture = found.picture
        if picture is None:
            raise InputError("there is nothing to draw", "capture the endpoint, or give --metrics")
        write_atomically(Path(arguments.picture), picture.png)
        sys.stderr.write(f"irkit: drawn in {text(arguments.picture, 1000)}\n")
    return 0
