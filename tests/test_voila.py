"""Voilà serves the triage notebook as a page without code, and the form works there."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_server import BROWSERS, browser
from programs import free_port, listening
from test_widgets_browser import DONE, picture

from irkit.files import workbench_file


@pytest.mark.browser
def test_voila_serves_the_form_without_code_and_it_reaches_a_verdict(tmp_path: Path, tool: Callable[..., str]) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))} | {"HOME": home}
        command = [sys.executable, "-m", "voila", str(workbench_file("notebooks/triage.ipynb")), "--no-browser",
                   f"--port={port}", "--Voila.ip=127.0.0.1"]  # fmt: skip
        with (
            listening(command, port, tmp_path / "voila.log", env=env, cwd=tmp_path) as address,
            browser(tool(*BROWSERS)) as page,
        ):
            page.goto(f"http://{address}/", wait_until="commit")
            page.get_by_role("button", name="Run all steps").click()
            page.wait_for_selector("h1 .badge", timeout=DONE)
            assert "MITM" in page.locator("h1 .badge").inner_text()
            picture(page, "voila")
            assert "desk.gather" not in page.inner_text("body"), "no code is shown"
