"""The form without a browser: which steps run, run again and are cancelled, and what is kept of them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import irkit
from irkit import report
from irkit.drill import Drill, prepare
from irkit.errors import InputError
from irkit.evidence import Evidence
from irkit.form import FILE, FormDesk
from irkit.question import Question
from irkit.render import Markup, paragraph


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    with prepare("mitm", tmp_path_factory.mktemp("drill") / "mitm") as made:
        yield made


def shown(_: Evidence) -> Markup:
    """A section that costs nothing."""
    return paragraph("section")


def opened(drill: Drill, out: Path, works: dict[str, Callable[..., Evidence]]) -> tuple[FormDesk, Counter[str]]:
    """A desk with the notebook's cells run, and how often each stage was asked to work."""
    calls: Counter[str] = Counter()

    def counted(name: str, work: Callable[..., Evidence]) -> Callable[..., Evidence]:
        def run(evidence: Evidence, **how: Any) -> Evidence:
            calls[name] += 1
            return work(evidence, **how)

        return run

    desk = FormDesk(Question(incident=str(drill.incident)), out=str(out))
    desk.source.value = FILE
    desk._switch()
    stages = {"failures": irkit.gather_failures, "chains": irkit.gather_chains, "pins": irkit.gather_pins} | works
    for name, work in stages.items():
        desk.gather(name, counted(name, work), shown)
    desk.classify(lambda *_: paragraph("verdict"))
    desk.remedy(report.remedy)
    return desk, calls


async def ended(desk: FormDesk) -> None:
    assert desk._task is not None
    await desk._task


def result(out: Path) -> dict[str, Any]:
    (file,) = out.glob("*/*/result.json")
    return json.loads(file.read_text())


def test_a_step_that_is_run_again_leaves_the_others_as_they_are(drill: Drill, tmp_path: Path) -> None:
    async def play() -> None:
        desk, calls = opened(drill, tmp_path, {})
        desk._start()
        await ended(desk)
        assert desk.verdict is not None
        assert desk.verdict.verdict == "mitm"
        assert calls == {"failures": 1, "chains": 1, "pins": 1}
        assert result(tmp_path)["status"] == "complete"
        assert (desk.asking.layout.display, desk.change.layout.display) == ("none", None), "the answer comes first"
        assert desk.question.incident == str(drill.incident)
        desk.change.click()
        await asyncio.sleep(0)
        assert (desk.asking.layout.display, desk.change.layout.display) == (None, "none")
        counted = desk.evidence.failures
        desk.run_again(desk.steps["chains"])
        await ended(desk)
        assert calls == {"failures": 1, "chains": 2, "pins": 1}
        assert desk.evidence.failures is counted
        assert result(tmp_path)["verdict"] == "mitm"

    asyncio.run(play())


def test_another_question_leaves_no_section_and_no_verdict_of_the_one_before(drill: Drill, tmp_path: Path) -> None:
    works = [irkit.gather_chains]

    def chains(evidence: Evidence, **how: Any) -> Evidence:
        return works[-1](evidence, **how)

    def broken(*_: Any, **__: Any) -> Evidence:
        raise InputError("no way there", "try later")

    async def play() -> None:
        desk, _ = opened(drill, tmp_path, {"chains": chains})
        desk._start()
        await ended(desk)
        assert all(step.body.value for step in desk.steps.values())
        assert "verdict" in desk.steps["classify"].body.value
        works.append(broken)
        desk.run_again(desk.steps["chains"])
        await ended(desk)
        assert "What is shown below is from before." in desk.said.value
        assert desk.verdict is not None
        desk._start()
        await ended(desk)
        assert "The step chains did not end" in desk.said.value
        assert "from before" not in desk.said.value
        assert (desk.verdict, desk.remediation) == (None, None)
        for name in ("pins", "classify", "remedy"):
            assert "section" not in desk.steps[name].body.value
            assert "verdict" not in desk.steps[name].body.value
            assert "Waits for the steps before it." in desk.steps[name].said.value
        assert desk.steps["chains"].tool.children == ()

    asyncio.run(play())


def test_a_cancelled_step_keeps_what_it_has_and_the_rest_follows_when_it_is_run_again(
    drill: Drill, tmp_path: Path
) -> None:
    begun = threading.Event()

    def slow(evidence: Evidence, *, stop: threading.Event, again: bool, **how: Any) -> Evidence:
        begun.set()
        if not again:
            assert stop.wait(60)
        return irkit.gather_chains(evidence, again=again, stop=stop, **how)

    async def play() -> None:
        desk, calls = opened(drill, tmp_path, {"chains": slow})
        desk._start()
        await asyncio.to_thread(begun.wait, 60)
        desk._cancel()
        await ended(desk)
        assert desk.verdict is None
        assert calls == {"failures": 1, "chains": 1}
        assert "Cancelled. What it has so far is kept" in desk.steps["chains"].said.value
        assert desk.state.evidence.observed, "what clients sent was read"
        assert "section" in desk.steps["failures"].body.value
        assert desk.run.folder is not None
        assert irkit.load_evidence(desk.run.folder).failures == desk.state.evidence.failures
        assert result(tmp_path)["status"] == "incomplete"
        desk.run_again(desk.steps["chains"])
        await ended(desk)
        assert calls == {"failures": 1, "chains": 2, "pins": 1}
        assert desk.verdict is not None
        assert result(tmp_path)["status"] == "complete"

    asyncio.run(play())


def test_a_step_that_hears_nothing_is_let_go_of_and_what_it_still_brings_is_dropped(
    drill: Drill, tmp_path: Path
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def deaf(evidence: Evidence, **_: Any) -> Evidence:
        begun.set()
        gate.wait(60)
        return irkit.gather_pins(evidence)

    async def play() -> None:
        desk, calls = opened(drill, tmp_path, {"pins": deaf})
        desk._start()
        await asyncio.to_thread(begun.wait, 60)
        desk.steps["pins"].stop.set()
        await ended(desk)  # and the gate is still closed
        assert desk.state.evidence.captures
        gate.set()
        await asyncio.sleep(0.1)
        assert desk.state.evidence.releases == ()
        assert calls == {"failures": 1, "chains": 1, "pins": 1}

    asyncio.run(play())


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("incident", "none.toml", "none.toml: No such file"),
        ("window", "<b>soon", "is no window"),
        ("vantages", "offcie", "it has: office, probe eu-west"),
    ],
)
def test_a_field_that_can_t_be_used_is_answered_in_words_and_the_form_goes_on(
    drill: Drill, tmp_path: Path, field: str, value: str, says: str
) -> None:
    async def play() -> None:
        desk, calls = opened(drill, tmp_path, {})
        desk.fields[field].value = value
        desk._start()
        await ended(desk)
        assert says in desk.said.value
        assert "<b>soon" not in desk.said.value
        assert not calls
        assert not desk.start.disabled

    asyncio.run(play())
