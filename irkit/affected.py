"""Who is affected: section 1 of the report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import isnan
from typing import TYPE_CHECKING

from irkit import cohortplots, plots
from irkit.evidence import Evidence
from irkit.exhibits import missing, picture_of
from irkit.render import (
    Markup,
    aside,
    bullets,
    code,
    details,
    fragment,
    moment,
    paragraph,
    percent,
    strong,
    table,
)
from irkit.summary import explained, interval, onset_inside, since_onset
from irkit.verdict import Cohort, Verdict

if TYPE_CHECKING:
    from irkit.failures import Failures

__all__ = ["cohort_facts", "scope"]


_SHAPES = {
    "step": "at once (step)", "ramp": "growing (ramp)", "blip": "short and over (blip)",
    "recurring": "again and again (recurring)", "drift": "slowly (drift)", "none": "nothing rose",
}  # fmt: skip


def scope(
    evidence: Evidence, verdict: Verdict | None = None, *, part: bool = False, table_of_cohorts: bool = True
) -> Markup:
    """Who fails, since when, in which shape.

    Args:
        evidence: With its failures, if there are any.
        verdict: For the cohorts and the onset; without it the counts alone are shown.
        part: The failures are those of some cohorts only. They say nothing of what tells these from the others.
        table_of_cohorts: Left out where a control shows the cohorts already.
    """
    failures = evidence.failures
    if failures is None:
        return fragment(
            paragraph("How many users fail, and since when, is not known: no failures were counted."),
            missing(evidence, "metrics"),
            _cohorts(evidence, verdict),
        )
    total = failures.by().iloc[0]
    ratio = percent(total.ratio) if total.validations else "no ratio"
    since = onset_inside(evidence, verdict)
    return fragment(
        paragraph(
            strong(f"{total.failures:,.0f} of {total.validations:,.0f} validations failed"),
            f" ({ratio}) from {moment(failures.start)} to {moment(failures.end)}.",
        ),
        paragraph(words) if not part and (words := explained(evidence, verdict)) else "",
        "" if part or not table_of_cohorts else _cohorts(evidence, verdict),
        picture_of(lambda: plots.failure_ratio(evidence, verdict)),
        _changes(evidence),
        *_worst(failures, since),
        picture_of(lambda: cohortplots.cohorts_over_time(failures, verdict)),
        "" if part else _explanations(failures, since),
        details("What to know about these counts", bullets(map(_sentence, failures.findings)))
        if failures.findings
        else "",
        details("The query", code(failures.query), aside("From ", failures.source)) if failures.query else "",
    )


def _cohorts(evidence: Evidence, verdict: Verdict | None) -> Markup:
    if verdict is None or not verdict.cohorts:
        return Markup()
    rows = [(judged.cohort.name, *cohort_facts(evidence, judged.cohort), judged.verdict) for judged in verdict.cohorts]
    failures = "failures since then" if any(judged.cohort.onset for judged in verdict.cohorts) else "failures"
    headers = ("who", "since", failures, "share of all validations", "how it rose", "verdict")
    return table(headers, rows, "Cohorts: failures that belong together, the gravest first")


def cohort_facts(evidence: Evidence, cohort: Cohort) -> tuple[str, str, str, str]:
    """Since when a cohort fails, how many do since then, whose share of all validations they are, and how it rose."""
    failed, validated = since_onset(evidence, cohort) or (cohort.failures, cohort.validations)
    counts = "not counted"
    if failed is not None and validated:
        counts = f"{failed:,.0f} of {validated:,.0f} ({percent(failed / validated)})"
    shape = _SHAPES.get(cohort.shape, "unknown") + (f", until {moment(cohort.end)}" if cohort.end else "")
    return _began(cohort), counts, percent(cohort.share), shape


def _worst(failures: Failures, since: datetime | None) -> Iterator[Markup]:
    """The worst values of each role: those of the role that tells most as bars and as a table, the others folded."""
    from irkit.trend import trend

    shown = trend(failures)
    telling = shown.by if shown is not None else ""
    when = f"since {moment(since)}" if since else "in the whole window"
    roles = [name for name in failures.roles if len({cohort[name] for cohort in failures.cohorts}) > 1]
    for name in sorted(roles, key=lambda name: name != telling):
        made = _top(failures, name, since)
        if name == telling:
            yield picture_of(lambda: cohortplots.worst(failures, by=telling, since=since))
            yield table(*made, f"The most failures by {name}, {when}", limit=10)
        else:
            yield details(f"The most failures by {name}, {when}", table(*made, limit=20))


def _top(failures: Failures, name: str, since: datetime | None) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """A table as Grafana's top-k; without an onset there is no baseline, and nothing beyond it."""
    from irkit.scope import top

    found = top(failures, name, limit=1000, since=since)
    headers: tuple[str, ...] = (name, "failures", "validations", "share failing", "95 % interval")
    rows: list[tuple[object, ...]] = [
        (value or "(no value)", f"{row.failures:,.0f}", f"{row.validations:,.0f}",
         percent(row.ratio) if row.validations else "none", f"{percent(row.low)} to {percent(row.high)}")
        for value, row in found.iterrows()
    ]  # fmt: skip
    if since is None:
        return headers, rows
    more = [
        (f"{max(row.excess, 0):,.0f}", percent(row.share), _times(row.lift),
         moment(row["first"]) if row.failures else "none")
        for _, row in found.iterrows()
    ]  # fmt: skip
    headers += ("beyond the baseline", "share of that", "times the others' share", "first failure")
    return headers, [(*row, *rest) for row, rest in zip(rows, more, strict=True)]


def _times(lift: float) -> str:
    return "" if isnan(lift) else f"{lift:,.0f}" if lift >= 10 else f"{lift:.1f}"


def _explanations(failures: Failures, since: datetime | None) -> Markup:
    """Which labels explain what failed since the onset, ranked; those that only seem to are named as such."""
    if since is None:
        return Markup()
    from irkit.scope import scope

    ranked = scope(failures, since=since)
    # A set of more labels than it takes says nothing new.
    telling = [one for one in ranked if one is ranked[0] or not set(one.roles) > set(ranked[0].roles)]
    rows = [
        (
            "; ".join(", ".join(value or "(no value)" for value in cohort.values()) for cohort in one.cohorts[:6])
            + (f" and {len(one.cohorts) - 6} more" if len(one.cohorts) > 6 else ""),
            " and ".join(one.roles), percent(one.share), percent(one.ratio), percent(one.outside),
            "yes" if one.explains and not one.through
            else f"only through {' and '.join(one.through)}" if one.through else "no",
        )
        for one in telling[:6]
    ]  # fmt: skip
    headers = ("smallest set", "by", "of the failures beyond the baseline", "fail there", "elsewhere", "explains it")
    return details("Which labels explain the failures, ranked", table(headers, rows)) if rows else Markup()


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


def _changes(evidence: Evidence) -> Markup:
    """What changed on the server's side, beside the time of the failures."""
    rows = [
        (moment(one.at), moment(one.earliest) if one.earliest else "", one.kind, one.what, one.where, one.source)
        for one in evidence.changes
    ]
    headers = ("first so", "not yet at", "kind", "what changed", "where", "says")
    return table(headers, rows, "Changes on the server's side") if rows else Markup()


def _began(cohort: Cohort) -> str:
    if cohort.onset is None or cohort.earliest is None or cohort.latest is None or cohort.earliest == cohort.latest:
        return moment(cohort.onset)
    return f"{moment(cohort.onset)} ({interval(cohort.earliest, cohort.latest)})"
