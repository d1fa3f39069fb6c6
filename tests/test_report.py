from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import examples
import pytest
from examples import HOSTILE, NOW, ONSET, Example

from irkit import plots, report
from irkit.chain import Chain
from irkit.remedy import Action, Remediation
from irkit.render import Markup
from irkit.verdict import Cohort, CohortVerdict, Verdict

PICTURES = 5  # over time, the worst, the heat map, the keys, the chains


class Page(HTMLParser):
    """Elements, attributes, images' words and the text by section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.alts: list[str] = []
        self.words: dict[str, str] = {"": ""}
        self.part, self.skip = "", False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += found.items()
        self.skip = tag in {"style", "script"}
        if tag == "section":
            self.part = found["id"]
            self.words[self.part] = ""
        if tag == "img":
            self.alts.append(found["alt"])

    def handle_endtag(self, tag: str) -> None:
        self.skip = self.skip and tag not in {"style", "script"}
        self.words[self.part] += " "

    def handle_data(self, data: str) -> None:
        if not self.skip:
            self.words[self.part] += data

    @property
    def first(self) -> str:
        return self.words[""]


def made(example: Example, **more: Any) -> str:
    return report.report_html(*example, **({"started": NOW, "finished": NOW + timedelta(seconds=41)} | more))


@pytest.fixture(scope="module")
def mitm() -> Example:
    return examples.mitm()


@pytest.fixture(scope="module")
def rotation() -> Example:
    return examples.rotation()


@pytest.fixture(scope="module")
def mitm_page(mitm: Example) -> str:
    return made(mitm)


def test_the_first_screen_answers_what_who_since_when_and_what_to_do(mitm_page: str) -> None:
    first = Page(mitm_page).first
    for words in (
        "✖ MITM",
        "interception-untrusted-ca",
        "97 %",
        "2026-11-23 08:42 UTC (08:39 to 08:44), 3 h 18 min before this evidence",
        "ap-south, AS64500: 94 % of validations there fail since then (",
        "; 25 % of all validations are theirs. Region ap-south has 99.9 % of the failures beyond the baseline: 94 % of",
        "2 sources: release shop-ios 4.0, capture probe-in",
        "Keep pinning on",
        "INC-2041",
        "took 41 s",
    ):
        assert words in " ".join(first.split())


def test_in_a_mitm_what_not_to_do_comes_first_and_in_a_rotation_last(mitm_page: str, rotation: Example) -> None:
    first, other = Page(mitm_page).first, Page(made(rotation)).first
    assert 0 < first.index("Do not disable or loosen pinning") < first.index("Do now")
    assert 0 < other.index("Do now") < other.index("Do not disable pinning")
    assert "Restores 98 % of the failing validations" in " ".join(other.split())


def test_the_sections_are_numbered_as_in_the_runbook(mitm_page: str) -> None:
    from irkit.files import workbench_file

    titles = re.findall(r"<h2>(\d\. [^<]*)</h2>", mitm_page)
    assert titles == [
        "1. Scope", "2. Capture", "3. Compare", "4. Classify", "5. Remedy", "6. Missing evidence", "7. Replay",
    ]  # fmt: skip
    runbook = workbench_file("runbooks/CertificatePinFailure.md").read_text(encoding="utf-8")
    assert re.findall(r"### (\d\. \w+)", runbook) == titles[:5]


def test_each_section_holds_its_evidence(mitm_page: str, mitm: Example) -> None:
    words = {name: " ".join(shown.split()) for name, shown in Page(mitm_page).words.items()}
    pin = str(mitm.evidence.captures[0].chain.leaf.pin)
    assert "60,797 of 2,297,384 validations failed (2.6 %)" in words["scope"]
    assert "increase(cert_pin_validation_total" in words["scope"]
    assert "30 minutes were not read" in words["scope"]
    assert f"All trusted vantages see the same leaf key {pin}" in words["capture"]
    assert "handshake at 192.0.2.9:443 failed: connection refused" in words["capture"]
    assert "prove nothing good" in words["capture"]
    assert "The server presents the same chain as before" in words["compare"]
    assert "shop-android 4.1.0 android yes yes no" in words["compare"]
    assert "signs nothing in this chain" in words["compare"]
    assert "very strongly for interception-untrusted-ca (+7)" in words["classify"]
    assert "very strongly against rotation (-5)" in words["classify"]
    assert "A chain captured by a second device" in words["classify"]
    assert "2. Tell users on that network to use another one." in words["remedy"]
    assert "Pinning stopped it" in words["remedy"]  # from the runbook
    assert "give the plist that ships" in words["missing"]
    assert "irkit triage --replay" in words["replay"]


def test_commands_stand_apart_to_be_copied(mitm_page: str) -> None:
    commands = re.findall(r"<pre><code>([^<]*)</code></pre>", mitm_page)
    assert "openssl s_client -connect api.example.com:443 -servername api.example.com -showcerts" in commands
    assert any(command.startswith("dig +short CAA") for command in commands)


@pytest.mark.parametrize("make", [examples.mitm, examples.rotation, examples.bare])
def test_a_report_is_one_file_that_loads_and_runs_nothing(make: Callable[[], Example]) -> None:
    shown = made(make())
    page = Page(shown)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "video", "svg"} & set(page.tags)
    assert not [
        name for name, _ in page.attributes if name.startswith("on") or name in {"style", "srcset", "background"}
    ]
    assert all(value.startswith("data:image/png;base64,") for name, value in page.attributes if name == "src")
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert "default-src 'none'" in shown
    assert page.tags.count("h1") == 1
    assert len(shown) < 2_000_000
    assert "could not be" not in re.sub(r"could not be (had|worked out)", "", shown)


def test_every_picture_has_words(mitm_page: str) -> None:
    page = Page(mitm_page)
    assert len(page.alts) == PICTURES
    assert all(len(alt) > 100 and re.search(r"\d|key A", alt) for alt in page.alts)
    assert page.tags.count("figure") == page.tags.count("figcaption") == PICTURES


def test_hostile_content_is_shown_as_text_everywhere() -> None:
    example = examples.mitm(hostile=True)
    shown = made(example)
    page = Page(shown)
    assert not {"script", "svg", "a"} & set(page.tags) - {"a"}
    assert page.tags.count("img") == PICTURES
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\u200b]", shown)
    everything = "".join(page.words.values())
    assert everything.count("<script>window.pwned=1</script>") > 20
    assert "\\u{1b}[2J\\u{d}\\u{202e}\\u{200b}\\u{0}" in everything
    assert len(shown) < 2_000_000
    for words in (
        report.summary_text(*example),
        json.dumps(report.result_json(*example, status="complete", started=NOW, finished=NOW)),
    ):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\u200b]", words)
    chat = report.summary_markdown(*example).replace("```", "")
    assert "<" not in chat
    assert not re.search(r"(?<!\\)[\[\]`$]|[@$]", chat)


@pytest.mark.parametrize(
    "gone",
    list(itertools.combinations(["failures", "captures", "observed", "history", "releases", "inventory", "trust"], 2)),
)
def test_sections_say_in_words_what_is_not_there(mitm: Example, gone: tuple[str, str]) -> None:
    empty = {"failures": None, "inventory": None, "trust": None}
    evidence = replace(mitm.evidence, **{name: empty.get(name, ()) for name in gone})
    verdict = replace(mitm.verdict, onset=None, cohorts=()) if "failures" in gone else mitm.verdict
    parts = [
        report.scope(evidence, verdict) if "failures" in gone else Markup(),
        report.captures(evidence),
        report.comparison(evidence, verdict) if {"captures", "releases"} & set(gone) else Markup(),
        report.classification(evidence, verdict),
        report.remedy(evidence, verdict, mitm.remediation),
    ]
    words = " ".join(repr(part) for part in parts)
    expected = {
        "failures": "no failures were counted",
        "captures": "No trusted vantage saw a chain",
        "observed": "No chain that a failing client saw",
        "releases": "No release with its pins is at hand",
    }
    for name in gone:
        assert expected.get(name, "") in words


def test_nothing_at_all_still_makes_every_section() -> None:
    for missing in (True, False):
        evidence, verdict, remediation = examples.bare(missing=missing)
        for part in (
            report.scope(evidence),
            report.scope(evidence, verdict),
            report.captures(evidence),
            report.comparison(evidence),
            report.classification(evidence, verdict),
            report.remedy(evidence, verdict, remediation),
        ):
            assert isinstance(part, Markup)
            assert len(repr(part)) > 20


def test_chains_without_a_certificate_are_described(mitm: Example) -> None:
    nothing = Chain(())
    captures = tuple(replace(capture, chain=nothing) for capture in mitm.evidence.captures)
    observed = tuple(replace(item, chain=nothing) for item in mitm.evidence.observed)
    evidence = replace(mitm.evidence, captures=captures, observed=observed, failures=None)
    assert "no certificate" in repr(report.captures(evidence))
    assert "is not known" in repr(report.comparison(evidence))


def test_huge_chains_and_names_make_no_huge_report(mitm: Example) -> None:
    import forge

    huge = forge.root().issue(*(f"n{i}.example.com" for i in range(5000)), cn="x" * 64)
    chain = Chain(huge.chain.certificates * 300, mitm.evidence.captures[0].chain.obtained)
    captures = tuple(replace(capture, chain=chain, vantage="v" * 100_000) for capture in mitm.evidence.captures) * 40
    missing = mitm.evidence.missing * 500
    evidence = replace(mitm.evidence, captures=captures, missing=missing)
    shown = made(Example(evidence, replace(mitm.verdict, missing=missing), mitm.remediation))
    assert len(shown) < 1_000_000
    assert "more rows" in shown
    assert "could not be made" not in shown


def test_a_run_that_did_not_complete_says_so_before_everything() -> None:
    example = examples.bare()
    shown = made(example, status="incomplete", error="out of time after 60 s — give --deadline")
    first = Page(shown).first
    assert first.index("THIS RUN DID NOT COMPLETE") < first.index("INCONCLUSIVE")
    assert "out of time after 60 s" in first
    assert "Do not disable or loosen pinning" in first
    assert 'role="alert"' in shown
    assert "DID NOT COMPLETE" not in made(example)


def test_a_fault_in_one_section_loses_no_other(mitm: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Markup:
        raise ValueError(f"odd {HOSTILE}")

    monkeypatch.setattr(report, "captures", broken)
    shown = made(mitm)
    words = Page(shown).words
    assert "This section could not be made: ValueError: odd" in words["capture"]
    assert "very strongly for" in words["classify"]
    assert "<script" not in shown


def test_a_picture_that_can_not_be_drawn_is_told_in_words(mitm: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(plots, "failure_ratio", broken)
    assert "A picture could not be drawn: ZeroDivisionError" in repr(report.scope(mitm.evidence, mitm.verdict))


def test_the_notebook_shows_the_sections_of_the_report(mitm_page: str, mitm: Example) -> None:
    for part in (
        report.captures(mitm.evidence),
        report.comparison(mitm.evidence, mitm.verdict),
        report.classification(mitm.evidence, mitm.verdict),
        report.remedy(*mitm),
    ):
        assert part in mitm_page
        assert part in part._repr_html_()


def test_several_cohorts_are_each_named_with_their_verdict(mitm: Example) -> None:
    second = CohortVerdict(
        Cohort(("shop-ios 3.9",), share=0.1, failures=5, validations=10), "misconfiguration", "wrong-pin", 0.9, {}
    )
    verdict = replace(mitm.verdict, cohorts=(*mitm.verdict.cohorts, *[second] * 5))
    first = " ".join(Page(made(Example(mitm.evidence, verdict, mitm.remediation))).first.split())
    assert (
        "shop-ios 3.9: 50 % of validations there fail (5 of 10); 10 % of all validations are theirs (misconfiguration)"
        in (first.replace("( ", "(").replace(" )", ")"))
    )
    assert "and 2 more cohorts" in first


def test_the_first_screen_says_how_long_the_other_actions_take(mitm: Example) -> None:
    actions = (mitm.remediation.actions[0], Action("z", "Do z.", ("a step",), 0.5, takes="days: a review comes first"))
    example = Example(mitm.evidence, mitm.verdict, Remediation(actions))
    assert "Do z. Restores 50 % of the failing validations, in days." in " ".join(Page(made(example)).first.split())
    assert "Do z. (restores 50 % of the failing validations, in days)" in report.summary_text(*example)


def test_an_action_says_what_it_costs_and_which_releases_it_brings_back(mitm: Example) -> None:
    action = Action(
        "x", "Do x.", ("a step",), 0.5, (("shop 1", 1.0), ("shop 2", 0.0)), takes="minutes", weakens="all of it"
    )
    idle = Action("y", "Do y.", (), 0.0)
    shown = repr(report.remedy(mitm.evidence, mitm.verdict, Remediation((action, idle))))
    assert "This weakens pinning while it lasts: all of it." in shown
    assert "Restores 50 % of the failing validations." in shown
    assert "shop 1  100 %" in shown
    assert "shop 2  0 %" in shown
    assert "Brings nobody back by itself." in shown


def test_an_end_of_the_failures_is_said(mitm: Example) -> None:
    cohort = replace(mitm.verdict.cohorts[0].cohort, end=ONSET + timedelta(hours=1))
    judged = replace(mitm.verdict.cohorts[0], cohort=cohort)
    example = Example(mitm.evidence, replace(mitm.verdict, cohorts=(judged,)), mitm.remediation)
    assert "they ended 2026-11-23 09:42 UTC" in Page(made(example)).first


def test_an_undecided_verdict_shows_no_share_that_could_be_taken_for_an_answer(mitm: Example) -> None:
    verdict = replace(mitm.verdict, verdict="inconclusive", cause="", probabilities={"rotation": 0.99})
    first = Page(made(Example(mitm.evidence, verdict, mitm.remediation))).first
    assert "too little to decide" in first
    assert "rotation" not in first


def test_the_findings_on_several_cohorts_stand_apart(mitm: Example) -> None:
    (one,) = mitm.verdict.cohorts
    second = replace(one, cohort=Cohort(("shop-ios 3.9",)), findings=one.findings[:1])
    verdict = replace(mitm.verdict, cohorts=(replace(one, findings=mitm.verdict.findings), second))
    shown = str(report.classification(mitm.evidence, verdict))
    assert "<caption>Findings on all releases in ap-south, AS64500, the strongest first</caption>" in shown
    assert "<details><summary>Findings on shop-ios 3.9</summary>" in shown
    assert "in natural log-odds" in shown


def test_where_nothing_is_wrong_nothing_is_to_be_done(mitm: Example) -> None:
    verdict = Verdict("none", "", 0.99, {}, findings=())
    shown = " ".join(Page(made(Example(mitm.evidence, verdict, Remediation(())))).first.split())
    assert "✓ NONE" in shown
    assert "Nothing is to be done." in shown
