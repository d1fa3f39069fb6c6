"""The notebook's form, and steps that can be cancelled and run again.

Work runs in threads; the kernel's loop alone touches controls, so it stays free to hear of a click. The verdict comes
first: the sections of the steps, with their pictures, are drawn when it is there.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from irkit import widgets
from irkit.classify import classify
from irkit.desk import Desk, Filter, Gather, filtered
from irkit.doctor import describe, examine
from irkit.drill import KINDS
from irkit.errors import IrkitError
from irkit.evidence import Evidence
from irkit.explorer import explorer
from irkit.filters import filters, shows_all
from irkit.question import Question, ask, parse_filter
from irkit.remedy import Remediation, remedies
from irkit.render import Markup, aside, status
from irkit.report import answer, comparison, scope
from irkit.run import finish_run, keep, open_run
from irkit.stoppable import at_once
from irkit.verdict import Verdict

__all__ = ["FormDesk"]

SECONDS = {"failures": 30.0, "chains": 10.0}  # what a step may take; 10 where it isn't said
PATIENCE = 1.0  # seconds that a cancelled step has to hand over what it has
REHEARSAL, FILE, ALERT = "Rehearsal", "Incident", "Alert"
_SHOWN = {REHEARSAL: {"rehearse"}, FILE: {"incident"}, ALERT: {"alert", "token_env", "incident"}}
_SAID = {
    REHEARSAL: "A rehearsal takes place on this machine alone.",
    FILE: "Two lines are enough for an incident file; a host alone does, too.",
    ALERT: "The alert says which host and since when; an incident file, or a folder of them, what else is known.",
}
_EITHER = {"host", "window", "vantages", "releases", "prometheus"}


@dataclass(frozen=True, slots=True)
class State:
    """What there is between two steps."""

    evidence: Evidence
    verdict: Verdict | None = None
    remediation: Remediation | None = None


class _Step:
    """A step's panel: a bar, Cancel, Run again, what it does, its controls, and its section."""

    def __init__(self, desk: FormDesk, name: str, work: Callable[..., State], show: Callable[[State], Markup]) -> None:
        self.name, self.work, self.show = name, work, show
        self.ran, self.stop = False, threading.Event()
        self.bar = widgets.bar()
        self.said = widgets.html(status("Waits for the form."))
        self.cancel = widgets.button("Cancel", self.stop.set, hint=f"Cancel {name}")
        self.again = widgets.button("Run again", lambda: desk.call(desk.run_again, self), hint=f"Run {name} again")
        self.cancel.disabled = self.again.disabled = True
        self.tool = widgets.column()
        self.body = widgets.html(Markup())
        self.panel = widgets.panel([widgets.row([self.bar, self.cancel, self.again, self.said]), self.tool, self.body])

    def clear(self) -> None:
        """Takes away what another question came to: a verdict on it must not stand beside this one's."""
        self.ran, self.tool.children = False, ()
        widgets.put(self.body, Markup())

    def tell(self, *said: str, style: str | None = None) -> None:
        """Says how it stands; `style` colours the bar, which says no more than the words."""
        widgets.put(self.said, status(*said))
        if style is not None:
            self.bar.bar_style = style


class FormDesk(Desk):
    """A desk that asks first. `evidence`, `verdict` and `remediation` are there once its steps have run.

    Args:
        question: What the fields say at first.
        out: Where the run's folder goes, at first.
    """

    def __init__(self, question: Question | None = None, out: str = "") -> None:
        asked = question or Question()
        self.evidence = None  # type: ignore[assignment]  # nothing is asked yet
        self.verdict = self.remediation = None
        self.only = parse_filter(asked.only)
        self.steps: dict[str, _Step] = {}
        self._asked_only = self.only
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._stop = threading.Event()
        self._stay = contextlib.ExitStack()
        atexit.register(self._stay.close)  # a rehearsal leaves nothing behind
        found = _incident_files()
        self.fields = _fields(asked, found)
        start = (FILE, ALERT, REHEARSAL) if found else (REHEARSAL, FILE, ALERT)
        self.source = widgets.switch("Start from", start, start[0])
        self.source.observe(lambda _: self.call(self._switch), "value")
        self.out = widgets.text_field("Leave files in", out, "nowhere")
        self.start = widgets.button("Run all steps", lambda: self.call(self._start), primary=True)
        self.check = widgets.button("Only check what it needs", lambda: self.call(self._start, False))
        self.halt = widgets.button("Cancel", self._cancel, hint="Cancel what is going on")
        self.halt.disabled = True
        self.said = widgets.html(Markup())
        self.checks, self.told = widgets.html(Markup()), widgets.html(Markup())
        self.change = widgets.button("Change the question", lambda: self.call(self._fold, False))
        places = [widgets.named("Start from", self.source), *self.fields.values(), self.out]
        self.asking = widgets.column(places)
        buttons = widgets.row([self.start, self.check, self.halt, self.change])
        self.box = widgets.panel([self.asking, buttons, self.said, self.told, self.checks])
        self._fold(False)
        self._switch()
        self._loop.call_later(0.5, lambda: threading.Thread(target=_warm, daemon=True).start())

    @property
    def form(self) -> Any:
        """The form, with the answer below it when there is one."""
        return self.box

    def call(self, act: Callable[..., Any], *arguments: Any) -> None:
        """Runs a call in the kernel's loop; clicks may arrive in another thread."""
        self._loop.call_soon_threadsafe(act, *arguments)

    def _switch(self) -> None:
        shown = _SHOWN[self.source.value] | (set() if self.source.value == REHEARSAL else _EITHER)
        for name, field in self.fields.items():
            widgets.hide(field, name not in shown)
        widgets.put(self.said, status(_SAID[self.source.value]))

    def _fold(self, folded: bool) -> None:
        """Takes the fields out of the way of the answer, or brings them back."""
        widgets.hide(self.asking, folded)
        widgets.hide(self.change, not folded)

    @property
    def question(self) -> Question:
        """What the fields ask now: what is out of sight is not asked."""
        shown = {name: field for name, field in self.fields.items() if field.layout.display != "none"}
        return Question(**{name: field.value.strip() for name, field in shown.items()})

    # --- the steps, as the notebook's cells name them

    def gather(self, title: str, work: Gather, show: Callable[[Evidence], Markup]) -> Any:
        """The panel of a stage."""

        def run(state: State, **how: Any) -> State:
            return replace(state, evidence=work(state.evidence, **how))

        def section(state: State) -> Markup:
            if show is scope:
                controls = state.verdict is not None and shows_all(state.evidence, state.verdict.cohorts)
                said = partial(scope, verdict=state.verdict, table_of_cohorts=not controls)
                return filtered(state.evidence, self.only, said)
            return comparison(state.evidence, state.verdict) if show is comparison else show(state.evidence)

        return self._panel(title, run, section)

    def classify(self, show: Callable[[Evidence, Verdict], Markup]) -> Any:
        """The panel of the verdict."""

        def run(state: State, **_: Any) -> State:
            return replace(state, verdict=classify(state.evidence), remediation=None)

        return self._panel("classify", run, lambda state: show(state.evidence, _there(state.verdict)))

    def remedy(self, show: Callable[[Evidence, Verdict, Remediation], Markup]) -> Any:
        """The panel of what to do."""

        def run(state: State, **_: Any) -> State:
            return replace(state, remediation=remedies(state.evidence, _there(state.verdict)))

        return self._panel(
            "remedy", run, lambda state: show(state.evidence, _there(state.verdict), _there(state.remediation))
        )

    def answer(self) -> Any:
        """Nothing: the answer stands below the form, where the click was."""
        return None

    def finish(self) -> Any:
        """Brings the form into view, with the keyboard on its first button: all cells have run."""
        self._loop.call_later(0.3, widgets.focus, self.start)
        return aside("The form is at the top of this notebook. It asks, and shows the answer below itself.")

    def _panel(self, name: str, work: Callable[..., State], show: Callable[[State], Markup]) -> Any:
        self.steps[name] = _Step(self, name, work, show)
        return self.steps[name].panel

    # --- running

    def _start(self, everything: bool = True) -> None:
        self._run(self._begin(everything))

    def run_again(self, step: _Step) -> None:
        """Runs one step again, then judges; other stages are left as they are, but those that never ran follow."""
        judging = ("classify", "remedy")
        order = [one for one in self.steps.values() if one is step or one.name in judging or not one.ran]
        self._run(self._go(order, step))

    def _run(self, work: Any) -> None:
        """Runs one thing at a time, and says in words what goes wrong."""
        if self._task is not None and not self._task.done():
            work.close()
            return

        async def told() -> None:
            self._busy(True)
            try:
                await work
            except IrkitError as error:
                widgets.put(self.said, status(f"✖ {error.message}", error.hint))
            except Exception as error:  # noqa: BLE001 - a form that says nothing is worse
                widgets.put(self.said, status(f"✖ {type(error).__name__}: {error}", "report it"))
            finally:
                self._busy(False)

        self._task = self._loop.create_task(told())

    def _busy(self, busy: bool) -> None:
        self._stop.clear()
        self.start.disabled = self.check.disabled = busy
        self.halt.disabled = not busy
        for step in self.steps.values():
            step.again.disabled = busy or not hasattr(self, "state")

    def _cancel(self) -> None:
        self._stop.set()
        for step in self.steps.values():
            step.stop.set()

    async def _begin(self, everything: bool) -> None:
        widgets.put(self.told, Markup())
        widgets.put(self.said, status("Checking what it needs …"))
        incident, checks = await asyncio.to_thread(self._look)
        widgets.put(self.checks, describe(checks))
        widgets.put(self.said, status("Checked; see below."))
        if everything:
            self.run = await asyncio.to_thread(partial(open_run, incident, out=self.out.value.strip()))
            self.state, self.only = State(self.run.evidence), self._asked_only
            self.evidence, self.verdict, self.remediation = self.run.evidence, None, None
            for step in self.steps.values():
                step.clear()
            await self._go(list(self.steps.values()))

    def _look(self) -> tuple[Any, Any]:
        """The incident that the form names, and what was found of all that it names."""
        self._stay.close()
        incident = at_once([lambda: ask(self.question, self._stay)], self._stop)[0]()
        return incident, at_once([lambda: examine(incident)], self._stop)[0]()

    async def _go(self, steps: list[_Step], again: _Step | None = None) -> None:
        for step in steps:
            step.stop.clear()
            step.bar.value = 0.0
            step.tell("Waits for the steps before it.", style="")
        for step in steps:
            widgets.put(self.said, status(f"{step.name} …"))
            if not await self._one(step, step is again):
                before = "" if self.verdict is None else "What is shown below is from before."
                said = f"The step {step.name} did not end. Run it again, and the rest follows."
                widgets.put(self.said, status(said, before))
                await self._sections(steps)
                return
        self.evidence, self.verdict = self.state.evidence, self.state.verdict
        self.remediation = self.state.remediation
        if self.verdict is None or self.remediation is None:  # a notebook without these steps
            await self._sections(steps)
            return
        self.halt.disabled = True  # what is left is drawing
        self._fold(True)
        widgets.put(self.told, await asyncio.to_thread(answer, self.evidence, self.verdict, self.remediation))
        widgets.put(self.said, status("Judged. The sections of the steps are being drawn."))
        seen = ("failures", "pins")  # what they show depends on the verdict
        await self._sections([step for step in self.steps.values() if step in steps or step.name in seen])
        made = await asyncio.to_thread(finish_run, self.run, self.evidence, self.verdict, self.remediation)
        widgets.put(self.said, status(f"Done. The report: {made}" if made else "Done."))

    async def _one(self, step: _Step, again: bool) -> bool:
        """Runs a step in a thread; False when it failed or was cancelled. What it has by then is kept."""
        lines, began, most = [f"{step.name} …"], time.monotonic(), SECONDS.get(step.name, 10.0)
        step.cancel.disabled = False
        step.tell(*lines, style="info")
        work = asyncio.ensure_future(
            asyncio.to_thread(partial(step.work, self.state, again=again, progress=lines.append, stop=step.stop))
        )
        try:
            while not work.done() and not step.stop.is_set():
                await asyncio.wait({work}, timeout=0.2)
                passed = time.monotonic() - began
                step.bar.value = min(0.95, passed / most)
                step.tell(f"{lines[-1]} ({passed:.0f} s of at most {most:.0f} s)")
            stopped = step.stop.is_set()
            if stopped:
                await asyncio.wait({work}, timeout=PATIENCE)
            if not work.done():  # it only computes, and nobody waits for what it comes to
                work.add_done_callback(lambda done: done.exception())
                step.tell("Cancelled. What the steps before it have is kept.", style="warning")
                return False
            self.state, step.ran = work.result(), True
            await asyncio.to_thread(keep, self.run, self.state.evidence)
        except IrkitError as error:
            step.tell(f"✖ {error.message}", error.hint, style="danger")
            return False
        finally:
            step.cancel.disabled = True
        if stopped:
            step.tell("Cancelled. What it has so far is kept: run it again for the rest.", style="warning")
            return False
        step.bar.value = 1.0
        step.tell(f"Done in {time.monotonic() - began:.1f} s.", style="success")
        return True

    async def _sections(self, steps: list[_Step]) -> None:
        """Draws what the steps have come to, and their controls."""
        for step in steps:
            if step.ran:
                widgets.put(step.body, await asyncio.to_thread(step.show, self.state))
                if step.name == "failures":
                    step.tool.children = filters(self.state.evidence, self.state.verdict, self._pick)
                elif step.name in ("chains", "pins") and "chains" in self.steps:
                    self.steps["chains"].tool.children = explorer(self.state.evidence)

    def _pick(self, only: Filter) -> None:
        """Shows some cohorts only; the last choice wins."""
        self.only = only
        self.call(lambda: self._loop.create_task(self._show(self.steps["failures"], only)))

    async def _show(self, step: _Step, only: Filter) -> None:
        section = await asyncio.to_thread(step.show, self.state)
        if only is self.only:
            widgets.put(step.body, section)


def _fields(asked: Question, found: list[str]) -> dict[str, Any]:
    """A control for each field of a question but `only`, which the steps have controls for."""
    all_of_them = "all; or names, with commas between"
    window = "as in the file; or 6h before its end; or 2026-11-23T06:00Z/2026-11-23T12:00Z"
    file = asked.incident or (found[0] if found else "")
    kinds = ("mitm", *(kind for kind in KINDS if kind != "mitm"))
    return {
        "rehearse": widgets.choice("Rehearsal of", kinds, asked.rehearse or "mitm"),
        "alert": widgets.area("Alert or its URL", asked.alert, "Alertmanager's JSON, or the address of its API: http://…/api/v2/alerts"),
        "token_env": widgets.text_field("Its token", asked.token_env, "if it wants one: the name of the variable"),
        "incident": widgets.suggest("Incident file", found, file, "incident.toml; or leave it out and name a host"),
        "host": widgets.text_field("Host", asked.host, "as in the file or the alert"),
        "window": widgets.text_field("Window", asked.window, window),
        "vantages": widgets.text_field("Vantages", asked.vantages, all_of_them),
        "releases": widgets.text_field("Releases", asked.releases, all_of_them),
        "prometheus": widgets.text_field("Prometheus", asked.prometheus, "as in the file; or http://prometheus:9090"),
    }  # fmt: skip


def _incident_files() -> list[str]:
    """The incident files here and two folders down, which may be a whole home; not those that runs have left."""
    found = (path for stars in ("", "*/", "*/*/") for path in Path().glob(f"{stars}incident*.toml"))
    kept = (path for path in found if not any(part == "runs" or part.startswith(".") for part in path.parts))
    return sorted(map(str, kept))[:50]


def _warm() -> None:
    """Loads what the steps need while somebody reads the form: counting and the first picture would take seconds."""
    with contextlib.suppress(Exception):  # what is missing is said where it is needed
        importlib.import_module("pandas")
        from irkit import plots

        with plots.drawing(1, 1) as figure:
            figure.text(0.5, 0.5, "irkit")
            plots.to_png(figure)


def _there(value: Any) -> Any:
    assert value is not None, "an earlier step gives it"
    return value
