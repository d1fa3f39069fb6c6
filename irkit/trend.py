"""Failures over time as lines: what is told apart, what is summed up, which moments are marked, and that in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from irkit.evidence import Evidence
from irkit.render import moment, percent, text
from irkit.verdict import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from irkit.failures import Failures

__all__ = ["Line", "Mark", "Trend", "trend"]

ROLES = ("version", "platform", "region", "network")
LINES = 5  # lines of their own; the rest is summed up as "others"
POINTS = 400  # bins shown; more are summed up


@dataclass(frozen=True, slots=True)
class Line:
    """Failures and validations of some cohorts together, a number a bin; NaN where nothing was read."""

    name: str
    failures: NDArray[Any]
    validations: NDArray[Any]

    @property
    def ratio(self) -> NDArray[Any]:
        """The share that fails, a bin; NaN without validations."""
        import numpy as np

        ratio: NDArray[Any] = np.full(len(self.failures), np.nan)
        np.divide(self.failures, self.validations, out=ratio, where=self.validations > 0)
        return ratio

    @property
    def seen(self) -> bool:
        """Whether any bin has a ratio."""
        return bool((self.validations > 0).any())

    @property
    def excess(self) -> float:
        """Failures over what the line's own quiet bins let expect; a release is quiet while nobody has it."""
        import numpy as np

        if not self.seen:
            return 0.0
        quiet = np.nanquantile(np.where(self.validations == 0, 0.0, self.ratio), 0.2)
        return float(np.nansum(self.failures) - quiet * np.nansum(self.validations))

    def mean(self, chosen: NDArray[Any]) -> float | None:
        """The ratio of the chosen bins together; None where they have no validation."""
        import numpy as np

        whole = float(np.nansum(self.validations[chosen]))
        return float(np.nansum(self.failures[chosen])) / whole if whole else None


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment worth a line across the picture. `kind`: `onset`, `notBefore`, `release` or `change`."""

    at: datetime
    what: str
    kind: str


@dataclass(frozen=True, slots=True)
class Trend:
    """What a picture of failures over time shows.

    Attributes:
        by: The role that is told apart; empty for everyone together.
        starts: The bins' starts, datetime64, UTC.
        step: The length of a bin.
        lines: The most failures over their own baseline first.
        validations: Of everyone, a bin.
        marks: In order of time.
        onset: When the failures began; None if unknown.
        usual: Everyone's ratio at the same hours of the days before, a bin; None where these were not counted.
    """

    failures: Failures
    by: str
    starts: NDArray[Any]
    step: timedelta
    lines: tuple[Line, ...]
    validations: NDArray[Any]
    marks: tuple[Mark, ...]
    onset: datetime | None
    usual: NDArray[Any] | None = None

    @property
    def alt(self) -> str:
        """The picture in words and numbers."""
        import numpy as np

        failures = self.failures
        window = f"{moment(failures.start)} to {moment(failures.end)}"
        said = [f"Line chart: share of pin validations of {text(failures.host)} that fail, {self.what}, {window}."]
        before, after = np.zeros(len(self.starts), dtype=bool), np.ones(len(self.starts), dtype=bool)
        if self.onset is not None:
            onset = np.datetime64(self.onset.astimezone(UTC).replace(tzinfo=None), "s")
            before = np.asarray(
                self.starts + np.timedelta64(self.step) <= onset
            )  # the bin with the onset in it is neither
            after = np.asarray(self.starts >= onset)
        for line in self.lines:
            if self.onset is not None:
                shown = f"{_mean(line, before)} before the onset, {_mean(line, after)} after"
            else:
                shown = f"{_mean(line, after)} over the whole window"
            if line.seen:
                peak = int(np.nanargmax(line.ratio))
                shown += f", highest {percent(float(line.ratio[peak]))} at {str(self.starts[peak])[11:16]}"
            said.append(f"{text(line.name, 60)}: {shown}.")
        if self.usual is not None:
            least, most = (percent(float(edge)) for edge in (np.nanmin(self.usual), np.nanmax(self.usual)))
            said.append(f"Usual at these hours for all together, by the days before: {least} to {most}.")
        return " ".join(said + [f"Marked: {text(mark.what, 80)}, {moment(mark.at)}." for mark in self.marks])

    @property
    def what(self) -> str:
        """What is told apart, in words."""
        return f"by {self.by}" if self.by else "all together"


def _mean(line: Line, chosen: NDArray[Any]) -> str:
    found = line.mean(chosen)
    return "no validations" if found is None else percent(found)


def trend(
    source: Evidence | Failures, verdict: Verdict | None = None, by: str | tuple[str, ...] = "", limit: int = LINES
) -> Trend | None:
    """What to show of failures over time; None when there are none.

    Args:
        source: Evidence, or its failures.
        verdict: For the onset.
        by: The role whose values are told apart, or several; when left out the one that tells the failing best from the
            others.
        limit: Lines; what is past them is summed up.
    """
    evidence = source if isinstance(source, Evidence) else None
    failures = source.failures if isinstance(source, Evidence) else source
    if failures is None or not len(failures.times) or not failures.cohorts:
        return None
    from irkit.usual import Usual

    by = by or _telling(failures)
    roles = (by,) if isinstance(by, str) and by else tuple(by)
    width = -(-len(failures.times) // POINTS)
    usual = Usual.of(failures)
    return Trend(
        failures=failures,
        by=" and ".join(roles),
        starts=failures.times[::width],
        step=failures.step * width,
        lines=tuple(_lines(failures, roles, width, limit)),
        validations=_pack(failures.totals()[1], width),
        marks=_marks(evidence, verdict, failures),
        onset=verdict.onset if verdict is not None else None,
        usual=None if usual is None else usual.ratio()[::width],
    )


def _telling(failures: Failures) -> str:
    """The role that best tells the failing from the others: where most of the excess is in little of the traffic."""
    import numpy as np

    best, found = 0.0, ""
    for role in ROLES:
        lines = _lines(failures, (role,), 1, limit=1000) if role in failures.roles else []
        excess = sum(max(line.excess, 0.0) for line in lines)
        traffic = sum(float(np.nansum(line.validations)) for line in lines)
        if len(lines) < 2 or not traffic:
            continue
        apart = sum(
            abs(max(line.excess, 0.0) / (excess or 1.0) - float(np.nansum(line.validations)) / traffic)
            for line in lines
        )
        if not found or apart > best + 0.05:  # of equals, the first
            best, found = apart, role
    return found


def _pack(counts: NDArray[Any], width: int) -> NDArray[Any]:
    """Sums of `width` bins each; NaN only where nothing was read in any of them."""
    import numpy as np

    filled = np.append(counts, np.full(-len(counts) % width, np.nan)).reshape(-1, width)
    packed: NDArray[Any] = np.where(np.isnan(filled).all(axis=1), np.nan, np.nansum(filled, axis=1))
    return packed


def _lines(failures: Failures, roles: tuple[str, ...], width: int, limit: int) -> list[Line]:
    """One line a value, those with the most failures over their own baseline first; the rest together."""
    groups: dict[str, list[int]] = {}
    for i, cohort in enumerate(failures.cohorts):
        groups.setdefault(", ".join(cohort[role] or "(no value)" for role in roles) or "all", []).append(i)

    def line(name: str, members: Sequence[int]) -> Line:
        counts = (failures.failures[members], failures.validations[members])
        return Line(name, *(_pack(_together(count), width) for count in counts))

    lines = sorted((line(*group) for group in sorted(groups.items())), key=lambda item: -item.excess)
    if len(lines) <= limit:
        return lines
    rest = [i for item in lines[limit - 1 :] for i in groups[item.name]]
    return [*lines[: limit - 1], line(f"{len(lines) - limit + 1} others", rest)]


def _together(counts: NDArray[Any]) -> NDArray[Any]:
    """The sum of cohorts; NaN only where every one is."""
    import numpy as np

    summed: NDArray[Any] = np.where(np.isnan(counts).all(axis=0), np.nan, np.nansum(counts, axis=0))
    return summed


def _marks(evidence: Evidence | None, verdict: Verdict | None, failures: Failures) -> tuple[Mark, ...]:
    """Moments within the window, at most six, the nearest to the onset, in order of time."""
    found = list[Mark]()
    if verdict is not None and verdict.onset is not None:
        found.append(Mark(verdict.onset, "failures begin", "onset"))
    if evidence is not None:
        begun = dict.fromkeys(c.chain.leaf.not_before for c in evidence.captures if c.trusted and len(c.chain))
        found += [Mark(at, "served certificate's notBefore", "notBefore") for at in begun if at is not None]
        dated = [(release.released, release.name) for release in evidence.releases]
        found += [Mark(at, f"{name} released", "release") for at, name in dated if at is not None]
        found += [Mark(one.at, one.what, "change") for one in evidence.changes]
    inside = [mark for mark in found if failures.start <= mark.at <= failures.end]
    if verdict is not None and verdict.onset is not None:
        onset = verdict.onset
        inside.sort(key=lambda mark: (mark.kind != "onset", abs(mark.at - onset)))
    return tuple(sorted(inside[:6], key=lambda mark: mark.at))
