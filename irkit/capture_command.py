"""`irkit capture`: the chain an endpoint presents, on the terminal or for a file."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from typing import Any
from urllib.parse import urlsplit

from irkit.errors import CaptureError, InputError, IrkitError
from irkit.fleet_command import run_many
from irkit.link import Endpoint
from irkit.render import text
from irkit.verify_command import add_trust_options, appraiser

__all__ = ["register"]

_TARGETS = (
    "many hosts instead, one a line: host:port, then if need be address:port to connect to, and starttls=, proxy=, "
    "proxy-auth-env="
)
_EXAMPLES = """examples:
  irkit capture api.example.com
  irkit capture api.example.com --all                              # every A and AAAA address, compared
  irkit capture api.example.com --connect 203.0.113.7:443          # that address, the same name
  irkit capture api.example.com --no-server-name                   # the default certificate
  irkit capture api.example.com --key-type ecdsa                   # of a server that has several keys
  irkit capture api.example.com --roots mozilla --roots corp.pem   # whom to trust, besides or instead
  irkit capture api.example.com --fetch-aia                        # what does the server leave out?
  irkit capture mx.example.com:25 --starttls smtp
  irkit capture api.example.com --proxy socks5h://127.0.0.1:1080 --proxy-auth-env PROXY_LOGIN
  irkit capture api.example.com --client-cert me.pem --client-key me.key
  irkit capture --targets hosts.txt --sweep --out fleet.ndjson     # again after an interruption: it goes on
  ssh probe.example.net irkit capture --json api.example.com > probe.json   # then irkit.load_chain("probe.json")"""


_ARGUMENT = re.compile(
    r"\b(client_cert|connect|server_name|key_type|minimum|maximum|starttls|proxy_auth_env|proxy|max_bytes|max_certificates)"
    r"(?:ificate)?=(?:, --connect)?(?=[\s,.]|$)"
)


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `capture` to a command line; the `handler` of what was parsed returns an exit code."""
    command = commands.add_parser(
        "capture",
        help="show the chain an endpoint presents",
        description="Prints the chain exactly as presented, how it was obtained, and what it is worth: whether it "
        "verifies for the host, its SCTs, its revocation, and whose interception it looks like.\n"
        "irkit.load_chain reads what --json prints.",
        epilog=_EXAMPLES,
    )
    add = command.add_argument
    add("host", nargs="?", default="", help="host, host:port or [v6]:port")
    add("--targets", default="", metavar="FILE", help=_TARGETS)
    add("--out", default="", metavar="FILE", help="with --targets: where to, .ndjson or .parquet")
    add("--retry-failed", action="store_true", help="with --targets: ask those again that --out has without a chain")
    add("--concurrency", type=int, default=32, metavar="N", help="with --targets: hosts asked at a time (default: 32)")
    add("--connect", default=None, metavar="ADDRESS:PORT", help="connect there instead of resolving the host")
    add("--all", action="store_true", help="ask every address in parallel, and say whether they agree")
    name = command.add_mutually_exclusive_group()
    name.add_argument("--server-name", default=None, metavar="NAME", help="SNI to send (default: the host)")
    name.add_argument("--no-server-name", action="store_true", help="send no SNI: the server's default certificate")
    add("--key-type", default="any", metavar="KIND", help="rsa, ecdsa, eddsa or mldsa: of a server with several keys")
    add("--minimum", default="TLSv1", metavar="VERSION", help="lowest protocol offered (default: TLSv1)")
    add("--maximum", default="TLSv1.3", metavar="VERSION", help="highest protocol offered (default: TLSv1.3)")
    add("--alpn", action="append", default=[], metavar="PROTOCOL", help="application protocol to offer; repeatable")
    add("--client-cert", default=None, metavar="FILE", help="PEM certificate to present if the server asks for one")
    add("--client-key", default=None, metavar="FILE", help="its unencrypted PEM key (default: in the same file)")
    add("--proxy", default=None, metavar="URL", help="http://…, socks5://… or socks5h://…, without credentials")
    add("--proxy-auth-env", default=None, metavar="VARIABLE", help="variable that holds the proxy's user:password")
    add("--starttls", default=None, metavar="PROTOCOL", help="smtp, imap, pop3, ftp, xmpp, ldap, postgres or mysql")
    add("--sweep", action="store_true", help="only the short handshake: quicker, easier on the server")
    add("--deadline", type=float, default=10.0, metavar="SECONDS", help="for everything (default: 10)")
    add("--max-bytes", type=int, default=2**22, metavar="N", help="read from one connection (default: 4194304)")
    add("--max-certificates", type=int, default=1000, metavar="N", help="kept of one chain (default: 1000)")
    add("--vantage", default="local", metavar="NAME", help="a name for the place this is run from (default: local)")
    add("--history", default="", metavar="DIR", help="add the capture to this folder, which irkit history shows")
    add("--trusted", action="store_true", help="with --history: the path from here to the server is to be trusted")
    add_trust_options(command)
    form = command.add_mutually_exclusive_group()
    form.add_argument(
        "--json",
        action="store_true",
        help="print JSON, to be read by irkit.load_chain; with --targets what came of them",
    )
    form.add_argument("--pem", action="store_true", help="print PEM")
    command.set_defaults(handler=_run)


def _hint(host: str) -> str:
    """What to give instead; of a URL, its host and port."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(host)
        if parts.scheme in ("http", "https") and parts.hostname:
            return f"give the host of the URL: irkit capture {text(str(Endpoint(parts.hostname, parts.port or 443)))}"
    return "give host, host:port or [v6]:port"


def _run(arguments: argparse.Namespace) -> int:
    try:
        return _captured(arguments)
    except IrkitError as error:
        if arguments.host:  # the library's hints name its arguments; whoever typed a command wants its options
            error.hint = _ARGUMENT.sub(lambda found: "--" + found[1].replace("_", "-"), error.hint)
        raise


def _captured(arguments: argparse.Namespace) -> int:
    if bool(arguments.host) == bool(arguments.targets):
        raise InputError("capture wants a host or --targets, one of them", "irkit capture api.example.com")
    if arguments.targets:
        return run_many(arguments)
    from irkit.capture import capture, capture_all  # late: OpenSSL is slow to load, and --help needs none
    from irkit.chain import Chain

    try:
        endpoint = Endpoint.parse(arguments.host, 443)
    except InputError:
        raise InputError(f"{text(arguments.host)} has no usable port", _hint(arguments.host)) from None
    options = _options(arguments)
    if arguments.trusted and not arguments.history:
        raise InputError("--trusted says something of --history", "name the folder, too")
    appraised = None if arguments.pem else appraiser(arguments)  # what it reads is wrong before anything is asked
    if not arguments.all:
        chain = capture(endpoint.host, endpoint.port, **options)
        _print([chain], arguments, appraised)
        _keep([chain], arguments)
        return 0
    found = capture_all(endpoint.host, endpoint.port, **options)
    chains = [one for one in found if isinstance(one, Chain)]
    failures = [one for one in found if not isinstance(one, Chain)]
    for failure in failures:
        sys.stderr.write(f"irkit: no chain from {text(failure.where)}: {text(failure.reason, 600)}\n")
    if not chains:
        raise CaptureError("no address gave a chain", failures[0].hint)
    _print(chains, arguments, appraised)
    _keep(chains, arguments)
    different = len(set(chains))
    agree = "the same chain" if different == 1 else f"{different} different chains"
    sys.stderr.write(f"irkit: {len(found)} addresses, {len(chains)} with a chain: {agree}\n")
    return 0


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: getattr(arguments, name)
        for name in ("connect", "key_type", "minimum", "maximum", "proxy", "proxy_auth_env", "starttls", "sweep",
                     "deadline", "vantage", "max_bytes", "max_certificates")
    }  # fmt: skip
    options["alpn"] = tuple(arguments.alpn)
    if arguments.no_server_name:
        options["server_name"] = None
    elif arguments.server_name is not None:
        options["server_name"] = arguments.server_name
    if arguments.client_key and not arguments.client_cert:
        raise InputError("a client key without its certificate", "give --client-cert, too")
    if arguments.client_cert:
        options["client_certificate"] = (arguments.client_cert, arguments.client_key or arguments.client_cert)
    return options


def _print(chains: list[Any], arguments: argparse.Namespace, appraised: Any) -> None:
    from irkit.chainjson import chain_to_value

    if appraised is None:
        for chain in dict.fromkeys(chains):
            print(chain.pem(), end="")
    elif arguments.json:
        values = [chain_to_value(chain) | {"trust": appraised(chain, None).to_value()} for chain in chains]
        print(json.dumps(values if arguments.all else values[0], indent=1))
    else:
        told = set[Any]()
        for chain in chains:  # of several addresses, what was said of the same chain and staple is not said again
            same = (chain, chain.obtained.ocsp, chain.obtained.scts)
            worth = ["  worth the same as that chain above"] if same in told else ["", repr(appraised(chain, None))]
            print("\n".join([*([""] if told else []), repr(chain), *_how(chain), *worth]))
            told.add(same)


def _keep(chains: list[Any], arguments: argparse.Namespace) -> None:
    """Adds the captures to the history that was named."""
    if not arguments.history:
        return
    from irkit.history import add_capture

    for chain in chains:
        add_capture(arguments.history, chain, vantage=arguments.vantage, trusted=arguments.trusted)
    sys.stderr.write(f"irkit: added to {text(arguments.history, 1000)}\n")


def _how(chain: Any) -> list[str]:
    """How a chain was obtained, a line each."""
    obtained = chain.obtained
    agreed = (obtained.protocol, obtained.cipher, obtained.signature_scheme, obtained.alpn)
    lines = [
        f"by {obtained.how}: {', '.join(part for part in agreed if part)}",
        f"SNI {obtained.server_name or 'none'}; {obtained.duration:.2f} s; from {obtained.vantage}",
        f"possession of the leaf's key: {obtained.possession}",
    ]
    if obtained.ocsp is not None:
        lines.append(f"a stapled OCSP response of {len(obtained.ocsp)} bytes")
    if obtained.scts is not None:
        lines.append(f"SCTs delivered in the handshake, {len(obtained.scts)} bytes")
    lines += [f"{attempt.how} at {attempt.where} failed: {attempt.reason}" for attempt in obtained.attempts]
    return [f"  {text(line, 600)}" for line in lines]
