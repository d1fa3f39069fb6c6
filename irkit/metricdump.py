"""Series from dumps: OpenMetrics or Prometheus text with times, what `promtool tsdb dump` prints, and Parquet."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from irkit.counters import Series
from irkit.errors import MetricsError, MissingExtraError
from irkit.render import text

__all__ = ["LABEL", "gathered", "is_text", "read_parquet", "read_text", "unescaped"]

LABEL = re.compile(r'([a-zA-Z_][\w.]*)\s*=\s*"((?:[^"\\]|\\.)*)"')
# A sample: name, labels, value, time; an exemplar may follow.
_SAMPLE = re.compile(
    r'([a-zA-Z_:][\w:]*)?\s*(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s+(\S+)(?:\s+(-?[\d.eE+]+))?(?:\s+#.*)?\s*\Z'
)
_SECONDS = 1e11  # larger times are milliseconds: as seconds they would be in the year 5138

Samples = dict[tuple[tuple[str, str], ...], dict[float, float]]


def unescaped(value: str, what: str) -> str:
    """A label's value without its backslashes."""
    try:
        return str(json.loads(f'"{value}"', strict=False))
    except ValueError:
        raise MetricsError(f"{what} has a label value {text(value, 60)!r} that is no text", "save it again") from None


def gathered(samples: Samples) -> list[Series]:
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
        pairs = [(name, unescaped(content, what)) for name, content in LABEL.findall(found[2] or "")]
        if found[1]:
            pairs.append(("__name__", found[1]))
        samples.setdefault(tuple(sorted(pairs)), {})[at / 1000 if at > _SECONDS else at] = value
    return gathered(samples), []


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
    return gathered(samples), findings


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
