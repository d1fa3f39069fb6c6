"""Chains from TLS endpoints: exactly the certificates presented, in order, byte for byte. Nothing is verified here."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Literal

from irkit import iana, render
from irkit.chain import Attempt, CaptureFailure, Chain
from irkit.errors import CaptureError, InputError
from irkit.hello import KEY_TYPES, Offer
from irkit.link import Endpoint, Link, a_label, dial, resolve
from irkit.proxy import Proxy
from irkit.starttls import check_protocol, start_tls
from irkit.visit import Ask, Visit, after, ways_of

__all__ = ["SNI", "CaptureFailure", "capture", "capture_all"]

KeyType = Literal["any", "rsa", "ecdsa", "eddsa", "mldsa"]

_VERSIONS = {name: number for number, name in iana.PROTOCOLS.items()}
_WORKERS = 32
_ADDRESSES = 64  # the most addresses of one name that are asked


class SNI(Enum):
    """The default of server_name=: send the host's name. None sends no SNI."""

    HOST = "host"


@dataclass(frozen=True, slots=True)
class _Call:
    """One call's arguments, checked."""

    host: Endpoint
    name: str | None
    ask: Ask
    proxy: Proxy | None
    deadline: float


def capture(
    host: str,
    port: int = 443,
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
) -> Chain:
    """Captures the chain that an endpoint presents, from the first of its addresses that gives one.

    Args:
        host: Name or address of the endpoint.
        port: TCP port.
        server_name: The SNI to send; the host's name unless given. None and addresses send no SNI.
        connect: Where to connect instead of the host: "ip:port", "host:port" or "[v6]:port".
        proxy: `http://host:port` (CONNECT), `socks5://host:port`, or `socks5h://host:port`; CONNECT and socks5h leave
            resolving the name to the proxy.
        proxy_auth_env: Name of the environment variable that holds `user:password` for the proxy.
        starttls: Speak this protocol first: smtp, imap, pop3, ftp, xmpp, ldap, postgres or mysql.
        deadline: Seconds for everything: names, connecting, every address and every way tried.
        vantage: A name for the place this is run from.
        key_type: `rsa`, `ecdsa`, `eddsa` or `mldsa` (TLS 1.3 only) offers signatures of that kind of key only, in the
            short handshake: a server with several shows that chain.
        client_certificate: Paths of a PEM certificate (chain) and its key, presented if the server asks.
        minimum: Lowest protocol offered: TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3.
        maximum: Highest protocol offered.
        alpn: Application protocols to offer, as ("h2", "http/1.1").
        sweep: Only the short handshake: quicker, easier on the server.
        max_bytes: The most bytes read from one connection.
        max_certificates: The most certificates kept.

    Raises:
        CaptureError: No address gave a chain; the hint says what to try.
        InputError: An argument can't be used.
    """
    call = _check(
        host, port, server_name=server_name, proxy=proxy, proxy_auth_env=proxy_auth_env, starttls=starttls,
        deadline=deadline, vantage=vantage, key_type=key_type, client=client_certificate, minimum=minimum,
        maximum=maximum, alpn=alpn, sweep=sweep, max_bytes=max_bytes, max_certificates=max_certificates,
    )  # fmt: skip
    targets = _targets(call, connect)[:_ADDRESSES]
    failures: list[CaptureFailure] = []
    for number, target in enumerate(targets):
        share = (call.deadline - time.monotonic()) / (len(targets) - number)
        found = _visit(call, target, time.monotonic() + share)
        if isinstance(found, Chain):
            return after(failures, found)
        failures.append(found)
    reasons = "; ".join(dict.fromkeys(f"{failure.where}: {failure.reason}" for failure in failures))
    raise CaptureError(f"no chain from {render.text(reasons, 600)}", failures[0].hint)


def capture_all(
    host: str,
    port: int = 443,
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
) -> tuple[Chain | CaptureFailure, ...]:
    """Captures from every A and AAAA address of the host (or of `connect`), in parallel.

    Args: as `capture`.

    Returns:
        One entry for each address, in the resolver's order: a chain, or why there is none; addresses after the 64th are
        not asked, which is theirs. A name that does not resolve is one failure.

    Raises:
        InputError: An argument can't be used.
    """
    call = _check(
        host, port, server_name=server_name, proxy=proxy, proxy_auth_env=proxy_auth_env, starttls=starttls,
        deadline=deadline, vantage=vantage, key_type=key_type, client=client_certificate, minimum=minimum,
        maximum=maximum, alpn=alpn, sweep=sweep, max_bytes=max_bytes, max_certificates=max_certificates,
    )  # fmt: skip
    at = datetime.now(UTC)
    try:
        targets = _targets(call, connect)
    except CaptureError as error:
        attempt = Attempt(str(call.host), "resolve", error.message)
        return (CaptureFailure(str(call.host), error.message, (attempt,), at, error.hint, vantage),)
    asked, left = targets[:_ADDRESSES], targets[_ADDRESSES:]
    with ThreadPoolExecutor(min(_WORKERS, len(asked))) as pool:
        found = tuple(pool.map(lambda target: _visit(call, target, call.deadline), asked))
    why = f"not asked: of the {len(targets)} addresses, the first {_ADDRESSES} are"
    hint = "name an address with connect="
    return found + tuple(CaptureFailure(f"{call.host} at {target}", why, (), at, hint, vantage) for target in left)


def _check(
    host: str,
    port: int,
    *,
    server_name: str | SNI | None,
    proxy: str | None,
    proxy_auth_env: str | None,
    starttls: str | None,
    deadline: float,
    vantage: str,
    key_type: KeyType,
    client: tuple[str, str] | None,
    minimum: str,
    maximum: str,
    alpn: tuple[str, ...],
    sweep: bool,
    max_bytes: int,
    max_certificates: int,
) -> _Call:
    """Checks the arguments."""
    if not 0 < port < 65536 or not host:
        raise InputError(f"not an endpoint: {render.text(host, 100)} port {port}", "give a host and a port")
    endpoint = Endpoint(host.removeprefix("[").removesuffix("]") if ":" in host else host, port)
    if set(host) & set("/:@") and not endpoint.is_address:
        raise InputError(f"not a host: {render.text(host, 100)}", 'give host and port apart: "api.example.com", 8443')
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
    reached = Proxy.parse(proxy, proxy_auth_env or "") if proxy else None
    ask = Ask(
        ways_of(Offer(None, _VERSIONS[minimum], _VERSIONS[maximum], key_type, alpn), short=sweep or key_type != "any"),
        vantage=vantage,
        proxy=str(reached or ""),
        starttls=check_protocol(starttls) if starttls else "",
        client=client,
        max_bytes=max_bytes,
        max_certificates=max_certificates,
    )
    return _Call(endpoint, _name_to_send(endpoint, server_name), ask, reached, time.monotonic() + deadline)


def _name_to_send(host: Endpoint, server_name: str | SNI | None) -> str | None:
    """The SNI; an address is none, and there is no dot at its end (RFC 6066, section 3)."""
    if not host.is_address:
        a_label(host.host)  # the resolver would say less of a name that is none
    name = host.host if server_name is SNI.HOST else server_name
    if not isinstance(name, str) or Endpoint(name, host.port).is_address:
        return None
    return a_label(name.rstrip("."))


def _targets(call: _Call, connect: str | None) -> list[Endpoint]:
    target = Endpoint.parse(connect, call.host.port) if connect else call.host
    if call.proxy is not None and call.proxy.resolves:
        return [target]
    return [Endpoint(address, target.port) for address in resolve(target, call.deadline)]


def _visit(call: _Call, target: Endpoint, deadline: float) -> Chain | CaptureFailure:
    """Asks one address until it has a result."""
    visit = Visit(call.ask, call.host, call.name, target)
    while visit.result is None:
        try:
            with _open(call, target, deadline) as link:
                _talk(visit, link)
        except CaptureError as error:
            visit.unreachable(error.message, error.hint)
    return visit.result


def _open(call: _Call, target: Endpoint, deadline: float) -> Link:
    """A link on which TLS can begin."""
    link = dial(target, deadline) if call.proxy is None else call.proxy.connect(target, deadline)
    if call.ask.starttls:
        try:
            start_tls(link, call.ask.starttls, call.name or call.host.host)
        except BaseException:
            link.close()
            raise
    return link


def _talk(visit: Visit, link: Link) -> None:
    """One way over one connection."""
    answer = visit.start()
    while True:
        try:
            if answer:
                link.send(answer)
            if visit.talk is None:
                return
            data = link.receive(timeout=visit.talk.patience)
        except CaptureError as error:
            if visit.talk is not None:
                visit.lost(error.message, error.hint)
            return
        answer = visit.feed(data)
