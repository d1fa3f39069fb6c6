"""A first look at many endpoints: the short handshake only, all in one thread that waits for whoever answers next.

TLS 1.2 is asked for first: there Certificate comes in clear, which costs neither side a key exchange. Who refuses is
asked again with TLS 1.3. Nothing shows here that a server holds its leaf's key.
"""

from __future__ import annotations

import os
import queue
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

from irkit import iana
from irkit.certificate import Certificate
from irkit.chain import Attempt, CaptureFailure, Chain, Obtained
from irkit.errors import CaptureError
from irkit.flight import Flight
from irkit.hello import Offer, ShortHandshake, client_hello
from irkit.link import Endpoint, resolve
from irkit.target import Target

__all__ = ["sweep"]

_RESOLVERS = 16  # names looked up at a time
_HINT = "capture it alone, without sweep, for what it does answer"


def sweep(
    targets: Iterable[Target],
    *,
    concurrency: int = 256,
    deadline: float = 10.0,
    vantage: str = "local",
    max_bytes: int = 2**22,
    max_certificates: int = 1000,
) -> Iterator[tuple[Target, Chain | CaptureFailure]]:
    """Asks each endpoint for its chain, the first of its addresses that answers.

    Args:
        targets: Taken one by one, as there is room.
        concurrency: Connections at a time.
        deadline: Seconds for one endpoint.
        vantage: A name for the place this is run from.
        max_bytes: The most bytes read from one connection.
        max_certificates: The most certificates kept of one chain.

    Yields:
        Each endpoint with its chain, or why there is none, as they come.
    """
    loop = _Loop(deadline, vantage, max_bytes, max_certificates)
    waiting = iter(targets)
    more = True
    try:
        while True:
            while more and loop.busy < concurrency:
                target = next(waiting, None)
                if target is None:
                    more = False
                else:
                    loop.begin(target)
                    yield from loop.results()
            if not loop.busy:
                return
            loop.turn()
            yield from loop.results()
    finally:
        loop.close()


class _Visit:
    """One endpoint being asked."""

    __slots__ = ("addresses", "at", "attempts", "began", "flight", "goal", "modern", "sent", "short", "sock", "target")

    def __init__(self, target: Target) -> None:
        self.target, self.at, self.began = target, datetime.now(UTC), time.monotonic()
        self.goal = Endpoint.parse(target.connect, target.port) if target.connect else target.endpoint
        self.addresses: list[str] = []
        self.attempts: list[Attempt] = []
        self.modern = False
        self.sock: socket.socket | None = None
        self.short: ShortHandshake | None = None
        self.flight: Flight | None = None
        self.sent = b""

    @property
    def peer(self) -> Endpoint:
        return Endpoint(self.addresses[0], self.goal.port)

    @property
    def where(self) -> str:
        own = self.target.endpoint
        return str(own) if not self.addresses or self.peer == own else f"{own} at {self.peer}"


class _Loop:
    """The connections under way; each visit ends as one result."""

    def __init__(self, deadline: float, vantage: str, max_bytes: int, max_certificates: int) -> None:
        self._deadline, self._vantage = deadline, vantage
        self._max_bytes, self._max_certificates = max_bytes, max_certificates
        self._selector = selectors.DefaultSelector()
        self._visits: dict[int, _Visit] = {}  # by id, in the order in which their deadlines end
        self._done: list[tuple[Target, Chain | CaptureFailure]] = []
        self._resolvers: ThreadPoolExecutor | None = None
        self._resolved: queue.SimpleQueue[tuple[_Visit, tuple[str, ...] | CaptureError]] = queue.SimpleQueue()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ)

    @property
    def busy(self) -> int:
        return len(self._visits)

    def results(self) -> list[tuple[Target, Chain | CaptureFailure]]:
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        for visit in self._visits.values():
            if visit.sock is not None:
                visit.sock.close()
        if self._resolvers is not None:
            self._resolvers.shutdown(wait=False, cancel_futures=True)
        self._selector.close()
        self._wake.close()
        self._waker.close()

    def begin(self, target: Target) -> None:
        visit = _Visit(target)
        self._visits[id(visit)] = visit
        goal = visit.goal
        if goal.is_address:
            visit.addresses = [goal.host]
            self._connect(visit)
            return
        if self._resolvers is None:
            self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="irkit-resolve")
        self._resolvers.submit(self._resolve, visit, goal)

    def _resolve(self, visit: _Visit, goal: Endpoint) -> None:
        """Runs in a thread of its own: the system's resolver waits."""
        try:
            self._resolved.put((visit, resolve(goal, visit.began + self._deadline)))
        except CaptureError as error:
            self._resolved.put((visit, error))
        with suppress(OSError):  # the sweep was given up meanwhile
            self._waker.send(b"\0")

    def turn(self) -> None:
        """Waits for the next answer or the next deadline."""
        oldest = next(iter(self._visits.values()))
        left = oldest.began + self._deadline - time.monotonic()
        for key, _ in self._selector.select(max(0.0, left)):
            if key.data is None:
                self._names()
            else:
                step: Callable[[_Visit], None] = self._speak if key.events & selectors.EVENT_WRITE else self._hear
                step(key.data)
        now = time.monotonic()
        for visit in list(self._visits.values()):
            if now < visit.began + self._deadline:
                break
            self._expire(visit)

    def _names(self) -> None:
        with suppress(BlockingIOError):
            self._wake.recv(4096)
        while not self._resolved.empty():
            visit, found = self._resolved.get()
            if id(visit) not in self._visits:
                continue
            if isinstance(found, CaptureError):
                self._fail(visit, "resolve", found.message, found.hint)
            else:
                visit.addresses = list(found)
                self._connect(visit)

    def _connect(self, visit: _Visit) -> None:
        peer = visit.peer
        visit.sock = socket.socket(socket.AF_INET6 if ":" in peer.host else socket.AF_INET, socket.SOCK_STREAM)
        visit.sock.setblocking(False)
        name = visit.target.server_name
        limits = {"max_bytes": self._max_bytes, "max_certificates": self._max_certificates}
        if visit.modern:
            visit.short = ShortHandshake(Offer(name), **limits)
            visit.flight, visit.sent = visit.short.flight, visit.short.start()
        else:
            message = client_hello(Offer(name, maximum=0x0303), os.urandom(32), b"", None)
            visit.flight = Flight(lambda _: None, **limits)
            visit.sent = b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message
            visit.flight.sent(visit.sent)
        try:
            visit.sock.connect((peer.host, peer.port))
        except BlockingIOError:
            pass
        except OSError as error:
            self._unreachable(visit, error)
            return
        try:
            visit.sock.send(visit.sent)  # a near server has answered already
            self._selector.register(visit.sock, selectors.EVENT_READ, visit)
        except BlockingIOError:
            self._selector.register(visit.sock, selectors.EVENT_WRITE, visit)
        except OSError as error:
            self._unreachable(visit, error)

    def _speak(self, visit: _Visit) -> None:
        assert visit.sock is not None
        try:
            visit.sock.send(visit.sent)
        except BlockingIOError:
            return
        except OSError as error:
            self._selector.unregister(visit.sock)
            self._unreachable(visit, error)
        else:
            self._selector.modify(visit.sock, selectors.EVENT_READ, visit)

    def _hear(self, visit: _Visit) -> None:
        sock, flight = visit.sock, visit.flight
        assert sock is not None
        assert flight is not None
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self._refused(visit, "the server reset the connection")
            return
        if not data:
            self._refused(visit, "the server closed the connection")
        elif visit.short is None:
            flight.feed(data)
        elif answer := visit.short.feed(data):
            with suppress(OSError):  # what went wrong is told by the next recv
                sock.send(answer)
        if not data:
            return
        if flight.certificates is not None:
            self._leave(visit)
            self._end(visit, self._chain(visit, flight))
        elif flight.alert:
            self._refused(visit, f"the server sent the alert {flight.alert}")
        elif flight.problem:
            self._refused(visit, flight.problem, final=flight.problem.startswith("not TLS"))
        elif flight.done:
            self._refused(visit, "the server presented no certificate")

    def _leave(self, visit: _Visit) -> None:
        assert visit.sock is not None
        self._selector.unregister(visit.sock)
        visit.sock.close()

    def _refused(self, visit: _Visit, reason: str, *, final: bool = False) -> None:
        """The server answered, but with no chain: TLS 1.3 may be what it wants."""
        self._leave(visit)
        if visit.modern or final:
            self._fail(visit, "hello up to TLSv1.3" if visit.modern else "hello up to TLSv1.2", reason)
            return
        visit.attempts.append(Attempt(visit.where, "hello up to TLSv1.2", reason))
        visit.modern = True
        self._connect(visit)

    def _unreachable(self, visit: _Visit, error: OSError) -> None:
        assert visit.sock is not None
        visit.sock.close()
        refused = isinstance(error, ConnectionRefusedError)
        reason = "refused the connection" if refused else f"can't be reached: {error.strerror or error}"
        if len(visit.addresses) > 1:
            visit.attempts.append(Attempt(visit.where, "connect", reason))
            visit.addresses.pop(0)
            visit.modern = False
            self._connect(visit)
            return
        self._fail(visit, "connect", reason, "is the port right, and does a server listen there?")

    def _expire(self, visit: _Visit) -> None:
        if not visit.addresses:
            self._fail(visit, "resolve", "did not resolve within the deadline", "check the name and the resolver")
            return
        assert visit.flight is not None
        assert visit.sock is not None
        heard = visit.flight.received > 0
        silent = self._selector.get_key(visit.sock).events & selectors.EVENT_WRITE
        self._leave(visit)
        if silent:
            self._fail(visit, "connect", "no answer to connecting within the deadline", "check the path to the host")
        else:
            said = "did not finish" if heard else "said nothing"
            self._fail(visit, "hello", f"the server {said} within the deadline", "give a longer deadline")

    def _fail(self, visit: _Visit, how: str, reason: str, hint: str = _HINT) -> None:
        attempts = (*visit.attempts, Attempt(visit.where, how, reason))
        self._end(visit, CaptureFailure(visit.where, attempts[0].reason, attempts, visit.at, hint, self._vantage))

    def _end(self, visit: _Visit, result: Chain | CaptureFailure) -> None:
        del self._visits[id(visit)]
        self._done.append((visit.target, result))

    def _chain(self, visit: _Visit, flight: Flight) -> Chain:
        assert flight.certificates is not None
        assert flight.hello is not None
        obtained = Obtained(
            how="hello",
            where=visit.where,
            at=visit.at,
            duration=time.monotonic() - visit.began,
            host=visit.target.host,
            port=visit.target.port,
            server_name=visit.target.server_name,
            address=str(visit.peer),
            protocol=iana.PROTOCOLS.get(flight.hello.protocol, f"0x{flight.hello.protocol:04X}"),
            cipher=iana.cipher_name(flight.hello.cipher),
            ocsp=flight.ocsp,
            attempts=tuple(visit.attempts),
            findings=tuple(flight.findings),
            vantage=self._vantage,
        )
        return Chain(tuple(Certificate(der) for der in flight.certificates), obtained)
