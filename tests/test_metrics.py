"""Failures from a real Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from prometheus_server import AWKWARD, METRIC, MINUTES, START, FaultServer, Reply
from series import MINUTE

from irkit.errors import InputError, MetricsError
from irkit.failures import Failures, Labels
from irkit.metrics import load_failures, query_failures

Fault = Callable[[Reply], FaultServer]
END = START + (MINUTES - 1) * MINUTE
BINS = MINUTES - 16
WINDOW: dict[str, Any] = {"start": START + 15 * MINUTE, "end": END}


def at(failures: Failures, minute: int) -> int:
    """The bin that ends with the sample of this minute."""
    return int((START + (minute - 1) * MINUTE - failures.start) / failures.step)


# --- a real Prometheus ------------------------------------------------------------------------------------------------


def test_counts_are_the_counters_increases(history: str) -> None:
    found = query_failures(history, "steady.example", **WINDOW)
    assert found.cohorts == ({"version": "5.3.0", "region": "eu"},)
    assert (found.failures == 2).all()  # one a minute at each of two targets
    assert (found.validations == 22).all()
    assert found.reasons == {"failure": 2.0 * BINS, "success": 20.0 * BINS}
    assert (found.start, found.end, found.step) == (WINDOW["start"], END, MINUTE)
    assert found.times.dtype == np.dtype("datetime64[s]")


def test_a_restart_loses_and_invents_nothing(history: str) -> None:
    found = query_failures(history, "reset.example", **WINDOW)
    assert (found.failures == 2).all()
    assert (found.validations == 22).all()
    assert any("10.0.0.1:9100 began anew at 2026-11-20 03:19" in finding for finding in found.findings)


def test_a_scrape_gap_is_a_gap_and_its_counts_stand_after_it(history: str) -> None:
    found = query_failures(history, "gap.example", **WINDOW)
    gap = slice(at(found, 300), at(found, 307))
    assert np.isnan(found.failures[0, gap]).all()
    assert np.isnan(found.series().ratio.iloc[gap]).all()
    assert found.failures[0, at(found, 307)] == 2 * 8
    assert np.nansum(found.failures) == 2 * len(found.times)
    assert any("no samples at all from 2026-11-20 04:59 UTC to 2026-11-20 05:06 UTC" in f for f in found.findings)


def test_a_series_born_at_74_is_74_failures(history: str) -> None:
    found = query_failures(history, "born.example", **WINDOW)
    assert found.failures[0, at(found, 149)] == 0
    assert found.failures[0, at(found, 150)] == 2 * 74
    assert found.failures[0, at(found, 151)] == 2


def test_a_target_that_counted_long_before_it_was_read_brings_no_burst(history: str) -> None:
    found = query_failures(history, "joined.example", **WINDOW)
    assert found.failures.max() == 2
    assert any("what it counted before is left out" in finding for finding in found.findings)


@pytest.mark.parametrize("value", AWKWARD)
def test_awkward_label_values_are_looked_for_and_never_run(history: str, value: str) -> None:
    found = query_failures(history, value, start=START, end=START + 29 * MINUTE, matchers={"app_version": [value]})
    assert {cohort["version"] for cohort in found.cohorts} == {value}
    assert np.nansum(found.failures) == 29 * (AWKWARD.index(value) + 1)


def test_a_shown_query_gives_the_same_answer_when_it_is_pasted(history: str) -> None:
    found = query_failures(history, AWKWARD[0], start=START, end=START + 29 * MINUTE)
    assert found.query == 'last_over_time(cert_pin_validation_total{domain="quo\\"te"}[59999ms])'
    client = metrics_client(history)
    assert len(client.range(found.query, int(START.timestamp()), int(START.timestamp()) + 600, 60)) == 2


def metrics_client(url: str) -> Any:
    from irkit.metrics import _Client

    return _Client(url, 10.0, 10**7, {})


def test_more_steps_than_prometheus_allows_are_asked_for_in_parts(history: str) -> None:
    found = query_failures(history, "steady.example", **WINDOW, step=timedelta(seconds=1))
    assert len(found.times) == BINS * 60
    assert np.nansum(found.failures) == 2 * BINS
    assert len(json.loads(found.raw)) == 1 + -(-60 * BINS // 11_000)  # and the days before


def test_what_was_queried_replays_exactly(history: str) -> None:
    for domain, step in (("gap.example", 60), ("born.example", 300), ("reset.example", 1)):
        found = query_failures(history, domain, **WINDOW, step=timedelta(seconds=step), success=("success", "ok"))
        assert load_failures(found.raw, domain, **WINDOW, source=history) == found
        assert load_failures(found.raw, domain, source=history) == found


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "Pacific/Chatham", "Europe/Berlin"])
def test_a_window_in_any_time_zone_asks_prometheus_for_the_same_moments(history: str, zone: str) -> None:
    local = {name: moment.astimezone(ZoneInfo(zone)) for name, moment in WINDOW.items()}
    found, there = query_failures(history, "step.example", **WINDOW), query_failures(history, "step.example", **local)
    assert there == found
    assert there.start == WINDOW["start"]
    assert there.start.tzinfo is UTC


def test_several_minutes_a_bin_hold_the_same_counts(history: str) -> None:
    found = query_failures(history, "steady.example", **WINDOW, step=timedelta(minutes=5))
    assert (found.failures == 10).all()


@pytest.mark.parametrize(
    ("host", "options", "says", "hint"),
    [
        ("step.example", {"metric": "cert_pin_validations"}, "no metric 'cert_pin_validations'", METRIC),
        ("step.exampel", {}, "no domain 'step.exampel'", "step.example"),
        ("step.example", {"labels": Labels(domain="host")}, "no label 'host'", "domain"),
        ("step.example", {"labels": Labels(result="outcome")}, "no series has a label 'outcome'", "result"),
        ("step.example", {"labels": Labels(region="zone")}, "no series has the label 'zone'", "region"),
        ("step.example", {"matchers": {"job": "other"}}, "no samples for", "not no failures"),
        ("step.example", {"start": START - timedelta(days=9), "end": START - timedelta(days=8)}, "no metric", "none"),
    ],
)
def test_what_is_not_there_is_named(history: str, host: str, options: Any, says: str, hint: str) -> None:
    with pytest.raises(MetricsError) as caught:
        query_failures(history, host, **(WINDOW | options))
    assert says in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_wrong_query_says_what_prometheus_says(history: str) -> None:
    with pytest.raises(MetricsError, match=r"HTTP 400: .*parse error"):
        metrics_client(history).range("up{", 0, 60, 60)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("prometheus:9090", {}),
        ("ftp://prometheus", {}),
        ("http://user:secret@localhost:9090", {}),
        ("http://localhost:9090/?x=1", {}),
        ("http://localhost:9090", {"start": datetime(2026, 11, 20)}),  # noqa: DTZ001 - naive on purpose
        ("http://localhost:9090", {"start": END, "end": START}),
        ("http://localhost:9090", {"since": MINUTE}),
        ("http://localhost:9090", {"step": timedelta(seconds=0.5)}),
        ("http://localhost:9090", {"step": timedelta(days=30)}),
        ("http://localhost:9090", {"matchers": {"job": 1}}),
    ],
)
def test_a_call_that_cannot_be_right_asks_nothing(source: str, options: Any) -> None:
    with pytest.raises(InputError) as caught:
        query_failures(source, "h", **(WINDOW | options))
    assert "secret" not in str(caught.value)
    assert caught.value.hint


def test_of_many_series_fewer_days_or_none_are_counted(history: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from irkit import metrics

    monkeypatch.setattr(metrics, "MOST_READ", 2 * 1440 * 12)
    found = query_failures(history, "daily.example", **WINDOW)
    assert found.before is not None
    assert len(found.before.times) == 2 * 96
    monkeypatch.setattr(metrics, "MOST_READ", 1440)
    found = query_failures(history, "daily.example", **WINDOW)
    assert found.before is None
    assert any("too many series to count the days before" in finding for finding in found.findings)


def test_the_days_before_count_what_the_window_would_have_counted(history: str) -> None:
    found = query_failures(history, "daily.example", **WINDOW)
    earlier = query_failures(
        history, "daily.example", start=START - timedelta(days=1), end=START, step=timedelta(minutes=15), days=0
    )
    assert found.before is not None
    last = np.nan_to_num(found.before.validations[:, -97:-1])  # the window begins a quarter of an hour after midnight
    assert np.array_equal(last, np.nan_to_num(earlier.validations))
    assert np.array_equal(np.nan_to_num(found.before.failures[:, -97:-1]), np.nan_to_num(earlier.failures))


@pytest.mark.parametrize("domain", ["steady.example", "reset.example", "gap.example", "born.example", "step.example"])
def test_sums_by_prometheus_count_what_raw_counters_count(
    history: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irkit import metrics

    raw = query_failures(history, domain, **WINDOW)
    monkeypatch.setattr(metrics, "MOST_RAW", 1)
    monkeypatch.setattr(metrics, "MOST_SUMMED", 400)
    found = query_failures(history, domain, **WINDOW)
    assert found.query.startswith("sum by (domain, result, app_version, platform, region, network)")
    assert len(json.loads(found.raw)) > 3
    assert found.cohorts == raw.cohorts
    assert np.array_equal(found.failures, raw.failures, equal_nan=True)
    assert np.array_equal(found.validations, raw.validations, equal_nan=True)
    assert any("Prometheus summed" in finding for finding in found.findings)
    assert load_failures(found.raw, domain, **WINDOW).failures.sum() == found.failures.sum() or domain == "gap.example"


def test_a_summed_target_that_counted_long_before_brings_no_burst(
    history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irkit import metrics

    monkeypatch.setattr(metrics, "MOST_RAW", 1)
    assert query_failures(history, "joined.example", **WINDOW).failures.max() == 2
