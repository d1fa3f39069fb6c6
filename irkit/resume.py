"""A second run goes on from the evidence of one that broke off: what was gathered minutes ago is not gathered again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from irkit.archive import load_evidence
from irkit.errors import IrkitError
from irkit.evidence import Evidence
from irkit.incident import Incident

__all__ = ["WITHIN", "go_on", "unfinished"]

WITHIN = timedelta(minutes=15)  # older evidence may no longer be what is going on
_TIMELESS = datetime(1970, 1, 1, tzinfo=UTC)


def unfinished(out: Path, incident: Incident, *, now: datetime) -> Evidence | None:
    """The evidence of the newest run below `out` that asked the same, did not complete, and is fresh.

    Args:
        out: Where runs leave their folders, `<id>/<UTC start>`.
        incident: What is asked now.
        now: Aware.

    Returns:
        Evidence whose done stages need not be done again; None where there is none. A stage that something was missing
        in counts as not done, and pins are always read again: that costs nothing.
    """
    for folder in sorted(out.glob("*/*"), key=lambda path: path.name, reverse=True)[:20]:
        try:
            if json.loads((folder / "result.json").read_text(encoding="utf-8"))["status"] != "incomplete":
                continue
            found = go_on(load_evidence(folder), incident)
        except (IrkitError, OSError, ValueError, KeyError, TypeError):  # no run, or too little of one
            continue
        if found.gathered and _same(found.incident, incident) and timedelta() <= now - found.now <= WITHIN:
            return found
    return None


def go_on(evidence: Evidence, incident: Incident) -> Evidence:
    """Evidence to go on from: of its stages only those that gave all they could, its files where the incident's are."""
    lost = {item.source.split()[0] for item in evidence.missing}
    done = set(evidence.gathered) - {"pins"}
    if evidence.failures is None:
        done.discard("failures")
    if not evidence.captures or lost & {"capture", "client"} - ({"client"} if not incident.observed else set()):
        done.discard("chains")
    return replace(evidence, incident=replace(evidence.incident, folder=incident.folder), gathered=frozenset(done))


def _same(one: Incident, other: Incident) -> bool:
    """Whether two incidents ask the same; a window that ends now moves with the clock, and an id made of it, too."""
    if one.end - one.start != other.end - other.start or abs(one.start - other.start) > WITHIN:
        return False
    bare = {"id": "", "start": _TIMELESS, "end": _TIMELESS, "folder": Path()}
    return replace(one, **bare) == replace(other, **bare)  # type: ignore[arg-type]  # each value has its field's type
