"""How many chains a second, against what else captures them, side by side in one run on loopback.

    python benchmarks/capture.py [the Python of an environment with sslyze]

nginx serves 50 names. In turns, so that a busy moment of the machine hits all: `capture_many` by the whole handshake
and as a sweep, Python's ssl in a pool of threads, `openssl s_client` in a loop, sslyze's certificate scan; then one
`openssl s_time` for what the server gives. sslyze is AGPL and wants an older cryptography than irkit: without its
Python it is installed into a temporary environment. Prints the client's CPU time and the wall time of a capture, and
the peak memory of capturing from 10,000 targets.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from forge import root
from zoo import nginx

from irkit.chain import Chain
from irkit.fleet import capture_many
from irkit.target import Target

NAMES, MANY, FEW, ROUNDS, POOL = 50, 1000, 30, 3, 32

SSLYZE = """
import sys
from sslyze import Scanner, ScanCommand, ServerNetworkConfiguration, ServerNetworkLocation, ServerScanRequest
scanner = Scanner()
scanner.queue_scans([
    ServerScanRequest(
        ServerNetworkLocation(f"h{i % 50}.test", int(sys.argv[1]), ip_address="127.0.0.1"),
        ServerNetworkConfiguration(f"h{i % 50}.test"),
        scan_commands={ScanCommand.CERTIFICATE_INFO},
    )
    for i in range(int(sys.argv[2]))
])
done = [result.scan_result.certificate_info.result for result in scanner.get_results()]
assert len(done) == int(sys.argv[2]) and all(done)
"""

MEMORY = """
import resource, sys
from irkit.chain import Chain
from irkit.fleet import capture_many
targets = (f"h{i % 50}.test:443 127.0.0.1:{sys.argv[1]}" for i in range(10000))
got = sum(isinstance(found.result, Chain) for found in capture_many(targets, sweep=sys.argv[2] == "sweep"))
print(got, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def blocks(folder: Path, port: int) -> str:
    ca = root().issue(cn="Benchmark CA", ca=True)
    made = []
    for number in range(NAMES):
        certificate, key = ca.issue(f"h{number}.test").write(folder, f"h{number}")
        made.append(
            f"server {{ listen 127.0.0.1:{port} ssl; server_name h{number}.test; "
            f"ssl_certificate {certificate}; ssl_certificate_key {key}; }}"
        )
    return "\n".join(made)


def cpu() -> float:
    """Seconds of CPU that this process and its ended children took."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def ours(port: int, *, sweep: bool) -> int:
    targets = (Target(f"h{i % NAMES}.test", 443, f"127.0.0.1:{port}") for i in range(MANY))
    found = [result for _, result in capture_many(targets, sweep=sweep, concurrency=POOL)]
    assert all(isinstance(result, Chain) for result in found)
    return MANY


def pool(port: int) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # one for all: a context costs more than a handshake
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def one(number: int) -> int:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            context.wrap_socket(plain, server_hostname=f"h{number % NAMES}.test") as tls,
        ):
            get = getattr(tls, "get_unverified_chain", None) or tls._sslobj.get_unverified_chain  # noqa: SLF001 - all that 3.11 has
            return len(get())

    with ThreadPoolExecutor(POOL) as workers:
        assert all(workers.map(one, range(MANY)))
    return MANY


def s_client(port: int) -> int:
    for number in range(FEW):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", f"h{number}.test",
                   "-showcerts", "-no-CAfile", "-no-CApath", "-no-CAstore"]  # fmt: skip
        shown = subprocess.run(command, input=b"", capture_output=True, check=False).stdout
        assert b"BEGIN CERTIFICATE" in shown
    return FEW


def sslyze(python: str, port: int, count: int) -> None:
    subprocess.run([python, "-c", SSLYZE, str(port), str(count)], check=True, capture_output=True)


def sslyze_python(folder: Path) -> str | None:
    """A Python that has sslyze; None where it can't be installed."""
    if len(sys.argv) > 1:
        return sys.argv[1]
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False).returncode == 0
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "sslyze"]
    return python if made and subprocess.run(install, check=False).returncode == 0 else None


def measured(work: Callable[[], int]) -> tuple[float, float]:
    """CPU and wall seconds of one capture."""
    used, began = cpu(), time.perf_counter()
    count = work()
    return (cpu() - used) / count, (time.perf_counter() - began) / count


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="irkit-benchmark-"))
    try:
        python = sslyze_python(folder / "sslyze")
        with nginx(folder, lambda port: blocks(folder, port)) as port:
            compare(port, python)
            s_time(port)
            memory(port)
    finally:
        shutil.rmtree(folder)


def compare(port: int, python: str | None) -> None:
    ways: dict[str, Callable[[], int]] = {
        "irkit, whole handshake": lambda: ours(port, sweep=False),
        "irkit, sweep": lambda: ours(port, sweep=True),
        "Python's ssl, 32 threads": lambda: pool(port),
        "openssl s_client, a loop": lambda: s_client(port),
    }
    taken: dict[str, list[tuple[float, float]]] = {}
    for way in ways.values():
        way()  # warm
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken.setdefault(name, []).append(measured(way))
        if python is not None:  # what 60 take beyond 10 is the scanning: starting it is left out
            taken.setdefault("sslyze, certificate scan", []).append(scans(python, port))
    print(f"{'':28}{'captures/s':>12}{'CPU-ms each':>14}")
    middle = {
        name: (statistics.median(c for c, _ in t), statistics.median(w for _, w in t)) for name, t in taken.items()
    }
    for name, (used, wall) in middle.items():
        print(f"{name:28}{1 / wall:12,.0f}{1000 * used:14.2f}")
    whole, swept, peer = (
        middle[name] for name in ("irkit, whole handshake", "irkit, sweep", "Python's ssl, 32 threads")
    )
    print(f"whole handshake: {whole[0] / peer[0]:.2f} of the threads' CPU", end="")
    if python is not None:
        print(f", {whole[0] / middle['sslyze, certificate scan'][0]:.2f} of sslyze's", end="")
    print(f"; sweep: {swept[0] / peer[0]:.2f} of the threads' CPU at {peer[1] / swept[1]:.1f} times their rate")


def scans(python: str, port: int) -> tuple[float, float]:
    def work(count: int) -> Callable[[], int]:
        def run() -> int:
            sslyze(python, port, count)
            return 1

        return run

    few, many = measured(work(10)), measured(work(60))
    return (many[0] - few[0]) / 50, (many[1] - few[1]) / 50


def s_time(port: int) -> None:
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-time", "3"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    print("openssl s_time, the limit of one connection at a time:", *shown.splitlines()[-1:])


def memory(port: int) -> None:
    for kind in ("sweep", "whole"):
        command = [sys.executable, "-c", MEMORY, str(port), kind]
        got, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        print(f"10,000 targets, {kind}: {got} chains, at most {peak} MB of memory")


if __name__ == "__main__":
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}, {os.cpu_count()} cores, {ssl.OPENSSL_VERSION}"
    )
    main()
