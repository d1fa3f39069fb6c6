"""Pictures for the report: failures and keys over time, chains side by side.

Every picture is readable in grey (line styles, markers, hatches, labels beside what they name), states UTC on its time
axis, and has an alt text that says in numbers what it shows. Nothing here touches pyplot or the user's settings.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from irkit import render
from irkit.errors import MissingExtraError
from irkit.evidence import Evidence
from irkit.lineup import DEPTH, Column, Lineup, lineup, role, short_name
from irkit.render import moment, plot_text, text
from irkit.trend import Line, Trend, trend
from irkit.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from irkit.failures import Failures

__all__ = [
    "FAINT", "INK", "INTERVAL", "MUTED", "STYLES", "Picture", "chain_comparison", "dates", "drawing", "failure_ratio",
    "key_timeline", "naive", "span", "time_axis", "to_png",
]  # fmt: skip

INK, MUTED, FAINT, INTERVAL = "#1b1e22", "#4b525b", "#d5dae0", "#f5c9a8"  # the last two carry no text of their own
# Apart in hue for those who see it, in dash and marker for everyone; each has 7:1 on white.
STYLES: tuple[tuple[str, Any, str], ...] = (
    ("#96101b", "-", "o"), ("#0d4f8b", (0, (6, 2)), "s"), ("#17592f", (0, (6, 2, 1, 2)), "^"),
    ("#6e3b00", (0, (3, 2)), "D"), ("#4b525b", (0, (1, 2)), "v"),
)  # fmt: skip
_DASHES = {"onset": "-", "notBefore": (0, (6, 3)), "release": (0, (1, 2)), "change": (0, (6, 2, 1, 2))}
_HATCHES = ("", "////", "....", "xxxx", "----", "||||", "\\\\\\\\", "++++", "oo", "**")
_SHADES = ("#ffffff", "#e4e8ed", "#f6ecd9", "#dcebe0", "#f7e3e4", "#ece6f4", "#dbe8f6", "#efefef", "#fff3c4", "#e0e0e0")


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """A picture with its words.

    Attributes:
        png: The picture, as a PNG file.
        alt: What it shows, in numbers, for those who don't see it.
        caption: How to read it.
    """

    png: bytes
    alt: str
    caption: str

    def __repr__(self) -> str:
        return f"Picture: {text(self.alt, 3000)}"

    def _repr_html_(self) -> str:
        return self.markup._repr_html_()

    @property
    def markup(self) -> render.Markup:
        """The picture as HTML, with its alt text."""
        return render.figure(self.png, self.alt, self.caption)


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure that owes nothing to the user's settings, such as a dark style or LaTeX. Sizes in inches."""
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("pictures need matplotlib", 'pip install "irkit[workbench]"') from None
    kept = ("backend", "interactive", "toolbar")
    plain: Any = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith(kept)}
    inks = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    with mpl.rc_context(plain | inks):
        figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    # Without the program's version, the same evidence gives the same bytes.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def failure_ratio(source: Evidence | Failures, verdict: Verdict | None = None, *, by: str = "") -> Picture | None:
    """The share of validations that fail, over time, with the traffic below.

    Args:
        source: Evidence, or its failures.
        verdict: For the onset.
        by: The role whose values are told apart (version, platform, region, network); chosen when left out.

    Returns:
        The picture; None when there are no failures to draw.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    shown = trend(source, verdict, by)
    if shown is None:
        return None
    with drawing(9.2, 5.0 + 0.16 * len(shown.marks)) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        _draw_lines(top, shown)
        _draw_marks(top, bottom, shown, verdict)
        per_minute = 60 * shown.validations / shown.step.total_seconds()
        bottom.fill_between(shown.starts, per_minute, step="post", color=FAINT, edgecolor=MUTED, linewidth=0.8)
        bottom.set_ylim(bottom=0)
        bottom.set_ylabel("validations\nper minute")
        top.set_ylabel("failing validations, %")
        time_axis(bottom, shown)
        for axes in (top, bottom):
            axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.7)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        figure.align_ylabels()
        png = to_png(figure)
    caption = (
        f"Share of pin validations of {text(shown.failures.host)} that fail, {shown.what}, in steps of "
        f"{span(shown.step)}, UTC. A line breaks where there were no validations or no data. A shaded band is the 95 % "
        "interval of an onset. Below: all traffic."
        + ("" if shown.usual is None else " Dotted: what is usual at that hour for all together, by the days before.")
    )
    return Picture(png, shown.alt, caption)


def _draw_lines(axes: Axes, shown: Trend) -> None:
    import numpy as np

    highest = 0.0
    for line, (colour, dash, marker) in zip(shown.lines, STYLES, strict=False):
        axes.plot(
            shown.starts, 100 * line.ratio, color=colour, linestyle=dash, marker=marker, markersize=4.5,
            markevery=max(1, len(shown.starts) // 12), linewidth=1.8,
        )  # fmt: skip
        if line.seen:
            highest = max(highest, float(np.nanmax(line.ratio)))
    if shown.usual is not None:
        axes.plot(shown.starts, 100 * shown.usual, color=MUTED, linestyle=":", linewidth=1.2)
    height = 100 * min(1.04, max(1.15 * highest, 0.001))
    axes.set_ylim(-0.02 * height, height)
    _name_lines(axes, shown.lines, height)


def _name_lines(axes: Axes, lines: Sequence[Line], height: float) -> None:
    """Writes each line's name beside its last point, names kept apart."""
    import numpy as np

    ends = []
    for line, (colour, *_) in zip(lines, STYLES, strict=False):
        if line.seen:
            last = line.ratio[np.flatnonzero(~np.isnan(line.ratio))[-1]]
            ends.append((100 * float(last), line.name, colour))
    gap, ends = 0.07 * height, sorted(ends)
    places = list[float]()
    for value, *_ in ends:
        places.append(max(value, places[-1] + gap) if places else value)
    ceiling = height
    for i in reversed(range(len(places))):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - gap
    for (_, name, colour), place in zip(ends, places, strict=True):
        axes.annotate(
            plot_text(name, 24), (1.0, place), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va="center", color=colour, fontsize=9.5, fontweight="bold",
            annotation_clip=False,
        )  # fmt: skip


def _draw_marks(top: Axes, bottom: Axes, shown: Trend, verdict: Verdict | None) -> None:
    """The moments, each named above the picture in a row of its own, so that near ones don't cover one another."""
    for judged in verdict.cohorts if verdict is not None else ():
        if judged.cohort.earliest is not None and judged.cohort.latest is not None:
            for axes in (top, bottom):
                ends = naive(judged.cohort.earliest), naive(judged.cohort.latest)
                axes.axvspan(*ends, color=INTERVAL, linewidth=0, zorder=0)
    middle = shown.failures.start + (shown.failures.end - shown.failures.start) / 2
    clock = "%H:%M" if shown.failures.end - shown.failures.start <= timedelta(days=1) else "%m-%d %H:%M"
    for row, mark in enumerate(shown.marks):
        for axes in (top, bottom):
            axes.axvline(naive(mark.at), color=INK, linestyle=_DASHES[mark.kind], linewidth=1.1, zorder=1)
        early = mark.at < middle
        top.annotate(
            f"{plot_text(mark.what, 44)} {mark.at.astimezone(UTC):{clock}}", (naive(mark.at), 1.0),
            xycoords=("data", "axes fraction"), xytext=(3 if early else -3, 4 + 12 * (len(shown.marks) - 1 - row)),
            textcoords="offset points", fontsize=8.5, color=INK, ha="left" if early else "right",
            annotation_clip=False, fontweight="bold" if mark.kind == "onset" else "normal",
        )  # fmt: skip


def naive(at: datetime) -> Any:
    """For matplotlib, which takes a time without a zone for UTC."""
    return at.astimezone(UTC).replace(tzinfo=None)


def time_axis(axes: Axes, shown: Trend) -> None:
    """The whole window across, in UTC."""
    dates(axes)
    axes.set_xlim(naive(shown.failures.start), naive(shown.failures.end))


def dates(axes: Axes) -> None:
    """Marks the time axis in UTC."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=UTC, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]  # matplotlib's types end here
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]  # as above
    axes.set_xlabel("time, UTC")


def span(step: timedelta) -> str:
    """The length of a bin in words."""
    minutes = step.total_seconds() / 60
    return f"{minutes:g} min" if minutes >= 1 else f"{step.total_seconds():g} s"


def chain_comparison(evidence: Evidence, *, chains: Lineup | None = None) -> Picture | None:
    """Chains side by side: before, now, and as failing clients saw them. The same key has the same letter and pattern.

    A pin is written beside a certificate only where that certificate is on the path that signs the leaf: one that was
    merely sent along proves nothing.

    Args:
        evidence: What was gathered.
        chains: As `irkit.lineup.lineup` gives them, when they are at hand.

    Returns:
        The picture; None when there is no chain.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    chains = chains or lineup(evidence)
    if not chains.columns:
        return None
    count = len(chains.columns)
    depth = min(DEPTH, max(len(column.chain) for column in chains.columns))
    with drawing(min(11.0, 0.3 + 2.9 * count), 0.7 + 1.06 * depth) as figure:
        axes = figure.subplots()
        axes.set_xlim(-0.02, count)
        axes.set_ylim(depth + 0.05, -0.55)
        axes.axis("off")
        for x, column in enumerate(chains.columns):
            axes.text(x, -0.4, plot_text(column.title), fontsize=10.5, fontweight="bold", va="center")
            axes.text(x, -0.16, plot_text(column.note, 42), fontsize=8.5, color=MUTED, va="center")
            _draw_column(axes, x, column, chains, depth)
        png = to_png(figure)
    caption = (
        "Each box is a certificate, the leaf on top. The same letter and pattern is the same key. "
        "A dashed box was sent along, but signs nothing in its chain."
        + (f" {chains.more} more chains are not drawn." if chains.more else "")
    )
    return Picture(png, chains.alt, caption)


def _draw_column(axes: Axes, x: int, column: Column, chains: Lineup, depth: int) -> None:
    from matplotlib.patches import Rectangle

    letters = list(chains.letters)
    for y, certificate in enumerate(column.chain[:depth]):
        key, on_path = letters.index(certificate.pin), column.on_path(certificate)
        outline: dict[str, Any] = {"edgecolor": INK, "linewidth": 1.3, "linestyle": "-" if on_path else (0, (3, 2))}
        axes.add_patch(Rectangle((x, y + 0.02), 0.95, 0.88, facecolor=_SHADES[key % len(_SHADES)], **outline))
        # The pattern has a strip of its own: text over a hatch can't be read.
        hatch = _HATCHES[key % len(_HATCHES)]
        axes.add_patch(Rectangle((x, y + 0.02), 0.08, 0.88, facecolor="white", hatch=hatch, **outline))
        releases = chains.pinned_by(column, certificate)
        pinned = ", ".join(releases)
        pinned = pinned if len(pinned) <= 22 or len(releases) == 1 else f"{len(releases)} releases"
        lines = [
            f"{role(y, certificate)}, key {chains.letters[certificate.pin]}",
            plot_text(short_name(certificate), 30),
            plot_text(certificate.pin.base64 if certificate.pin else "no pin", 25),
            plot_text(f"pinned by {pinned}", 32) if pinned else "not pinned" if on_path else "signs nothing here",
        ]
        for i, line in enumerate(lines):
            weight = "bold" if i == 0 or (i == 3 and pinned) else "normal"
            axes.text(x + 0.11, y + 0.15 + 0.205 * i, line, fontsize=8.5, fontweight=weight, va="center")
    if len(column.chain) > depth:
        axes.text(x, depth, f"and {len(column.chain) - depth} more", fontsize=8.5, color=MUTED, va="center")


_MARKERS = {"captured earlier": ("|", 11), "captured now": ("o", 8), "seen by clients": ("x", 9)}
_KEYS = 8  # rows of the timeline


def key_timeline(evidence: Evidence) -> Picture | None:
    """Which leaf key was seen when: by trusted vantages, earlier and now, and by failing clients.

    Args:
        evidence: What was gathered.

    Returns:
        The picture; None when no chain has a time.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    seen: dict[str, dict[str, list[datetime]]] = {}
    sightings = [("captured earlier", item.chain, item.at) for item in evidence.history]
    sightings += [("captured now", item.chain, item.at) for item in evidence.captures]
    sightings += [("seen by clients", client.chain, client.at) for client in evidence.observed]
    for kind, chain, at in sightings:
        if at is not None and len(chain):
            name = f"{str(chain.leaf.pin)[:18]}..." if chain.leaf.pin is not None else "no pin"
            seen.setdefault(name, {}).setdefault(kind, []).append(at)
    if not seen:
        return None
    ordered = sorted(seen, key=lambda name: min(at for times in seen[name].values() for at in times))
    rows = ordered[-_KEYS:]
    with drawing(9.2, 1.5 + 0.42 * len(rows)) as figure:
        axes = figure.subplots()
        for kind, (marker, size) in _MARKERS.items():
            points = [(naive(at), y) for y, name in enumerate(rows) for at in seen[name].get(kind, ())]
            if points:
                across, down = zip(*points, strict=True)
                axes.plot(across, down, marker, color=INK, markersize=size, markerfacecolor="white",
                          markeredgewidth=1.8, label=kind)  # fmt: skip
        axes.set_yticks(range(len(rows)), [plot_text(name) for name in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
        dates(axes)
        png = to_png(figure)
    said = [
        f"{name}: "
        + ", ".join(
            f"{kind} {len(times)} times, {moment(min(times))}" + (f" to {moment(max(times))}" if len(times) > 1 else "")
            for kind, times in seen[name].items()
        )
        for name in rows
    ]
    more = f" {len(ordered) - len(rows)} earlier keys are not drawn." if len(ordered) > len(rows) else ""
    return Picture(png, "Leaf keys over time. " + "; ".join(said) + ".", f"Which leaf key was seen when, UTC.{more}")
