"""The window's counts by cohort, summed once: what the verdict asks of the failures again and again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irkit.failures import Failures

__all__ = ["Tally"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Failed and all validations of each cohort in the whole window.

    Attributes:
        roles: The roles that the cohorts tell apart.
        cohorts: From role to value.
        failures, validations: As many counts.
    """

    roles: tuple[str, ...] = ()
    cohorts: tuple[Mapping[str, str], ...] = ()
    failures: tuple[float, ...] = ()
    validations: tuple[float, ...] = ()

    @classmethod
    def of(cls, failures: Failures) -> Tally:
        """Of some failures; what was not read counts as zero."""
        import numpy as np

        failed, validated = (np.nansum(c, axis=1).tolist() for c in (failures.failures, failures.validations))
        return cls(failures.roles, failures.cohorts, tuple(failed), tuple(validated))

    def total(self, **roles: str | Collection[str]) -> tuple[float, float]:
        """Failures and validations of the cohorts with these values; a role that is not told apart has all of them."""
        wanted = [(r, {v} if isinstance(v, str) else set(v)) for r, v in roles.items() if r in self.roles]
        failed = validated = 0.0
        for cohort, k, n in zip(self.cohorts, self.failures, self.validations, strict=True):
            if all(cohort[role] in values for role, values in wanted):
                failed, validated = failed + k, validated + n
        return failed, validated

    def by(self, *names: str, **roles: str | Collection[str]) -> dict[tuple[str, ...], tuple[float, float]]:
        """The same by the values of some roles; a blank for a role that is not told apart."""
        wanted = [(r, {v} if isinstance(v, str) else set(v)) for r, v in roles.items() if r in self.roles]
        sums: dict[tuple[str, ...], tuple[float, float]] = {}
        for cohort, k, n in zip(self.cohorts, self.failures, self.validations, strict=True):
            if all(cohort[role] in values for role, values in wanted):
                key = tuple(cohort.get(name, "") for name in names)
                before = sums.get(key, (0.0, 0.0))
                sums[key] = before[0] + k, before[1] + n
        return sums

    def without(self, taken: Sequence[Mapping[str, Collection[str]]]) -> Tally:
        """The counts but for cohorts that have one of the values for each role of any of those taken."""
        left = [
            row
            for row in zip(self.cohorts, self.failures, self.validations, strict=True)
            if not any(all(row[0].get(role, "") in values for role, values in one.items()) for one in taken)
        ]
        return Tally(self.roles, *zip(*left, strict=True)) if left else Tally(self.roles)
