"""`irkit capture`: the chain an endpoint presents, on the terminal or for a file."""

from __future__ import annotations

import argparse

from irkit.errors import InputError
from irkit.render import text

__all__ = ["register"]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `capture` to a command line; the `handler` of what was parsed returns an exit code."""
    command = commands.add_parser(
        "capture",
        help="show the chain an endpoint presents",
        description="Prints the chain exactly as presented, unverified. irkit.load_chain reads what --json prints.",
        epilog="examples:\n  irkit capture api.example.com\n"
        "  ssh probe.example.net irkit capture --json api.example.com > probe.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("host", help="host, or host:port")
    command.add_argument("--connect", default=None, metavar="ADDRESS:PORT", help="connect there instead of resolving")
    command.add_argument("--server-name", default=None, metavar="NAME", help="SNI to send (default: the host)")
    command.add_argument("--proxy", default=None, metavar="URL", help="http://… or socks5h://…")
    command.add_argument("--starttls", default=None, metavar="PROTOCOL", help="smtp, imap, pop3, ftp, xmpp, ldap, …")
    command.add_argument("--deadline", type=float, default=10.0, metavar="SECONDS", help="default: 10")
    command.add_argument("--json", action="store_true", help="print JSON, to be read by irkit.load_chain")
    command.add_argument("--pem", action="store_true", help="print PEM")
    command.set_defaults(handler=_run_capture)


def _run_capture(arguments: argparse.Namespace) -> int:
    from irkit.capture import capture  # late: OpenSSL is slow to load, and --help needs none
    from irkit.chainfile import chain_to_json

    host, _, port = arguments.host.rpartition(":") if arguments.host.count(":") == 1 else (arguments.host, "", "443")
    if not port.isdigit():
        raise InputError(f"{text(arguments.host)} has no usable port", "give host or host:port")
    name = {} if arguments.server_name is None else {"server_name": arguments.server_name}
    chain = capture(
        host, int(port), connect=arguments.connect, proxy=arguments.proxy, starttls=arguments.starttls,
        deadline=arguments.deadline, **name,
    )  # fmt: skip
    print(chain_to_json(chain) if arguments.json else chain.pem() if arguments.pem else repr(chain))
    return 0
