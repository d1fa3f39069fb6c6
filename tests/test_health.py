"""The scheduled look: what it finds, what it leaves, and that a run that was killed never looks complete."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import incidents
import pytest
from incidents import HOST, NOW, World

from irkit.classify import classify
from irkit.drill import prepare
from irkit.errors import InputError
from irkit.evidence import Evidence
from irkit.health import Check, HostHealth, examine, textfile
from irkit.healthrun import health, load_hosts, overview
from irkit.pins import load_release_bytes
from irkit.pins.keys import Rotation

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


def test_each_thing_that_will_hurt_is_found(world: World) -> None:
    pin = world.leaf.certificate.pin
    soon = world.leaf_for(not_before=NOW - timedelta(days=80), days=90, key=world.leaf.key)
    ending = world.evidence(captures=(incidents.capture(soon.chain),))
    assert found(ending)["certificate-expiring"] == "warning"
    assert found(ending)["new-certificate"] == "warning"

    lonely = world.evidence(releases=(incidents.release("shop-android 4.2.0", pin),))
    assert found(lonely)["no-backup"] == "warning"

    planned = Rotation(HOST, pin, world.leaf_for().certificate.pin, NOW + timedelta(days=9))  # type: ignore[arg-type]  # it has one
    breaking = world.evidence(inventory=replace(world.keys(), rotations=(planned,)))
    assert found(breaking)["rotation-not-pinned"] == "error"

    other = world.leaf_for()
    unknown = world.evidence(captures=(incidents.capture(other.chain), incidents.capture(other.chain, "probe")))
    assert found(unknown) | {"key-changed": "error", "rejected-now": "error"} == found(unknown)
    listed = replace(unknown, inventory=world.keys((other.certificate.pin, "next")))
    assert found(listed)["key-changed"] == "warning"

    assert found(world.evidence(captures=()))["no-chain"] == "error"
    assert found(incidents.rotation(world))["failing-now"] == "error"
    assert found(incidents.without(world.evidence(), "metrics"))["not-known"] == "unknown"


def test_a_pin_set_that_ends_is_counted_in_days(world: World) -> None:
    until = (NOW + timedelta(days=12)).date().isoformat()
    raw = incidents.nsc(world.leaf.certificate.pin, world.backup).replace(
        b"<pin-set>", f'<pin-set expiration="{until}">'.encode()
    )
    release = load_release_bytes(raw, name="p.xml", platform="android", app="shop", version="5.0")
    evidence = world.evidence(releases=(release,))
    result = examine(evidence, classify(evidence))
    assert found(evidence)["pin-set-expiring"] == "warning"
    assert result.pin_days is not None
    assert 11 <= result.pin_days["android", "shop", "5.0"] <= 12


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


def test_hostile_findings_are_shown_as_text() -> None:
    nasty = "<script>x</script>\x1b[2J"
    shown = overview([HostHealth(nasty, nasty, nasty, checks=(Check(nasty, "error", nasty),))])
    assert "<script" not in shown
    assert "\x1b" not in shown


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
    assert index.count("report.html") == 2
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
    with contextlib.suppress(FileNotFoundError):
        assert "✓" not in (tmp_path / "o/index.html").read_text()
