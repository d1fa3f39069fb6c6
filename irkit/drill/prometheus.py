"""A real Prometheus on loopback, holding the rehearsal's metrics. For `irkit drill KIND --prometheus`."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from irkit.drill.traffic import Series, open_metrics
from irkit.errors import InputError, RunError
from irkit.render import text

__all__ = ["prometheus"]

_START = 30.0  # seconds it may take to be ready


@contextlib.contextmanager
def prometheus(series: Sequence[Series], folder: Path) -> Iterator[str]:
    """Backfills a Prometheus and runs it until the block ends.

    Args:
        series: What it is to hold.
        folder: An empty folder for its data.

    Yields:
        Its base URL.

    Raises:
        InputError: `prometheus` or `promtool` is not on PATH.
        RunError: It did not take the data, or did not start.
    """
    programs = [shutil.which("prometheus"), shutil.which("promtool")]
    if None in programs:
        raise InputError("prometheus and promtool are not on PATH", "install Prometheus, or leave out --prometheus")
    server, tool = map(str, programs)
    folder.mkdir(parents=True)
    metrics, data, config = folder / "metrics.txt", folder / "data", folder / "prometheus.yml"
    with metrics.open("w", encoding="utf-8") as file:
        file.writelines(open_metrics(series))
    config.write_text("scrape_configs: []\n", encoding="utf-8")
    command = [tool, "tsdb", "create-blocks-from", "openmetrics", str(metrics), str(data)]
    filled = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if filled.returncode:
        raise RunError(
            f"promtool did not take the metrics: {text(filled.stderr)}", "report it: the rehearsal made them"
        )
    metrics.unlink()
    with socket.socket() as probe:  # Prometheus does not say which port it took when told to take any
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    options = (f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}")
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([server, *options], stdout=log, stderr=log)  # noqa: S603 - our own arguments
    try:
        _wait(process, address, folder / "prometheus.log")
        yield f"http://{address}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(address, timeout=5)
            connection.request("GET", "/-/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    last = log.read_text(errors="replace").strip().rpartition("\n")[2]
    raise RunError(f"Prometheus did not start: {text(last)}", "run the drill without --prometheus")
