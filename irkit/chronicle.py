"""The timeline of an endpoint: which chains and leaf keys earlier captures saw, and when probers saw a change."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import render
from irkit.certificate import Certificate, Pin
from irkit.changes import ServerChange
from irkit.counters import parse, read_matrix
from irkit.errors import MissingExtraError
from irkit.files import read_file
from irkit.history import History, Sighting, read_history, timeline
from irkit.render import moment, plot_text, text
from irkit.servermetrics import ServerChanges, changes_of, in_order, load_changes, of_host

if TYPE_CHECKING:
    from irkit.plots import Picture

__all__ = ["Chronicle", "Probed", "history"]

_HEADERS = ("what", "id", "first seen", "last seen", "captures", "from where", "says")
_ROWS = 12  # that are drawn, the latest; the table has all


@dataclass(frozen=True, slots=True)
class Probed:
    """A certificate as a prober dates it, by fingerprint.

    Attributes:
        change: When it was first served, after which sample, and until which.
        certificate: The captured certificate of that fingerprint; None where no capture holds it: its key is unknown.
    """

    change: ServerChange
    certificate: Certificate | None

    @property
    def pin(self) -> Pin | None:
        """The certificate's key, where a capture holds the certificate."""
        return None if self.certificate is None else self.certificate.pin


@dataclass(frozen=True, slots=True, repr=False)
class Chronicle:
    """What is known of an endpoint's past. A notebook shows it drawn, with a table.

    Attributes:
        host, port: The endpoint.
        sightings: When each chain and each key was captured: chains, then keys, each by first sight.
        probed: Certificates that a prober dates by their fingerprint, in order of time.
        changes: Other changes that were given, such as of the earliest expiry, in order of time.
        findings: What could not be read, a line each.
    """

    host: str
    port: int
    sightings: tuple[Sighting, ...]
    probed: tuple[Probed, ...] = ()
    changes: tuple[ServerChange, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def picture(self) -> Picture | None:
        """Chains, leaf keys and probed certificates over time; None when nothing was seen.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        return _draw(self)

    def _rows(self) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = [
            (s.kind, s.id, moment(s.first), moment(s.last), s.captures, ", ".join(s.vantages), s.subject)
            for s in self.sightings
        ]
        rows += [
            ("probed", p.change.fingerprint, moment(p.change.at), moment(p.change.until) if p.change.until else "",
             "", p.change.where, f"key {p.pin}" if p.pin else "its key is unknown")
            for p in self.probed
        ]  # fmt: skip
        return rows + [("changed", "", moment(c.at), "", "", c.where, c.what) for c in self.changes]

    def __repr__(self) -> str:
        kinds = [sighting.kind for sighting in self.sightings]
        chains, keys = kinds.count("chain"), kinds.count("key")
        captured = f"{text(self.host, 100)}:{self.port}: {chains} chains and {keys} keys captured"
        probed = len({one.change.fingerprint for one in self.probed})
        head = f"{captured}, {probed} certificates and {len(self.changes)} other changes dated by metrics; UTC"
        rows = [(row[0], str(row[1])[: None if row[0] == "key" else 16], *row[2:]) for row in self._rows()]
        table = render.text_table(_HEADERS, rows) if rows else "nothing was captured, and nothing is dated"
        return "\n".join([head, "", table, *(f"  {text(finding, 400)}" for finding in self.findings)])

    def to_value(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "host": self.host, "port": self.port, "findings": list(self.findings),
            "sightings": [
                {"kind": s.kind, "id": s.id, "first": s.first.isoformat(), "last": s.last.isoformat(),
                 "captures": s.captures, "positions": list(s.positions), "vantages": list(s.vantages),
                 "trusted": s.trusted, "subject": s.subject}
                for s in self.sightings
            ],
            "changes": [
                {"at": c.at.isoformat(), "until": c.until.isoformat() if c.until else None, "what": c.what,
                 "source": c.source, "where": c.where, "fingerprint": c.fingerprint, "key": str(pin) if pin else None}
                for c, pin in (*((one.change, one.pin) for one in self.probed), *((c, None) for c in self.changes))
            ],
        }  # fmt: skip

    def _repr_html_(self) -> str:
        parts: list[object] = [render.table(_HEADERS, self._rows(), f"History of {self.host}:{self.port}, UTC")]
        try:
            picture = self.picture
        except MissingExtraError:
            picture = None  # the table says it all
        if picture is not None:
            parts.insert(0, picture.markup)
        return render.fragment(*parts, *([render.bullets(self.findings)] if self.findings else []))._repr_html_()


def history(
    host: str,
    folder: str | os.PathLike[str] = "captures",
    *,
    port: int = 443,
    changes: Iterable[ServerChange] = (),
    metrics: str | os.PathLike[str] | bytes | None = None,
) -> Chronicle:
    """The timeline of an endpoint's chains and keys, from the folder that every triage adds its captures to.

    Args:
        host: As it was captured.
        folder: The history's; with metrics it need not be there yet.
        port: TCP port.
        changes: What metrics date, as `Evidence.changes`: blackbox_exporter's probe_ssl_last_chain_info names the leaf
            by its SHA-256, which a capture of the same certificate turns into a key. Only changes of what was served
            count.
        metrics: A saved file with such metrics, or its bytes: what `irkit metrics save` wrote, a body of
            /api/v1/query_range, OpenMetrics text with times, a `promtool tsdb dump`, or Parquet with a row a sample.

    Raises:
        InputError: There is no such folder, or a folder or file can't be read.
        MetricsError: The metrics are damaged.
    """
    dated = ServerChanges((), ()) if metrics is None else _dated(metrics, host)
    if metrics is not None and not Path(folder).exists():
        past = History((), (f"there is no history folder {text(folder, 200)} yet",))
    else:
        past = read_history(folder, host, port)
    held = {certificate.sha256: certificate for capture in past.captures for certificate in capture.chain}
    served = [one for one in in_order((*changes, *dated.changes)) if one.kind == "served"]
    return Chronicle(
        host,
        port,
        timeline(past.captures),
        tuple(Probed(one, held.get(one.fingerprint)) for one in served if one.fingerprint),
        tuple(one for one in served if not one.fingerprint),
        past.findings + dated.findings,
    )


def _dated(metrics: str | os.PathLike[str] | bytes, host: str) -> ServerChanges:
    """What a file of metrics dates, whatever its form."""
    from irkit.metricdump import is_text, read_parquet, read_text

    what, data = "the metrics", metrics
    if not isinstance(data, bytes):
        what = text(metrics, 200)
        data = read_file(os.fsdecode(data), "name a file of metrics", limit=1 << 30)
    if data.lstrip()[:1] == b"[":
        return load_changes(data, host, what)
    if data[:4] == b"PAR1":
        series, findings = read_parquet(data, what)
    elif is_text(data):
        series, findings = read_text(data, what)
    else:
        series, findings = read_matrix(*parse(data, what), what)
    own = of_host(series, host)
    if not own:
        findings.append(f"{what} has none of the known metrics of {text(host, 100)}")
    found, said = changes_of(own, host)
    return ServerChanges(found, (*findings, *said))


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the drawing: spans of captures and of probes, and moments of a change."""

    name: str
    captured: tuple[tuple[datetime, datetime], ...] = ()
    probed: tuple[tuple[datetime, datetime], ...] = ()
    changed: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def first(self) -> datetime:
        return min(first for first, _ in self.captured + self.probed + self.changed)

    def words(self) -> str:
        """The line in words."""
        ways = {"captured": self.captured, "probed from": self.probed, "changed": self.changed}
        return ", ".join(
            f"{how} {moment(first)}" + (f" to {moment(last)}" if last != first else "")
            for how, spans in ways.items()
            for first, last in spans
        )


def _lines(of: Chronicle) -> list[_Row]:
    """Chains, leaf keys, certificates that only a prober saw, and changes of the expiry; each group by first sight."""

    def spans(probed: Iterable[Probed]) -> tuple[tuple[datetime, datetime], ...]:
        return tuple((one.change.at, one.change.until or one.change.at) for one in probed)

    found = []
    for kind in ("chain", "key"):
        rows = []
        for sight in of.sightings:
            if sight.kind == kind and (kind == "chain" or 0 in sight.positions):
                name = f"chain {sight.id[:12]}" if kind == "chain" else f"{sight.id[:18]}..."
                known = [one for one in of.probed if kind == "key" and str(one.pin) == sight.id]
                rows.append(_Row(name, ((sight.first, sight.last),), spans(known)))
        found += sorted(rows, key=lambda row: row.first)
    unknown: dict[str, list[Probed]] = {}
    for one in of.probed:
        if one.certificate is None:
            unknown.setdefault(one.change.fingerprint, []).append(one)
    found += [_Row(f"probed {name[:12]}", probed=spans(group)) for name, group in unknown.items()]
    places: dict[str, list[ServerChange]] = {}
    for change in of.changes:
        label = "earliest expiry" if change.source == "probe_ssl_earliest_cert_expiry" else change.source or "a change"
        places.setdefault(label, []).append(change)
    # A change lies between the last sample that showed it otherwise and the first that showed it so.
    return found + [
        _Row(name, changed=tuple((one.earliest or one.at, one.at) for one in group)) for name, group in places.items()
    ]


_WAYS = {
    "captured": ("-", "o", 0.0),
    "seen by a prober": ((0, (2, 2)), "s", 0.22),
    "changed, by a prober": (":", "D", 0.0),
}


def _draw(of: Chronicle) -> Picture | None:
    from irkit.plots import FAINT, INK, Picture, dates, drawing, naive, to_png

    every = _lines(of)
    rows = [row for row in every if row in sorted(every, key=lambda row: row.first)[-_ROWS:]]
    if not rows:
        return None
    with drawing(9.2, 1.5 + 0.42 * len(rows)) as figure:
        axes = figure.subplots()
        for y, row in enumerate(rows):
            for way, spans in zip(_WAYS, (row.captured, row.probed, row.changed), strict=True):
                dash, marker, lower = _WAYS[way]
                for first, last in spans:
                    axes.plot([naive(first), naive(last)], [y + lower] * 2, linestyle=dash, marker=marker, color=INK,
                              markersize=6, markerfacecolor="white", linewidth=1.6, label=way,
                              markevery=[1] if marker == "D" else None)  # fmt: skip
            for _, at in row.changed:
                axes.axvline(naive(at), color=FAINT, linewidth=1.2, zorder=0)
        axes.set_yticks(range(len(rows)), [plot_text(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(named.values(), named, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
        dates(axes)
        png = to_png(figure)
    said = "; ".join(f"{row.name}: {row.words()}" for row in rows)
    more = f" {len(every) - len(rows)} earlier lines are not drawn." if len(every) > len(rows) else ""
    caption = (
        f"Chains and leaf keys of {text(of.host, 100)}:{of.port}, first to last capture, UTC; dashed, as a prober saw "
        f"the certificate; a diamond, since when it saw the chain's earliest expiry changed.{more}"
    )
    return Picture(png, f"Chains and leaf keys over time. {said}.", caption)
