from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from irkit.capture import capture
from irkit.certificate import pem_blocks
from irkit.classify import classify
from irkit.drill import Drill, prepare
from irkit.drill.causes import SCENARIOS
from irkit.drill.scenario import HOST
from irkit.drill.traffic import METRIC, count, matrix, open_metrics
from irkit.errors import InputError
from irkit.gather import gather
from irkit.history import read_history
from irkit.incident import Incident, load_incident
from irkit.pins import load_inventory, load_release
from irkit.verdict import CAUSES, EXIT_CODES

FIRST = tuple(SCENARIOS)
DRILL = Path(__file__).parent.parent / "irkit" / "drill"


@pytest.fixture(scope="module")
def drills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Drill, Incident]]]:
    """Each rehearsal, going on."""
    with ExitStack() as stack:
        found = {}
        for kind in FIRST:
            drill = stack.enter_context(prepare(kind, tmp_path_factory.mktemp(kind)))
            found[kind] = (drill, load_incident(drill.incident))
        yield found


def request(address: str, roots: str | None) -> bytes:
    """What a client gets that verifies against those roots, or with None one that verifies nothing."""
    context = ssl.create_default_context(cafile=roots)
    if roots is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = address.partition(":")
    with (
        socket.create_connection((host, int(port)), 10) as raw,
        context.wrap_socket(raw, server_hostname=HOST) as peer,
    ):
        peer.sendall(b"GET /v1/cart HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer x\r\n\r\n")
        return b"".join(iter(lambda: peer.recv(4096), b""))


def ratios(incident: Incident, begin: float, end: float) -> dict[tuple[str, str, str], float]:
    """Failures / validations between two Unix times by platform, version and region, from the saved answer."""
    assert incident.metrics
    body = json.loads(incident.path(incident.metrics.file).read_text())
    counts: dict[tuple[str, str, str], dict[str, float]] = {}
    for series in body["data"]["result"]:
        labels = series["metric"]
        at, value = series["values"][0]
        rise, last = 0.0, float(value) if at == incident.start.timestamp() else 0.0  # or born within the window
        for at, value in series["values"]:
            if begin < at <= end:
                rise += float(value) - (last if float(value) >= last else 0)
            last = float(value)
        key = (labels["platform"], labels["app_version"], labels["region"])
        counts.setdefault(key, {})[labels["result"]] = rise
    return {key: c.get("failure", 0) / max(1, sum(c.values())) for key, c in counts.items() if sum(c.values())}


@pytest.mark.parametrize("kind", FIRST)
def test_every_file_that_the_incident_names_is_read_by_irkit(drills: dict[str, Any], kind: str) -> None:
    drill, incident = drills[kind]
    assert incident.host == HOST
    assert incident.end - incident.start == timedelta(hours=24)
    assert [vantage.trusted for vantage in incident.vantages] == [True, True]
    for source in incident.releases:
        release = load_release(incident.path(source.pins), platform=source.platform)
        assert len(release.pins) == 2, source.pins
        assert not release.rejected
        assert not [finding for finding in release.findings if finding.severity == "error"]
    assert sum(source.share for source in incident.releases) == pytest.approx(1.2 if kind == "misconfiguration" else 1)
    inventory = load_inventory(incident.path(incident.inventory))
    assert {key.status for key in inventory.keys} >= {"active", "backup"}
    past = read_history(incident.path(incident.history), HOST).captures
    assert len(past) == 3
    assert all(item.chain.obtained.at < (drill.onset or incident.end) for item in past)
    assert all(pem_blocks(incident.path(root).read_text()) for root in incident.roots)
    assert all(pem_blocks(incident.path(source.file).read_text()) for source in incident.observed)


@pytest.mark.parametrize("kind", FIRST)
def test_what_was_built_is_one_of_the_answers(drills: dict[str, Any], kind: str) -> None:
    drill, _ = drills[kind]
    assert drill.verdict in EXIT_CODES
    assert (CAUSES[drill.cause] if drill.cause else "none") == drill.verdict


@pytest.mark.parametrize("kind", FIRST)
def test_the_genuine_server_answers_clients_that_trust_the_rehearsals_root(drills: dict[str, Any], kind: str) -> None:
    drill, incident = drills[kind]
    assert b"200 OK" in request(drill.address, str(incident.path(incident.roots[0])))
    assert len(capture(HOST, connect=drill.address)) == 2


def test_rotation_serves_a_known_key_that_just_the_failing_releases_lack(drills: dict[str, Any]) -> None:
    drill, incident = drills["rotation"]
    now = capture(HOST, connect=drill.address)
    before = read_history(incident.path("captures"), HOST).captures[-1].chain
    assert now.leaf.pin != before.leaf.pin
    assert now[1] == before[1]
    keys = {key.pin: key.status for key in load_inventory(incident.path("keys.toml")).keys}
    assert keys[now.leaf.pin] == "next"
    assert keys[before.leaf.pin] == "active"
    shipped = {f"{s.app} {s.version}": load_release(incident.path(s.pins)).pins for s in incident.releases}
    assert {name for name, pins in shipped.items() if now.leaf.pin not in pins} == set(drill.releases)
    assert all(before.leaf.pin in pins for pins in shipped.values())


def test_an_interceptor_shows_another_chain_reads_along_and_passes_it_on(drills: dict[str, Any]) -> None:
    drill, incident = drills["mitm"]
    genuine, seen = capture(HOST, connect=drill.address), capture(HOST, connect=drill.interceptor)
    assert not set(genuine.pins) & set(seen.pins)
    assert seen.leaf.dns_names == (HOST,)
    with pytest.raises(ssl.SSLCertVerificationError):
        request(drill.interceptor, str(incident.path(incident.roots[0])))
    assert b"200 OK" in request(drill.interceptor, None)
    for source in incident.observed:
        assert pem_blocks(incident.path(source.file).read_text()) == [c.der for c in seen]
    for source in incident.releases:
        pins = set(load_release(incident.path(source.pins)).pins)
        assert pins & set(genuine.pins)
        assert not pins & set(seen.pins)


def test_misconfiguration_pins_whole_certificates(drills: dict[str, Any]) -> None:
    drill, incident = drills["misconfiguration"]
    (source,) = [s for s in incident.releases if f"{s.app} {s.version}" in drill.releases]
    digests = {hashlib.sha256(c.der).digest() for c in capture(HOST, connect=drill.address)}
    assert {pin.digest for pin in load_release(incident.path(source.pins)).pins} == digests


def test_the_failures_follow_what_happened(drills: dict[str, Any]) -> None:
    for kind, (drill, incident) in drills.items():
        begin, end = incident.start.timestamp(), incident.end.timestamp()
        onset = drill.onset.timestamp() if drill.onset else end
        before, after = ratios(incident, begin, onset - 60), ratios(incident, onset, end)
        assert max(before.values()) < 0.01, kind
        guilty = {key for key, ratio in after.items() if ratio > 0.2}
        names = {f"shop-{platform} {version}" for platform, version, _ in guilty}
        assert names == set(drill.releases), kind
        regions = {region for _, _, region in guilty}
        assert regions == {
            "mitm": {"ap-south"}, "quiet": set(),
        }.get(kind, {"eu-west", "us-east", "ap-south"}), kind  # fmt: skip
        assert all(ratio < 0.01 for key, ratio in after.items() if key not in guilty), kind


def test_the_failures_of_a_bad_release_grow_with_its_rollout(drills: dict[str, Any]) -> None:
    drill, incident = drills["misconfiguration"]
    body = json.loads(incident.path("failures.json").read_text())
    mine = [s for s in body["data"]["result"] if s["metric"]["app_version"] == "4.3.0"]
    assert {series["metric"]["result"] for series in mine} == {"failure"}

    def rise(series: list[dict[str, Any]], begin: float, end: float) -> float:
        return sum(
            max(0, float(after) - float(before))
            for one in series
            for (at, before), (_, after) in pairwise(one["values"])
            if begin <= at < end
        )

    # Of all validations, as traffic follows the hour of the day; the rollout takes eight hours.
    begin, third = drill.onset.timestamp(), 8 * 3600 / 3
    shares = [
        rise(mine, begin + n * third, begin + (n + 1) * third)
        / rise(body["data"]["result"], begin + n * third, begin + (n + 1) * third)
        for n in range(3)
    ]
    assert shares == sorted(shares)
    assert shares[2] > 3 * shares[0] > 0


def test_the_counters_have_the_habits_of_real_ones(drills: dict[str, Any]) -> None:
    _, incident = drills["quiet"]
    series = json.loads(incident.path("failures.json").read_text())["data"]["result"]
    for one in series:
        assert set(one["metric"]) == {
            "__name__", "app_version", "domain", "job", "platform", "region", "result",
        }  # fmt: skip
        values = [int(value) for _, value in one["values"]]
        assert sum(later < earlier for earlier, later in pairwise(values)) == 1  # one restart
        assert min(values) > 0
    assert any(len(one["values"]) < 1441 for one in series)  # not there until the first failure after the restart
    busy = [one for one in series if one["metric"]["result"] == "success" and one["metric"]["region"] == "us-east"]
    rises = [int(after) - int(before) for (_, before), (_, after) in pairwise(busy[1]["values"])]
    hours = [sum(rises[at : at + 60]) for at in range(0, 1380, 60)]
    assert max(hours) > 2 * sorted(hours)[1]  # the hour with the restart is left out


def test_the_same_seed_plays_the_same_traffic() -> None:
    end = datetime(2026, 11, 23, 12, tzinfo=UTC)
    start = end - timedelta(hours=24)

    def play(seed: int) -> str:
        return matrix(count(SCENARIOS["mitm"](start, end).groups, HOST, start=start, end=end, seed=seed))

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_the_servers_end_with_the_rehearsal(tmp_path: Path) -> None:
    with prepare("mitm", tmp_path / "drill") as drill:
        addresses = [drill.address, drill.interceptor]
    for address in addresses:
        host, _, port = address.partition(":")
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((host, int(port)), 5)


def test_an_unknown_kind_and_a_folder_in_use_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rehearsal"), prepare("flood", tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not empty"), prepare("mitm", tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_rehearsals_share_no_code_with_what_judges_them() -> None:
    allowed = {
        "irkit.capture", "irkit.certificate", "irkit.chain", "irkit.errors", "irkit.history", "irkit.render",
        "irkit.run", "irkit.summary",
    }  # fmt: skip
    for path in sorted(DRILL.glob("*.py")):
        if path.name == "fleet.py":  # endpoints to scan, and no incident to judge
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("irkit"):
                assert node.module in allowed or node.module.startswith("irkit.drill"), (path.name, node.module)


# --- a real Prometheus ---


def test_prometheus_is_asked_for_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="not on PATH"), prepare("quiet", tmp_path / "drill", prometheus=True):
        pass


@pytest.mark.prometheus
def test_prometheus_holds_the_same_counters_as_the_file(tmp_path: Path) -> None:
    assert shutil.which("prometheus"), "prometheus is not installed"
    assert shutil.which("promtool"), "promtool is not installed"
    with prepare("mitm", tmp_path / "drill", prometheus=True) as drill:
        incident = load_incident(drill.incident)
        assert incident.metrics
        query = {"query": METRIC, "start": incident.start.timestamp(), "end": incident.end.timestamp(), "step": 60}
        url = f"{incident.metrics.url}/api/v1/query_range?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            result = json.load(answer)["data"]["result"]
    scenario = SCENARIOS["mitm"](incident.start, incident.end)
    wanted = count(scenario.groups, HOST, start=incident.start, end=incident.end, seed=0)
    assert len(result) == len(wanted)
    last = {tuple(sorted(one.labels.items())): one.samples[-1] for one in wanted}
    for series in result:
        labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
        assert tuple(map(int, series["values"][-1])) == last[tuple(sorted(labels.items()))]


def test_open_metrics_names_the_family_without_its_suffix() -> None:
    lines = list(open_metrics([]))
    assert lines == ["# TYPE cert_pin_validation counter\n", "# EOF\n"]


# --- judged as any other incident ---


@pytest.mark.parametrize("kind", FIRST)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_evidence_leads_to_what_the_rehearsal_was_built_as(tmp_path: Path, kind: str, seed: int) -> None:
    with prepare(kind, tmp_path / "drill", seed=seed) as drill:
        verdict = classify(gather(drill.incident))
    assert verdict.name == drill.expected
    assert verdict.confidence > 0.9
    if drill.onset:
        assert verdict.onset
        # A release reaches its first users one by one: when the first of them fails is up to the traffic.
        allowed = timedelta(minutes=20 if kind == "misconfiguration" else 5)
        assert abs(verdict.onset - drill.onset) <= allowed
        assert {name for judged in verdict.cohorts for name in judged.cohort.releases} == set(drill.releases)


@pytest.mark.prometheus
def test_the_evidence_is_the_same_from_a_real_prometheus(tmp_path: Path) -> None:
    with prepare("mitm", tmp_path / "drill", prometheus=True) as drill:
        evidence = gather(drill.incident)
    assert evidence.missing == ()
    assert classify(evidence).name == drill.expected


@pytest.mark.parametrize("kind", FIRST)
def test_irkit_arrives_at_the_answer_that_the_rehearsal_was_built_as(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-m", "irkit.cli", "drill", kind, "--out", str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (path,) = tmp_path.glob("new/runs/*/*/result.json")
    result = json.loads(path.read_text())
    built = re.search(r"^built as: (.*)$", done.stdout, re.MULTILINE)
    assert built, done.stderr
    assert f"{result['verdict']} / {result['cause']}".removesuffix(" / ") == built[1]
    assert result["status"] == "complete"
    assert done.returncode == EXIT_CODES[result["verdict"]]
    assert str(path.parent / "report.html") in done.stdout


def test_a_rehearsal_can_be_kept_going_to_triage_it_by_hand(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "irkit.cli", "drill", "mitm", "--serve", "--out", str(tmp_path / "new")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        incident = load_incident(process.stdout.readline().split("triage ")[1].strip())
        assert len(capture(HOST, connect=incident.vantages[0].connect)) == 2
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "built as: mitm / interception-untrusted-ca\n"
    assert process.returncode == 0
