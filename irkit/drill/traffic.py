"""The rehearsal's metrics: the counters that a gateway would have kept of pin validations, minute by minute.

    cert_pin_validation_total{domain, result, app_version, platform, region, job}

They are raw counters with the habits of real ones: they follow the hour of the day, restart once, and a series is born
with its first event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Minutes = NDArray[np.floating[Any]]

__all__ = ["JOB", "METRIC", "REGIONS", "STEP", "Group", "Series", "count", "matrix", "open_metrics"]

METRIC = "cert_pin_validation_total"
JOB = "mobile-gateway"
STEP = timedelta(minutes=1)
# Validations a minute on the day's average, and the hours that local time is ahead of UTC.
REGIONS = {"eu-west": (210.0, 1), "us-east": (260.0, -5), "ap-south": (130.0, 5.5)}
_TRICKLE = 0.0008  # of validations fail on any day: portals, proxies, broken clocks
_RESTART = 0.31  # the part of the window after which the gateway was restarted


@dataclass(frozen=True, slots=True)
class Group:
    """The users of one release.

    Attributes:
        share: Of all validations, 0 to 1, for each minute of the window.
        failing: The part of its validations that fails for the incident's cause, by region, for each minute.
    """

    platform: str
    version: str
    share: Callable[[Minutes], Minutes]
    failing: Callable[[str, Minutes], Minutes]


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels and its samples, (Unix seconds, counter value)."""

    labels: dict[str, str]
    samples: list[tuple[int, int]]


def count(
    groups: Sequence[Group], domain: str, *, start: datetime, end: datetime, seed: int, step: timedelta = STEP
) -> list[Series]:
    """Plays the window's traffic.

    Args:
        groups: Who validates pins, and for whom validation fails.
        domain: The host that they call.
        start: Begin of the window, aware, a whole minute; it gets the first sample.
        end: End of the window, aware; it gets the last one.
        seed: The same seed plays the same traffic.
        step: Between two samples, whole minutes.

    Returns:
        A series for each release, region and result.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    width = step / STEP
    minutes = np.arange((end - start) // step + 1, dtype=float) * width
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    hours = (start - midnight) / timedelta(hours=1) + minutes / 60
    stamps = [int((start + index * step).timestamp()) for index in range(len(minutes))]
    restart = int(len(minutes) * _RESTART)
    found = []
    for group in groups:
        for region, (rate, ahead) in REGIONS.items():
            # Quiet at five in the morning, busiest at five in the afternoon, local time.
            day = 1 - 0.55 * np.cos(2 * np.pi * (hours + ahead - 5) / 24)
            events = rng.poisson(rate * width * day * group.share(minutes))
            risk = np.clip(_TRICKLE + group.failing(region, minutes), 0, 1)
            failures = rng.binomial(events, risk)
            for result, increments in (("failure", failures), ("success", events - failures)):
                before = int(rng.integers(20, 60)) * (1 if result == "failure" else 1000) if increments[0] else 0
                labels = {
                    "app_version": group.version, "domain": domain, "job": JOB, "platform": group.platform,
                    "region": region, "result": result,
                }  # fmt: skip
                values = [*_counter(increments[:restart], before), *_counter(increments[restart:], 0)]
                samples = [(at, value) for at, value in zip(stamps, values, strict=True) if value]
                if samples:
                    found.append(Series(labels, samples))
    return found


def _counter(increments: Any, before: int) -> list[int]:
    """What the counter shows each minute; 0 until its first event, when a client library does not show it at all."""
    return [int(value) for value in before + increments.cumsum()]


def matrix(series: Sequence[Series]) -> str:
    """The series as Prometheus' /api/v1/query_range answers them."""
    result: list[dict[str, Any]] = [
        {"metric": {"__name__": METRIC, **one.labels}, "values": [[at, str(value)] for at, value in one.samples]}
        for one in series
    ]
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    return json.dumps(body, separators=(",", ":"))


def open_metrics(series: Sequence[Series]) -> Iterator[str]:
    """The series in the OpenMetrics text format, with times, line by line, as promtool backfills them."""
    yield f"# TYPE {METRIC.removesuffix('_total')} counter\n"
    for one in series:
        labels = ",".join(f'{name}="{value}"' for name, value in one.labels.items())  # ours: nothing to escape
        yield from (f"{METRIC}{{{labels}}} {value} {at}\n" for at, value in one.samples)
    yield "# EOF\n"
