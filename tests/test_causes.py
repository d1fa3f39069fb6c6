"""Every cause of the specification, each from evidence that a responder can have; and two incidents at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import forge
import pytest
from causes import CASES, okhttp, reports, told, uncovered
from incidents import ONSET, World, failures, rotation, since_onset

from irkit.classify import classify
from irkit.remedy import remedies
from irkit.verdict import CAUSES


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_every_cause_has_a_case() -> None:
    assert set(CASES) == set(CAUSES)


@pytest.mark.parametrize("cause", CASES)
def test_each_cause_is_found(world: World, cause: str) -> None:
    verdict = classify(CASES[cause](world))
    assert (verdict.verdict, verdict.cause) == (CAUSES[cause], cause), verdict.cohorts[0].probabilities
    assert verdict.confidence > 0.8


def test_a_pattern_that_leaves_the_host_uncovered_is_found_on_a_quiet_day(world: World) -> None:
    verdict = classify(uncovered(world))
    assert (verdict.verdict, verdict.cause) == ("misconfiguration", "host-pattern-mismatch")


def test_a_swapped_letter_in_a_pin_is_a_corrupt_pin(world: World) -> None:
    assert classify(okhttp("swapped")(world)).cause == "corrupt-pin"


def test_a_rotation_everywhere_and_an_interception_in_one_region_are_two_verdicts(world: World) -> None:
    def ratio(labels: Mapping[str, str], minutes: Any) -> Any:
        rotated = since_onset(version="4.1.0")(labels, minutes)
        return (rotated + since_onset(0.5, version="4.2.0", region="ap-south")(labels, minutes)).clip(0, 1)

    strangers = told(world.interceptor().chain, region="ap-south", count=20)
    evidence = replace(rotation(world), failures=failures(ratio), reports=reports(strangers))
    verdict = classify(evidence)
    found = [(item.verdict, item.cause) for item in verdict.cohorts]
    assert found[0] == ("mitm", "interception-untrusted-ca")
    assert ("rotation", "leaf-key-rotated") in found
    assert "20 reports" in verdict.findings[0].says


def test_the_everyday_trickle_of_debug_proxies_does_not_lead_a_rotation(world: World) -> None:
    evidence = rotation(world)
    proxy = world.interceptor(cn="mitmproxy").chain
    trickle = [*told(proxy, count=1, at=ONSET - timedelta(hours=9)), *told(proxy, count=1)]
    evidence = replace(evidence, reports=reports(trickle, told(evidence.captures[0].chain, count=80)))
    verdict = classify(evidence)
    assert verdict.verdict == "rotation"
    last = verdict.cohorts[-1]  # it is named for what it is all the same
    assert (last.verdict, last.cause) == ("mitm", "user-installed-ca")
    assert any("as before the failures began" in finding.says for finding in last.findings)
    assert "Do not disable or loosen pinning" in " ".join(remedies(evidence, verdict).do_not)


def test_the_same_proxies_first_seen_with_the_failures_lead(world: World) -> None:
    evidence = rotation(world)
    proxy = world.interceptor(cn="mitmproxy").chain
    evidence = replace(evidence, reports=reports(told(proxy, count=2), told(evidence.captures[0].chain, count=80)))
    assert classify(evidence).verdict == "mitm"


def test_a_page_for_other_names_that_lasts_is_held_for_an_attack(world: World) -> None:
    page = forge.self_signed("login.hotel.example")
    evidence = world.evidence(
        failures=failures(since_onset(0.6, region="ap-south")), reports=reports(told(page.chain, result=2))
    )
    assert classify(evidence).verdict == "mitm"
