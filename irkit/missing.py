"""What could not be had, as a value: it goes into the evidence, lowers confidence and stands in the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from irkit.errors import IrkitError

__all__ = ["Missing"]


@dataclass(frozen=True, slots=True)
class Missing:
    """A source that gave nothing.

    Attributes:
        source: Which: `metrics`, `capture office`, `release shop-android 4.2.0`, …
        reason: Why, in one line.
        hint: What to do to have it, in one line.
    """

    source: str
    reason: str
    hint: str = ""

    @classmethod
    def of(cls, source: str, error: IrkitError) -> Self:
        """From the error that said so."""
        return cls(source, error.message, error.hint)
