"""The notebook's parameters under papermill alone: they do what the form does, and a wrong one is said in words."""

from __future__ import annotations

import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import papermill
import psutil
import pytest

import irkit
from irkit.drill import prepare
from irkit.errors import InputError
from irkit.notebook import declared_parameters
from irkit.parameters import check_given

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "triage.ipynb"


def command(folder: Path, notebook: Path = NOTEBOOK, **parameters: str) -> list[str]:
    given = [word for name, value in parameters.items() for word in ("-p", name, value)]
    return [sys.executable, "-m", "papermill", str(notebook), str(folder / "out.ipynb"), "--cwd", str(folder), *given]


def run(folder: Path, notebook: Path = NOTEBOOK, **parameters: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, notebook, **parameters), capture_output=True, text=True, check=False, timeout=120
    )


def the_run(out: Path) -> tuple[dict[str, Any], str]:
    """result.json and report.html of the one run."""
    (folder,) = out.glob("*/*")
    return json.loads((folder / "result.json").read_text()), (folder / "report.html").read_text()


def test_every_parameter_is_declared_listed_by_papermill_and_taken_by_the_desk() -> None:
    declared = declared_parameters(NOTEBOOK)
    assert list(papermill.inspect_notebook(str(NOTEBOOK))) == list(declared)
    assert set(declared) == set(inspect.signature(irkit.open_desk).parameters)
    assert all(isinstance(default, str) for default in declared.values())


def test_papermill_with_a_mistyped_parameter_fails_and_its_files_say_so(tmp_path: Path) -> None:
    done = run(tmp_path, incidnet="x.toml")
    assert done.returncode == 1, "papermill's own code for a notebook that failed"
    result, report = the_run(tmp_path / "runs")
    assert (result["status"], result["verdict"]) == ("incomplete", "inconclusive")
    assert "the notebook has no parameter incidnet" in result["findings"][0]["says"]
    for said in ("DID NOT COMPLETE", "no parameter incidnet", "did you mean &#x27;incident&#x27;?"):
        assert said in report


def test_a_notebook_may_have_parameters_of_its_own() -> None:
    cells = ["", "%matplotlib inline", "team = ''", "# Parameters\nteam = 'shop'\nhost = 'a.example'\n"]
    check_given(["host"], shell=SimpleNamespace(user_ns={"In": cells}))
    mistyped = [*cells, "# Parameters\ntaem = 'shop'\n"]
    with pytest.raises(InputError, match="no parameter taem") as caught:
        check_given(["host"], shell=SimpleNamespace(user_ns={"In": mistyped}))
    assert "did you mean team" in caught.value.hint.replace("'", "")


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("pin_health", {"hots": "hosts.toml", "out": "health"}, "the notebook has no parameter hots"),
        ("pin_health", {"hosts": "7.2", "out": "health"}, "the parameter hosts is float, not text: 7.2"),
        ("rotation_plan", {"rotaton": "rotation.toml"}, "the notebook has no parameter rotaton"),
        ("fleet", {"sweep": "no"}, "the parameter sweep is str, not True or False: no"),
    ],
)
def test_every_notebook_refuses_a_parameter_that_it_cannot_use_and_leaves_what_it_can(
    tmp_path: Path, name: str, parameters: dict[str, str], says: str
) -> None:
    done = run(tmp_path, ROOT / "notebooks" / f"{name}.ipynb", **parameters)
    assert done.returncode == 1
    assert f"InputError: {says}" in done.stderr
    if name == "pin_health":
        (folder,) = (tmp_path / "health" / "runs").glob("*")
        result = json.loads((folder / "result.json").read_text())
        assert (result["status"], result["hosts"]) == ("incomplete", [])
        assert says in result["error"]
        assert "DID NOT COMPLETE" in (report := (folder / "report.html").read_text())
        assert says in report
        assert "did not complete" in (tmp_path / "health" / "index.html").read_text().lower()


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({}, "no incident given"),
        ({"incident": "none.toml"}, "none.toml: No such file"),
        ({"host": "https://x"}, "no usable host"),
        ({"host": "a.example", "window": "soon"}, "is no window"),
        ({"host": "a.example", "only": "regoin=x"}, "chooses nothing"),
        ({"host": "a.example", "vantages": "<b>"}, "has no &#x27;&lt;b&gt;&#x27;"),
        ({"host": "a.example", "releases": 7.2}, "releases is float, not text: 7.2"),
        ({"alert": "none.json"}, "can&#x27;t read the alert none.json"),
        ({"rehearse": "mtim"}, "no rehearsal &#x27;mtim&#x27;"),
        ({"replay": "nowhere"}, "nowhere"),
    ],
)
def test_a_bad_value_is_an_error_in_words_and_the_files_say_so(
    tmp_path: Path, parameters: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError) as caught:
        irkit.open_desk(**parameters, out=str(tmp_path / "runs"))
    assert caught.value.hint
    result, report = the_run(tmp_path / "runs")
    assert result["status"] == "incomplete"
    assert says in report


def test_the_parameters_do_what_the_form_does(tmp_path: Path) -> None:
    done = run(
        tmp_path, rehearse="mitm", window="12h", vantages="office", releases="shop-ios 7.2", only="region=ap-south"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result, _ = the_run(tmp_path / "runs")
    assert (result["status"], result["verdict"]) == ("complete", "mitm")
    (folder,) = (tmp_path / "runs").glob("*/*")
    evidence = irkit.load_evidence(folder)
    assert [vantage.name for vantage in evidence.incident.vantages] == ["office"]
    assert [release.name for release in evidence.releases] == ["shop-ios 7.2"]
    assert evidence.failures is not None
    assert 11.9 < (evidence.failures.end - evidence.failures.start).total_seconds() / 3600 < 12.1
    assert "Shown: region ap-south" in (tmp_path / "out.ipynb").read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_kernel_and_a_stopped_papermill_leave_files_that_say_the_run_did_not_complete(
    tmp_path: Path, number: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, prepare("mitm", tmp_path / "drill") as drill:
        slow = f'\n[[capture]]\nvantage = "slow"\nconnect = "127.0.0.1:{silent.getsockname()[1]}"\n'
        drill.incident.write_text(drill.incident.read_text().replace("\n[inventory]", f"{slow}\n[inventory]"))
        with subprocess.Popen(
            command(tmp_path, incident=str(drill.incident)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            until = time.monotonic() + 60
            while not list((tmp_path / "runs").glob("*/*/evidence/evidence.json")):
                assert child.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            processes = psutil.Process(child.pid).children(recursive=True)
            (kernel,) = [p for p in processes if "ipykernel_launcher" in " ".join(p.cmdline())]
            os.kill(kernel.pid if number == signal.SIGKILL else child.pid, number)
            assert child.wait(60) != 0
            psutil.wait_procs([kernel], timeout=30)
        result, report = the_run(tmp_path / "runs")
        assert result["status"] == "incomplete"
        assert "DID NOT COMPLETE" in report
        silent.close()
        drill.incident.with_name("failures.json").unlink()  # whoever counted again would find nothing
        again = run(tmp_path, incident=str(drill.incident))
        assert again.returncode == 0, again.stderr[-2000:]
    assert "going on from the evidence of" in (tmp_path / "out.ipynb").read_text()
    last = max((tmp_path / "runs").glob("*/*"), key=lambda path: path.name)
    second = json.loads((last / "result.json").read_text())
    assert (second["status"], second["verdict"]) == ("complete", "mitm")
    assert "metrics" not in {item["source"] for item in second["missing"]}
