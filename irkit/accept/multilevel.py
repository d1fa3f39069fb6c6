"""A strategy's decision: which levels of the path match, and whether they are enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from irkit.accept.value import Acceptance, Path, Question, mismatch, on_paths, unpinned
from irkit.accept.value import matches as fits
from irkit.pins.release import ConfiguredPin
from irkit.render import text
from irkit.strategy import PinnedKey, Strategy, levels_of

__all__ = ["multilevel"]


def multilevel(question: Question, strategy: Strategy) -> Acceptance:
    """Strict wants the leaf and a level above, balanced two levels, flexible one; on the first path."""
    verification = question.verify()
    if not strategy.covers(question.host):
        reason = f"the strategy is not for {text(question.host, 80)}"
        return on_paths(question, verification, lambda path: unpinned("no-rule", reason, path=path))
    at = question.at
    keys = strategy.keys if at is None else strategy.counting(at)
    judged = on_paths(question, verification, lambda path: _judge(path, keys, strategy, at))
    if judged.why == "pin" and judged.answer == "no" and at is not None and not strategy.enforced(at):
        begins = strategy.enforce_from
        when = f"before {begins.astimezone(UTC):%F %H:%M} UTC" if begins is not None and at < begins else "any more"
        reason = f"the strategy is not enforced {when}: a mismatch is only reported"
        return judged.instead("unpinned", "not-enforced", reason)
    return judged


def _judge(path: Path, keys: Sequence[PinnedKey], strategy: Strategy, at: datetime | None) -> Acceptance:
    entries = {key: ConfiguredPin(str(key.pin), key.pin, of=key.of) for key in keys}
    hits = [
        (i, key)
        for i, level in enumerate(levels_of(path))
        for key, entry in entries.items()
        if key.level == level and fits(entry, path[i])
    ]
    matched = {key.level for _, key in hits}
    wanted, enough = {
        "strict": ("the leaf and a CA", "leaf" in matched and len(matched) > 1),
        "balanced": ("two levels", len(matched) > 1),
        "flexible": ("one level", bool(matched)),
    }[strategy.mode]
    said = ", ".join(level for level in ("leaf", "intermediate", "root") if level in matched) or "no level"
    if not enough:
        reasons = [
            f"{strategy.mode} wants {wanted} to match, and {said} does",
            *mismatch(path, tuple(entries.values())),
        ]
        ended = len(strategy.keys) - len(keys)
        if ended:
            reasons.append(f"{ended} of {len(strategy.keys)} pins don't count at this time")
        return Acceptance("no", "pin", tuple(reasons), path=path)
    i, key = hits[0]
    reasons = [f"{strategy.mode}: {said} matches"]
    reasons += [
        f"the pin {key.pin} ended at {key.until.astimezone(UTC):%F %H:%M} UTC and counts by grace only"
        for _, key in hits
        if at is not None and key.until is not None and key.until < at
    ]
    return Acceptance("yes", "pin", tuple(reasons), path[i], key.pin, path=path)
