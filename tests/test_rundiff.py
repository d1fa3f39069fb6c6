from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import examples
import pytest
from examples import NOW

from irkit.cli import main
from irkit.errors import InputError
from irkit.report import result_json
from irkit.rundiff import compare_runs, load_result


def result(example: examples.Example) -> dict[str, Any]:
    return json.loads(json.dumps(result_json(*example, status="complete", started=NOW, finished=NOW)))


@pytest.fixture(scope="module")
def mitm() -> dict[str, Any]:
    return result(examples.mitm())


def test_the_same_run_has_not_changed(mitm: dict[str, Any]) -> None:
    assert compare_runs(mitm, copy.deepcopy(mitm)) == ()


def test_what_is_new_and_what_is_gone_is_told(mitm: dict[str, Any]) -> None:
    later = copy.deepcopy(mitm)
    later |= {"verdict": "none", "cause": "", "confidence": 0.99, "onset": None, "cohorts": [], "remediation": []}
    gone = later["findings"].pop(0)
    later["findings"].append({"id": "x", "says": "It is over.", "source": "metrics", "supports": "none", "weight": 3.0})
    had = later["missing"].pop()
    changes = {(c.what, c.before, c.after) for c in compare_runs(mitm, later)}
    assert ("verdict", "mitm / interception-untrusted-ca", "none") in changes
    assert ("confidence", "97 %", "99 %") in changes
    assert ("onset", "2026-11-23 08:42 UTC", "unknown") in changes
    assert ("finding", f"{gone['says']} ({gone['source']})", "") in changes
    assert ("finding", "", "It is over. (metrics)") in changes
    assert ("missing", f"{had['source']}: {had['reason']}", "") in changes
    assert any(what == "who" and "ap-south" in before and not after for what, before, after in changes)
    assert any(what == "do first" and before and not after for what, before, after in changes)
    assert not any(what == "status" for what, _, _ in changes)


def test_runs_of_different_hosts_and_what_is_no_result_are_refused(mitm: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="compare runs of one host"):
        compare_runs(mitm, mitm | {"host": "else.example"})
    with pytest.raises(InputError, match="not as irkit writes it"):
        compare_runs(mitm, mitm | {"findings": 3})
    for content in ("", "[]", "{}", '{"schema": "other/1"}', '{"schema": "irkit.result/1", "started": "soon"}'):
        (tmp_path / "result.json").write_text(content)
        with pytest.raises(InputError) as caught:
            load_result(tmp_path)
        assert caught.value.hint
    with pytest.raises(InputError):
        load_result(tmp_path / "nowhere")


def test_the_command_prints_text_markdown_or_json_and_hostile_findings_stay_text(tmp_path: Path, capsys: Any) -> None:
    nasty = result(examples.mitm(hostile=True))
    for name, content in (("a", nasty | {"findings": []}), ("b", nasty)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(content))
    runs = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["report", "--diff", *runs]) == 1
    shown = capsys.readouterr().out
    assert "finding, new: " in shown
    assert "\x1b" not in shown
    assert main(["report", "--diff", *runs, "--markdown"]) == 1
    chat = capsys.readouterr().out
    assert "\n- finding, new: " in chat
    assert "<" not in chat
    assert main(["report", "--diff", *runs, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert {change["what"] for change in said["changes"]} == {"finding"}
    assert said["after"] == {"started": "2026-11-23T12:00:00Z", "verdict": "mitm", "cause": "interception-untrusted-ca"}
    assert main(["report", "--diff", runs[1], runs[1]]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("api.example.com, 2026-11-23 12:00 UTC to 2026-11-23 12:00 UTC: nothing changed\n")
    assert "verdict: still mitm / interception-untrusted-ca, 97 % confident" in shown


def test_what_is_the_same_thing_with_other_numbers_or_words_is_one_change(
    mitm: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next run an hour later counts more failures: that is no finding gone and another come."""
    mitm, later = copy.deepcopy(mitm), copy.deepcopy(mitm)
    for run, failed in ((mitm, "1,204 of 2,000"), (later, "3,417 of 5,100")):
        run["findings"] = [
            {"id": "failures-rise", "says": f"{failed} validations failed.", "source": "metrics"},
            {"id": "client-chain-product", "says": "One.", "source": "phone.pem"},
        ]
    later["findings"][1]["says"] = "Another."
    later["cohorts"][0]["share"] = 0.5
    later["missing"] = mitm["missing"][1:]
    for name, content in (("a", mitm), ("b", later)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(content))
    assert main(["report", "--diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  verdict: still mitm / interception-untrusted-ca, 97 % confident",
        (
            "  who: all releases in ap-south, AS64500: mitm / interception-untrusted-ca, 25 % of all validations → "
            "all releases in ap-south, AS64500: mitm / interception-untrusted-ca, 50 % of all validations"
        ),
        f"  missing, had since: {mitm['missing'][0]['source']}: {mitm['missing'][0]['reason']}",
        "  finding, with newer numbers: 3,417 of 5,100 validations failed. (metrics)",
        "  finding: One. (phone.pem) → Another. (phone.pem)",
    ]
