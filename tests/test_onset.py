"""Onsets, their shapes and whose they are: from a real Prometheus, and from drawn counts where it takes many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_server import MINUTES, START

from irkit.archive import load_evidence, save_evidence
from irkit.changepoint import _best, _gains, dispersion, episode
from irkit.classify import classify
from irkit.errors import InputError
from irkit.facts import establish
from irkit.failures import Failures
from irkit.gather import begin, gather_failures
from irkit.incident import parse_incident
from irkit.metrics import load_failures, query_failures
from irkit.onset import Onset, onset, onsets

MINUTE = timedelta(minutes=1)
DAY = 1440
CLOCK = np.arange(DAY)
Floats = NDArray[np.float64]


def minute(at: datetime | None) -> float:
    assert at is not None
    return (at - START) / MINUTE


# --- from a real Prometheus: its bin m - 1 holds what the sample of minute m says -------------------------------------


def asked(history: str, domain: str) -> tuple[Onset, ...]:
    return onsets(query_failures(history, domain, start=START + 15 * MINUTE, end=START + (MINUTES - 1) * MINUTE))


def test_a_quiet_day_has_no_onset(history: str) -> None:
    assert asked(history, "quiet.example") == ()
    assert asked(history, "steady.example") == ()


def test_a_rotation_is_a_step_of_the_releases_that_lack_the_key(history: str) -> None:
    (found,) = asked(history, "step.example")
    assert (found.shape, found.cohort, found.end) == ("step", {"version": "5.3.0"}, None)
    assert abs(minute(found.at) - 199) <= 1
    assert found.earliest <= found.at <= found.latest
    assert found.share_of_excess > 0.98
    assert 0.001 < found.baseline < 0.005


def test_a_bad_release_is_a_ramp_that_begins_with_its_first_failure(history: str) -> None:
    (found,) = asked(history, "ramp.example")
    assert (found.shape, found.cohort) == ("ramp", {"version": "5.4.0"})
    assert abs(minute(found.at) - 180) <= 4
    assert found.failures == found.validations


def test_an_interception_in_one_region_is_a_blip_with_an_end(history: str) -> None:
    (found,) = asked(history, "blip.example")
    assert (found.shape, found.cohort) == ("blip", {"region": "ap-south"})
    assert abs(minute(found.at) - 299) <= 1
    assert abs(minute(found.end) - 344) <= 1


def test_what_comes_again_and_again_is_recurring(history: str) -> None:
    (found,) = asked(history, "recurring.example")
    assert (found.shape, found.cohort) == ("recurring", {"region": "eu"})
    assert abs(minute(found.at) - 79) <= 1


def test_what_comes_every_day_at_this_hour_is_recurring_and_a_step_beside_it_is_a_step(history: str) -> None:
    found = query_failures(history, "daily.example", start=START, end=START + (MINUTES - 1) * MINUTE)
    assert found.before is not None
    assert found.before.step == 15 * MINUTE
    assert any("of the 7 days before the window 3 were counted" in finding for finding in found.findings)
    step, daily = onsets(found)
    assert (step.shape, step.cohort) == ("step", {"region": "eu"})
    assert abs(minute(step.at) - 699) <= 1
    assert (daily.shape, daily.cohort) == ("recurring", {"region": "ap-south"})
    assert abs(minute(daily.at) - 299) <= 1
    alone = onsets(query_failures(history, "daily.example", start=START, end=found.end, days=0))
    assert [one.shape for one in alone] == ["step", "blip"]
    kept = load_failures(found.raw, "daily.example", source=history)
    assert kept == found
    assert onsets(kept) == (step, daily)


def test_the_days_before_go_with_the_evidence_into_the_verdict(history: str, tmp_path: Path) -> None:
    incident = parse_incident(
        f'[incident]\nhost = "daily.example"\nstart = {START.isoformat()}\n'
        f'end = {(START + (MINUTES - 1) * MINUTE).isoformat()}\n[metrics]\nurl = "{history}"\n',
        folder=tmp_path,
    )
    evidence = gather_failures(begin(incident))
    assert evidence.failures is not None
    assert evidence.failures.before is not None
    kept = load_evidence(save_evidence(evidence, tmp_path / "kept"))
    assert kept.failures == evidence.failures
    assert [one.shape for one in establish(kept).onsets] == ["step", "recurring"]
    said = [finding.says for finding in classify(kept).findings]
    assert any("as a recurring rise; the same hours of the days before let expect" in one for one in said)


def test_two_incidents_at_once_are_told_apart(history: str) -> None:
    first, second = asked(history, "two.example")
    assert (first.shape, first.cohort) == ("ramp", {"version": "5.4.0"})
    assert (second.shape, second.cohort) == ("blip", {"region": "ap-south"})
    assert first.excess > second.excess


def test_one_validation_in_two_minutes_is_enough(history: str) -> None:
    (found,) = asked(history, "low.example")
    assert found.cohort == {"region": "us"}
    assert abs(minute(found.at) - 199) <= 10
    assert found.earliest <= START + 199 * MINUTE <= found.latest


@pytest.mark.parametrize("domain", ["reset.example", "gap.example", "joined.example"])
def test_resets_gaps_and_new_targets_are_no_incident(history: str, domain: str) -> None:
    assert asked(history, domain) == ()


def test_a_late_born_series_is_an_onset_at_its_birth(history: str) -> None:
    (found,) = asked(history, "born.example")
    assert abs(minute(found.at) - 149) <= 1


# --- drawn counts -----------------------------------------------------------------------------------------------------

RELEASES = ("5.2.0", "5.3.0", "5.4.0")
PLATFORMS = ("android", "ios")
REGIONS = ("ap-east", "ap-south", "eu", "us")
Ratio = Callable[[str, str, str], Any]


def drawn(ratio: Ratio, share: Ratio | None = None, level: float = 2000, seed: int = 1) -> Failures:
    """A day of failures over diurnal traffic, whose phase differs by region."""
    rng = np.random.default_rng(seed)
    cohorts, failures, validations = [], [], []
    for release in RELEASES:
        for platform in PLATFORMS:
            for region in REGIONS:
                wave = 1 + 0.6 * np.sin(2 * np.pi * CLOCK / DAY + REGIONS.index(region))
                part = 1 / 24 if share is None else share(release, platform, region)
                n = rng.poisson(level * part * wave)
                k = rng.binomial(n, np.clip(0.003 + ratio(release, platform, region), 0, 1) * np.ones(DAY))
                cohorts.append({"version": release, "platform": platform, "region": region})
                failures.append(k.astype(float))
                validations.append(n.astype(float))
    times = np.datetime64("2026-11-20", "s") + CLOCK * np.timedelta64(60, "s")
    return Failures(
        "h", times, MINUTE, tuple(cohorts), np.array(failures), np.array(validations), {}, "", b"", (), ""
    )  # fmt: skip


def after(begin: int, height: float = 1.0, end: int = DAY) -> Floats:
    found: Floats = ((begin <= CLOCK) & (end > CLOCK)) * height
    return found


SCOPES: list[tuple[str, Ratio, dict[str, Any]]] = [
    ("everyone", lambda *_: after(787, 0.9), {}),
    ("old releases", lambda v, *_: after(787) * (v != "5.4.0"), {"version": ("5.2.0", "5.3.0")}),
    ("a platform", lambda _, p, __: after(787, 0.8) * (p == "ios"), {"platform": "ios"}),
    ("a region", lambda _, __, r: after(600, 0.1) * (r == "eu"), {"region": "eu"}),
    ("two regions", lambda _, __, r: after(600, 0.5) * (r[:2] == "ap"), {"region": ("ap-east", "ap-south")}),
    (
        "a release in a region",
        lambda v, _, r: after(700, 0.5) * (v == "5.3.0" and r == "ap-south"),
        {"version": "5.3.0", "region": "ap-south"},
    ),
]


@pytest.mark.parametrize(("ratio", "cohort"), [scope[1:] for scope in SCOPES], ids=[scope[0] for scope in SCOPES])
@pytest.mark.parametrize("level", [200, 100_000])
def test_the_smallest_explaining_set_is_found(ratio: Ratio, cohort: dict[str, Any], level: float) -> None:
    (found,) = onsets(drawn(ratio, level=level))
    assert found.cohort == cohort
    assert found.shape == "step"
    assert found.share_of_excess > 0.9


def test_a_release_is_not_blamed_for_the_region_that_uses_it() -> None:
    """Simpson's trap: nine in ten of 5.4.0's users are in the failing region, and it makes up most of the failures."""

    def share(release: str, _platform: str, region: str) -> float:
        if release == "5.4.0":
            return 0.25 * (0.9 if region == "ap-south" else 0.1 / 3)
        return 0.125 * (0.1 if region == "ap-south" else 0.9 / 3)

    failures = drawn(lambda _, __, r: after(700, 0.3) * (r == "ap-south"), share)
    worst = failures.by("version")
    assert worst.index[0] == "5.4.0"
    assert worst.ratio.iloc[0] > 4 * worst.ratio.iloc[1]
    (found,) = onsets(failures)
    assert found.cohort == {"region": "ap-south"}


def test_a_region_is_not_blamed_for_the_release_that_is_used_there() -> None:
    def share(release: str, _platform: str, region: str) -> float:
        return (0.2 if region == "us" else 0.02) if release == "5.4.0" else (0.01 if region == "us" else 0.07)

    (found,) = onsets(drawn(lambda v, *_: after(700, 0.3) * (v == "5.4.0"), share))
    assert found.cohort == {"version": "5.4.0"}


def test_a_release_that_always_fails_is_a_ramp_although_its_own_ratio_is_flat() -> None:
    grown = np.clip((CLOCK - 480) / 600, 0, 0.8)
    failures = drawn(lambda v, *_: float(v == "5.4.0"), lambda v, *_: (grown if v == "5.4.0" else (1 - grown) / 2) / 8)
    (found,) = onsets(failures)
    assert (found.shape, found.cohort) == ("ramp", {"version": "5.4.0"})
    assert abs(minute(found.at) - 480) <= 4
    assert found.earliest <= found.at


def test_what_always_failed_is_no_onset() -> None:
    assert onsets(drawn(lambda v, _, r: 0.3 * (v == "5.2.0" and r == "eu"))) == ()


def test_a_change_of_mix_is_no_onset() -> None:
    """Everyone's ratio doubles when the region with the higher baseline wakes; no region's own ratio moves."""
    mixed = drawn(lambda _, __, r: 0.08 * (r == "us"), lambda _, __, r: 0.01 + after(600, 0.035, 1000) * (r == "us"))
    assert onset(mixed.times, *mixed.totals()) is not None
    assert onsets(mixed) == ()


def test_overlapping_steps_of_different_cohorts_are_two() -> None:
    found = onsets(drawn(lambda _, p, r: np.maximum(after(300, 0.2) * (p == "ios"), after(900, 0.6) * (r == "us"))))
    assert [one.cohort for one in found] in (
        [{"region": "us"}, {"platform": "ios"}],
        [{"platform": "ios"}, {"region": "us"}],
        [{"platform": "ios"}, {"platform": "android", "region": "us"}],
    )
    assert sorted(minute(one.at) for one in found) == [300, 900]


def test_no_cohorts_and_no_counts_have_no_onset() -> None:
    quiet = drawn(lambda *_: 0)
    assert onsets(quiet.select(region="nowhere")) == ()
    silent = Failures(
        "h",
        quiet.times,
        MINUTE,
        quiet.cohorts,
        quiet.failures * np.nan,
        quiet.validations * np.nan,
        {},
        "",
        b"",
        (),
        "",
    )
    assert onsets(silent) == ()


# --- one series -------------------------------------------------------------------------------------------------------


def series(ratio: Any, level: float = 2000, base: float = 0.005, noise: float = 0, seed: int = 1) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    n = rng.poisson(level * (1 + 0.6 * np.sin(2 * np.pi * CLOCK / DAY)))
    p = np.clip(base + ratio * np.ones(DAY), 0, 1)
    if noise:
        p = np.clip(p * rng.gamma(1 / noise, noise, DAY), 0, 1)
    times = np.datetime64("2026-11-20", "s") + CLOCK * np.timedelta64(60, "s")
    return times, rng.binomial(n, p).astype(float), n.astype(float)


def rise(begin: int, length: int, height: float) -> Floats:
    found: Floats = np.clip((CLOCK + 0.5 - begin) / length, 0, 1) * height
    return found


SHAPES = [
    ("step", after(600, 0.3), 600, None),
    ("step", after(600, 0.3, 1100), 600, 1100),
    ("blip", after(600, 0.2, 640), 600, 640),
    ("ramp", rise(500, 200, 0.5), 500, None),
    ("recurring", 0.2 * (CLOCK % 120 >= 110), 110, 1440),
    ("drift", rise(40, 1300, 0.4), 40, None),
]


@pytest.mark.parametrize(("shape", "ratio", "begin", "end"), SHAPES)
@pytest.mark.parametrize("level", [200, 2000, 100_000])
@pytest.mark.parametrize("noise", [0, 0.05])
def test_shapes_are_named_and_dated(
    shape: str, ratio: Any, begin: int, end: int | None, level: float, noise: float
) -> None:
    found = onset(*series(ratio, level, noise=noise))
    assert found is not None
    assert found.shape == shape
    assert abs(minute(found.at) - begin) <= (20 if shape == "drift" else 15 if shape == "ramp" else 1)
    if end is None:
        assert found.end is None
    else:
        assert abs(minute(found.end) - end) <= 2


@pytest.mark.parametrize("level", [5, 200, 2000, 100_000])
@pytest.mark.parametrize("noise", [0, 0.05, 0.3])
def test_quiet_days_with_diurnal_traffic_and_noise_have_no_onset(level: float, noise: float) -> None:
    for seed in range(5):
        assert onset(*series(0, level, noise=noise, seed=seed)) is None


def test_a_diurnal_ratio_is_no_onset() -> None:
    assert onset(*series(0.005 * 0.4 * np.sin(2 * np.pi * CLOCK / DAY), 100_000)) is None


def test_an_onset_within_a_gap_has_an_interval_as_wide_as_the_gap() -> None:
    times, k, n = series(after(605, 0.3))
    k[600:610] = n[600:610] = np.nan
    found = onset(times, k, n)
    assert found is not None
    assert (minute(found.earliest), minute(found.at), minute(found.latest)) == (600, 610, 610)


def test_the_excess_is_what_is_beyond_the_baseline() -> None:
    times, k, n = series(after(600, 0.3))
    found = onset(times, k, n)
    assert found is not None
    assert (found.failures, found.validations) == (k[600:].sum(), n[600:].sum())
    assert abs(found.baseline - 0.005) < 0.0005
    assert found.excess == pytest.approx(k[600:].sum() - found.baseline * n[600:].sum())
    assert str(found).startswith("everyone: step from 2026-11-20 10:00 UTC")


def test_a_burst_that_a_lower_step_follows_is_dated_to_the_burst_although_nothing_failed_before() -> None:
    k, n = np.zeros(DAY), np.full(DAY, 20.0)
    k[134:], n[134:] = 2, 22
    k[134], n[134] = 148, 168
    found = onset(series(0)[0], k, n)
    assert found is not None
    assert (found.shape, minute(found.at)) == ("step", 134)


def test_aware_times_are_taken_too() -> None:
    times, k, n = series(after(600, 0.3))
    aware = [datetime(2026, 11, 20, tzinfo=UTC) + i * MINUTE for i in range(DAY)]
    assert onset(aware, k, n) == onset(times, k, n)


def test_hostile_cohort_values_stay_one_visible_line() -> None:
    found = Onset(
        START, START, START, None, "step", 1, 1, 1, 0, 1, 20, {"region": "\x1b[2J\n", "version": ("a", "\u202e")}
    )
    assert str(found).isprintable()


@pytest.mark.parametrize(
    ("times", "k", "n"),
    [
        (np.arange(3).astype("datetime64[m]"), [1, 2], [3, 4, 5]),
        (np.array([0, 1, 3]).astype("datetime64[m]"), [1, 2, 3], [3, 4, 5]),
        (np.array([2, 1, 0]).astype("datetime64[m]"), [1, 2, 3], [3, 4, 5]),
        (np.arange(3).astype("datetime64[m]"), [-1, 2, 3], [3, 4, 5]),
    ],
)
def test_counts_that_cannot_be_are_an_error(times: Any, k: Any, n: Any) -> None:
    with pytest.raises(InputError):
        onset(times, k, n)


COUNT = st.one_of(st.floats(0, 1e9), st.just(float("nan")), st.integers(0, 20).map(float))


@settings(max_examples=60)
@given(st.lists(st.tuples(COUNT, COUNT), max_size=80))
def test_any_counts_give_an_onset_within_the_window_or_none(pairs: list[tuple[float, float]]) -> None:
    k = np.array([min(a, b) if a == a and b == b else np.nan for a, b in pairs])  # noqa: PLR0124 - NaN is not itself
    n = np.array([b for _, b in pairs])
    times = np.arange(len(pairs)) * np.timedelta64(60, "s") + np.datetime64("2026-11-20", "s")
    found = onset(times, k, n)
    if found is not None:
        assert START <= found.earliest <= found.at <= found.latest < START + len(pairs) * MINUTE
        assert found.end is None or found.at < found.end <= START + len(pairs) * MINUTE
        assert np.isfinite([found.excess, found.baseline, found.score]).all()
        assert "\n" not in str(found)


def test_dispersion_is_one_for_poisson_and_more_for_noise_but_not_for_a_step() -> None:
    _, k, n = series(0)
    assert dispersion(k, n) < 1.5
    _, k, n = series(after(600, 0.5))
    assert dispersion(k, n) < 1.5
    _, k, n = series(0, 100_000, noise=0.05)
    assert dispersion(k, n) > 10


def exhaustive(cum_k: Floats, cum_n: Floats, firsts: Any, lasts: Any) -> tuple[int, int, float]:
    """The stretch with the largest gain, by looking at every one."""
    first, last = np.meshgrid(firsts, lasts, indexing="ij")
    gain = _gains(cum_k, cum_n, first, last)
    i, j = np.unravel_index(int(np.argmax(gain)), gain.shape)
    return int(firsts[i]), int(lasts[j]), float(gain[i, j])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 400), st.sampled_from([0.2, 5, 200, 1e5]), st.floats(0, 0.9))
def test_the_pruned_search_finds_the_stretch_that_the_exhaustive_one_finds(
    seed: int, size: int, level: float, height: float
) -> None:
    rng = np.random.default_rng(seed)
    n = rng.poisson(level * rng.gamma(2, 0.5, size)) * (rng.random(size) > rng.choice([0, 0.3])).astype(float)
    ratio = np.full(size, 0.01) * rng.gamma(5, 0.2, size)
    for _ in range(rng.integers(0, 4)):
        begin, end = sorted(rng.integers(0, size + 1, 2))
        ratio[begin:end] += height * rng.random()
    k = rng.binomial(n.astype(int), np.clip(ratio, 0, 1)) + rng.choice([0, 0.25])
    cum_k, cum_n = (np.concatenate([[0.0], np.cumsum(counts)]) for counts in (k, n))
    if not cum_n[-1] or not cum_k[-1]:
        return
    edges = np.arange(size + 1)
    for firsts, lasts in ((edges, edges), (edges[::3], edges[::3]), (edges[: size // 2 + 1], edges[-1:])):
        found, every = _best(cum_k, cum_n, firsts, lasts), exhaustive(cum_k, cum_n, firsts, lasts)
        assert found[2] == every[2]
        assert found[:2] == every[:2] or found[2] == -np.inf


def test_a_least_score_only_leaves_out_what_is_below_it() -> None:
    for height in (0.0, 0.005, 0.01, 0.3):
        _, k, n = series(after(600, height))
        whole, above = episode(k, n), episode(k, n, least=16.0)
        assert above == (whole if whole is not None and whole.score >= 16 else None)
