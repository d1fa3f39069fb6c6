"""From a live Prometheus to counts: irkit against prometheus-api-client's own frame, in time and peak memory.

Usage: python benchmarks/metrics.py [--series N] [--minutes N]

Starts a Prometheus (it and promtool have to be installed), fills it with raw counters, and asks for the same series
twice, each time in a process of its own. irkit's end is a Failures, the other's a MetricRangeDataFrame, which is not
yet differenced. Ends with 1 where irkit takes more than half the time or a third of the memory. Linux only: the peak is
read from /proc.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
START = datetime(2026, 11, 20, tzinfo=UTC)
HOST = "api.example.com"


def samples(series: int, minutes: int) -> Iterator[tuple[dict[str, str], float, float]]:
    rng = np.random.default_rng(1)
    for i in range(series // 2):
        labels = {"domain": HOST, "app_version": f"5.{i % 10}.0", "region": f"region-{i // 10 % 10}"}
        labels |= {
            "platform": ("android", "ios")[i // 100 % 2],
            "job": "gateway",
            "instance": f"10.0.0.{i // 200}:9100",
        }
        for result, mean in (("success", 50), ("failure", 1)):
            total = 10_000
            for minute in range(minutes + 12):
                total += int(rng.poisson(mean))
                yield labels | {"result": result}, START.timestamp() + 60 * (minute - 11), total


def ask_irkit(url: str, minutes: int) -> int:
    from irkit.metrics import query_failures

    found = query_failures(url, HOST, start=START, end=START + timedelta(minutes=minutes), deadline=120)
    return found.failures.size


def ask_client(url: str, minutes: int) -> int:
    from prometheus_api_client import MetricRangeDataFrame, PrometheusConnect

    query = f'last_over_time(cert_pin_validation_total{{domain="{HOST}"}}[59999ms])'
    end = START + timedelta(minutes=minutes)
    found = PrometheusConnect(url).custom_query_range(query, START - timedelta(minutes=9), end, "60")
    return len(MetricRangeDataFrame(found))


def peak_mb() -> float:
    """The most memory this process has held. getrusage would count its parent's too, from before the exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def child(name: str, url: str, minutes: int) -> None:
    """Asks once, prints wall seconds, CPU seconds and peak memory beyond what the imports took."""
    import prometheus_api_client  # noqa: F401 - both pay for the imports before the clock runs

    import irkit.metrics  # noqa: F401 - as above

    before = peak_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    {"irkit": ask_irkit, "client": ask_client}[name](url, minutes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(wall, cpu, peak_mb(), peak_mb() - before)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--minutes", type=int, default=1440)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("NAME", "URL"))
    options = parser.parse_args()
    if options.child:
        child(*options.child, options.minutes)
        return
    from prometheus_server import openmetrics, prometheus

    print(
        f"{options.series:,} series of {options.minutes:,} points; filling a Prometheus, which takes a while",
        flush=True,
    )
    found: dict[str, list[list[float]]] = {"irkit": [], "client": []}
    with prometheus(openmetrics(samples(options.series, options.minutes))) as url:
        for run in range(options.runs + 1):
            for name, measured in found.items():
                command = [sys.executable, __file__, "--minutes", str(options.minutes), "--child", name, url]
                numbers = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                if run:  # the first one warms Prometheus' cache
                    measured.append([float(number) for number in numbers])
    ours, theirs = (np.median(measured, axis=0) for measured in found.values())
    print(f"{'':22s} {'irkit':>10s} {'client':>10s}   ratio   (medians of {options.runs})")
    for i, what in enumerate(("wall seconds", "CPU seconds", "peak MB", "peak MB beyond imports")):
        print(f"{what:22s} {ours[i]:10.2f} {theirs[i]:10.2f} {theirs[i] / ours[i]:6.1f}x")
    holds = theirs[0] >= 2 * ours[0] and theirs[2] >= 3 * ours[2]
    print(f"{'holds' if holds else 'DOES NOT HOLD'}: at least twice as fast, with a third of the memory")
    sys.exit(not holds)


if __name__ == "__main__":
    main()
