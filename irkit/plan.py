"""Before a rotation: which releases break if a key is served on a date, and from when on few enough do.

`rotation.toml`, paths relative to it:

    [rotation]
    incident = "api.toml"        # host, releases, metrics, inventory and roots, as for a triage
    to = "sha256/…"              # the key that is to be served
    at = 2027-02-01T00:00:00Z    # when; default: the earliest date
    tolerate = 0.01              # the share of validations that may break
    chain = "next.pem"           # its certificate, once it is issued
    ticket = "CHG-1042"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from irkit import render
from irkit.accept import Acceptance, accepts
from irkit.accept.supposed import accepts_key
from irkit.adoption import Adoption, adoption
from irkit.certificate import Pin
from irkit.chain import Chain
from irkit.chainfile import load_chain
from irkit.errors import InputError
from irkit.evidence import Evidence
from irkit.facts import Facts, establish
from irkit.files import read_file
from irkit.incident import Incident, load_incident
from irkit.pins import Release
from irkit.render import text
from irkit.tomlfile import TEXT, Table, moment, parse_toml, share

__all__ = ["Fate", "Milestone", "Plan", "Rotation", "load_rotation", "plan_rotation"]

HORIZON = 730  # days looked ahead
_CONNECTS = ("yes", "unpinned")
_TABLES = {
    "rotation": Table(
        {"incident": TEXT, "to": TEXT, "at": moment, "tolerate": share, "chain": TEXT, "ticket": TEXT},
        needed=("incident", "to"),
    )
}


@dataclass(frozen=True, slots=True)
class Rotation:
    """What is planned.

    Attributes:
        to: The leaf key that is to be served.
        at: When, aware UTC; None for the earliest date that the tolerance allows.
        tolerate: The share of validations that may break, 0 to 1.
        chain: Its certificate with what goes above it; None while it is not issued.
    """

    incident: Incident
    to: Pin
    at: datetime | None = None
    tolerate: float = 0.01
    chain: Chain | None = None
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one release on the day.

    Attributes:
        share: Of all validations on that day, 0 to 1; None where nothing is known of its use.
        answer: As `irkit.accepts` gives it.
    """

    release: str
    platform: str
    share: float | None
    answer: str
    why: str


@dataclass(frozen=True, slots=True)
class Milestone:
    """A date of the plan. `state` is `done`, `open`, `overdue` or `ahead`."""

    days: int
    at: datetime
    what: str
    state: str


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """The answer.

    Attributes:
        at: The date looked at, aware UTC.
        broken: Share of all validations that break on that date; what is not certain to connect counts as broken.
        earliest: The first date from which on at most the tolerated share breaks; None within the horizon.
        curve: (date, share broken) for each day from now on.
        notes: What the reader should know, sentences.
    """

    rotation: Rotation
    at: datetime
    broken: float
    earliest: datetime | None
    fates: tuple[Fate, ...]
    milestones: tuple[Milestone, ...]
    curve: tuple[tuple[datetime, float], ...]
    notes: tuple[str, ...]

    @property
    def head(self) -> str:
        """The answer in one sentence."""
        when = f"On {self.at:%Y-%m-%d}, {100 * self.broken:.3g} % of validations break"
        limit = f"{100 * self.rotation.tolerate:.3g} %"
        if self.earliest is None:
            return f"{when}; within two years it is never at most {limit}."
        return f"{when}; from {self.earliest:%Y-%m-%d} on it is at most {limit}."

    def _fates(self) -> list[tuple[object, ...]]:
        return [
            (f.release, f.platform, "not known" if f.share is None else f"{100 * f.share:.3g} %", f.answer, f.why)
            for f in self.fates
        ]

    def _milestones(self) -> list[tuple[object, ...]]:
        return [(f"{m.days:+d}" if m.days else "0", f"{m.at:%Y-%m-%d}", m.what, m.state) for m in self.milestones]

    def __repr__(self) -> str:
        fates = render.text_table(("release", "platform", "share", "connects", "why"), self._fates())
        dates = render.text_table(("day", "date", "what", "state"), self._milestones())
        return "\n".join([self.head, *(text(note, 300) for note in self.notes), "", fates, "", dates])

    def _repr_html_(self) -> str:
        fates = render.table(("release", "platform", "share", "connects", "why"), self._fates(), "Releases on the day")
        dates = render.table(("day", "date", "what", "state"), self._milestones(), "The plan")
        return render.fragment(
            render.paragraph(render.strong(self.head)), render.bullets(self.notes), fates, dates
        )._repr_html_()


def load_rotation(path: str | Path, *, now: datetime | None = None) -> Rotation:
    """Reads rotation.toml.

    Args:
        path: The file.
        now: What "now" is for the incident file's defaults, aware; the clock's when left out.

    Raises:
        InputError: The file, the incident file or the chain can't be used.
    """
    path = Path(path)
    content = read_file(path, 'write [rotation] with incident = "api.toml" and to = "…"', what="rotation's file")
    item = parse_toml(content, _TABLES, str(path))["rotation"]
    chain = load_chain(path.parent / item["chain"]) if item.get("chain") else None
    to = Pin.parse(item["to"])
    if chain is not None and chain.leaf.pin != to:
        raise InputError(
            f"{text(path)}: the certificate in {text(item['chain'])} has the key {chain.leaf.pin}, not {to}",
            "give the certificate of the new key, or its pin",
        )
    incident = load_incident(path.parent / item["incident"], now=now)
    return Rotation(incident, to, item.get("at"), item.get("tolerate", 0.01), chain, item.get("ticket", ""))


def plan_rotation(evidence: Evidence, rotation: Rotation) -> Plan:
    """Works out what a rotation breaks, and when it may be done. Pure: "now" is the evidence's.

    Args:
        evidence: Gathered from the rotation's incident file; a window of weeks gives a trend of adoption.
        rotation: As `load_rotation` reads it.

    Raises:
        InputError: There is no chain to suppose the new key in: neither its own nor a trusted capture's.
    """
    facts = establish(evidence)
    if facts.chain is None and rotation.chain is None:
        raise InputError(
            "no trusted vantage got a chain, and the new certificate is not given",
            'let the endpoint be reached, or name the new certificate: chain = "next.pem"',
        )
    use = adoption(evidence.releases, evidence.failures, evidence.now)
    days = [evidence.now + timedelta(days=n) for n in range(HORIZON + 1)]
    # Decided once a week: pins only ever expire into letting everything through, so that the date is late, never early.
    weekly = [_answers(facts, rotation, day) for day in days[::7]]
    curve = tuple((day, _broken(use, weekly[n // 7], day)) for n, day in enumerate(days))
    earliest = None
    for day, broken in reversed(curve):
        if broken > rotation.tolerate:
            break
        earliest = day
    at = rotation.at or earliest or evidence.now
    answers = {release.name: _decide(facts, rotation, release, at) for release in evidence.releases}
    shares = use.shares(at)
    fates = sorted(
        (
            Fate(r.name, r.platform, shares.get(r.name), answers[r.name].answer, _because(answers[r.name]))
            for r in evidence.releases
        ),
        key=lambda fate: (fate.answer in _CONNECTS, -(fate.share or 0)),
    )
    broken = _broken(use, {name: decision.answer for name, decision in answers.items()}, at)
    milestones = tuple(_milestones(facts, rotation, at, broken))
    notes = tuple(_notes(facts, rotation, use, answers))
    return Plan(rotation, at, broken, earliest, tuple(fates), milestones, curve, notes)


def _decide(facts: Facts, rotation: Rotation, release: Release, at: datetime) -> Acceptance:
    evidence = facts.evidence
    host = evidence.incident.host
    if rotation.chain is not None:
        return accepts(release, rotation.chain, host=host, at=at)
    assert facts.chain is not None
    # The path with its root, as that may be pinned; but no store to verify to, as today's leaf will have ended by then.
    verified = facts.verification.paths[0] if facts.verification and facts.verification.paths else facts.chain
    return accepts_key(release, rotation.to, verified, host=host, at=at)


def _answers(facts: Facts, rotation: Rotation, at: datetime) -> dict[str, str]:
    return {release.name: _decide(facts, rotation, release, at).answer for release in facts.evidence.releases}


def _broken(use: Adoption, answers: Mapping[str, str], at: datetime) -> float:
    shares = use.shares(at)
    return round(sum(share for name, share in shares.items() if answers.get(name) not in _CONNECTS), 6)


def _because(decision: Acceptance) -> str:
    if decision.why == "pin" and decision.answer == "yes":
        return "it pins the new key, or a CA above it"
    if decision.why == "pin" and decision.answer == "no":
        return "it pins neither the new key nor a CA above it"
    return decision.reasons[0] if decision.reasons else decision.why


def _milestones(facts: Facts, rotation: Rotation, at: datetime, broken: float) -> Iterator[Milestone]:
    """The usual calendar of a rotation: 90, 60, 30 days before, the day, and 90 days after."""
    evidence, to = facts.evidence, rotation.to
    listed = facts.status(to) in ("active", "next", "backup")
    families = {release.platform for release in evidence.releases}
    shipping = {release.platform for release in evidence.releases if to in release.pins}
    steps = (
        (-90, f"The key {to} is made, kept safe and listed in keys.toml as next, with a backup key beside it.", listed),
        (-60, "Every platform has a release in the stores that pins the new key beside the old one.",
         bool(families) and families == shipping),
        (-30, f"At most {100 * rotation.tolerate:.3g} % of validations would break, and the certificate is issued.",
         broken <= rotation.tolerate and rotation.chain is not None),
        (0, "irkit preflight agrees; the servers present the new key; the old one is kept for a way back.", False),
        (90, "The old key is retired in keys.toml, and the next releases leave its pin out.", False),
    )  # fmt: skip
    for days, what, done in steps:
        due = at + timedelta(days=days)
        state = "done" if done else "overdue" if due < evidence.now else "open" if days <= 0 else "ahead"
        yield Milestone(days, due, what, state)


def _notes(facts: Facts, rotation: Rotation, use: Adoption, answers: dict[str, Acceptance]) -> Iterator[str]:
    yield f"Adoption: {use.note}."
    status = facts.status(rotation.to)
    if status not in ("active", "next", "backup"):
        yield f"The new key is not listed in the inventory as next{f', but as {status}' if status else ''}."
    unknown = [name for name in answers if name not in use.lines]
    if unknown:
        names = ", ".join(text(name, 60) for name in unknown)
        yield f"Nothing is known of the use of {names}: they count for nothing here. Give each a share, or metrics."
    if answers and not any(decision.answer in _CONNECTS for decision in answers.values()):
        yield "No release takes the new key: ship one that pins it first."
    unsure = [name for name, decision in answers.items() if decision.answer in ("unknown", "on some devices")]
    if unsure:
        yield f"Not certain, and counted as broken: {', '.join(text(name, 60) for name in unsure)}."
    if rotation.chain is None:
        yield "The certificate is not issued yet: the CA above the new key is taken to be the one above today's."
