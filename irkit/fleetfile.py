"""Captures of many endpoints in one file, each chain once; an interrupted run goes on where it stopped.

    {"schema": "irkit.fleet/1", "sweep": true}                          the first line
    {"chain": "<sha256>", "certificates": ["<base64 DER>", …]}          before the first endpoint that presents it
    {"target": "a.example:443", "chain": "<sha256>", "obtained": {…}}   an endpoint with its chain
    {"target": "b.example:443", "failure": {…}}                         an endpoint without one

An endpoint that was asked again has several lines; the last one counts.

A line is written whole or, where the process was killed, cut off when the file is opened again. Parquet can't be
added to: it is made of the finished lines at the end.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from irkit import render
from irkit.certificate import Certificate
from irkit.chain import Attempt, CaptureFailure, Chain
from irkit.chainjson import chain_from_value, chain_to_value
from irkit.errors import InputError, MissingExtraError, RunError
from irkit.fleet import Captured, capture_many
from irkit.target import Target

__all__ = ["Tally", "keep_captures", "load_captures"]

_SCHEMA = "irkit.fleet/1"


class Tally(NamedTuple):
    """How far a run is: endpoints with a chain, without one, different chains, and how many were there before."""

    chains: int = 0
    failures: int = 0
    different: int = 0
    before: int = 0


def keep_captures(
    targets: Iterable[Target],
    out: str | os.PathLike[str],
    *,
    sweep: bool = False,
    progress: Callable[[Tally], None] | None = None,
    concurrency: int = 32,
    executor: Executor | None = None,
    deadline: float = 10.0,
    vantage: str | None = None,
    retry_failed: bool = False,
) -> Tally:
    """Captures from many endpoints into a file; endpoints that are in it already are left out.

    Args:
        targets: The endpoints.
        out: A file `….ndjson`, or `….parquet`: lines are then kept beside it, in `….parquet.ndjson`, until the end.
        sweep: As `capture_many`.
        progress: Called with the tally after each endpoint.
        concurrency: As `capture_many`.
        executor: As `capture_many`.
        deadline: As `capture_many`.
        vantage: As `capture_many`.
        retry_failed: Ask those again that are in the file without a chain; what they give takes the place of it.

    Raises:
        InputError: `out` has another ending, is no such file, or was begun with another `sweep`.
        MissingExtraError: Parquet needs pyarrow.
        RunError: The file can't be written, or another run writes it.
    """
    place = Path(out)
    parquet = place.suffix == ".parquet"
    if place.suffix not in {".ndjson", ".parquet"}:
        raise InputError(f"{render.text(out, 200)} is neither .ndjson nor .parquet", "name the file by its format")
    if parquet:
        _pyarrow()
        if place.exists() and not retry_failed:
            raise InputError(
                f"{render.text(out, 200)} is there already, and finished",
                "name another file, or ask for the failed ones again with --retry-failed",
            )
    journal = place.with_name(place.name + ".ndjson") if parquet else place
    try:
        with journal.open("a+b") as file:
            seen, chains = _resume(file, journal, sweep=sweep)
            if parquet and place.exists():  # a finished one stays until the new one is
                for captured in load_captures(place):
                    if str(captured.target) not in seen:
                        seen[str(captured.target)] = isinstance(captured.result, Chain)
                        _add(file, captured, chains, Tally())
            done = {target for target, good in seen.items() if good or not retry_failed}
            tally = Tally(different=len(chains), before=len(done))
            left = (target for target in targets if str(target) not in done)
            found = capture_many(
                left, concurrency=concurrency, executor=executor, sweep=sweep, deadline=deadline, vantage=vantage
            )
            for captured in found:
                tally = _add(file, captured, chains, tally)
                if progress is not None:
                    progress(tally)
        if parquet:
            _to_parquet(journal, place)
            journal.unlink()
    except OSError as error:
        raise RunError(
            f"can't write {render.text(out, 200)}: {error.strerror or error}",
            "see to space and rights, and run it again: it goes on where it stopped",
        ) from None
    return tally


def _resume(file: IO[bytes], path: Path, *, sweep: bool) -> tuple[dict[str, bool], set[str]]:
    """Locks the file, cuts off a line that was not finished; gives its endpoints, whether with a chain, and chains."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise RunError(
            f"another run is writing {render.text(path, 200)}", "wait for it, or name another file"
        ) from None
    seen, chains, whole = dict[str, bool](), set[str](), 0
    file.seek(0)
    for line in file:
        if not line.endswith(b"\n"):
            break
        value = _value(line, path)
        if whole == 0 and (value.get("schema"), value.get("sweep")) != (_SCHEMA, sweep):
            raise InputError(
                f"{render.text(path, 200)} was not begun by the same call", "use the same --sweep, or another file"
            )
        whole += len(line)
        if "target" in value:
            seen[str(value["target"])] = "failure" not in value
        elif "certificates" in value:
            chains.add(str(value["chain"]))
    file.truncate(whole)
    if whole == 0:
        _line(file, {"schema": _SCHEMA, "sweep": sweep})
    return seen, chains


def _value(line: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{render.text(path, 200)} is no file of captures", "name one that irkit wrote, or a new one")
    return value


def _line(file: IO[bytes], value: dict[str, Any]) -> None:
    file.write(json.dumps(value).encode() + b"\n")
    file.flush()


def _add(file: IO[bytes], captured: Captured, chains: set[str], tally: Tally) -> Tally:
    name, result = str(captured.target), captured.result
    if isinstance(result, CaptureFailure):
        attempts = [[a.where, a.how, a.reason] for a in result.attempts]
        at = result.at.isoformat() if result.at else None
        failure = {"where": result.where, "reason": result.reason, "attempts": attempts, "at": at,
                   "hint": result.hint, "vantage": result.vantage}  # fmt: skip
        _line(file, {"target": name, "failure": failure})
        return tally._replace(failures=tally.failures + 1)
    chain = result.sha256
    if chain not in chains:
        ders = [base64.b64encode(certificate.der).decode() for certificate in result]
        _line(file, {"chain": chain, "certificates": ders})
        chains.add(chain)
    obtained = chain_to_value(Chain((), result.obtained))["obtained"]
    _line(file, {"target": name, "chain": chain, "obtained": obtained})
    return tally._replace(chains=tally.chains + 1, different=len(chains))


def load_captures(path: str | os.PathLike[str]) -> Iterator[Captured]:
    """Reads what `keep_captures` wrote, one endpoint after the other; a line that was not finished is left out.

    Raises:
        InputError: It can't be read, or is no such file.
        MissingExtraError: Parquet needs pyarrow.
    """
    place = Path(path)
    try:
        yield from _read(_parquet_values(place) if place.suffix == ".parquet" else _latest(place), place)
    except (KeyError, TypeError, ValueError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"can't read {render.text(path, 200)}: {render.text(why, 100)}", "name a file that irkit wrote"
        ) from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if line.endswith(b"\n"):
                value = _value(line, path)
                if number == 0 and value.get("schema") != _SCHEMA:
                    raise InputError(f"{render.text(path, 200)} is no file of captures", "name a file that irkit wrote")
                yield value


def _latest(path: Path) -> Iterator[dict[str, Any]]:
    """The lines, of an endpoint that was asked again the last one only."""
    last = {value["target"]: number for number, value in enumerate(_lines(path)) if "target" in value}
    for number, value in enumerate(_lines(path)):
        if "target" not in value or last.get(value["target"], number) == number:
            yield value


def _read(values: Iterable[dict[str, Any]], path: Path) -> Iterator[Captured]:
    known: dict[str, tuple[Certificate, ...]] = {}
    for value in values:
        if value.get("certificates"):
            ders = (base64.b64decode(der, validate=True) for der in value["certificates"])
            chain = Chain(tuple(Certificate.from_der(der) for der in ders))
            if chain.sha256 != value["chain"]:
                raise InputError(f"{render.text(path, 200)}: a chain was changed", "get the file again")
            known[value["chain"]] = chain.certificates
        if value.get("failure"):
            fields = dict(value["failure"])
            fields["attempts"] = tuple(Attempt(*attempt) for attempt in fields["attempts"])
            fields["at"] = datetime.fromisoformat(fields["at"]) if fields["at"] else None
            yield Captured(Target.parse(value["target"]), CaptureFailure(**fields))
        elif "target" in value:
            whole = chain_to_value(Chain(known[value["chain"]])) | {"obtained": value["obtained"]}
            yield Captured(Target.parse(value["target"]), chain_from_value(whole, "a capture"))


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("Parquet needs the package pyarrow", "pip install pyarrow, or name a .ndjson") from None
    return pa


def _to_parquet(journal: Path, out: Path) -> None:
    """One row an endpoint, thousands at a time; a chain's certificates are in the first row that presents it."""
    arrow = _pyarrow()
    text = arrow.string()
    columns = [("target", text), ("chain", text), ("certificates", arrow.list_(text)), ("reason", text),
               ("obtained", text), ("failure", text)]  # fmt: skip
    schema = arrow.schema(columns, metadata={"schema": _SCHEMA})
    partial = out.with_name(f".{out.name}.partial")
    waiting: dict[str, list[str]] = {}
    rows: list[dict[str, Any]] = []
    try:
        with arrow.parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
            for value in _latest(journal):
                if "certificates" in value:
                    waiting[value["chain"]] = value["certificates"]
                elif "target" in value:
                    chain, failure = value.get("chain"), value.get("failure")
                    rows.append({
                        "target": value["target"], "chain": chain, "certificates": waiting.pop(str(chain), None),
                        "reason": failure["reason"] if failure else None,
                        "obtained": json.dumps(value["obtained"]) if chain else None,
                        "failure": json.dumps(failure) if failure else None,
                    })  # fmt: skip
                if len(rows) == 2000:
                    writer.write_table(arrow.Table.from_pylist(rows, schema))
                    rows.clear()
            writer.write_table(arrow.Table.from_pylist(rows, schema))
        partial.replace(out)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _parquet_values(path: Path) -> Iterator[dict[str, Any]]:
    arrow = _pyarrow()
    with arrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(2000):
            for row in batch.to_pylist():
                loaded = {name: json.loads(row[name]) for name in ("obtained", "failure") if row[name]}
                yield {name: value for name, value in row.items() if value is not None} | loaded
