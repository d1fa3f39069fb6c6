"""Dumps of metrics as files: OpenMetrics, promtool's own, Parquet; and histograms, which count observations."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_server import METRIC, MINUTES, START, label_text, openmetrics
from series import MINUTE, SHORT, body, counter

from irkit.errors import MetricsError
from irkit.failures import Failures
from irkit.metrics import load_failures

AWKWARD = 'a"b}\\c\n,=1 # {'


def samples() -> Iterator[tuple[Mapping[str, str], float, float]]:
    """100 minutes: 10 successes a minute, and 2 failures a minute from minute 50 on."""
    for result, each, begin in (("success", 10, 0), ("failure", 2, 50)):
        labels = {"domain": "h", "result": result, "app_version": AWKWARD, "instance": "a:1"}
        for minute in range(begin, 101):
            yield labels, START.timestamp() + 60 * minute, 5.0 + each * (minute - begin)


def expected() -> Failures:
    series = []
    for result in ("success", "failure"):
        found = [(labels, at, value) for labels, at, value in samples() if labels["result"] == result]
        series.append(({"__name__": METRIC, **found[0][0]}, [(at, str(value)) for _, at, value in found]))
    return load_failures(body(series), "h", **SHORT)


def same(found: Failures) -> bool:
    wanted = expected()
    return found.cohorts == wanted.cohorts and all(
        np.array_equal(getattr(found, name), getattr(wanted, name), equal_nan=True)
        for name in ("failures", "validations", "times")
    )


def parquet(table: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file)
    return file.getvalue()


def rows() -> list[dict[str, Any]]:
    return [{"time": at, "value": value, "__name__": METRIC, **labels} for labels, at, value in samples()]


def test_an_openmetrics_dump_is_read() -> None:
    dump = openmetrics(samples()) + "# EOF\n"
    assert same(load_failures(dump.encode(), "h", **SHORT))
    exemplars = dump.replace(" 15 ", " 15 ", 1).replace("\n# EOF", ' # {trace_id="x"} 1\n# EOF')
    assert same(load_failures(exemplars.encode(), "h", **SHORT))


def test_what_promtool_dumps_is_read(tool: Any, tmp_path: Path) -> None:
    import subprocess

    source, data = tmp_path / "dump.om", tmp_path / "data"
    source.write_text(openmetrics(samples()) + "# EOF\n")
    promtool = tool("promtool")
    create = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(source), str(data)]
    subprocess.run(create, check=True, capture_output=True)
    (data / "wal").mkdir(exist_ok=True)
    dump = subprocess.run([promtool, "tsdb", "dump", str(data)], check=True, capture_output=True).stdout
    assert dump.startswith(b'{__name__="')
    assert same(load_failures(dump, "h", **SHORT))


@pytest.mark.parametrize("times", ["seconds", "milliseconds", "aware", "naive"])
def test_a_parquet_table_is_read(times: str, tmp_path: Path) -> None:
    table = pd.DataFrame(rows())
    if times == "milliseconds":
        table["time"] = (table["time"] * 1000).astype("int64")
    elif times != "seconds":
        table["time"] = pd.to_datetime(table["time"], unit="s", utc=True).dt.tz_convert("America/New_York")
        if times == "naive":
            table["time"] = table["time"].dt.tz_convert("UTC").dt.tz_localize(None)
    path = tmp_path / "failures.parquet"
    path.write_bytes(parquet(table))
    found = load_failures(path, "h", **SHORT)
    assert same(found)
    assert any("no zone" in finding for finding in found.findings) == (times == "naive")
    assert load_failures(found.raw, "h", **SHORT, source=str(path)) == found


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'# TYPE x counter\nx{a="b"} 1\n# EOF\n', "samples without a time"),
        (b'# TYPE x counter\nx{a="b"} one 1700000000\n# EOF\n', "line 2, is no sample"),
        (b'# TYPE x counter\nx{a="b 1 1700000000\n# EOF\n', "is no sample"),
        (b'# TYPE x counter\nx{a="\\d"} 1 1700000000\n', "label value"),
        (b"# TYPE x counter\n# EOF\n", "holds no samples"),
        (b"# TYPE x counter\nx\xff 1 1\n", "no UTF-8"),
        (b"PAR1 not really", "broken Parquet"),
        (parquet(pd.DataFrame({"a": [1]})), "no column time and value"),
        (parquet(pd.DataFrame({"time": ["x"], "value": [1.0]})), "neither timestamps nor numbers"),
        (parquet(pd.DataFrame({"time": [1.0], "value": ["x"]})), "values that are no numbers"),
        (parquet(pd.DataFrame({"time": [np.nan], "value": [1.0]})), "rows without a time"),
        (b'Time,"{result=""\\d""}"\n2026-11-20 00:00:00,1\n', "label value"),
    ],
)
def test_a_damaged_dump_says_why(data: bytes, says: str) -> None:
    with pytest.raises(MetricsError) as caught:
        load_failures(data, "h", metric="x")
    assert says in caught.value.message
    assert caught.value.hint


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=30))
def test_any_label_value_comes_through_a_dump(value: str) -> None:
    labels = {"domain": "h", "result": "failure", "region": "x" + value}
    lines = [f"{METRIC}{label_text(labels)} {n} {START.timestamp() + 60 * n}" for n in range(5)]
    try:
        found = load_failures(("# TYPE x counter\n" + "\n".join(lines) + "\n# EOF\n").encode(), "h")
    except MetricsError:
        raise AssertionError(value) from None
    assert found.cohorts == ({"region": "x" + value},)


# --- histograms -------------------------------------------------------------------------------------------------------


def test_of_a_histograms_buckets_the_last_counts() -> None:
    buckets = [counter("failure", [n * part for n in range(100)], le=le) for le, part in (("0.1", 1), ("+Inf", 3))]
    found = load_failures(body(buckets), "h", **SHORT)
    assert np.nansum(found.failures) == 3 * 99
    assert any("buckets" in finding for finding in found.findings)


def test_a_native_histogram_counts_its_observations() -> None:
    labels, values = counter("failure", range(100))
    item = {"metric": labels, "histograms": [[at, {"count": value, "sum": "1", "buckets": []}] for at, value in values]}
    answer = {"status": "success", "data": {"resultType": "matrix", "result": [item]}}
    assert np.nansum(load_failures(json.dumps(answer).encode(), "h", **SHORT).failures) == 99
    item["histograms"] = [[1, {"sum": "1"}]]
    with pytest.raises(MetricsError, match="histogram that can't be read"):
        load_failures(json.dumps(answer).encode(), "h")


def test_quantiles_count_nothing() -> None:
    with pytest.raises(MetricsError, match="quantiles"):
        load_failures(body([counter("failure", range(100), quantile="0.5")]), "h", **SHORT)


# --- irkit metrics save -----------------------------------------------------------------------------------------------


def test_a_saved_file_takes_the_place_of_prometheus(
    history: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from irkit.cli import main
    from irkit.gather import begin, gather_failures

    end = START + (MINUTES - 1) * MINUTE
    head = f'[incident]\nhost = "step.example"\nstart = {(START + 15 * MINUTE).isoformat()}\nend = {end.isoformat()}\n'
    more = '[[annotation]]\nmetric = "app_release_info"\nwhat = "release"\n'
    (tmp_path / "live.toml").write_text(f'{head}[metrics]\nurl = "{history}"\n{more}')
    (tmp_path / "saved.toml").write_text(f'{head}[metrics]\nfile = "kept.json"\n{more}')
    assert main(["metrics", "save", str(tmp_path / "live.toml"), "--out", str(tmp_path / "kept.json")]) == 0
    assert "release: shop 5.4.0" in capsys.readouterr().out
    now = datetime(2026, 11, 21, tzinfo=UTC)
    live, saved = (gather_failures(begin(tmp_path / name, now=now)) for name in ("live.toml", "saved.toml"))
    assert live.failures is not None
    assert saved.failures is not None
    assert np.array_equal(live.failures.failures, saved.failures.failures, equal_nan=True)
    assert live.failures.reasons == saved.failures.reasons
    assert live.changes == saved.changes != ()


def test_without_a_prometheus_nothing_is_saved(tmp_path: Path) -> None:
    from irkit.cli import main

    (tmp_path / "incident.toml").write_text('[incident]\nhost = "h"\n')
    assert main(["metrics", "save", str(tmp_path / "incident.toml"), "--out", str(tmp_path / "kept.json")]) == 2
    assert not (tmp_path / "kept.json").exists()
