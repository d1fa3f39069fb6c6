"""A triage at a desk: the same calls as the command line, a step a cell, each with its section of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event
from typing import Any, Protocol

from irkit.classify import classify
from irkit.evidence import Evidence
from irkit.remedy import Remediation, remedies
from irkit.render import Markup, fragment, paragraph, strong, text
from irkit.report import answer
from irkit.run import Run, finish_run, keep
from irkit.stoppable import Progress
from irkit.verdict import Verdict

__all__ = ["Desk", "Filter", "Gather", "filtered"]

Filter = Mapping[str, tuple[str, ...]]  # role to the values that are shown


class Gather(Protocol):
    """A stage that adds to evidence: `irkit.gather_failures`, `gather_chains`, `gather_pins`."""

    def __call__(
        self, evidence: Evidence, *, again: bool = False, progress: Progress | None = None, stop: Event | None = None
    ) -> Evidence:
        """Gives the evidence with what the stage adds."""


def filtered(evidence: Evidence, only: Filter, show: Callable[..., Markup]) -> Markup:
    """Section 1 for some cohorts only, which says so; for all of them where the filter fits none, which it says too.

    Args:
        evidence: What was gathered.
        only: Whom to show.
        show: As `irkit.report.scope`.
    """
    failures = evidence.failures
    if failures is None or not only:
        return show(evidence)
    known = {role: {cohort[role] for cohort in failures.cohorts} for role in failures.roles}
    asked = "; ".join(f"{role} {', '.join(text(value, 60) for value in values)}" for role, values in only.items())
    if lost := [role for role, values in only.items() if not set(values) & known.get(role, set())]:
        there = "; ".join(
            f"{role}: {', '.join(text(value, 60) for value in sorted(known[role])[:12])}" if role in known
            else f"{role} is not counted" for role in lost
        )  # fmt: skip
        return fragment(paragraph(strong(f"Nothing fits the filter {asked}"), f". {there}."), show(evidence))
    chosen = replace(evidence, failures=failures.select(**only))
    return fragment(
        paragraph(strong(f"Shown: {asked}"), ". Everything is judged, and is in the report."), show(chosen, part=True)
    )


class Desk:
    """A triage whose question is known. Each call runs one step and gives its section of the report.

    Attributes:
        run: The run that is under way.
        evidence: What there is so far.
        verdict: None before the step that reaches it.
        remediation: None before the step that works it out.
        only: What section 1 shows.
    """

    def __init__(self, run: Run, only: Filter | None = None) -> None:
        self.run = run
        self.only = only or {}
        self.evidence = run.evidence
        self.verdict: Verdict | None = None
        self.remediation: Remediation | None = None

    @property
    def form(self) -> Any:
        """What is asked, as text: nothing is to be filled in."""
        return self.run

    def gather(self, title: str, work: Gather, show: Callable[[Evidence], Markup]) -> Any:
        """Runs a stage, keeps its evidence, and shows its section."""
        self.evidence = keep(self.run, work(self.evidence, progress=self.run.say))
        return filtered(self.evidence, self.only, show) if title == "failures" else show(self.evidence)

    def classify(self, show: Callable[[Evidence, Verdict], Markup]) -> Any:
        """Reaches the verdict."""
        self.verdict = classify(self.evidence)
        return show(self.evidence, self.verdict)

    def remedy(self, show: Callable[[Evidence, Verdict, Remediation], Markup]) -> Any:
        """Works out what to do."""
        assert self.verdict is not None, "classify comes first"
        self.remediation = remedies(self.evidence, self.verdict)
        return show(self.evidence, self.verdict, self.remediation)

    def answer(self) -> Any:
        """The answer on one screen."""
        assert self.verdict is not None, "classify comes first"
        assert self.remediation is not None, "remedy comes first"
        return answer(self.evidence, self.verdict, self.remediation)

    def finish(self) -> Any:
        """Leaves the report, if the run leaves any files; gives its path."""
        assert self.verdict is not None, "classify comes first"
        assert self.remediation is not None, "remedy comes first"
        return finish_run(self.run, self.evidence, self.verdict, self.remediation)
