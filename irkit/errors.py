"""What can go wrong by a user's doing, each with what to do next.

    IrkitError                      exit code 3
    ├── InputError                  2   a call, an incident file or another input can't be used
    ├── CaptureError                3   an endpoint gave no chain
    ├── MetricsError                3   Prometheus or a metrics file gave no usable answer
    ├── MissingExtraError           2   an optional package is not installed
    ├── RunError                    3   the run did not complete
    └── DeadlineError               4   out of time

During a triage most of these are not raised: they become `irkit.evidence.Missing` values and the rest goes on.
"""

from __future__ import annotations

__all__ = [
    "CaptureError",
    "DeadlineError",
    "InputError",
    "IrkitError",
    "MetricsError",
    "MissingExtraError",
    "RunError",
]


class IrkitError(Exception):
    """A failure with a remedy.

    Attributes:
        message: What happened and where, in one line.
        hint: What to do next, in one line.
        exit_code: The exit code of the command line for this kind of failure.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} — {self.hint}" if self.hint else self.message


class InputError(IrkitError):
    """A call, an incident file or another input can't be used as it is."""

    exit_code = 2


class CaptureError(IrkitError):
    """An endpoint gave no chain."""


class MetricsError(IrkitError):
    """Prometheus, or a metrics file, gave no usable answer."""


class MissingExtraError(IrkitError):
    """An optional package that this call needs is not installed."""

    exit_code = 2


class RunError(IrkitError):
    """The run did not complete; what it had gathered is on disk."""


class DeadlineError(IrkitError):
    """Out of time; what was gathered until then is on disk."""

    exit_code = 4
