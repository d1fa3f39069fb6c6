"""The answer in few words: for the terminal, for a chat, and as result.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from irkit.evidence import Evidence
from irkit.remedy import Action, Remediation
from irkit.render import SYMBOLS, fence, markdown, moment, percent, text
from irkit.runbook import section
from irkit.verdict import VERDICTS, Cohort, Verdict

__all__ = [
    "SCHEMA", "careful", "command_of", "duration", "effect", "explained", "interval", "meaning", "onset_inside",
    "percent", "restores", "result_json", "since", "since_onset", "summary_markdown", "summary_text", "who",
]  # fmt: skip

SCHEMA = "irkit.result/1"
CHAT = 3500  # characters that a chat takes as one message: Slack 4,000 of text, Mattermost 4,000 in its oldest limit
NAMED = 5  # releases of a cohort that are named

_VERDICT_MEANS: Mapping[str, str] = MappingProxyType(
    {
        "mitm": "Someone shows clients a chain that is not the owner's.",
        "inconclusive": "The evidence does not decide it. Treat it as a possible MITM until it is decided.",
        "misconfiguration": "The pins or the server are set up wrong; nobody is in between.",
        "rotation": "The owner's keys or issuer changed, and some releases do not pin the new ones.",
        "not-a-pin-failure": "Connections fail, but not because of a pin.",
        "none": "Failures do not rise above their own baseline.",
    }
)


def meaning(verdict: str, cause: str) -> str:
    """What a verdict and its cause say, in a sentence or two; the cause's are the runbook's."""
    return _cause_means(cause) or _VERDICT_MEANS.get(verdict, "")


def _cause_means(cause: str) -> str:
    found = section(cause)
    said = () if found is None else found.parts
    return next((part.text.replace("`", "") for part in said if part.lead == "Meaning"), "")


def duration(span: timedelta) -> str:
    """A span as `3 h 18 min`; whole minutes below two days, then days and hours."""
    minutes = max(0, round(span.total_seconds() / 60))
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"


def interval(earliest: datetime, latest: datetime) -> str:
    """Two times as `08:39 to 08:44`, with their dates where those differ."""
    days = earliest.astimezone(UTC).date() != latest.astimezone(UTC).date()
    return " to ".join(f"{at.astimezone(UTC):{'%Y-%m-%d %H:%M' if days else '%H:%M'}}" for at in (earliest, latest))


def since(evidence: Evidence, verdict: Verdict) -> str:
    """Since when, with the interval and how long before the evidence was gathered that is."""
    cohort = verdict.cohorts[0].cohort if verdict.cohorts else Cohort()
    if verdict.onset is None:
        return "nothing rose in this window" if verdict.verdict == "none" else "unknown"
    shown = moment(verdict.onset)
    if cohort.earliest is not None and cohort.latest is not None and cohort.earliest != cohort.latest:
        shown += f" ({interval(cohort.earliest, cohort.latest)})"
    shown += f", {duration(evidence.now - verdict.onset)} before this evidence"
    return shown + (f"; they ended {moment(cohort.end)}" if cohort.end is not None else "")


def who(evidence: Evidence, cohort: Cohort) -> str:
    """A cohort with its size: `shop 4.2.0 in ap-south: 94 % of validations there fail since then (940 of 1,000)`."""
    said = []
    failed, validated = since_onset(evidence, cohort) or (cohort.failures, cohort.validations)
    if failed is not None and validated:
        then = " since then" if cohort.onset is not None else ""
        counts = f"({failed:,.0f} of {validated:,.0f})"
        said.append(f"{percent(failed / validated)} of validations there fail{then} {counts}")
    if cohort.share is not None and cohort.share < 1:
        said.append(f"{percent(cohort.share)} of all validations are theirs")
    return _named(evidence, cohort) + (": " + "; ".join(said) if said else "")


def _named(evidence: Evidence, cohort: Cohort) -> str:
    """Its name; where it is every release of the incident, or many, not each by name."""
    listed, releases = {release.name for release in evidence.releases}, cohort.releases
    if 1 < len(listed) == len(releases) and listed == set(releases):
        return f"all {len(listed)} releases{text(replace(cohort, releases=()).name.removeprefix('all releases'), 400)}"
    if len(releases) > NAMED:
        releases = (*releases[: NAMED - 1], f"{len(releases) - NAMED + 1} more releases")
    return text(replace(cohort, releases=releases).name, 600)


def since_onset(evidence: Evidence, cohort: Cohort) -> tuple[float, float] | None:
    """Its failures and validations from the onset on; None without metrics, an onset, or validations."""
    failures = evidence.failures
    if failures is None or cohort.onset is None:
        return None
    versions = tuple(item.version for item in evidence.releases if item.name in cohort.releases)
    wanted = {
        "version": versions if len(versions) == len(cohort.releases) else cohort.releases,
        "platform": cohort.platforms,
        "region": cohort.regions,
        "network": cohort.networks,
    }
    chosen = failures.select(**{name: values for name, values in wanted.items() if values and name in failures.roles})
    counts = chosen.series().loc[cohort.onset : cohort.end]
    failed, validated = float(counts["failures"].sum()), float(counts["validations"].sum())
    return (failed, validated) if validated else None


def onset_inside(evidence: Evidence, verdict: Verdict | None) -> datetime | None:
    """The onset, where failures are counted from before it on."""
    onset, failures = verdict.onset if verdict is not None else None, evidence.failures
    inside = onset is not None and failures is not None and failures.start < onset < failures.end
    return onset if inside else None


def explained(evidence: Evidence, verdict: Verdict | None) -> str:
    """Which labels tell those that fail since the onset from the others, in a sentence; empty where it isn't known."""
    begun = onset_inside(evidence, verdict)
    onsets = {judged.cohort.onset for judged in verdict.cohorts} - {None} if verdict is not None else ()
    if evidence.failures is None or begun is None or len(onsets) > 1:  # several rises: each cohort says whose it is
        return ""
    from irkit.scope import in_words, scope  # it needs numpy

    return in_words(scope(evidence.failures, since=begun))


def restores(action: Action) -> str:
    """What an action brings back, in words."""
    if action.restores is None:
        return "it is not known how many users this brings back"
    if not action.restores:
        return "brings nobody back by itself"
    return f"restores {percent(action.restores)} of the failing validations"


def effect(action: Action) -> str:
    """What an action brings back, and how long that takes, in a few words."""
    takes = action.takes.partition(":")[0]
    return restores(action) + (f", in {takes}" if takes else "")


def summary_text(evidence: Evidence, verdict: Verdict, remediation: Remediation) -> str:
    """The answer for a terminal: verdict, since when, who, what to do and what not; then what it rests on."""
    incident = evidence.incident
    more = explained(evidence, verdict)
    do_not = [f"DO NOT: {_plainly(line)}" for line in remediation.do_not]
    now = list[str]()
    if remediation.actions:
        first = remediation.actions[0]
        now.append(f"Do first: {text(first.title, 300)}{_restores(first)}")
        now += [f"  - {text(step, 500)}" for step in first.steps]
        now += [f"Then, or instead: {text(a.title, 300)} ({effect(a)})" for a in remediation.actions[1:4]]
    lines = [
        f"{SYMBOLS[verdict.verdict]} {verdict.verdict.upper()}{_cause(verdict)}, {_confidence(verdict)}",
        meaning(verdict.verdict, verdict.cause),
        f"{text(incident.host)}:{incident.port}, incident {text(incident.id)}, since {since(evidence, verdict)}",
        *(f"  {who(evidence, judged.cohort)}" for judged in verdict.cohorts[:3]),
        *([f"  {more}"] if more else []),
        *(do_not + now if careful(verdict) else now + do_not),
        *(f"Seen: {text(finding.says, 500)}" for finding in verdict.findings[:3]),
    ]
    if verdict.missing:
        lines.append("Missing: " + "; ".join(f"{text(m.source)} ({text(m.reason, 150)})" for m in verdict.missing[:5]))
    would = "decide" if verdict.verdict == "inconclusive" else "change"
    lines += [f"Would {would} it: {text(check, 500)}" for check in verdict.would_change_it[:2]]
    return "\n".join(lines)


def summary_markdown(evidence: Evidence, verdict: Verdict, remediation: Remediation) -> str:
    """The answer for a chat or a ticket, in CommonMark: the first screen's facts, then what there is room for.

    It has at most 3,500 characters, so that a chat takes it as one message; what is left out is in the report.
    """
    incident = evidence.incident
    judged = [f"- **Who:** {_short(who(evidence, one.cohort), 350)}" for one in verdict.cohorts[:2]]
    if len(verdict.cohorts) > 2:
        judged.append(f"- **Who:** and {len(verdict.cohorts) - 2} more cohorts")
    do_not = [f"- **Do not:** {_short(_plainly(line), 200)}" for line in remediation.do_not[:3]]
    now, then = _now(remediation)
    facts = [
        f"**{SYMBOLS[verdict.verdict]} {verdict.verdict.upper()}**{_cause(verdict)}, {_confidence(verdict)}: "
        + _short(meaning(verdict.verdict, verdict.cause), 400),
        "",
        f"- **Since:** {_short(since(evidence, verdict), 200)}",
        *judged,
        *(do_not + now if careful(verdict) else now + do_not),
    ]
    where = f"{_short(f'{incident.host}:{incident.port}', 120)}, incident {_short(incident.id, 120)}"
    more = [f"- **Where:** {where}"]
    more += [f"- **Told apart:** {_short(words, 400)}"] if (words := explained(evidence, verdict)) else []
    more += then
    more += [f"- **Seen:** {_short(finding.says, 400)}" for finding in verdict.findings[:3]]
    more += [f"- **Missing:** {_short(f'{m.source}: {m.reason}', 250)}" for m in verdict.missing[:5]]
    shown = "\n".join(facts)
    for line in more:
        if len(shown) + len(line) + 2 <= CHAT:
            shown += "\n" + line
    return shown + "\n"


def _now(remediation: Remediation) -> tuple[list[str], list[str]]:
    """The first action with its commands, and the others in a line each, as Markdown."""
    if not remediation.actions:
        return ["- **Do now:** no action was worked out"], []
    first, *others = remediation.actions
    now = [f"- **Do now:** {_short(first.title, 250)}{_restores(first)}"]
    commands = [command for command in (command_of(step)[1] for step in first.steps) if 0 < len(text(command)) <= 200]
    if commands:
        now += ["", fence(commands[:3]), ""]
    return now, [f"- **Then, or instead:** {_short(a.title, 250)} ({effect(a)})" for a in others[:2]]


def _short(value: str, most: int) -> str:
    """A value as Markdown of so many characters at the most; escapes can make nine of one."""
    cut = (markdown(value, int(most * part)) for part in (1, 0.5, 0.2, 0.05, 0.02))
    return next((made for made in cut if len(made) <= most + 30), "…")


_COMMAND = re.compile(r"(.*?:\s+)?\$?\s*((?:openssl|dig|curl|kubectl|irkit|host) .*[^.])", re.DOTALL)


def command_of(step: str) -> tuple[str, str]:
    """A step as its words and the command in it, alone or after a colon; either may be empty."""
    match = _COMMAND.fullmatch(step)
    return (step, "") if match is None else (match[1] or "", match[2])


def careful(verdict: Verdict) -> bool:
    """Whether what not to do matters more than what to do."""
    return verdict.verdict in ("mitm", "inconclusive")


def _cause(verdict: Verdict) -> str:
    return f" / {markdown(verdict.cause)}" if verdict.cause else ""


def _confidence(verdict: Verdict) -> str:
    if verdict.verdict == "inconclusive" and verdict.confidence:
        return "what would decide it is named"  # its number says how far from settled, not how sure
    return f"{percent(verdict.confidence)} confident" if verdict.confidence else "nothing was judged"


def _restores(action: Action) -> str:
    return "" if action.restores is None else f" ({restores(action)})"


def _plainly(line: str) -> str:
    """A line of `do_not` without the words that the heading says already."""
    rest = line.removeprefix("Do not ")
    return text(rest[:1].upper() + rest[1:] if rest != line else line, 500)


def result_json(
    evidence: Evidence,
    verdict: Verdict,
    remediation: Remediation,
    *,
    status: str,
    started: datetime,
    finished: datetime | None,
) -> dict[str, Any]:
    """The content of result.json, schema `irkit.result/1`; the same values always give the same document.

    Args:
        evidence: What the verdict was reached from.
        verdict: As `irkit.classify` gave it.
        remediation: As `irkit.remedies` gave it.
        status: `complete` or `incomplete`.
        started: When the run began, aware.
        finished: When it ended, aware; None while it runs.

    Returns:
        Text as it was found, not escaped: escape it where it is shown.
    """
    return {
        "schema": SCHEMA,
        "status": status,
        "incident": evidence.incident.id,
        "host": evidence.incident.host,
        "started": _time(started),
        "finished": _time(finished),
        "verdict": verdict.verdict,
        "cause": verdict.cause,
        "confidence": _number(verdict.confidence),
        "probabilities": {n: _number(verdict.probabilities[n]) for n in VERDICTS if n in verdict.probabilities},
        "onset": _time(verdict.onset),
        "cohorts": [
            {
                **{
                    name: list(getattr(judged.cohort, name))
                    for name in ("releases", "platforms", "regions", "networks")
                },
                "share": _number(judged.cohort.share),
                "verdict": judged.verdict,
                "cause": judged.cause,
                "confidence": _number(judged.confidence),
            }
            for judged in verdict.cohorts
        ],
        "findings": [
            {"id": f.id, "says": f.says, "source": f.source, "supports": f.supports, "weight": _number(f.weight)}
            for f in verdict.findings
        ],
        "missing": [{"source": item.source, "reason": item.reason} for item in verdict.missing],
        "would_change_it": list(verdict.would_change_it),
        "remediation": [
            {
                "action": action.action,
                "steps": list(action.steps),
                "restores": _number(action.restores),
                "by_release": {name: _number(share) for name, share in action.by_release},
                "takes": action.takes,
                "weakens_pinning": action.weakens_pinning,
                "weakens": action.weakens,
            }
            for action in remediation.actions
        ],
        "do_not": list(remediation.do_not),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _number(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
