"""The form in a real JupyterLab: a drill from the first click to the verdict, cancelled, run again, filtered."""

from __future__ import annotations

import importlib.resources
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_server import BROWSERS, browser, jupyter, open_notebook, run_all
from test_notebook_browser import hostile_incident, watch

import irkit
from irkit.drill import prepare
from irkit.files import workbench_file

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
DONE = 150_000  # milliseconds for all steps, on a busy machine


def picture(page: Page, name: str) -> None:
    """Keeps a screenshot where IRKIT_SHOTS says."""
    if folder := os.environ.get("IRKIT_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


def copy_notebook(folder: Path) -> None:
    shutil.copy(workbench_file("notebooks/triage.ipynb"), folder / "triage.ipynb")


AXE = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
# What stands in the outputs; JupyterLab's own page around them is not ours.
OUTPUTS = "axe.run('.jp-OutputArea-output', {resultTypes: ['violations']})"


def judged(page: Page) -> None:
    page.wait_for_selector("h1 .badge", timeout=DONE)
    assert "MITM" in page.locator("h1 .badge").inner_text()
    page.wait_for_selector("[role=status] >> text=/^Done. The report/", timeout=DONE)


def focused(page: Page) -> str:
    """The label or the text of the element that the keyboard is on."""
    said: str = page.evaluate(
        """() => {
            const e = document.activeElement;
            const label = e.labels && e.labels[0] ? e.labels[0].textContent : '';
            return (label || e.textContent || '').trim();
        }"""
    )
    return said


def tab_to(page: Page, name: str, *, back: bool = False, times: int = 1) -> None:
    """Presses Tab until the element with this text or label has the focus, for the so-many-th time."""
    seen: list[str] = []
    for _ in range(160):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        seen.append(focused(page)[:40])
        if seen[-1] == name:
            times -= 1
            if not times:
                return
    raise AssertionError(f"the keyboard does not reach {name}, only {seen}")


def run_all_by_keyboard(page: Page) -> None:
    """Runs every cell; the form then has the focus."""
    page.locator(".jp-Notebook").focus()
    for _ in range(page.locator(".jp-Notebook-cell").count() - 1):
        page.keyboard.press("Shift+Enter")
    page.keyboard.press("Control+Enter")  # Shift+Enter would add a cell below the last
    page.wait_for_function("() => document.activeElement.textContent.trim() === 'Run all steps'", timeout=DONE)


def test_a_rehearsal_takes_one_click_on_the_form_and_everybody_can_read_it(
    tmp_path: Path, tool: Callable[..., str]
) -> None:
    copy_notebook(tmp_path)
    with jupyter(tmp_path) as lab, browser(tool(*BROWSERS)) as page:
        open_notebook(page, lab, "triage.ipynb")
        run_all(page)
        picture(page, "form")
        page.get_by_role("button", name="Run all steps").click()
        judged(page)
        picture(page, "answer")
        assert page.locator(".card.stop").first.is_visible()
        page.evaluate(AXE)
        found = page.evaluate(OUTPUTS)
        assert len(found["violations"]) == 0, [
            f"{item['impact']} {item['id']}: {item['nodes'][0]['html'][:200]}" for item in found["violations"]
        ]


@pytest.mark.prometheus
def test_the_keyboard_alone_takes_a_mitm_on_live_servers_through_cancel_and_run_again_to_verdict_filter_and_copy(
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
            page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            open_notebook(page, lab, "triage.ipynb")
            run_all_by_keyboard(page)
            tab_to(page, "Incident", back=True)
            page.keyboard.press("Space")
            tab_to(page, "Incident file")
            page.keyboard.press("Control+A")
            page.keyboard.type("drill/incident.toml")
            tab_to(page, "Releases")
            page.keyboard.type("shop-android 4.1.0, shop-android 4.2.0, shop-ios 7.2, shop-ios 7.3")
            tab_to(page, "Run all steps")
            page.keyboard.press("Space")
            page.wait_for_selector("[role=status] >> text=/^Checking/", timeout=DONE)
            tab_to(page, "Cancel")
            page.wait_for_selector("[role=status] >> text=/office is captured|eu-west is captured/", timeout=DONE)
            page.keyboard.press("Space")
            page.wait_for_selector("[role=status] >> text=/^Cancelled. What it has so far is kept/", timeout=DONE)
            page.wait_for_selector("text=cancelled before it answered", timeout=DONE)
            picture(page, "cancelled")
            assert page.locator("h1 .badge").count() == 0, "no verdict without its evidence"
            silent.close()  # now it refuses at once
            counted = page.locator("[role=status] >> text=/^Done in/").count()
            assert counted == 1, "the failures alone"
            tab_to(page, "Run again", times=2)
            page.keyboard.press("Space")
            judged(page)
            (report,) = tmp_path.glob("runs/*/*/report.html")
            sources = [item["source"] for item in json.loads(report.with_name("result.json").read_text())["findings"]]
            assert any("http://127.0.0.1" in source for source in sources), "the live Prometheus"
            picture(page, "judged")
            tab_to(page, "ap-south, AS64500: 4 releases", back=True)
            page.keyboard.press("Space")
            page.wait_for_selector("text=/^Shown: region ap-south/", timeout=DONE)
            picture(page, "filtered")
            tab_to(page, "region", back=True)
            page.keyboard.press("e")  # a list goes to the entry that begins with what is typed: eu-west
            page.wait_for_selector("text=/^Shown: region eu-west/", timeout=DONE)
            tab_to(page, "Certificate")
            page.keyboard.press("ArrowDown")
            issuer = irkit.capture("api.example.com", connect=drill.address)[1]
            page.wait_for_selector(f'button[data-copy="{issuer.pin}"]', timeout=DONE)
            tab_to(page, "Copy pin")
            page.keyboard.press("Enter")
            page.wait_for_selector("[role=status] >> text=Copied.", timeout=DONE)
            assert page.evaluate("navigator.clipboard.readText()") == str(issuer.pin)
            picture(page, "copied")


def test_nothing_of_a_hostile_incident_runs_in_the_form_or_is_typeset(tmp_path: Path, tool: Callable[..., str]) -> None:
    copy_notebook(tmp_path)
    hostile_incident(tmp_path)
    with jupyter(tmp_path) as lab, browser(tool(*BROWSERS)) as page:
        asked, said = watch(page)
        open_notebook(page, lab, "triage.ipynb")
        run_all(page)
        page.get_by_role("button", name="Run all steps").click()
        judged(page)
        page.get_by_label("region", exact=True).select_option(index=1)
        page.wait_for_selector("text=/^Shown: region/", timeout=DONE)
        page.get_by_label("Chain", exact=True).select_option(index=1)
        page.get_by_role("button", name="Copy PEM").click()
        page.wait_for_selector("[role=status] >> text=Copied.", timeout=DONE)
        page.wait_for_timeout(1000)  # MathJax, if anything set it off
        assert page.evaluate("typeof window.pwned") == "undefined"
        outputs = page.locator(".jp-OutputArea-output")
        assert outputs.locator("mjx-container, .MathJax, script, img[src='x']").count() == 0
        assert "<script>window.pwned=1</script>" in "\n".join(outputs.all_inner_texts())
        assert [url for url in asked if not url.startswith((lab.url, "data:", "blob:"))] == []
        assert not [line for line in said if "pwned" in line]
        picture(page, "hostile")
