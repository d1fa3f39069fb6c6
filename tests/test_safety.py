"""The safety rule, against whoever would bend it, and with evidence taken away."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from datetime import timedelta

import forge
import pytest
from incidents import (
    HOST,
    NEW,
    NOW,
    OLD,
    START,
    World,
    capture,
    failures,
    interception,
    quiet,
    release,
    rotation,
    since_onset,
    without,
    wrong_pins,
)

from irkit.certificate import Pin
from irkit.chain import Chain
from irkit.classify import classify
from irkit.evidence import Capture
from irkit.facts import establish
from irkit.trust import TrustStore
from irkit.verdict import CAUSES

RELAXING = ("rotation", "misconfiguration")


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def lookalikes(world: World) -> list[Chain]:
    """Chains of an interceptor that borrows everything it can borrow."""
    genuine = world.leaf.chain.certificates
    same_names = forge.root("World Root").issue(cn="World CA", ca=True).issue(HOST)
    same_serial = world.interceptor().chain
    public = world.root.issue(cn="World CA", ca=True, not_before=START, days=300).issue(HOST, not_before=START)
    own = world.interceptor().chain.certificates
    return [
        Chain((*own, *genuine[1:])),  # the genuine CA appended
        Chain((*own[:1], *genuine)),  # the genuine chain appended
        same_names.chain,
        same_serial,
        public.chain,
        forge.self_signed(HOST).chain,
        forge.self_signed("Kubernetes Ingress Controller Fake Certificate").chain,
        forge.self_signed("captive.portal.example").chain,
    ]


@pytest.mark.parametrize("index", range(8))
def test_no_lookalike_chain_makes_an_interception_a_rotation_or_a_misconfiguration(world: World, index: int) -> None:
    chain = lookalikes(world)[index]
    verdict = classify(interception(world, chain))
    assert verdict.verdict == "mitm"
    at_origin = world.evidence(
        captures=(capture(chain, "office"), capture(world.leaf.chain, "probe")), failures=failures(since_onset())
    )
    assert classify(at_origin).verdict in ("mitm", "inconclusive")


SOURCES = ("metrics", "inventory", "history", "releases", "captures", "client chains", "trust", "second vantage")


@pytest.mark.parametrize("taken", [*itertools.combinations(SOURCES, 1), *itertools.combinations(SOURCES, 2)])
def test_with_sources_missing_a_mitm_never_becomes_a_rotation_or_a_misconfiguration(
    world: World, taken: tuple[str, ...]
) -> None:
    taken_over = world.interceptor()
    for evidence in (
        interception(world),
        world.evidence(
            captures=(capture(taken_over.chain, "office"), capture(taken_over.chain, "probe")),
            failures=failures(since_onset()),
        ),
    ):
        assert classify(without(evidence, *taken)).verdict not in RELAXING, taken


@pytest.mark.parametrize("taken", SOURCES)
def test_with_a_source_missing_a_verdict_moves_towards_inconclusive_never_across(world: World, taken: str) -> None:
    for evidence in (rotation(world), wrong_pins(world, *[Pin(bytes.fromhex(c.sha256)) for c in world.leaf.chain])):
        whole = classify(evidence).verdict
        assert classify(without(evidence, taken)).verdict in (whole, "inconclusive"), (whole, taken)


def test_a_forged_client_chain_can_raise_suspicion_but_a_genuine_one_lowers_none(world: World) -> None:
    evidence = interception(world)
    genuine = world.observed(world.leaf.chain, network="AS64500")
    assert classify(replace(evidence, observed=(*evidence.observed, genuine, genuine))).verdict == "mitm"
    only = classify(replace(evidence, observed=(genuine,)))
    assert only.verdict == "inconclusive"


def test_an_untrusted_vantage_corroborates_nothing(world: World) -> None:
    evidence = rotation(world, known=False)
    office, probe = evidence.captures
    verdict = classify(replace(evidence, captures=(office, replace(probe, trusted=False))))
    assert verdict.verdict == "inconclusive"


def test_history_written_after_the_onset_does_not_make_an_attackers_key_the_owners(world: World) -> None:
    taken = world.interceptor()
    later = capture(taken.chain, "office", at=NOW - timedelta(hours=1))
    evidence = world.evidence(
        captures=(capture(taken.chain, "office"), capture(taken.chain, "probe")),
        failures=failures(since_onset()),
    )
    verdict = classify(replace(evidence, history=(*evidence.history, later)))
    assert verdict.verdict == "mitm"


def test_classify_is_pure_and_gives_the_same_answer_again(world: World) -> None:
    evidence = interception(world)
    assert repr(classify(evidence)) == repr(classify(evidence))


def test_every_finding_says_where_it_was_seen_and_every_cause_is_known(world: World) -> None:
    for evidence in (rotation(world), interception(world), wrong_pins(world, Pin(hashlib.sha256(b"x").digest()))):
        verdict = classify(evidence)
        assert all(finding.says and finding.source for finding in verdict.findings)
        assert all(item.cause in (*CAUSES, "") for item in verdict.cohorts)
        assert abs(sum(verdict.probabilities.values()) - 1) < 0.001


def test_roots_that_are_missing_do_not_make_a_verdict_bolder(world: World) -> None:
    evidence = replace(interception(world), trust=TrustStore("none", ()))
    assert classify(evidence).verdict in ("mitm", "inconclusive")


def test_a_quiet_day_with_an_unknown_key_in_service_is_not_none(world: World) -> None:
    other = world.leaf_for()
    evidence = world.evidence(
        captures=(capture(other.chain, "office"), capture(other.chain, "probe")), failures=failures(quiet)
    )
    assert classify(evidence).verdict in ("mitm", "inconclusive")


def test_a_placeholder_beside_a_right_pin_does_not_excuse_a_replaced_origin(world: World) -> None:
    taken = world.interceptor()
    evidence = world.evidence(
        captures=(capture(taken.chain, "office"), capture(taken.chain, "probe")),
        releases=(release(OLD, world.leaf.certificate.pin, "A" * 43 + "="),),
        failures=failures(since_onset()),
    )
    for stripped in (evidence, without(evidence, "history"), without(evidence, "history", "inventory")):
        assert classify(stripped).verdict not in RELAXING


def test_a_certificate_hash_of_the_shared_intermediate_does_not_excuse_a_strangers_leaf(world: World) -> None:
    """An attacker's certificate from the same CA carries the same intermediate; only the leaf tells them apart."""
    stolen = world.leaf_for()
    evidence = world.evidence(
        captures=(capture(stolen.chain, "office"), capture(stolen.chain, "probe")),
        releases=(release(OLD, Pin(bytes.fromhex(world.issuer.certificate.sha256)), world.leaf.certificate.pin),),
        failures=failures(since_onset()),
    )
    for stripped in (evidence, without(evidence, "history"), without(evidence, "history", "inventory")):
        assert classify(stripped).verdict not in RELAXING


@pytest.mark.parametrize("found", ["elsewhere", "in one region", "nowhere", "for some who lack it"])
def test_agreeing_vantages_alone_make_no_rotation_where_the_rest_does_not_fit(world: World, found: str) -> None:
    """Who takes over DNS gets a certificate from the same CA, and every vantage agrees on it."""
    evidence = rotation(world, known=False)
    if found == "elsewhere":

        def at(item: Capture, address: str) -> Capture:
            return replace(item, chain=Chain(item.chain.certificates, replace(item.chain.obtained, address=address)))

        evidence = replace(
            evidence,
            captures=tuple(at(item, "198.51.100.9") for item in evidence.captures),
            history=tuple(at(item, "192.0.2.7") for item in evidence.history),
        )
    elif found == "in one region":
        evidence = replace(evidence, failures=failures(since_onset(version="4.1.0", region="ap-south")))
    elif found == "nowhere":
        evidence = replace(evidence, failures=failures(quiet))
    else:
        pins = world.leaf.certificate.pin, world.backup
        evidence = replace(evidence, releases=(release(OLD, *pins), release(NEW, *pins)))
    assert classify(evidence).verdict == "inconclusive"


def test_a_key_captured_inside_the_window_is_nobodys_where_no_onset_is_known(world: World) -> None:
    """A triage that runs twice while a trusted vantage is deceived too must not take the key from its first run."""
    stranger = world.interceptor().chain
    evidence = without(
        world.evidence(
            captures=(capture(stranger, "office"), capture(stranger, "probe")),
            history=(capture(stranger, "office", at=NOW - timedelta(minutes=1)),),
        ),
        "metrics",
        "inventory",
    )
    assert establish(evidence).owners(stranger.leaf.pin) == ""
    assert "it was served before" not in repr(classify(evidence))
    earlier = replace(evidence, history=(capture(stranger, "office", at=START - timedelta(hours=1)),))
    assert "served before" in establish(earlier).owners(stranger.leaf.pin)
