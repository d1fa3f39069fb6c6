"""The worked examples of a schedule, each held against the program it is for as far as that is here."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import free_port, listening

from irkit.cli import parser
from irkit.drill import prepare
from irkit.healthrun import load_hosts
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


def test_the_files_of_the_examples_are_read_and_captures_go_where_the_services_may_write() -> None:
    (incident,), broken = load_hosts(SCHEDULE / "hosts.toml", now=datetime(2026, 11, 25, tzinfo=UTC))
    assert broken == ()
    state = "/var/lib/irkit"
    assert str(incident.path(incident.history)) == f"{state}/captures"
    unit = (SCHEDULE / "irkit-health.service").read_text()
    assert ("StateDirectory=irkit" in unit, "ProtectSystem=strict" in unit) == (True, True)
    pod = yaml.safe_load((SCHEDULE / "cronjob.yaml").read_text())["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert state in writable
    assert container["command"][container["command"].index("--out") + 1] == state


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


def test_the_cron_job_says_that_a_finding_is_no_fault_and_mounts_what_it_names() -> None:
    job = yaml.safe_load((SCHEDULE / "cronjob.yaml").read_text())
    template = job["spec"]["jobTemplate"]["spec"]
    assert template["backoffLimit"] == 0
    assert template["activeDeadlineSeconds"] > 300, "the deadline of irkit itself comes first"
    pod = template["template"]["spec"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    workflow = yaml.safe_load((SCHEDULE / "github-actions.yml").read_text())
    assert workflow["jobs"]["health"]["steps"][-1]["if"] == "always()"


@pytest.mark.parametrize(
    ("file", "line", "command"),
    [
        ("cronjob.yaml", "backoffLimit", ["kubernetes-validate", "--strict"]),
        ("github-actions.yml", "runs-on", ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"]),
    ],
)
def test_its_own_schema_accepts_the_file_and_refuses_a_misspelt_one(
    tmp_path: Path, tool: Callable[..., str], file: str, line: str, command: list[str]
) -> None:
    command = [tool(command[0]), *command[1:]]
    done = subprocess.run([*command, str(SCHEDULE / file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / file
    broken.write_text((SCHEDULE / file).read_text().replace(line, line + "s"))
    assert subprocess.run([*command, str(broken)], capture_output=True, check=False).returncode


def test_airflow_gives_the_notebook_parameters_that_it_has() -> None:
    calls = [
        node for node in ast.walk(ast.parse((SCHEDULE / "airflow_dag.py").read_text())) if isinstance(node, ast.Call)
    ]
    (operator,) = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "PapermillOperator"]
    given = {keyword.arg: keyword.value for keyword in operator.keywords}
    assert check_parameters(NOTEBOOK, ast.literal_eval(given["parameters"]))


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with hosts.toml of a quiet rehearsal that goes on."""
    top = tmp_path_factory.mktemp("quiet")
    with prepare("quiet", top / "drill"):
        (top / "hosts.toml").write_text('[[host]]\nincident = "drill/incident.toml"\n')
        yield top


def whole(out: Path) -> bool:
    """Whether one run is there, complete, with its textfile."""
    (run,) = (out / "runs").iterdir()
    status = json.loads((run / "result.json").read_text())["status"]
    assert "irkit_verdict" in (out / "irkit.prom").read_text()
    assert "complete" in (out / "index.html").read_text()
    return bool(status == "complete")


def test_crons_line_runs_without_a_home_and_prints_only_what_was_found(quiet: Path, tmp_path: Path) -> None:
    (line,) = re.findall(r"^0 6 \* \* \*  (.*)$", (SCHEDULE / "crontab").read_text(), re.MULTILINE)
    assert "%" not in line, "cron takes it for the end of the line"
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": "/proc/none"}
    said = {}
    (tmp_path / "broken.toml").write_text('[[host]]\nincident = "gone.toml"\n')
    for hosts in (quiet / "hosts.toml", tmp_path / "broken.toml"):
        out = tmp_path / hosts.stem
        out.mkdir()
        command = line.replace("/etc/irkit/hosts.toml", str(hosts)).replace("/var/lib/irkit", str(out))
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
        said[hosts.stem] = done.stdout
        assert (out / "last.txt").read_text()
    assert whole(tmp_path / "hosts")
    assert said["hosts"] == "", "nothing to mail"
    assert "gone.toml" in said["broken"]


def test_jupyter_scheduler_takes_the_definition_and_runs_a_job_of_it(
    quiet: Path, tmp_path: Path, tool: Callable[..., str]
) -> None:
    body = json.loads((SCHEDULE / "jupyter-scheduler.json").read_text())
    # It writes `name = value` into the notebook as it stands: a text has to bring its quotes.
    assert check_parameters(NOTEBOOK, {name: ast.literal_eval(value) for name, value in body["parameters"].items()})
    (tmp_path / "root" / "notebooks").mkdir(parents=True)
    shutil.copy(NOTEBOOK, tmp_path / "root" / body["input_uri"])
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "irkit", "language": "python"}))
    port = free_port()
    beside = Path(tool("check-jsonschema")).with_name("jupyter-server")  # another one has no scheduler
    command = [
        str(beside), "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
        "--IdentityProvider.token=token", f"--ServerApp.root_dir={tmp_path / 'root'}",
    ]  # fmt: skip
    environment = os.environ | {"HOME": str(tmp_path), "JUPYTER_PATH": str(tmp_path / "jupyter")}

    def call(path: str, content: object = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        headers = {"Authorization": "token token"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/scheduler/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def wait(answer: Callable[[], Any]) -> Any:
        for _ in range(1000):
            with contextlib.suppress(OSError):
                if found := answer():
                    return found
            time.sleep(0.2)
        pytest.fail((tmp_path / "log").read_text())

    with listening(command, port, tmp_path / "log", env=environment):
        definition = wait(lambda: call("job_definitions", body))["job_definition_id"]
        (listed,) = call("job_definitions")["job_definitions"]
        assert (listed["schedule"], listed["timezone"], listed["active"]) == ("0 6 * * *", "UTC", True)
        given = {"hosts": json.dumps(str(quiet / "hosts.toml")), "out": json.dumps(str(tmp_path / "out"))}
        job = call(f"job_definitions/{definition}/jobs", {"parameters": given})["job_id"]
        ended = wait(lambda: (found := call(f"jobs/{job}"))["status"] in {"COMPLETED", "FAILED"} and found)
    assert ended["status"] == "COMPLETED", ended["status_message"]
    assert whole(tmp_path / "out")


def test_papermill_alone_as_airflow_calls_it_leaves_a_whole_run(quiet: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "papermill", str(NOTEBOOK), str(tmp_path / "o.ipynb"), "-k", "python3",
        "-p", "hosts", str(quiet / "hosts.toml"), "-p", "out", str(tmp_path / "out"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert whole(tmp_path / "out")
