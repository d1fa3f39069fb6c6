from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import forge
import pytest
from incidents import HOST, NOW, OLD, ONSET, World, capture, failures, interception, release, rotation, since_onset
from incidents import wrong_pins as wrong

from irkit.accept import accepts
from irkit.accept.supposed import accepts_key
from irkit.certificate import Pin
from irkit.classify import classify
from irkit.cohorts import Case
from irkit.evidence import Evidence
from irkit.facts import establish
from irkit.pins import load_release_bytes
from irkit.pins.write import pins_as
from irkit.remedy import Action, Remediation, remedies
from irkit.verdict import CAUSES, Cohort, CohortVerdict, Verdict


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def work_out(evidence: Evidence) -> Remediation:
    return remedies(evidence, classify(evidence))


def by_slug(found: Remediation) -> dict[str, Action]:
    return {action.action: action for action in found.actions}


@pytest.mark.parametrize("syntax", ["android", "ios", "trustkit-ios", "trustkit-android", "okhttp", "curl"])
def test_a_key_that_is_not_served_yet_is_judged_as_its_real_certificate_would_be(world: World, syntax: Any) -> None:
    following, stranger = world.leaf_for(), world.leaf_for()
    pins = (world.leaf.certificate.pin, following.certificate.pin)
    shown = pins_as(pins, host=HOST, backup=world.backup, syntax=syntax)
    content = f"CertificatePinner.Builder(){shown}" if syntax == "okhttp" else shown
    shipped = load_release_bytes(content.encode(), name="pins", platform=syntax)
    for identity in (world.leaf, following, stranger):
        real = accepts(shipped, identity.chain, host=HOST, at=NOW)
        supposed = accepts_key(shipped, identity.certificate.pin, world.leaf.chain, host=HOST, at=NOW)
        assert supposed.answer == real.answer
    assert accepts_key(shipped, following.certificate.pin, world.leaf.chain, host=HOST, at=NOW).answer == "yes"
    assert accepts_key(shipped, stranger.certificate.pin, world.leaf.chain, host=HOST, at=NOW).answer == "no"


def test_the_hash_of_the_certificate_served_now_does_not_vouch_for_another_key(world: World) -> None:
    whole = Pin(bytes.fromhex(world.leaf.certificate.sha256))
    shipped = load_release_bytes(whole.digest.hex().encode(), name="x", platform="python")
    assert accepts(shipped, world.leaf.chain, host=HOST, at=NOW).answer == "yes"
    other = world.leaf_for().certificate.pin
    assert accepts_key(shipped, other, world.leaf.chain, host=HOST, at=NOW).answer == "no"


def test_a_rotation_is_undone_by_the_previous_chain_or_by_a_key_that_the_releases_pin(world: World) -> None:
    found = by_slug(work_out(rotation(world)))
    assert found["roll-back-chain"].restores == 1.0
    assert found["roll-back-chain"].by_release == ((OLD, 1.0),)
    assert found["switch-key"].restores == 1.0  # the backup, which it pins
    assert any("kubectl" in step for step in found["roll-back-chain"].steps)
    assert found["emergency-update"].takes.startswith("days")
    assert "disable-pinning" not in found  # something better brings everybody back


def test_a_share_counts_the_failures_of_the_releases_that_say_yes(world: World) -> None:
    evidence = rotation(world)
    third = release("shop-android 4.0.0", world.leaf.certificate.pin, world.leaf_for().certificate.pin)
    counts = failures(
        lambda labels, minutes: since_onset()(labels, minutes) * (labels["version"] in ("4.0.0", "4.1.0")),
        versions=("4.0.0", "4.1.0", "4.2.0"),
        traffic=lambda labels, minutes: (3.0 if labels["version"] == "4.1.0" else 1.0) + 0 * minutes,
    )
    found = by_slug(work_out(replace(evidence, releases=(*evidence.releases, third), failures=counts)))
    assert found["roll-back-chain"].restores == 1.0
    assert dict(found["switch-key"].by_release) == {OLD: 1.0, "shop-android 4.0.0": 0.0}
    assert found["switch-key"].restores == pytest.approx(0.75, abs=0.02)  # three quarters of the failures are 4.1.0's


def test_a_previous_certificate_that_ran_out_is_not_served_again_but_its_key_is(world: World) -> None:
    expired = world.leaf_for(key=world.leaf.key, not_before=NOW - timedelta(days=60), days=59)
    evidence = replace(rotation(world), history=(capture(expired.chain, at=NOW - timedelta(days=2)),))
    found = by_slug(work_out(evidence))
    assert "roll-back-chain" not in found
    assert found["reissue-previous-key"].restores == 1.0


@pytest.mark.parametrize("status", ["compromised", "retired"])
def test_a_key_that_must_not_come_back_is_not_offered(world: World, status: str) -> None:
    evidence = rotation(world)
    keys = [replace(k, status=status) if k.pin == world.leaf.certificate.pin else k for k in evidence.inventory.keys]
    found = work_out(replace(evidence, inventory=replace(evidence.inventory, keys=tuple(keys))))
    mentioned = " ".join(step for action in found.actions for step in action.steps)
    assert str(world.leaf.certificate.pin) not in mentioned


def test_in_a_mitm_what_not_to_do_comes_first_and_nothing_weakens_pinning(world: World) -> None:
    found = work_out(interception(world))
    assert found.do_not[0].startswith("Do not disable")
    assert found.actions[0].action == "investigate-network"
    assert not any(action.weakens_pinning or action.action == "disable-pinning" for action in found.actions)


def test_pinning_is_not_switched_off_for_one_cohort_while_another_is_intercepted(world: World) -> None:
    evidence = wrong(world, Pin(bytes.fromhex(world.leaf.certificate.sha256)))
    alone = work_out(evidence)
    assert alone.actions[-1].action == "disable-pinning"  # the last of all
    assert alone.actions[-1].weakens
    assert sum(action.weakens_pinning for action in alone.actions) == 1
    seen = world.observed(world.interceptor().chain, network="AS64500", region="ap-south")
    both = work_out(replace(evidence, observed=(seen,)))
    assert "disable-pinning" not in by_slug(both)


def test_a_bad_release_is_stopped_first_and_then_updated_with_the_right_pin(world: World) -> None:
    found = work_out(wrong(world, Pin(bytes.fromhex(world.leaf.certificate.sha256))))
    assert [action.action for action in found.actions[:2]] == ["stop-rollout", "emergency-update"]
    update = found.actions[1]
    assert update.restores == 1.0
    right = world.leaf.certificate.pin
    assert any(f'<pin digest="SHA-256">{right.base64}</pin>' in step for step in update.steps)
    assert any(f"irkit pins show {HOST} --backup {world.backup} --syntax android" in step for step in update.steps)


def test_no_pin_is_proposed_that_was_merely_seen(world: World) -> None:
    stranger = world.leaf_for()
    evidence = replace(
        wrong(world, Pin(hashlib.sha256(b"x").digest())),
        captures=(capture(stranger.chain, "office"), capture(stranger.chain, "probe")),
    )
    for cause in ("wrong-pin", "leaf-key-rotated"):
        found = remedies(evidence, stated(evidence, cause))
        assert not any(stranger.certificate.pin.base64 in step for action in found.actions for step in action.steps)


def stated(evidence: Evidence, cause: str) -> Verdict:
    """A verdict put on the evidence's first case, whatever the evidence says."""
    from irkit.cohorts import cases

    facts = establish(evidence)
    found = cases(facts)
    case = next((c for c in found if c.opinions), found[0] if found else Case(Cohort(), "unsure"))
    judged = CohortVerdict(case.cohort, CAUSES[cause], cause, 0.9, {}, (), ("Check it.",))
    return Verdict(CAUSES[cause], cause, 0.9, {}, ONSET, (judged,))


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_something_to_do_with_steps_and_a_reason(world: World, cause: str) -> None:
    evidence = rotation(world)
    found = remedies(evidence, stated(evidence, cause))
    assert found.actions
    for action in found.actions:
        assert action.steps, action
        assert action.why, action
        assert action.restores is None or 0 <= action.restores <= 1
    if CAUSES[cause] in ("mitm", "not-a-pin-failure"):
        assert not any(action.weakens_pinning for action in found.actions)


def test_edges_that_differ_are_made_one_by_finishing_or_undoing_the_rollout(world: World) -> None:
    following = world.leaf_for()
    evidence = replace(
        rotation(world),
        captures=(capture(world.leaf.chain, "office"), capture(following.chain, "probe")),
        inventory=world.keys((following.certificate.pin, "next")),
    )
    found = by_slug(remedies(evidence, stated(evidence, "rollout-in-progress")))
    assert found["undo-rollout"].restores == 1.0
    assert str(world.leaf.certificate.pin) in found["undo-rollout"].title


def test_a_shortened_chain_is_restored(world: World) -> None:
    shipped = release(OLD, world.issuer.certificate.pin, world.backup)
    short = forge.Identity(world.leaf.x509, world.leaf.key)
    evidence = replace(
        world.evidence(failures=failures(since_onset())),
        releases=(shipped,),
        captures=tuple(capture(short.chain, vantage) for vantage in ("office", "probe")),
    )
    found = by_slug(remedies(evidence, stated(evidence, "incomplete-chain")))
    assert found["restore-chain"].restores == 1.0
    assert "intermediate" in found["restore-chain"].title
