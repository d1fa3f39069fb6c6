"""Series from dumps: metrics as text with times, what `promtool tsdb dump` prints, Parquet, and CSVs of Grafana's."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from irkit.counters import Series
from irkit.errors import MetricsError, MissingExtraError
from irkit.render import text

__all__ = ["is_text", "read_csv", "read_parquet", "read_text"]

_LABEL = re.compile(r'([a-zA-Z_][\w.]*)\s*=\s*"((?:[^"\\]|\\.)*)"')
# A sample: name, labels, value, time; an exemplar may follow.
_SAMPLE = re.compile(
    r'([a-zA-Z_:][\w:]*)?\s*(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s+(\S+)(?:\s+(-?[\d.eE+]+))?(?:\s+#.*)?\s*\Z'
)
_SECONDS = 1e11  # larger times are milliseconds: as seconds they would be in the year 5138

Samples = dict[tuple[tuple[str, str], ...], dict[float, float]]


def _unescaped(value: str, what: str) -> str:
    """A label's value without its backslashes."""
    try:
        return str(json.loads(f'"{value}"', strict=False))
    except ValueError:
        raise MetricsError(f"{what} has a label value {text(value, 60)!r} that is no text", "save it again") from None


def _gathered(samples: Samples) -> list[Series]:
    """Series from values by labels and time."""
    series = []
    for labels, found in samples.items():
        ordered = sorted(found)
        series.append(Series(dict(labels), np.array(ordered), np.array([found[at] for at in ordered])))
    return series


def is_text(data: bytes) -> bool:
    """Whether this looks like metrics as text: the first line is a comment of theirs, or a sample."""
    head = next((line for line in data[:65536].splitlines() if line.strip()), b"").decode(errors="replace")
    sample = _SAMPLE.match(head)
    return bool(re.match(r"# (TYPE|HELP|UNIT|EOF)\b", head) or (sample and sample[2] is not None and sample[4]))


def read_text(data: bytes, what: str) -> tuple[list[Series], list[str]]:
    """The series of a dump.

    Raises:
        MetricsError: It is no such text, or its samples have no times.
    """
    samples: Samples = {}
    for number, line in _lines(data, what):
        found = _SAMPLE.match(line)
        try:
            value, at = (float(found[3]), float(found[4] or "nan")) if found else (0.0, 0.0)
        except ValueError:
            found = None
        if not found:
            raise MetricsError(f"{what}, line {number}, is no sample: {text(line, 80)!r}", "take an undamaged copy")
        if not np.isfinite(at):
            raise MetricsError(
                f"{what} has samples without a time", "one scrape is no history: dump a range, or give query_range"
            )
        pairs = [(name, _unescaped(content, what)) for name, content in _LABEL.findall(found[2] or "")]
        if found[1]:
            pairs.append(("__name__", found[1]))
        samples.setdefault(tuple(sorted(pairs)), {})[at / 1000 if at > _SECONDS else at] = value
    return _gathered(samples), []


def _lines(data: bytes, what: str) -> Iterator[tuple[int, str]]:
    try:
        content = data.decode()
    except UnicodeDecodeError:
        raise MetricsError(f"{what} is no UTF-8", "take an undamaged copy") from None
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def read_parquet(data: bytes, what: str) -> tuple[list[Series], list[str]]:
    """The series of a table with a row a sample: a column `time` or `timestamp`, one `value`, and a column a label.

    Times are timestamps, without a zone taken for UTC, or numbers: seconds or milliseconds since 1970.

    Raises:
        MetricsError: It can't be read, or has no such columns.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtraError("reading Parquet needs pyarrow", 'pip install "irkit[parquet]"') from None
    try:
        table = parquet.read_table(io.BytesIO(data)).to_pandas()
    except (ArrowException, ValueError, OSError) as error:
        raise MetricsError(f"{what} is broken Parquet: {text(error, 120)}", "save it again") from None
    names = {str(name).lower(): name for name in table.columns}
    time, value = names.get("time", names.get("timestamp")), names.get("value")
    if time is None or value is None:
        raise MetricsError(
            f"{what} has no column time and value; there are {text(', '.join(map(str, table.columns)), 200)}",
            "save a table with a row a sample: time, value, and a column a label",
        )
    findings, times = _times(table[time], what)
    labels = [name for name in table.columns if name not in (time, value)]
    try:
        values = table[value].astype(float).to_numpy()
    except (ValueError, TypeError):
        raise MetricsError(f"{what} has values that are no numbers", "save the values as numbers") from None
    samples: Samples = {}
    for row, at, number in zip(table[labels].itertuples(index=False, name=None), times, values, strict=True):
        key = tuple((str(name), str(cell)) for name, cell in zip(labels, row, strict=True) if _said(cell))
        samples.setdefault(key, {})[float(at)] = float(number)
    return _gathered(samples), findings


def _said(cell: Any) -> bool:
    return cell is not None and cell == cell and cell != ""  # noqa: PLR0124 - NaN is not itself


def _times(column: Any, what: str) -> tuple[list[str], Any]:
    findings = list[str]()
    if column.dtype.kind in "iuf":
        times = column.astype(float).to_numpy()
        times = np.where(times > _SECONDS, times / 1000, times)
    elif column.dtype.kind == "M":
        if column.dt.tz is None:
            findings.append(f"{what}: the times have no zone; they are read as UTC")
            column = column.dt.tz_localize("UTC")
        times = (
            column.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[ns]").astype("int64").to_numpy() / 1e9
        )
    else:
        raise MetricsError(f"{what} has times that are neither timestamps nor numbers", "save them as timestamps")
    if not np.isfinite(times).all():
        raise MetricsError(f"{what} has rows without a time", "save it again")
    return findings, times


_SERIES = re.compile(r"\s*([a-zA-Z_:][\w:]*)?\s*\{(.*)\}\s*\Z", re.DOTALL)


def read_csv(data: bytes, what: str) -> tuple[list[Series], list[str]]:
    """The series of Grafana's `Series joined by time` (a column a series) or a table (a column a label, Time, Value).

    Raises:
        MetricsError: It is no such CSV, or a cell is no time or no number.
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        lines = data.decode(encoding).splitlines()
    except UnicodeDecodeError:
        raise MetricsError(
            f"{what} is neither JSON nor CSV", "give a saved query_range body or a Grafana CSV"
        ) from None
    delimiter = ","
    if lines and lines[0].lower().startswith("sep="):
        delimiter = lines.pop(0)[4:5] or ","
    try:
        rows = [row for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter) if row]
    except csv.Error as error:
        raise MetricsError(f"{what} is broken CSV: {text(error, 80)}", "save it again") from None
    if len(rows) < 2 or rows[0][0].strip().lower() not in ("time", "timestamp"):
        raise MetricsError(
            f"{what} is neither a saved query_range body nor a Grafana CSV: its first column is not Time",
            "in Grafana: Inspect, Data, Series joined by time, Download CSV",
        )
    header, findings = [name.strip() for name in rows[0]], list[str]()
    times = [_csv_time(row[0], what) for row in rows[1:]]
    if any(not known for _, known in times):
        findings.append("the CSV's times have no zone; they are read as UTC")
    samples: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    value = next((i for i, name in enumerate(header) if name.lower() == "value"), None)
    for row, (at, _) in zip(rows[1:], times, strict=True):
        if len(row) != len(header):
            raise MetricsError(f"{what} has a row of {len(row)} columns under {len(header)}", "save it again")
        if value is not None:
            key = tuple((header[i], row[i]) for i in range(1, len(row)) if i != value and row[i])
            _put(samples, key, at, row[value], what)
        else:
            for name, cell in zip(header[1:], row[1:], strict=True):
                _put(samples, _series_labels(name, what), at, cell, what)
    return _gathered(samples), findings


def _put(samples: dict[Any, dict[float, float]], key: Any, at: float, cell: str, what: str) -> None:
    if cell.strip() in ("", "null", "undefined"):
        return
    try:
        samples.setdefault(key, {})[at] = float(cell)
    except ValueError:
        raise MetricsError(
            f"{what} has a value {text(cell, 40)!r} that is no plain number",
            "in Grafana: Inspect, Data, switch off Formatted data, Download CSV",
        ) from None


def _series_labels(name: str, what: str) -> tuple[tuple[str, str], ...]:
    match = _SERIES.match(name)
    if not match:
        raise MetricsError(
            f"{what} has a column {text(name, 80)!r} that does not name its labels",
            'take the legend out of the Grafana query, so that columns read {label="value"}',
        )
    metric = (("__name__", match[1]),) if match[1] else ()
    return metric + tuple((label, _unescaped(value, what)) for label, value in _LABEL.findall(match[2]))


def _csv_time(cell: str, what: str) -> tuple[float, bool]:
    """Seconds since 1970, and whether the zone was known."""
    cell = cell.strip()
    try:
        if re.fullmatch(r"\d{9,11}(\.\d+)?", cell):
            return float(cell), True
        if re.fullmatch(r"\d{12,14}", cell):
            return int(cell) / 1000, True
        at = datetime.fromisoformat(cell)
    except ValueError:
        raise MetricsError(
            f"{what} has a time {text(cell, 40)!r}", "times are ISO 8601, or seconds or milliseconds since 1970"
        ) from None
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC).timestamp(), False
    return at.timestamp(), True
