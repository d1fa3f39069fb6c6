"""On the day of a rotation: may the key be switched? Looks, compares, and refuses with reasons.

The steps, numbered as in the code below:
    1. The new key is the owner's, by the inventory.
    2. Trusted vantages agree on the key served now, and it is the owner's.
    3. The new certificate is that key's, verifies for the host, and is valid for a while.
    4. At most the tolerated share of validations breaks.
    5. Releases that take the new key have another pin to fall back to.
    6. No incident is going on.
    7. The planned date has come.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from irkit import render
from irkit.evidence import Evidence
from irkit.facts import OWNED, Facts, establish
from irkit.plan import Plan, Rotation
from irkit.render import text
from irkit.trust import verify
from irkit.verdict import Verdict

__all__ = ["GoAhead", "Point", "preflight"]

LEFT = timedelta(days=14)  # what a new certificate should at least have left
SOON = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Point:
    """One thing looked at. `ok` is None where it could not be told, which is no go-ahead either."""

    name: str
    ok: bool | None
    says: str


@dataclass(frozen=True, slots=True, repr=False)
class GoAhead:
    """Whether the key may be switched now: every point has to hold."""

    points: tuple[Point, ...]

    @property
    def ok(self) -> bool:
        """Whether every point holds."""
        return all(point.ok for point in self.points)

    @property
    def head(self) -> str:
        """The answer in one sentence."""
        if self.ok:
            return "Go: every point holds."
        failed, unknown = (sum(point.ok is ok for point in self.points) for ok in (False, None))
        of = f"of {len(self.points)} points"
        said = [f"{failed} {of} {'does' if failed == 1 else 'do'} not hold"] if failed else []
        said += (
            [f"{unknown} {'' if failed else of + ' '}{'is' if unknown == 1 else 'are'} not known"] if unknown else []
        )
        return f"No go: {', '.join(said)}."

    def _rows(self) -> list[tuple[object, ...]]:
        words = {True: "✓ holds", False: "✖ does not hold", None: "? not known"}
        return [(point.name, words[point.ok], point.says) for point in self.points]

    def __repr__(self) -> str:
        return self.head + "\n" + render.text_table(("point", "answer", "what was seen"), self._rows())

    def _repr_html_(self) -> str:
        table = render.table(("point", "answer", "what was seen"), self._rows(), "Preflight")
        return render.fragment(render.paragraph(render.strong(self.head)), table)._repr_html_()


def preflight(evidence: Evidence, rotation: Rotation, plan: Plan, verdict: Verdict) -> GoAhead:
    """Holds a rotation against what is seen now. Pure: "now" is the evidence's.

    Args:
        evidence: Gathered just now from the rotation's incident file.
        rotation: As `irkit.load_rotation` reads it.
        plan: As `irkit.plan_rotation` gives it for that evidence.
        verdict: As `irkit.classify` gives it.
    """
    facts = establish(evidence)
    return GoAhead(
        (
            _key(facts, rotation),  # 1
            _served(facts, rotation),  # 2
            _certificate(facts, rotation),  # 3
            _breaks(facts, rotation, plan),  # 4
            _fallback(facts, rotation),  # 5
            _quiet(verdict),  # 6
            _date(facts, rotation),  # 7
        )
    )


def _key(facts: Facts, rotation: Rotation) -> Point:
    status = facts.status(rotation.to)
    if facts.evidence.inventory is None:
        return Point("new key", None, "There is no inventory: nothing says whose key it is.")
    if status in OWNED:
        return Point("new key", True, f"The inventory lists {rotation.to} as {status}.")
    said = f"lists it as {status}" if status else "does not list it for this host"
    return Point("new key", False, f"The inventory {said}: {rotation.to}.")


def _served(facts: Facts, rotation: Rotation) -> Point:
    name = "key served now"
    if facts.chain is None:
        return Point(name, None, "No trusted vantage got a chain.")
    if facts.dissent:
        return Point(name, False, "Trusted vantages see different leaf keys: an earlier change is not finished.")
    pin = facts.chain.leaf.pin
    if pin == rotation.to:
        return Point(name, True, "The new key is served already.")
    reason = facts.owners(pin)
    if not reason:
        return Point(name, False, f"The key served now is not known to be the owner's: {pin}.")
    return Point(name, True, f"{', '.join(map(text, facts.witnesses))} see {pin}; {reason}.")


def _certificate(facts: Facts, rotation: Rotation) -> Point:
    name, evidence, chain = "new certificate", facts.evidence, rotation.chain
    if chain is None:
        return Point(name, None, 'The new certificate is not given: name it, chain = "next.pem".')
    if evidence.trust is None:
        return Point(name, None, "There are no roots to verify it to.")
    found = verify(chain, evidence.trust, at=evidence.now, host=evidence.incident.host)
    if not found.ok:
        return Point(name, False, f"It does not verify: {text(found.reason, 300)}.")
    ends = chain.leaf.not_after
    if ends is None or ends < evidence.now + LEFT:
        return Point(name, False, f"It ends at {ends:%Y-%m-%d %H:%M} UTC." if ends else "Its end can't be read.")
    return Point(name, True, f"It verifies for {text(evidence.incident.host)}, and runs until {ends:%Y-%m-%d}.")


def _breaks(facts: Facts, rotation: Rotation, plan: Plan) -> Point:
    name = "users"
    if not facts.evidence.releases:
        return Point(name, None, "No release is listed: who would break can't be told.")
    counted = any(fate.share for fate in plan.fates)
    if not counted:
        return Point(name, None, "Nothing is known of how much each release is used.")
    today = plan.curve[0][1]
    limit = f"{100 * rotation.tolerate:.3g} %"
    said = f"{100 * today:.3g} % of validations would break today; {limit} is tolerated."
    return Point(name, today <= rotation.tolerate, said)


def _fallback(facts: Facts, rotation: Rotation) -> Point:
    names = [r.name for r in facts.evidence.releases if rotation.to in r.pins and len(set(r.pins)) < 2]
    if names:
        return Point(
            "way back", False, f"The new key is the only pin of {', '.join(text(name) for name in names[:6])}."
        )
    return Point("way back", True, "Releases that pin the new key pin another one too.")


def _quiet(verdict: Verdict) -> Point:
    if verdict.verdict == "none":
        return Point("no incident", True, "Failures do not rise above their own baseline.")
    if verdict.verdict == "inconclusive":
        return Point("no incident", None, "What is seen now is inconclusive: run a triage first.")
    return Point("no incident", False, f"An incident is going on: {text(verdict.name)}.")


def _date(facts: Facts, rotation: Rotation) -> Point:
    if rotation.at is None:
        return Point("date", None, "No date is planned: set at = in the rotation's file.")
    early = rotation.at - facts.evidence.now > SOON
    return Point("date", not early, f"It is planned for {rotation.at:%Y-%m-%d %H:%M} UTC.")
