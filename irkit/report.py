"""The report: one HTML file for someone who was just woken, and its sections, which the notebook shows as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from irkit.affected import scope
from irkit.evidence import Evidence
from irkit.exhibits import captures, comparison, missing
from irkit.remedy import Action, Remediation
from irkit.render import (
    Markup,
    aside,
    badge,
    banner,
    bullets,
    card,
    cards,
    code,
    contents,
    definitions,
    details,
    fragment,
    heading,
    html,
    moment,
    page,
    paragraph,
    percent,
    section,
    steps,
    strong,
    table,
    text,
)
from irkit.runbook import section as runbook_section
from irkit.summary import (
    careful,
    command_of,
    duration,
    effect,
    explained,
    interval,
    meaning,
    restores,
    result_json,
    since,
    summary_markdown,
    summary_text,
    who,
)
from irkit.verdict import Finding, Verdict

__all__ = [
    "answer", "captures", "classification", "comparison", "missing", "remedy", "report_html", "result_json", "scope",
    "summary_markdown", "summary_text",
]  # fmt: skip


# --- 4. Classify


def classification(evidence: Evidence, verdict: Verdict) -> Markup:
    """The verdict with everything it rests on, strongest first, and what would change it."""
    del evidence  # every section is called alike
    parts = [
        paragraph(badge(verdict.verdict), " ", strong(verdict.cause or "no cause"), ", ", _confident(verdict), "."),
        paragraph(meaning(verdict.verdict, verdict.cause)),
        *_findings(verdict),
    ]
    if len(verdict.cohorts) > 1:
        rows = [
            (judged.cohort.name, judged.verdict, judged.cause or "none", percent(judged.confidence))
            for judged in verdict.cohorts
        ]
        parts.append(table(("who", "verdict", "cause", "confidence"), rows, "Each cohort's verdict; the gravest leads"))
    likely = sorted(verdict.probabilities.items(), key=lambda item: -item[1])
    if verdict.confidence:
        chances = [(name, percent(value)) for name, value in likely]
        parts.append(table(("verdict", "probability"), chances, "Probability by the findings, before the safety rule"))
    parts += [heading("What would change it"), _checks(verdict)]
    return fragment(*parts)


def _confident(verdict: Verdict) -> str:
    if verdict.verdict == "inconclusive" and verdict.confidence:
        return "what would decide it stands below"
    return f"confidence {percent(verdict.confidence)}" if verdict.confidence else "no confidence: nothing was judged"


def _checks(verdict: Verdict) -> Markup:
    if not verdict.confidence:
        return paragraph("Nothing was judged: a whole run would.")
    if not verdict.would_change_it:
        return paragraph("No single observation that is still open would change this verdict.")
    return bullets(verdict.would_change_it)


def _findings(verdict: Verdict) -> Iterator[Markup]:
    """The findings; where several cohorts have theirs, the gravest cohort's first, the others' folded."""
    if not verdict.findings:
        yield paragraph("Nothing was found that speaks for any verdict.")
        return
    if len(verdict.cohorts) < 2:
        yield _weighed(verdict.findings, "Findings, the strongest first")
    else:
        first, *others = verdict.cohorts
        yield _weighed(first.findings, fragment("Findings on ", first.cohort.name, ", the strongest first"))
        for other in others:
            yield details(fragment("Findings on ", other.cohort.name), _weighed(other.findings))
    yield aside(
        "The number is the weight of a finding, in natural log-odds: 1 makes the verdict about three times as likely, "
        "3 twenty times, 5 a hundred and fifty times."
    )


def _weighed(findings: Sequence[Finding], caption: object = "") -> Markup:
    rows = [(html(f.says, 1000), f.source, _speaks(f)) for f in findings]
    return table(("what was seen", "where", "what it says"), rows, caption)


def _speaks(finding: Finding) -> str:
    if not finding.supports or not finding.weight:
        return "context"
    size = abs(finding.weight)
    word = "very strongly " if size >= 5 else "strongly " if size >= 3 else "" if size >= 1 else "weakly "
    return f"{word}{'for' if finding.weight > 0 else 'against'} {finding.supports} ({finding.weight:+.3g})"


# --- 5. Remedy


def remedy(evidence: Evidence, verdict: Verdict, remediation: Remediation) -> Markup:
    """What to do, in order, with what each action restores; in a MITM what not to do comes first."""
    do_not = _do_not(verdict, remediation)
    parts = [_action(i, action) for i, action in enumerate(remediation.actions, 1)]
    if len(parts) > 1:
        rows = [
            (i, action.title, _share(action), action.takes.partition(":")[0] or "unknown", action.weakens or "nothing")
            for i, action in enumerate(remediation.actions, 1)
        ]
        headers = ("no.", "what", "failing validations it restores", "takes", "weakens")
        parts.insert(0, table(headers, rows, "Actions, in order"))
    if not parts:
        parts = [paragraph("Nothing is to be done." if verdict.verdict == "none" else "No action could be worked out.")]
    ordered = [do_not, *parts] if careful(verdict) else [*parts, do_not]
    return fragment(*ordered, _runbook(evidence, verdict))


def _share(action: Action) -> str:
    return "none by itself" if action.restores == 0 else percent(action.restores)


def _runbook(evidence: Evidence, verdict: Verdict) -> Markup:
    """What the runbook says of the cause."""
    found = runbook_section(verdict.cause, evidence.runbooks)
    if found is None:
        return Markup()
    return details(f"The runbook on {found.cause}: {found.title}", found.shown())


def _do_not(verdict: Verdict, remediation: Remediation) -> Markup:
    lines = remediation.do_not
    if not lines and verdict.verdict == "inconclusive":
        lines = ("Do not disable or loosen pinning while this is undecided: it can still be a MITM.",)
    return card("Do NOT", bullets(lines), stop=True) if lines else Markup()


def _action(number: int, action: Action) -> Markup:
    weakens = Markup()
    if action.weakens:
        weakens = paragraph(strong("This weakens pinning while it lasts: "), action.weakens, ".")
    takes = f" It takes {action.takes}." if action.takes else ""
    said = paragraph(_sentence(restores(action)), " ", action.why, takes)
    parts = [heading(f"{number}. {text(action.title)}"), said]
    if len({share for _, share in action.by_release}) > 1:
        rows = [(name, percent(share)) for name, share in action.by_release]
        parts.append(table(("release", "restored"), rows))
    return fragment(*parts, weakens, steps(_step(step) for step in action.steps))


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


def _step(step: str) -> Markup:
    """A step; a command in it is set apart to be copied."""
    words, command = command_of(step)
    return fragment(html(words, 1000), code(command) if command else "")


# --- the page

_SECTIONS = (
    ("scope", "1. Scope", "Who fails, since when, and in which shape."),
    ("capture", "2. Capture", "What the server presents to vantages we trust, and what failing clients were shown."),
    ("compare", "3. Compare", "Chain against chain, and each release's pins against each chain."),
    ("classify", "4. Classify", "The verdict and the evidence for and against it, weighed."),
    ("remedy", "5. Remedy", "What to do, in order, and how many users each action brings back."),
    ("missing", "6. Missing evidence", "What could not be had. Each lowers the confidence."),
    ("replay", "7. Replay", "How to judge the same evidence again."),
)


def answer(evidence: Evidence, verdict: Verdict, remediation: Remediation) -> Markup:
    """The answer on one screen: verdict, since when, who, what to do and what not."""
    pairs: list[tuple[object, object]] = [
        ("Confidence", _sure(verdict)),
        ("Since", since(evidence, verdict)),
        ("Who", _people(evidence, verdict)),
    ]
    if verdict.missing:
        names = ", ".join(text(item.source, 60) for item in verdict.missing[:6])
        pairs.append(("Missing", f"{len(verdict.missing)} sources: {names}" if len(verdict.missing) > 1 else names))
    first: Markup = card("Do now", paragraph("Nothing is to be done."))
    if remediation.actions:
        action = remediation.actions[0]
        first = card(
            "Do now",
            paragraph(strong(action.title)),
            paragraph("" if verdict.verdict == "inconclusive" else _sentence(restores(action)), " ", action.why),
            steps(_step(step) for step in action.steps),
            _then(remediation),
        )
    elif verdict.verdict != "none":
        first = card("Do now", paragraph("No action could be worked out: see what is missing."))
    both = [_do_not(verdict, remediation), first] if careful(verdict) else [first, _do_not(verdict, remediation)]
    return fragment(
        heading(fragment(badge(verdict.verdict), " ", verdict.cause), 1),
        paragraph(meaning(verdict.verdict, verdict.cause)),
        definitions(pairs),
        cards(*both),
    )


def _sure(verdict: Verdict) -> str:
    if not verdict.confidence:
        return "none: nothing was judged"
    # No share here: that of the likeliest would be taken for an answer, which the safety rule may just have refused.
    return "too little to decide" if verdict.verdict == "inconclusive" else percent(verdict.confidence)


def _then(remediation: Remediation) -> Markup:
    """The actions after the first, a line each; the section on remedies has their steps."""
    more = [fragment(action.title, f" {_sentence(effect(action))}") for action in remediation.actions[1:4]]
    return fragment(paragraph(strong("Then, or instead:")), bullets(more)) if more else Markup()


def _people(evidence: Evidence, verdict: Verdict) -> Markup:
    words = [html(who(evidence, judged.cohort), 800) for judged in verdict.cohorts[:4]]
    more = explained(evidence, verdict)
    if len(words) < 2:
        return fragment(words[0] if words else "unknown", ". " + more if more else "", limit=1000)
    left = len(verdict.cohorts) - len(words)
    said = [
        fragment(shown, " (", strong(judged.verdict), ")")
        for shown, judged in zip(words, verdict.cohorts, strict=False)
    ]
    return bullets([*said, *([f"and {left} more cohorts"] if left else []), *([more] if more else [])])


def report_html(
    evidence: Evidence,
    verdict: Verdict,
    remediation: Remediation,
    *,
    status: str = "complete",
    started: datetime,
    finished: datetime | None,
    error: str = "",
) -> str:
    """The whole report as one HTML file that runs no script and loads nothing.

    Args:
        evidence: What was gathered.
        verdict: As `irkit.classify` gives it.
        remediation: As `irkit.remedies` gives it.
        status: `complete`; anything else puts a banner before everything.
        started: When the run began, aware.
        finished: When it ended, aware; None while it runs.
        error: What ended an incomplete run.
    """
    incident = evidence.incident
    parts = ["irkit", f"incident {text(incident.id, 120)}", f"{text(incident.host, 120)}:{incident.port}"]
    parts.append(f"{interval(incident.start, incident.end)} UTC")
    if abs(evidence.now - incident.end) > timedelta(minutes=5):
        parts.append(f"evidence of {moment(evidence.now)}")
    if finished is not None:
        parts.append(f"took {_took(finished - started)}")
    head = [aside(" · ".join(parts))]
    if status != "complete":
        why = f" It ended with: {text(error, 800)}" if error else ""
        head.append(banner(f"THIS RUN DID NOT COMPLETE. What follows is what it had; don't decide by it alone.{why}"))
    bodies: dict[str, Callable[[], Markup]] = {
        "scope": lambda: scope(evidence, verdict),
        "capture": lambda: captures(evidence),
        "compare": lambda: comparison(evidence, verdict),
        "classify": lambda: classification(evidence, verdict),
        "remedy": lambda: remedy(evidence, verdict, remediation),
        "missing": lambda: missing(evidence) or paragraph("Nothing that was asked for is missing."),
        "replay": lambda: _replay(evidence),
    }
    sections = [section(anchor, title, aside(says), _safely(bodies[anchor])) for anchor, title, says in _SECTIONS]
    menu = contents((anchor, title) for anchor, title, _ in _SECTIONS)
    body = fragment(*head, answer(evidence, verdict, remediation), menu, *sections)
    return page(f"{verdict.verdict}: {text(incident.host, 120)} ({text(incident.id, 80)})", body)


def _safely(body: Callable[[], Markup]) -> Markup:
    """A section, or in words why there is none: the others are not lost to a fault in one."""
    try:
        return body()
    except Exception as error:  # noqa: BLE001 - whatever it is, the rest of the report is needed now
        return banner(f"This section could not be made: {type(error).__name__}: {text(error, 300)}")


def _took(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s" if span < timedelta(minutes=2) else duration(span)


def _replay(evidence: Evidence) -> Markup:
    return fragment(
        paragraph("In this report's folder; no network is used:"),
        code("irkit triage --replay . --out replayed\nsha256sum -c manifest-sha256.txt"),
        paragraph("Or in Python:"),
        code('import irkit\nevidence = irkit.load_evidence(".")\nprint(irkit.classify(evidence))'),
        aside(f"The verdict follows from the evidence alone; its “now” is {moment(evidence.now, seconds=True)}."),
    )
