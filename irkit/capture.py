"""Chains from TLS endpoints: exactly the certificates presented, in order, byte for byte. Nothing is verified here."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, TypedDict, Unpack

from irkit import iana, render
from irkit.chain import Attempt, CaptureFailure, Chain
from irkit.errors import CaptureError, InputError
from irkit.hello import KEY_TYPES, Offer
from irkit.link import Endpoint, a_label, resolve
from irkit.loop import ADDRESSES, ask_all
from irkit.proxy import Proxy
from irkit.starttls import check_protocol
from irkit.target import Target
from irkit.visit import SNI, Ask, ways_of

__all__ = ["SNI", "CaptureFailure", "Options", "capture", "capture_all"]

KeyType = Literal["any", "rsa", "ecdsa", "eddsa", "mldsa"]

_VERSIONS = {name: number for number, name in iana.PROTOCOLS.items()}


class Options(TypedDict, total=False):
    """How an endpoint is asked for its chain.

    Attributes:
        server_name: The SNI to send; the host's name unless given. None and addresses send no SNI.
        connect: Where to connect instead of the host: "ip:port", "host:port" or "[v6]:port".
        proxy: `http://host:port` (CONNECT), `socks5://host:port`, or `socks5h://host:port`; CONNECT and socks5h leave
            resolving the name to the proxy.
        proxy_auth_env: Name of the environment variable that holds `user:password` for the proxy.
        starttls: Speak this protocol first: smtp, imap, pop3, ftp, xmpp, ldap, postgres or mysql.
        deadline: Seconds for everything: names, connecting, every address and every way tried; 10.
        vantage: A name for the place this is run from; `local` unless given.
        key_type: `rsa`, `ecdsa`, `eddsa` or `mldsa` (TLS 1.3 only) offers signatures of that kind of key only, in the
            short handshake: a server with several shows that chain.
        client_certificate: Paths of a PEM certificate (chain) and its key, presented if the server asks.
        minimum: Lowest protocol offered: TLSv1 (unless given), TLSv1.1, TLSv1.2 or TLSv1.3.
        maximum: Highest protocol offered; TLSv1.3 unless given.
        alpn: Application protocols to offer, as ("h2", "http/1.1").
        sweep: Only the short handshake: quicker, easier on the server.
        max_bytes: The most bytes read from one connection; 4 MiB.
        max_certificates: The most certificates kept; 1,000.
    """

    server_name: str | SNI | None
    connect: str | None
    proxy: str | None
    proxy_auth_env: str | None
    starttls: str | None
    deadline: float
    vantage: str
    key_type: KeyType
    client_certificate: tuple[str, str] | None
    minimum: str
    maximum: str
    alpn: tuple[str, ...]
    sweep: bool
    max_bytes: int
    max_certificates: int


def capture(host: str, port: int = 443, **options: Unpack[Options]) -> Chain:
    """Captures the chain that an endpoint presents, from the first of its addresses that gives one.

    Args:
        host: Name or address of the endpoint.
        port: TCP port.
        options: As `Options` says, each by its name.

    Raises:
        CaptureError: No address gave a chain; the hint says what to try.
        InputError: An argument can't be used.
    """
    target, ask, deadline = _check(host, port, **options)
    ((_, found),) = ask_all([target], ask, concurrency=1, deadline=deadline)
    if isinstance(found, Chain):
        return found
    several = len({attempt.where for attempt in found.attempts}) > 1
    reason = found.reason if several else f"{found.where}: {found.reason}"
    raise CaptureError(f"no chain from {render.text(reason, 600)}", found.hint)


def capture_all(host: str, port: int = 443, **options: Unpack[Options]) -> tuple[Chain | CaptureFailure, ...]:
    """Captures from every A and AAAA address of the host (or of `connect`), in parallel.

    Args: as `capture`.

    Returns:
        One entry for each address, in the resolver's order: a chain, or why there is none; addresses after the 64th are
        not asked, which is theirs. A name that does not resolve is one failure.

    Raises:
        InputError: An argument can't be used.
    """
    target, ask, deadline = _check(host, port, **options)
    at = datetime.now(UTC)
    where, place = str(target.endpoint), Endpoint.parse(target.connect or str(target.endpoint), port)
    addresses: tuple[str, ...] = (place.host,)
    if not target.proxy or not Proxy.parse(target.proxy).resolves:
        try:
            addresses = resolve(place, time.monotonic() + deadline)
        except CaptureError as error:
            attempt = Attempt(where, "resolve", error.message)
            return (CaptureFailure(where, error.message, (attempt,), at, error.hint, ask.vantage),)
    targets = [replace(target, connect=str(Endpoint(address, place.port))) for address in addresses]
    found = dict(ask_all(targets[:ADDRESSES], ask, concurrency=ADDRESSES, deadline=deadline))
    why = f"not asked: of the {len(targets)} addresses, the first {ADDRESSES} are"
    hint = "name an address: connect=, --connect"
    left = (CaptureFailure(f"{where} at {one.connect}", why, (), at, hint, ask.vantage) for one in targets[ADDRESSES:])
    return (*(found[one] for one in targets[:ADDRESSES]), *left)


def _check(
    host: str,
    port: int,
    *,
    server_name: str | SNI | None = SNI.HOST,
    connect: str | None = None,
    proxy: str | None = None,
    proxy_auth_env: str | None = None,
    starttls: str | None = None,
    deadline: float = 10.0,
    vantage: str = "local",
    key_type: KeyType = "any",
    client_certificate: tuple[str, str] | None = None,
    minimum: str = "TLSv1",
    maximum: str = "TLSv1.3",
    alpn: tuple[str, ...] = (),
    sweep: bool = False,
    max_bytes: int = 2**22,
    max_certificates: int = 1000,
) -> tuple[Target, Ask, float]:
    """The options checked: whom to ask, what, and the seconds for it."""
    target = _check_target(Target(host, port, connect or "", starttls or "", proxy or "", proxy_auth_env or ""))
    if max_bytes < 1 or max_certificates < 1:
        raise InputError("a limit below 1", "leave max_bytes= and max_certificates= out, or give more")
    if not all(protocol.isascii() and 0 < len(protocol) < 256 for protocol in alpn):
        raise InputError(f"not application protocols: {render.text(alpn, 100)}", 'give names as ("h2", "http/1.1")')
    if not 0 < deadline < 86400:
        raise InputError(f"a deadline of {deadline} seconds", "give seconds, more than 0 and less than a day")
    if key_type not in KEY_TYPES:
        raise InputError(f"no key type {render.text(key_type, 40)}", f"use one of {', '.join(KEY_TYPES)}")
    for version in (minimum, maximum):
        if version not in _VERSIONS:
            raise InputError(f"no protocol {render.text(version, 40)}", f"use one of {', '.join(_VERSIONS)}")
    if _VERSIONS[minimum] > _VERSIONS[maximum]:
        raise InputError(f"minimum {minimum} is above maximum {maximum}", "swap them")
    if key_type == "mldsa":
        if maximum != "TLSv1.3":
            raise InputError("ML-DSA needs TLS 1.3", "leave maximum= out")
        minimum = maximum
    ask = Ask(
        ways_of(Offer(None, _VERSIONS[minimum], _VERSIONS[maximum], key_type, alpn), short=sweep or key_type != "any"),
        server_name=_name_to_send(target.endpoint, server_name),
        vantage=vantage,
        client=client_certificate,
        max_bytes=max_bytes,
        max_certificates=max_certificates,
    )
    return target, ask, deadline


def _check_target(target: Target) -> Target:
    host, port = target.host, target.port
    if not 0 < port < 65536 or not host:
        raise InputError(f"not an endpoint: {render.text(host, 100)} port {port}", "give a host and a port")
    host = host.removeprefix("[").removesuffix("]") if ":" in host else host
    if set(host) & set("/:@") and not Endpoint(host, port).is_address:
        raise InputError(f"not a host: {render.text(host, 100)}", 'give host and port apart: "api.example.com", 8443')
    if target.proxy:
        Proxy.parse(target.proxy, target.proxy_auth_env)
    if target.starttls:
        check_protocol(target.starttls)
    connect = str(Endpoint.parse(target.connect, port)) if target.connect else ""
    return replace(target, host=host, connect=connect)


def _name_to_send(host: Endpoint, server_name: str | SNI | None) -> str | None:
    """The SNI; an address is none, and there is no dot at its end (RFC 6066, section 3)."""
    if not host.is_address:
        a_label(host.host)  # the resolver would say less of a name that is none
    name = host.host if server_name is SNI.HOST else server_name
    if not isinstance(name, str) or Endpoint(name, host.port).is_address:
        return None
    return a_label(name.rstrip("."))
