"""Changes on the server's side, dated by metrics of a real Prometheus."""

from __future__ import annotations

import json
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_server import MINUTES, NEW, START
from series import body

from irkit.archive import load_evidence, save_evidence
from irkit.changes import ServerChange
from irkit.errors import MetricsError
from irkit.gather import begin, gather_failures
from irkit.incident import Annotation, parse_incident
from irkit.metrics import query_changes
from irkit.servermetrics import ServerChanges, load_changes

MINUTE = timedelta(minutes=1)
WINDOW: dict[str, Any] = {"start": START, "end": START + (MINUTES - 1) * MINUTE}
EDGE = Annotation(metric="kube_deployment_status_observed_generation", matchers={"namespace": "edge"})
RELEASES = Annotation(metric="app_release_info", matchers={"app": ("shop", "other")}, what="release")
PLAN = Annotation(metric="certmanager_certificate_renewal_timestamp_seconds", matchers={"name": "edge"})


def asked(history: str, host: str, *annotations: Annotation) -> ServerChanges:
    return query_changes(history, host, annotations=annotations, **WINDOW)


def test_a_rotation_is_dated_to_the_probe_that_saw_it_first(history: str) -> None:
    (served,) = (one for one in asked(history, "shop.example").changes if one.kind == "served")
    assert (served.at, served.earliest) == (START + 187 * MINUTE, START + 186 * MINUTE)
    assert (served.fingerprint, served.until) == (NEW, None)
    assert served.where == "https://shop.example:443/health"
    assert served.source == "probe_ssl_last_chain_info"


def test_without_fingerprints_the_expiry_tells(history: str) -> None:
    (served,) = (one for one in asked(history, "bare.example").changes if one.kind == "served")
    assert (served.source, served.at) == ("probe_ssl_earliest_cert_expiry", START + 187 * MINUTE)
    assert "earliest expiry became" in served.what


def test_what_was_issued_is_told_apart_from_what_is_served(history: str) -> None:
    (issued,) = (one for one in asked(history, "shop.example").changes if one.kind == "issued")
    assert (issued.serial, issued.at) == ("18", START + 187 * MINUTE)


def test_ssl_exporter_dates_the_leaf_by_its_serial_number_and_not_its_ca(history: str) -> None:
    (served,) = asked(history, "exporter.example").changes
    assert (served.kind, served.source, served.serial) == ("served", "ssl_cert_not_before", "72")
    assert (served.at, served.earliest) == (START + 187 * MINUTE, START + 186 * MINUTE)
    assert served.until is None
    assert served.fingerprint == ""
    assert asked(history, "www.exporter.example").changes == (), "the instance is who was asked"


def test_ingress_nginx_dates_each_pod(history: str) -> None:
    found = asked(history, "ingress.example").changes
    assert [(one.serial, (one.at - START) // MINUTE) for one in found] == [("32", 187), ("32", 200)]
    assert {one.source for one in found} == {"nginx_ingress_controller_ssl_certificate_info"}
    assert ["a" in one.where.split(", ") for one in found] == [True, False]


def test_cert_manager_dates_an_issue_by_what_it_is_valid_from_and_until(history: str) -> None:
    edge = {"name": "edge"}
    issued = [
        Annotation(metric=f"certmanager_certificate_{what}_timestamp_seconds", matchers=edge)
        for what in ("not_before", "expiration")
    ]
    found = asked(history, "nowhere.example", *issued).changes
    assert [(one.kind, one.at, one.earliest) for one in found] == [
        ("issued", START + 187 * MINUTE, START + 186 * MINUTE)
    ] * 2
    assert {one.what for one in found} == {
        "certificate valid from 2026-11-20 03:06 UTC issued", "certificate valid until 2027-02-19 00:00 UTC issued"
    }  # fmt: skip


def test_every_known_metric_has_its_test(history: str) -> None:
    from irkit.servermetrics import _KNOWN

    with urllib.request.urlopen(f"{history}/api/v1/label/__name__/values", timeout=30) as answer:
        assert set(_KNOWN) <= set(json.load(answer)["data"])


def test_a_half_rolled_fleet_is_a_finding(history: str) -> None:
    found = asked(history, "half.example")
    assert any("alternate" in finding and "not every server" in finding for finding in found.findings)
    assert found.changes[0].at == START + 101 * MINUTE


def test_deployments_releases_and_plans_come_from_the_metrics_that_the_incident_file_names(history: str) -> None:
    found = asked(history, "nowhere.example", EDGE, RELEASES, PLAN, Annotation("moved", START + 9 * MINUTE)).changes
    assert [(one.kind, (one.at - START) // MINUTE) for one in found[:3]] == [
        ("note", 9), ("release", 60), ("deployment", 186)
    ]  # fmt: skip
    assert found[1].what == "release: shop 5.4.0"
    assert found[3].kind == "planned"


def test_a_host_is_looked_for_and_never_run(history: str) -> None:
    for host in ("sho..example", '"} or up{a="', "hop.example", "shop.example.evil.test"):
        assert asked(history, host).changes == ()


def test_what_was_asked_replays_without_a_prometheus(history: str) -> None:
    found = asked(history, "shop.example", RELEASES, EDGE)
    saved = b"[" + b",".join(found.entries) + b"]"
    assert load_changes(saved, "shop.example").changes == found.changes
    assert load_changes(body([]), "shop.example") == ServerChanges((), ())
    with pytest.raises(MetricsError):
        load_changes(saved[:-20], "shop.example")


def test_changes_are_evidence_and_are_kept_with_it(history: str, tmp_path: Path) -> None:
    incident = parse_incident(
        f"""
        [incident]
        host = "step.example"
        start = {(START + 15 * MINUTE).isoformat()}
        end = {WINDOW["end"].isoformat()}
        [metrics]
        url = "{history}"
        [[annotation]]
        at = 2026-11-20T03:00:00Z
        what = "gateway deployed"
        [[annotation]]
        metric = "app_release_info"
        """,
        folder=tmp_path,
    )
    evidence = gather_failures(begin(incident))
    assert [one.what for one in evidence.changes] == ["shop 5.4.0", "gateway deployed"]
    assert load_evidence(save_evidence(evidence, tmp_path / "kept")).changes == evidence.changes


def test_hostile_labels_stay_one_visible_line() -> None:
    assert str(ServerChange(START, "\x1b[2J\n<b>")).isprintable()
