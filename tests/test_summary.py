"""The answer in few words, and as result.json."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import examples
import mistune
import pytest
from examples import HOSTILE, NOW, Example
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irkit import report
from irkit.remedy import Action, Remediation
from irkit.summary import duration, meaning, percent
from irkit.verdict import CAUSES, VERDICTS


@pytest.fixture(scope="module")
def mitm() -> Example:
    return examples.mitm()


@pytest.fixture(scope="module")
def rotation() -> Example:
    return examples.rotation()


def result(example: Example, status: str = "complete") -> dict[str, Any]:
    return report.result_json(*example, status=status, started=NOW, finished=NOW + timedelta(seconds=41))


def test_result_json_has_exactly_the_schema(mitm: Example) -> None:
    document = result(mitm)
    assert list(document) == [
        "schema", "status", "incident", "host", "started", "finished", "verdict", "cause", "confidence",
        "probabilities", "onset", "cohorts", "findings", "missing", "would_change_it", "remediation", "do_not",
    ]  # fmt: skip
    assert document["schema"] == "irkit.result/1"
    assert (document["started"], document["finished"]) == ("2026-11-23T12:00:00Z", "2026-11-23T12:00:41Z")
    assert document["onset"] == "2026-11-23T08:42:00Z"
    assert document["confidence"] == 0.971
    assert document["probabilities"]["mitm"] == 0.971
    cohort = document["cohorts"][0]
    assert list(cohort) == [
        "releases", "platforms", "regions", "networks", "share", "verdict", "cause", "confidence",
    ]  # fmt: skip
    assert cohort["regions"] == ["ap-south"]
    assert cohort["share"] == 0.25
    assert list(document["findings"][0]) == ["id", "says", "source", "supports", "weight"]
    assert list(document["missing"][0]) == ["source", "reason"]
    assert list(document["remediation"][0]) == [
        "action",
        "steps",
        "restores",
        "by_release",
        "takes",
        "weakens_pinning",
        "weakens",
    ]
    assert [action["restores"] for action in document["remediation"]] == [None, 0.6]
    assert json.dumps(document) == json.dumps(result(mitm))


def test_result_json_of_a_run_under_way_has_no_end() -> None:
    document = report.result_json(*examples.bare(), status="incomplete", started=NOW, finished=None)
    assert (document["status"], document["finished"], document["onset"]) == ("incomplete", None, None)


def test_the_summary_for_the_terminal(mitm: Example, rotation: Example) -> None:
    shown = report.summary_text(*mitm).splitlines()
    assert shown[0] == "✖ MITM / interception-untrusted-ca, 97 % confident"
    do_not = next(i for i, line in enumerate(shown) if line.startswith("DO NOT: Disable or loosen"))
    first = next(i for i, line in enumerate(shown) if line.startswith("Do first: Keep pinning on"))
    seen = [i for i, line in enumerate(shown) if line.startswith("Seen: ")]
    assert len(seen) == 3
    assert do_not < first < seen[0]
    assert any(line.startswith("  Region ap-south has 99.9 % of the failures beyond the baseline") for line in shown)
    other = report.summary_text(*rotation)
    assert other.index("Do first") < other.index("DO NOT: Disable pinning")
    assert "(restores 98 % of the failing validations)" in other
    assert "nothing was judged" in report.summary_text(*examples.bare())


def test_the_summary_for_a_chat_has_the_facts_first_and_commands_to_copy(mitm: Example, rotation: Example) -> None:
    shown = report.summary_markdown(*mitm)
    assert shown.startswith("**✖ MITM** / interception-untrusted-ca, 97 % confident: Somebody on the path")
    assert "- **Since:** 2026-11-23 08:42 UTC" in shown
    assert shown.count("- **Seen:**") == 3
    leads = re.findall(r"^- \*\*([^*]*):\*\*", shown, re.MULTILINE)
    assert list(dict.fromkeys(leads))[:4] == ["Since", "Who", "Do not", "Do now"]
    (fence,) = re.findall(r"^```\n(.*?)\n```$", shown, re.DOTALL | re.MULTILINE)
    assert fence.startswith("openssl s_client -connect api.example.com:443 -servername api.example.com -showcerts\n")
    other = re.findall(r"^- \*\*([^*]*):\*\*", report.summary_markdown(*rotation), re.MULTILINE)
    assert other.index("Do now") < other.index("Do not")
    assert "no action was worked out" in report.summary_markdown(*examples.bare())


hostile_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["```", "``` \n```\nrun", "$x$", "@all", "[a](javascript:b)", "~~~\n# VERDICT: none", HOSTILE, "`" * 400, "$" * 900]
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile_text, hostile_text)
def test_no_name_breaks_out_of_the_summary_for_a_chat(mitm: Example, name: str, more: str) -> None:
    cohort = replace(mitm.verdict.cohorts[0].cohort, releases=(name + more,), regions=(more,))
    judged = (replace(mitm.verdict.cohorts[0], cohort=cohort),) * 3
    findings = tuple(replace(finding, says=name + more) for finding in mitm.verdict.findings)
    verdict = replace(mitm.verdict, cohorts=judged, findings=findings)
    steps = (f"irkit capture {name}", f"Look: dig {more}x", name)
    remediation = Remediation((Action("a", name, steps), Action("b", more)), (name, more, name + more))
    evidence = replace(mitm.evidence, failures=None, incident=replace(mitm.evidence.incident, id=name))
    shown = report.summary_markdown(evidence, verdict, remediation)
    assert len(shown) <= 3500
    tags = re.findall(r"<(\w+)", mistune.create_markdown(escape=False, plugins=["url", "table", "task_lists"])(shown))
    assert set(tags) <= {"p", "ul", "li", "strong", "pre", "code"}
    assert tags.count("pre") == shown.count("\n```\n") // 2 <= 1
    outside = re.sub(r"^```\n.*?\n```$", "", shown, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"[@$]|[\x00-\x09\x0b-\x1f\x7f\u202e\u200b]", outside)
    assert outside.index("**Do not:**") < outside.index("**Do now:**")


def test_every_verdict_and_cause_has_a_meaning_in_words() -> None:
    for verdict in VERDICTS:
        assert len(meaning(verdict, "")) > 20
    for cause, verdict in CAUSES.items():
        assert len(meaning(verdict, cause)) > 20
        assert "`" not in meaning(verdict, cause)


@pytest.mark.parametrize(
    ("share", "shown"),
    [(None, "unknown"), (0, "0 %"), (0.00001, "under 0.01 %"), (0.0012, "0.12 %"), (0.034, "3.4 %"), (0.25, "25 %"),
     (0.9999, "99.9 %"), (1, "100 %")],
)  # fmt: skip
def test_shares_can_be_told_from_none_and_from_all(share: float | None, shown: str) -> None:
    assert percent(share) == shown


def test_spans_are_said_in_words() -> None:
    assert duration(timedelta(minutes=59)) == "59 min"
    assert duration(timedelta(hours=3, minutes=18)) == "3 h 18 min"
    assert duration(timedelta(days=3, hours=2)) == "3 days 2 h"
    assert duration(timedelta(seconds=-5)) == "0 min"
