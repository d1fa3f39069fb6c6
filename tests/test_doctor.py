"""`irkit doctor` and the notebook's preflight: each dependency is touched, what is missing is named with its fix."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from irkit.cli import main
from irkit.doctor import Check, _clock, _extra, describe, examine, installation
from irkit.drill import prepare
from irkit.errors import MetricsError


def found(checks: tuple[Check, ...], what: str) -> Check:
    (check,) = [check for check in checks if check.what.startswith(what)]
    return check


def test_this_installation_is_well(tmp_path: Path) -> None:
    checks = installation(tmp_path)
    assert {check.state for check in checks if check.what.startswith(("Python", "notebooks", "runbooks"))} == {"ok"}
    assert found(checks, "packages of [workbench]").state == "ok"
    assert found(checks, "folder for runs").state == "ok"
    assert found(installation(Path("/proc/runs")), "folder for runs").state == "broken"  # whoever asks, root too


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["no-such-package-of-ours>=1; extra == 'workbench'", "pytest>=9999; extra == 'workbench'"]
    monkeypatch.setattr("irkit.doctor.importlib.metadata.requires", lambda _: lines)
    check = _extra("workbench", "no notebook", "broken")
    assert check.state == "broken"
    assert "no-such-package-of-ours" in check.says
    assert "older than 9999" in check.says
    assert check.hint == 'pip install "irkit[workbench]"'


def test_a_drill_has_everything_and_nothing_is_written(tmp_path: Path) -> None:
    with prepare("mitm", tmp_path / "drill") as drill:
        before = sorted(tmp_path.rglob("*"))
        checks = examine(drill.incident)
        assert sorted(tmp_path.rglob("*")) == before
    assert [check for check in checks if check.state != "ok"] == []
    for what in ("metrics", "vantage office", "vantage probe", "client chain", "pins of shop-ios 7.3", "inventory"):
        assert [check for check in checks if check.what.startswith(what)], what


@pytest.mark.prometheus
def test_a_live_prometheus_tells_of_its_metric_its_labels_and_its_clock(
    tmp_path: Path, tool: Callable[..., str]
) -> None:
    tool("prometheus")
    with prepare("rotation", tmp_path / "drill", prometheus=True) as drill:
        good = examine(drill.incident)
        assert found(good, "metrics").state == "ok"
        assert "version, platform, region" in found(good, "metrics").says
        assert found(good, "clock").state == "ok"
        content = drill.incident.read_text()
        for change, says in (
            ('metric = "cert_pin_validation_totals"', "no metric"),
            ('labels = { version = "app_versoin" }', "app_versoin"),
        ):
            kept = re.sub(rf"(?m)^{change.partition(' ')[0]} = .*\n", "", content)
            drill.incident.write_text(kept.replace("[metrics]", f"[metrics]\n{change}"))
            check = found(examine(drill.incident), "metrics")
            assert check.state == "weaker"
            assert says in check.says
            assert check.hint, "the nearest names"
            assert "1. Scope" in check.weakens


def test_what_does_not_answer_or_parse_weakens_the_steps_that_need_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    (tmp_path / "broken.xml").write_text("<network-security-config>")
    (tmp_path / "incident.toml").write_text(f"""
        [incident]
        host = "api.example.com"
        [metrics]
        url = "http://127.0.0.1:{port}"
        [[capture]]
        vantage = "office"
        connect = "127.0.0.1:{port}"
        [[release]]
        app = "a"
        version = "1"
        pins = "broken.xml"
        [[release]]
        app = "b"
        version = "2"
        pins = "none.xml"
        [[observed]]
        file = "none.pem"
        [inventory]
        file = "none.toml"
    """)
    checks = examine(tmp_path / "incident.toml", deadline=3)
    assert {check.state for check in checks} == {"weaker"}
    weak = {check.what.split("/")[0]: check.weakens for check in checks}
    assert "1. Scope" in found(checks, "metrics").weakens
    assert "2. Capture" in found(checks, "vantage office").weakens
    assert "3. Compare" in found(checks, "release b 2").weakens
    assert "4. Classify" in found(checks, "inventory").weakens
    assert "2. Capture" in found(checks, "client chain").weakens
    assert weak
    assert "refused" in found(checks, "vantage office").says
    assert "no earlier capture" in found(checks, "history").says
    assert [check for check in checks if check.what.startswith("a check of irkit")] == []
    shown = str(describe(checks))
    assert "Weaker than they could be: 1. Scope, 2. Capture, 3. Compare, 4. Classify." in shown


@pytest.mark.parametrize(
    ("skew", "state", "says"),
    [(2, "ok", "as Prometheus"), (90, "weaker", "90 s behind"), (-3700, "weaker", "3,700 s ahead of")],
)
def test_a_clock_that_is_off_is_said_with_its_direction(skew: float, state: str, says: str) -> None:
    check = _clock(lambda: timedelta(seconds=skew))
    assert (check.state, says in check.says) == (state, True)


def test_a_clock_that_can_not_be_compared_is_not_called_right() -> None:
    def refuse() -> timedelta:
        raise MetricsError("down")

    assert _clock(refuse).state == _clock(lambda: None).state == "weaker"


def test_the_command_prints_text_or_json_and_its_exit_code_says_whether_a_triage_runs(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "incident.toml").write_text('[incident]\nhost = "127.0.0.1"\nport = 1\n')
    assert main(["doctor", str(tmp_path / "incident.toml"), "--json", "--deadline", "2"]) == 0
    checks = json.loads(capsys.readouterr().out)
    assert {check["state"] for check in checks} == {"ok", "weaker"}
    monkeypatch.setattr("irkit.doctor.importlib.metadata.requires", lambda _: ["none-such; extra == 'workbench'"])
    assert main(["doctor"]) == 3
    said = capsys.readouterr().out
    assert "✖ broken" in said
    assert 'fix: pip install "irkit[workbench]"' in said


def test_a_teams_own_runbooks_are_read_and_what_is_wrong_with_them_is_named(tmp_path: Path) -> None:
    front = "---\nalert: A\nowner: us\nreviewed: 2026-11-23\n---\n"
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "a.md").write_text(front + "## `hex-pin`: ours\ntext\n## `hex-pim`: a slip\ntext\n")
    (tmp_path / "books" / "b.md").write_text("no front matter")
    (tmp_path / "incident.toml").write_text(
        '[incident]\nhost = "127.0.0.1"\nport = 1\n[runbooks]\nfolder = "books"\n[trust]\nroots = []\n'
    )
    checks = examine(tmp_path / "incident.toml", deadline=2)
    assert found(checks, "runbooks of your own").says == "sections on 2 causes and checks"
    slip, broken = found(checks, "runbook a.md"), found(checks, "runbook b.md")
    assert slip.hint == "did you mean 'hex-pin'?"
    assert "front matter" in broken.says
    assert slip.weakens == broken.weakens == ("5. Remedy",)


def test_hostile_names_are_shown_harmlessly(tmp_path: Path) -> None:
    (tmp_path / "incident.toml").write_text(
        '[incident]\nhost = "127.0.0.1"\nport = 1\n[[capture]]\nvantage = "<script>x</script>\\u001b[2J"\nfile = "no"\n'
    )
    shown = str(describe(examine(tmp_path / "incident.toml", deadline=2)))
    assert "<script>" not in shown
    assert "\x1b" not in shown
