"""A triage at a desk: the same calls as the command line, a step a cell, each with its section of the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from irkit.classify import classify
from irkit.evidence import Evidence
from irkit.gather import Progress
from irkit.remedy import Remediation, remedies
from irkit.render import Markup
from irkit.report import answer
from irkit.run import Run, finish_run, keep
from irkit.verdict import Verdict

__all__ = ["Desk", "Gather"]


class Gather(Protocol):
    """A stage that adds to evidence: `irkit.gather_failures`, `gather_chains`, `gather_pins`."""

    def __call__(self, evidence: Evidence, *, again: bool = False, progress: Progress | None = None) -> Evidence:
        """Gives the evidence with what the stage adds."""


class Desk:
    """A triage whose question is known. Each call runs one step and gives its section of the report.

    Attributes:
        run: The run that is under way.
        evidence: What there is so far.
        verdict: None before the step that reaches it.
        remediation: None before the step that works it out.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.evidence = run.evidence
        self.verdict: Verdict | None = None
        self.remediation: Remediation | None = None

    @property
    def form(self) -> Any:
        """What is asked, as text: nothing is to be filled in."""
        return self.run

    def gather(self, title: str, work: Gather, show: Callable[[Evidence], Markup]) -> Any:
        """Runs a stage, keeps its evidence, and shows its section."""
        del title
        self.evidence = keep(self.run, work(self.evidence, progress=self.run.say))
        return show(self.evidence)

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
