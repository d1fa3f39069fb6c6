from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import irkit
from irkit.cli import parser
from irkit.drill.scenario import HOST, SCENARIOS, WINDOW
from irkit.drill.traffic import METRIC, count
from irkit.errors import InputError
from irkit.runbook import load_runbook, section
from irkit.verdict import CAUSES

RUNBOOKS = Path(__file__).parent.parent / "runbooks"
FAILURE = RUNBOOKS / "CertificatePinFailure.md"
FRONT = "---\nalert: A\nowner: us\nreviewed: 2026-11-23\n---\n"


def problems(path: Path) -> list[str]:
    """What is wrong with a runbook of causes."""
    sections = load_runbook(path).sections
    named = [found.cause for found in sections]
    wrong = [f"no section on {cause}" for cause in CAUSES if cause not in named]
    wrong += [f"line {found.line}: {found.cause} is no cause" for found in sections if found.cause not in CAUSES]
    wrong += [f"{cause} has two sections" for cause in {name for name in named if named.count(name) > 1}]
    leads = ("Meaning", "What decides it", "Mitigation", "Do not", "Prevention")
    for found in sections:
        parts = dict(found.parts)
        wrong += [f"{found.cause} says nothing under {lead}" for lead in leads if len(parts.get(lead, "")) < 5]
    return wrong


def test_the_runbook_has_a_full_section_for_every_cause_and_no_other() -> None:
    assert problems(FAILURE) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("### `leaf-key-rotated`: ", "### ", "no section on leaf-key-rotated"),
        ("### `hex-pin`", "### `hex-pim`", "hex-pim is no cause"),
        ("**Do not.** Look for an attacker.", "", "hex-pin says nothing under Do not"),
        ("**Do not.** Look for an attacker.", "**Do not.**", "hex-pin says nothing under Do not"),
    ],
)
def test_a_missing_an_unknown_and_an_empty_section_are_found(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = FAILURE.read_text()
    assert old in text
    broken = tmp_path / "broken.md"
    broken.write_text(text.replace(old, new))
    assert any(problem in found for found in problems(broken))


def test_each_cause_stands_under_its_verdict() -> None:
    headings = {"Rotation": "rotation", "MITM": "mitm", "Misconfiguration": "misconfiguration"}
    headings["Not a pin failure"] = "not-a-pin-failure"
    current = None
    for line in FAILURE.read_text().splitlines():
        if line.startswith("## "):
            current = headings.get(line[3:])
        elif match := re.match(r"### `([^`]+)`", line):
            assert CAUSES[match[1]] == current, line


def test_the_diagnosis_has_the_five_numbered_steps_of_the_notebook() -> None:
    steps = re.findall(r"^### (\d)\. (\w+)$", FAILURE.read_text(), re.MULTILINE)
    assert steps == [("1", "Scope"), ("2", "Capture"), ("3", "Compare"), ("4", "Classify"), ("5", "Remedy")]


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_every_runbook_names_its_alert_its_owner_and_its_review(path: Path) -> None:
    runbook = load_runbook(path)
    assert runbook.alert == path.stem
    assert runbook.owner
    assert runbook.reviewed >= date(2026, 1, 1)


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_every_runbook_belongs_to_an_alert_that_links_to_it(path: Path) -> None:
    rules = (RUNBOOKS / "alerts.yml").read_text()
    assert f"alert: {path.stem}\n" in rules
    assert f"/{path.name}\n" in rules


def test_a_section_is_given_with_its_paragraphs() -> None:
    found = section("empty-input-pin")
    assert found is not None
    assert found.title == "the hash of nothing"
    assert found.parts[0][0] == "Meaning"
    assert "47DEQpj8HBSa" in found.text
    assert "Do not: Leave it in" in repr(found)
    assert section("no-such-cause") is None


def test_deeper_headings_and_fenced_lines_stay_in_the_section(tmp_path: Path) -> None:
    path = tmp_path / "A.md"
    path.write_text(FRONT + "## `one`: x\ntext\n```\n# a comment\n## `two`\n```\n### deeper\nmore\n## other\nelse\n")
    (only,) = load_runbook(path).sections
    assert (only.cause, only.line) == ("one", 6)
    assert only.text == "text\n```\n# a comment\n## `two`\n```\n### deeper\nmore"


def test_markup_in_a_section_is_shown_as_text(tmp_path: Path) -> None:
    path = tmp_path / "A.md"
    path.write_text(FRONT + "## `one`: <script>x</script>\n**Meaning.** <img src=x onerror=y>\n")
    html = load_runbook(path).sections[0]._repr_html_()
    assert "<script>" not in html
    assert "<img" not in html


@pytest.mark.parametrize(
    "text", ["", "# no front matter\n", "---\nalert: A\n---\n", FRONT.replace("2026-11-23", "soon")]
)
def test_a_runbook_without_its_front_matter_is_refused_with_a_hint(tmp_path: Path, text: str) -> None:
    path = tmp_path / "A.md"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_runbook(path)
    assert "2026-11-23" in caught.value.hint


def test_a_runbook_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read"):
        load_runbook(tmp_path / "none.md")


@pytest.mark.parametrize("path", [*RUNBOOKS.glob("*.md"), *RUNBOOKS.glob("*.yml")], ids=lambda path: path.name)
def test_the_commands_and_calls_that_runbooks_name_exist(path: Path) -> None:
    text = path.read_text()
    commands = re.findall(r"`(irkit [a-z][^`]*)`", text) + re.findall(r"^    (irkit .*)$", text, re.MULTILINE)
    commands += re.findall(r": (irkit [^'\n]*)'?$", text, re.MULTILINE)
    assert commands or path.stem == "CertificatePinNearExpiry"
    for command in commands:
        words = shlex.split(command)[1:]
        needed = {"triage": "incident.toml", "check": "pins.xml"}.get(words[-1])
        assert parser().parse_args([*words, *filter(None, [needed])]).handler, command
    for name in re.findall(r"`irkit\.(\w+)`", text):
        assert callable(getattr(irkit, name)), name


# --- the alerts ---


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "promtool is not installed"
    return found


def run(promtool: str, *arguments: str, folder: Path = RUNBOOKS) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.prometheus
def test_the_alerts_do_what_their_tests_say(promtool: str) -> None:
    for arguments in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")):
        done = run(promtool, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


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
    ],
)
def test_the_alert_tests_notice_a_weakened_rule(promtool: str, tmp_path: Path, old: str, new: str) -> None:
    rules = (RUNBOOKS / "alerts.yml").read_text()
    assert old in rules
    (tmp_path / "alerts.yml").write_text(rules.replace(old, new))
    shutil.copy(RUNBOOKS / "alerts.test.yml", tmp_path)
    done = run(promtool, "test", "rules", "alerts.test.yml", folder=tmp_path)
    assert done.returncode != 0


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
    firing = 'ALERTS{alertname=~"CertificatePin.*", alertstate="firing"}'
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
