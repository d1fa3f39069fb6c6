"""The main job on real input: `irkit triage` on live endpoints, a live Prometheus and a real interceptor."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from programs import mitmproxy

import irkit
from irkit.drill import Drill, prepare
from irkit.run import triage

ROOT = Path(__file__).parent.parent
TIMES = {"started", "finished"}


def run(*arguments: object, cwd: Path, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "irkit.cli", *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        timeout=timeout, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def the_run(out: Path) -> Path:
    """The one run's folder in DIR/<id>/<start>."""
    (folder,) = out.glob("*/*")
    return folder


def through(drill: Drill, interceptor: str) -> None:
    """Lets the drill's failing clients see what the real interceptor shows."""
    chain = irkit.capture("api.example.com", connect=interceptor)
    for phone in (drill.incident.parent / "clients").glob("*.pem"):
        phone.write_text(chain.pem())


@pytest.mark.prometheus
def test_a_chain_from_mitmproxy_is_called_mitm_with_prometheus_live(tmp_path: Path, tool: Callable[..., str]) -> None:
    tool("prometheus")
    with (
        prepare("mitm", tmp_path / "drill", prometheus=True) as drill,
        mitmproxy(tool("mitmdump"), drill.address, tmp_path) as interceptor,
    ):
        through(drill, interceptor)
        done = run("triage", drill.incident, "--out", tmp_path / "runs", cwd=tmp_path)
    folder = the_run(tmp_path / "runs")
    found = result(folder)
    assert done.returncode == 12, done.stderr
    assert (found["status"], found["verdict"], found["cause"]) == ("complete", "mitm", "interception-untrusted-ca")
    assert "mitmproxy" in json.dumps(found["findings"])
    assert found["cohorts"][0]["regions"] == ["ap-south"]
    assert "http://127.0.0.1" in json.dumps(found["findings"]), "the metrics came from the live Prometheus"
    assert found["do_not"][0].startswith("Do not disable")
    assert not any(action["weakens_pinning"] for action in found["remediation"])


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("kind", "code", "verdict", "cause"),
    [
        ("rotation", 10, "rotation", "leaf-key-rotated"),
        ("misconfiguration", 11, "misconfiguration", "certificate-hash-pinned"),
    ],
)
def test_rotated_keys_and_hashed_certificates_are_told_apart_with_prometheus_live(
    tmp_path: Path, tool: Callable[..., str], kind: str, code: int, verdict: str, cause: str
) -> None:
    tool("prometheus")
    with prepare(kind, tmp_path / "drill", prometheus=True) as drill:
        done = run("triage", drill.incident, "--out", tmp_path / "runs", cwd=tmp_path)
    found = result(the_run(tmp_path / "runs"))
    assert done.returncode == code, done.stderr
    assert (found["verdict"], found["cause"]) == (verdict, cause)
    assert found["remediation"]
    assert any(action["restores"] == 1.0 for action in found["remediation"])


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Drill, Path]]:
    """A mitm drill that was triaged once; its servers go on."""
    top = tmp_path_factory.mktemp("played")
    with prepare("mitm", top / "drill") as drill:
        outcome = triage(drill.incident, out=top / "runs")
        assert outcome.error is None
        yield drill, outcome.folder


def test_a_run_leaves_what_is_documented_and_its_manifest_holds(played: tuple[Drill, Path]) -> None:
    _, folder = played
    names = {path.relative_to(folder).as_posix() for path in folder.iterdir()}
    assert names == {
        "result.json", "report.html", "summary.txt", "summary.md", "triage.ipynb", "evidence", "manifest-sha256.txt",
    }  # fmt: skip
    lines = dict(reversed(line.split("  ", 1)) for line in (folder / "manifest-sha256.txt").read_text().splitlines())
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(lines) == files - {"manifest-sha256.txt"}
    for name, digest in lines.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert result(folder)["status"] == "complete"


def test_a_replay_gives_the_same_result_byte_for_byte_but_for_its_times_without_the_network(
    played: tuple[Drill, Path], tmp_path: Path
) -> None:
    _, folder = played
    moved = tmp_path / "copied elsewhere"
    shutil.copytree(folder, moved)
    # A name that resolves nowhere and a proxy that refuses: whoever went to the network would fail.
    done = run("triage", "--replay", moved, "--out", tmp_path / "again", cwd=tmp_path, https_proxy="http://127.0.0.1:9")
    assert done.returncode == 12, done.stderr
    again = the_run(tmp_path / "again")

    def but_for_times(path: Path) -> list[str]:
        lines = (path / "result.json").read_text().splitlines()
        return [line for line in lines if line.strip().split(":")[0].strip('"') not in TIMES]

    assert but_for_times(again) == but_for_times(folder)


def test_the_shell_the_command_line_papermill_and_the_notebook_by_hand_agree(
    played: tuple[Drill, Path], tmp_path: Path
) -> None:
    drill, folder = played
    evidence = irkit.gather(drill.incident)
    shell = irkit.classify(evidence)
    by_papermill = tmp_path / "papermill"
    subprocess.run(
        [sys.executable, "-m", "papermill", ROOT / "notebooks/triage.ipynb", tmp_path / "out.ipynb", "-p", "incident",
         drill.incident, "-p", "out", by_papermill],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    found = result(folder)
    papermill = result(the_run(by_papermill))
    assert papermill["status"] == "complete"
    for key in ("verdict", "cause", "confidence", "onset", "cohorts", "do_not"):
        assert papermill[key] == found[key], key
    assert (shell.verdict, shell.cause, round(shell.confidence, 4)) == (
        found["verdict"], found["cause"], found["confidence"],
    )  # fmt: skip


def test_a_host_alone_is_captured_compared_with_history_and_what_is_missing_is_said(
    tmp_path: Path, tls_server: Callable[..., Any]
) -> None:
    import forge

    server = tls_server(forge.root().issue("localhost", "127.0.0.1"))
    port = server.address.rpartition(":")[2]
    (tmp_path / "incident.toml").write_text(f'[incident]\nhost = "127.0.0.1"\nport = {port}\n')
    first = run("triage", "incident.toml", "--out", "runs", cwd=tmp_path)
    assert first.returncode == 13, first.stderr
    found = result(the_run(tmp_path / "runs"))
    missing = {item["source"] for item in found["missing"]}
    assert missing >= {"metrics", "releases", "inventory", "client chains", "history"}
    assert list((tmp_path / "captures").rglob("*.json")), "the run adds its capture to the history"
    second = run("triage", "incident.toml", "--out", "runs2", cwd=tmp_path)
    assert second.returncode == 13
    assert "history" not in {item["source"] for item in result(the_run(tmp_path / "runs2"))["missing"]}


def test_progress_is_shown_per_step_and_on_stderr(played: tuple[Drill, Path], tmp_path: Path) -> None:
    drill, _ = played
    done = run("triage", drill.incident, "--out", tmp_path, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["verdict"] == "mitm", "results go to stdout, and only they"
    for step in ("counting failures", "capturing chains", "reading pins"):
        assert step in done.stderr


BAD_INCIDENTS = {
    "a mistyped key": ('[incident]\nhots = "a.example"', 2, "did you mean"),
    "no host": ("[incident]\n", 2, "host ="),
    "not TOML": ("[incident", 2, "not TOML"),
}


@pytest.mark.parametrize("name", BAD_INCIDENTS)
def test_a_bad_incident_file_is_one_clear_line_with_a_hint_and_exit_code_2(tmp_path: Path, name: str) -> None:
    content, code, says = BAD_INCIDENTS[name]
    (tmp_path / "incident.toml").write_text(content)
    done = run("triage", "incident.toml", cwd=tmp_path)
    assert done.returncode == code
    assert says in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_incident_file_is_exit_code_2_and_says_what_to_write(tmp_path: Path) -> None:
    done = run("triage", "none.toml", cwd=tmp_path)
    assert (done.returncode, "can't read the incident file" in done.stderr) == (2, True)
    assert run("triage", cwd=tmp_path).returncode == 2


def test_sources_that_give_nothing_are_missing_entries_and_the_rest_goes_on(
    played: tuple[Drill, Path], tmp_path: Path
) -> None:
    """A metric file that is none, a pin file that is broken, a PEM that is garbage, endpoints that refuse or hang."""
    drill, _ = played
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()[1]
        closed.close()
        (tmp_path / "broken.xml").write_text("<network-security-config><domain-config>")
        (tmp_path / "broken.plist").write_bytes(b"bplist00\xff\xff")
        (tmp_path / "garbage.pem").write_bytes(b"\x00\x01garbage")
        (tmp_path / "incident.toml").write_text(f"""
            [incident]
            host = "api.example.com"
            [metrics]
            url = "http://127.0.0.1:{refused}"
            [[capture]]
            vantage = "good"
            connect = "{drill.address}"
            [[capture]]
            vantage = "refused"
            connect = "127.0.0.1:{refused}"
            [[capture]]
            vantage = "silent"
            connect = "127.0.0.1:{silent.getsockname()[1]}"
            [[release]]
            app = "a"
            version = "1"
            pins = "broken.xml"
            [[release]]
            app = "b"
            version = "2"
            pins = "broken.plist"
            [[release]]
            app = "c"
            version = "3"
            pins = "not-there.xml"
            [[observed]]
            file = "garbage.pem"
            [inventory]
            file = "no-keys.toml"
            [trust]
            roots = ["no-roots.pem"]
        """)
        done = run("triage", "incident.toml", "--out", "runs", cwd=tmp_path)
    folder = the_run(tmp_path / "runs")
    found = result(folder)
    missing = {item["source"]: item["reason"] for item in found["missing"]}
    assert done.returncode == 13, done.stderr
    assert found["status"] == "complete"
    for source in (
        "metrics", "capture refused", "capture silent", "release c 3", "client chain garbage.pem", "inventory",
        "trust no-roots.pem",
    ):  # fmt: skip
        assert source in missing, (source, missing)
    assert "Traceback" not in json.dumps(missing) + done.stderr
    assert list((folder / "evidence" / "certificates").iterdir()), "what the good vantage gave is kept"


def test_out_of_time_is_exit_code_4_and_the_report_says_so(played: tuple[Drill, Path], tmp_path: Path) -> None:
    drill, _ = played
    done = run("triage", drill.incident, "--out", tmp_path / "runs", "--deadline", "0.5", cwd=tmp_path)
    folder = the_run(tmp_path / "runs")
    assert done.returncode == 4, done.stderr
    assert result(folder)["status"] == "incomplete"
    assert "did not complete" in (folder / "report.html").read_text()


def test_a_run_told_to_stop_is_exit_code_3_and_never_looks_complete(played: tuple[Drill, Path], tmp_path: Path) -> None:
    drill, _ = played
    command = [sys.executable, "-m", "irkit.cli", "triage", str(drill.incident), "--out", str(tmp_path / "runs")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        while not list((tmp_path / "runs").glob("*/*/result.json")):
            assert child.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=60)
    folder = the_run(tmp_path / "runs")
    assert child.returncode == 3, said
    assert result(folder)["status"] == "incomplete"
    assert "did not complete" in (folder / "report.html").read_text()


def test_evidence_that_was_changed_is_refused(played: tuple[Drill, Path], tmp_path: Path) -> None:
    _, folder = played
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    victim = next((copy / "evidence" / "certificates").iterdir())
    victim.write_bytes(victim.read_bytes()[:-1] + b"\x00")
    done = run("triage", "--replay", copy, cwd=tmp_path)
    assert done.returncode == 2
    assert "was changed" in done.stderr
