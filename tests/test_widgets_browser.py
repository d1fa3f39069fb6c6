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
