"""What the servers could present instead, each chain or key held against the failing releases' own pins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from irkit.accept import Acceptance, accepts
from irkit.accept.supposed import accepts_key
from irkit.certificate import Pin
from irkit.chain import Chain
from irkit.cohorts import Case
from irkit.facts import OWNED, Facts
from irkit.pins import Release
from irkit.remedy.value import HOUR, MINUTES, Action, gains
from irkit.render import text

__all__ = ["force_path", "renew", "serve_again", "serve_everywhere", "switch_keys"]

# What was in use once and must not come back.
_BURNT = ("compromised", "retired")
_APPLY = (
    "kubectl create secret tls {name} --cert=previous-chain.pem --key=previous.key --dry-run=client -o yaml"
    " | kubectl apply -f -"
)
# Slug and title of bringing the previous chain back, by cause.
_AGAIN = {
    "intermediate-rotated": (
        "reissue-previous-ca",
        "Have the CA issue under the previous intermediate again; until then serve the previous chain.",
    ),
    "ca-changed": ("return-to-ca", "Go back to the previous CA: serve its chain again, and fix what chose another."),
    "incomplete-chain": ("restore-chain", "Serve the full chain again, the pinned intermediate included."),
    "chain-untrusted": ("restore-chain", "Serve the chain that verified before, its intermediates included."),
    "wrong-certificate-served": (
        "restore-chain",
        "Serve the host's own certificate again: check virtual host, SNI and ingress.",
    ),
}
_ROLL_BACK = ("roll-back-chain", "Serve the previous certificate and key again, then rotate as planned.")


def _on(facts: Facts, chain: Chain) -> Callable[[Release], Acceptance]:
    """What a release would make of a chain, served now."""
    evidence = facts.evidence
    return lambda release: accepts(
        release, chain, host=evidence.incident.host, at=evidence.now, trust=evidence.trust
    )  # fmt: skip


def serve_again(facts: Facts, case: Case, cause: str) -> Iterator[Action]:
    """The chain from before the onset; where its certificate ran out, its key under a new one."""
    previous, host = facts.previous, text(facts.evidence.incident.host)
    if previous is None or previous.chain == facts.chain or facts.status(previous.chain.leaf.pin) in _BURNT:
        return
    pin, ends = previous.chain.leaf.pin, previous.chain.leaf.not_after
    restores, by_release = gains(facts, case, _on(facts, previous.chain))
    if restores:
        slug, title = _AGAIN.get(cause, _ROLL_BACK)
        until = f"; its certificate runs until {ends:%Y-%m-%d}" if ends is not None else ""
        steps = (
            f"Put back the chain that {text(previous.vantage)} captured, with the key {text(pin)}{until}.",
            _APPLY.format(name=host.replace(".", "-")),
            f"irkit capture {host}   # every address shows that key again",
        )
        yield Action(
            slug, title, steps, restores, by_release, MINUTES, why="The releases accept it, by their own pin files."
        )
        return
    if facts.chain is None or pin is None or pin == facts.chain.leaf.pin:
        return
    yield from _keyed(
        facts, case, pin, slug="reissue-previous-key",
        title="Have a certificate issued for the previous key, and serve that; the previous certificate won't do.",
        command="openssl req -new -key previous.key -out previous.csr",
    )  # fmt: skip


def switch_keys(facts: Facts, case: Case) -> Iterator[Action]:
    """Every other leaf key of the inventory, under the CA that issues now."""
    inventory = facts.evidence.inventory
    taken = {chain.leaf.pin for chain in (facts.chain, facts.previous and facts.previous.chain) if chain}
    for key in () if inventory is None else inventory.keys:
        if key.role != "leaf" or facts.status(key.pin) not in OWNED or key.pin in taken:
            continue
        name = text(key.name or key.pin)
        yield from _keyed(
            facts, case, key.pin, slug="switch-key",
            title=f"Serve another key of the inventory, which they pin: {name} ({key.status}).",
            command="openssl req -new -key backup.key -out backup.csr",
        )  # fmt: skip


def _keyed(facts: Facts, case: Case, key: Pin, *, slug: str, title: str, command: str) -> Iterator[Action]:
    """An action that has a certificate issued for a key; nothing where it brings nobody back."""
    evidence, chain = facts.evidence, facts.chain or (facts.previous.chain if facts.previous else None)
    if chain is None:
        return
    decide = partial(_of_key, facts, key, chain)
    restores, by_release = gains(facts, case, decide)
    if restores:
        host = text(evidence.incident.host)
        steps = (
            f"Order a certificate for {host} for the key {text(key)}, from the CA that issues now.",
            command,
            "Serve it, and have a new backup key made: irkit pins new-backup backup.key",
        )
        yield Action(slug, title, steps, restores, by_release, HOUR, why="The key is ours, and the releases pin it.")


def _of_key(facts: Facts, key: Pin, chain: Chain, release: Release) -> Acceptance:
    # Without roots: the certificate that is to be ordered will be valid, whatever the one served now is.
    return accepts_key(release, key, chain, host=facts.evidence.incident.host, at=facts.evidence.now)


def serve_everywhere(facts: Facts, case: Case, cause: str) -> Iterator[Action]:
    """Where edges differ: each of the owner's chains that some of them serve, on all of them."""
    served = {capture.chain.leaf.pin: capture for capture in reversed(facts.trusted)}
    if len(served) < 2:
        return
    before = facts.previous.chain.leaf.pin if facts.previous is not None else None
    for pin, capture in served.items():
        if facts.status(pin) in _BURNT or not (facts.owners(pin) or facts.pinned_leaf(pin)):
            continue
        restores, by_release = gains(facts, case, _on(facts, capture.chain))
        if not restores:
            continue
        kind = text(capture.chain.leaf.key) if cause == "dual-certificate" else ""
        slug, title = (
            ("serve-one-certificate", f"Serve the {kind} certificate alone, which the releases pin: {text(pin)}.")
            if cause == "dual-certificate"
            else ("undo-rollout", f"Undo the rollout: serve the previous key {text(pin)} on every edge.")
            if pin == before
            else ("finish-rollout", f"Finish the rollout: serve the key {text(pin)} on every edge.")
        )  # fmt: skip
        steps = (
            f"Put the chain that {text(capture.vantage)} captured on every edge.",
            f"irkit capture {text(facts.evidence.incident.host)}   # every address shows that key",
        )
        yield Action(slug, title, steps, restores, by_release, MINUTES, why="The releases accept it, by their pins.")


def force_path(facts: Facts, case: Case) -> Iterator[Action]:
    """Where devices build another path than the one presented: a chain that leaves them no choice."""
    chain, evidence = facts.chain, facts.evidence
    if chain is None:
        return
    restores, by_release = gains(
        facts, case, lambda release: accepts(release, chain, host=evidence.incident.host, at=evidence.now)
    )
    steps = (
        "Serve the intermediates of the path that is pinned, and none that leads to another root.",
        "Have the next release pin both roots, and a key of our own.",
    )
    # Where the presented chain doesn't hold the pinned key itself, how devices will build their paths can't be told.
    yield Action(
        "force-path", "Serve the chain that leads every device to the pinned certificate.", steps, restores or None,
        by_release if restores else (), MINUTES, why="The server is unchanged; devices with newer roots end elsewhere.",
    )  # fmt: skip


def renew(facts: Facts, case: Case) -> Iterator[Action]:
    """A new certificate for the key that is served now: every pin of it stays right."""
    chain = facts.chain
    if chain is None or chain.leaf.pin is None:
        return
    restores, by_release = gains(facts, case, partial(_of_key, facts, chain.leaf.pin, chain))
    steps = ("openssl req -new -key current.key -out renew.csr   # the same key keeps every pin valid",)
    yield Action(
        "renew", "Renew the certificate, with the same key.", steps, restores, by_release, HOUR, why="It ran out."
    )
