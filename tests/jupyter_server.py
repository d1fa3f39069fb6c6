"""A real JupyterLab and a real Chromium, for tests that use a notebook the way a responder does.

with jupyter(folder) as lab, browser(chromium) as page:
    open_notebook(page, lab, "triage.ipynb")
    run_all(page)
    assert "mitm" in output(page)
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from programs import running

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START = 60  # seconds a server or a page may need on a busy machine
RUN = 120  # seconds a notebook may need
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false"},  # asks no question, connects nowhere
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight are in the page, too
}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: `url` ends in a slash."""

    url: str
    token: str
    folder: Path

    def page(self, notebook: str) -> str:
        """The address of one notebook in the single-document interface, in a workspace of its own."""
        return f"{self.url}doc/tree/{quote(notebook)}?reset&token={self.token}"


@contextlib.contextmanager
def jupyter(folder: Path) -> Iterator[Lab]:
    """JupyterLab on a free port of loopback, with `folder` as its root and no setting from this machine."""
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as home:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))}
        # Keeps the reader's own kernels, settings and history out; the kernel is the one of this Python.
        env |= {"HOME": home, "JUPYTER_RUNTIME_DIR": f"{home}/runtime", "JUPYTER_CONFIG_DIR": f"{home}/config",
                "JUPYTER_DATA_DIR": f"{home}/data", "IPYTHONDIR": f"{home}/ipython"}  # fmt: skip
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
            f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly",
        ]  # fmt: skip
        for name, value in SETTINGS.items():
            file = Path(home, "config/lab/user-settings/@jupyterlab", f"{name}.jupyterlab-settings")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(value))
        with running(command, Path(home, "log"), lambda: _url(Path(home, "runtime")), START, env=env) as url:
            yield Lab(url, token, folder)


def _url(runtime: Path) -> str | None:
    for info in runtime.glob("jpserver-*.json"):
        with contextlib.suppress(ValueError):  # not wholly written yet
            return f"{json.loads(info.read_text())['url']}"
    return None


@contextlib.contextmanager
def browser(executable: str, width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """An empty page in a headless Chromium. `executable`: of the `tool` fixture, `tool(*BROWSERS)`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=executable, args=flags, timeout=START * 1000)
        try:
            page = chromium.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(START * 1000)
            yield page
        finally:
            chromium.close()


def open_notebook(page: Page, lab: Lab, notebook: str) -> None:
    """Opens a notebook of the lab's folder and waits for its kernel."""
    page.goto(lab.page(notebook))
    page.wait_for_selector(".jp-Notebook-cell")
    # The page says "idle" before it has a kernel, too: the server knows better.
    end = time.monotonic() + START
    while not any(kernel["execution_state"] == "idle" and kernel["connections"] for kernel in _kernels(page, lab)):
        assert time.monotonic() < end, f"no kernel for {notebook} within {START} s"
        time.sleep(0.1)
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')


def _kernels(page: Page, lab: Lab) -> list[dict[str, Any]]:
    answer = page.request.get(f"{lab.url}api/kernels", headers={"Authorization": f"token {lab.token}"})
    # While one starts, the server may fail to describe it.
    kernels: list[dict[str, Any]] = answer.json() if answer.ok else []
    return kernels


def run_all(page: Page, seconds: float = RUN) -> None:
    """Runs all cells from the menu and waits until the last one is done."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    # A cell's prompt is [*] while it waits or runs.
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.textContent);
            const idle = document.querySelector('.jp-Notebook-ExecutionIndicator[data-status="idle"]');
            return idle && prompts.some(p => /\\d/.test(p)) && !prompts.some(p => p.includes('*'));
        }""",
        timeout=seconds * 1000,
    )


def output(page: Page) -> str:
    """The text of all outputs, as a reader sees it."""
    return "\n".join(page.locator(".jp-OutputArea-output").all_inner_texts())
