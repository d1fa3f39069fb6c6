"""Answers of /api/v1/query_range, made in code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from prometheus_server import METRIC, START

MINUTE = timedelta(minutes=1)


def body(series: Sequence[tuple[Mapping[str, str], Sequence[tuple[float, str]]]], **more: Any) -> bytes:
    result = [{"metric": labels, "values": [[t, v] for t, v in values]} for labels, values in series]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}, **more}).encode()


def counter(result: str, values: Sequence[Any], **labels: str) -> Any:
    """A series with a sample a minute."""
    samples = [(START.timestamp() + 60 * i, str(v)) for i, v in enumerate(values) if v is not None]
    return {"__name__": METRIC, "domain": "h", "result": result, **labels}, samples


GOOD = body([counter("success", range(100)), counter("failure", [5] * 100)])
SHORT: dict[str, Any] = {"start": START, "end": START + 99 * MINUTE}
