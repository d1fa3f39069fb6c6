"""What follows from the evidence before anything is weighed: whose chain is served, what releases make of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from irkit.accept import Acceptance, accepts
from irkit.certificate import Certificate, Pin
from irkit.chain import Chain
from irkit.clients import Client, clients
from irkit.evidence import Capture, Evidence
from irkit.pins import Release
from irkit.tally import Tally
from irkit.trust import TrustStore, Verification, verify

if TYPE_CHECKING:
    from irkit.onset import Onset

__all__ = ["OWNED", "Facts", "Opinion", "clock_off", "doubtful", "establish", "issuer_key", "root_key"]

# The inventory's words for a key that the owner means to serve.
OWNED = frozenset({"active", "next", "backup"})


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a release makes of the trusted chain now and of the one before; None where there is no such chain.

    Attributes:
        others: What it makes of the other chains that trusted vantages see.
        given: What devices make of it that have only one of the roots that the chain leads to; or, where it leads to
            one, what it makes of the chain as presented.
    """

    release: Release
    now: Acceptance | None
    before: Acceptance | None
    others: tuple[Acceptance, ...] = ()
    given: Acceptance | None = None

    @property
    def kind(self) -> str:
        """In a word.

        `accepts`; `lapsed`: its pins ended since it accepted the chain before; `silent`: no pin stands in the way,
        though the release has pins; `split`: it accepts one of the chains that are served and refuses another; `path`:
        the presented chain holds its pin, the path to the roots doesn't; `changed`: no now, yes before; `never`: no and
        no; `rejects`: no now, before unknown; `unsure`.
        """
        answers = {a.answer for a in (self.now, *self.others) if a is not None}
        if {"yes", "no"} <= answers:
            return "split"
        if self.now is not None and self.now.why == "expired-config" and self.before is not None:
            return "lapsed" if self.before.answer == "yes" else "silent"
        if self.now is not None and self.now.why in ("no-rule", "expired-config") and self.release.pins:
            return "silent"
        if self._only_elsewhere():
            return "path"
        if self.now is None or self.now.answer in ("unknown", "on some devices"):
            return "unsure"
        if self.now.answer != "no":
            return "accepts"
        if self.before is None or self.before.answer in ("unknown", "on some devices"):
            return "rejects"
        if self.before.answer != "no":
            return "changed"
        # Refused for its names or its issuer, the chain now says nothing of the pins.
        return "never" if self.now.why in ("pin", "config-rejected") else "rejects"

    def _only_elsewhere(self) -> bool:
        now, given = self.now, self.given
        if now is None or given is None or given.answer not in ("yes", "on some devices"):
            return False
        return (now.answer, now.why) == ("no", "pin") or now.why in ("trust-store", "path")


@dataclass(frozen=True, slots=True)
class Facts:
    """Values only, derived from the evidence alone.

    Attributes:
        evidence: What they follow from.
        onsets: Explaining cohorts of the failures, gravest first; empty without metrics or where nothing rises.
        trusted: Captures of this run from trusted vantages.
        chain: The chain that most trusted vantages see now; None when none was had.
        witnesses: Names of the trusted vantages that see its leaf key.
        dissent: Trusted captures with another leaf key.
        previous: The newest trusted capture from before the onset.
        verification: Whether `chain` verifies for the host, now, to the trusted roots.
        opinions: One for each release.
        clients: What failing clients saw.
        tally: The window's counts; None without metrics.
    """

    evidence: Evidence
    onsets: tuple[Onset, ...]
    trusted: tuple[Capture, ...]
    chain: Chain | None
    witnesses: tuple[str, ...]
    dissent: tuple[Capture, ...]
    previous: Capture | None
    verification: Verification | None
    opinions: tuple[Opinion, ...]
    clients: tuple[Client, ...] = ()
    tally: Tally | None = None

    def status(self, pin: Pin | None) -> str:
        """The inventory's word for a key of this host; empty when it is not listed, or for other hosts only."""
        inventory, host = self.evidence.inventory, self.evidence.incident.host
        for key in () if inventory is None or pin is None else inventory.keys:
            if key.pin == pin and (not key.hosts or host in key.hosts):
                return key.status
        return ""

    def listed(self, pin: Pin | None) -> str:
        """The inventory's word for a key, of whichever host; empty when it is not listed."""
        inventory = self.evidence.inventory
        key = inventory.key(pin) if inventory is not None and pin is not None else None
        return key.status if key is not None else ""

    def listed_for(self, pin: Pin | None) -> tuple[str, ...]:
        """The hosts that the inventory lists a key for; none where it lists it for all, or not at all."""
        inventory = self.evidence.inventory
        key = inventory.key(pin) if inventory is not None and pin is not None else None
        return key.hosts if key is not None else ()

    def served_before(self, pin: Pin | None) -> bool:
        """Whether the leaf of the previous trusted chain had this key, and was captured before the failures began.

        Where no onset is known they may have begun with the window: what was captured inside it shows nothing. Where
        the history shows that the key took another's place, a capture is no better than the path that it went: then
        two vantages must have seen it and, where the owner keeps a list, the list has to have it.
        """
        previous, start = self.previous, self.evidence.incident.start
        if pin is None or previous is None or previous.at is None or previous.chain.leaf.pin != pin:
            return False
        if previous.at >= min((onset.earliest for onset in self.onsets), default=start):
            return False
        past = [c for c in self.evidence.history if c.trusted and c.at and c.at <= previous.at and len(c.chain)]
        if all(capture.chain.leaf.pin == pin for capture in past):
            return True
        vantages = {capture.vantage for capture in past if capture.chain.leaf.pin == pin}
        return len(vantages) > 1 and (self.evidence.inventory is None or self.listed(pin) != "")

    def owners(self, pin: Pin | None) -> str:
        """Why a leaf key is the owner's, in words; empty when nothing shows that it is.

        Only what an attacker in the clients' path can't forge counts: the inventory, and what was served before the
        onset. Names, issuers, key identifiers and SCTs don't.
        """
        status = self.status(pin)
        if status in OWNED:
            return f"the inventory lists it as {status}"
        if status:
            return ""
        return "it was served before the failures began" if self.served_before(pin) else ""

    def pinned_leaf(self, pin: Pin | None) -> str:
        """A release that pins this very leaf key: its pin file is the owner's, and no attacker can write it."""
        for opinion in self.opinions:
            decided = opinion.now
            if pin is not None and decided is not None and decided.answer == "yes" and decided.pin == pin:
                return opinion.release.name
        return ""


def establish(evidence: Evidence) -> Facts:
    """Derives the facts. Pure: "now" is the evidence's."""
    from irkit.onset import found_onsets

    found = () if evidence.failures is None else found_onsets(evidence.failures)
    trusted = tuple(capture for capture in evidence.captures if capture.trusted and len(capture.chain))
    chain, witnesses, dissent = _majority(trusted)
    previous = _previous(evidence, min((onset.earliest for onset in found), default=None), chain)
    host, now, trust = evidence.incident.host, evidence.now, evidence.trust

    verification = None if chain is None or trust is None else verify(chain, trust, at=now, host=host)
    roots = dict.fromkeys(path[-1] for path in verification.paths) if verification is not None else {}
    ends = [TrustStore(root.subject or root.sha256, (root,)) for root in roots] if len(roots) > 1 else None

    def opinion(release: Release) -> Opinion:
        current = None if chain is None else accepts(release, chain, host=host, at=now, trust=trust)
        before = None
        if previous is not None:
            before = accepts(release, previous.chain, host=host, at=previous.at or now, trust=trust)
        given = None
        if chain is not None and current is not None and current.answer in ("no", "on some devices"):
            given = accepts(release, chain, host=host, at=now, trust=ends)
        others = {capture.chain: capture for capture in dissent}
        found = tuple(accepts(release, other, host=host, at=now, trust=trust) for other in others)
        return Opinion(release, current, before, found, given)

    return Facts(
        evidence=evidence,
        onsets=found,
        trusted=trusted,
        chain=chain,
        witnesses=witnesses,
        dissent=dissent,
        previous=previous,
        verification=verification,
        opinions=tuple(opinion(release) for release in evidence.releases),
        clients=clients(evidence, _known(evidence, trusted)),
        tally=None if evidence.failures is None else Tally.of(evidence.failures),
    )


def _known(evidence: Evidence, trusted: tuple[Capture, ...]) -> frozenset[Pin]:
    """Leaf keys that the owner lists as its own or that a trusted vantage saw."""
    host = evidence.incident.host
    listed = () if evidence.inventory is None else evidence.inventory.keys
    owned = [key.pin for key in listed if key.status in OWNED and (not key.hosts or host in key.hosts)]
    seen = [c.chain.leaf.pin for c in (*trusted, *evidence.history) if c.trusted and len(c.chain)]
    return frozenset((*owned, *(pin for pin in seen if pin is not None)))


def _majority(trusted: tuple[Capture, ...]) -> tuple[Chain | None, tuple[str, ...], tuple[Capture, ...]]:
    """The chain most vantages see, who sees its leaf key, and the captures that see another."""
    if not trusted:
        return None, (), ()
    voices: dict[Pin | None, set[str]] = {}
    for capture in trusted:
        voices.setdefault(capture.chain.leaf.pin, set()).add(capture.vantage)
    most = max(voices, key=lambda pin: len(voices[pin]))  # of equals, the first captured
    same = [capture.chain for capture in trusted if capture.chain.leaf.pin == most]
    chain = Counter(same).most_common(1)[0][0]
    return chain, tuple(sorted(voices[most])), tuple(c for c in trusted if c.chain.leaf.pin != most)


def _previous(evidence: Evidence, onset: datetime | None, chain: Chain | None) -> Capture | None:
    past = [capture for capture in evidence.history if capture.trusted and capture.at is not None]
    past.sort(key=lambda capture: capture.at or evidence.now)
    before = [c for c in past if c.at is not None and c.at < (onset or evidence.incident.start)]
    if before:
        return before[-1]
    if onset is not None:
        return None
    # With no onset to go by, what differs from now is what went before.
    return next((c for c in reversed(past) if c.chain != chain), past[-1] if past else None)


def doubtful(facts: Facts, client: Client) -> bool:
    """Whether a client saw a key that some capture has, but neither the owner's list nor most vantages now."""
    if client.nature != "ours" or client.leaf is None:
        return False
    return not (facts.owners(client.leaf) or (facts.chain is not None and facts.chain.leaf.pin == client.leaf))


def clock_off(facts: Facts, client: Client) -> bool:
    """Whether a client's own date explains that it refuses a chain which verifies now."""
    if facts.verification is None or not facts.verification.ok or client.stranger or doubtful(facts, client):
        return False
    if client.kind in ("expired", "not-yet-valid"):
        return True
    leaf = client.chain.leaf if len(client.chain) else None
    began, ended = (leaf.not_before, leaf.not_after) if leaf is not None else (None, None)
    return bool(client.kind == "trust" and client.at and began and ended and not began <= client.at <= ended)


def issuer_key(verification: Verification | None) -> Pin | None:
    """The key that signed the leaf on the verified path; None without one."""
    path: tuple[Certificate, ...] = verification.paths[0] if verification and verification.paths else ()
    return path[1].pin if len(path) > 1 else None


def root_key(verification: Verification | None) -> Pin | None:
    """The key of the root that the verified path ends at; None without one."""
    return verification.paths[0][-1].pin if verification and verification.paths else None
