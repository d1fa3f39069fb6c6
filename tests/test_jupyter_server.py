"""The fixtures that other tests stand on: JupyterLab with Chromium, TLS servers, the guard."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import forge
import pytest
from conftest import TlsServer, is_loopback
from jupyter_server import BROWSERS, browser, jupyter, open_notebook, output, run_all


def code(number: int, source: str) -> dict[str, object]:
    return {
        "cell_type": "code", "id": f"c{number}", "metadata": {}, "execution_count": None, "outputs": [],
        "source": source,
    }  # fmt: skip


@pytest.mark.browser
def test_a_notebook_runs_in_jupyterlab_and_all_its_output_can_be_read(tmp_path: Path, tool: Callable[..., str]) -> None:
    sources = ["import time; time.sleep(0.5); n = 0", *["n += 1; n"] * 40]  # more than fits on the screen
    notebook = {
        "cells": [code(number, source) for number, source in enumerate(sources)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python"}, "language_info": {"name": "python"}},
        "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    (tmp_path / "to forty.ipynb").write_text(json.dumps(notebook))
    with jupyter(tmp_path) as lab, browser(tool(*BROWSERS)) as page:
        open_notebook(page, lab, "to forty.ipynb")
        run_all(page)
        assert output(page).split() == [str(n) for n in range(1, 41)]


def test_a_tls_server_presents_the_chain_it_is_given_and_answers_http(tls_server: Callable[..., TlsServer]) -> None:
    leaf = forge.root().issue(cn="Forge CA", ca=True).issue("localhost")
    server = tls_server(leaf)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert urlopen(f"https://{server.address}/", context=context, timeout=10).read() == b"ok"
    with socket.create_connection((server.host, server.port)) as raw, context.wrap_socket(raw) as connection:
        assert connection.getpeercert(binary_form=True) == leaf.certificate.der
    assert server.connections == 2


def test_the_guard_lets_no_connection_leave_this_machine() -> None:
    inside = ["127.0.0.1", "127.9.9.9", "::1", "localhost", "0.0.0.0", "::ffff:127.0.0.1"]
    outside = ["192.0.2.1", "2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.1", "example.com", "127.0.0.1.example.com"]
    assert [h for h in inside + outside if is_loopback(h)] == inside


def test_a_test_that_connects_to_another_machine_fails_even_if_it_swallows_the_error(tmp_path: Path) -> None:
    (tmp_path / "test_swallows.py").write_text("""
import socket

def test_swallows():
    try:
        socket.create_connection(("192.0.2.1", 9), timeout=1)
    except OSError:
        pass
""")
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-c", os.devnull, tmp_path]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "the test connected to another machine: ['192.0.2.1']" in done.stdout
    assert done.returncode == 1
