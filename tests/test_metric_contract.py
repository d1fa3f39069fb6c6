"""The contract of metrics in runbooks/metrics: what it says holds, and what follows it can be asked and paged for."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import forge
import prometheus_client
import pytest
from prometheus_server import prometheus

import irkit
from irkit.failures import SUCCESS, Labels
from irkit.health import Check, HostHealth, textfile
from irkit.reportline import Kind
from irkit.verdict import VERDICTS

RUNBOOKS = Path(__file__).parent.parent / "runbooks"
CONTRACT = RUNBOOKS / "metrics"
README = (CONTRACT / "README.md").read_text()
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def gateway() -> Iterator[ModuleType]:
    """gateway.py with its counter, which is gone afterwards."""
    spec = importlib.util.spec_from_file_location("gateway", CONTRACT / "gateway.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # irkit.pinned_session registers a counter of this name, too, once a process.
    own, prometheus_client.REGISTRY._names_to_collectors = prometheus_client.REGISTRY._names_to_collectors, {}
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        prometheus_client.REGISTRY._names_to_collectors = own
        prometheus_client.REGISTRY._collector_to_names.pop(module.VALIDATIONS, None)


def exposed(counter: Any) -> list[str]:
    """The lines that a scrape of the counter gives."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(counter)
    lines = prometheus_client.generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_the_labels_and_results_are_those_that_irkit_and_the_alerts_expect(gateway: ModuleType) -> None:
    (head,) = re.findall(r"^    cert_pin_validation_total\{(.*)\}$", README, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .*? \|$", README.partition("Rules:")[0], re.MULTILINE)
    expected = [getattr(Labels(), field.name) for field in fields(Labels)]
    assert set(head.split(", ")) == {name for name, _ in rows} == set(expected) == set(gateway.VALIDATIONS._labelnames)
    named = set(re.findall(r"`(\w+)`", dict(rows)["result"]))
    assert named == {*gateway.RESULTS, "failure"}
    assert set(SUCCESS) == {"success", "unpinned"}
    assert {kind.replace("-", "_") for kind in get_args(Kind)} <= named
    rules = (RUNBOOKS / "alerts.yml").read_text()
    assert set(re.findall(r'result!~"([^"]+)"', rules)) == {"|".join(SUCCESS)}


def test_the_gateway_bounds_every_label_and_begins_at_zero(gateway: ModuleType) -> None:
    begun = exposed(gateway.VALIDATIONS)
    series = [line for line in begun if not line.startswith("#")]
    assert len(series) == 24
    assert all(line.endswith(" 0.0") for line in series)
    nasty = '"}\n\x00' * 50
    for message in ({"domain": nasty}, {"domain": "api.example.com", "count": 1e9}, {}, {"domain": ["x"]}):
        gateway.count(message, "eu-west", "AS64500")
    assert exposed(gateway.VALIDATIONS) == begun, "none of them counts"
    for n in range(500):
        told = {"domain": "api.example.com", "result": f"r{n}", "app_version": f"{n}.{nasty}", "platform": f"p{n}"}
        gateway.count(told, f"region {n}", f"AS{n}")
    (more,) = set(exposed(gateway.VALIDATIONS)) - set(begun)
    assert more.count('="other"') == 5
    assert more.endswith(" 500.0")


@pytest.mark.prometheus
def test_what_the_gateway_exports_can_be_asked_by_cohort(gateway: ModuleType, tool: Callable[..., str]) -> None:
    programs = (tool("prometheus"), tool("promtool"))
    checked = "\n".join([*exposed(gateway.VALIDATIONS), ""])
    done = subprocess.run([programs[1], "check", "metrics"], input=checked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    scraped = list[tuple[float, str]]()
    for minute in range(61):
        at = (NOW + timedelta(minutes=minute)).timestamp()
        scraped += [(at, line) for line in exposed(gateway.VALIDATIONS) if not line.startswith("#")]
        told = {"domain": "api.example.com", "platform": "android", "app_version": "4.2.0"}
        gateway.count(told | {"result": "success", "count": 100}, "eu-west", "AS1")
        gateway.count(told | {"result": "unpinned", "count": 10}, "eu-west", "AS1")
        gateway.count(told | {"result": "success", "count": 30}, "ap-south", "AS64500")
        if minute >= 30:
            gateway.count(told | {"result": "pin", "count": 20}, "ap-south", "AS64500")
    text = "\n".join(["# TYPE cert_pin_validation counter", *(f"{line} {at}" for at, line in scraped), ""])
    with prometheus(text, programs=programs) as url:
        failures = irkit.query_failures(url, "api.example.com", start=NOW, end=NOW + timedelta(hours=1))
    assert set(failures.roles) >= {"version", "platform", "region", "network"}
    table = failures.by("region")
    assert table.loc["ap-south", "failures"] == 600, "30 minutes of 20, the first ones too"
    assert table.loc["eu-west", "failures"] == 0, "a connection without pins is no failure"
    assert table.loc["eu-west", "validations"] == 6600
    assert failures.by("network").loc["AS64500", "failures"] == 600


def test_okhttp_counts_each_reason_as_the_contract_names_it(
    tool: Callable[..., str], tls_server: Callable[..., Any], tmp_path: Path
) -> None:
    jars = [tool(f"/usr/share/java/{name}.jar") for name in ("okhttp", "okio")]
    path = ":".join([*jars, str(tmp_path)])
    sources = [str(CONTRACT / "PinCounter.java"), str(Path(__file__).parent / "java" / "Counting.java")]
    subprocess.run([tool("javac"), "-d", str(tmp_path), "-cp", path, *sources], check=True)
    root, other = forge.root("Ours"), forge.root("Another")
    for name, identity in (("ours", root), ("other", other)):
        (tmp_path / f"{name}.pem").write_text(identity.certificate.pem())
    good, foreign = root.issue("localhost"), root.issue("other.example")
    old = root.issue("localhost", not_before=datetime.now(UTC) - timedelta(days=9), days=2)
    young = root.issue("localhost", not_before=datetime.now(UTC) + timedelta(days=9), days=20)
    cases = [
        (good, "ours", good, "success"), (good, "ours", foreign, "pin"), (good, "other", good, "trust"),
        (foreign, "ours", foreign, "name"), (old, "ours", old, "expired"), (young, "ours", young, "not_yet_valid"),
    ]  # fmt: skip
    arguments = []
    for served, trusted, pinned, _ in cases:
        port = tls_server(served).address.rpartition(":")[2]
        arguments += [f"https://localhost:{port}/", str(tmp_path / f"{trusted}.pem"), str(pinned.certificate.pin)]
    command = [tool("java"), "-cp", path, "Counting", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"localhost {result}" for *_, result in cases], done.stderr


def test_what_irkit_exports_is_what_the_contract_lists() -> None:
    checks, days = (Check("x", "error", "y"),), {("a", "b", "c"): 1.0}
    full = HostHealth("h", "mitm", checks=checks, certificate_days=1, pin_days=days, failure_ratio=0)
    made = textfile([full], finished=NOW)
    found = {}
    for line in made.splitlines():
        if not line.startswith("#"):
            name, labels = re.match(r"(\w+)(?:\{(.*)\})? ", line).groups()  # type: ignore[union-attr]  # each line has it
            found[name] = set(re.findall(r'(\w+)="', labels or ""))
    part = README.partition("## What irkit exports")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", part, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == found
    assert set(re.findall(r'verdict="([\w-]+)"', made)) == set(VERDICTS)
