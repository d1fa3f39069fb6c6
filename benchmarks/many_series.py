"""100,000 series from a live Prometheus: whether they are counted right, and what that takes in memory.

Usage: python benchmarks/many_series.py [--series N] [--seconds N]

A Prometheus (it has to be installed) scrapes counters from here every five seconds, each of which counts one failure or
ten successes a scrape. Then irkit counts them in a process of its own, in steps of five seconds, and so does a process
that fetches the raw series as prometheus-api-client does. Linux only: the peak is read from /proc.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST, STEP = "api.example.com", 5


def page(series: int, scrape: int) -> bytes:
    """Every counter: 10 new successes or 1 new failure a scrape."""
    lines = []
    for i in range(series):
        result, each = (("success", 10), ("failure", 1))[i % 2]
        labels = f'domain="{HOST}",result="{result}",app_version="5.{i // 2 % 10}.0",region="r{i // 20 % 10}"'
        lines.append(f'cert_pin_validation_total{{{labels},shard="{i // 200}"}} {each * (scrape + 1)}')
    return ("\n".join(lines) + "\n").encode()


def peak_mb() -> float:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def child(name: str, url: str, start: float, end: float) -> None:
    began, ended = (datetime.fromtimestamp(at, UTC) for at in (start, end))
    import irkit.metrics

    before, cpu = peak_mb(), time.process_time()
    if name == "irkit":
        found = irkit.metrics.query_failures(
            url, HOST, start=began, end=ended, step=timedelta(seconds=STEP), deadline=600
        )
        shown = f"{found.failures[:, 1:].mean(axis=0).tolist()} {found.findings}"
    else:
        from prometheus_api_client import PrometheusConnect

        query = f'last_over_time(cert_pin_validation_total{{domain="{HOST}"}}[{STEP}s])'
        shown = f"{len(PrometheusConnect(url).custom_query_range(query, began, ended, str(STEP)))} series"
    print(f"{name}: {peak_mb() - before:.0f} MB beyond imports, {time.process_time() - cpu:.1f} s of CPU; {shown}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--child", nargs=4, metavar=("NAME", "URL", "START", "END"))
    options = parser.parse_args()
    if options.child:
        name, url, start, end = options.child
        child(name, url, float(start), float(end))
        return
    scrapes = iter(range(10**9))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page(options.series, next(scrapes))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    counters = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=counters.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="irkit-many-") as folder:
        config = Path(folder) / "prometheus.yml"
        config.write_text(
            f"global: {{scrape_interval: {STEP}s, scrape_timeout: {STEP}s}}\n"
            f"scrape_configs: [{{job_name: gateway, static_configs: "
            f"[{{targets: ['127.0.0.1:{counters.server_address[1]}']}}]}}]\n"
        )
        probe = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        port = probe.server_address[1]
        probe.server_close()
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            print(f"{options.series:,} series, scraped every {STEP} s for {options.seconds} s", flush=True)
            time.sleep(options.seconds)
            urllib.request.urlopen(f"{url}/-/ready", timeout=10)
            end = time.time() - 2 * STEP
            for name in ("irkit", "client"):
                window = [str(end - options.seconds / 2), str(end)]
                subprocess.run([sys.executable, __file__, "--child", name, url, *window], check=True)
            status = Path(f"/proc/{server.pid}/status").read_text()
            print(f"Prometheus' own peak: {int(status.split('VmHWM:')[1].split()[0]) / 1024:.0f} MB")
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
