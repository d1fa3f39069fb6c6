"""The safety rule over generated evidence: forged reports and chains, poisoned labels, sources gone, in any mix."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

import forge
import pytest
from causes import CASES, both, reports, told
from hypothesis import given, settings
from hypothesis import strategies as st
from incidents import HOST, NOW, ONSET, START, World, capture, failures, since_onset, without

from irkit.chain import Chain
from irkit.classify import classify
from irkit.evidence import Evidence
from irkit.verdict import CAUSES

RELAXING = ("rotation", "misconfiguration")
SOURCES = ("metrics", "inventory", "history", "releases", "captures", "client chains", "reports", "trust",
           "second vantage")  # fmt: skip
ATTACKS = ("interception-untrusted-ca", "interception-public-ca", "origin-replaced", "inspection-product")
BENIGN = ("leaf-key-rotated", "certificate-hash-pinned", "rollout-in-progress", "incomplete-chain")


@lru_cache(maxsize=1)
def world() -> World:
    return World()


@lru_cache(maxsize=1)
def incidents() -> dict[str, Evidence]:
    """Attacks, also one where an interceptor's victims only report, and one with an origin whose CA stayed the same."""
    found = {cause: CASES[cause](world()) for cause in (*ATTACKS, *BENIGN)}
    stolen = world().leaf_for()
    found["stolen"] = world().evidence(captures=both(stolen.chain), failures=found["origin-replaced"].failures)
    seen = reports(told(world().interceptor().chain, region="ap-south", count=9))
    found["reported"] = replace(found["interception-untrusted-ca"], observed=(), reports=seen)
    found["partial"] = replace(
        found["origin-replaced"],
        captures=(capture(world().interceptor().chain, "office"), *both(world().leaf.chain)[1:]),
    )
    return found


@lru_cache(maxsize=1)
def chains() -> tuple[Chain, ...]:
    """What anyone can put into a report: the owner's chain, and chains that borrow what can be borrowed."""
    genuine = world().leaf.chain.certificates
    own = world().interceptor().chain.certificates
    return (
        world().leaf.chain, Chain((*own, *genuine[1:])), Chain((*own[:1], *genuine)), world().leaf_for().chain,
        forge.root("World Root").issue(cn="World CA", ca=True).issue(HOST).chain, forge.self_signed(HOST).chain,
        forge.self_signed("login.hotel.example").chain, world().interceptor(cn="mitmproxy").chain,
        world().interceptor(cn="Zscaler Root CA").chain, Chain(genuine[:1]),
    )  # fmt: skip


FORGED = st.lists(
    st.fixed_dictionaries(
        {
            "chain": st.integers(0, 9),
            "result": st.sampled_from((0, 1, 2, 3, 5)),
            "count": st.integers(1, 30),
            "at": st.sampled_from((START - timedelta(days=900), ONSET - timedelta(hours=8), ONSET, NOW)),
            "region": st.sampled_from(("", "ap-south", "eu-west", "<b>rotation</b>")),
            "app-version": st.sampled_from(("4.1.0", "4.2.0", "4.3.0", "rotation")),
            "enforce-pinning": st.booleans(),
        }
    ),
    max_size=4,
)


def forged(evidence: Evidence, items: list[dict[str, Any]]) -> Evidence:
    """The evidence with reports added that anyone could have sent; what was reported before stays."""
    made = [told(chains()[item["chain"]], **{k: v for k, v in item.items() if k != "chain"}) for item in items]
    added = reports(*made).sightings if made else ()
    before = evidence.reports or reports()
    return replace(
        evidence, reports=replace(before, sightings=(*before.sightings, *added), total=before.total + len(added))
    )


def stripped(evidence: Evidence, taken: set[str]) -> Evidence:
    found = without(evidence, *sorted(taken - {"reports"}))
    return replace(found, reports=None) if "reports" in taken else found


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from((*ATTACKS, "stolen", "reported", "partial")), FORGED, st.sets(st.sampled_from(SOURCES), max_size=4)
)
def test_nothing_that_is_forged_or_missing_makes_an_attack_a_rotation_or_a_misconfiguration(
    attack: str, items: list[dict[str, Any]], taken: set[str]
) -> None:
    verdict = classify(stripped(forged(incidents()[attack], items), taken))
    assert verdict.verdict not in RELAXING, verdict.findings[:4]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BENIGN), st.sets(st.sampled_from(SOURCES), max_size=5))
def test_with_sources_gone_a_verdict_moves_towards_inconclusive_never_across(cause: str, taken: set[str]) -> None:
    verdict = classify(stripped(incidents()[cause], taken)).verdict
    assert verdict in (CAUSES[cause], "inconclusive"), verdict


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BENIGN), FORGED)
def test_forged_reports_can_only_raise_suspicion(cause: str, items: list[dict[str, Any]]) -> None:
    order = ("rotation", "misconfiguration", "inconclusive", "mitm")
    before, after = (classify(e).verdict for e in (incidents()[cause], forged(incidents()[cause], items)))
    assert order.index(after) >= order.index(before)


@pytest.mark.parametrize("version", ["4.1.0", "9.9.9", "", "<script>"])
def test_a_poisoned_label_does_not_make_an_interception_a_misconfiguration(version: str) -> None:
    counts = failures(since_onset(0.6, region="ap-south"), versions=(version, "4.2.0"))
    evidence = replace(incidents()["interception-untrusted-ca"], failures=counts)
    assert classify(evidence).verdict not in RELAXING
