"""What else speaks Prometheus' API: a real VictoriaMetrics counts as Prometheus does; Thanos and Mimir differ so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_server import (
    AWKWARD,
    MINUTES,
    START,
    FaultServer,
    Reply,
    always,
    scenarios,
    send,
    server_metrics,
    victoria_metrics,
)
from series import GOOD, MINUTE, SHORT, body, counter

from irkit.errors import MetricsError
from irkit.failures import Labels
from irkit.gather import begin, gather_failures
from irkit.incident import Annotation, parse_incident
from irkit.metrics import clock_skew, load_failures, query_changes, query_failures
from irkit.onset import onsets

Fault = Callable[[Reply], FaultServer]
WINDOW: dict[str, Any] = {"start": START, "end": START + (MINUTES - 1) * MINUTE}


@pytest.fixture(scope="module")
def victoria(tool: Callable[..., str]) -> Iterator[str]:
    """The base URL of a VictoriaMetrics that holds what `history` holds; under `/prometheus`, as Mimir has it."""
    with victoria_metrics(scenarios(), *server_metrics(), program=tool("victoria-metrics")) as url:
        yield f"{url}/prometheus"


@pytest.mark.parametrize(
    "domain",
    ["steady", "reset", "gap", "born", "joined", "step", "ramp", "blip", "recurring", "two", "low", "daily", "quiet"],
)
def test_victoria_metrics_counts_what_prometheus_counts(history: str, victoria: str, domain: str) -> None:
    ours, theirs = (query_failures(url, f"{domain}.example", **WINDOW) for url in (victoria, history))
    assert ours.cohorts == theirs.cohorts
    assert np.array_equal(ours.failures, theirs.failures, equal_nan=True)
    assert np.array_equal(ours.validations, theirs.validations, equal_nan=True)
    assert ours.findings == theirs.findings
    assert ours.before == theirs.before
    assert onsets(ours) == onsets(theirs)
    assert load_failures(ours.raw, f"{domain}.example", source=victoria) == ours


@pytest.mark.parametrize("domain", ["gap.example", "born.example", "reset.example", "step.example"])
def test_victoria_metrics_sums_what_prometheus_sums(
    history: str, victoria: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irkit import metrics

    monkeypatch.setattr(metrics, "MOST_RAW", 1)
    ours, theirs = (query_failures(url, domain, **WINDOW) for url in (victoria, history))
    assert ours.query.startswith("sum by")
    assert np.array_equal(ours.failures, theirs.failures, equal_nan=True)
    assert np.array_equal(ours.validations, theirs.validations, equal_nan=True)


@pytest.mark.parametrize("value", AWKWARD)
def test_awkward_values_are_looked_for_and_never_run_by_victoria_metrics(victoria: str, value: str) -> None:
    found = query_failures(victoria, value, start=START, end=START + 29 * MINUTE, matchers={"app_version": [value]})
    assert {cohort["version"] for cohort in found.cohorts} == {value}
    assert np.nansum(found.failures) == 29 * (AWKWARD.index(value) + 1)


@pytest.mark.parametrize("host", ["shop.example", "half.example", "bare.example", "nowhere.example"])
def test_victoria_metrics_dates_what_prometheus_dates(history: str, victoria: str, host: str) -> None:
    annotations = (
        Annotation(metric="kube_deployment_status_observed_generation", matchers={"namespace": "edge"}),
        Annotation(metric="app_release_info", what="release"),
        Annotation(metric="certmanager_certificate_renewal_timestamp_seconds", matchers={"name": "edge"}),
    )
    found = [query_changes(url, host, annotations=annotations, **WINDOW) for url in (victoria, history)]
    assert found[0].changes == found[1].changes
    assert found[0].changes
    assert found[0].findings == found[1].findings


def test_victoria_metrics_names_what_is_there_where_something_is_not(victoria: str) -> None:
    skew = clock_skew(victoria)
    assert skew is None or abs(skew) < timedelta(minutes=1)
    for options, says in (
        ({"metric": "cert_pin"}, "no metric 'cert_pin'"),
        ({"labels": Labels(result="outcome")}, "no series has a label 'outcome'"),
        ({"matchers": {"job": "other"}}, "no samples for"),
    ):
        with pytest.raises(MetricsError, match=says):
            query_failures(victoria, "step.example", **(WINDOW | options))  # type: ignore[operator]  # of two kinds
    with pytest.raises(MetricsError, match="no domain 'stepp") as caught:
        query_failures(victoria, "stepp.example", **WINDOW)
    assert "step.example" in caught.value.hint


# --- what Thanos, Mimir and a VictoriaMetrics cluster differ in -------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"isPartial": True},  # VictoriaMetrics
        {"warnings": ["receive series from Addr: 10.0.0.3:10901: rpc error: context deadline exceeded"]},  # Thanos
    ],
)
def test_a_partial_answer_counts_and_is_missing_in_part(fault: Fault, tmp_path: Path, more: dict[str, Any]) -> None:
    minutes = range(MINUTES)
    answer = body([counter("success", minutes), counter("failure", [5 for _ in minutes])], **more)
    incident = parse_incident(
        f'[incident]\nhost = "h"\nstart = {WINDOW["start"].isoformat()}\nend = {WINDOW["end"].isoformat()}\n'
        f'[metrics]\nurl = "{fault(always(200, answer)).url}"\n',
        folder=tmp_path,
    )
    evidence = gather_failures(begin(incident))
    assert evidence.failures is not None
    (missing,) = (item for item in evidence.missing if item.source == "metrics in part")
    assert "partial" in missing.reason or "10.0.0.3" in missing.reason
    assert "too low" in missing.hint


@pytest.mark.parametrize("prefix", ["/prometheus", "/select/0/prometheus", "/select/12:3/prometheus/"])
def test_a_path_and_a_tenant_go_with_every_question(fault: Fault, prefix: str) -> None:
    server = fault(always(200, GOOD))
    query_failures(server.url + prefix, "h", **SHORT, tenant="shop")
    assert {path for _, path, _, _ in server.requests} == {f"{prefix.rstrip('/')}/api/v1/query_range"}
    assert {headers.get("X-Scope-OrgID") for _, _, headers, _ in server.requests} == {"shop"}


def test_mimir_without_a_tenant_says_what_to_name(fault: Fault) -> None:
    with pytest.raises(MetricsError, match="HTTP 401: no org id") as caught:
        query_failures(fault(always(401, b"no org id\n")).url, "h", **SHORT)
    assert "tenant" in caught.value.hint


def test_days_before_that_mimir_finds_too_long_are_a_finding(fault: Fault) -> None:
    limit = "the query time range exceeds the limit (query length: 168h0m0s, limit: 48h0m0s)"
    refused = json.dumps({"status": "error", "errorType": "execution", "error": limit}).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        long = b"+offset+15m" in server.requests[-1][3]
        send(handler, 422 if long else 200, refused if long else GOOD)

    server = fault(answer)
    found = query_failures(server.url, "h", **SHORT)
    assert found.reasons["success"] == 99
    assert any("time range exceeds the limit" in finding for finding in found.findings)


def test_two_replicas_that_read_the_same_count_once() -> None:
    """A pair of Prometheus behind a Thanos that was not told to drop `replica`."""
    pair = [
        counter(result, [value * i if replica == "a" or i > 9 else None for i in range(100)], replica=replica)
        for result, value in (("success", 9), ("failure", 1))
        for replica in ("b", "a")
    ]
    found = load_failures(body(pair), "h", **SHORT)
    assert found.reasons == {"failure": 99, "success": 9 * 99}
    assert any("2 of 4 series are another replica's" in finding for finding in found.findings)
