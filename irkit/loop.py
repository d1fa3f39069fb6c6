"""Many endpoints asked at once, from one thread that waits for whoever answers next.

A thread for each would spend a fifth of its time on handing over the interpreter's lock.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

from irkit.chain import Attempt, CaptureFailure, Chain
from irkit.errors import CaptureError, InputError, IrkitError
from irkit.link import Endpoint, broken, resolve, unreachable
from irkit.target import Target
from irkit.visit import Ask, Visit, after, all_failed

__all__ = ["ask_all"]

_RESOLVERS = 16  # names looked up at a time
_SLOW_NAME = CaptureError("did not resolve within the deadline", "check the name and the resolver")


def ask_all(
    targets: Iterable[Target], ask: Ask, *, concurrency: int, deadline: float
) -> Iterator[tuple[Target, Chain | CaptureFailure]]:
    """Asks each endpoint for its chain: the first of its addresses that gives one.

    Args:
        targets: Taken one by one, as there is room.
        ask: What is asked; nothing of it but `ways` and the limits changes what is done here: there is no proxy.
        concurrency: Connections at a time.
        deadline: Seconds for one endpoint, its name and all its addresses.

    Yields:
        Each endpoint with its chain, or why there is none, as they come.
    """
    loop = _Loop(ask, deadline)
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


class _Guest:
    """One endpoint being asked."""

    __slots__ = ("addresses", "deadline", "failures", "goal", "heard", "limit", "name", "out", "sock", "target",
                 "until", "visit")  # fmt: skip

    def __init__(self, target: Target, deadline: float) -> None:
        self.target, self.name = target, target.server_name
        self.goal = Endpoint.parse(target.connect, target.port) if target.connect else target.endpoint
        self.deadline = self.limit = self.until = deadline  # of all, of this address, of this wait
        self.addresses: list[str] = []
        self.failures: list[CaptureFailure] = []
        self.visit: Visit | None = None
        self.sock: socket.socket | None = None
        self.out, self.heard = b"", False


class _Loop:
    """The connections under way; each guest ends as one result."""

    def __init__(self, ask: Ask, deadline: float) -> None:
        self._ask, self._deadline = ask, deadline
        self._selector = selectors.DefaultSelector()
        self._guests: set[_Guest] = set()
        self._timers: list[tuple[float, int, _Guest]] = []  # stale where the guest waits until another time
        self._count = itertools.count()
        self._done: list[tuple[Target, Chain | CaptureFailure]] = []
        self._resolvers: ThreadPoolExecutor | None = None
        self._resolved: queue.SimpleQueue[tuple[_Guest, tuple[str, ...] | CaptureError]] = queue.SimpleQueue()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ)

    @property
    def busy(self) -> int:
        return len(self._guests)

    def results(self) -> list[tuple[Target, Chain | CaptureFailure]]:
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        for guest in self._guests:
            if guest.sock is not None:
                guest.sock.close()
        if self._resolvers is not None:
            self._resolvers.shutdown(wait=False, cancel_futures=True)
        self._selector.close()
        self._wake.close()
        self._waker.close()

    def begin(self, target: Target) -> None:
        try:
            guest = _Guest(target, time.monotonic() + self._deadline)
        except InputError as error:
            self._done.append((target, self._nameless(target, "capture", error)))
            return
        self._guests.add(guest)
        if guest.goal.is_address:
            guest.addresses = [guest.goal.host]
            self._next_address(guest)
            return
        self._wait(guest, guest.deadline)
        if self._resolvers is None:
            self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="irkit-resolve")
        self._resolvers.submit(self._resolve, guest)

    def turn(self) -> None:
        """Waits for one of the connections, or a deadline."""
        timeout = self._timers[0][0] - time.monotonic() if self._timers else self._deadline
        for key, events in self._selector.select(max(0.0, timeout)):
            if key.data is None:
                self._take_resolved()
            elif events & selectors.EVENT_WRITE:
                self._speak(key.data)
            else:
                self._hear(key.data)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            until, _, guest = heapq.heappop(self._timers)
            if guest in self._guests and guest.until == until:
                self._expire(guest)
        if len(self._timers) > 1000 + 2 * self.busy:
            self._timers = [timer for timer in self._timers if timer[2] in self._guests and timer[2].until == timer[0]]
            heapq.heapify(self._timers)

    def _resolve(self, guest: _Guest) -> None:
        """Runs in a thread of its own: the system's resolver waits."""
        try:
            self._resolved.put((guest, resolve(guest.goal, guest.deadline)))
        except CaptureError as error:
            self._resolved.put((guest, error))
        with suppress(OSError):  # the loop is closed
            self._waker.send(b"\0")

    def _take_resolved(self) -> None:
        with suppress(BlockingIOError):
            self._wake.recv(4096)
        while not self._resolved.empty():
            guest, found = self._resolved.get()
            if guest not in self._guests:
                continue
            if isinstance(found, CaptureError):
                self._end(guest, self._nameless(guest.target, "resolve", found))
            else:
                guest.addresses = list(found)
                self._next_address(guest)

    def _nameless(self, target: Target, how: str, error: IrkitError) -> CaptureFailure:
        where = str(target.endpoint)
        attempts = (Attempt(where, how, error.message),)
        return CaptureFailure(where, error.message, attempts, datetime.now(UTC), error.hint, self._ask.vantage)

    def _wait(self, guest: _Guest, until: float) -> None:
        guest.until = until
        heapq.heappush(self._timers, (until, next(self._count), guest))

    def _next_address(self, guest: _Guest) -> None:
        now = time.monotonic()
        guest.limit = now + (guest.deadline - now) / len(guest.addresses)
        self._wait(guest, guest.limit)
        address = Endpoint(guest.addresses.pop(0), guest.goal.port)
        guest.visit = Visit(self._ask, guest.target.endpoint, guest.name, address)
        self._connect(guest, guest.visit)

    def _connect(self, guest: _Guest, visit: Visit) -> None:
        to = visit.to
        guest.sock = sock = socket.socket(socket.AF_INET6 if ":" in to.host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        guest.out, guest.heard = visit.start(), False
        try:
            sock.connect((to.host, to.port))
        except BlockingIOError:
            pass
        except OSError as error:
            self._unreachable(guest, visit, unreachable(error))
            return
        try:  # a near server has answered already
            guest.out = guest.out[sock.send(guest.out) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._unreachable(guest, visit, unreachable(error))
            return
        self._selector.register(sock, selectors.EVENT_WRITE if guest.out else selectors.EVENT_READ, guest)

    def _speak(self, guest: _Guest) -> None:
        """Sends what waits to be sent."""
        sock, visit = guest.sock, guest.visit
        assert sock is not None
        assert visit is not None
        try:
            guest.out = guest.out[sock.send(guest.out) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._selector.unregister(sock)
            self._unreachable(guest, visit, unreachable(error))
            return
        if not guest.out:
            self._selector.modify(sock, selectors.EVENT_READ, guest)

    def _hear(self, guest: _Guest) -> None:
        sock, visit = guest.sock, guest.visit
        assert sock is not None
        assert visit is not None
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(guest, broken(error, heard=guest.heard))
            return
        guest.heard = True
        if answer := visit.feed(data):
            with suppress(OSError):  # it is short; what went wrong is told by the next recv
                sock.send(answer)
        if visit.talk is None:
            self._leave(guest, visit)
        elif patience := visit.talk.patience:
            self._wait(guest, min(guest.limit, time.monotonic() + patience))

    def _expire(self, guest: _Guest) -> None:
        if guest.visit is None:
            self._end(guest, self._nameless(guest.target, "resolve", _SLOW_NAME))
        elif guest.out and not guest.heard:
            assert guest.sock is not None
            self._selector.unregister(guest.sock)
            self._unreachable(guest, guest.visit, unreachable(TimeoutError()))
        elif guest.until < guest.limit:
            self._lose(guest, CaptureError("said nothing more for a while", "give a longer deadline"))
        else:
            self._lose(guest, broken(TimeoutError(), heard=guest.heard))

    def _lose(self, guest: _Guest, error: CaptureError) -> None:
        assert guest.visit is not None
        guest.visit.lost(error.message, error.hint)
        self._leave(guest, guest.visit)

    def _unreachable(self, guest: _Guest, visit: Visit, error: CaptureError) -> None:
        assert guest.sock is not None
        guest.sock.close()
        visit.unreachable(error.message, error.hint)
        self._next(guest, visit)

    def _leave(self, guest: _Guest, visit: Visit) -> None:
        assert guest.sock is not None
        self._selector.unregister(guest.sock)
        guest.sock.close()
        if visit.result is None:
            self._connect(guest, visit)
        else:
            self._next(guest, visit)

    def _next(self, guest: _Guest, visit: Visit) -> None:
        """Goes on to the next address where this one gave no chain."""
        result = visit.result
        assert result is not None
        if isinstance(result, Chain):
            self._end(guest, after(guest.failures, result))
            return
        guest.failures.append(result)
        if guest.addresses and guest.deadline > time.monotonic():
            self._next_address(guest)
        else:
            self._end(guest, all_failed(guest.failures))

    def _end(self, guest: _Guest, result: Chain | CaptureFailure) -> None:
        self._guests.discard(guest)
        guest.visit = guest.sock = None  # a timer may hold the guest for a while
        self._done.append((guest.target, result))
