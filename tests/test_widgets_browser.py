"""The form in a real JupyterLab: a drill from the first click to the verdict, cancelled, run again, filtered."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_server import BROWSERS, browser, jupyter, open_notebook, run_all
from test_notebook_browser import hostile_incident, watch

from irkit.drill import prepare
from irkit.files import workbench_file

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
DONE = 60_000  # milliseconds for all steps, on a busy machine


def picture(page: Page, name: str) -> None:
    """Keeps a screenshot where IRKIT_SHOTS says."""
    if folder := os.environ.get("IRKIT_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


def copy_notebook(folder: Path) -> None:
    shutil.copy(workbench_file("notebooks/triage.ipynb"), folder / "triage.ipynb")


def answered(page: Page) -> str:
    page.wait_for_selector("[role=status] >> text=/^Done/", timeout=DONE)
    page.wait_for_selector("h1 .badge", timeout=DONE)
    return page.locator("h1").first.inner_text()


def test_a_rehearsal_takes_one_click_on_the_form_to_its_verdict(tmp_path: Path, tool: Callable[..., str]) -> None:
    copy_notebook(tmp_path)
    with jupyter(tmp_path) as lab, browser(tool(*BROWSERS)) as page:
        open_notebook(page, lab, "triage.ipynb")
        run_all(page)
        picture(page, "form")
        page.get_by_role("button", name="Run all steps").click()
        page.wait_for_selector("h1 .badge", timeout=DONE)
        assert "MITM" in page.locator("h1 .badge").inner_text()
        picture(page, "answer")
        assert page.locator(".card.stop").first.is_visible()


@pytest.mark.prometheus
def test_a_mitm_on_live_servers_is_cancelled_run_again_filtered_and_judged(
    tmp_path: Path, tool: Callable[..., str]
) -> None:
    tool("prometheus")
    copy_notebook(tmp_path)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        prepare("mitm", tmp_path / "drill", prometheus=True) as drill,
    ):
        silent.listen()
        slow = f'\n[[capture]]\nvantage = "slow"\nconnect = "127.0.0.1:{silent.getsockname()[1]}"\n'
        content = drill.incident.read_text()
        drill.incident.write_text(content.replace("\n[inventory]", f"{slow}\n[inventory]"))
        with jupyter(tmp_path) as lab, browser(tool(*BROWSERS)) as page:
            open_notebook(page, lab, "triage.ipynb")
            run_all(page)
            page.get_by_role("button", name="Incident file").click()
            page.get_by_label("File", exact=True).fill("drill/incident.toml")
            page.get_by_label("Leave files in").fill("runs")
            page.get_by_role("button", name="Run all steps").click()
            page.wait_for_selector("[role=status] >> text=/capturing chains/", timeout=DONE)
            page.locator("button:enabled", has_text="Cancel").click()
            page.wait_for_selector("[role=status] >> text=/^Cancelled: nothing/", timeout=DONE)
            page.wait_for_selector("text=vantage slow", timeout=DONE)
            picture(page, "cancelled")
            assert page.locator("h1 .badge").count() == 0, "no verdict without its evidence"
            drill.incident.write_text(content)
            page.locator("button:enabled", has_text="Run again").nth(1).click()
            page.wait_for_selector("h1 .badge", timeout=DONE)
            assert "MITM" in page.locator("h1 .badge").inner_text()
            assert list(tmp_path.glob("runs/*/*/report.html"))
            picture(page, "judged")
            region = page.get_by_label("region", exact=True)
            region.scroll_into_view_if_needed()
            before = page.locator("text=/validations failed/").first.inner_text()
            region.select_option(index=1)
            page.wait_for_function(
                "before => ![...document.querySelectorAll('strong')].some(e => before.startsWith(e.innerText))",
                arg=before, timeout=DONE,
            )  # fmt: skip
            picture(page, "filtered")


def tab_to(page: Page, name: str, back: bool = False) -> None:
    """Presses Tab until the element with this text or label has the focus."""
    focused = """() => {
        const e = document.activeElement;
        const label = e.labels && e.labels[0] ? e.labels[0].textContent : '';
        return (label || e.textContent || '').trim();
    }"""
    seen = []
    for _ in range(120):
        seen.append(page.evaluate(focused)[:30])
        if seen[-1] == name:
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"the keyboard does not reach {name}, only {seen}")


def test_the_keyboard_alone_takes_a_hostile_incident_to_its_verdict_and_nothing_of_it_runs(
    tmp_path: Path, tool: Callable[..., str]
) -> None:
    copy_notebook(tmp_path)
    hostile_incident(tmp_path)
    with jupyter(tmp_path) as lab, browser(tool(*BROWSERS)) as page:
        asked, said = watch(page)
        open_notebook(page, lab, "triage.ipynb")
        page.locator(".jp-Notebook").focus()
        cells = page.locator(".jp-Notebook-cell").count()
        for _ in range(cells - 1):
            page.keyboard.press("Shift+Enter")
        page.keyboard.press("Control+Enter")  # Shift+Enter would add a cell below the last
        page.get_by_role("button", name="Run all steps").wait_for(timeout=DONE)
        busy = "() => ![...document.querySelectorAll('.jp-InputPrompt')].some(p => p.textContent.includes('*'))"
        page.wait_for_function(busy)
        tab_to(page, "Run all steps", back=True)
        page.keyboard.press("Space")
        page.wait_for_selector("h1 .badge", timeout=DONE)
        assert "MITM" in page.locator("h1 .badge").inner_text()
        tab_to(page, "region")
        page.keyboard.press("e")  # a list goes to the entry that begins with what is typed: eu-west
        chosen = (
            "() => [...document.querySelectorAll('select')].some(s => s.selectedOptions[0]?.text.startsWith('eu-'))"
        )
        page.wait_for_function(chosen)
        page.wait_for_timeout(1000)  # MathJax, if anything set it off
        assert page.evaluate("typeof window.pwned") == "undefined"
        outputs = page.locator(".jp-OutputArea-output")
        assert outputs.locator("mjx-container, .MathJax, script, img[src='x']").count() == 0
        assert "<script>window.pwned=1</script>" in "\n".join(outputs.all_inner_texts())
        assert [url for url in asked if not url.startswith((lab.url, "data:", "blob:"))] == []
        assert not [line for line in said if "pwned" in line]
        picture(page, "hostile")
