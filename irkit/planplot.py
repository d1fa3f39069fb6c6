"""The picture of a plan: how many users a rotation would break, day by day, with its calendar."""

from __future__ import annotations

from datetime import timedelta

from irkit.plan import Plan
from irkit.plots import INK, MUTED, Picture, dates, drawing, naive, to_png

__all__ = ["broken_over_time"]


def broken_over_time(plan: Plan) -> Picture:
    """The share of validations that break if the key is served on a day, with the tolerance and the plan's dates.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    last = max(plan.at, plan.earliest or plan.at) + timedelta(days=100)
    shown = [(naive(day), 100 * broken) for day, broken in plan.curve if day <= last]
    limit = 100 * plan.rotation.tolerate
    with drawing(9.2, 3.6) as figure:
        axes = figure.subplots()
        axes.plot([day for day, _ in shown], [broken for _, broken in shown], color=INK, linewidth=1.8)
        axes.axhline(limit, color=MUTED, linestyle="--", linewidth=1.2)
        axes.annotate(
            f"tolerated: {limit:.3g} %", (0.995, limit), xycoords=("axes fraction", "data"), xytext=(0, 3),
            textcoords="offset points", ha="right", fontsize=9,
        )  # fmt: skip
        for milestone in plan.milestones:
            at = naive(milestone.at)
            if shown and shown[0][0] <= at <= shown[-1][0]:
                axes.axvline(at, color=MUTED, linestyle=":", linewidth=1.2)
                axes.annotate(
                    f"{milestone.days:+d} d" if milestone.days else "the day", (at, 1), xytext=(3, -10),
                    xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=9,
                )  # fmt: skip
        axes.set_ylabel("validations that break, %")
        axes.set_ylim(0, max([broken for _, broken in shown] + [2 * limit, 1.0]) * 1.08)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        dates(axes)
        image = to_png(figure)
    calendar = "; ".join(f"{m.days:+d} days: {m.at:%Y-%m-%d}, {m.state}" for m in plan.milestones)
    return Picture(image, f"{plan.head} The calendar: {calendar}.", "What breaks if the key is switched on that day.")
