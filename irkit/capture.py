"""Chains from TLS endpoints: exactly the certificates presented, in order, byte for byte. Nothing is verified here.

Each address is asked by a whole handshake of OpenSSL's; where that gives no chain, by the short handshake. What a
server does wrong (an alert, a wrong key, silence) is said of its chain, or is the reason why there is none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Literal

from irkit import iana, render
from irkit.certificate import Certificate
from irkit.chain import Attempt, CaptureFailure, Chain, Obtained
from irkit.errors import CaptureError, InputError
from irkit.flight import Flight
from irkit.handshake import shake_hands
from irkit.hello import KEY_TYPES, Offer, ShortHandshake
from irkit.link import Endpoint, Link, a_label, dial, resolve
from irkit.possession import Possession, check_possession
from irkit.proxy import Proxy
from irkit.starttls import check_protocol, start_tls

__all__ = ["SNI", "CaptureFailure", "capture", "capture_all"]

KeyType = Literal["any", "rsa", "ecdsa", "eddsa", "mldsa"]

_VERSIONS = {name: number for number, name in iana.PROTOCOLS.items()}
_WORKERS = 32
_ADDRESSES = 64  # the most addresses of one name that are asked


class SNI(Enum):
    """The default of server_name=: send the host's name. None sends no SNI."""

    HOST = "host"


@dataclass(frozen=True, slots=True)
class _Ask:
    """One call's question, the same for every address."""

    host: Endpoint
    offer: Offer
    vantage: str
    deadline: float
    proxy: Proxy | None
    starttls: str
    client: tuple[str, str] | None
    short: bool
    max_bytes: int
    max_certificates: int


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
    ask = _ask(
        host, port, server_name=server_name, proxy=proxy, proxy_auth_env=proxy_auth_env, starttls=starttls,
        deadline=deadline, vantage=vantage, key_type=key_type, client=client_certificate, minimum=minimum,
        maximum=maximum, alpn=alpn, sweep=sweep, max_bytes=max_bytes, max_certificates=max_certificates,
    )  # fmt: skip
    targets = _targets(ask, connect)
    failures: list[CaptureFailure] = []
    targets = targets[:_ADDRESSES]
    for number, target in enumerate(targets):
        share = (ask.deadline - time.monotonic()) / (len(targets) - number)
        found = _capture_one(ask, target, time.monotonic() + share)
        if isinstance(found, Chain):
            if not failures:
                return found
            earlier = tuple(attempt for failure in failures for attempt in failure.attempts)
            return Chain(found.certificates, replace(found.obtained, attempts=earlier + found.obtained.attempts))
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
    ask = _ask(
        host, port, server_name=server_name, proxy=proxy, proxy_auth_env=proxy_auth_env, starttls=starttls,
        deadline=deadline, vantage=vantage, key_type=key_type, client=client_certificate, minimum=minimum,
        maximum=maximum, alpn=alpn, sweep=sweep, max_bytes=max_bytes, max_certificates=max_certificates,
    )  # fmt: skip
    at = datetime.now(UTC)
    try:
        targets = _targets(ask, connect)
    except CaptureError as error:
        attempt = Attempt(str(ask.host), "resolve", error.message)
        return (CaptureFailure(str(ask.host), error.message, (attempt,), at, error.hint, vantage),)
    asked, left = targets[:_ADDRESSES], targets[_ADDRESSES:]
    with ThreadPoolExecutor(min(_WORKERS, len(asked))) as pool:
        found = tuple(pool.map(lambda target: _capture_one(ask, target, ask.deadline), asked))
    why = f"not asked: of the {len(targets)} addresses, the first {_ADDRESSES} are"
    hint = "name an address with connect="
    return found + tuple(CaptureFailure(f"{ask.host} at {target}", why, (), at, hint, vantage) for target in left)


def _ask(
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
) -> _Ask:
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
    name = _name_to_send(endpoint, server_name)
    offer = Offer(name, _VERSIONS[minimum], _VERSIONS[maximum], key_type, alpn)
    return _Ask(
        host=endpoint,
        offer=offer,
        vantage=vantage,
        deadline=time.monotonic() + deadline,
        proxy=Proxy.parse(proxy, proxy_auth_env or "") if proxy else None,
        starttls=check_protocol(starttls) if starttls else "",
        client=client,
        short=sweep or key_type != "any",
        max_bytes=max_bytes,
        max_certificates=max_certificates,
    )


def _name_to_send(host: Endpoint, server_name: str | SNI | None) -> str | None:
    """The SNI; an address is none, and there is no dot at its end (RFC 6066, section 3)."""
    if not host.is_address:
        a_label(host.host)  # the resolver would say less of a name that is none
    name = host.host if server_name is SNI.HOST else server_name
    if not isinstance(name, str) or Endpoint(name, host.port).is_address:
        return None
    return a_label(name.rstrip("."))


def _targets(ask: _Ask, connect: str | None) -> list[Endpoint]:
    target = Endpoint.parse(connect, ask.host.port) if connect else ask.host
    if ask.proxy is not None and ask.proxy.resolves:
        return [target]
    return [Endpoint(address, target.port) for address in resolve(target, ask.deadline)]


def _capture_one(ask: _Ask, target: Endpoint, deadline: float) -> Chain | CaptureFailure:
    """Asks one address, by each way in turn until one gives a chain."""
    at, start = datetime.now(UTC), time.monotonic()
    where = str(target) if target == ask.host else f"{ask.host} at {target}"
    where += f" through {ask.proxy}" if ask.proxy else ""
    attempts: list[Attempt] = []
    hint = ""
    for how, offer in _ways(ask):
        label = f"{how} up to {iana.PROTOCOLS[offer.maximum]}"
        try:
            with _open(ask, target, deadline) as link:
                flight, failure, hint = _read(ask, how, offer, link)
        except CaptureError as error:
            attempts.append(Attempt(where, label, error.message))
            hint = error.hint
            break  # it can't be reached: another hello won't change that
        if not failure and flight.certificates is None:
            failure = flight.problem or "the server presented no certificate"
        if failure:
            attempts.append(Attempt(where, label, failure))
        if flight.certificates is not None:
            done = how == "handshake" and not failure
            took = time.monotonic() - start
            return _chain(ask, target, flight, where=where, done=done, at=at, took=took, attempts=tuple(attempts))
        if "deadline" in failure or failure.startswith("not TLS"):
            break
    reason = attempts[0].reason
    return CaptureFailure(where, reason, tuple(attempts), at, hint or _hint(reason), ask.vantage)


def _ways(ask: _Ask) -> Iterator[tuple[str, Offer]]:
    """What to try, and what to offer in it, in order."""
    if not ask.short:
        yield "handshake", ask.offer
    yield "hello", ask.offer
    if ask.offer.minimum <= 0x0303 < ask.offer.maximum:
        yield "hello", replace(ask.offer, maximum=0x0303)


def _hint(reason: str) -> str:
    """What to do about a server that answered, but not with a chain."""
    if "HTTP" in reason:
        return "this port speaks HTTP without TLS: is it 443, or does a captive portal answer?"
    if reason.startswith("not TLS"):
        return "is this the TLS port? A protocol that begins in clear needs starttls="
    if "alert" in reason:
        return "the server refused: try server_name=, another maximum=, or client_certificate="
    return "try again from another vantage, or with another server_name="


def _open(ask: _Ask, target: Endpoint, deadline: float) -> Link:
    """A link on which TLS can begin."""
    link = dial(target, deadline) if ask.proxy is None else ask.proxy.connect(target, deadline)
    if ask.starttls:
        try:
            start_tls(link, ask.starttls, ask.offer.server_name or ask.host.host)
        except BaseException:
            link.close()
            raise
    return link


def _read(ask: _Ask, how: str, offer: Offer, link: Link) -> tuple[Flight, str, str]:
    """The server's flight, why it is not all there (empty when it is), and a hint."""
    if how == "handshake":
        shaken = shake_hands(link, offer, ask.client, max_bytes=ask.max_bytes, max_certificates=ask.max_certificates)
        return shaken.flight, shaken.failure, shaken.hint
    short = ShortHandshake(offer, max_bytes=ask.max_bytes, max_certificates=ask.max_certificates)
    flight = short.flight
    try:
        link.send(short.start())
        while not flight.over:
            data = link.receive()
            if not data:
                return flight, "" if flight.signed else "the server closed the connection", ""
            if answer := short.feed(data):
                link.send(answer)
    except CaptureError as error:
        return flight, f"the server {error.message}", error.hint
    if flight.alert:
        return flight, f"the server sent the alert {flight.alert}", ""
    if flight.problem:
        return flight, flight.problem, ""
    return flight, "", ""


def _chain(
    ask: _Ask,
    target: Endpoint,
    flight: Flight,
    *,
    where: str,
    done: bool,
    at: datetime,
    took: float,
    attempts: tuple[Attempt, ...],
) -> Chain:
    """The chain with everything that is known of how it was obtained."""
    assert flight.certificates is not None
    assert flight.hello is not None
    findings = list(flight.findings)
    possession: Possession = "proven"  # a handshake completes only after OpenSSL has checked what the server signed
    if not done:
        possession, why = check_possession(flight.certificates[0], flight.signed)
        findings += [f"possession of the leaf's key is {possession}: {why}"] if why else []
    if flight.client_certificate_asked:
        findings.append("the server asked for a client certificate")
    obtained = Obtained(
        how="handshake" if done else "hello",
        where=where,
        at=at,
        duration=took,
        host=ask.host.host,
        port=ask.host.port,
        server_name=ask.offer.server_name,
        address=str(target),
        protocol=iana.PROTOCOLS.get(flight.hello.protocol, f"0x{flight.hello.protocol:04X}"),
        cipher=iana.cipher_name(flight.hello.cipher),
        signature_scheme=iana.scheme_name(flight.signed.scheme) if flight.signed and flight.signed.scheme else "",
        alpn=flight.alpn,
        possession=possession,
        ocsp=flight.ocsp,
        scts=flight.scts,
        attempts=attempts,
        findings=tuple(findings),
        vantage=ask.vantage,
        proxy=str(ask.proxy or ""),
        starttls=ask.starttls,
    )
    return Chain(tuple(Certificate.from_der(der) for der in flight.certificates), obtained)
