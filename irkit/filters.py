"""What filters the timeline: a choice for each role, the cohorts as a table, releases by regions as a heatmap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from irkit import widgets
from irkit.affected import cohort_facts
from irkit.cohorts import FAMILY
from irkit.desk import Filter
from irkit.evidence import Evidence
from irkit.render import fragment, label, percent, strong
from irkit.verdict import Cohort, CohortVerdict, Verdict

if TYPE_CHECKING:
    from irkit.failures import Failures

__all__ = ["cohort_filter", "filters", "shows_all"]

ALL = "all"
_REGIONS, _VERSIONS, _COHORTS = 6, 8, 12  # shown; the choices above have all


def filters(evidence: Evidence, verdict: Verdict | None, pick: Callable[[Filter], None]) -> tuple[Any, ...]:
    """The controls; none without failures.

    Args:
        evidence: With its failures.
        verdict: For its cohorts, once there is one.
        pick: Is given what was chosen: role to values, nothing for all.
    """
    failures = evidence.failures
    if failures is None:
        return ()
    chosen: dict[str, Any] = {}
    since = _since(failures, verdict)
    for role in failures.roles:
        counted = since.by(role)
        if len(counted) > 1:
            names = [(label(f"{name or '(no value)'} ({_failing(found)})"), name) for name, found in counted.iterrows()]
            chosen[role] = widgets.choice(role, [(ALL, ALL), *names], small=True)

    def changed(_: Any = None) -> None:
        pick({role: (box.value,) for role, box in chosen.items() if box.value != ALL})

    def show(only: Filter) -> None:
        """Shows a filter in the choices, as far as a choice can: one of several values is none."""
        for role, box in chosen.items():
            values = only.get(role, ())
            box.unobserve(changed, "value")
            box.value = values[0] if len(values) == 1 else ALL
            box.observe(changed, "value")
        pick(only)

    for box in chosen.values():
        box.observe(changed, "value")
    parts = [widgets.row([*chosen.values(), widgets.button("Show all", partial(show, {}), width="8rem")])]
    if verdict is not None and verdict.cohorts:
        parts.append(_cohorts(evidence, verdict.cohorts, show))
    if {"version", "region"} <= set(chosen):
        parts.append(_heatmap(since, show))
    return tuple(parts)


def _failing(found: Any) -> str:
    return f"{percent(found.ratio)} fail" if found.validations else "none seen"


def _text(words: object) -> Any:
    return widgets.html(fragment(words))


def _cohorts(evidence: Evidence, cohorts: tuple[CohortVerdict, ...], show: Callable[[Filter], None]) -> Any:
    heads = (
        "Cohort: press to show it alone",
        "since",
        "failures since then",
        "of all validations",
        "how it rose",
        "verdict",
    )
    cells = [_text(strong(head)) for head in heads]
    for judged in cohorts[:_COHORTS]:
        cohort = judged.cohort
        only = cohort_filter(evidence, cohort)
        hint = label(f"Show only {cohort.name}" if only else f"The metrics don't tell {cohort.name} apart", 300)
        name = widgets.button(_short(cohort), partial(show, only), hint=hint, width="100%")
        name.disabled = not only
        said = (
            *cohort_facts(evidence, cohort),
            f"{judged.verdict} / {judged.cause}" if judged.cause else judged.verdict,
        )
        cells += [name, *map(_text, said)]
    return widgets.grid(cells, "minmax(12rem, 18rem) repeat(5, auto)")


def shows_all(evidence: Evidence, cohorts: tuple[CohortVerdict, ...]) -> bool:
    """Whether the controls name every cohort, so that a table of them would say the same again."""
    return evidence.failures is not None and len(cohorts) <= _COHORTS


def _short(cohort: Cohort) -> str:
    """A cohort's name that fits on a button: where first, and releases only while they are few."""
    who = ", ".join(cohort.releases or cohort.platforms) or "all releases"
    if len(cohort.releases) > 2:
        who = f"{len(cohort.releases)} releases"
    where = ", ".join((*cohort.regions, *cohort.networks))
    return label(f"{where}: {who}" if where else who, 56)


def cohort_filter(evidence: Evidence, cohort: Cohort) -> Filter:
    """A cohort as the metrics tell it apart: nothing of what they don't count."""
    failures = evidence.failures
    if failures is None:
        return {}
    platforms = {release.name: FAMILY.get(release.platform, release.platform) for release in evidence.releases}
    wanted = {
        "version": {name.rpartition(" ")[2] for name in cohort.releases},
        "platform": {*cohort.platforms, *(platforms[name] for name in cohort.releases if name in platforms)},
        "region": set(cohort.regions),
        "network": set(cohort.networks),
    }
    there = {role: {item[role] for item in failures.cohorts} for role in failures.roles}
    found = {role: tuple(sorted(wanted[role] & there[role])) for role in there}
    return {role: values for role, values in found.items() if values and set(values) != there[role]}


def _since(failures: Failures, verdict: Verdict | None) -> Failures:
    """What was counted since the onset, as the picture below has it; all of it where nothing rose."""
    if verdict is None or verdict.onset is None:
        return failures
    after = failures.times >= failures.times.dtype.type(verdict.onset.replace(tzinfo=None))
    if not after.any():
        return failures
    return replace(
        failures, times=failures.times[after], failures=failures.failures[:, after],
        validations=failures.validations[:, after],
    )  # fmt: skip


def _heatmap(failures: Failures, show: Callable[[Filter], None]) -> Any:
    regions = list(failures.by("region").index)[:_REGIONS]
    cells: list[Any] = [_text(strong("Failing since the onset"))]
    cells += [
        widgets.button(label(r or "(no value)", 20), partial(show, {"region": (r,)}), width="8rem") for r in regions
    ]
    for version in list(failures.by("version").index)[:_VERSIONS]:
        cells.append(
            widgets.button(label(version or "(no value)", 24), partial(show, {"version": (version,)}), width="14rem")
        )
        for region in regions:
            found = failures.select(version=version, region=region).by().iloc[0]
            shown = percent(found.ratio) if found.validations else "none"
            only = {"version": (version,), "region": (region,)}
            made = widgets.button(shown, partial(show, only), width="8rem", hint=label(f"{version} in {region}", 60))
            made.style.button_color = _shade(found.ratio if found.validations else 0.0)
            made.style.text_color = "#000000"
            cells.append(made)
    return widgets.grid(cells, f"14rem repeat({len(regions)}, 8rem)")


def _shade(ratio: float) -> str:
    """From white to an orange on which black text keeps a contrast of 4.5."""
    level = round(255 - 90 * min(1.0, ratio / 0.5))
    return f"#ff{level:02x}{max(0, 2 * level - 255):02x}"
