"""Every fault of Prometheus: a clear `missing` within the deadline, and the rest of the triage goes on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from forge import root
from incidents import HOST, nsc
from prometheus_server import MINUTES, START, FaultServer, Reply, always, drip, half, never
from series import GOOD, MINUTE, body, counter

from irkit.chain import Chain
from irkit.classify import classify
from irkit.evidence import Evidence
from irkit.gather import begin, gather_chains, gather_failures, gather_pins

Fault = Callable[[Reply], FaultServer]
END = START + (MINUTES - 1) * MINUTE
DEADLINE = 3.0


def triage(folder: Path, url: str, metrics: str = "", host: str = HOST) -> Evidence:
    """Gathers, with a chain and a release that are there, and judges."""
    authority = root()
    leaf = authority.issue(HOST)
    (folder / "office.pem").write_text("".join(one.pem() for one in leaf.chain))
    (folder / "pins.xml").write_bytes(nsc(Chain(leaf.chain)[0].pin))
    (folder / "incident.toml").write_text(
        f'[incident]\nhost = "{host}"\nstart = {(START + 15 * MINUTE).isoformat()}\nend = {END.isoformat()}\n'
        f'[metrics]\nurl = "{url}"\n{metrics}\n'
        f'[[capture]]\nvantage = "office"\nfile = "office.pem"\nat = {END.isoformat()}\n'
        '[[release]]\napp = "shop"\nversion = "1"\nplatform = "android"\npins = "pins.xml"\n'
    )
    evidence = begin(folder / "incident.toml", now=END + timedelta(hours=1))
    return gather_pins(gather_chains(gather_failures(evidence, deadline=DEADLINE)))


def large(piece: Callable[[int], bytes], size: int = 200_000_000) -> Reply:
    """So many bytes of an answer that is good JSON, in pieces."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        head, tail = b'{"status":"success","data":{"resultType":"matrix","result":[', b"]}}"
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(head)
        sent = number = 0
        while sent < size:
            block = b"".join(piece(number + i) + b"," for i in range(20))
            sent, number = sent + len(block), number + 20
            handler.wfile.write(block)
        handler.wfile.write(piece(number) + tail)

    return reply


SAMPLES = re.search(rb'"values": (\[\[.*?\]\])', body([counter("success", range(20_000))])).group(1)  # type: ignore[union-attr]  # it is there
ODD = b'{"metric":{"a":"' + b"x" * 1_000_000 + b'"}}'


def series_of(number: int) -> bytes:
    return b'{"metric":{"result":"success","n":"%d"},"values":%s}' % (number, SAMPLES)


FAULTS: dict[str, tuple[Reply, str]] = {
    "slow": (never, "was too slow: no whole answer was read within 3 s"),
    "a byte now and then": (drip, "was too slow: no whole answer was read within 3 s"),
    "401": (always(401, b"Unauthorized"), "HTTP 401: Unauthorized"),
    "500": (always(500, b"disk full"), "HTTP 500: disk full"),
    "503": (always(503, b"no backend", Retry_After="0"), "HTTP 503: no backend"),
    "wrong JSON": (always(200, b'{"hello": "world"}'), "is JSON, but not an answer of Prometheus"),
    "broken JSON": (always(200, GOOD[:-9]), "is broken JSON"),
    "half a body": (half, "closed the connection before its answer was whole"),
    "a login page": (always(200, b"<!DOCTYPE html><title>Sign in</title>"), "is a web page, not JSON"),
    "a redirect to one": (always(302, b"", Location="https://sso.example/login"), "redirects to https://sso.example"),
    "200 MB of zeros": (large(lambda _: bytes(500_000)), "more than 134,217,728 bytes"),
    "200 MB of good JSON": (large(series_of), "more than 134,217,728 bytes"),
    "100 MB of good JSON without samples": (large(lambda _: ODD, 100_000_000), "33,554,432 bytes besides samples"),
    "100 MB of good JSON in good time or not": (
        large(series_of, 100_000_000),
        "too slow|series of .* steps|no series|",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_missing_within_the_deadline_and_the_rest_goes_on(
    fault: Fault, tmp_path: Path, name: str
) -> None:
    reply, says = FAULTS[name]
    began = time.monotonic()
    evidence = triage(tmp_path, fault(reply).url)
    took = time.monotonic() - began
    goes_on(evidence, says)
    assert took < 10 * DEADLINE  # not a measurement: forever is what must not happen


def goes_on(evidence: Evidence, says: str) -> None:
    (missing,) = (item for item in evidence.missing if item.source == "metrics")
    assert re.search(says, missing.reason)
    assert missing.hint
    assert (missing.reason + missing.hint).isprintable()
    assert evidence.failures is None
    assert len(evidence.captures) == len(evidence.releases) == 1
    assert evidence.gathered == {"failures", "chains", "pins"}
    assert classify(evidence).missing == evidence.missing


def test_a_prometheus_that_is_down_is_missing(fault: Fault, tmp_path: Path) -> None:
    server = fault(never)
    url = server.url
    server.shutdown()
    server.server_close()
    goes_on(triage(tmp_path, url), "connection refused")


@pytest.mark.parametrize(
    ("metrics", "host", "says"),
    [
        ('metric = "no_such_total"', "step.example", "there is no metric 'no_such_total'"),
        ('labels = { result = "outcome" }', "step.example", "no series has a label 'outcome'"),
        ('labels = { region = "zone" }', "step.example", "no series has the label 'zone' for the region"),
        ('labels = { domain = "site" }', "step.example", "has no label 'site'"),
        ('matchers = { cluster = "west" }', "step.example", "has no label 'cluster'"),
        ("", "nowhere.example", "has no domain 'nowhere.example'"),
    ],
)
def test_a_metric_and_labels_that_are_not_there_are_missing(
    history: str, tmp_path: Path, metrics: str, host: str, says: str
) -> None:
    goes_on(triage(tmp_path, history, metrics, host), says)


@pytest.mark.parametrize("name", ["slow", "500", "half a body", "a login page", "200 MB of good JSON"])
def test_counts_stay_where_only_the_questions_about_the_server_fail(fault: Fault, tmp_path: Path, name: str) -> None:
    reply, _ = FAULTS[name]
    minutes: Any = range(MINUTES)
    good = always(200, body([counter("success", minutes), counter("failure", [5 for _ in minutes])]))

    def answer(handler: BaseHTTPRequestHandler) -> None:
        (good if handler.path.endswith("query_range") else reply)(handler)

    evidence = triage(tmp_path, fault(answer).url)
    assert evidence.failures is not None
    assert evidence.failures.reasons["success"] > 0
    (missing,) = (item for item in evidence.missing if item.source == "server metrics")
    assert missing.hint
    assert not [item for item in evidence.missing if item.source == "metrics"]
