"""Which share of the users each release will have: a trend fitted to what the metrics counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from irkit.cohorts import FAMILY
from irkit.pins import Release

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from irkit.failures import Failures

    Counts = NDArray[np.float64]

__all__ = ["Adoption", "adoption"]

# A trend needs days: within one, the hour of the day moves the shares more than updates do.
ENOUGH = timedelta(days=3)
_BUCKETS = 28


@dataclass(frozen=True, slots=True)
class Adoption:
    """The releases' shares of all validations over time.

    Attributes:
        origin: What the slopes count from, aware UTC.
        platforms: From the platform's family to its share of all validations, held constant.
        lines: From the release's name to its family, the logarithm of its odds at `origin`, and their rise per day.
        note: What the reader should know of the fit, a sentence.
    """

    origin: datetime
    platforms: Mapping[str, float]
    lines: Mapping[str, tuple[str, float, float]]
    note: str

    def shares(self, at: datetime) -> dict[str, float]:
        """Each release's share at a time, 0 to 1; together at most 1."""
        import numpy as np

        days = (at - self.origin) / timedelta(days=1)
        found: dict[str, float] = {}
        for family, part in self.platforms.items():
            names = [name for name, line in self.lines.items() if line[0] == family]
            odds = np.array([self.lines[name][1] + days * self.lines[name][2] for name in names])
            likely = np.exp(odds - odds.max()) if len(odds) else odds
            found |= dict(zip(names, part * likely / likely.sum(), strict=True)) if len(odds) else {}
        return {name: float(share) for name, share in found.items()}


def adoption(releases: Sequence[Release], failures: Failures | None, now: datetime) -> Adoption:
    """Fits the releases' shares.

    The logarithm of a release's odds against the most used one of its platform is taken to move in a straight line, as
    it does where users update at a constant rate (a multinomial logit). Weighted by counts, least squares.

    Args:
        releases: Names and platforms; `share` counts where the metrics don't know a release.
        failures: Validations by version over a window of days.
        now: What the lines count from, aware.
    """
    import numpy as np

    counts: dict[str, Counts] = {} if failures is None else _counts(releases, failures)
    days = np.zeros(1)
    trend = False
    if failures is not None and counts:
        trend = failures.end - failures.start >= ENOUGH
        edges = np.linspace(0, len(failures.times), (_BUCKETS if trend else 1) + 1).astype(int)
        counts = {name: np.add.reduceat(np.nan_to_num(row), edges[:-1]) for name, row in counts.items()}
        step = failures.step / timedelta(days=1)
        start = (failures.start - now) / timedelta(days=1)
        days = start + step * (edges[:-1] + edges[1:]) / 2
    whole = sum(float(row.sum()) for row in counts.values())
    for release in releases:  # what is not counted counts as it is said to
        if release.name not in counts and release.share:
            counts[release.name] = np.full(len(days), release.share * (whole or 1.0) / len(days))
    families: dict[str, list[str]] = {}
    for release in releases:
        if release.name in counts and release.name not in families.setdefault(_family(release), []):
            families[_family(release)].append(release.name)
    total = sum(float(row.sum()) for row in counts.values()) or 1.0
    lines = {}
    for family, names in families.items():
        most = max(names, key=lambda name: float(counts[name].sum()))
        for name in names:
            level, slope = _fit(days, counts[name], counts[most]) if name != most else (0.0, 0.0)
            lines[name] = (family, level, slope)
    note = (
        f"fitted to {(days[-1] - days[0]):.0f} days of counts"
        if trend
        else "the shares are held constant: a trend needs at least three days of counts, by version"
    )
    platforms = {family: sum(float(counts[name].sum()) for name in names) / total for family, names in families.items()}
    return Adoption(now.astimezone(UTC), platforms, lines, note)


def _fit(days: Counts, mine: Counts, most: Counts) -> tuple[float, float]:
    import numpy as np

    a, b = mine + 0.5, most + 0.5
    odds = np.log(a / b)
    if len(days) < 2:
        return float(odds[0]), 0.0
    weights = np.sqrt(a * b / (a + b))  # the inverse of the standard deviation of a logarithm of odds
    slope, level = np.polyfit(days, odds, 1, w=weights)
    return float(level), float(slope)


def _family(release: Release) -> str:
    return FAMILY.get(release.platform, release.platform)


def _counts(releases: Sequence[Release], failures: Failures) -> dict[str, Counts]:
    found = {}
    if "version" not in failures.roles:
        return {}
    for release in releases:
        part = failures.select(version=release.version)
        if "platform" in failures.roles and any(c["platform"] == _family(release) for c in part.cohorts):
            part = part.select(platform=_family(release))
        if part.cohorts:
            found[release.name] = part.totals()[1]
    return found
