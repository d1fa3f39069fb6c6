"""Evidence: everything a verdict rests on, as one value. "Now" is in it, so that it can be judged again years later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from irkit.chain import Chain
from irkit.changes import ServerChange
from irkit.incident import Incident
from irkit.missing import Missing
from irkit.pins import Inventory, Release
from irkit.reports import Reports
from irkit.runbook import RunbookSection
from irkit.trust import TrustStore

if TYPE_CHECKING:
    from irkit.failures import Failures

__all__ = ["Capture", "Evidence", "Observed", "with_missing"]


@dataclass(frozen=True, slots=True)
class Capture:
    """A chain captured at a vantage, now or (in the history) earlier.

    Attributes:
        chain: As presented; `chain.obtained` says how and when.
        vantage: Where it was captured.
        trusted: Whether the owner trusts the path from there.
    """

    chain: Chain
    vantage: str
    trusted: bool

    @property
    def at(self) -> datetime | None:
        """When it was captured, aware UTC; None when a file doesn't say."""
        return self.chain.obtained.at


@dataclass(frozen=True, slots=True)
class Observed:
    """A chain that a failing client saw. Anyone can send one: it raises suspicion and never lowers it.

    Attributes:
        source: The file it came in.
        release, network, region: Whose and where, as the incident file says; empty if unknown.
    """

    chain: Chain
    source: str
    at: datetime | None = None
    release: str = ""
    network: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was gathered.

    Attributes:
        now: When it was gathered, aware UTC.
        captures: Chains captured in this run, trusted and untrusted vantages.
        observed: Chains that failing clients saw.
        reports: What clients reported of failures; None when the incident file names no reports. Never trusted.
        history: Earlier captures, oldest first.
        releases: The releases and the pins they ship.
        inventory: The owner's keys; None when the incident file names none.
        trust: The roots that paths are built to.
        crls: CRLs that say whether a chain's leaf is revoked, DER or PEM.
        failures: Counts by cohort; None when there are none (then `missing` says why).
        runbooks: What the team's own runbooks say of causes; it comes before what ships with irkit.
        changes: What changed on the server's side, as metrics and the incident file date it, in order of time.
        missing: What could not be had.
        gathered: The stages done: `failures`, `chains`, `pins`. A stage that is done is not done again.
    """

    incident: Incident
    now: datetime
    captures: tuple[Capture, ...] = ()
    observed: tuple[Observed, ...] = ()
    reports: Reports | None = None
    history: tuple[Capture, ...] = ()
    releases: tuple[Release, ...] = ()
    inventory: Inventory | None = None
    trust: TrustStore | None = None
    failures: Failures | None = None
    missing: tuple[Missing, ...] = ()
    changes: tuple[ServerChange, ...] = ()
    runbooks: tuple[RunbookSection, ...] = ()
    gathered: frozenset[str] = frozenset()
    crls: tuple[bytes, ...] = ()


def with_missing(evidence: Evidence, *missing: Missing) -> Evidence:
    """The evidence with more entries of `missing`, each source's newest entry only."""
    sources = {item.source for item in missing}
    kept = tuple(item for item in evidence.missing if item.source not in sources)
    return replace(evidence, missing=(*kept, *missing))
