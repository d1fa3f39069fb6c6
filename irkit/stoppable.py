"""Work that somebody waits for only until told to stop: a socket or a resolver can't be interrupted, but let go of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import NoReturn, TypeVar

from irkit.errors import IrkitError
from irkit.missing import Missing
from irkit.render import text

__all__ = ["Progress", "StoppedError", "Timer", "at_once"]

_T = TypeVar("_T")
_LOOK = 0.1  # seconds between two looks at whether to stop
_MOST = 16  # works at a time

# Takes a line of what is being done; `print` will do.
Progress = Callable[[str], None]


class StoppedError(IrkitError):
    """It was told to stop before it had an answer."""


def at_once(works: Sequence[Callable[[], _T]], stop: threading.Event | None = None) -> list[Callable[[], _T]]:
    """Runs works in threads of their own, all at once, until all have ended or `stop` is set.

    Args:
        works: They may only look: what one still does once it was told to stop is dropped.
        stop: Set by whoever no longer wants to wait.

    Returns:
        For each work a function that gives its value or raises what it raised; StoppedError if it had not ended.
    """
    gate, futures = threading.Semaphore(_MOST), list[Future[_T]]()
    for work in works:
        futures.append(_start(work, gate, stop))
    pending = set(futures)
    while pending and not (stop is not None and stop.is_set()):
        pending = wait(pending, timeout=_LOOK if stop is not None else None).not_done
    lost: Callable[[], _T] = _lost
    return [future.result if future.done() else lost for future in futures]


def _start(work: Callable[[], _T], gate: threading.Semaphore, stop: threading.Event | None) -> Future[_T]:
    future: Future[_T] = Future()

    def run() -> None:
        try:
            with gate:
                if stop is not None and stop.is_set():
                    _lost()
                future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where the value is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="irkit-work", daemon=True).start()
    return future


def _lost() -> NoReturn:
    raise StoppedError("cancelled before it answered", "run this step again")


class Timer:
    """Says when a stage begins, and when it ends how long it took; knows whether it was told to stop."""

    def __init__(self, progress: Progress | None, doing: str, stop: threading.Event | None) -> None:
        self._say, self._doing, self._began = progress or (lambda _: None), doing, time.monotonic()
        self._stop = stop
        self._say(f"{doing} …")

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return time.monotonic() - self._began

    @property
    def stopped(self) -> bool:
        """Whether the stage was told to stop."""
        return self._stop is not None and self._stop.is_set()

    def part(self, what: str) -> None:
        """Says that a part of it is done."""
        self._say(f"{self._doing}: {what}")

    def done(self, missing: list[Missing]) -> None:
        """Says that it has ended, and what is missing."""
        lost = "; missing: " + ", ".join(text(item.source, 60) for item in missing) if missing else ""
        self._say(f"{self._doing}: {time.monotonic() - self._began:.1f} s{lost}")
