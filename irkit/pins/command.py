"""`irkit pins`, `irkit pins check` and `irkit pins new-backup`."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irkit.certificate import Certificate, Pin
from irkit.chain import Chain
from irkit.errors import InputError
from irkit.pins.check import check_pins
from irkit.pins.keys import load_inventory
from irkit.pins.load import load_release
from irkit.pins.release import PLATFORMS, PinFinding, Release
from irkit.pins.suffix import is_suffix, no_registry
from irkit.pins.write import SYNTAXES, new_backup, pins_as
from irkit.render import text, text_table

__all__ = ["register"]

# What ends so is no host: these are no top-level domains.
_SUFFIXES = frozenset(
    (
        ".aab", ".apk", ".cer", ".crt", ".der", ".dex", ".ipa", ".java", ".js", ".json", ".kt", ".kts", ".m", ".p7b",
        ".pem", ".pins", ".plist", ".swift", ".toml", ".txt", ".xml",
    )
)  # fmt: skip
_COMMANDS = ("show", "check", "new-backup")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `pins` to a command line; each handler is the `handler` of what was parsed and returns an exit code."""
    pins = subparsers.add_parser(
        "pins",
        help="read, check and make pins",
        description="`irkit pins FILE|HOST` prints pins in every platform's syntax; `check` says what will hurt; "
        "`new-backup` makes a backup key.",
        epilog="examples:\n  irkit pins api.example.com --backup sha256/…\n"
        "  irkit pins check network_security_config.xml",
    )
    commands = pins.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parse = pins.parse_known_args

    def with_show(args: Any = None, namespace: Any = None) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        bare = given and given[0] not in (*_COMMANDS, "-h", "--help")
        return parse(["show", *given] if bare else given, namespace)

    # `irkit pins FILE|HOST` has no word of its own.
    pins.parse_known_args = with_show  # type: ignore[method-assign]  # argparse has no default subcommand

    show = commands.add_parser(
        "show",
        help="print pins in every platform's syntax (may be left out)",
        description="Prints the pins of a chain, of a file with pins or of a host, with a backup pin, as each platform "
        "writes them. What a platform would refuse is not printed. The chain's own pins go to stderr.",
        epilog="example:\n  irkit pins show api.example.com --backup sha256/… --syntax android",
    )
    checking = commands.add_parser(
        "check",
        help="say what will hurt in files with pins",
        description="Reads what releases of one app ship and says what will hurt: malformed and missing pins, no "
        "backup, expiry, hosts, spelling, platforms that disagree. Exits with 1 where something is an error.",
        epilog="example:\n  irkit pins check network_security_config.xml Info.plist --host api.example.com",
    )
    backup = commands.add_parser(
        "new-backup",
        help="make a backup key, encrypted, and print its pin",
        description="Makes a key, writes it encrypted with a passphrase that is asked for, and prints its pin.",
        epilog="example:\n  irkit pins new-backup backup.key",
    )
    _show_options(show)
    _check_options(checking)
    _backup_options(backup)


def _show_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="FILE|HOST", help="a chain, a file with pins, or a host[:port] to connect to")
    parser.add_argument("--backup", metavar="PIN|FILE", help="a pin, or PEM of a certificate or public key")
    parser.add_argument("--syntax", choices=SYNTAXES, action="append", help="may be repeated; default: all")
    parser.add_argument("--host", help="the host that the pins are for; default: the HOST given")
    parser.add_argument("--scope", choices=("leaf", "ca"), default="leaf", help="pin the leaf or what is above it")
    parser.add_argument("--subdomains", action="store_true", help="pin subdomains too")
    parser.add_argument("--expires", metavar="DATE", help="yyyy-mm-dd, for Android and TrustKit")
    parser.add_argument("--platform", choices=PLATFORMS, help="whose rules read FILE")
    parser.add_argument("--json", action="store_true", help="print JSON: from each syntax to its text")
    parser.set_defaults(handler=_show)


def _check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="what releases of one app ship")
    parser.add_argument("--host", help="the host that they are meant to pin")
    parser.add_argument("--inventory", metavar="KEYS.TOML", help="the owner's keys")
    parser.add_argument("--platform", choices=PLATFORMS, help="whose rules read the files")
    parser.add_argument("--library", default="", help='as "okhttp 3.12.0", where the rules depend on it')
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=_check)


def _backup_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the new file for the encrypted key")
    parser.add_argument("--kind", choices=("ec", "rsa", "ed25519"), default="ec", help="default: ec, P-256")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--passphrase-env", metavar="NAME", help="the environment variable that holds the passphrase")
    source.add_argument("--passphrase-file", metavar="FILE", help="the file whose first line is the passphrase")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=_new_backup)


def _show(arguments: argparse.Namespace) -> int:
    source, host = _source(arguments)
    if isinstance(source, Chain):
        rows = [(i, c.subject or "unreadable", c.pin or "none") for i, c in enumerate(source)]
        print(text_table(("", "subject", "pin"), rows), file=sys.stderr)
    pins: Chain | Sequence[Pin] = source.pins if isinstance(source, Release) else source
    backup = None if arguments.backup is None else _backup(arguments.backup)
    if isinstance(pins, tuple) and backup is not None:
        pins = [pin for pin in pins if pin != backup]
    chosen = arguments.syntax or [name for name in SYNTAXES if _possible(name, host, arguments)]
    shown = {
        syntax: pins_as(
            pins, host=host, backup=backup, syntax=syntax, scope=arguments.scope, subdomains=arguments.subdomains,
            expires=arguments.expires,
        )
        for syntax in chosen
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(shown, indent=1))
    elif len(shown) == 1:
        print(shown[chosen[0]], end="")
    else:
        print("\n".join(f"== {syntax}\n{lines}" for syntax, lines in shown.items()), end="")
    return 0


def _possible(syntax: str, host: str, arguments: argparse.Namespace) -> bool:
    """Whether a syntax can say what is asked; it is left out of "all" where not."""
    if syntax == "trustkit-ios":
        return not no_registry(host) and not (arguments.subdomains and is_suffix(host))
    return not (syntax == "ios" and arguments.expires) and not (syntax == "curl" and arguments.scope == "ca")


def _source(arguments: argparse.Namespace) -> tuple[Chain | Release, str]:
    """The chain or release that FILE|HOST names, and the host."""
    path = Path(arguments.what)
    if not path.exists():
        if "/" in arguments.what or path.suffix.lower() in _SUFFIXES:
            raise InputError(f"there is no file {text(arguments.what)}", "give a file, or a host with its port")
        from irkit.capture import capture
        from irkit.link import Endpoint

        endpoint = Endpoint.parse(arguments.what, 443)
        return capture(endpoint.host, endpoint.port), arguments.host or endpoint.host
    host = arguments.host or ""
    try:
        from irkit.chainfile import load_chain

        source: Chain | Release = load_chain(path)
    except InputError:
        source = load_release(path, platform=arguments.platform)
    if not host and isinstance(source, Release):
        named = {rule.pattern for rule in source.rules if rule.pins}
        host = named.pop() if len(named) == 1 else ""
    if not host:
        raise InputError(f"{text(arguments.what)} does not say which host the pins are for", "give it with --host")
    return source, host


def _backup(value: str) -> Pin:
    """A pin from its text, or from PEM of a certificate or a public key."""
    path = Path(value)
    if not path.is_file():
        return Pin.parse(value)
    from cryptography.hazmat.primitives import serialization

    pem = path.read_bytes()[: 1 << 20]
    try:
        if b"CERTIFICATE" in pem:
            pin = Certificate.from_pem(pem.decode("ascii", "replace")).pin
            if pin is not None:
                return pin
        key = serialization.load_pem_public_key(pem)
        der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return Pin.of(key.public_bytes(der, spki))
    except (ValueError, TypeError):
        raise InputError(
            f"{text(value)} holds no certificate and no public key", "give the pin that new-backup printed"
        ) from None


def _check(arguments: argparse.Namespace) -> int:
    releases = [load_release(file, platform=arguments.platform, library=arguments.library) for file in arguments.files]
    inventory = load_inventory(arguments.inventory) if arguments.inventory else None
    found = check_pins(releases, host=arguments.host, now=datetime.now(UTC), inventory=inventory)
    if arguments.json:
        print(json.dumps(_document(releases, found), indent=1))
    else:
        for release in releases:
            hosts = sum(bool(rule.pins) for rule in release.rules)
            print(
                f"{text(release.source)}: {release.format}, {release.platform}, {hosts} hosts, {len(release.pins)} pins"
            )
        for item in found:
            where = f"{text(item.where, 400)}: " if item.where else ""
            print(f"{item.severity:7}  {where}{text(item.says, 600)} [{item.id}]")
    return 1 if any(item.severity == "error" for item in found) else 0


def _document(releases: Sequence[Release], found: Sequence[PinFinding]) -> dict[str, Any]:
    return {
        "schema": "irkit.pins/1",
        "files": [
            {
                "file": release.source,
                "format": release.format,
                "platform": release.platform,
                "rejected": release.rejected,
                "pins": [str(pin) for pin in release.pins],
                "hosts": [rule.pattern for rule in release.rules],
            }
            for release in releases
        ],
        "findings": [asdict(item) for item in found],
    }


def _new_backup(arguments: argparse.Namespace) -> int:
    pin = new_backup(arguments.file, kind=arguments.kind, passphrase=_passphrase(arguments))
    print(json.dumps({"file": arguments.file, "pin": str(pin)}) if arguments.json else pin)
    print(f"{text(arguments.file)}: keep it offline, and its passphrase elsewhere.", file=sys.stderr)
    if arguments.kind == "ed25519":
        print("No public CA certifies Ed25519 keys yet, and TrustKit can't pin them.", file=sys.stderr)
    return 0


def _passphrase(arguments: argparse.Namespace) -> str:
    """From an environment variable, a file or the terminal; never from the command line, where `ps` shows it."""
    if arguments.passphrase_env:
        value = os.environ.get(arguments.passphrase_env)
        if value is None:
            raise InputError(f"the environment has no {text(arguments.passphrase_env, 60)}", "export it first")
        return value
    if arguments.passphrase_file:
        try:
            with Path(arguments.passphrase_file).open(encoding="utf-8") as file:
                return file.readline(4096).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"can't read {text(arguments.passphrase_file)}: {text(error, 120)}", "name a file"
            ) from None
    if not sys.stdin.isatty():
        raise InputError("there is no terminal to ask for a passphrase", "give --passphrase-env or --passphrase-file")
    first = getpass.getpass("Passphrase for the backup key: ")
    if first != getpass.getpass("Once more: "):
        raise InputError("the two differ", "try again")
    return first
