"""SOURCE  Pin-failure reports and client logs: streamed, bounded, counted by what they agree on.

Anyone can send a report, as often as they like, with whatever in it. Reports raise suspicion and never lower it. Their
counts are floors: TrustKit sends an identical report once a day and process at most.
"""

from __future__ import annotations

import contextlib
import glob
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from irkit import render
from irkit.certificate import Pin
from irkit.chain import Chain, Obtained
from irkit.errors import InputError
from irkit.render import moment, text
from irkit.reportline import Report, messages, read_line, read_value

__all__ = ["Refused", "Reports", "Sighting", "load_reports", "read_reports"]

FILE = 128 << 20  # bytes of one file, as it is on disk
UNPACKED = 2 << 30  # bytes of all files, unpacked
LINE = 4 << 20  # bytes of one line
WHOLE = 64 << 20  # bytes of a file that is one JSON document over many lines
SIGHTINGS = 50_000  # kept apart; reports that agree with none of them are counted only
REFUSED = 200  # lines kept aside; the others are counted
DEVICES = 10_000


@dataclass(frozen=True, slots=True)
class Sighting:
    """Reports that agree: who failed, where, and what they saw.

    Attributes:
        report: The first of them.
        source: The file it stood in.
        count: How many there were: a floor, never a rate.
        devices: How many installations sent them; 0 where the format doesn't say.
        first, last: The span of their times, aware UTC; None where none says.
        leaf: The leaf's pin, of the chain or as the log has it; None where neither tells.
    """

    report: Report
    source: str
    count: int
    devices: int
    first: datetime | None
    last: datetime | None
    leaf: Pin | None = None

    @property
    def chain(self) -> Chain:
        """What was presented, or else the path that was built; empty where the log names pins only."""
        report = self.report
        certificates = report.served or report.validated
        return Chain(certificates, Obtained("report", self.source, report.at, host=report.host))


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is kept aside, with the reason. `begins` is its beginning; hostile."""

    source: str
    line: int
    reason: str
    begins: str


@dataclass(frozen=True, slots=True, repr=False)
class Reports:
    """What the reports say.

    Attributes:
        sightings: Most reports first.
        total: Reports read.
        refused: Lines kept aside; `aside` counts all of them.
        findings: What to know of the files: cut off, damaged, no report in it.
        raw: Each file's name and content, gzip, for the evidence.
    """

    sightings: tuple[Sighting, ...] = ()
    total: int = 0
    refused: tuple[Refused, ...] = ()
    aside: int = 0
    findings: tuple[str, ...] = ()
    raw: tuple[tuple[str, bytes], ...] = field(default=(), compare=False)

    def of(self, host: str) -> tuple[Sighting, ...]:
        """Those about a host, and those of logs that name none."""
        return tuple(s for s in self.sightings if s.report.host in (host, ""))

    def _rows(self) -> list[tuple[object, ...]]:
        rows = list[tuple[object, ...]]()
        for sighting in self.sightings[:40]:
            report, chain = sighting.report, sighting.chain
            who = " ".join(part for part in (report.app, report.version, report.platform) if part) or "unknown"
            where = ", ".join(part for part in (report.region, report.network) if part) or "unknown"
            issuer = chain.leaf.issuer if len(chain) else ""
            rows.append(
                (
                    sighting.count,
                    sighting.devices or "",
                    who,
                    where,
                    report.kind,
                    sighting.leaf or "not told",
                    issuer,
                    moment(sighting.last),
                )
            )
        return rows

    def __repr__(self) -> str:
        head = f"Reports: {self.total}, {len(self.sightings)} kinds, {self.aside} lines kept aside"
        return head + "\n" + render.text_table(_HEADERS, self._rows())

    def shown(self) -> render.Markup:
        """The reports, and the lines kept aside, as tables."""
        head = f"{self.total} reports from clients; counts are floors, and anyone can send one"
        parts = [render.table(_HEADERS, self._rows(), head)]
        if self.refused:
            rows = [(r.source, r.line, r.reason, r.begins) for r in self.refused[:20]]
            parts.append(render.table(("file", "line", "why", "begins"), rows, f"{self.aside} lines kept aside"))
        return render.fragment(*parts)

    def _repr_html_(self) -> str:
        return str(self.shown())


_HEADERS = ("reports", "devices", "release", "where", "what failed", "leaf key seen", "issuer", "last")


def load_reports(patterns: Sequence[str | Path], folder: str | Path = ".") -> Reports:
    """Reads the files that some patterns name: NDJSON, JSON or a log as text, each plain or gzip.

    Args:
        patterns: Paths with `*` and `**` as in the shell, relative to `folder`.
        folder: Where to look.

    Raises:
        InputError: A pattern names no file, or a file can't be read.
    """
    files = []
    for pattern in patterns:
        found = sorted(glob.glob(str(Path(folder) / pattern), recursive=True))  # noqa: PTH207 - absolute ones too
        if not found:
            raise InputError(f"no file is called {text(pattern, 200)}", "check the pattern under [reports]")
        for name in found:
            try:
                with Path(name).open("rb") as file:
                    content = file.read(FILE + 1)
            except OSError as error:
                raise InputError(
                    f"can't read {text(name)}: {text(error.strerror)}", "check the file's rights"
                ) from None
            files.append((Path(name).name, content))
    return read_reports(files)


def read_reports(files: Iterable[tuple[str, bytes]]) -> Reports:
    """Reads the contents of report files; see `load_reports`. What can't be read is told, never raised.

    Args:
        files: Name and content of each, plain or gzip.
    """
    tally = _Tally()
    budget = UNPACKED
    kept = []
    for name, content in files:
        if len(content) > FILE:
            tally.findings.append(f"{text(name, 100)} is cut off after {FILE >> 20} MiB")
        read = content[:FILE]
        packed = read[:2] == b"\x1f\x8b"
        kept.append((name, read if packed else gzip.compress(read, mtime=0)))
        stream = _Stream(gzip.GzipFile(fileobj=io.BytesIO(read)) if packed else io.BytesIO(read), budget)
        before = tally.total
        _read_file(name, stream, tally)
        budget -= stream.taken
        if stream.problem:
            tally.findings.append(f"{text(name, 100)} {stream.problem}; {tally.total - before} reports were read of it")
        elif tally.total == before:
            tally.findings.append(f"{text(name, 100)} holds no report")
    return tally.reports(tuple(kept))


class _Stream:
    """The lines of a file that may be a bomb, damaged or cut off."""

    def __init__(self, file: Any, budget: int) -> None:
        self._file, self._budget = file, budget
        self.taken, self.problem = 0, ""

    def _read(self, size: int) -> bytes:
        if self.taken >= self._budget:
            self.problem = f"is longer than the {UNPACKED >> 30} GiB that are read of all reports"
            return b""
        try:
            found: bytes = self._file.readline(size)
        except (OSError, EOFError, zlib.error) as error:
            self.problem = f"is damaged: {text(error, 80)}"
            return b""
        self.taken += len(found)
        return found

    def lines(self) -> Iterator[tuple[int, bytes, bool]]:
        """Number, content and whether it is whole."""
        number = 0
        while line := self._read(LINE):
            number += 1
            whole = line.endswith(b"\n") or len(line) < LINE
            yield number, line, whole
            while not whole:  # the rest of a line that is too long is passed over
                rest = self._read(LINE)
                whole = not rest or rest.endswith(b"\n")


def _read_file(name: str, stream: _Stream, tally: _Tally) -> None:
    """Reads a file as NDJSON, as one JSON document over many lines, or as a log."""
    lines, first = stream.lines(), True
    for number, line, whole in lines:
        if not line.strip(b"\xef\xbb\xbf \t\r\n"):
            continue
        shown = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
        if first and shown.lstrip()[:1] not in ("{", "["):
            _read_log(name, _texts(name, shown, lines, tally), tally)
            return
        if first and whole and _opens_document(shown) and _read_document(name, shown, lines, tally):
            return
        first = False
        if not whole:
            tally.refuse(name, number, f"longer than {LINE >> 20} MiB", shown)
            continue
        _read_one(name, number, shown, tally)


def _read_one(name: str, number: int, line: str, tally: _Tally) -> None:
    try:
        for report in read_line(line):
            tally.add(name, report)
    except InputError as error:
        tally.refuse(name, number, error.message, line)


def _opens_document(line: str) -> bool:
    try:
        return isinstance(json.loads(line), list)
    except (ValueError, RecursionError):
        return True


def _read_document(name: str, first: str, lines: Iterator[tuple[int, bytes, bool]], tally: _Tally) -> bool:
    """One JSON document over many lines. False where the lines stand for themselves, with the first one kept aside."""
    if first.lstrip()[:1] == "{" and len(first.strip()) > 1:
        return False  # a broken line of NDJSON: the next one may be whole
    parts, size = [first], len(first)
    for _, line, _ in lines:
        parts.append(line.decode("utf-8", "replace"))
        size += len(line)
        if size > WHOLE:
            tally.refuse(name, 1, f"one JSON document of more than {WHOLE >> 20} MiB", first)
            return True
    try:
        value = json.loads("".join(parts))
    except (ValueError, RecursionError) as error:
        told = [(number, part) for number, part in enumerate(parts, 1) if part.strip()]
        if any(part[:1] == "{" and part.rstrip()[-1:] == "}" and len(part) > 4 for _, part in told):
            for number, part in told:  # a line that only looked like the beginning of a document
                _read_one(name, number, part, tally)
        else:
            tally.refuse(name, 1, f"not JSON: {text(error, 100)}", first)
        return True
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        try:
            for report in read_value(item):
                tally.add(name, report)
        except InputError as error:
            tally.refuse(name, number, error.message, json.dumps(item)[:200])
    return True


def _texts(name: str, first: str, lines: Iterator[tuple[int, bytes, bool]], tally: _Tally) -> Iterator[str]:
    """The lines of a log; those that are JSON are read as such."""
    yield first
    for _, line, _ in lines:
        if line[:1] == b"{":
            with contextlib.suppress(InputError):
                for report in read_line(line.decode("utf-8", "replace")):
                    tally.add(name, report)
                continue
        yield line[: 1 << 16].decode("utf-8", "replace").rstrip("\r\n")


def _read_log(name: str, lines: Iterator[str], tally: _Tally) -> None:
    for report in messages(lines):
        tally.add(name, report)


@dataclass(slots=True)
class _Counted:
    report: Report
    source: str
    count: int = 0
    devices: set[bytes] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None


def _leaf(report: Report) -> Pin | None:
    chain = report.served or report.validated
    return chain[0].pin if chain else next(iter(report.pins), None)


class _Tally:
    """Reports counted by what they agree on."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[object, ...], _Counted] = {}
        self.refused: list[Refused] = []
        self.findings: list[str] = []
        self.total = self.aside = self.uncounted = 0

    def add(self, source: str, report: Report) -> None:
        self.total += 1
        key = (
            report.format, report.kind, report.host, report.app, report.version, report.platform, report.system,
            report.region, report.network, report.served, report.validated, report.pins, report.known, report.enforced,
        )  # fmt: skip
        found = self.by_key.get(key)
        if found is None:
            if len(self.by_key) >= SIGHTINGS:
                self.uncounted += 1
                return
            found = self.by_key[key] = _Counted(report, source)
        found.count += 1
        if report.device and len(found.devices) < DEVICES:
            found.devices.add(hashlib.blake2b(report.device.encode("utf-8", "replace"), digest_size=8).digest())
        if report.at is not None:
            found.first = report.at if found.first is None else min(found.first, report.at)
            found.last = report.at if found.last is None else max(found.last, report.at)

    def refuse(self, source: str, line: int, reason: str, begins: str) -> None:
        self.aside += 1
        if len(self.refused) < REFUSED:
            self.refused.append(Refused(source, line, text(reason, 200), text(begins.strip(), 80)))

    def reports(self, raw: tuple[tuple[str, bytes], ...]) -> Reports:
        if self.uncounted:
            self.findings.append(f"{self.uncounted} reports differ from {SIGHTINGS} others and are counted only")
        sightings = [
            Sighting(c.report, c.source, c.count, len(c.devices), c.first, c.last, _leaf(c.report))
            for c in self.by_key.values()
        ]
        sightings.sort(key=lambda sighting: -sighting.count)
        return Reports(tuple(sightings), self.total, tuple(self.refused), self.aside, tuple(self.findings), raw)
