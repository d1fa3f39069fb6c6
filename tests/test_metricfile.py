"""Failures from files: the arithmetic of counters, and every form that is read."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_server import START
from series import GOOD, MINUTE, SHORT, body, counter

from irkit.errors import InputError, IrkitError, MetricsError
from irkit.failures import Failures, Labels, wilson
from irkit.metrics import load_failures

# --- arithmetic and files ---------------------------------------------------------------------------------------------


def load(*series: Any, **options: Any) -> Failures:
    return load_failures(body(series), "h", **(SHORT | options))


def test_a_saved_body_holds_its_own_window() -> None:
    found = load_failures(GOOD, "h")
    assert found.validations.sum() == 99
    assert found.end == START + 99 * MINUTE
    assert found.source == "the saved answer"


def test_a_path_is_read_and_named(tmp_path: Path) -> None:
    (tmp_path / "saved.json").write_bytes(GOOD)
    assert load_failures(tmp_path / "saved.json", "h").source == str(tmp_path / "saved.json")
    with pytest.raises(MetricsError, match="can't be read"):
        load_failures(tmp_path / "other.json", "h")


def test_indented_json_reads_the_same() -> None:
    indented = json.dumps(json.loads(GOOD), indent=2).encode()
    assert load_failures(indented, "h").reasons == load_failures(GOOD, "h").reasons


def test_not_a_number_and_infinity_are_no_samples_and_are_said() -> None:
    found = load(counter("success", [10, "NaN", 30, "+Inf", 50, *range(51, 100)]), counter("failure", [0] * 100))
    assert found.reasons["success"] == 89
    assert "2 samples are not finite (NaN or Inf); they count as not read" in found.findings


def test_a_gauge_counts_its_values_and_a_rate_its_seconds() -> None:
    values = [3, 0, 7] * 33
    assert load(counter("failure", values), kind="gauge").reasons["failure"] == sum(values[1:])
    assert load(counter("failure", values), kind="rate").reasons["failure"] == 60 * sum(values[1:])
    with pytest.raises(MetricsError, match="no counter"):
        load(counter("failure", values))
    with pytest.raises(MetricsError, match="below zero"):
        load(counter("failure", [-1] * 100), kind="gauge")


def test_a_restart_is_seen_although_a_rare_counter_has_overtaken_its_old_value() -> None:
    busy, rare = list(range(0, 5000, 50)), [2] * 100
    busy[50:] = range(7, 57)
    rare[49:] = [None] * 2 + [3] * 49  # type: ignore[list-item]  # gone with the restart, back with three failures
    found = load(counter("success", busy), counter("failure", rare))
    assert found.reasons["failure"] == 3


def test_results_that_count_as_success_are_chosen_and_doubts_are_said() -> None:
    found = load(counter("ok", range(100)), counter("pin_mismatch", range(100)))
    assert found.series().ratio.iloc[1] == 1
    assert any("'ok' counts as a failure" in finding for finding in found.findings)
    assert load(counter("ok", range(100)), counter("no", range(100)), success={"ok"}).by().ratio.iloc[0] == 0.5


def test_cohorts_are_selected_by_role_or_label_and_shared() -> None:
    found = load(
        counter("failure", range(100), app_version="1", region="eu"),
        counter("success", [3 * i for i in range(100)], app_version="2", region="us"),
    )
    assert found.roles == ("version", "region")
    assert found.share(version="2") == 0.75
    assert found.select(app_version=("1", "2")) == found
    assert found.select(region="nowhere").by().validations.iloc[0] == 0
    by = found.by("app_version")
    assert by.index.name == "app_version"
    assert by.loc["1", "failures"] == 99
    assert by.loc["2", "low"] == 0
    assert list(found.by("version", "region").index) == [("1", "eu"), ("2", "us")]
    assert str(found.series().index.tz) == "UTC"
    with pytest.raises(InputError, match="not counted by 'network'"):
        found.by("network")


def test_hostile_labels_are_escaped_in_a_notebook() -> None:
    found = load(
        counter("failure", range(100), app_version="<script>alert(1)</script>"),
        counter("x", [1] * 100, app_version="2"),
    )
    assert "<script>" not in found._repr_html_()
    assert "99 of 99" in str(found)


def test_two_roles_on_one_label_are_an_error() -> None:
    with pytest.raises(InputError):
        Labels(region="app_version")
    with pytest.raises(InputError):
        Labels(region="")


CSV = """"Time","{app_version=""5.4.0"", result=""failure""}","{app_version=""5.4.0"", result=""success""}"
2026-11-20 00:00:00,0,0
2026-11-20 00:01:00,5,10
2026-11-20 00:02:00,,20
2026-11-20 00:03:00,9,30
"""
LONG = """Time,result,app_version,Value
1763596800000,failure,a,1
1763596860000,failure,a,4
1763596860000,success,a,6
1763596920000,success,a,6
"""


@pytest.mark.parametrize(
    "data", [CSV.encode(), ("sep=,\n" + CSV).encode("utf-8-sig"), ("sep=,\n" + CSV).encode("utf-16")]
)
def test_a_grafana_csv_of_joined_series_is_read(data: bytes) -> None:
    found = load_failures(data, "h")
    assert found.reasons == {"failure": 9, "success": 30}
    assert found.cohorts == ({"version": "5.4.0"},)
    assert "the CSV's times have no zone; they are read as UTC" in found.findings
    assert any("no domain" in finding for finding in found.findings)


def test_a_grafana_table_is_read() -> None:
    found = load_failures(LONG.encode(), "h", kind="gauge")
    assert found.reasons == {"failure": 5, "success": 12}
    assert found.start == datetime(2025, 11, 19, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is neither"),
        (b"a,b\n1,2\n", "first column is not Time"),
        (b"\xff\xfe\x00", "neither JSON nor CSV"),
        (b'Time,"{result=""x""}"\nnow,1\n', "has a time 'now'"),
        (b'Time,"{result=""x""}"\n2026-11-20 00:00:00,1.2 K\n', "no plain number"),
        (b'Time,"{result=""x""}"\n2026-11-20 00:00:00,1,2\n', "row of 3 columns"),
        (b"Time,failures\n2026-11-20 00:00:00,1\n", "does not name its labels"),
        (b'Time,"{result=""x""}"\n2026-11-20 00:00:00,\n', "holds no samples"),
        (b"{}", "not an answer of Prometheus"),
        (b"[]", "not of saved answers"),
        (b'[{"body": {"status":"success","data":{"resultType":"matrix","result":[]}}}]', "does not say what was asked"),
        (body([({"result": "x"}, [(2.0, "1"), (1.0, "2")])]), "samples can't be read"),
        (body([({"result": "x", "domain": "other"}, [(1.0, "1")])]), "nothing of domain 'h'"),
        (body([({"result": "x", "__name__": "up"}, [(1.0, "1")])]), "no metric"),
        (body([({"result": "x"}, [(1e18, "1")])]), "impossible times"),
        (body([({"x": "x"}, [(60.0, "1")])]), "no series has a label 'result'"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data: bytes, says: str) -> None:
    with pytest.raises(MetricsError) as caught:
        load_failures(data, "h")
    assert says in caught.value.message
    assert caught.value.hint


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_arbitrary_files_give_failures_or_a_clear_error(data: bytes) -> None:
    try:
        load_failures(data, "h")
    except IrkitError as error:
        assert error.hint


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.booleans())
def test_a_damaged_answer_gives_failures_or_a_clear_error(where: int, byte: int, cut: bool) -> None:
    damaged = GOOD[:where] if cut else GOOD[:where] + bytes([byte]) + GOOD[where + 1 :]
    try:
        load_failures(damaged, "h")
    except IrkitError as error:
        assert error.hint


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60), st.integers(0, 59), st.sets(st.integers(0, 59)))
@example([0, 0, 0, 0, 0, 0, 0, 1], 0, {1, 2, 4})
def test_increases_survive_any_reset_and_any_missing_sample(steps: list[int], restart: int, missing: set[int]) -> None:
    """The total is what was counted between the first and the last sample read, but for what a restart hides."""
    values, value = list[Any](), 1000
    for i, step in enumerate(steps):
        value = step if i == restart else value + step
        values.append(None if i in missing and i not in (0, restart, restart - 1, len(steps) - 1) else value)
    end = START + (len(values) - 1) * MINUTE
    found = load(counter("failure", values), start=START, end=end, step=MINUTE)  # only whole steps are counted
    assert found.reasons["failure"] == sum(steps[1:])


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_wilsons_interval_holds_the_ratio_and_stays_within_0_and_1(failures: int, more: int) -> None:
    low, high = wilson(failures, failures + more)
    assert 0 <= low <= failures / (failures + more) <= high <= 1


def test_wilsons_interval_is_the_published_one() -> None:
    low, high = wilson(10, 100)  # Brown, Cai, DasGupta 2001: 0.0552 to 0.1744
    assert (round(float(low), 4), round(float(high), 4)) == (0.0552, 0.1744)
    assert np.isnan(wilson(0, 0)[0])


def test_a_file_that_reaches_back_over_days_says_what_is_usual_at_an_hour() -> None:
    minutes = 3 * 1440
    rising = [{"success": 10 * i, "failure": i}.__getitem__ for i in range(minutes)]
    both = [counter(result, [one(result) for one in rising]) for result in ("success", "failure")]
    start = START + 2 * timedelta(days=1) + MINUTE
    found = load_failures(body(both), "h", start=start, end=start + 600 * MINUTE)
    assert found.before is not None
    assert len(found.before.times) == 2 * 96
    assert found.before.times[-1] + np.timedelta64(900, "s") <= found.times[0]
    assert np.nansum(found.before.failures) == 2 * 1440
    assert (found.before.failures == 15).all()
    assert load_failures(body(both), "h").before is None


ZONES = st.one_of(
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    st.sampled_from(sorted(available_timezones())).map(ZoneInfo),
)
# Over a whole year, with both changes of the clocks, and to the second.
MOMENTS = st.integers(
    int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
)


@settings(max_examples=150)
@given(MOMENTS, st.integers(60, 7200), ZONES, ZONES, st.sampled_from([60, 300, 3600]))
def test_the_windows_edges_are_the_same_moments_in_any_time_zone(
    end: int, length: int, zone: tzinfo, other: tzinfo, step: int
) -> None:
    """Around the clocks' changes, too, where a local hour comes twice or not at all."""
    began, ended = (datetime.fromtimestamp(at, UTC) for at in (end - length - step, end))
    samples = [(float(at), str(at // 60)) for at in range(end - 3 * 7200, end + 7200, 60)]
    saved = body([({"result": "success", "domain": "h"}, samples)])

    def load(first: datetime, last: datetime) -> Failures:
        return load_failures(saved, "h", start=first, end=last, step=timedelta(seconds=step))

    found = load(began, ended)
    assert found.start.timestamp() == (end - length - step) // step * step
    assert found.end.timestamp() == end // step * step
    assert found.start.tzinfo is UTC
    assert load(began.astimezone(zone), ended.astimezone(other)) == found


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Asia/Kathmandu", "Pacific/Chatham"])
def test_the_machines_own_time_zone_changes_nothing(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    csv = 'Time,"{result=""success""}"\n2026-10-25T01:30:00+02:00,1\n2026-10-25T01:31:00+02:00,3\n'
    saved = load_failures(GOOD, "h", **SHORT)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert load_failures(GOOD, "h", **SHORT) == saved
        assert str(load_failures(csv.encode(), "h").end) == "2026-10-24 23:31:00+00:00"
        assert str(load_failures(GOOD, "h", **SHORT).series().index[0]) == "2026-11-20 00:00:00+00:00"
    finally:
        monkeypatch.undo()
        time.tzset()
