"""What was seen of a case, while it is being written down: notes, the scores they add up to, and open checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from irkit.certificate import Pin
from irkit.verdict import Finding
from irkit.weights import WEIGHTS

__all__ = ["Note", "Observations", "short"]


def short(pin: Pin | None) -> str:
    """The beginning of a pin, for a sentence."""
    return f"{str(pin)[:18]}…" if pin is not None else "that can't be read"


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that was seen, with what it weighs for each hypothesis (a verdict or a cause)."""

    id: str
    says: str
    source: str
    weights: Mapping[str, float]

    def finding(self, *hypotheses: str) -> Finding:
        """As a finding about a verdict and its cause; about what it weighs most for where it says nothing of them."""
        mine = {name: self.weights[name] for name in hypotheses if name in self.weights}
        weights = mine or self.weights
        supports = max(weights, key=lambda name: abs(weights[name]), default="")
        return Finding(self.id, self.says, self.source, supports, weights.get(supports, 0.0))


@dataclass(slots=True)
class Observations:
    """Notes, the scores they add up to by cause or verdict, and the checks that would settle the case."""

    notes: list[Note] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)

    def add(self, name: str, says: str, source: str, weights: Mapping[str, float] | None = None) -> None:
        """Writes one observation down, with its weights from the table unless others are given."""
        weights = WEIGHTS[name] if weights is None else weights
        self.notes.append(Note(name, says, source, weights))
        for key, weight in weights.items():
            self.scores[key] = self.scores.get(key, 0.0) + weight

    def findings(self, verdict: str, cause: str) -> list[Finding]:
        """What speaks for a verdict and its cause first, then what rules others out, then what speaks against it."""

        def strength(note: Note) -> float:
            return note.weights.get(verdict, 0.0) + note.weights.get(cause, 0.0) * (cause != verdict)

        def order(note: Note) -> tuple[bool, float, float]:
            own = strength(note)
            return own < 0, -own, -max(map(abs, note.weights.values()), default=0.0)

        return [note.finding(verdict, cause) for note in sorted(self.notes, key=order)]
