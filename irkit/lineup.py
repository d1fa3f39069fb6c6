"""Chains side by side: before, now, and as failing clients saw them, with each key under one letter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from irkit.accept import Acceptance, accepts
from irkit.certificate import Certificate, Pin
from irkit.chain import Chain
from irkit.evidence import Evidence
from irkit.facts import Facts, establish
from irkit.pins import Release
from irkit.render import moment, text
from irkit.trust import linked_path

__all__ = ["Column", "Lineup", "lineup", "role", "short_name"]

COLUMNS = 5  # chains side by side; more distinct ones are counted
DEPTH = 5  # certificates of a chain shown; more are counted


@dataclass(frozen=True, slots=True)
class Column:
    """One chain.

    Attributes:
        title: `before`, `now` or `seen by clients`.
        note: Where and when it was seen.
        accepted: What each release makes of it, in the order of the releases.
    """

    title: str
    note: str
    chain: Chain
    accepted: tuple[tuple[Release, Acceptance], ...] = ()

    def on_path(self, certificate: Certificate) -> bool:
        """Whether it signs the leaf, directly or through others: one that was merely sent along proves nothing."""
        return certificate in linked_path(self.chain.certificates)


@dataclass(frozen=True, slots=True)
class Lineup:
    """The columns.

    Attributes:
        letters: A letter for each key; certificates without a readable key share one.
        more: How many further chains clients saw.
    """

    columns: tuple[Column, ...]
    letters: Mapping[Pin | None, str]
    releases: tuple[Release, ...]
    more: int = 0

    def pinned_by(self, column: Column, certificate: Certificate) -> tuple[str, ...]:
        """Names of the releases that have this key's pin; none for a certificate that is not on the path."""
        if certificate.pin is None or not column.on_path(certificate):
            return ()
        return tuple(release.name for release in self.releases if certificate.pin in release.pins)

    @property
    def alt(self) -> str:
        """The columns in words."""
        return "Chains side by side. " + " ".join(self._say(column) for column in self.columns)

    def _say(self, column: Column) -> str:
        parts = []
        for position, certificate in enumerate(column.chain[:DEPTH]):
            said = f"{role(position, certificate)} {text(short_name(certificate), 60)}"
            said += f", key {self.letters[certificate.pin]}"
            pinned = [text(name, 60) for name in self.pinned_by(column, certificate)]
            if not column.on_path(certificate):
                said += ", which signs nothing here"
            elif pinned:
                said += ", pinned by " + ", ".join(pinned[:4])
            parts.append(said)
        more = f"; and {len(column.chain) - DEPTH} more" if len(column.chain) > DEPTH else ""
        return f"{text(column.title)} ({text(column.note, 80)}): " + "; ".join(parts) + more + "."


def role(position: int, certificate: Certificate) -> str:
    """What a certificate is in a chain, by its position and its own words; nothing is verified."""
    return "leaf" if position == 0 else "root" if certificate.self_issued else "intermediate"


def short_name(certificate: Certificate) -> str:
    """The common name, or the whole subject where it has none."""
    subject = certificate.subject
    if subject is None:
        return "unreadable name"
    parts = re.split(r"(?<!\\),", subject)  # an escaped comma belongs to a value (RFC 4514)
    return next((part[3:] for part in parts if part.startswith("CN=")), subject) or "no name"


def lineup(evidence: Evidence, facts: Facts | None = None) -> Lineup:
    """Lines the chains of the evidence up; no column where there is no chain.

    Args:
        evidence: What was gathered.
        facts: As `irkit.facts.establish` gives them, when they are at hand.
    """
    facts = facts or establish(evidence)
    columns = list[Column]()
    if facts.previous is not None:
        found = tuple((opinion.release, opinion.before) for opinion in facts.opinions if opinion.before is not None)
        note = f"{facts.previous.vantage}, {moment(facts.previous.at)}"
        columns.append(Column("before", note, facts.previous.chain, found))
    if facts.chain is not None:
        found = tuple((opinion.release, opinion.now) for opinion in facts.opinions if opinion.now is not None)
        columns.append(Column("now", "seen from " + ", ".join(facts.witnesses), facts.chain, found))
    for capture in {capture.chain: capture for capture in facts.dissent}.values():
        columns.append(Column("now, another answer", f"seen from {capture.vantage}", capture.chain))
    for observed in {item.chain: item for item in evidence.observed if len(item.chain)}.values():
        where = observed.network or observed.region or observed.source
        columns.append(
            Column(
                "seen by clients",
                f"{where}, {moment(observed.at)}" if observed.at else where,
                observed.chain,
                tuple((release, _judge(evidence, release, observed.chain)) for release in evidence.releases),
            )
        )
    shown = tuple(columns[:COLUMNS])
    letters: dict[Pin | None, str] = {}
    for pin in (pin for column in shown for pin in column.chain.pins):
        letters.setdefault(pin, chr(ord("A") + len(letters)) if len(letters) < 26 else f"K{len(letters)}")
    return Lineup(shown, letters, evidence.releases, len(columns) - len(shown))


def _judge(evidence: Evidence, release: Release, chain: Chain) -> Acceptance:
    at = chain.obtained.at or evidence.now
    return accepts(release, chain, host=evidence.incident.host, at=at, trust=evidence.trust)
