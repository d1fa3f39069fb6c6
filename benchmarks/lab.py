"""From `make lab` to the verdict of a rehearsal: seconds and clicks, beside JupyterLab with one empty cell.

    python benchmarks/lab.py [mitm|rotation|misconfiguration|quiet]

A real JupyterLab and a real Chromium, cold, in a home of their own. Nobody thinks or reads: each click follows as soon
as its button is there. The peer is the same way to the result of an empty cell, which is what irkit can't make shorter.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from irkit.drill import KINDS
from irkit.files import workbench_file

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from jupyter_server import BROWSERS, browser, jupyter, open_notebook

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 120_000  # milliseconds
Laps = list[tuple[str, float]]


def session(folder: Path, notebook: str, then: Callable[[Page, Callable[[str], None]], None]) -> Laps:
    """Starts JupyterLab, opens a notebook, does something; gives the seconds since the start at each point."""
    chromium = next((found for name in BROWSERS if (found := shutil.which(name))), "")
    if not chromium:
        raise SystemExit("chromium is not installed: .ci/tools installs it")
    began, laps = time.perf_counter(), list[tuple[str, float]]()

    def lap(name: str) -> None:
        laps.append((name, time.perf_counter() - began))

    with jupyter(folder) as lab:
        lap("JupyterLab answers")
        with browser(chromium) as page:
            open_notebook(page, lab, notebook)
            lap("the notebook is open, its kernel idle")
            then(page, lap)
    return laps


def processor() -> float:
    """Seconds of processor time that ended processes of ours have used."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def main() -> int:
    kind = sys.argv[1] if len(sys.argv) > 1 else "mitm"
    if kind not in KINDS:
        sys.stderr.write(f"no rehearsal {kind}; it is one of {', '.join(KINDS)}\n")
        return 2
    clicks: list[str] = []

    def click(page: Page, role: str, name: str) -> None:
        page.get_by_role(role, name=name, exact=True).click(timeout=PATIENCE)  # type: ignore[arg-type]  # one of its roles
        clicks.append(name)

    def run_all(page: Page) -> None:
        click(page, "menuitem", "Run")
        click(page, "menuitem", "Run All Cells")

    def triage(page: Page, lap: Callable[[str], None]) -> None:
        run_all(page)
        page.get_by_role("button", name="Run all steps").wait_for(timeout=PATIENCE)
        lap("the form is shown")
        if kind != "mitm":  # which it proposes
            page.get_by_label("Rehearsal of").select_option(kind)
            clicks.append(f"Rehearsal of {kind}")
        click(page, "button", "Run all steps")
        page.wait_for_selector("h1 .badge", timeout=PATIENCE)
        lap("the verdict is shown")
        page.wait_for_selector("[role=status] >> text=/^Done[.]/", timeout=PATIENCE)
        lap("all sections are drawn, the report is written")

    def empty(page: Page, lap: Callable[[str], None]) -> None:
        run_all(page)
        page.wait_for_selector(".jp-OutputArea-output >> text=ready", timeout=PATIENCE)
        lap("an empty cell has run")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(workbench_file("notebooks/triage.ipynb"), folder / "triage.ipynb")
        cells = [nbformat.v4.new_code_cell("'ready'")]
        made = nbformat.v4.new_notebook(cells=cells)
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(made, folder / "empty.ipynb")
        peer = session(folder, "empty.ipynb", empty)[-1][1]
        clicks.clear()
        load, used = os.getloadavg()[0], processor()
        laps = session(folder, "triage.ipynb", triage)
        used = processor() - used
    print(f"{'from make lab on, ' + kind:<48}{'seconds':>9}{'of an empty cell':>18}")
    for what, seconds in laps:
        print(f"{what:<48}{seconds:>9.1f}{seconds / peer:>17.2f}x")
    print(f"{'peer: JupyterLab, an empty cell has run':<48}{peer:>9.1f}{1:>17.2f}x")
    print(f"processor time of all of it: {used:.1f} s on {os.cpu_count()} cores; load before: {load:.1f}")
    print(f"clicks: {len(clicks)}: {', '.join(clicks)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
