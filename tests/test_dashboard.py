"""The Grafana dashboard: it reads as Grafana's own types, and each of its queries is one that Prometheus takes."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from irkit.health import HostHealth, textfile

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


def test_it_asks_only_for_metrics_that_something_here_makes_or_names() -> None:
    from datetime import UTC, datetime

    rules = (RUNBOOKS / "alerts.yml").read_text()
    full = HostHealth("h", "none", certificate_days=1, pin_days={("a", "b", "c"): 1}, failure_ratio=0)
    made = textfile([full], finished=datetime(2026, 11, 25, tzinfo=UTC))
    for query in QUERIES:
        names = re.findall(r"\b(?:\w+:)*(?:cert_pin|irkit|cert_expiry|probe|domain_)[\w:]*", query)
        assert names or "ALERTS" in query
        for name in names:
            assert name in rules or name in made, name
