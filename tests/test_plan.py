from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from incidents import HOST, NEW, NOW, OLD, START, World, capture, failures, quiet, release, since_onset

from irkit.adoption import adoption
from irkit.certificate import Pin
from irkit.classify import classify
from irkit.drill import prepare
from irkit.errors import InputError
from irkit.evidence import Evidence
from irkit.notebook import execute_notebook
from irkit.pins import load_inventory
from irkit.plan import Rotation, load_rotation, plan_rotation
from irkit.planplot import broken_over_time
from irkit.preflight import preflight

DAYS = 28


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def weeks(evidence: Evidence, *, faster: float = 0.1) -> Evidence:
    """Four weeks of counts in which the odds of the newer release against the older grow by a factor a day."""
    rng = np.random.default_rng(3)
    hours = np.arange(DAYS * 24)
    odds = np.exp(faster * (hours - len(hours)) / 24)  # as many of each now
    everyone = 40_000 * (1 + 0.5 * np.sin(hours / 24 * 2 * np.pi))
    counts = np.array([rng.poisson(everyone / (1 + odds)), rng.poisson(everyone * odds / (1 + odds))], dtype=float)
    counted = evidence.failures
    assert counted is not None
    start = np.datetime64((NOW - timedelta(days=DAYS)).replace(tzinfo=None), "s")
    return replace(
        evidence,
        failures=replace(
            counted, times=start + hours * np.timedelta64(3600, "s"), step=timedelta(hours=1),
            cohorts=tuple({"version": version, "platform": "android"} for version in ("4.1.0", "4.2.0")),
            failures=np.zeros_like(counts), validations=counts,
        ),
    )  # fmt: skip


def planned(world: World, **changes: Any) -> tuple[Evidence, Rotation]:
    """The older release lacks the next key, the newer has it."""
    following = world.leaf_for()
    pin = following.certificate.pin
    evidence = world.evidence(
        inventory=world.keys((pin, "next")),
        releases=(
            release(OLD, world.leaf.certificate.pin, world.backup),
            release(NEW, world.leaf.certificate.pin, pin),
        ),
        failures=failures(quiet),
    )
    return evidence, Rotation(evidence.incident, pin, **{"chain": following.chain, **changes})


def test_the_earliest_date_is_when_the_trend_leaves_few_enough_behind(world: World) -> None:
    evidence, rotation = planned(world)
    plan = plan_rotation(weeks(evidence), rotation)
    # Odds of 1 now, growing e^0.1 a day: a share of 1 % is left at odds of 99, after ln(99) / 0.1 = 46 days.
    assert plan.earliest is not None
    assert abs((plan.earliest - NOW).days - 46) <= 2
    assert plan.at == plan.earliest
    assert plan.broken <= 0.01
    assert [(fate.release, fate.answer) for fate in plan.fates] == [(OLD, "no"), (NEW, "yes")]


def test_on_a_given_date_what_breaks_is_the_share_of_who_lacks_the_key(world: World) -> None:
    evidence, rotation = planned(world, at=NOW + timedelta(days=10))
    plan = plan_rotation(weeks(evidence), rotation)
    assert plan.broken == pytest.approx(1 / (1 + np.exp(1)), abs=0.02)


@pytest.mark.parametrize("issued", [True, False])
def test_the_answer_is_the_same_before_the_certificate_is_issued(world: World, issued: bool) -> None:
    evidence, rotation = planned(world)
    plan = plan_rotation(evidence, rotation if issued else replace(rotation, chain=None))
    assert {fate.release: fate.answer for fate in plan.fates} == {OLD: "no", NEW: "yes"}


def test_a_pin_set_that_expires_lets_the_release_connect_from_then_on(world: World) -> None:
    evidence, rotation = planned(world)
    ends = (NOW + timedelta(days=60)).date()
    old = release(OLD, world.leaf.certificate.pin, world.backup)
    old = replace(old, rules=tuple(replace(rule, expires=ends.isoformat()) for rule in old.rules))
    plan = plan_rotation(replace(evidence, releases=(old, evidence.releases[1])), rotation)
    assert plan.earliest is not None
    assert 0 <= (plan.earliest.date() - ends).days <= 8


def test_a_window_of_a_day_holds_the_shares_constant_and_says_so(world: World) -> None:
    evidence, rotation = planned(world)
    plan = plan_rotation(evidence, rotation)
    assert plan.earliest is None
    assert plan.broken == pytest.approx(0.5, abs=0.02)
    assert any("constant" in note for note in plan.notes)


def test_platforms_do_not_take_users_from_each_other(world: World) -> None:
    evidence, _ = planned(world)
    ios = replace(release("shop-ios 7.0", world.leaf.certificate.pin, world.backup), platform="ios", share=0.5)
    use = adoption((*evidence.releases, ios), weeks(evidence).failures, NOW)
    now, later = use.shares(NOW), use.shares(NOW + timedelta(days=60))
    assert now["shop-ios 7.0"] == later["shop-ios 7.0"] == pytest.approx(1 / 3, abs=0.01)
    assert sum(later.values()) == pytest.approx(1)
    assert later[OLD] < 0.01 < now[OLD]


def test_the_calendar_says_what_is_done_and_what_is_overdue(world: World) -> None:
    evidence, rotation = planned(world, at=NOW + timedelta(days=20), chain=None)
    states = {m.days: m.state for m in plan_rotation(weeks(evidence), rotation).milestones}
    assert states == {-90: "done", -60: "done", -30: "overdue", 0: "open", 90: "ahead"}
    stranger = replace(rotation, to=world.leaf_for().certificate.pin)
    states = {m.days: m.state for m in plan_rotation(weeks(evidence), stranger).milestones}
    assert (states[-90], states[-60]) == ("overdue", "overdue")


def test_preflight_lets_a_prepared_rotation_go(world: World) -> None:
    evidence, rotation = planned(world, at=NOW, tolerate=0.6)
    found = preflight(evidence, rotation, plan_rotation(evidence, rotation), classify(evidence))
    assert found.ok, repr(found)
    assert found.head.startswith("Go")


def test_preflight_refuses_each_thing_that_is_not_right_with_its_reason(world: World) -> None:
    evidence, rotation = planned(world, at=NOW, tolerate=0.6)
    stranger = world.leaf_for()

    def refused(evidence: Evidence, rotation: Rotation) -> set[str]:
        found = preflight(evidence, rotation, plan_rotation(evidence, rotation), classify(evidence))
        assert not found.ok
        assert all(point.says for point in found.points)
        return {point.name for point in found.points if not point.ok}

    assert "new key" in refused(evidence, replace(rotation, to=stranger.certificate.pin, chain=stranger.chain))
    assert refused(replace(evidence, inventory=None), rotation) >= {"new key"}
    split = (capture(world.leaf.chain, "office"), capture(stranger.chain, "probe"))
    assert "key served now" in refused(replace(evidence, captures=split), rotation)
    assert refused(evidence, replace(rotation, chain=None)) == {"new certificate"}
    other = world.leaf_for("other.example.com")
    wrong = replace(rotation, to=other.certificate.pin, chain=other.chain)
    assert "new certificate" in refused(replace(evidence, inventory=world.keys((wrong.to, "next"))), wrong)
    assert refused(evidence, replace(rotation, tolerate=0.1)) == {"users"}
    alone = replace(evidence, releases=(evidence.releases[0], release(NEW, rotation.to)))
    assert "way back" in refused(alone, rotation)
    assert "no incident" in refused(replace(evidence, failures=failures(since_onset())), rotation)
    assert refused(evidence, replace(rotation, at=NOW + timedelta(days=3))) == {"date"}
    assert refused(evidence, replace(rotation, at=None)) == {"date"}


def test_the_picture_says_its_dates_in_words(world: World) -> None:
    evidence, rotation = planned(world)
    plan = plan_rotation(weeks(evidence), rotation)
    picture = broken_over_time(plan)
    assert picture.png.startswith(b"\x89PNG")
    assert plan.head in picture.alt
    assert f"{plan.milestones[0].at:%Y-%m-%d}" in picture.alt


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rotation.toml"
    (tmp_path / "api.toml").write_text(f'[incident]\nhost = "{HOST}"\n')
    path.write_text(f'[rotation]\nincident = "api.toml"\nto = "sha256/{"A" * 42}8="\nat = 2027-02-01T00:00:00Z\n')
    return path


def test_a_rotation_file_is_read(file: Path) -> None:
    rotation = load_rotation(file, now=NOW)
    assert (rotation.incident.host, rotation.at) == (HOST, datetime(2027, 2, 1, tzinfo=UTC))
    assert rotation.tolerate == 0.01


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("tolerance = 0.1", "unknown key 'tolerance'"), ("tolerate = 2", "no share"), ("tolerate = true", "tolerate"),
        ('chain = "none.pem"', "none.pem"), ("[other]", "unknown key 'other'"), ("to =", "not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rotation_file_is_named(file: Path, line: str, says: str) -> None:
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(InputError) as raised:
        load_rotation(file, now=NOW)
    assert says in raised.value.message
    assert raised.value.hint


def test_the_command_line_and_the_notebook_plan_a_rehearsals_rotation(tmp_path: Path) -> None:
    with prepare("rotation", tmp_path / "drill") as drill:
        keys = load_inventory(tmp_path / "drill" / "keys.toml").keys
        following = next(key.pin for key in keys if key.status == "next")
        file = tmp_path / "rotation.toml"
        file.write_text(f'[rotation]\nincident = "{drill.incident}"\nto = "{following}"\nat = 2027-02-01T00:00:00Z\n')

        def run(*arguments: str) -> tuple[int, Mapping[str, Any]]:
            done = subprocess.run(
                [sys.executable, "-m", "irkit.cli", *arguments, str(file), "--json"],
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            return done.returncode, json.loads(done.stdout)

        code, plan = run("plan")
        assert code == 0
        broken = {item["release"] for item in plan["releases"] if item["answer"] == "no"}
        assert broken == set(drill.releases)
        code, found = run("preflight")
        assert code == 1
        reasons = {point["name"]: point["ok"] for point in found["points"]}
        assert reasons["no incident"] is False  # it is going on
        notebook = Path(__file__).parent.parent / "notebooks" / "rotation_plan.ipynb"
        execute_notebook(notebook, tmp_path / "out.ipynb", {"rotation": str(file)}, deadline=120)
        assert "validations break" in (tmp_path / "out.ipynb").read_text()


def test_a_key_that_nobody_served_needs_a_chain_to_be_supposed_in(world: World) -> None:
    evidence, rotation = planned(world, chain=None)
    with pytest.raises(InputError, match="no trusted vantage"):
        plan_rotation(replace(evidence, captures=()), rotation)
    assert isinstance(rotation.to, Pin)
    assert START < NOW
