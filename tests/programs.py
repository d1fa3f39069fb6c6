"""Programs that listen on loopback, run while a test needs them."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, ready: Callable[[], T | None], within: float = 60, **options: Any
) -> Iterator[T]:
    """Runs a program until the block ends; gives what `ready` does, once that is something."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **options)
    try:
        end = time.monotonic() + within
        while (found := ready()) is None:
            said = log.read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"{command[0]} ended:\n{said}"
            assert time.monotonic() < end, f"{command[0]} did not start:\n{said}"
            time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listening(
    command: Sequence[str], port: int, log: Path, page: str = "", **options: Any
) -> contextlib.AbstractContextManager[str]:
    """Runs a program that listens on a port; gives its address, or its base URL where it has to have a page."""
    address = f"127.0.0.1:{port}"

    def ready() -> str | None:
        with contextlib.suppress(OSError):  # refused, or HTTP's "not yet"
            if page:
                urllib.request.urlopen(f"http://{address}{page}", timeout=1).close()
                return f"http://{address}"
            socket.create_connection(("127.0.0.1", port), 1).close()
            return address
        return None

    return running(command, log, ready, **options)


def mitmproxy(program: str, address: str, folder: Path) -> contextlib.AbstractContextManager[str]:
    """A real interceptor in front of an endpoint; gives its address."""
    port = free_port()
    command = [
        program, "--mode", f"reverse:https://{address}", "--listen-host", "127.0.0.1", "--listen-port", str(port),
        "--ssl-insecure", "--set", f"confdir={folder / 'mitmproxy'}", "--set", "connection_strategy=lazy", "-q",
    ]  # fmt: skip
    return listening(command, port, folder / "mitmproxy.log")
