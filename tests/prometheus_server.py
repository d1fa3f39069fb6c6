"""A real Prometheus on a free port, filled with history; and HTTP servers that misbehave."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import free_port, listening

METRIC = "cert_pin_validation_total"
Sample = tuple[Mapping[str, str], float, float]  # labels, seconds since 1970, value


def label_text(labels: Mapping[str, str]) -> str:
    """Labels as OpenMetrics writes them."""
    escaped = {
        name: value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"


def openmetrics(samples: Iterable[Sample], metric: str = METRIC, kind: str = "counter") -> str:
    """Samples as OpenMetrics text, which promtool backfills from."""
    name = metric.removesuffix("_total") if kind == "counter" else metric
    lines = [f"# TYPE {name} {kind}"]
    lines += [f"{metric}{label_text(labels)} {value:.12g} {at:.3f}" for labels, at, value in samples]
    return "\n".join([*lines, ""])


@contextlib.contextmanager
def prometheus(
    *texts: str, programs: tuple[str, str] = ("prometheus", "promtool"), blocks: Path | None = None
) -> Iterator[str]:
    """Runs a Prometheus whose history is these OpenMetrics texts, and a folder of blocks; gives its base URL."""
    with tempfile.TemporaryDirectory(prefix="irkit-prometheus-") as name:
        folder = Path(name)
        (folder / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n")
        shutil.copytree(blocks, folder / "data") if blocks else (folder / "data").mkdir()
        for i, content in enumerate(texts):
            dump = folder / f"{i}.om"
            dump.write_text(content + "# EOF\n", encoding="utf-8")
            backfill = [programs[1], "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h"]
            backfill += [str(dump), str(folder / "data")]
            subprocess.run(backfill, check=True, capture_output=True)
        port = free_port()
        command = [
            programs[0], f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        with listening(command, port, folder / "log", "/-/ready") as url:
            yield url


@contextlib.contextmanager
def victoria_metrics(*texts: str, program: str = "victoria-metrics") -> Iterator[str]:
    """Runs a VictoriaMetrics whose history is these OpenMetrics texts; gives its base URL."""
    with tempfile.TemporaryDirectory(prefix="irkit-victoria-", ignore_cleanup_errors=True) as name:
        port = free_port()
        command = [
            program, f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={name}/data", "-retentionPeriod=100y",
            "-search.latencyOffset=0s", "-search.disableCache",
        ]  # fmt: skip
        with listening(command, port, Path(name, "log"), "/-/ready") as url:
            for content in texts:
                rows = (line.rpartition(" ") for line in content.splitlines() if line[:1] not in ("#", ""))
                lines = "\n".join(f"{head} {round(float(at) * 1000)}" for head, _, at in rows)  # in milliseconds
                urllib.request.urlopen(f"{url}/api/v1/import/prometheus", lines.encode(), timeout=60)
            urllib.request.urlopen(f"{url}/internal/force_flush", timeout=60)
            yield url


def alerting(program: str, folder: Path) -> contextlib.AbstractContextManager[str]:
    """Runs a Prometheus in which the alert on api.example.com fires at once; gives its base URL."""
    (folder / "rules.yml").write_text(
        "groups:\n  - name: now\n    interval: 1s\n    rules:\n      - alert: CertificatePinFailure\n"
        "        expr: label_replace(vector(1), 'domain', 'api.example.com', '', '')\n"
        "        labels: { severity: page, view: region, region: ap-south }\n"
    )
    config = folder / "alerting.yml"
    config.write_text(f"global: {{ evaluation_interval: 1s }}\nrule_files: ['{folder / 'rules.yml'}']\n")
    port = free_port()
    command = [
        program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'alerting'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    return listening(command, port, folder / "alerting.log", "/-/ready")


START = datetime(2026, 11, 20, tzinfo=UTC)
MINUTES = 1440  # a day
DAYS_BEFORE = 3  # of daily.example
RELEASES = ("5.3.0", "5.4.0")
REGIONS = ("eu", "us", "ap-south")
TARGETS = ("10.0.0.1:9100", "10.0.0.2:9100")
AWKWARD = (
    'quo"te',
    "apo's",
    "back\\slash",
    "new\nline",
    "br{ace}s",
    "x'} or vector(1) or up{a='",
    '"} or vector(1)',
    "ü€ 🙂",
    "a.*b",
    " ",
    "${x}",
    "\t|",
)
Ratio = Callable[[str, str, Any], Any]  # of a release and a region, at minutes


def _counted(
    domain: str, ratio: Ratio, share: Ratio | None = None, level: float = 60.0, days: int = 0
) -> Iterator[Sample]:
    """A counter per release, region and result: some `level` validations a minute each, and the failures of `ratio`."""
    minutes = np.arange(-1440 * days, MINUTES)
    rng = np.random.default_rng(sum(domain.encode()))
    for release in RELEASES:
        for number, region in enumerate(REGIONS):
            part = np.ones(len(minutes)) if share is None else share(release, region, minutes)
            wave = 1 + 0.5 * np.sin(2 * np.pi * minutes / 1440 + number)
            validations = rng.poisson(level * part * wave)
            failures = rng.binomial(validations, np.clip(0.002 + ratio(release, region, minutes), 0, 1))
            labels = {"domain": domain, "app_version": release, "region": region, "platform": "android"}
            labels |= {"job": "gateway", "instance": TARGETS[0]}
            for result, counts in (("success", validations - failures), ("failure", failures)):
                total = counts.cumsum()
                for minute in np.flatnonzero(total):  # a series is born with its first count
                    yield (
                        labels | {"result": result},
                        START.timestamp() + 60 * int(minutes[minute]),
                        float(total[minute]),
                    )


def _exact() -> Iterator[Sample]:
    """Counters whose increases are known by heart: 10 successes a minute at each target, and failures."""
    for domain in ("steady.example", "reset.example", "gap.example", "born.example", "joined.example"):
        for number, target in enumerate(TARGETS):
            for result in ("success", "failure"):
                labels = {"domain": domain, "app_version": "5.3.0", "region": "eu", "result": result}
                labels |= {"job": "gateway", "instance": target}
                value = 5000.0 if result == "success" else 40.0
                for minute in range(MINUTES):
                    value += 10 if result == "success" else 1
                    if domain == "reset.example" and number == 0 and minute == 200:
                        value = 10 if result == "success" else 1  # restarted, then counted one minute
                    if domain == "gap.example" and 300 <= minute < 307:
                        continue
                    if domain == "born.example" and result == "failure":
                        if minute < 150:
                            continue
                        value = 74.0 + minute - 150  # 74 failures before it was first read
                    if domain == "joined.example" and number == 1 and minute < 100:
                        continue  # counted for hours before it was first read
                    yield labels, START.timestamp() + 60 * minute, value


def _awkward() -> Iterator[Sample]:
    for number, value in enumerate(AWKWARD):
        for minute in range(30):
            for result in ("success", "failure"):
                labels = {"domain": value, "app_version": value, "region": "eu", "result": result, "instance": "a"}
                yield labels, START.timestamp() + 60 * minute, float((number + 1) * minute)


def _adoption(release: str, _region: str, minutes: Any) -> Any:
    new = np.clip((minutes - 180) / 240, 0, 0.9)
    return new if release == "5.4.0" else 1 - new


@lru_cache(maxsize=1)  # two servers are filled with it
def scenarios() -> str:
    """A day of one incident a domain, as OpenMetrics; daily.example has the days before, too."""
    steps: dict[str, Ratio] = {
        "quiet.example": lambda _v, _r, m: np.zeros(len(m)),
        "step.example": lambda release, _r, m: (m >= 200) * (release == "5.3.0") * 0.9,
        "blip.example": lambda _v, region, m: ((m >= 300) & (m < 345)) * (region == "ap-south") * 0.3,
        "recurring.example": lambda _v, region, m: (m % 90 >= 80) * (region == "eu") * 0.3,
    }
    samples = [sample for domain, ratio in steps.items() for sample in _counted(domain, ratio)]
    samples += _counted("ramp.example", lambda release, _r, m: (release == "5.4.0") * np.ones(len(m)), _adoption)
    both: Ratio = lambda release, region, m: np.maximum(  # noqa: E731 - one line among others
        (release == "5.4.0") * 1.0, ((m >= 100) & (m < 140)) * (region == "ap-south") * 0.5
    )
    samples += _counted("two.example", both, _adoption)
    daily: Ratio = lambda _v, region, m: np.maximum(  # noqa: E731 - one line among others
        ((m % 1440 >= 300) & (m % 1440 < 345)) * (region == "ap-south") * 0.3, (m >= 700) * (region == "eu") * 0.4
    )
    samples += _counted("daily.example", daily, days=DAYS_BEFORE)
    samples += _counted("low.example", lambda _v, region, m: (m >= 200) * (region == "us") * 1.0, level=0.5)
    samples += [*_exact(), *_awkward()]
    return openmetrics(sorted(samples, key=lambda sample: sorted(sample[0].items())))


OLD, NEW = "ab" * 32, "cd" * 32  # fingerprints


def server_metrics() -> tuple[str, ...]:
    """A rotation at minute 187 as probes, files, cert-manager and a deployment show it; a release at minute 60."""

    def each(metric: str, samples: Iterable[Sample]) -> str:
        ordered = sorted(samples, key=lambda sample: sorted(sample[0].items()))
        return openmetrics(((labels, START.timestamp() + 60 * at, value) for labels, at, value in ordered), metric,
                           "gauge")  # fmt: skip

    probe = {"job": "blackbox", "instance": "https://shop.example:443/health"}
    half = {"job": "blackbox", "instance": "half.example:443"}
    old, new = range(187), range(187, MINUTES)
    files = {"job": "x509", "instance": "10.0.0.9:9793", "subject_CN": "shop.example", "filepath": "/tls/edge.pem"}
    valid = START.timestamp() + 86400.0
    tls = {"job": "ssl", "instance": "exporter.example:443", "issuer_cn": "Sub CA", "emails": "", "ips": "", "ou": ""}
    leaf = tls | {"cn": "exporter.example", "dnsnames": ",exporter.example,www.exporter.example,"}
    above = tls | {"cn": "Sub CA", "issuer_cn": "Root", "dnsnames": "", "serial_no": "5"}
    ingress = {
        "job": "nginx",
        "host": "ingress.example",
        "issuer_common_name": "Sub CA",
        "public_key_algorithm": "ECDSA",
    }
    made = {"name": "edge", "namespace": "web", "job": "cert-manager"}
    return (
        each("ssl_cert_not_before", [
            *((leaf | {"serial_no": "71"}, m, valid - 90 * 86400) for m in old),
            *((leaf | {"serial_no": "72"}, m, START.timestamp() + 186 * 60) for m in new),
            *((above, m, valid - 900 * 86400) for m in range(MINUTES)),
        ]),
        each("nginx_ingress_controller_ssl_certificate_info", [
            *((ingress | {"pod": pod, "serial_number": number}, m, 1.0)
              for pod, moved in (("a", 187), ("b", 200)) for m in range(MINUTES)
              for number in ("31" if m < moved else "32",)),
        ]),
        each("certmanager_certificate_not_before_timestamp_seconds",
             ((made, m, START.timestamp() + (186 * 60 if m >= 187 else -9 * 86400)) for m in range(MINUTES))),
        each("certmanager_certificate_expiration_timestamp_seconds",
             ((made, m, valid + (90 * 86400 if m >= 187 else 0)) for m in range(MINUTES))),
        each("probe_ssl_last_chain_info", [
            *((probe | {"fingerprint_sha256": OLD, "subject": "CN=shop.example"}, m, 1.0) for m in old),
            *((probe | {"fingerprint_sha256": NEW, "subject": "CN=shop.example"}, m, 1.0) for m in new),
            *((half | {"fingerprint_sha256": (OLD, NEW)[m > 100 and m % 2]}, m, 1.0) for m in range(MINUTES)),
        ]),
        each("probe_ssl_earliest_cert_expiry", (
            (probe | {"instance": host}, m, valid if m < 187 else 2 * valid) for m in range(MINUTES)
            for host in (probe["instance"], "bare.example:443")
        )),
        each("x509_cert_not_after", [
            *((files | {"serial_number": "17"}, m, valid) for m in old),
            *((files | {"serial_number": "18"}, m, valid) for m in new),
        ]),
        each("certmanager_certificate_renewal_timestamp_seconds",
             (({"name": "edge", "namespace": "web"}, m, valid * 1.001) for m in range(MINUTES))),
        each("kube_deployment_status_observed_generation",
             (({"namespace": "edge", "deployment": "gateway"}, m, 7.0 + (m >= 186)) for m in range(MINUTES))),
        each("app_release_info", (
            ({"app": "shop", "version": version, "instance": f"10.0.0.{n}:80"}, m, 1.0)
            for n, (version, begin) in enumerate((("5.3.0", 0), ("5.4.0", 60), ("5.4.0", 61)))
            for m in range(begin, MINUTES)
        )),
    )  # fmt: skip


@pytest.fixture(scope="session")
def history(tool: Callable[..., str]) -> Iterator[str]:
    """The base URL of a Prometheus that holds `scenarios()` and `server_metrics()`."""
    with prometheus(scenarios(), *server_metrics(), programs=(tool("prometheus"), tool("promtool"))) as url:
        yield url


Reply = Callable[[BaseHTTPRequestHandler], None]


class FaultServer(ThreadingHTTPServer):
    """An HTTP server on loopback that does what `reply` says with each request, and remembers the requests.

    Attributes:
        requests: Method, path, headers and body of each request.
    """

    daemon_threads = True

    def __init__(self, reply: Reply) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.stop = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                owner.requests.append((self.command, self.path, dict(self.headers.items()), body))
                self.close_connection = True
                with contextlib.suppress(OSError):
                    reply(self)

            do_GET = do_POST = handle_any  # noqa: N815 - the names http.server asks for

            def log_message(self, *_: Any) -> None:
                pass

        owner = self
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def always(status: int, content: bytes, **headers: str) -> Reply:
    """The same whole answer to everything."""
    return lambda handler: send(handler, status, content, **headers)


def never(handler: BaseHTTPRequestHandler) -> None:
    """No answer, until the test is over."""
    handler.server.stop.wait(30)  # type: ignore[attr-defined]  # our FaultServer


def drip(handler: BaseHTTPRequestHandler) -> None:
    """An answer that comes a byte now and then, and does not end."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.stop.wait(0.05):  # type: ignore[attr-defined]  # our FaultServer
        handler.wfile.write(b" ")


def half(handler: BaseHTTPRequestHandler) -> None:
    """An answer that breaks off."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"status":"success","data":')


@pytest.fixture
def fault() -> Iterator[Callable[[Reply], FaultServer]]:
    """`fault(reply)` starts an HTTP server; all are closed after the test."""
    servers: list[FaultServer] = []

    def start(reply: Reply) -> FaultServer:
        server = FaultServer(reply)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.stop.set()
        server.shutdown()
        server.server_close()
