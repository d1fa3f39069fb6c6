"""The worked examples of a schedule, each held against the program it is for as far as that is here."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from irkit.cli import parser
from irkit.drill import prepare
from irkit.notebook import check_parameters

ROOT = Path(__file__).parent.parent
SCHEDULE = ROOT / "runbooks" / "schedule"
NOTEBOOK = ROOT / "notebooks" / "pin_health.ipynb"


def commands() -> dict[str, list[str]]:
    """The command of each example, split as whoever runs it splits it."""
    cron = re.search(r"^0 6 \* \* \*  (irkit .*?) >", (SCHEDULE / "crontab").read_text(), re.MULTILINE)
    unit = re.search(r"^ExecStart=/usr/bin/env (.*)$", (SCHEDULE / "irkit-health.service").read_text(), re.MULTILINE)
    job = yaml.safe_load((SCHEDULE / "cronjob.yaml").read_text())
    workflow = yaml.safe_load((SCHEDULE / "github-actions.yml").read_text())
    steps = [step["run"] for step in workflow["jobs"]["health"]["steps"] if step.get("run", "").startswith("irkit")]
    assert cron
    assert unit
    return {
        "cron": shlex.split(cron[1]),
        "systemd": shlex.split(unit[1]),
        "kubernetes": job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"],
        "github": shlex.split(steps[0]),
    }


@pytest.mark.parametrize("where", ["cron", "systemd", "kubernetes", "github"])
def test_every_example_calls_irkit_with_what_it_knows(where: str) -> None:
    program, *words = commands()[where]
    assert program == "irkit"
    arguments = parser().parse_args(words)
    assert (arguments.hosts.rpartition("/")[2], arguments.deadline) == ("hosts.toml", 300)


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path, tool: Callable[..., str]) -> None:
    analyze = tool("systemd-analyze")
    for name in ("irkit-health.service", "irkit-health.timer"):
        (tmp_path / name).write_text((SCHEDULE / name).read_text())
    units = [str(tmp_path / name) for name in ("irkit-health.service", "irkit-health.timer")]
    done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "irkit-health" in line]
    assert ours == []
    calendar = subprocess.run([analyze, "calendar", "*-*-* 06:00:00 UTC"], capture_output=True, text=True, check=False)
    assert "Next elapse" in calendar.stdout


def test_the_cron_job_and_the_workflow_say_that_a_finding_is_no_fault() -> None:
    job = yaml.safe_load((SCHEDULE / "cronjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    template = job["spec"]["jobTemplate"]["spec"]
    assert template["backoffLimit"] == 0
    assert template["activeDeadlineSeconds"] > 300, "the deadline of irkit itself comes first"
    pod = template["template"]["spec"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    workflow = yaml.safe_load((SCHEDULE / "github-actions.yml").read_text())
    assert workflow["jobs"]["health"]["steps"][-1]["if"] == "always()"


def test_airflow_and_jupyter_scheduler_give_the_notebook_parameters_that_it_has() -> None:
    calls = [
        node for node in ast.walk(ast.parse((SCHEDULE / "airflow_dag.py").read_text())) if isinstance(node, ast.Call)
    ]
    (operator,) = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "PapermillOperator"]
    given = {keyword.arg: keyword.value for keyword in operator.keywords}
    assert check_parameters(NOTEBOOK, ast.literal_eval(given["parameters"]))
    job = json.loads((SCHEDULE / "jupyter-scheduler.json").read_text())
    assert check_parameters(NOTEBOOK, job["parameters"])
    assert job["input_filename"] == NOTEBOOK.name


def test_papermill_alone_as_airflow_calls_it_leaves_a_whole_run(tmp_path: Path) -> None:
    with prepare("quiet", tmp_path / "drill"):
        (tmp_path / "hosts.toml").write_text('[[host]]\nincident = "drill/incident.toml"\n')
        command = [
            sys.executable, "-m", "papermill", str(NOTEBOOK), str(tmp_path / "o.ipynb"), "-k", "python3",
            "-p", "hosts", str(tmp_path / "hosts.toml"), "-p", "out", str(tmp_path / "out"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "out" / "runs").iterdir()
    assert json.loads((run / "result.json").read_text())["status"] == "complete"
    assert "irkit_verdict" in (tmp_path / "out" / "irkit.prom").read_text()
    assert "complete" in (tmp_path / "out" / "index.html").read_text()
