"""Chains from many endpoints, as they come, with bounded memory: here, or on any executor's machines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from irkit import render
from irkit.chain import Attempt, CaptureFailure, Chain
from irkit.errors import InputError, RunError
from irkit.hello import Offer
from irkit.loop import ask_all
from irkit.target import Target
from irkit.visit import FIRST_LOOK, Ask, ways_of

__all__ = ["Captured", "capture_many", "vantages_of"]

_BATCH = 64  # targets handed to an executor at a time
_BATCHES = 16  # at most as many wait for an executor or run there
_Batch = list[tuple[Target, Chain | CaptureFailure]]


class Captured(NamedTuple):
    """What one endpoint of many gave.

    Attributes:
        target: As asked for; `str(target)` names it.
        result: Its chain, or why there is none.
    """

    target: Target
    result: Chain | CaptureFailure


def capture_many(
    targets: Iterable[str | Target],
    *,
    concurrency: int = 32,
    executor: Executor | None = None,
    sweep: bool = False,
    deadline: float = 10.0,
    vantage: str | None = None,
) -> Iterator[Captured]:
    """Captures from many endpoints, from each the first of its addresses that gives a chain.

    Args:
        targets: `host`, `host:port`, or either and `address:port` to connect to instead, and more that `Target.parse`
            reads; taken as there is room.
        concurrency: Endpoints asked at a time, in this process or in each of the executor's tasks.
        executor: Any `concurrent.futures` executor to do it in tasks of 64 endpoints: a `ProcessPoolExecutor` for
            another core, a Dask cluster's `Client.get_executor()` for other machines. It is left running.
        sweep: Only the short handshake: several times quicker, no proof of possession.
        deadline: Seconds for one endpoint.
        vantage: A name for the place this is run from; default: the variable IRKIT_VANTAGE there, else `local`.

    Yields:
        Each endpoint with its result, as they come; a text that is no endpoint is a failure like any other.

    Raises:
        InputError: An argument can't be used.
        RunError: The executor takes no more work; what it had done was yielded.
    """
    if concurrency < 1 or not 0 < deadline < 86400:
        raise InputError(
            f"concurrency {concurrency} with a deadline of {deadline} s", "ask one or more at a time, for up to a day"
        )
    run = partial(_run, sweep=sweep, concurrency=concurrency, deadline=deadline, vantage=vantage)
    return _local(targets, run) if executor is None else _elsewhere(targets, run, executor)


def vantages_of(client: Any) -> dict[str, Executor]:
    """An executor for each vantage of a Dask cluster, by its name: IRKIT_VANTAGE on the workers that are there.

    Args:
        client: A `distributed.Client`.
    """
    workers: dict[str, list[str]] = {}
    for address, name in client.run(os.getenv, "IRKIT_VANTAGE", "local").items():
        workers.setdefault(name, []).append(address)
    return {name: client.get_executor(workers=addresses) for name, addresses in sorted(workers.items())}


_Run = Callable[[Iterable[Target]], Iterator[tuple[Target, Chain | CaptureFailure]]]


def _local(targets: Iterable[str | Target], run: _Run) -> Iterator[Captured]:
    wrong: list[Captured] = []
    for target, result in run(_usable(targets, wrong)):
        yield Captured(target, result)
        while wrong:
            yield wrong.pop(0)
    yield from wrong


def _usable(targets: Iterable[str | Target], wrong: list[Captured]) -> Iterator[Target]:
    for given in targets:
        try:
            yield given if isinstance(given, Target) else Target.parse(given)
        except InputError as error:
            where = render.text(given, 200)
            wrong.append(Captured(Target(where), _failure(where, error.message, error.hint)))


def _failure(where: str, reason: str, hint: str, vantage: str = "") -> CaptureFailure:
    return CaptureFailure(where, reason, (Attempt(where, "capture", reason),), datetime.now(UTC), hint, vantage)


def _run(
    targets: Iterable[Target], *, sweep: bool, concurrency: int, deadline: float, vantage: str | None
) -> Iterator[tuple[Target, Chain | CaptureFailure]]:
    # the name of this place is asked where the capture runs, not where it was ordered
    here = os.environ.get("IRKIT_VANTAGE", "local") if vantage is None else vantage
    ask = Ask(FIRST_LOOK if sweep else ways_of(Offer(), short=False), vantage=here, first_look=sweep)
    return ask_all(targets, ask, concurrency=concurrency, deadline=deadline)


def _batch(run: _Run, targets: list[Target], _: bytes) -> _Batch:
    """One task. Random bytes make it another one each time: Dask answers a call that it knows from memory."""
    return list(run(targets))


def _elsewhere(targets: Iterable[str | Target], run: _Run, executor: Executor) -> Iterator[Captured]:
    wrong: list[Captured] = []
    left = _usable(targets, wrong)
    waiting: dict[Future[_Batch], list[Target]] = {}
    broken = ""
    try:
        while True:
            while not broken and len(waiting) < _BATCHES and (batch := list(islice(left, _BATCH))):
                try:
                    waiting[executor.submit(_batch, run, batch, os.urandom(16))] = batch
                except Exception as error:  # noqa: BLE001 - each executor raises its own when it is shut down or broken
                    broken = render.text(error, 200) or type(error).__name__
            yield from wrong
            wrong.clear()
            if not waiting:
                break
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield from _fetched(future, waiting.pop(future))
    finally:
        for future in waiting:
            future.cancel()
    if broken:
        raise RunError(f"the executor takes no more work: {broken}", "start it anew and give the rest of the targets")


def _fetched(future: Future[_Batch], batch: list[Target]) -> Iterator[Captured]:
    try:
        found = future.result()
    except Exception as error:  # noqa: BLE001 - a worker that died raises what its executor likes
        reason = f"the executor lost it: {render.text(error, 200) or type(error).__name__}"
        yield from (Captured(target, _failure(str(target), reason, "capture it again")) for target in batch)
    else:
        yield from (Captured(target, result) for target, result in found)
