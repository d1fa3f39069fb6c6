"""Failures: how many pin validations failed, of how many, per cohort and bin. A value; `irkit.metrics` asks for it."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irkit import render
from irkit.errors import InputError
from irkit.render import text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ROLES", "SUCCESS", "Failures", "Labels", "wilson"]

ROLES = ("version", "platform", "region", "network")
SUCCESS = ("success", "unpinned")  # as irkit.pinned_session counts; every other result is a failure


@dataclass(frozen=True, slots=True)
class Labels:
    """What each role's label is called. A role whose default name no series has is left out."""

    domain: str = "domain"
    result: str = "result"
    version: str = "app_version"
    platform: str = "platform"
    region: str = "region"
    network: str = "network"

    def __post_init__(self) -> None:
        names = [getattr(self, field.name) for field in fields(self)]
        if not all(isinstance(name, str) and name for name in names):
            raise InputError("a label's name is empty or no text", 'name the label: Labels(version="app_version")')
        if len(set(names)) < len(names):
            raise InputError("two roles are mapped to one label", "give each role a label of its own")


def wilson(failures: Any, validations: Any) -> tuple[Any, Any]:
    """The Wilson score interval of a ratio at 95 % (E. B. Wilson 1927): honest for few validations and at 0 or 1.

    Args:
        failures: Counts, a number or an array.
        validations: Counts, as many.

    Returns:
        The lower and the upper bound; NaN where there was no validation.
    """
    z = 1.96  # 95 %
    n = np.where(np.asarray(validations, dtype=float) > 0, validations, np.nan)
    ratio = np.minimum(np.asarray(failures, dtype=float) / n, 1.0)
    middle = (ratio + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(ratio * (1 - ratio) / n + z * z / (4 * n * n))
    return np.clip(middle - half, 0.0, ratio), np.clip(middle + half, ratio, 1.0)  # rounding must not cross the ratio


@dataclass(frozen=True, slots=True, eq=False)
class Failures:
    """Failed and all pin validations of one host, by cohort and bin.

    Attributes:
        host: Whose pins were validated.
        times: The bins' starts, datetime64[s], UTC; evenly spaced.
        step: The length of a bin.
        cohorts: From role (version, platform, region, network, as far as there are labels) to value, a mapping each.
        failures, validations: Counts, cohort x bin; NaN where nothing was read. What a counter counted during a gap
            stands in the bin after it.
        reasons: From the result label's value to its count in the window.
        query: The PromQL, to show and to copy.
        raw: What to save; `load_failures` makes exactly this value of it again.
        findings: What the reader should know: warnings, partial answers, resets, gaps; sentences.
        source: Where it came from: a URL without credentials, or a file.
        labels: How the roles' labels are called.
        before: The same cohorts in whole days before the window, in longer bins; None where they were not counted.
    """

    host: str
    times: NDArray[np.datetime64]
    step: timedelta
    cohorts: tuple[Mapping[str, str], ...]
    failures: NDArray[np.float64]
    validations: NDArray[np.float64]
    reasons: Mapping[str, float]
    query: str
    raw: bytes
    findings: tuple[str, ...]
    source: str
    labels: Labels = Labels()
    before: Failures | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Failures):
            return NotImplemented
        arrays = ("times", "failures", "validations")
        return all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name), equal_nan=True)
            if f.name in arrays
            else getattr(self, f.name) == getattr(other, f.name)
            for f in fields(self)
        )

    def __hash__(self) -> int:
        return hash((self.host, self.query, self.raw, self.cohorts and len(self.cohorts)))

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that the cohorts tell apart."""
        return tuple(self.cohorts[0]) if self.cohorts else ()

    @property
    def start(self) -> datetime:
        """The first bin's start, aware UTC."""
        return datetime.fromtimestamp(int(self.times[0].astype(np.int64)), UTC)

    @property
    def end(self) -> datetime:
        """The last bin's end, aware UTC."""
        return self.start + len(self.times) * self.step

    def role(self, name: str) -> str:
        """A role by its own or its label's name."""
        for role in self.roles:
            if name in (role, getattr(self.labels, role)):
                return role
        known = ", ".join(f"{role} (label {getattr(self.labels, role)})" for role in self.roles) or "none"
        raise InputError(f"the failures are not counted by {text(name, 60)!r}", f"known: {text(known)}")

    def select(self, **roles: str | Collection[str]) -> Failures:
        """The cohorts with these values: `select(region="ap-south")`, `select(version=("5.3.0", "5.4.0"))`.

        A value that no cohort has selects nothing, which is counted as zero.

        Raises:
            InputError: The failures are not counted by such a role.
        """
        if not self.cohorts:
            return self
        wanted = {self.role(name): {value} if isinstance(value, str) else set(value) for name, value in roles.items()}
        keep = [i for i, cohort in enumerate(self.cohorts) if all(cohort[r] in v for r, v in wanted.items())]
        return replace(
            self,
            cohorts=tuple(self.cohorts[i] for i in keep),
            failures=self.failures[keep],
            validations=self.validations[keep],
            before=None if self.before is None else self.before.select(**roles),
        )

    def totals(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Failures and validations of all cohorts together, by bin; NaN where no cohort was read."""
        return _sum(self.failures), _sum(self.validations)

    def series(self, **roles: str | Collection[str]) -> pd.DataFrame:
        """The selected cohorts together over time: failures, validations, ratio; indexed by the bins' starts in UTC."""
        import pandas as pd

        failures, validations = self.select(**roles).totals()
        index = pd.DatetimeIndex(self.times, name="time").tz_localize("UTC")
        ratio = np.divide(failures, validations, out=np.full(len(failures), np.nan), where=validations > 0)
        return pd.DataFrame({"failures": failures, "validations": validations, "ratio": ratio}, index=index)

    def by(self, *roles: str) -> pd.DataFrame:
        """The whole window by the values of some roles, most failures first.

        Args:
            roles: Roles or names of their labels; none for one row of everyone.

        Returns:
            Indexed by the roles; columns failures, validations, ratio, and low and high, its 95 % Wilson interval.
        """
        import pandas as pd

        names = [self.role(name) for name in roles]
        sums: dict[tuple[str, ...], list[float]] = {} if names else {("all",): [0.0, 0.0]}
        for i, cohort in enumerate(self.cohorts):
            both = sums.setdefault(tuple(cohort[name] for name in names) or ("all",), [0.0, 0.0])
            both[0] += float(np.nansum(self.failures[i]))
            both[1] += float(np.nansum(self.validations[i]))
        rows = sorted(sums.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
        counts = np.array([both for _, both in rows], dtype=float).reshape(-1, 2)
        low, high = wilson(counts[:, 0], counts[:, 1])
        ratio = np.divide(counts[:, 0], counts[:, 1], out=np.full(len(counts), np.nan), where=counts[:, 1] > 0)
        index = (
            pd.MultiIndex.from_tuples([key for key, _ in rows], names=list(roles))
            if len(roles) > 1
            else pd.Index([key[0] for key, _ in rows], name=roles[0] if roles else None, dtype=object)
        )
        columns = {"failures": counts[:, 0], "validations": counts[:, 1], "ratio": ratio, "low": low, "high": high}
        return pd.DataFrame(columns, index=index)

    def share(self, **roles: str | Collection[str]) -> float:
        """The selected cohorts' share of all validations in the window; NaN if there were none."""
        everyone = float(np.nansum(self.validations))
        return float(np.nansum(self.select(**roles).validations)) / everyone if everyone else float("nan")

    def plot(self, **options: Any) -> Any:
        """The failure ratio over time, as `irkit.plots.failure_ratio` draws it."""
        return importlib.import_module("irkit.plots").failure_ratio(self, **options)

    def __str__(self) -> str:
        row = self.by().iloc[0]
        ratio = f"{row.ratio:.3%} ({row.low:.3%} to {row.high:.3%})" if row.validations else "no ratio"
        return (
            f"{text(self.host)}: {row.failures:,.0f} of {row.validations:,.0f} validations failed, {ratio}, "
            f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC, {len(self.cohorts)} cohorts"
        )

    def _repr_html_(self) -> str:
        parts = [render.paragraph(str(self))]
        role = next((r for r in self.roles if len({c[r] for c in self.cohorts}) > 1), None)
        if role:
            rows = [
                (value or "(no value)", f"{r.failures:,.0f}", f"{r.validations:,.0f}", f"{r.ratio:.3%}")
                for value, r in self.by(role).head(10).iterrows()
            ]
            parts.append(render.table((role, "failures", "validations", "ratio"), rows, self.query))
        if self.findings:
            parts.append(render.table(("what to know",), [(finding,) for finding in self.findings]))
        return str(render.fragment(*parts))


def _sum(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the cohorts; NaN only where every cohort is NaN."""
    unread = np.isnan(counts).all(axis=0) & (len(counts) > 0)
    return np.where(unread, np.nan, np.nansum(counts, axis=0))
