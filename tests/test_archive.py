"""Evidence on disk: the same value comes back, and what was tampered with is refused in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from incidents import World, interception

from irkit.archive import load_evidence, save_evidence
from irkit.certificate import Certificate
from irkit.chain import Attempt, Chain, Obtained
from irkit.classify import classify
from irkit.drill import prepare
from irkit.errors import InputError, RunError
from irkit.evidence import Capture, Evidence
from irkit.files import write_atomically
from irkit.gather import begin, gather
from irkit.missing import Missing


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture
def evidence(world: World) -> Evidence:
    """Without metrics, whose own tests hold them to coming back; `test_triage` replays them."""
    found = replace(interception(world), failures=None, missing=(Missing("metrics", "down", "start it"),))
    return replace(found, incident=replace(found.incident, metrics=None), inventory=None)


def test_evidence_comes_back_as_it_was(evidence: Evidence, tmp_path: Path) -> None:
    odd = Certificate.from_der(b"\x30\x03\x02\x01\x05 not a certificate")
    obtained = Obtained(
        "handshake", "127.0.0.1:443", evidence.now, 0.25, host="api.example.com", port=443, server_name=None,
        protocol="TLS 1.3", ocsp=b"\x00\xff", attempts=(Attempt("[::1]:443", "handshake", "refused\x1b[2J"),),
        findings=("\u202eodd",), possession="proven",
    )  # fmt: skip
    whole = replace(
        evidence, captures=(*evidence.captures, Capture(Chain((odd,), obtained), "a\nvantage", trusted=False))
    )
    save_evidence(whole, tmp_path / "evidence")
    again = load_evidence(tmp_path / "evidence")
    assert replace(again, incident=whole.incident) == whole
    assert again.captures[-1].chain.obtained == obtained
    assert repr(classify(again)) == repr(classify(whole))


def test_the_folder_of_the_run_will_do(evidence: Evidence, tmp_path: Path) -> None:
    save_evidence(evidence, tmp_path / "evidence")
    assert load_evidence(tmp_path).now == evidence.now


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: d.pop("captures"), "damaged"),
        (lambda d: d.update(schema="irkit.evidence/9"), "irkit.evidence/9"),
        (lambda d: d["captures"][0].update(certificates=["../../etc/passwd"]), "names a certificate"),
        (lambda d: d["releases"][0].update(file="../../../etc/passwd"), "outside"),
        (lambda d: d.update(now="yesterday"), "damaged"),
        (lambda d: d["incident"].update(surprise=1), "damaged"),
    ],
)
def test_evidence_that_was_tampered_with_is_an_input_error(
    evidence: Evidence, tmp_path: Path, damage: object, says: str
) -> None:
    save_evidence(evidence, tmp_path)
    document = json.loads((tmp_path / "evidence.json").read_text())
    damage(document)  # type: ignore[operator]  # one of the lambdas above
    (tmp_path / "evidence.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=says) as caught:
        load_evidence(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, '"text"', "\ud800".encode("utf-8", "surrogatepass")])
def test_a_file_that_is_no_evidence_is_an_input_error(tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / "evidence.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError):
        load_evidence(tmp_path)
    with pytest.raises(InputError, match="no evidence"):
        load_evidence(tmp_path / "nowhere")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.txt", "first")
    assert (tmp_path / "a" / "b.txt").read_text() == "first"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="can't write"):
        write_atomically(tmp_path / "file" / "b.txt", "x")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.txt"], "no temporary file is left"
    assert (tmp_path / "a" / "b.txt").stat().st_mode & 0o777 == 0o644


def test_a_stage_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    (tmp_path / "incident.toml").write_text('[incident]\nhost = "127.0.0.1"\nport = 1\n')
    first = gather(tmp_path / "incident.toml")
    (tmp_path / "incident.toml").unlink()
    said: list[str] = []
    from irkit.gather import gather_chains

    assert gather_chains(first, progress=said.append) is first
    assert not said
    again = gather_chains(first, again=True, progress=said.append)
    assert said
    assert [item.source for item in again.missing].count("client chains") == 1, "an old Missing is replaced"


def test_begin_takes_an_incident_as_well_as_a_file(world: World) -> None:
    incident = world.evidence().incident
    assert begin(incident).incident is incident


def test_metrics_that_can_not_be_read_are_missing_with_the_file_named(tmp_path: Path) -> None:
    (tmp_path / "incident.toml").write_text('[incident]\nhost = "127.0.0.1"\nport = 1\n[metrics]\nfile = "none.json"\n')
    missing = {item.source: item for item in gather(tmp_path / "incident.toml").missing}
    assert "none.json" in missing["metrics"].reason
    assert missing["metrics"].hint


def test_metrics_come_back_as_they_were_read_with_the_results_that_the_incident_calls_a_success(tmp_path: Path) -> None:
    with prepare("rotation", tmp_path / "drill") as drill:
        metrics, incident = tmp_path / "drill" / "failures.json", drill.incident
        metrics.write_text(metrics.read_text().replace('"result":"success"', '"result":"ok"'))
        incident.write_text(incident.read_text().replace('"failures.json"', '"failures.json"\nsuccess = ["ok"]'))
        evidence = gather(incident)
        assert classify(evidence).cause == "leaf-key-rotated"
    again = load_evidence(save_evidence(evidence, tmp_path / "evidence"))
    assert again.failures == evidence.failures
    assert classify(again) == classify(evidence)
