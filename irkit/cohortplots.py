"""Pictures of cohorts: over time as a heat map, and the worst as bars with their intervals."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from irkit.plots import FAINT, INK, INTERVAL, MUTED, Picture, drawing, naive, span, time_axis, to_png
from irkit.render import moment, percent, plot_text, text
from irkit.trend import trend

if TYPE_CHECKING:
    from irkit.failures import Failures
    from irkit.verdict import Verdict

__all__ = ["cohorts_over_time", "worst"]

ROWS = 12  # of the heat map; what is past them is summed up
DARKEST = 0.75  # of its cells: how far from white


def cohorts_over_time(
    failures: Failures | None, verdict: Verdict | None = None, *, by: str | tuple[str, ...] = ()
) -> Picture | None:
    """A heat map: a row a cohort, time across, the share of validations that fail as shade; without data, a gap.

    Args:
        failures: The counts; None for none.
        verdict: For the onset.
        by: The roles down the side; the first two that tell cohorts apart when left out.

    Returns:
        The picture; None when the failures are not told apart by them.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    import numpy as np

    if failures is None:
        return None
    told = [role for role in failures.roles if len({cohort[role] for cohort in failures.cohorts}) > 1]
    order = [role for role in ("version", "region", "network", "platform") if role in told]
    roles = (by,) if isinstance(by, str) else by or tuple(order[:2])
    shown = trend(failures, verdict, roles, ROWS) if roles and set(roles) <= set(failures.roles) else None
    if shown is None:
        return None
    ratio = np.array([line.ratio for line in shown.lines])
    if np.isnan(ratio).all():
        return None
    highest = max(float(np.nanmax(ratio)), 0.001)
    edges = np.append(shown.starts, shown.starts[-1] + np.timedelta64(shown.step))
    with drawing(9.2, 1.3 + 0.32 * len(ratio)) as figure:
        axes = figure.subplots()
        down = np.arange(len(ratio) + 1)
        cells = axes.pcolormesh(edges, down, 100 * ratio, cmap="gray_r", vmin=0, vmax=100 * highest / DARKEST)
        axes.set_facecolor(INTERVAL)  # a gap is a colour, not a shade
        for edge in down[1:-1]:
            axes.axhline(edge, color=FAINT, linewidth=0.7)
        if shown.onset is not None and failures.start <= shown.onset <= failures.end:
            axes.axvline(naive(shown.onset), color=INK, linewidth=1.1)
        axes.invert_yaxis()
        axes.set_yticks([i + 0.5 for i in range(len(ratio))], [plot_text(line.name, 30) for line in shown.lines])
        axes.tick_params(axis="y", length=0)
        time_axis(axes, shown)
        bar = figure.colorbar(cells, ax=axes, pad=0.01, boundaries=np.linspace(0, 100 * highest, 65))
        bar.set_ticks([0, 50 * highest, 100 * highest], labels=[percent(part * highest) for part in (0, 0.5, 1)])
        bar.set_label("failing validations")
        png = to_png(figure)
    line = " The line is the onset." if shown.onset is not None else ""
    caption = (
        f"Share of failing validations of {text(failures.host)} {shown.what} over time, in steps of "
        f"{span(shown.step)}, UTC: the darker, the more. Tinted: no validations or no data.{line}"
    )
    return Picture(png, shown.alt.replace("Line chart", "Heat map", 1), caption)


def worst(failures: Failures | None, *, by: str = "version", since: datetime | None = None) -> Picture | None:
    """The worst values of a role as bars: the share that fails, with its 95 % Wilson interval and the counts.

    Args:
        failures: The counts; None for none.
        by: The role.
        since: Only from then on, aware; the whole window when left out.

    Returns:
        The picture; None when the failures are not told apart by it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from irkit.scope import top

    if failures is None or by not in failures.roles:
        return None
    table = top(failures, by, since=since)
    table = table[table["validations"] > 0]
    if table.empty:
        return None
    names = [str(name) or "(no value)" for name in table.index]
    rows: list[Any] = list(table.itertuples())
    with drawing(9.2, 0.9 + 0.42 * len(table)) as figure:
        axes = figure.subplots()
        furthest = 100 * float(table["high"].max())
        for y, (name, row) in enumerate(zip(names, rows, strict=True)):
            value, low, high = (100 * float(part) for part in (row.ratio, row.low, row.high))
            axes.barh(y, value, height=0.62, color=FAINT, edgecolor=MUTED, linewidth=0.8)
            axes.errorbar(value, y, xerr=[[value - low], [high - value]], color=INK, capsize=4, linewidth=1.4)
            said = f"{percent(row.ratio)}, {row.failures:,.0f} of {row.validations:,.0f}"
            axes.text(high + 0.015 * furthest, y, said, va="center", fontsize=9)
            axes.text(-0.012 * furthest, y, plot_text(name, 24), va="center", ha="right", fontsize=9.5)
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.set_xlim(0, 1.35 * max(furthest, 0.001))
        axes.set_yticks([])
        axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= 100])  # beyond is room for the numbers
        axes.set_xlabel("failing validations, %")
        axes.spines[["top", "right"]].set_visible(False)
        png = to_png(figure)
    window = f"from {moment(max(since, failures.start))} on" if since else "over the whole window"
    told = "; ".join(
        f"{text(name, 40)} {percent(row.ratio)} ({percent(row.low)} to {percent(row.high)}), "
        f"{row.failures:,.0f} of {row.validations:,.0f}"
        for name, row in zip(names, rows, strict=True)
    )
    first = "beyond the baseline first" if since else "first"
    caption = f"The worst by {by} {window}, the most failures {first}; the whisker is a 95 % interval (Wilson)."
    return Picture(png, f"Bars: share of failing validations by {by}, {window}: {told}.", caption)
