"""The scheduled look: what it finds, what it leaves, and that a run that was killed never looks complete."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import forge
import incidents
import pytest
from hypothesis import given
from hypothesis import strategies as st
from incidents import HOST, NOW, World

import irkit.health
from irkit.certificate import Certificate
from irkit.chain import Chain
from irkit.classify import classify
from irkit.drill import prepare
from irkit.errors import InputError
from irkit.evidence import Evidence
from irkit.health import Check, HostHealth, document, examine, textfile
from irkit.healthindex import index_page
from irkit.healthrun import health, load_hosts, look, open_health, overview
from irkit.pins import load_release_bytes
from irkit.pins.keys import Rotation
from irkit.render import Markup, plain
from irkit.runbook import section

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def found(evidence: Evidence) -> dict[str, str]:
    """Check id to severity."""
    return {check.id: check.severity for check in examine(evidence, classify(evidence)).checks}


def test_a_quiet_host_with_backup_and_time_left_is_well(world: World) -> None:
    result = examine(world.evidence(), classify(world.evidence()))
    assert result.checks == ()
    assert (result.verdict, result.host) == ("none", HOST)
    assert result.certificate_days is not None
    assert result.certificate_days > 30
    assert result.failure_ratio is not None
    assert 0 < result.failure_ratio < 0.01


def unreadable(world: World) -> Evidence:
    """Its leaf says when it ends in letters."""
    leaf = world.leaf.certificate
    assert leaf.not_after is not None
    der = leaf.der.replace(leaf.not_after.strftime("%y%m%d%H%M%SZ").encode(), b"never, really")
    assert der != leaf.der
    chain = Chain((Certificate.from_der(der), *world.leaf.chain.certificates[1:]))
    return world.evidence(captures=(incidents.capture(chain),))


def seen(world: World, leaf: forge.Identity, *others: forge.Identity, **more: Any) -> Evidence:
    """Both vantages see a leaf, or the second another."""
    vantages = zip((leaf, *(others or (leaf,))), ("office", "probe"), strict=True)
    return world.evidence(captures=tuple(incidents.capture(one.chain, name) for one, name in vantages), **more)


def planned(world: World) -> Evidence:
    to = world.leaf_for().certificate.pin
    rotation = Rotation(HOST, world.leaf.certificate.pin, to, NOW + timedelta(days=9))  # type: ignore[arg-type]  # it has one
    return world.evidence(inventory=replace(world.keys(), rotations=(rotation,)))


def expiring(world: World, days: int) -> Evidence:
    """The pin set of a release ends so many days from now."""
    until = f'<pin-set expiration="{(NOW + timedelta(days=days)).date().isoformat()}">'.encode()
    raw = incidents.nsc(world.leaf.certificate.pin, world.backup).replace(b"<pin-set>", until)
    release = load_release_bytes(raw, name="p.xml", platform="android", app="shop", version="5.0")
    return world.evidence(releases=(release,))


def elsewhere(world: World) -> Evidence:
    raw = incidents.nsc(world.leaf.certificate.pin, world.backup).replace(HOST.encode(), b"other.example")
    return world.evidence(releases=(load_release_bytes(raw, name="p.xml", platform="android", app="a", version="1"),))


def renewed(world: World, days_left: int) -> forge.Identity:
    """The same key in a new certificate that ends so many days from now."""
    return world.leaf_for(not_before=NOW - timedelta(days=90 - days_left), days=90, key=world.leaf.key)


# Each check of irkit.health with its severity, and the evidence in which it is found.
CASES: dict[str, tuple[str, Callable[[World], Evidence]]] = {
    "failing-now": ("error", incidents.rotation),
    "no-chain": ("error", lambda w: w.evidence(captures=())),
    "certificate-unreadable": ("unknown", unreadable),
    "certificate-expired": ("error", lambda w: seen(w, renewed(w, -2))),
    "certificate-expiring": ("warning", lambda w: seen(w, renewed(w, 10))),
    "vantages-disagree": ("error", lambda w: seen(w, w.leaf, w.leaf_for())),
    "rejected-now": ("error", lambda w: seen(w, w.leaf_for())),
    "unpinned": ("warning", elsewhere),
    "key-changed": ("error", lambda w: seen(w, w.leaf_for())),
    "new-certificate": ("warning", lambda w: seen(w, renewed(w, 60))),
    "not-known": ("unknown", lambda w: incidents.without(w.evidence(), "metrics")),
    # Of the lint, what the scheduled look is for: backups, pin sets that end, and a rotation that breaks a release.
    "no-backup": ("warning", lambda w: w.evidence(releases=(incidents.release("shop 4.2.0", w.leaf.certificate.pin),))),
    "pin-set-expiring": ("warning", lambda w: expiring(w, 12)),
    "pin-set-expired": ("error", lambda w: expiring(w, -3)),
    "rotation-not-pinned": ("error", planned),
}


@pytest.mark.parametrize("name", CASES)
def test_each_thing_that_will_hurt_is_found_with_its_severity_and_has_a_section(world: World, name: str) -> None:
    severity, made = CASES[name]
    result = examine(made(world), classify(made(world)))
    assert {check.id: check.severity for check in result.checks}[name] == severity
    assert all(section(check.id) for check in result.checks), "each finding has its section in a runbook"


def test_every_check_of_the_scheduled_look_has_a_case() -> None:
    written = set(re.findall(r'Check\(\s*"([a-z-]+)"', Path(irkit.health.__file__).read_text()))
    assert len(written) > 10
    assert written <= set(CASES)


def test_a_key_that_the_inventory_lists_is_a_lesser_change(world: World) -> None:
    other = world.leaf_for()
    listed = seen(world, other, inventory=world.keys((other.certificate.pin, "next")))
    assert found(listed)["key-changed"] == "warning"


def test_a_pin_set_that_ends_is_counted_in_days(world: World) -> None:
    evidence = expiring(world, 12)
    days = examine(evidence, classify(evidence)).pin_days
    assert days is not None
    assert 11 <= days["android", "shop", "5.0"] <= 12


def test_prometheus_reads_the_textfile(tool: Callable[..., str]) -> None:
    nasty = HostHealth('a"\\\n.example', "mitm", checks=(Check("x", "error", "y"),), certificate_days=-3.5,
                       pin_days={("android", "shop", "5.0"): 12.5}, failure_ratio=0.25)  # fmt: skip
    shown = textfile([nasty, HostHealth("broken.toml")], finished=datetime(2026, 11, 25, tzinfo=UTC))
    assert 'irkit_verdict{domain="a\\"\\\\\\n.example",verdict="mitm"} 1\n' in shown
    assert 'irkit_verdict{domain="a\\"\\\\\\n.example",verdict="none"} 0\n' in shown
    assert "broken.toml" not in shown.partition("irkit_verdict")[2].partition("# HELP")[0]
    assert (
        'cert_pin_expiry_days{domain="a\\"\\\\\\n.example",platform="android",app="shop",app_version="5.0"} 12.5\n'
        in shown
    )
    command = [tool("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=shown, capture_output=True, text=True, check=False)
    complaints = (done.stdout + done.stderr).splitlines()
    # What people call it everywhere counts days.
    assert complaints == ['cert_pin_expiry_days use base unit "seconds" instead of "days"']


def test_a_host_that_is_listed_twice_gives_no_series_twice() -> None:
    first = HostHealth(
        "a.example", "rotation", checks=(Check("x", "error", "x"),), certificate_days=9.0, failure_ratio=0.5
    )
    second = HostHealth(
        "a.example", "none", checks=(Check("y", "error", "y"),), certificate_days=70.0, failure_ratio=0.0
    )
    for results in ((first, second), (second, first)):
        rows = [line for line in textfile(results, finished=NOW).splitlines() if not line.startswith("#")]
        values = dict(row.rsplit(" ", 1) for row in rows)
        assert len(values) == len(rows)
        assert float(values['cert_expiry_timestamp_seconds{domain="a.example"}']) == NOW.timestamp() + 9 * 86400
        assert values['cert_pin_failure_ratio{domain="a.example"}'] == "0.5"
        assert values['irkit_verdict{domain="a.example",verdict="rotation"}'] == "1"
        assert values['irkit_health_checks{domain="a.example",severity="error"}'] == "2"


def test_a_list_that_cannot_be_used_leaves_a_run_that_says_so_and_what_the_last_one_found(tmp_path: Path) -> None:
    (tmp_path / "irkit.prom").write_text("kept 1\n")
    with pytest.raises(InputError, match="gone"):
        open_health(tmp_path / "gone.toml", out=tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["hosts"]) == ("incomplete", [])
    assert "gone.toml" in result["error"]
    assert "DID NOT COMPLETE" in (folder / "report.html").read_text()
    assert (tmp_path / "irkit.prom").read_text() == "kept 1\n"


def test_hosts_files_name_what_is_wrong_and_go_on_where_they_can(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.toml"
    (tmp_path / "api.toml").write_text('[incident]\nhost = "api.example.com"\n')
    hosts.write_text('[[host]]\nincident = "api.toml"\n[[host]]\nincident = "gone.toml"\n')
    incident, broken = load_hosts(hosts, now=NOW)
    assert [item.host for item in incident] == ["api.example.com"]
    assert broken[0].checks[0].id == "incident-unusable"
    for content in ("", "[[host]]\n", '[[host]]\nincidnt = "x"\n', "[hosts]\n", "host = 3\n", "[[host]\n"):
        hosts.write_text(content)
        with pytest.raises(InputError) as caught:
            load_hosts(hosts, now=NOW)
        assert caught.value.hint


def test_hostile_findings_are_shown_as_text(tmp_path: Path) -> None:
    nasty = "<script>x</script>\x1b[2J"
    result = HostHealth(nasty, nasty, nasty, checks=(Check(nasty, "error", nasty),))
    for day in (1, 2):
        record(tmp_path, datetime(2026, 11, day, tzinfo=UTC), result)
    for shown in (overview([result]), index_page(tmp_path)):
        assert "<script" not in shown
        assert "\x1b" not in shown


# --- the index


def record(out: Path, at: datetime, *results: HostHealth, status: str = "complete") -> None:
    """What a run leaves for the index."""
    content = {"status": status, "started": at.isoformat(), "hosts": [document(result) for result in results]}
    folder = out / "runs" / f"{at:%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(content))


def test_the_index_answers_first_and_shows_the_trend_of_each_host(tmp_path: Path) -> None:
    first = datetime(2026, 11, 1, 6, tzinfo=UTC)
    bad = (Check("key-changed", "error", "a new key"), Check("no-backup", "warning", "no backup"))
    for day in range(6):
        checks, ratio = (bad, 0.31) if day == 5 else ((), 0.001 + day / 10_000)
        failing = HostHealth("pay.example.com", checks=checks, certificate_days=40.0 - day, failure_ratio=ratio)
        well = HostHealth("api.example.com", certificate_days=90.0 - day)
        record(tmp_path, first + timedelta(days=day), *((failing, well) if day != 2 else (failing,)))
    record(tmp_path, first + timedelta(days=6), status="incomplete")
    (tmp_path / "runs" / "20261108T060000Z").mkdir()
    shown = plain(Markup(index_page(tmp_path).partition("<main>")[2]))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "The last whole one began 2026-11-06 06:00 UTC." in shown
    assert "1 of 2 hosts are well, 2026-11-06 06:00 UTC: its report." in lines
    assert "pay.example.com ✖ error not judged 35 none 31 % 0.12 %" in lines, "0.12 % is usual, the median before"
    assert "api.example.com ✓ well not judged 85 none unknown not known yet" in lines
    states = next(line for line in lines if line.startswith("pay.example.com no result"))
    assert states.split("no result")[-1].split() == ["✖", "error", *["✓", "well"] * 5]
    assert "no result ✓ well" in next(line for line in lines if line.startswith("api.example.com no result"))
    assert "pay.example.com: failures 0.10 % to 31 %, days of certificate 40 to 35." in shown, "in words, too"
    assert lines.count("2026-11-07 06:00 UTC ✖ DID NOT COMPLETE 0 of 0") == 1
    assert lines.count("20261108T060000Z ✖ unreadable unknown") == 1


@given(st.binary(max_size=60) | st.sampled_from([b"[]", b'{"hosts": [1]}', b'{"hosts": [{}], "started": "x"}']))
def test_no_damaged_run_breaks_the_index(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "runs" / "20261101T060000Z"
        folder.mkdir(parents=True)
        (folder / "result.json").write_bytes(content)
        assert "✖ unreadable" in index_page(Path(name))


def test_a_teams_own_runbook_speaks_in_the_health_report(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    front = "---\nalert: A\nowner: us\nreviewed: 2026-11-23\n---\n"
    (tmp_path / "books" / "ours.md").write_text(front + "## `no-chain`: ours\n**Mitigation.** Call extension 4711.\n")
    (tmp_path / "api.toml").write_text(
        '[incident]\nhost = "127.0.0.1"\nport = 1\n[runbooks]\nfolder = "books"\n[trust]\nroots = []\n'
    )
    (tmp_path / "hosts.toml").write_text('[[host]]\nincident = "api.toml"\n')
    run = open_health(tmp_path / "hosts.toml", out=tmp_path / "out")
    shown = plain(overview(look(run), run.runbooks))
    assert "no trusted vantage saw a chain" in shown
    assert "Call extension 4711." in shown
    assert "Every capture from a trusted vantage failed." not in shown
    assert "A source gave nothing" in shown, "what the team has not written is ours"


# --- runs


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The hosts.toml of a quiet drill that goes on, and of a file that isn't there."""
    top = tmp_path_factory.mktemp("health")
    with prepare("quiet", top / "drill"):
        (top / "hosts.toml").write_text('[[host]]\nincident = "drill/incident.toml"\n')
        yield top


def test_a_run_leaves_report_index_and_textfile_and_the_next_one_adds_to_the_trend(rehearsal: Path) -> None:
    out = rehearsal / "out"
    command = [sys.executable, "-m", "irkit.cli", "health", str(rehearsal / "hosts.toml"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    (run,) = (out / "runs").iterdir()
    content = json.loads((run / "result.json").read_text())
    assert (content["schema"], content["status"]) == ("irkit.health/1", "complete")
    assert [host["verdict"] for host in content["hosts"]] == ["none"]
    assert done.returncode == int(bool(content["hosts"][0]["checks"]))
    assert {path.name for path in run.iterdir()} == {"result.json", "report.html", "pin_health.ipynb", "hosts"}
    textual = (out / "irkit.prom").read_text()
    assert 'irkit_verdict{domain="api.example.com",verdict="none"} 1' in textual

    late = health(rehearsal / "hosts.toml", out=out, deadline=0.2)
    assert (late.exit_code, late.result["status"]) == (4, "incomplete")
    assert "THIS RUN DID NOT COMPLETE" in (late.folder / "report.html").read_text()
    assert (out / "irkit.prom").read_text() == textual, "node_exporter keeps what the last whole run found"
    index = (out / "index.html").read_text()
    assert len(re.findall(r'<a href="(runs/\w+/report.html)">\d', index)) == 2
    assert index.count("DID NOT COMPLETE") == 1
    assert "✓ well" in index or "warning" in index


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 3), (signal.SIGKILL, -9)])
def test_a_run_that_is_killed_never_looks_complete(rehearsal: Path, tmp_path: Path, number: int, code: int) -> None:
    command = [sys.executable, "-m", "irkit.cli", "health", str(rehearsal / "hosts.toml"), "--out", str(tmp_path / "o")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for _ in range(600):
            if list(tmp_path.glob("o/runs/*/pin_health.ipynb")):
                break
            time.sleep(0.05)
        os.kill(process.pid, number)
        assert process.wait(60) == code
    (run,) = (tmp_path / "o/runs").iterdir()
    assert json.loads((run / "result.json").read_text())["status"] == "incomplete"
    assert "THIS RUN DID NOT COMPLETE" in (run / "report.html").read_text()
    assert not (tmp_path / "o/irkit.prom").exists()
    assert "DID NOT COMPLETE" in (tmp_path / "o/index.html").read_text()
    assert "✓" not in (tmp_path / "o/index.html").read_text()
