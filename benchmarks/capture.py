"""How many chains a second, against what else captures them, side by side in one run on loopback.

    python benchmarks/capture.py [the Python of an environment with sslyze]

nginx serves 50 names, ECDSA, in TLS 1.2 and 1.3. In turns, so that a busy moment of the machine hits all:
`capture_many` by the whole handshake and as a sweep, `capture` one at a time, Python's ssl in a pool of threads (the
same server, no verification either, the chain's DER read), pyOpenSSL alone (nothing read: what a handshake of its
OpenSSL costs), `openssl s_client` in a loop, `openssl s_time` and sslyze's certificate scan. sslyze is AGPL and wants
an older cryptography than irkit: without its Python it is installed into a temporary environment.

Prints the client's CPU time (its processes' user and system time; nginx's is not in it) and the wall time of a capture,
what was wanted of them, the sweep against a server that speaks TLS 1.3 alone (it refuses the first hello: two
connections and a key exchange each), and the peak memory of capturing from 10,000 targets. The CPU time holds on a busy
machine, too; the rates are those of its idle cores: both irkit's ways run in one thread, the threads in as many as
there are cores.
"""

from __future__ import annotations

import contextlib
import os
import re
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
from OpenSSL import SSL
from zoo import nginx

from irkit.capture import capture
from irkit.chain import Chain
from irkit.fleet import capture_many
from irkit.target import Target

NAMES, MANY, FEW, ROUNDS, POOL = 50, 500, 20, 5, 32

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


def blocks(folder: Path, port: int, protocols: str) -> str:
    ca = root().issue(cn="Benchmark CA", ca=True)
    made = [f"ssl_protocols {protocols};"]
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


def one_by_one(port: int) -> int:
    for number in range(MANY):
        capture(f"h{number % NAMES}.test", connect=f"127.0.0.1:{port}")
    return MANY


def pool(port: int) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # one for all: a context costs more than a handshake
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def one(number: int) -> int:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            context.wrap_socket(plain, server_hostname=f"h{number % NAMES}.test") as tls,
        ):
            if sys.version_info >= (3, 13):
                return len(tls.get_unverified_chain())
            chain = tls._sslobj.get_unverified_chain()  # noqa: SLF001 - all that 3.11 and 3.12 have
            return len([certificate.public_bytes(2) for certificate in chain])  # 2: DER

    with ThreadPoolExecutor(POOL) as workers:
        assert all(workers.map(one, range(MANY)))
    return MANY


def pyopenssl(port: int) -> int:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    for number in range(MANY):
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            tls = SSL.Connection(context, None)
            tls.set_connect_state()
            tls.set_tlsext_host_name(f"h{number % NAMES}.test".encode())
            done = False
            while not done:
                with contextlib.suppress(SSL.WantReadError):
                    tls.do_handshake()
                    done = True
                with contextlib.suppress(SSL.WantReadError):
                    plain.sendall(tls.bio_read(16384))
                if not done:
                    tls.bio_write(plain.recv(65536))
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
    install = [python, "-m", "pip", "install", "-qq", "sslyze"]
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
        with nginx(folder, lambda port: blocks(folder, port, "TLSv1.2 TLSv1.3")) as port:
            compare(port, python)
            memory(port)
        with nginx(folder, lambda port: blocks(folder, port, "TLSv1.3")) as port:
            modern(port)
    finally:
        shutil.rmtree(folder)


WHOLE, SWEEP, PEER, SSLYZE_SCAN = (
    "irkit, whole handshake", "irkit, sweep", "Python's ssl, 32 threads", "sslyze, certificate scan",
)  # fmt: skip


def compare(port: int, python: str | None) -> None:
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        WHOLE: lambda: measured(lambda: ours(port, sweep=False)),
        SWEEP: lambda: measured(lambda: ours(port, sweep=True)),
        "irkit.capture, one by one": lambda: measured(lambda: one_by_one(port)),
        PEER: lambda: measured(lambda: pool(port)),
        "pyOpenSSL, nothing read": lambda: measured(lambda: pyopenssl(port)),
        "openssl s_client, a loop": lambda: measured(lambda: s_client(port)),
        "openssl s_time, the limit": lambda: s_time(port),
    }
    if python is not None:
        ways[SSLYZE_SCAN] = lambda: scans(python, port)
    middle = in_turns(ways)
    (whole, _), (sweep, swept), (peer, pooled) = middle[WHOLE], middle[SWEEP], middle[PEER]
    wanted("whole handshake, CPU of the threads'", whole / peer, most=1)
    if python is not None:
        wanted("whole handshake, CPU of sslyze's", whole / middle[SSLYZE_SCAN][0], most=0.2)
    else:
        print("sslyze could not be installed: not compared")
    wanted("sweep, CPU of the threads'", sweep / peer, most=0.5)
    wanted("sweep, rate of the threads'", pooled / swept, least=2)


def in_turns(ways: dict[str, Callable[[], tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """The median CPU and wall seconds of a capture, each way, printed."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # warm
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken[name].append(way())
    print(f"{'':28}{'captures/s':>12}{'CPU-ms each':>14}")
    middle = {}
    for name, each in taken.items():
        used, wall = (statistics.median(column) for column in zip(*each, strict=True))
        middle[name] = used, wall
        print(f"{name:28}{1 / wall:12,.0f}{1000 * used:14.3f}")
    return middle


def wanted(what: str, ratio: float, *, most: float | None = None, least: float | None = None) -> None:
    met = ratio <= most if most is not None else least is not None and ratio >= least
    bound = f"at most {most:g}" if most is not None else f"at least {least:g}"
    print(f"{what}: {ratio:.2f}, wanted {bound}{'' if met else ': NOT MET in this run'}")


def modern(port: int) -> None:
    print("a server of TLS 1.3 alone:")
    in_turns(
        {
            WHOLE: lambda: measured(lambda: ours(port, sweep=False)),
            SWEEP: lambda: measured(lambda: ours(port, sweep=True)),
            PEER: lambda: measured(lambda: pool(port)),
        }
    )


def scans(python: str, port: int) -> tuple[float, float]:
    def work(count: int) -> Callable[[], int]:
        def run() -> int:
            sslyze(python, port, count)
            return 1

        return run

    few, many = measured(work(10)), measured(work(60))
    return (many[0] - few[0]) / 50, (many[1] - few[1]) / 50


def s_time(port: int) -> tuple[float, float]:
    """Handshakes and nothing else, one after the other, for a second."""
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-time", "1"]
    used, began = cpu(), time.perf_counter()
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    took = time.perf_counter() - began
    match = re.search(r"(\d+) connections in \d+ real seconds", shown)
    assert match is not None, shown
    return (cpu() - used) / int(match[1]), took / int(match[1])


def memory(port: int) -> None:
    for kind in ("sweep", "whole"):
        command = [sys.executable, "-c", MEMORY, str(port), kind]
        got, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        print(f"10,000 targets, {kind}: {got} chains, at most {peak} MB of memory")


if __name__ == "__main__":
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}, {ssl.OPENSSL_VERSION}"
    )
    main()
