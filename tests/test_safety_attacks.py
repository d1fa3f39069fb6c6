"""The safety rule against attackers who know it: what they control, and the coincidences that they can arrange.

They choose the hour (of a deployment, a rollout, a rotation), whom they attack (a region, a release, new connections),
what clients report, what telemetry says of releases, and what some vantages, or all of them, are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

import forge
import pytest
from causes import CASES, both, reports, told
from incidents import (
    NEW,
    OLD,
    ONSET,
    START,
    World,
    capture,
    failures,
    quiet,
    release,
    rotation,
    since_onset,
)

from irkit.certificate import Pin
from irkit.classify import classify
from irkit.evidence import Evidence

ALARMED = ("mitm", "inconclusive")
HOUR = timedelta(hours=1)
LONG_AGO = START - timedelta(days=2000)


@lru_cache(maxsize=1)
def world() -> World:
    return World()


@lru_cache(maxsize=1)
def stolen() -> forge.Identity:
    """A certificate for the host of the CA as before, with somebody else's key."""
    return world().leaf_for()


def wrong(name: str) -> Any:
    """A release whose file has pins that no key ever had."""
    return release(name, Pin(b"\7" * 32), Pin(bytes(range(32))))


def pinning_the_ca() -> tuple[Any, ...]:
    pin = world().issuer.certificate.pin
    return release(OLD, pin, world().backup), release(NEW, pin, world().backup)


# --- a vantage or a history that saw the attacker


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("who", ["the same CA", "an unknown CA"])
@pytest.mark.parametrize("spared", [True, False])
def test_a_key_that_a_poisoned_history_has_is_not_the_owners_where_releases_connected(
    who: str, *, listed: bool, spared: bool
) -> None:
    """The attacker was in the path of a capture hours before he turned to the clients."""
    chain = stolen().chain if who == "the same CA" else world().interceptor().chain
    other = release(NEW, world().issuer.certificate.pin, world().backup)
    evidence = world().evidence(
        captures=both(chain),
        history=(capture(world().leaf.chain, at=START - 6 * HOUR), capture(chain, at=ONSET - HOUR)),
        releases=(world().evidence().releases[0], other if spared else world().evidence().releases[1]),
        failures=failures(since_onset(version="4.1.0") if spared else since_onset()),
    )
    evidence = evidence if listed else replace(evidence, inventory=None)
    assert classify(evidence).verdict in ALARMED
    assert classify(replace(evidence, failures=None)).verdict in ALARMED


@pytest.mark.parametrize("rises", [True, False])
@pytest.mark.parametrize("at", [START - 30 * HOUR, ONSET + HOUR])
def test_a_clients_chain_is_not_the_owners_because_one_poisoned_capture_has_it(at: Any, *, rises: bool) -> None:
    taken = world().interceptor().chain
    evidence = world().evidence(
        history=(capture(world().leaf.chain, at=START - 6 * HOUR), capture(taken, "probe", at=at)),
        failures=failures(since_onset(0.6, region="ap-south") if rises else quiet),
        observed=(world().observed(taken, network="AS64500"),),
    )
    dated = reports(told(taken, result=2, at=LONG_AGO, region="ap-south"))
    for inventory in (evidence.inventory, None):
        for heard in (None, dated):
            verdict = classify(replace(evidence, inventory=inventory, reports=heard))
            assert verdict.verdict in ALARMED, verdict.findings[:4]


def test_a_new_key_is_not_nothing_because_releases_pin_the_ca_and_nobody_keeps_a_list() -> None:
    evidence = world().evidence(captures=both(stolen().chain), releases=pinning_the_ca(), inventory=None)
    assert classify(evidence).verdict == "inconclusive"
    same = replace(evidence, captures=both(world().leaf.chain))
    assert classify(same).verdict == "none"


def test_a_poisoned_capture_does_not_make_two_keys_at_once_a_rollout() -> None:
    """Vantages disagree, and the stranger's key is what one of them saw before the onset, too."""
    taken = capture(stolen().chain, "office", at=ONSET - HOUR)
    evidence = world().evidence(
        captures=(capture(stolen().chain, "office"), *both(world().leaf.chain)[1:]),
        history=(capture(world().leaf.chain, at=START - 6 * HOUR), taken, replace(taken, vantage="probe")),
        failures=failures(since_onset(0.4)),
    )
    assert classify(evidence).verdict in ALARMED
    assert classify(replace(evidence, inventory=None)).verdict in ALARMED


# --- what clients report


@pytest.mark.parametrize("cause", ["clock-wrong", "captive-portal"])
def test_reports_do_not_make_a_day_with_an_unknown_key_in_service_harmless(cause: str) -> None:
    told_so = CASES[cause](world())
    evidence = world().evidence(captures=both(stolen().chain), releases=pinning_the_ca(), reports=told_so.reports)
    for gone in (evidence, replace(evidence, inventory=None), replace(evidence, inventory=None, history=())):
        assert classify(gone).verdict in ALARMED


@pytest.mark.parametrize("region", ["ap-south", ""])
def test_reports_of_clocks_that_are_off_do_not_explain_failures_that_rise(region: str) -> None:
    where = {"region": region} if region else {}
    lie = reports(told(world().leaf.chain, result=2, at=LONG_AGO, count=50, **where))
    for part in (0.1, 0.6, 1.0):
        evidence = world().evidence(failures=failures(since_onset(part, **where)), reports=lie)
        assert classify(evidence).verdict in ALARMED


def test_reports_of_a_sign_in_page_do_not_explain_failures_that_rise_and_are_over() -> None:
    """An interception of half an hour looks the same in the counts."""
    begin = (ONSET - START) / timedelta(minutes=1)

    def half_an_hour(labels: Mapping[str, str], minutes: Any) -> Any:
        return 0.6 * ((minutes > begin) & (minutes < begin + 30)) * (labels["region"] == "ap-south")

    lie = reports(told(forge.self_signed("login.hotel.example").chain, result=2, region="ap-south"))
    assert classify(world().evidence(failures=failures(half_an_hour), reports=lie)).verdict in ALARMED


# --- whom he attacks, and when


@pytest.mark.parametrize("where", [{"region": "ap-south"}, {"version": "4.1.0"}, {}])
@pytest.mark.parametrize("part", [0.3, 0.6, 1.0])
def test_pins_that_are_wrong_in_their_file_do_not_explain_why_a_release_stops_connecting(
    where: dict[str, str], part: float
) -> None:
    """The file is not what was shipped, or its pins check nothing: what connected until then was not refused by it."""
    counts = failures(since_onset(part, **where))
    evidence: Evidence = world().evidence(releases=(wrong(OLD), wrong(NEW)), failures=counts)
    assert classify(evidence).verdict in ALARMED


@pytest.mark.parametrize(
    "cause", ["leaf-key-rotated", "trust-path-changed", "intermediate-rotated", "incomplete-chain"]
)
def test_what_would_fail_everywhere_does_not_explain_failures_of_one_region(cause: str) -> None:
    evidence = CASES[cause](world())
    confined = failures(since_onset(0.6, version="4.1.0", region="ap-south"))
    assert classify(replace(evidence, failures=confined)).verdict in ALARMED


@pytest.mark.parametrize("flood", [0, 3, 100])
@pytest.mark.parametrize("part", [0.05, 0.15, 0.3])
def test_a_flood_under_another_releases_label_does_not_hide_the_one_that_is_attacked(part: float, flood: int) -> None:
    """A rotation breaks 4.1.0 everywhere, and its label is flooded; 4.2.0, which would connect, is attacked."""

    def ratio(labels: Mapping[str, str], minutes: Any) -> Any:
        if labels["version"] == "4.1.0":
            return since_onset()(labels, minutes)
        return since_onset(part, region="ap-south")(labels, minutes)

    def traffic(labels: Mapping[str, str], minutes: Any) -> Any:
        more = flood * (labels["version"] == "4.1.0") * (labels["region"] == "ap-south")
        return 1 + more * (minutes > (ONSET - START) / timedelta(minutes=1))

    verdict = classify(replace(rotation(world()), failures=failures(ratio, traffic=traffic)))
    assert verdict.verdict in ALARMED, [c.cohort.name for c in verdict.cohorts]
    assert ("rotation", "leaf-key-rotated") in {(c.verdict, c.cause) for c in verdict.cohorts}


def test_a_flood_of_failures_from_the_windows_start_does_not_make_a_rise_within_it_nothing() -> None:
    begin = (ONSET - START) / timedelta(minutes=1)

    def ratio(labels: Mapping[str, str], minutes: Any) -> Any:
        flooded = 0.95 * (labels["region"] == "ap-south")
        return flooded + 0.001 * (labels["region"] == "ap-south") * (minutes > begin)

    assert classify(world().evidence(failures=failures(ratio))).verdict in ALARMED
