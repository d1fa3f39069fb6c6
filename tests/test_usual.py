"""Onsets against the same hours of the days before: what is usual at an hour is no news, and hides none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from irkit.failures import Failures
from irkit.onset import Onset, onsets
from irkit.trend import trend
from irkit.usual import Usual

DAY, QUARTER = 1440, 15
REGIONS = ("ap", "eu", "us")
Floats = NDArray[np.float64]
Ratio = Callable[[str, Any], Any]  # of a region, at minutes of a day
CLOCK = np.arange(DAY)


def day(rng: np.random.Generator, ratio: Ratio, level: float, noise: float = 0.0) -> tuple[Floats, Floats]:
    """Failures and validations, cohort x minute, over diurnal traffic."""
    counts = []
    for release in range(2):
        for i, region in enumerate(REGIONS):
            n = rng.poisson(level / 6 * (1 + 0.5 * np.sin(2 * np.pi * CLOCK / DAY + i)))
            high = np.clip(0.004 + ratio(region, CLOCK), 0, 1) * np.ones(DAY)
            high = np.clip(high * rng.gamma(1 / noise, noise, DAY), 0, 1) if noise else high
            counts.append((rng.binomial(n, high), n, release))
    return np.array([one[0] for one in counts], dtype=float), np.array([one[1] for one in counts], dtype=float)


def drawn(
    today: Ratio, usual: Ratio, *, days: int = 7, level: float = 2000, seed: int = 1, noise: float = 0.0
) -> Failures:
    """A day, and the days before it as Prometheus would have counted them: in quarters of an hour."""
    rng = np.random.default_rng(seed)
    cohorts = tuple({"version": release, "region": region} for release in ("5.3.0", "5.4.0") for region in REGIONS)
    begun = np.datetime64("2026-11-20", "s")

    def value(counts: tuple[Floats, Floats], first: int, step: int) -> Failures:
        k, n = (one.reshape(len(cohorts), -1, step).sum(axis=2) for one in counts)
        times = begun + (first + step * np.arange(k.shape[1])) * np.timedelta64(60, "s")
        return Failures("h", times, timedelta(minutes=step), cohorts, k, n, {}, "", b"", (), "")

    now = value(day(rng, today, level, noise), 0, 1)
    if not days:
        return now
    past = [day(rng, usual, level * rng.uniform(0.8, 1.2), noise) for _ in range(days)]
    joined = (np.concatenate([one[0] for one in past], axis=1), np.concatenate([one[1] for one in past], axis=1))
    return replace(now, before=value(joined, -days * DAY, QUARTER))


def quiet(_region: str, minutes: Any) -> Any:
    return 0.0 * minutes


def spike(begin: int, length: int, height: float, where: str = "ap") -> Ratio:
    return lambda region, minutes: ((minutes >= begin) & (minutes < begin + length)) * height * (region == where)


def both(*ratios: Ratio) -> Ratio:
    return lambda region, minutes: np.maximum.reduce([ratio(region, minutes) for ratio in ratios])


def minute(one: Onset) -> int:
    return one.at.hour * 60 + one.at.minute


@pytest.mark.parametrize("level", [200, 2000, 100_000])
@pytest.mark.parametrize("late", [0, 10])
def test_a_spike_of_every_day_at_this_hour_is_recurring(level: float, late: int) -> None:
    """As the nightly proxy of one region; not always on the minute."""
    usual = spike(600, 60, 0.3)
    (alone,) = onsets(drawn(spike(600 + late, 60, 0.3), usual, days=0, level=level))
    found = onsets(drawn(spike(600 + late, 60, 0.3), usual, level=level))
    assert alone.shape == "blip"
    assert {one.shape for one in found} == {"recurring"}
    assert found[0].cohort == {"region": "ap"}
    assert minute(alone) == 600 + late
    assert abs(minute(found[0]) - 600 - late) <= 1
    assert found[0].usual is not None
    assert found[0].usual > 0.3 * found[0].failures


@pytest.mark.parametrize("level", [200, 2000, 100_000])
def test_a_spike_that_no_day_before_had_is_none_of_the_usual(level: float) -> None:
    (found,) = onsets(drawn(spike(600, 60, 0.3), quiet, level=level))
    assert (found.shape, found.cohort, minute(found)) == ("blip", {"region": "ap"}, 600)
    assert found.usual is not None
    assert found.usual < 0.1 * found.failures


def test_a_step_at_the_hour_of_a_usual_spike_is_a_step_where_it_goes_on_or_is_higher() -> None:
    usual = spike(600, 60, 0.1)
    found = onsets(drawn(spike(600, 840, 0.8), usual))
    assert [(one.shape, one.cohort) for one in found] == [("step", {"region": "ap"})]
    assert abs(minute(found[0]) - 600) <= 15


@pytest.mark.parametrize("begin", [300, 700, 1000, 1200])
@pytest.mark.parametrize("level", [2000, 100_000])
def test_a_step_is_dated_although_the_ratio_triples_every_day(begin: int, level: float) -> None:
    def wave(_region: str, minutes: Any) -> Any:
        return 0.004 * (1 - np.cos(2 * np.pi * (minutes - 240) / DAY)) * 2

    found = onsets(drawn(both(wave, spike(begin, DAY, 0.2, "eu")), wave, level=level))
    steps = [one for one in found if one.shape == "step"]
    assert [one.cohort for one in steps] == [{"region": "eu"}]
    assert abs(minute(steps[0]) - begin) <= 2
    assert all(one.shape == "recurring" for one in found if one not in steps)


def test_a_usual_spike_that_stays_away_makes_no_onset_of_the_hours_beside_it() -> None:
    assert onsets(drawn(quiet, spike(600, 120, 0.6))) == ()
    assert onsets(drawn(quiet, spike(0, 700, 0.6))) == ()


def test_a_usual_spike_hides_no_incident_of_another_cohort_at_the_same_hour() -> None:
    usual = spike(600, 60, 0.3)
    found = onsets(drawn(both(usual, spike(610, 60, 0.4, "us")), usual))
    assert {(one.shape, one.cohort["region"]) for one in found} == {("recurring", "ap"), ("blip", "us")}


def test_yesterdays_incident_is_no_habit() -> None:
    """The lower median of the days: one day of seven, and one day of two, make nothing usual."""
    failures = drawn(spike(600, 60, 0.3), quiet)
    assert failures.before is not None
    ill = drawn(quiet, spike(600, 60, 0.3)).before
    assert ill is not None
    for days in (2, 7):
        k, n = (getattr(failures.before, name)[:, -96 * days :].copy() for name in ("failures", "validations"))
        k[:, -96:] = ill.failures[:, -96:]
        n[:, -96:] = ill.validations[:, -96:]
        before = replace(failures.before, times=failures.before.times[-96 * days :], failures=k, validations=n)
        (found,) = onsets(replace(failures, before=before))
        assert (found.shape, minute(found)) == ("blip", 600)


def test_one_day_is_no_habit_and_no_days_are_as_if_they_had_not_been_asked_for() -> None:
    usual = spike(600, 60, 0.3)
    alone = onsets(drawn(usual, usual, days=0))
    one = drawn(usual, usual, days=1)
    assert Usual.of(one) is None
    assert [found.shape for found in onsets(one)] == [found.shape for found in alone] == ["blip"]
    unread = drawn(usual, usual)
    assert unread.before is not None
    before = replace(
        unread.before, failures=unread.before.failures * np.nan, validations=unread.before.failures * np.nan
    )
    assert [found.shape for found in onsets(replace(unread, before=before))] == ["blip"]


@pytest.mark.parametrize("level", [20, 200, 2000, 100_000])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_quiet_days_stay_quiet_with_days_before(level: float, noise: float) -> None:
    for seed in range(6):
        assert onsets(drawn(quiet, quiet, level=level, seed=seed, noise=noise)) == ()


def test_a_release_that_no_day_before_had_is_found_as_without_them() -> None:
    failures = drawn(quiet, quiet)
    grown = np.clip((CLOCK - 480) / 600, 0, 0.8)
    rng = np.random.default_rng(3)
    n = np.array([rng.poisson(300 * (grown if i > 2 else 1 - grown)) for i in range(6)], dtype=float)
    k = np.array([n[i] if i > 2 else rng.binomial(n[i].astype(int), 0.004) for i in range(6)], dtype=float)
    assert failures.before is not None
    past = failures.before
    gone = np.array([[i < 3] for i in range(6)])
    before = replace(past, failures=past.failures * gone, validations=past.validations * gone)
    (found,) = onsets(replace(failures, failures=k, validations=n, before=before))
    assert (found.shape, found.cohort) == ("ramp", {"version": "5.4.0"})
    assert abs(minute(found) - 480) <= 4


def test_a_selection_keeps_the_days_before_of_its_cohorts() -> None:
    found = drawn(quiet, quiet).select(region="ap")
    assert found.before is not None
    assert found.before.cohorts == found.cohorts
    assert len(found.before.failures) == 2


def test_the_picture_over_time_shows_what_is_usual_and_says_so() -> None:
    usual = spike(600, 60, 0.3)
    shown = trend(drawn(both(usual, spike(900, DAY, 0.4, "eu")), usual))
    assert shown is not None
    assert shown.usual is not None
    assert len(shown.usual) == len(shown.starts)
    high = (shown.starts >= np.datetime64("2026-11-20T10:00")) & (shown.starts < np.datetime64("2026-11-20T11:00"))
    assert shown.usual[high].min() > 0.05 > 10 * shown.usual[~high].max()
    assert "Usual at these hours for all together, by the days before: 0." in shown.alt
    alone = trend(drawn(usual, usual, days=0))
    assert alone is not None
    assert alone.usual is None
    assert "Usual" not in alone.alt


@pytest.mark.parametrize("seed", range(24))
def test_days_before_name_and_date_what_rises_and_hide_none_of_it(seed: int) -> None:
    """Whatever the days before were like, each rise that is found without them is found with them, at its place."""
    rng = np.random.default_rng(seed)
    lengths, heights = (20, 60, 300, DAY), (0.02, 0.1, 0.3, 0.9)
    pool = [
        spike(int(rng.integers(60, 1300)), int(rng.choice(lengths)), rng.choice(heights), str(rng.choice(REGIONS)))
        for _ in range(3)
    ]
    today, usual = both(quiet, *pool[: rng.integers(1, 3)]), both(quiet, *pool[rng.integers(0, 4) :])
    level, days = float(rng.choice((200, 2000, 100_000))), int(rng.choice((2, 3, 7)))
    failures = drawn(today, usual, days=days, level=level, seed=seed, noise=float(rng.choice((0.0, 0.05))))
    alone, found = onsets(replace(failures, before=None)), onsets(failures)
    assert alone
    for one in alone:
        assert any(meets(one, other, failures.end) for other in found), one


def meets(one: Onset, other: Onset, end: datetime) -> bool:
    """Whether two onsets have a moment and a region in common."""
    regions = [
        {value} if isinstance(value := found.cohort.get("region", REGIONS), str) else set(value)
        for found in (one, other)
    ]
    return one.at <= (other.end or end) and other.at <= (one.end or end) and bool(regions[0] & regions[1])
