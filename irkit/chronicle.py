"""The timeline of an endpoint: which chains and leaf keys earlier captures saw, and when probers saw a change."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from irkit import render
from irkit.certificate import Certificate, Pin
from irkit.changes import ServerChange
from irkit.errors import MissingExtraError
from irkit.history import Sighting, read_history, timeline
from irkit.render import moment, plot_text, text

if TYPE_CHECKING:
    from irkit.plots import Picture

__all__ = ["Chronicle", "Probed", "history"]

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
        return rows + [("change", "", moment(c.at), "", "", c.where, c.what) for c in self.changes]

    def __repr__(self) -> str:
        kinds = [sighting.kind for sighting in self.sightings]
        chains, keys = kinds.count("chain"), kinds.count("key")
        captured = f"{text(self.host, 100)}:{self.port}: {chains} chains and {keys} keys captured"
        lines = [f"{captured}, {len(self.probed)} certificates dated by probers"]
        lines += [" ".join(text(cell, 100) for cell in row if cell != "") for row in self._rows()]
        return "\n".join([*lines, *(text(finding) for finding in self.findings)])

    def _repr_html_(self) -> str:
        headers = ("what", "id", "first seen", "last seen", "captures", "from where", "says")
        parts: list[object] = [render.table(headers, self._rows(), f"History of {self.host}:{self.port}, UTC")]
        try:
            picture = self.picture
        except MissingExtraError:
            picture = None  # the table says it all
        if picture is not None:
            parts.insert(0, picture.markup)
        return render.fragment(*parts, *([render.bullets(self.findings)] if self.findings else []))._repr_html_()


def history(
    host: str, folder: str | os.PathLike[str] = "captures", *, port: int = 443, changes: Iterable[ServerChange] = ()
) -> Chronicle:
    """The timeline of an endpoint's chains and keys, from the folder that every triage adds its captures to.

    Args:
        host: As it was captured.
        folder: The history's.
        port: TCP port.
        changes: What metrics date, as `Evidence.changes`: blackbox_exporter's probe_ssl_last_chain_info names the leaf
            by its SHA-256, which a capture of the same certificate turns into a key. Only changes of what was served
            count.

    Raises:
        InputError: There is no such folder, or it can't be read.
    """
    past = read_history(folder, host, port)
    held = {certificate.sha256: certificate for capture in past.captures for certificate in capture.chain}
    served = sorted((one for one in changes if one.kind == "served"), key=lambda one: one.at)
    return Chronicle(
        host,
        port,
        timeline(past.captures),
        tuple(Probed(one, held.get(one.fingerprint)) for one in served if one.fingerprint),
        tuple(one for one in served if not one.fingerprint),
        past.findings,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the drawing: spans of captures, and of probes."""

    name: str
    captured: tuple[datetime, datetime] | None
    probed: tuple[tuple[datetime, datetime], ...]

    @property
    def first(self) -> datetime:
        spans = self.probed if self.captured is None else (self.captured, *self.probed)
        return min(first for first, _ in spans)


def _spans(probed: Iterable[Probed]) -> tuple[tuple[datetime, datetime], ...]:
    return tuple((one.change.at, one.change.until or one.change.at) for one in probed)


def _lines(of: Chronicle) -> list[_Row]:
    """Chains, leaf keys, and certificates that only a prober saw, each group by first sight."""
    found = []
    for kind in ("chain", "key"):
        rows = []
        for sight in of.sightings:
            if sight.kind == kind and (kind == "chain" or 0 in sight.positions):
                name = f"chain {sight.id[:12]}" if kind == "chain" else f"{sight.id[:18]}..."
                known = [one for one in of.probed if kind == "key" and str(one.pin) == sight.id]
                rows.append(_Row(name, (sight.first, sight.last), _spans(known)))
        found += sorted(rows, key=lambda row: row.first)
    unknown: dict[str, list[Probed]] = {}
    for one in of.probed:
        if one.certificate is None:
            unknown.setdefault(one.change.fingerprint, []).append(one)
    return found + [_Row(f"probed {name[:12]}", None, _spans(group)) for name, group in unknown.items()]


def _draw(of: Chronicle) -> Picture | None:
    from irkit.plots import FAINT, INK, Picture, dates, drawing, naive, to_png

    every = _lines(of)
    rows = [row for row in every if row in sorted(every, key=lambda row: row.first)[-_ROWS:]]
    if not rows:
        return None
    with drawing(9.2, 1.5 + 0.42 * len(rows)) as figure:
        axes = figure.subplots()
        ways = {"captured": ("-", "o", 0.0), "seen by a prober": ((0, (2, 2)), "s", 0.22)}
        for y, row in enumerate(rows):
            for way, spans in zip(ways, ((row.captured,) if row.captured else (), row.probed), strict=True):
                dash, marker, lower = ways[way]
                for first, last in spans:
                    axes.plot([naive(first), naive(last)], [y + lower] * 2, linestyle=dash, marker=marker, color=INK,
                              markersize=6, markerfacecolor="white", linewidth=1.6, label=way)  # fmt: skip
        axes.set_yticks(range(len(rows)), [plot_text(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(named.values(), named, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9)
        dates(axes)
        png = to_png(figure)
    said = "; ".join(f"{row.name}: {_words(row)}" for row in rows)
    more = f" {len(every) - len(rows)} earlier lines are not drawn." if len(every) > len(rows) else ""
    caption = (
        f"Chains and leaf keys of {text(of.host, 100)}:{of.port}, first to last capture, UTC; dashed, as a prober saw "
        f"the certificate.{more}"
    )
    return Picture(png, f"Chains and leaf keys over time. {said}.", caption)


def _words(row: _Row) -> str:
    spans = [("captured", row.captured)] if row.captured else []
    spans += [("probed from", span) for span in row.probed]
    return ", ".join(
        f"{how} {moment(span[0])}" + (f" to {moment(span[1])}" if span[1] != span[0] else "") for how, span in spans
    )
