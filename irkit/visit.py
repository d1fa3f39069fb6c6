"""One address asked for its chain, by each way in turn until one gives it. Sans-I/O: who drives it connects and waits.

A whole handshake of OpenSSL's comes first; where that gives no chain, the short handshake. What a server does wrong (an
alert, a wrong key, silence) is said of its chain, or is the reason why there is none.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Protocol

from irkit import iana
from irkit.certificate import Certificate
from irkit.chain import Attempt, CaptureFailure, Chain, Obtained
from irkit.errors import CaptureError, IrkitError
from irkit.flight import Flight
from irkit.handshake import Handshake
from irkit.hello import Offer, ShortHandshake
from irkit.link import Endpoint
from irkit.possession import Possession, check_possession
from irkit.proxy import Proxy
from irkit.starttls import start_tls
from irkit.wire import Wire

__all__ = ["FIRST_LOOK", "SNI", "Ask", "Visit", "after", "all_failed", "ways_of"]


class SNI(Enum):
    """The default of server_name=: send the host's name. None sends no SNI."""

    HOST = "host"


class _Talk(Protocol):
    """A handshake of either kind, under way: see Handshake and ShortHandshake."""

    flight: Flight

    @property
    def over(self) -> bool: ...
    @property
    def failure(self) -> str: ...
    @property
    def patience(self) -> float | None: ...
    def start(self) -> bytes: ...
    def feed(self, data: bytes) -> bytes: ...
    def lost(self, reason: str) -> None: ...


def ways_of(offer: Offer, *, short: bool) -> tuple[tuple[str, Offer], ...]:
    """What to try and what to offer in it, in order: the whole handshake unless `short`, then the short one."""
    ways = [] if short else [("handshake", offer)]
    ways.append(("hello", offer))
    if offer.minimum <= 0x0303 < offer.maximum:
        ways.append(("hello", replace(offer, maximum=0x0303)))
    return tuple(ways)


# TLS 1.2 is asked for first: there Certificate comes in clear, which costs neither side a key exchange.
FIRST_LOOK = (("hello", Offer(maximum=0x0303)), ("hello", Offer()))


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of an address.

    Attributes:
        ways: What to try in order: `handshake` or `hello`, each with its offer.
        server_name: The SNI, A-labels, where it isn't the host's name.
        vantage: A name for the place this is run from.
        proxy: What to go through.
        starttls: The protocol to speak first; empty for none.
        client: Paths of a PEM certificate and its key, or None.
        first_look: To end at Certificate, without a look at who holds the key.
        max_bytes: The most bytes read from one connection.
        max_certificates: The most certificates kept.
    """

    ways: tuple[tuple[str, Offer], ...]
    server_name: str | SNI | None = SNI.HOST
    vantage: str = "local"
    proxy: Proxy | None = None
    starttls: str = ""
    client: tuple[str, str] | None = None
    first_look: bool = False
    max_bytes: int = 2**22
    max_certificates: int = 1000


class Visit:
    """One address being asked.

    Attributes:
        to: The address.
        result: Its chain, or why there is none; None until then.
    """

    __slots__ = ("_ask", "_at", "_attempts", "_before", "_began", "_host", "_left", "_name", "_talk", "_way", "_wire",
                 "result", "to")  # fmt: skip

    def __init__(self, ask: Ask, host: Endpoint, server_name: str | None, address: Endpoint) -> None:
        """Begins with nothing asked.

        Args:
            ask: What is asked.
            host: The endpoint as it was given.
            server_name: The SNI to send, A-labels.
            address: Where it is asked.
        """
        self._ask, self._host, self._name, self.to = ask, host, server_name, address
        self._at, self._began = datetime.now(UTC), time.monotonic()
        self._left = iter(ask.ways)
        self._way = next(self._left)
        self._attempts: list[Attempt] = []
        self._wire = Wire()
        self._before: Generator[None, bytes] | None = None
        self._talk: _Talk | None = None
        self.result: Chain | CaptureFailure | None = None

    @property
    def where(self) -> str:
        """Host and address, and the proxy that is gone through."""
        where = str(self.to) if self.to == self._host else f"{self._host} at {self.to}"
        return f"{where} through {self._ask.proxy}" if self._ask.proxy else where

    @property
    def talking(self) -> bool:
        """Whether the connection is still of use; if not, another is wanted, unless there is a result."""
        return self._talk is not None or self._before is not None

    @property
    def patience(self) -> float | None:
        """Seconds of silence to bear; None for as long as there is time."""
        return None if self._talk is None else self._talk.patience

    def start(self) -> bytes:
        """Begins the next way on a new connection; what to send first, unless there is a result already.

        Raises:
            InputError: The client certificate can't be used.
        """
        if self._ask.proxy is None and not self._ask.starttls:
            return self._start_tls()
        self._wire = Wire()
        self._before = self._say_before()
        return self._go_on(None)

    def feed(self, data: bytes) -> bytes:
        """Takes what came (nothing: the server closed the connection); what to send before it is left."""
        if self._before is not None:
            return self._go_on(data)
        talk = self._talk
        assert talk is not None
        if not data:
            self.lost("closed the connection")
            return b""
        answer = talk.feed(data)
        if talk.over or (self._ask.first_look and talk.flight.certificates is not None):
            self._leave(talk)
        return answer

    def lost(self, reason: str, hint: str = "") -> None:
        """The connection ended, or time did: what the server did, and what to do about it."""
        if self._before is not None:
            try:
                self._before.throw(CaptureError(reason, hint))
            except CaptureError as error:
                self.unreachable(error.message, error.hint)
        else:
            assert self._talk is not None
            self._talk.lost(f"the server {reason}")
            self._leave(self._talk, hint)

    def unreachable(self, reason: str, hint: str) -> None:
        """There is no way to where TLS begins; another hello won't change that."""
        self._before = self._talk = None
        self._fail(reason, hint)

    def _say_before(self) -> Generator[None, bytes]:
        """The conversation that leads to where TLS begins."""
        if self._ask.proxy is not None:
            yield from self._ask.proxy.ask(self._wire, self.to)
        if self._ask.starttls:
            yield from start_tls(self._wire, self._ask.starttls, self._name or self._host.host)

    def _go_on(self, data: bytes | None) -> bytes:
        wire = self._wire
        assert self._before is not None
        try:
            self._before.send(data)  # type: ignore[arg-type]  # None begins it
        except IrkitError as error:  # or a name that no protocol can carry
            self.unreachable(error.message, error.hint)
            return b""
        except StopIteration:
            self._before = None
            wire.out += self._start_tls()
            if wire.heard:  # what came too early is read as TLS
                wire.out += self.feed(wire.heard)
        out, wire.out = wire.out, b""
        return out

    def _start_tls(self) -> bytes:
        how, offer = self._way
        ask, offer = self._ask, replace(offer, server_name=self._name)
        if how == "handshake":
            self._talk = Handshake(offer, ask.client, max_bytes=ask.max_bytes, max_certificates=ask.max_certificates)
        else:
            self._talk = ShortHandshake(offer, max_bytes=ask.max_bytes, max_certificates=ask.max_certificates)
        return self._talk.start()

    def _leave(self, talk: _Talk, hint: str = "") -> None:
        self._talk = None
        flight, failure = talk.flight, talk.failure
        if flight.certificates is not None:
            if failure:
                self._tried(failure)
            self.result = self._chain(flight, done=isinstance(talk, Handshake) and talk.completed)
            return
        failure = failure or flight.problem or "the server presented no certificate"
        way = next(self._left, None)
        if way is None or "deadline" in failure or failure.startswith("not TLS"):
            self._fail(failure, hint)
        else:
            self._tried(failure)
            self._way = way

    def _tried(self, failure: str) -> None:
        how, offer = self._way
        self._attempts.append(Attempt(self.where, f"{how} up to {iana.PROTOCOLS[offer.maximum]}", failure))

    def _fail(self, failure: str, hint: str) -> None:
        self._tried(failure)
        reason, attempts = self._attempts[0].reason, tuple(self._attempts)
        self.result = CaptureFailure(self.where, reason, attempts, self._at, hint or _hint(reason), self._ask.vantage)

    def _chain(self, flight: Flight, *, done: bool) -> Chain:
        """The chain with everything that is known of how it was obtained."""
        assert flight.certificates is not None
        assert flight.hello is not None
        ask, findings = self._ask, flight.findings
        possession: Possession = "proven"  # a handshake completes only after OpenSSL has checked what the server signed
        if ask.first_look:
            possession = "unproven"
        elif not done:
            possession, why = check_possession(flight.certificates[0], flight.signed)
            findings += [f"possession of the leaf's key is {possession}: {why}"] if why else []
        if flight.client_certificate_asked:
            findings.append("the server asked for a client certificate")
        obtained = Obtained(
            how="handshake" if done else "hello",
            where=self.where,
            at=self._at,
            duration=time.monotonic() - self._began,
            host=self._host.host,
            port=self._host.port,
            server_name=self._name,
            address=str(self.to),
            protocol=iana.PROTOCOLS.get(flight.hello.protocol, f"0x{flight.hello.protocol:04X}"),
            cipher=iana.cipher_name(flight.hello.cipher),
            signature_scheme=iana.scheme_name(flight.signed.scheme) if flight.signed and flight.signed.scheme else "",
            alpn=flight.alpn,
            possession=possession,
            ocsp=flight.ocsp,
            scts=flight.scts,
            attempts=tuple(self._attempts),
            findings=tuple(findings),
            vantage=ask.vantage,
            proxy=str(ask.proxy or ""),
            starttls=ask.starttls,
        )
        return Chain(tuple(map(Certificate, flight.certificates)), obtained)


def _hint(reason: str) -> str:
    """What to do about a server that answered, but not with a chain."""
    if "HTTP" in reason:
        return "this port speaks HTTP without TLS: is it 443, or does a captive portal answer?"
    if reason.startswith("not TLS"):
        return "is this the TLS port? A protocol that begins in clear needs starttls="
    if "alert" in reason:
        return "the server refused: try server_name=, another maximum= or key_type=, or client_certificate="
    return "try again from another vantage, or with another server_name="


def after(failures: Sequence[CaptureFailure], chain: Chain) -> Chain:
    """The chain of a host, some of whose addresses gave none before."""
    if not failures:
        return chain
    earlier = tuple(attempt for failure in failures for attempt in failure.attempts)
    return Chain(chain.certificates, replace(chain.obtained, attempts=earlier + chain.obtained.attempts))


def all_failed(host: str, failures: Sequence[CaptureFailure]) -> CaptureFailure:
    """The failure of a host, none of whose addresses gave a chain."""
    if len(failures) == 1:
        return failures[0]
    reasons = dict.fromkeys(f"{failure.where}: {failure.reason}" for failure in failures)
    attempts = tuple(attempt for failure in failures for attempt in failure.attempts)
    return replace(failures[0], where=host, reason="; ".join(reasons), attempts=attempts)
