"""Voilà serves the triage notebook as a page without code, the form works there, and nothing leaves the machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_server import BROWSERS, browser
from programs import free_port, listening
from test_widgets_browser import DONE, picture

from irkit.files import workbench_file


@pytest.mark.browser
def test_voila_serves_the_form_without_code_and_loads_nothing_from_elsewhere(
    tmp_path: Path, tool: Callable[..., str]
) -> None:
    port = free_port()
    for name in ("triage.ipynb", "voila.json"):
        shutil.copy(workbench_file(f"notebooks/{name}"), tmp_path / name)
    (tmp_path / "home").mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))} | {"HOME": f"{tmp_path}/home"}
    command = [sys.executable, "-m", "voila", "triage.ipynb", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    with (
        listening(command, port, tmp_path / "voila.log", env=env, cwd=tmp_path) as address,
        browser(tool(*BROWSERS)) as page,
    ):
        asked: list[Any] = []
        page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - Playwright marks its handlers
        page.goto(f"http://{address}/", wait_until="commit")
        page.get_by_role("button", name="Run all steps").click()
        page.wait_for_selector("h1 .badge", timeout=DONE)
        assert "MITM" in page.locator("h1 .badge").inner_text()
        page.wait_for_selector("[role=status] >> text=/^Done. The report/", timeout=DONE)
        picture(page, "voila")
        assert "desk.gather" not in page.inner_text("body"), "no code is shown"
        # Voilà's own template names style sheets elsewhere; voila.json forbids the browser to fetch them.
        ours = (f"http://{address}/", "data:", "blob:")
        outside = {request.url: request.failure for request in asked if not request.url.startswith(ours)}
        assert set(outside.values()) <= {"csp"}, outside
        page.get_by_role("button", name="Copy pin").click()
        page.wait_for_selector("[role=status] >> text=Copied.", timeout=DONE)
