"""Voilà serves the triage notebook as a page without code, and the form works there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_server import BROWSERS, browser
from test_widgets_browser import DONE, picture

from irkit.files import workbench_file


@pytest.mark.browser
def test_voila_serves_the_form_without_code_and_it_reaches_a_verdict(tmp_path: Path, tool: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "JPY"))} | {"HOME": home}
        command = [sys.executable, "-m", "voila", str(workbench_file("notebooks/triage.ipynb")), "--no-browser",
                   f"--port={port}", "--Voila.ip=127.0.0.1"]  # fmt: skip
        with subprocess.Popen(
            command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as voila:
            try:
                until = time.monotonic() + 60
                while socket.socket().connect_ex(("127.0.0.1", port)):
                    assert time.monotonic() < until, "Voilà did not start"
                    time.sleep(0.1)
                with browser(tool(*BROWSERS)) as page:
                    page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
                    page.get_by_role("button", name="Run all steps").click()
                    page.wait_for_selector("h1 .badge", timeout=DONE)
                    assert "MITM" in page.locator("h1 .badge").inner_text()
                    picture(page, "voila")
                    assert "desk.gather" not in page.inner_text("body"), "no code is shown"
            finally:
                voila.terminate()
