"""The verdict: each cause from evidence that a responder can have."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import forge
import numpy as np
import pytest
from incidents import (
    HOST,
    NEW,
    NOW,
    OLD,
    ONSET,
    START,
    World,
    capture,
    failures,
    interception,
    release,
    rotation,
    since_onset,
    without,
    wrong_pins,
)

from irkit.certificate import Pin
from irkit.chain import Chain
from irkit.classify import classify
from irkit.drill import write
from irkit.drill.chance import draw
from irkit.gather import gather
from irkit.incident import Vantage
from irkit.missing import Missing
from irkit.pins import Inventory
from irkit.remedy import remedies


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_a_quiet_day_is_none(world: World) -> None:
    verdict = classify(world.evidence())
    assert (verdict.verdict, verdict.cause) == ("none", "")
    assert verdict.confidence > 0.9
    assert verdict.onset is None


def test_a_new_leaf_key_that_the_inventory_lists_is_a_rotation(world: World) -> None:
    verdict = classify(rotation(world))
    assert (verdict.verdict, verdict.cause) == ("rotation", "leaf-key-rotated")
    assert verdict.confidence > 0.9
    assert abs(verdict.onset - ONSET) < timedelta(minutes=5)
    assert verdict.cohorts[0].cohort.releases == (OLD,)


def test_without_an_inventory_two_agreeing_vantages_and_the_same_ca_make_a_rotation(world: World) -> None:
    verdict = classify(rotation(world, known=False))
    assert (verdict.verdict, verdict.cause) == ("rotation", "leaf-key-rotated")


def test_one_vantage_without_an_inventory_is_inconclusive_and_names_the_check(world: World) -> None:
    verdict = classify(without(rotation(world, known=False), "second vantage"))
    assert verdict.verdict == "inconclusive"
    assert "openssl pkey" in verdict.would_change_it[0]


def test_a_new_key_that_the_owners_inventory_lacks_is_never_a_rotation(world: World) -> None:
    verdict = classify(replace(rotation(world), inventory=world.keys()))
    assert verdict.verdict in ("mitm", "inconclusive")


def test_another_intermediate_under_the_same_root_with_the_same_leaf_key_is_intermediate_rotated(world: World) -> None:
    other = world.root.issue(cn="World CA 2", ca=True, not_before=START - timedelta(days=30), days=900)
    reissued = other.issue(HOST, key=world.leaf.key, not_before=START - timedelta(days=1))
    pinned = release(OLD, world.issuer.certificate.pin, world.backup)
    evidence = world.evidence(
        captures=(capture(reissued.chain, "office"), capture(reissued.chain, "probe")),
        releases=(pinned, release(NEW, world.leaf.certificate.pin, world.backup)),
        failures=failures(since_onset(version="4.1.0")),
    )
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("rotation", "intermediate-rotated")


def test_a_client_chain_to_an_unknown_root_is_interception_untrusted_ca(world: World) -> None:
    verdict = classify(interception(world))
    assert (verdict.verdict, verdict.cause) == ("mitm", "interception-untrusted-ca")
    assert verdict.confidence > 0.9
    assert verdict.cohorts[0].cohort.regions == ("ap-south",)
    assert verdict.cohorts[0].cohort.networks == ("AS64500",)


def test_what_two_clients_say_alike_weighs_where_it_is_said_first(world: World) -> None:
    once = interception(world)
    twice = replace(once, observed=(*once.observed, replace(once.observed[0], source="phone-2.pem")))
    for evidence in (once, twice):
        strongest = classify(evidence).findings[0]
        assert (strongest.id, strongest.weight) == ("client-chain-untrusted-root", 7.0)


def test_a_publicly_trusted_key_seen_by_clients_only_is_interception_public_ca_never_a_rotation(world: World) -> None:
    stolen = world.root.issue(cn="Another CA", ca=True, days=900, not_before=START).issue(HOST, not_before=START)
    verdict = classify(interception(world, stolen.chain))
    assert (verdict.verdict, verdict.cause) == ("mitm", "interception-public-ca")


def test_an_inspection_ca_in_the_inventory_that_signed_the_chain_is_inspection_authorised(world: World) -> None:
    from irkit.pins import Inspection

    proxy = forge.root("Corporate Inspection")
    seen = proxy.issue(HOST)
    allowed = Inventory(world.keys().keys, (Inspection(proxy.certificate.pin, "head office proxy"),))
    chain = Chain((*seen.chain.certificates, proxy.certificate))
    verdict = classify(replace(interception(world, chain), inventory=allowed))
    assert (verdict.verdict, verdict.cause) == ("mitm", "inspection-authorised")
    # An interceptor that appends the allowed CA, which did not sign its leaf, is not authorised by that.
    forged = Chain((*world.interceptor().chain.certificates, proxy.certificate))
    verdict = classify(replace(interception(world, forged), inventory=allowed))
    assert (verdict.verdict, verdict.cause) == ("mitm", "interception-untrusted-ca")


def test_trusted_vantages_that_see_an_unknown_key_from_an_untrusted_issuer_mean_origin_replaced(world: World) -> None:
    taken = world.interceptor()
    evidence = world.evidence(
        captures=(capture(taken.chain, "office"), capture(taken.chain, "probe")), failures=failures(since_onset())
    )
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("mitm", "origin-replaced")


def test_a_compromised_key_in_service_is_origin_replaced_even_where_everything_verifies(world: World) -> None:
    stolen = world.leaf_for()
    evidence = replace(
        rotation(world),
        captures=(capture(stolen.chain, "office"), capture(stolen.chain, "probe")),
        inventory=world.keys((stolen.certificate.pin, "compromised")),
        failures=failures(since_onset()),
    )
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("mitm", "origin-replaced")


def test_pins_that_are_hashes_of_the_certificates_are_named_with_the_right_pin(world: World) -> None:
    pins = [Pin(bytes.fromhex(c.sha256)) for c in world.leaf.chain]
    evidence = wrong_pins(world, *pins)
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("misconfiguration", "certificate-hash-pinned")
    assert verdict.cohorts[0].cohort.releases == ("shop-android 4.3.0",)
    assert any(str(world.leaf.certificate.pin) in finding.says for finding in verdict.findings)
    steps = [step for action in remedies(evidence, verdict).actions for step in action.steps]
    assert any(str(world.leaf.certificate.pin) in step for step in steps)


def test_pins_that_match_nothing_ever_served_are_wrong_pin(world: World) -> None:
    verdict = classify(wrong_pins(world, *(Pin(hashlib.sha256(text).digest()) for text in (b"never", b"served"))))
    assert (verdict.verdict, verdict.cause) == ("misconfiguration", "wrong-pin")


def test_a_certificate_for_another_name_seen_by_two_vantages_is_wrong_certificate_served(world: World) -> None:
    other = world.leaf_for("staging.example.com")
    evidence = world.evidence(
        captures=(capture(other.chain, "office"), capture(other.chain, "probe")),
        inventory=world.keys((other.certificate.pin, "staging")),
        failures=failures(since_onset()),
    )
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("misconfiguration", "wrong-certificate-served")


def test_no_certificate_from_any_vantage_and_no_client_connecting_is_endpoint_down(world: World) -> None:
    refused = tuple(Missing(f"capture {name}", "connection refused") for name in ("office", "probe"))
    evidence = world.evidence(captures=(), failures=failures(since_onset()), missing=refused)
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("not-a-pin-failure", "endpoint-down")


def test_vantages_that_are_cut_off_while_clients_connect_prove_nothing(world: World) -> None:
    refused = tuple(Missing(f"capture {name}", "connection refused") for name in ("office", "probe"))
    evidence = world.evidence(captures=(), failures=failures(since_onset(0.4, region="ap-south")), missing=refused)
    assert classify(evidence).verdict == "inconclusive"


def test_a_failing_region_without_a_client_chain_is_inconclusive_and_the_check_is_to_get_one(world: World) -> None:
    verdict = classify(world.evidence(failures=failures(since_onset(0.6, region="ap-south"))))
    assert verdict.verdict == "inconclusive"
    assert "chain that a failing client sees in ap-south" in verdict.would_change_it[0]
    assert verdict.cohorts[0].probabilities["mitm"] > verdict.cohorts[0].probabilities["rotation"]


def test_a_rotation_and_an_interception_at_once_are_two_cohorts_and_the_mitm_leads(world: World) -> None:
    turned = rotation(world)

    def both(labels: Mapping[str, str], minutes: np.ndarray) -> np.ndarray:
        return (
            since_onset(version="4.1.0")(labels, minutes)
            + since_onset(0.5, version="4.2.0", region="ap-south")(labels, minutes)
        ).clip(0, 1)

    evidence = replace(
        turned,
        failures=failures(both),
        observed=(world.observed(world.interceptor().chain, network="AS64500", region="ap-south", release=NEW),),
    )
    verdict = classify(evidence)
    assert verdict.verdict == "mitm"
    assert {(item.verdict, item.cause) for item in verdict.cohorts} >= {
        ("mitm", "interception-untrusted-ca"),
        ("rotation", "leaf-key-rotated"),
    }
    first = remedies(evidence, verdict)
    assert first.do_not[0].startswith("Do not disable")
    assert first.actions[0].action == "investigate-network"


def test_what_a_missing_history_leaves_open_is_said_with_how_to_have_it(tmp_path: Path) -> None:
    """A misconfiguration that falls short of certainty for the missing history alone."""
    end = NOW.replace(second=0)
    drawn = draw(15, end)
    verdict = classify(gather(write(drawn.scenario, tmp_path, end, seed=15, lacking=drawn.lacking)))
    assert (verdict.verdict, drawn.lacking) == ("inconclusive", {"history"})
    assert [check.partition(".")[0] for check in verdict.would_change_it] == ["Have what is missing: history"]


def test_a_host_alone_is_inconclusive_and_says_what_is_missing(world: World) -> None:
    evidence = without(world.evidence(), "metrics", "inventory", "history", "releases", "second vantage")
    verdict = classify(replace(evidence, incident=replace(evidence.incident, vantages=(Vantage(),))))
    assert verdict.verdict == "inconclusive"
    assert any("[metrics]" in check for check in verdict.would_change_it)


@pytest.mark.parametrize(("status", "cause"), [("staging", "staging-pin"), ("retired", "retired-pin")])
def test_a_release_left_with_keys_of_staging_or_of_the_past_is_told_so(world: World, status: str, cause: str) -> None:
    other = world.leaf_for().certificate.pin
    verdict = classify(replace(wrong_pins(world, other), inventory=world.keys((other, status))))
    assert (verdict.verdict, verdict.cause) == ("misconfiguration", cause)


def test_a_configuration_that_the_platform_refuses_is_config_rejected(world: World) -> None:
    verdict = classify(wrong_pins(world, "c2hvcnQ="))
    assert (verdict.verdict, verdict.cause) == ("misconfiguration", "config-rejected")


def test_an_expired_certificate_of_the_owners_key_is_no_pin_failure(world: World) -> None:
    expired = world.leaf_for(key=world.leaf.key, not_before=NOW - timedelta(days=91), days=90.9)
    evidence = world.evidence(
        captures=(capture(expired.chain, "office"), capture(expired.chain, "probe")), failures=failures(since_onset())
    )
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("not-a-pin-failure", "certificate-expired")


def test_edges_that_serve_two_keys_of_the_owners_are_a_rollout_in_progress(world: World) -> None:
    following = world.leaf_for()
    evidence = world.evidence(
        captures=(
            capture(following.chain, "office"),
            capture(following.chain, "lab"),
            capture(world.leaf.chain, "probe"),
        ),
        inventory=world.keys((following.certificate.pin, "next")),
        failures=failures(since_onset(0.5)),
    )
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("rotation", "rollout-in-progress")


def test_a_chain_that_lost_its_pinned_intermediate_is_incomplete(world: World) -> None:
    """The leaf is the same; an intermediate of two is no longer sent, and devices can't build the path."""
    second = world.issuer.issue(cn="World Sub CA", ca=True, not_before=START - timedelta(days=100), days=300)
    leaf = second.issue(HOST, key=world.leaf.key, not_before=START - timedelta(days=10))
    short = Chain(leaf.chain.certificates[:1])
    pinned = release(OLD, second.certificate.pin, world.backup)
    evidence = world.evidence(
        captures=(capture(short, "office"), capture(short, "probe")),
        history=(capture(leaf.chain, "office", at=START - timedelta(hours=6)),),
        releases=(pinned,),
        failures=failures(since_onset(), versions=("4.1.0",)),
    )
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("misconfiguration", "incomplete-chain")


def test_every_verdict_names_the_observation_that_would_change_it(world: World) -> None:
    for evidence in (world.evidence(), rotation(world), interception(world), wrong_pins(world, Pin(b"\x07" * 32))):
        for cohort in classify(evidence).cohorts:
            assert cohort.would_change_it, cohort.verdict
    changed = classify(rotation(world)).would_change_it[0]
    assert str(rotation(world).captures[0].chain.leaf.pin)[:7] in changed
    assert "this would be a MITM" in changed


def test_a_key_of_the_owners_other_host_is_named_as_such(world: World) -> None:
    from irkit.pins import InventoryKey

    www = world.leaf_for("www.example.com")
    listed = Inventory((*world.keys().keys, InventoryKey(www.certificate.pin, hosts=("www.example.com",))))
    evidence = world.evidence(
        captures=(capture(www.chain, "office"), capture(www.chain, "probe")), inventory=listed,
        failures=failures(since_onset()),
    )  # fmt: skip
    verdict = classify(evidence)
    assert (verdict.verdict, verdict.cause) == ("misconfiguration", "wrong-certificate-served")
    assert any("in the inventory, for www.example.com" in finding.says for finding in verdict.findings)
    assert classify(replace(evidence, inventory=world.keys())).verdict in ("inconclusive", "mitm")


def test_a_clients_word_for_its_network_does_not_localise_the_failures(world: World) -> None:
    seen = world.observed(world.interceptor().chain, network="AS64500")
    verdict = classify(world.evidence(failures=failures(since_onset()), observed=(seen,)))
    assert "localised" not in {finding.id for finding in verdict.findings}
    assert "everywhere" in {finding.id for finding in verdict.findings}
