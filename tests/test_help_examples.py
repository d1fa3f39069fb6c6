"""Every example of every command's help is run on a rehearsal, with --json: its output is JSON and nothing else."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import forge
import pytest

import irkit
from irkit.cli import main, parser
from irkit.drill import prepare
from irkit.incidentfile import incident_toml, with_absolute_paths

# What needs another machine or a person; the tests of these files run it with one of their own.
ELSEWHERE = {
    "--starttls": "test_starttls",
    "--proxy": "test_proxy",
    "http://alertmanager": "test_alert",
    "--serve": "test_drill",
}


def commands(top: argparse.ArgumentParser, name: str = "irkit") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, top
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub, command in action.choices.items():
                yield from commands(command, f"{name} {sub}")


def examples() -> list[str]:
    """The lines of all commands' examples, without comments, once each."""
    lines = [
        match[1].strip()
        for _, command in commands(parser())
        for match in re.finditer(
            r"^  (?:\S.* |eval \"\$\()?(irkit [^#\n]*?)(?:\)\")?(?: +#.*)?$", command.epilog or "", re.MULTILINE
        )
    ]
    return list(dict.fromkeys(lines))


def test_every_command_that_does_something_has_an_example_that_is_run() -> None:
    doing = {name for name, command in commands(parser()) if command.get_default("handler")}
    assert len(doing) > 12
    run = [line for line in examples() if not any(words in line for words in ELSEWHERE)]
    assert {name for name in doing if not any(line.startswith(name) for line in run)} == set()


def test_what_is_run_elsewhere_is_in_the_file_that_is_named() -> None:
    for words, file in ELSEWHERE.items():
        assert re.search(r"\w{5,}", words)[0] in (Path(__file__).parent / f"{file}.py").read_text()  # type: ignore[index]  # it has a word


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tool: Callable[..., str]) -> Iterator[tuple[Path, str]]:
    """A folder with every file that an example names, and the address of the rehearsal's server."""
    top = tmp_path_factory.mktemp("examples")
    tool("prometheus")
    with prepare("mitm", top / "drill", prometheus=True) as drill:
        folder = drill.incident.parent
        incident = with_absolute_paths(irkit.load_incident(drill.incident))
        (top / "conf").mkdir()
        for name in ("incident.toml", "api.toml", "conf/api.toml"):
            (top / name).write_text(incident_toml(incident))
        address = drill.address
        (top / "hosts.toml").write_text('[[host]]\nincident = "api.toml"\n')
        (top / "hosts.txt").write_text(f"{address}\n")
        labels = {"alertname": "CertificatePinFailure", "domain": "api.example.com"}
        fired = {"labels": labels, "startsAt": (datetime.now(UTC) - timedelta(hours=1)).isoformat(), "annotations": {}}
        body = {"version": "4", "alerts": [fired | {"status": "firing"}]}
        for name in ("alert.json", "webhook-body.json"):
            (top / name).write_text(json.dumps(body))
        shutil.copy(next((folder / "clients").iterdir()), top / "phone.pem")
        for name in ("corp.pem", "corp-root.pem"):
            shutil.copy(folder / "rehearsal-root.pem", top / name)
        forge.root("clients").issue("me").write(top, "me")
        shutil.copy(next(folder.rglob("network_security_config.xml")), top)
        shutil.copy(next(folder.rglob("Info.plist")), top)
        shutil.copytree(folder / "captures", top / "captures")
        (top / "passphrase.txt").write_text("a long passphrase that nobody has")
        spare = irkit.load_inventory(folder / "keys.toml").keys[-1].pin
        (top / "rotation.toml").write_text(f'[rotation]\nincident = "incident.toml"\nto = "{spare}"\n')
        yield top, address


def fitted(line: str, address: str) -> tuple[list[str], str]:
    """An example as it is run here, and the file that it reads on standard input."""
    line = line.replace("/etc/irkit", "conf").replace("/var/lib/irkit", "health").replace("203.0.113.7:443", address)
    line = line.replace("sha256/…", "sha256/zQAoQL0JbDDx1D4mYkqGQJmEzWlfPAEvLQxDlo6yGUE=")
    if re.match(r"irkit (capture|pins) (?!check)", line):
        line = line.replace("api.example.com", address)
    line, _, given = line.partition(" < ")
    words = shlex.split(line.partition(" > ")[0])[1:]
    if "new-backup" in words:  # which asks at a terminal
        words += ["--passphrase-file", "passphrase.txt"]
    return [*words, *([] if "--json" in words else ["--json"])], given.strip()


@pytest.mark.prometheus
@pytest.mark.parametrize("line", [line for line in examples() if not any(words in line for words in ELSEWHERE)])
def test_each_example_of_the_help_runs_and_prints_json_alone(
    place: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: Any, line: str
) -> None:
    top, address = place
    monkeypatch.chdir(top)
    needs(line, address)
    capsys.readouterr()
    words, given = fitted(line, address)
    if given:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(given).read_bytes())))
    code = main(words)
    said = capsys.readouterr()
    assert code in {0, 1, 10, 11, 12, 13, 14}, said.err
    assert json.loads(said.out) is not None
    assert "Traceback" not in said.err


def needs(line: str, address: str) -> None:
    """Makes what an example takes for made by another command."""
    if "survey" in line and not Path("eu.ndjson").exists():
        assert main(["capture", "--targets", "hosts.txt", "--out", "eu.ndjson", "--json"]) == 0
        for name in ("ap.ndjson", "fleet.ndjson"):
            shutil.copy("eu.ndjson", name)
    if "probe.json" in line:
        with Path("probe.json").open("w") as file, contextlib.redirect_stdout(file):
            assert main(["capture", "api.example.com", "--connect", address, "--json"]) == 0
    if "--metrics" in line:
        assert main(["metrics", "save", "incident.toml", "--out", "failures.json"]) == 0
    if "--diff" in line:
        for name in line.split()[-2:]:
            evidence = irkit.gather("incident.toml")
            made = irkit.finish_run(irkit.open_run("incident.toml", out="made"), evidence, irkit.classify(evidence),
                                    irkit.remedies(evidence, irkit.classify(evidence)))  # fmt: skip
            assert made is not None
            shutil.copytree(made.parent, name)
    if "new-backup" in line and Path("backup.key").exists():
        Path("backup.key").unlink()
