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
from dataclasses import replace
from datetime import UTC, datetime

from irkit.chain import Attempt, CaptureFailure, Chain
from irkit.errors import CaptureError, InputError, IrkitError
from irkit.link import Endpoint, broken, resolve, unreachable
from irkit.proxy import Proxy
from irkit.target import Target
from irkit.visit import SNI, Ask, Visit, after, all_failed

__all__ = ["ADDRESSES", "ask_all"]

ADDRESSES = 64  # the most addresses of one name that are asked
_RESOLVERS = 16  # names looked up at a time
_SLOW_NAME = CaptureError("did not resolve within the deadline", "check the name and the resolver")
_SLOW_HINT = "give a longer deadline, or check the path to the host"
_PROXY_HINT = "check the proxy's address, or go without"


def ask_all(
    targets: Iterable[Target], ask: Ask, *, concurrency: int, deadline: float
) -> Iterator[tuple[Target, Chain | CaptureFailure]]:
    """Asks each endpoint for its chain: the first of its addresses that gives one.

    Args:
        targets: Taken one by one, as there is room.
        ask: What is asked of each; a target's own proxy and protocol stand for those in it.
        concurrency: Connections at a time.
        deadline: Seconds for one endpoint, its name and all its addresses.

    Yields:
        Each endpoint with its chain, or why there is none, as they come.

    Raises:
        InputError: The client certificate can't be used.
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

    __slots__ = ("addresses", "ask", "connected", "deadline", "doors", "failures", "goal", "heard", "left_out", "limit",
                 "name", "out", "peers", "sock", "target", "until", "visit")  # fmt: skip

    def __init__(self, target: Target, ask: Ask, deadline: float) -> None:
        self.target = target
        if not target.plain:
            proxy = Proxy.parse(target.proxy, target.proxy_auth_env) if target.proxy else None
            ask = replace(ask, proxy=proxy, starttls=target.starttls)
        self.ask = ask
        self.name = target.server_name if isinstance(ask.server_name, SNI) else ask.server_name
        self.goal = Endpoint.parse(target.connect, target.port) if target.connect else target.endpoint
        self.deadline = self.limit = self.until = deadline  # of all, of this address, of this wait
        self.addresses: tuple[str, ...] = ()  # those not asked yet
        self.left_out = 0  # how many never will be
        self.peers: tuple[Endpoint, ...] = ()  # where the proxy is
        self.doors: tuple[Endpoint, ...] = ()  # where to connect to for the visit: the first is being tried
        self.failures: list[CaptureFailure] = []
        self.visit: Visit | None = None
        self.sock: socket.socket | None = None
        self.out, self.connected, self.heard = b"", False, False

    @property
    def nameless(self) -> bool:
        """Whether addresses are all that is given."""
        proxy = self.ask.proxy
        here = proxy is None or not proxy.resolves
        return (proxy is None or proxy.endpoint.is_address) and (not here or self.goal.is_address)

    def look_up(self) -> None:
        """Looks up the names.

        Raises:
            CaptureError: One has no address.
        """
        proxy = self.ask.proxy
        if proxy is not None:
            try:
                found = resolve(proxy.endpoint, self.deadline)
            except CaptureError as error:
                raise CaptureError(f"the proxy {proxy}: {error.message}", _PROXY_HINT) from None
            self.peers = tuple(Endpoint(address, proxy.endpoint.port) for address in found)
        left_to_it = proxy is not None and proxy.resolves
        addresses = (self.goal.host,) if left_to_it else resolve(self.goal, self.deadline)
        self.addresses, self.left_out = addresses[:ADDRESSES], len(addresses) - ADDRESSES


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
        self._resolved: queue.SimpleQueue[tuple[_Guest, CaptureError | None]] = queue.SimpleQueue()
        self._wake: tuple[socket.socket, socket.socket] | None = None  # what a resolver's thread wakes the loop with

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
        for sock in self._wake or ():
            sock.close()

    def begin(self, target: Target) -> None:
        try:
            guest = _Guest(target, self._ask, time.monotonic() + self._deadline)
        except InputError as error:
            self._done.append((target, self._nowhere(target, "capture", error)))
            return
        self._guests.add(guest)
        if guest.nameless:
            guest.look_up()
            self._next_address(guest)
            return
        self._wait(guest, guest.deadline)
        if self._resolvers is None or self._wake is None:
            self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="irkit-resolve")
            self._wake = socket.socketpair()
            self._wake[0].setblocking(False)
            self._selector.register(self._wake[0], selectors.EVENT_READ)
        self._resolvers.submit(self._resolve, guest, self._wake[1])

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

    def _resolve(self, guest: _Guest, waker: socket.socket) -> None:
        """Runs in a thread of its own: the system's resolver waits."""
        try:
            guest.look_up()
            self._resolved.put((guest, None))
        except CaptureError as error:
            self._resolved.put((guest, error))
        with suppress(OSError):  # the loop is closed
            waker.send(b"\0")

    def _take_resolved(self) -> None:
        assert self._wake is not None
        with suppress(BlockingIOError):
            self._wake[0].recv(4096)
        while not self._resolved.empty():
            guest, error = self._resolved.get()
            if guest not in self._guests:
                continue
            if error is not None:
                self._end(guest, self._nowhere(guest.target, "resolve", error))
            else:
                self._next_address(guest)

    def _nowhere(self, target: Target, how: str, error: IrkitError) -> CaptureFailure:
        where = str(target.endpoint)
        attempts = (Attempt(where, how, error.message),)
        return CaptureFailure(where, error.message, attempts, datetime.now(UTC), error.hint, self._ask.vantage)

    def _wait(self, guest: _Guest, until: float) -> None:
        guest.until = until
        heapq.heappush(self._timers, (until, next(self._count), guest))

    def _next_address(self, guest: _Guest) -> None:
        now = time.monotonic()
        guest.limit = now + (guest.deadline - now) / len(guest.addresses)
        address = Endpoint(guest.addresses[0], guest.goal.port)
        guest.addresses = guest.addresses[1:]
        guest.visit = Visit(guest.ask, guest.target.endpoint, guest.name, address)
        guest.doors = guest.peers or (address,)
        self._connect(guest, guest.visit)

    def _connect(self, guest: _Guest, visit: Visit) -> None:
        guest.out, guest.connected, guest.heard = visit.start(), False, False
        if visit.result is not None:
            self._next(guest, visit)
            return
        self._wait(guest, guest.limit)
        to, guest.sock = guest.doors[0], None
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in to.host else socket.AF_INET, socket.SOCK_STREAM)
            guest.sock = sock
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):
                sock.connect((to.host, to.port))
            with suppress(BlockingIOError):  # a near server has answered already
                guest.out = guest.out[sock.send(guest.out) :]
                guest.connected = True
        except OSError as error:
            self._unreachable(guest, visit, error)
            return
        ready = guest.connected and not guest.out
        self._selector.register(sock, selectors.EVENT_READ if ready else selectors.EVENT_WRITE, guest)

    def _speak(self, guest: _Guest) -> None:
        """Sends what waits to be sent, now that there is a connection or none to be had."""
        sock, visit = guest.sock, guest.visit
        assert sock is not None
        assert visit is not None
        try:
            guest.out = guest.out[sock.send(guest.out) :]  # nothing, too: that tells whether there is a connection
            guest.connected = True
        except BlockingIOError:
            return
        except OSError as error:
            if guest.connected:
                self._lose(guest, broken(error, heard=guest.heard))
            else:
                self._selector.unregister(sock)
                self._unreachable(guest, visit, error)
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
            try:
                guest.out = answer[sock.send(answer) :]
            except BlockingIOError:
                guest.out = answer
            except OSError:
                pass  # what went wrong is told by the next recv
        if not visit.talking:
            self._leave(guest, visit)
            return
        if guest.out:
            self._selector.modify(sock, selectors.EVENT_WRITE, guest)
        if patience := visit.patience:
            self._wait(guest, min(guest.limit, time.monotonic() + patience))

    def _expire(self, guest: _Guest) -> None:
        if guest.visit is None:
            self._end(guest, self._nowhere(guest.target, "resolve", _SLOW_NAME))
        elif not guest.connected:
            assert guest.sock is not None
            self._selector.unregister(guest.sock)
            self._unreachable(guest, guest.visit, TimeoutError())
        elif guest.until < guest.limit:
            self._lose(guest, CaptureError(f"said nothing more for {guest.visit.patience:g} s", _SLOW_HINT))
        else:
            self._lose(guest, broken(TimeoutError(), heard=guest.heard))

    def _lose(self, guest: _Guest, error: CaptureError) -> None:
        assert guest.visit is not None
        guest.visit.lost(error.message, error.hint)
        self._leave(guest, guest.visit)

    def _unreachable(self, guest: _Guest, visit: Visit, error: OSError) -> None:
        """Goes on to the proxy's next address, or gives the visit up."""
        if guest.sock is not None:
            guest.sock.close()
        guest.doors = guest.doors[1:]
        if guest.doors and time.monotonic() < guest.limit:
            self._connect(guest, visit)
            return
        why = unreachable(error)
        if guest.ask.proxy is not None:
            why = CaptureError(f"the proxy {guest.ask.proxy}: {why.message}", _PROXY_HINT)
        visit.unreachable(why.message, why.hint)
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
            if guest.left_out > 0:
                why = f"not asked: the {guest.left_out} addresses after the first {ADDRESSES}"
                guest.failures.append(
                    self._nowhere(guest.target, "connect", CaptureError(why, "name one with connect="))
                )
            self._end(guest, all_failed(str(guest.target.endpoint), guest.failures))

    def _end(self, guest: _Guest, result: Chain | CaptureFailure) -> None:
        self._guests.discard(guest)
        guest.visit = guest.sock = None  # a timer may hold the guest for a while
        self._done.append((guest.target, result))
