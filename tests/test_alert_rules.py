"""The alert rules: what they page for, what they leave alone, and that their tests would notice a weaker rule."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from irkit.drill.causes import SCENARIOS
from irkit.drill.scenario import HOST, WINDOW
from irkit.drill.traffic import METRIC, count

RUNBOOKS = Path(__file__).parent.parent / "runbooks"


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "promtool is not installed"
    return found


def run(promtool: str, *arguments: str, folder: Path = RUNBOOKS) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.prometheus
def test_the_alerts_do_what_their_tests_say(promtool: str) -> None:
    tests = ("alerts.test.yml", "alerts.days.test.yml")
    for arguments in (("check", "rules", "alerts.yml"), ("test", "rules", *tests)):
        done = run(promtool, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_a_test_and_each_alert_a_runbook_that_is_there() -> None:
    rules = (RUNBOOKS / "alerts.yml").read_text()
    tested = "".join(path.read_text() for path in RUNBOOKS.glob("alerts.*test.yml"))
    for record in re.findall(r"record: (\S+)", rules):
        assert record in tested, record
    views = re.findall(r"- alert: (\w+).*?severity: (\w+)(?:, view: ([\w-]+))?", rules, re.DOTALL)
    assert len(views) == rules.count("alert: ")
    for name, severity, view in views:
        labels = f"severity: {severity}" + (f", view: {view}" if view else "")
        fires = re.compile(rf"alertname: {name}\n\s+exp_alerts:\n.*?{labels}", re.DOTALL)
        assert fires.search(tested), (name, view)
    for name in re.findall(r"runbook_url: \S+/(\S+)", rules):
        assert (RUNBOOKS / name).exists()


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("> 0.02", "> 0.0001"),  # a healthy busy domain pages
        (">= 20", ">= 0"),
        (">= 5\n", ">= 1\n"),  # two of three page
        ("(cert_pin_validation_total unless cert_pin_validation_total offset 10m)\n            or ", ""),  # late-born
        ("sum by (domain, region, result)", "sum by (domain, result)"),  # the region is diluted
        ("sum by (domain, platform, app_version, result)", "sum by (domain, result)"),  # the release is diluted
        ("< 0.3", "< 0.01"),
        ("absent(cert_pin_validation_total)\n          or ", ""),
        ('!~"success|unpinned"', '="failure"'),  # reasons are not seen
        ("or 0 * sum", "unless sum"),
        (" - on (job, instance) group_left () (time() - irkit_health_completed_timestamp_seconds) / 86400\n", "\n"),
        ("or absent(irkit_health_completed_timestamp_seconds)", ""),
        ("26 * 3600", "86400 * 26"),
    ],
)
def test_the_alert_tests_notice_a_weakened_rule(promtool: str, tmp_path: Path, old: str, new: str) -> None:
    rules = (RUNBOOKS / "alerts.yml").read_text()
    assert old in rules
    (tmp_path / "alerts.yml").write_text(rules.replace(old, new))
    tests = ("alerts.test.yml", "alerts.days.test.yml")  # the quick one first
    for name in tests:
        shutil.copy(RUNBOOKS / name, tmp_path)
    assert any(run(promtool, "test", "rules", name, folder=tmp_path).returncode for name in tests)


def played(kind: str, begin: timedelta, end: timedelta) -> tuple[str, int]:
    """A promtool test's input series: a rehearsal's counters from `begin` to `end`; and its onset, minutes from there.

    Both are from the onset; without one, from the end of the day.
    """
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    scenario = SCENARIOS[kind](now - WINDOW, now)
    series = count(scenario.groups, HOST, start=now - WINDOW, end=now, seed=0)
    first = int(((scenario.onset or now) + begin).timestamp())
    last = int(((scenario.onset or now) + end).timestamp())
    lines = []
    for one in series:
        labels = ", ".join(f'{name}="{value}"' for name, value in one.labels.items())
        values = dict(one.samples)
        points = " ".join(str(values.get(at, "_")) for at in range(first, last + 1, 60))
        lines.append(f"      - series: '{METRIC}{{{labels}}}'\n        values: '{points}'\n")
    return "".join(lines), -begin // timedelta(minutes=1)


@pytest.mark.prometheus
@pytest.mark.parametrize(("kind", "within"), [("rotation", 5), ("mitm", 8), ("misconfiguration", 30), ("quiet", None)])
def test_the_alerts_page_for_incidents_and_not_for_a_quiet_day(
    promtool: str, tmp_path: Path, kind: str, within: int | None
) -> None:
    begin = timedelta(hours=-2) if within else timedelta(hours=-23)
    series, onset = played(kind, begin, timedelta(minutes=within or 0))
    firing = 'ALERTS{alertname=~"CertificatePin(Failure|ValidationsMissing|MetricsAbsent)", alertstate="firing"}'
    (tmp_path / "test.yml").write_text(
        f"rule_files: [{RUNBOOKS / 'alerts.yml'}]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n"
        f"    input_series:\n{series}    promql_expr_test:\n"
        f"      - expr: count(count_over_time({firing}[1d]))\n        eval_time: {onset}m\n        exp_samples: []\n"
        + (
            f"      - expr: count({firing}) > bool 0\n        eval_time: {onset + within}m\n"
            "        exp_samples: [{ labels: '{}', value: 1 }]\n"
            if within
            else ""
        )
    )
    done = run(promtool, "test", "rules", "test.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
