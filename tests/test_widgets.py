"""The form's own rules: what it takes for HTML, how it names data, what a filter and the explorer show."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import irkit
from irkit import widgets
from irkit.affected import cohort_facts
from irkit.desk import Filter, filtered
from irkit.drill import prepare
from irkit.errors import InputError
from irkit.evidence import Evidence
from irkit.explorer import explorer
from irkit.filters import cohort_filter, filters, shows_all
from irkit.form import ALERT, FILE, FormDesk
from irkit.question import Question
from irkit.render import copy_button, fragment, label, paragraph
from irkit.report import scope


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    with prepare("mitm", tmp_path_factory.mktemp("drill") / "mitm") as drill:
        yield irkit.gather(drill.incident)


def test_a_widget_shows_no_html_but_that_of_render() -> None:
    shown = widgets.html(paragraph("<b>"))
    assert "&lt;b&gt;" in shown.value
    for give in (widgets.html, lambda html: widgets.put(shown, html)):
        with pytest.raises(TypeError):
            give("<p>made elsewhere</p>")


def test_the_text_of_a_widget_begins_no_mathematics() -> None:
    assert label("$\\text{ROTATION}$ \\(x\\) a\\b") == "\\u{24}\\text{ROTATION}\\u{24} \\u{5c}(x\\) a\\b"


@given(st.text(max_size=200))
def test_what_is_copied_stays_in_its_attribute_and_the_script_is_the_same_for_all(value: str) -> None:
    made, plain = copy_button("Copy", value), copy_button("Copy", "")
    (data,) = re.findall(r'data-copy="([^"]*)"', made)
    assert made.replace(f'data-copy="{data}"', 'data-copy=""') == plain
    assert not set(data) & set("<>\"'")
    copied = html.unescape(data)
    assert copied == value or "\\u{" in copied or not value.isprintable()


def test_the_form_asks_what_is_in_sight_and_its_fields_begin_with_the_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where no incident file lies

    async def play() -> None:
        desk = FormDesk(Question(window="6h", only="region=ap-south"), out="runs")
        assert (desk.out.value, desk.only) == ("runs", {"region": ("ap-south",)})
        assert desk.question == Question(rehearse="mitm"), "the other fields are out of sight"
        desk.source.value, desk.fields["host"].value = FILE, " api.example.com "
        desk._switch()
        assert desk.question == Question(host="api.example.com", window="6h")
        desk.source.value, desk.fields["alert"].value = ALERT, "no JSON"
        desk.fields["token_env"].value = "ALERT_TOKEN"
        desk._switch()
        assert desk.question.token_env == "ALERT_TOKEN"
        with pytest.raises(InputError, match="can't read the alert no JSON") as caught:
            desk._look()
        assert caught.value.hint

    asyncio.run(play())


def test_a_filter_says_what_it_shows_and_one_that_fits_nothing_shows_all(evidence: Evidence) -> None:
    everyone = filtered(evidence, {}, scope)
    south = filtered(evidence, {"region": ("ap-south",)}, scope)
    assert "Shown: region ap-south" in south
    assert "Shown" not in everyone
    assert "tells" not in south, "a part says nothing of what tells it from the rest"
    lost = filtered(evidence, {"region": ("ap-<b>",), "network": ("AS1",)}, scope)
    assert "Nothing fits the filter region ap-&lt;b&gt;" in lost
    assert "eu-west" in lost, "it says what there is"
    assert "network is not counted" in lost
    assert everyone in lost


def test_a_cohort_filters_by_what_the_metrics_count_and_each_control_does(evidence: Evidence) -> None:
    verdict = irkit.classify(evidence)
    assert verdict.cohorts[0].cohort.networks, "which the metrics don't count"
    assert cohort_filter(evidence, verdict.cohorts[0].cohort) == {"region": ("ap-south",)}
    picked: list[Filter] = []
    row, cohorts, heatmap = filters(evidence, verdict, picked.append)
    assert shows_all(evidence, verdict.cohorts)
    section, said = scope(evidence, verdict), "".join(getattr(made, "value", "") for made in cohorts.children)
    without = scope(evidence, verdict, table_of_cohorts=False)
    assert "how it rose" in section
    assert "how it rose" not in without
    for fact in cohort_facts(evidence, verdict.cohorts[0].cohort):
        assert fragment(fact) in said, "what the table says, the controls say"
    next(made for made in cohorts.children if "ap-south" in getattr(made, "description", "")).click()
    region = next(box for box in row.children if box.description == "region")
    assert (picked, region.value) == ([{"region": ("ap-south",)}], "ap-south")
    cell = next(made for made in heatmap.children if getattr(made, "tooltip", "") == "4.1.0 in us-east")
    cell.click()
    assert picked[-1] == {"version": ("4.1.0",), "region": ("us-east",)}
    region.value = "eu-west"
    assert picked[-1] == {"version": ("4.1.0",), "region": ("eu-west",)}
    row.children[-1].click()
    assert (picked[-1], region.value) == ({}, "all")


def test_the_explorer_shows_each_certificate_with_its_pin_and_who_pins_it(evidence: Evidence) -> None:
    chains, certificates, shown = explorer(evidence)

    def copies() -> list[str]:
        return [html.unescape(found) for found in re.findall(r'data-copy="([^"]*)"', shown.value)]

    leaf = evidence.captures[0].chain.leaf
    assert copies() == [str(leaf.pin), leaf.sha256, leaf.pem()]
    assert "shop-android 4.2.0" in shown.value.split("pinned by")[1]
    assert "UTC to" in shown.value.split("valid")[1]
    certificates.value = 1
    assert copies()[0] == str(evidence.captures[0].chain[1].pin)
    chains.value = next(value for name, value in chains.options if "seen by clients" in name)
    assert "no release<" in shown.value.split("pinned by")[1]
    early = explorer(replace(evidence, releases=()))[2].value.split("pinned by")[1]
    assert early.count("not known: no release&#x27;s pins are read") == 3
    assert "no release<" not in early
