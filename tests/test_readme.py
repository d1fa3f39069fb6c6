from __future__ import annotations

import doctest
import hashlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import irkit.incident
from irkit.cli import parser
from irkit.drill import prepare
from irkit.errors import DeadlineError, InputError, RunError
from irkit.incident import parse_incident
from irkit.pins import load_inventory_bytes
from irkit.verdict import EXIT_CODES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
INCIDENT = (ROOT / "runbooks" / "incident.toml").read_text()


def block(name: str) -> str:
    """The fenced block after <!-- name -->."""
    match = re.search(rf"<!-- {name} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert match, name
    return match[1]


@pytest.fixture
def rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder `rehearsal` of the session, with its servers running, below the working directory."""
    monkeypatch.chdir(tmp_path)
    with prepare("mitm", tmp_path / "rehearsal"):
        yield tmp_path / "rehearsal"


def skeleton(shown: str) -> str:
    """Output without what differs from run to run: keys, times, ports, folders, and counts, which follow the clock."""
    for pattern, name in (
        (r"[A-Za-z0-9+/]{43}=", "PIN"),
        (r"[A-Za-z0-9+/]{8,}…", "PIN"),
        (r"(/[\w.-]+)+/(?=incident\.toml|runs/)", "FOLDER/"),
        (r"\d[\d.,:TZ-]*[\dZ]|\d", "N"),
        (r"\bN (h|min|days)\b( N (min|hours)\b)?", "SPAN"),
        (r"\s+", " "),
    ):
        shown = re.sub(pattern, name, shown)
    return shown.strip()


class Skeletons(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:  # noqa: ARG002 - doctest's signature
        return skeleton(want) == skeleton(got)


@pytest.mark.usefixtures("rehearsal")
def test_the_session_says_what_readme_shows() -> None:
    session = doctest.DocTestParser().get_doctest(block("session"), {}, "README.md", "README.md", 0)
    assert len(session.examples) > 8
    shown: list[str] = []
    runner = doctest.DocTestRunner(checker=Skeletons(), verbose=False)
    assert runner.run(session, out=shown.append).failed == 0, "".join(shown)


def test_the_demo_says_what_readme_shows(tmp_path: Path) -> None:
    line = re.search(r"^\S+/(irkit .*?)( \|\||$)", (ROOT / ".ci" / "demo").read_text(), re.MULTILINE)
    assert line, "make demo runs irkit"
    command = [sys.executable, "-m", "irkit.cli", *shlex.split(line[1])[1:], "--out", str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_CODES["mitm"], done.stderr
    assert skeleton(done.stdout) == skeleton(block("demo")), "README shows an older answer than " + line[1]
    (folder,) = tmp_path.glob("new/runs/*/*")
    table = README[README.index("| file |") :].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?`) \| [^|]* \|$", table, re.MULTILINE)
    named = {name.strip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == {path.name for path in folder.iterdir()}
    for row in (folder / "manifest-sha256.txt").read_text().splitlines():
        digest, _, name = row.partition("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_papermill_alone_runs_the_notebook(rehearsal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (rehearsal / "notebooks").symlink_to(ROOT / "notebooks")
    monkeypatch.chdir(rehearsal)
    line = re.search(r"^papermill .*$", README, re.MULTILINE)
    assert line
    done = subprocess.run([sys.executable, "-m", *shlex.split(line[0])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (result,) = rehearsal.glob("runs/DRILL-mitm/*/result.json")
    document = json.loads(result.read_text())
    assert (document["status"], document["verdict"]) == ("complete", "mitm")


def test_the_exit_codes_are_those_of_the_library() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE))
    verdicts = {name: code for name, code in EXIT_CODES.items() if rows.pop(str(code), "").startswith(f"`{name}`")}
    assert verdicts == EXIT_CODES
    others = {InputError.exit_code: "wrong call", RunError.exit_code: "not complete", DeadlineError.exit_code: "out of"}
    assert {int(code) for code in rows} == set(others)
    assert all(words in rows[str(code)] for code, words in others.items())


def test_the_usual_incident_file_is_read() -> None:
    assert parse_incident(block("usual")).host == "api.example.com"


def test_the_whole_incident_file_is_read_and_shows_every_key() -> None:
    parse_incident(INCIDENT)
    document = tomllib.loads(INCIDENT)
    for table, known in irkit.incident._TABLES.items():
        found = document[table]
        keys = {key for item in found for key in item} if isinstance(found, list) else set(found)
        absent = set(known.keys) - keys
        assert all(re.search(rf"#.*\b{key}\b", INCIDENT) for key in absent - {"starttls"}), (table, absent)


def test_two_lines_are_enough_for_an_incident() -> None:
    assert parse_incident('[incident]\nhost = "api.example.com"\n').host == "api.example.com"


def test_the_inventory_is_read() -> None:
    (key,) = load_inventory_bytes(block("keys").encode()).keys
    assert key.status == "next"


def test_a_mistyped_key_is_answered_with_the_nearest_right_one() -> None:
    with pytest.raises(InputError, match="did you mean 'vantage'"):
        parse_incident('[incident]\nhost = "a.example"\n[[capture]]\nvantgae = "x"\n')


def test_every_command_parses() -> None:
    lines = re.findall(r"^(?:    )?(irkit .*?) *(?:[>#].*)?$", README, re.MULTILINE)
    lines += re.findall(r"`(irkit [a-z][^`]*)`", README.replace("\n", " "))
    lines += re.findall(r"^0 6 \* \* \*  (.*)$", README, re.MULTILINE)
    assert len(lines) > 6
    for line in lines:
        words = shlex.split(line)[1:]
        if words == ["triage"]:
            words.append("incident.toml")
        assert parser().parse_args(words).handler, line


def test_make_has_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)) - {"are"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_file_named_is_there() -> None:
    names = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r"`((?:runbooks|notebooks)/[^`]+)`", README)
    assert len(names) > 3
    for name in names:
        assert name.startswith("https://") or (ROOT / name).exists(), name


def test_the_picture_is_small_and_described() -> None:
    (alt, name), *others = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README)
    assert not others
    assert len(alt) > 20
    picture = (ROOT / name).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 300_000
