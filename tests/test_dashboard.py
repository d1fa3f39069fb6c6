"""The Grafana dashboard: it reads as Grafana's own types, and each of its queries is one that Prometheus takes."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_server import Sample, openmetrics, prometheus

from irkit.drill.causes import SCENARIOS
from irkit.drill.scenario import HOST, WINDOW
from irkit.drill.traffic import count
from irkit.health import Check, HostHealth, textfile

RUNBOOKS = Path(__file__).parent.parent / "runbooks"
DASHBOARD: dict[str, Any] = json.loads((RUNBOOKS / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
QUERIES += [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]


def test_grafanas_own_types_read_it_and_lose_no_panel() -> None:
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert [panel["title"] for panel in read["panels"]] == [panel["title"] for panel in DASHBOARD["panels"]]
    for theirs, ours in zip(read["panels"], DASHBOARD["panels"], strict=True):
        assert (theirs["gridPos"], theirs["type"]) == (ours["gridPos"], ours["type"])
    assert read["timezone"] == "utc"
    assert [variable["name"] for variable in read["templating"]["list"]] == ["datasource", "domain"]


def test_no_panel_lies_on_another_and_each_says_what_it_is_for() -> None:
    for panel in DASHBOARD["panels"]:
        assert panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in itertools.combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )  # fmt: skip
        assert apart


@pytest.mark.prometheus
def test_prometheus_takes_every_query(tmp_path: Path, tool: Callable[..., str]) -> None:
    assert len(QUERIES) > 10
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$domain", "api.example.com")}
        for number, query in enumerate(QUERIES)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [tool("promtool"), "check", "rules", str(tmp_path / "rules.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def history(now: float) -> list[str]:
    """Two days with a release that rolls out and an interception in one region, and what a scheduled look left."""
    end = datetime.fromtimestamp(now, UTC)
    counted = list[Sample]()
    for kind in ("mitm", "misconfiguration"):
        groups = SCENARIOS[kind](end - WINDOW, end).groups
        for series in count(groups, HOST, start=end - WINDOW, end=end, seed=0):
            counted += [({**series.labels, "job": kind}, at, value) for at, value in series.samples]
        yesterday = {"domain": HOST, "result": "success", "job": kind}
        counted += [(yesterday, now - back, 1e6 - back) for back in range(90_000, 80_000, -60)]
    full = HostHealth(
        HOST, "mitm", checks=(Check("x", "error", "y"),), certificate_days=9, pin_days={("a", "b", "c"): 1}
    )
    left = [
        line if line[0] == "#" else f"{line} {now - back:.0f}"
        for line in textfile([full], finished=end).splitlines()
        for back in (120, 60, 0)[: 1 if line[0] == "#" else 3]
    ]
    probed = [
        ({"instance": f"https://{HOST}"}, now - b, now + (9e6 if b < 3600 else 1e6)) for b in range(7200, -1, -60)
    ]
    alert = {"alertname": "CertificatePinFailure", "alertstate": "firing", "domain": HOST, "view": "region"}
    fired = [(alert, now - back, 1.0) for back in range(600, -1, -60)]
    return [
        openmetrics(counted), "\n".join([*left, ""]), openmetrics(probed, "probe_ssl_earliest_cert_expiry", "gauge"),
        openmetrics(fired, "ALERTS", "gauge"),
    ]  # fmt: skip


@pytest.mark.prometheus
def test_every_query_gives_data_on_a_prometheus_with_a_day_of_history(tmp_path: Path, tool: Callable[..., str]) -> None:
    programs = (tool("prometheus"), tool("promtool"))
    now = time.time() // 60 * 60 - 600
    texts, blocks, rules = history(now), tmp_path / "blocks", str(RUNBOOKS / "alerts.yml")
    blocks.mkdir()
    span = [f"--start={now - 7200:.0f}", f"--end={now:.0f}", "--eval-interval=60s", f"--output-dir={blocks}"]
    for _ in "counts", "ratios, which are made of the counts":
        with prometheus(*texts, programs=programs, blocks=blocks) as url:
            command = [programs[1], "tsdb", "create-blocks-from", "rules", f"--url={url}", *span, rules]
            subprocess.run(command, check=True, capture_output=True)
    with prometheus(*texts, programs=programs, blocks=blocks) as url:
        for query in QUERIES:
            asked = urllib.parse.urlencode(
                {"query": query.replace("$domain", HOST), "start": now - WINDOW.total_seconds(), "end": now, "step": 60}
            )
            with urllib.request.urlopen(f"{url}/api/v1/query_range?{asked}") as answer:
                found = json.load(answer)["data"]["result"]
            assert any(value != "NaN" for series in found for _, value in series["values"]), query


def test_it_asks_only_for_metrics_that_something_here_makes_or_names() -> None:
    rules = (RUNBOOKS / "alerts.yml").read_text()
    full = HostHealth("h", "none", certificate_days=1, pin_days={("a", "b", "c"): 1}, failure_ratio=0)
    made = textfile([full], finished=datetime(2026, 11, 25, tzinfo=UTC))
    for query in QUERIES:
        names = re.findall(r"\b(?:\w+:)*(?:cert_pin|irkit|cert_expiry|probe|domain_)[\w:]*", query)
        assert names or "ALERTS" in query
        for name in names:
            assert name in rules or name in made, name
