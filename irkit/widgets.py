"""The notebook's form, and steps that can be cancelled and run again. The one importer of ipywidgets.

Work runs in threads; the kernel's loop alone touches widgets, so it stays free to hear of a click. Whatever is shown is
made by `irkit.render`: `_html` takes nothing else, and texts of data pass `label`, which no MathJax typesets.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from irkit.alert import incident_from_alerts, load_alerts, parse_alerts
from irkit.chain import Chain
from irkit.classify import classify
from irkit.desk import Desk, Gather
from irkit.doctor import describe, examine
from irkit.drill import KINDS, prepare
from irkit.errors import IrkitError
from irkit.evidence import Evidence
from irkit.gather import begin
from irkit.incident import load_incident, narrow
from irkit.incidentfile import with_absolute_paths
from irkit.lineup import lineup, role, short_name
from irkit.remedy import Remediation, remedies
from irkit.render import Markup, aside, cell, label, paragraph, status, table
from irkit.report import answer, comparison, scope
from irkit.run import finish_run, keep, open_run
from irkit.summary import percent
from irkit.verdict import Verdict

__all__ = ["FormDesk"]

SECONDS = {"failures": 30.0, "chains": 10.0, "pins": 10.0, "classify": 10.0, "remedy": 10.0}  # what a step may take
ALL = "all"


def _html(markup: Markup) -> Any:
    """A widget that shows HTML of `irkit.render`, and of nobody else."""
    if not isinstance(markup, Markup):
        raise TypeError("only irkit.render makes HTML")
    return widgets.HTML(cell(markup), layout=widgets.Layout(max_width="72rem"))


def _set(shown: Any, markup: Markup) -> None:
    if not isinstance(markup, Markup):
        raise TypeError("only irkit.render makes HTML")
    shown.value = cell(markup)


def _wide() -> Any:
    """One for each field: a layout that two share hides both."""
    return widgets.Layout(width="36rem")


def _button(name: str, act: Callable[[], None], *, style: str = "", wide: str = "auto") -> Any:
    button = widgets.Button(description=name, button_style=style, layout=widgets.Layout(width=wide))
    button.on_click(lambda _: act())
    return button


@dataclass(frozen=True, slots=True)
class State:
    """What there is between two steps."""

    evidence: Evidence
    verdict: Verdict | None = None
    remediation: Remediation | None = None


class _Step:
    """A step's panel: a bar, what it does, Cancel, Run again, and its section below."""

    def __init__(self, desk: FormDesk, name: str, work: Callable[..., State], show: Callable[[State], Markup]) -> None:
        self.name, self.work, self.show = name, work, show
        self.done, self.cancelled = False, asyncio.Event()
        self.bar = widgets.FloatProgress(value=0, max=1, layout=widgets.Layout(width="14rem"))
        self.said = _html(status("Waits for the form above."))
        self.cancel = _button("Cancel", lambda: desk.call(self.cancelled.set))
        self.again = _button("Run again", lambda: desk.call(desk.run_again, self))
        self.cancel.disabled = self.again.disabled = True
        self.tool = widgets.VBox([])
        self.body = _html(Markup())
        head = widgets.HBox([self.bar, self.cancel, self.again, self.said], layout=widgets.Layout(align_items="center"))
        self.panel = widgets.VBox([head, self.tool, self.body])


class FormDesk(Desk):
    """A desk that asks first. `evidence`, `verdict` and `remediation` are there once its steps have run."""

    def __init__(self, out: str = "") -> None:
        self.evidence = None  # type: ignore[assignment]  # nothing is asked yet
        self.verdict = self.remediation = None
        self.steps: dict[str, _Step] = {}
        self.only: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._open = contextlib.ExitStack()
        found = sorted(str(path) for path in Path().glob("**/incident*.toml") if "captures" not in path.parts)[:50]
        start = ("Incident file", "Alert", "Rehearse") if found else ("Rehearse", "Incident file", "Alert")
        self.source = widgets.ToggleButtons(options=start, description="Start from")
        self.file = widgets.Combobox(options=found, value=found[0] if found else "", description="File",
                                     placeholder="incident.toml", ensure_option=False, layout=_wide())  # fmt: skip
        self.alert = widgets.Textarea(description="Alert", rows=6, layout=_wide(),
                                      placeholder="Alertmanager's JSON, or the address of its API")  # fmt: skip
        self.kind = widgets.Dropdown(options=("mitm", *(k for k in KINDS if k != "mitm")), description="Rehearse")
        self.host = widgets.Text(description="Host", placeholder="as in the file", layout=_wide())
        self.hours = widgets.BoundedFloatText(value=0, min=0, max=24 * 90, description="Last hours")
        self.vantages = widgets.Text(description="Vantages", placeholder="all; or names, with commas", layout=_wide())
        self.releases = widgets.Text(description="Releases", placeholder="all; or names, with commas", layout=_wide())
        self.out = widgets.Text(value=out, description="Leave files in", placeholder="nowhere", layout=_wide())
        self.start = _button("Run all steps", lambda: self.call(self._start), style="primary")
        self.check = _button("Only check what it needs", lambda: self.call(self._start, False))
        self.said = _html(status("Choose, then run. A rehearsal takes place on this machine alone."))
        self.checks, self.told = _html(Markup()), _html(Markup())
        self.source.observe(lambda _: self.call(self._switch), "value")
        self._switch()
        fields = [
            self.source,
            self.alert,
            self.file,
            self.kind,
            self.host,
            self.hours,
            self.vantages,
            self.releases,
            self.out,
        ]
        self.box = widgets.VBox(
            [*fields, widgets.HBox([self.start, self.check]), self.said, self.told, self.checks]
        )  # fmt: skip

    @property
    def form(self) -> Any:
        """The form, with the answer below it when there is one."""
        return self.box

    def call(self, act: Callable[..., Any], *arguments: Any) -> None:
        """Runs a call in the kernel's loop; clicks may arrive in another thread."""
        self._loop.call_soon_threadsafe(act, *arguments)

    def _switch(self) -> None:
        rehearse = self.source.value == "Rehearse"
        for field in (self.file, self.host, self.hours, self.vantages, self.releases):
            field.layout.display = "none" if rehearse else None
        self.kind.layout.display = None if rehearse else "none"
        self.alert.layout.display = None if self.source.value == "Alert" else "none"

    # --- the steps, as the notebook's cells name them

    def gather(self, title: str, work: Gather, show: Callable[[Evidence], Markup]) -> Any:
        """The panel of a stage."""

        def run(state: State, again: bool, progress: Callable[[str], None]) -> State:
            return replace(state, evidence=work(state.evidence, again=again, progress=progress))

        def section(state: State) -> Markup:
            if show is scope:
                return scope(self._filtered(state.evidence), state.verdict)
            return comparison(state.evidence, state.verdict) if show is comparison else show(state.evidence)

        return self._panel(title, run, section)

    def classify(self, show: Callable[[Evidence, Verdict], Markup]) -> Any:
        """The panel of the verdict."""
        run = lambda state, *_: replace(state, verdict=classify(state.evidence))  # noqa: E731 - as the others
        return self._panel("classify", run, lambda state: show(state.evidence, _there(state.verdict)))

    def remedy(self, show: Callable[[Evidence, Verdict, Remediation], Markup]) -> Any:
        """The panel of what to do."""

        def run(state: State, *_: Any) -> State:
            return replace(state, remediation=remedies(state.evidence, _there(state.verdict)))

        return self._panel(
            "remedy", run, lambda state: show(state.evidence, _there(state.verdict), _there(state.remediation))
        )

    def answer(self) -> Any:
        """Nothing: the answer stands below the form, where the click was."""
        return None

    def finish(self) -> Any:
        """Where to go on: the report is written when the steps have run."""
        return aside("The form is at the top of this notebook. It asks, and shows the answer below itself.")

    def _panel(self, name: str, work: Callable[..., State], show: Callable[[State], Markup]) -> Any:
        self.steps[name] = _Step(self, name, work, show)
        return self.steps[name].panel

    # --- running

    def _start(self, everything: bool = True) -> None:
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._begin(everything))

    def run_again(self, step: _Step) -> None:
        """Runs one step again, then judges; the other stages are left as they are."""
        if self._task is None or self._task.done():
            names = list(self.steps)
            judged = [self.steps[n] for n in names if n in ("classify", "remedy") or not self.steps[n].done]
            order = sorted({step.name, *(item.name for item in judged)}, key=names.index)
            self._task = self._loop.create_task(self._go([self.steps[n] for n in order], step))

    async def _begin(self, everything: bool) -> None:
        self.start.disabled = self.check.disabled = True
        try:
            _set(self.told, Markup())
            _set(self.said, status("Checking what it needs …"))
            incident = await asyncio.to_thread(self._asked)
            _set(self.checks, describe(await asyncio.to_thread(examine, incident)))
            _set(self.said, status("Checked; see below."))
            if everything:
                self.run = await asyncio.to_thread(partial(open_run, incident, out=self.out.value.strip()))
                self.state = State(self.run.evidence)
                for step in self.steps.values():
                    step.done = False
                await self._go(list(self.steps.values()))
        except IrkitError as error:
            _set(self.said, status(f"✖ {error.message}", error.hint))
        except Exception as error:  # noqa: BLE001 - a form that says nothing is worse
            _set(self.said, status(f"✖ {type(error).__name__}: {error}", "report it"))
        finally:
            self.start.disabled = self.check.disabled = False

    def _asked(self) -> Any:
        """The incident that the form names."""
        if self.source.value == "Rehearse":
            self._open.close()
            folder = Path(tempfile.mkdtemp(prefix="irkit-drill-"))
            return begin(self._open.enter_context(prepare(self.kind.value, folder)).incident).incident
        file = self.file.value.strip()
        if self.source.value == "Alert":
            pasted = self.alert.value.strip()
            there = pasted.startswith(("http://", "https://"))
            alerts = load_alerts(pasted) if there else parse_alerts(pasted, "the pasted alert")
            incident = with_absolute_paths(incident_from_alerts(alerts, file or None))
        else:
            incident = load_incident(file)
        return narrow(
            incident, self.host.value.strip(), self.hours.value, self.vantages.value, self.releases.value
        )  # fmt: skip

    async def _go(self, steps: list[_Step], again: _Step | None = None) -> None:
        self.start.disabled = True
        for step in self.steps.values():
            step.again.disabled = True
        try:
            for step in steps:
                _set(self.said, status(f"{step.name} …"))
                if not await self._one(step, step is again):
                    _set(self.said, status(f"{step.name} did not end. Run it again, and the rest follows."))
                    return
            for name in ("failures", "pins"):  # the verdict names cohorts and findings
                if name in self.steps:
                    _set(self.steps[name].body, await asyncio.to_thread(self.steps[name].show, self.state))
            self.evidence, self.verdict = self.state.evidence, self.state.verdict
            self.remediation = self.state.remediation
            if self.verdict is not None and self.remediation is not None:
                made = await asyncio.to_thread(finish_run, self.run, self.evidence, self.verdict, self.remediation)
                _set(self.said, status(f"Done. The report: {made}" if made else "Done."))
                _set(self.told, await asyncio.to_thread(answer, self.evidence, self.verdict, self.remediation))
        except Exception as error:  # noqa: BLE001 - a task that dies in silence would leave the form waiting
            _set(self.said, status(f"✖ {type(error).__name__}: {error}", getattr(error, "hint", "report it")))
        finally:
            self.start.disabled = False
            for step in self.steps.values():
                step.again.disabled = not hasattr(self, "state")

    async def _one(self, step: _Step, again: bool) -> bool:
        """Runs a step in a thread; False when it was cancelled. What a cancelled one still brings is dropped."""
        step.cancelled.clear()
        step.cancel.disabled, step.bar.bar_style = False, "info"
        lines = [f"{step.name} …"]
        began, most = time.monotonic(), SECONDS.get(step.name, 10.0)
        work = asyncio.ensure_future(asyncio.to_thread(step.work, self.state, again, lines.append))
        stop = asyncio.ensure_future(step.cancelled.wait())
        try:
            while not work.done() and not stop.done():
                await asyncio.wait({work, stop}, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
                passed = time.monotonic() - began
                step.bar.value = min(0.95, passed / most)
                _set(step.said, status(f"{lines[-1]} {passed:.0f} s of at most {most:.0f} s"))
            if not work.done():
                work.add_done_callback(lambda done: done.exception())  # nobody waits for it any more
                step.bar.bar_style, step.done = "warning", False
                _set(step.said, status("Cancelled: nothing of it was kept."))
                return False
            self.state = work.result()
            if self.state.evidence is not None:
                await asyncio.to_thread(keep, self.run, self.state.evidence)
            _set(step.body, await asyncio.to_thread(step.show, self.state))
            self._tools(step)
            step.bar.value, step.bar.bar_style, step.done = 1.0, "success", True
            _set(step.said, status(f"Done in {time.monotonic() - began:.1f} s."))
        except IrkitError as error:
            step.bar.bar_style = "danger"
            _set(step.said, status(f"✖ {error.message}", error.hint))
            return False
        else:
            return True
        finally:
            stop.cancel()
            step.cancel.disabled = True

    # --- tools

    def _filtered(self, evidence: Evidence) -> Evidence:
        failures = evidence.failures
        if failures is None or not self.only:
            return evidence
        return replace(evidence, failures=failures.select(**self.only))

    def _tools(self, step: _Step) -> None:
        if step.name == "failures" and self.state.evidence.failures is not None:
            self.only = {}
            step.tool.children = self._filters(step)
        elif step.name == "chains":
            step.tool.children = explorer(self.state.evidence)
        elif step.name == "pins" and "chains" in self.steps:
            self.steps["chains"].tool.children = explorer(self.state.evidence)

    def _filters(self, step: _Step) -> tuple[Any, ...]:
        """A choice for each role, and a grid of releases by regions: both filter the section below."""
        failures = self.state.evidence.failures
        assert failures is not None
        counts = {name: failures.by(name) for name in failures.roles}
        chosen = {}
        for name, counted in counts.items():
            if len(counted) > 1:
                options = [
                    (ALL, ALL),
                    *((label(f"{value} ({percent(r.ratio)} fail)"), value) for value, r in counted.iterrows()),
                ]
                chosen[name] = widgets.Dropdown(options=options, description=name)

        def show() -> None:
            self.only = {name: box.value for name, box in chosen.items() if box.value != ALL}
            self._loop.create_task(self._show(step))

        for box in chosen.values():
            box.observe(lambda _: self.call(show), "value")

        def pick(version: str, region: str) -> None:
            for name, value in (("version", version), ("region", region)):
                chosen[name].value = value

        parts: list[Any] = [widgets.HBox(list(chosen.values()))]
        if {"version", "region"} <= set(chosen):
            regions = list(counts["region"].index)[:6]
            cells: list[Any] = [_html(paragraph("Share failing: press to filter"))]
            cells += [_button(label(r, 20), partial(pick, ALL, r), wide="8rem") for r in regions]
            for version in list(counts["version"].index)[:8]:
                cells.append(_button(label(version, 20), partial(pick, version, ALL), wide="12rem"))
                for region in regions:
                    row = failures.select(version=version, region=region).by().iloc[0]
                    made = _button(
                        percent(row.ratio) if row.validations else "none", partial(pick, version, region), wide="8rem"
                    )
                    made.style.button_color = _shade(row.ratio if row.validations else 0.0)
                    made.tooltip = label(f"{version} in {region}", 60)
                    cells.append(made)
            across = f"12rem repeat({len(regions)}, 8rem)"
            parts.append(widgets.GridBox(cells, layout=widgets.Layout(grid_template_columns=across, grid_gap="2px")))
            parts.append(_button("Show all", partial(pick, ALL, ALL), wide="8rem"))
        return tuple(parts)

    async def _show(self, step: _Step) -> None:
        _set(step.body, await asyncio.to_thread(step.show, self.state))


def _shade(ratio: float) -> str:
    """From white to an orange on which black text keeps a contrast of 4.5."""
    level = round(255 - 90 * min(1.0, ratio / 0.5))
    return f"#ff{level:02x}{max(0, 2 * level - 255):02x}"


def _there(value: Any) -> Any:
    assert value is not None, "an earlier step gives it"
    return value


def explorer(evidence: Evidence) -> tuple[Any, ...]:
    """Chooses a certificate of a chain and shows its fields, its pins, and which release accepts the chain by it."""
    lines = lineup(evidence)
    if not lines.columns:
        return ()
    chains = widgets.Dropdown(
        options=[(label(f"{i}. {column.title} ({column.note})", 110), i) for i, column in enumerate(lines.columns, 1)],
        description="Chain", layout=widgets.Layout(width="44rem"),
    )  # fmt: skip
    certificates = widgets.Select(description="Certificate", rows=4, layout=widgets.Layout(width="44rem"))
    fields = _html(Markup())
    pin = widgets.Text(description="Pin", layout=widgets.Layout(width="44rem"))
    pem = widgets.Textarea(description="PEM", rows=4, layout=widgets.Layout(width="44rem"))

    def column() -> Any:
        return lines.columns[chains.value - 1]

    def pick(_: Any = None) -> None:
        chain: Chain = column().chain
        shown = [(label(f"{i}: {role(i, c)}, {short_name(c)}", 100), i) for i, c in enumerate(chain[:20])]
        certificates.options = shown
        certificates.value = 0 if shown else None
        tell()

    def releases(wanted: Callable[[Any], bool]) -> str:
        return ", ".join(release.name for release, found in column().accepted if wanted(found)) or "none known"

    def tell(_: Any = None) -> None:
        if certificates.value is None:
            return
        certificate = column().chain[certificates.value]
        rows: list[tuple[object, object]] = [
            ("subject", certificate.subject or "unreadable"), ("issuer", certificate.issuer or "unreadable"),
            ("names", ", ".join(certificate.dns_names[:20]) or "none"), ("key", certificate.key),
            ("valid", f"{certificate.not_before} to {certificate.not_after}"), ("SHA-256", certificate.sha256),
            ("pinned by", ", ".join(lines.pinned_by(column(), certificate)) or "no release"),
            ("releases that accept the chain", releases(lambda found: found.connects)),
            ("releases that refuse it", releases(lambda found: found.answer == "no")),
        ]  # fmt: skip
        _set(fields, table(("field", "value"), rows, "The certificate"))
        pin.value, pem.value = str(certificate.pin or "none"), certificate.pem()

    chains.observe(pick, "value")
    certificates.observe(tell, "value")
    pick()
    hint = _html(paragraph("To copy: Tab into a field, Ctrl+A, Ctrl+C."))
    return (chains, certificates, fields, hint, pin, pem)
