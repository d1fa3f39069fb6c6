from __future__ import annotations

import ast
import base64
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import forge
import pytest
from hypothesis import given
from hypothesis import strategies as st

import irkit
from irkit import report
from irkit.cli import main, parser
from irkit.drill import prepare
from irkit.errors import InputError
from irkit.remedy import Remediation
from irkit.render import plain
from irkit.runbook import PARTS, SIZE, RunbookSection, load_runbook, load_runbooks, section
from irkit.verdict import CAUSES

RUNBOOKS = Path(__file__).parent.parent / "runbooks"
FAILURE = RUNBOOKS / "CertificatePinFailure.md"
HEALTH = RUNBOOKS / "CertificatePinHealth.md"
PACKAGE = Path(irkit.__file__).parent
FRONT = "---\nalert: A\nowner: us\nreviewed: 2026-11-23\n---\n"


def check_ids() -> set[str]:
    """Every id of a finding that the lint, the readers of pin files and the scheduled look write, from their source."""
    found = {f"key-{status}" for status in import_module("irkit.pins.check")._STATUS}
    for path in [*(PACKAGE / "pins").glob("*.py"), *PACKAGE.glob("health*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                first = node.args[:1] if name in {"add", "PinFinding", "Check"} else []
                written = [*first, *(word.value for word in node.keywords if word.arg == "slug")]
                slugs = (part for argument in written for part in ast.walk(argument) if isinstance(part, ast.Constant))
                found |= {slug.value for slug in slugs if isinstance(slug.value, str)}
            elif isinstance(node, ast.FunctionDef):
                named = zip(reversed(node.args.args), reversed(node.args.defaults), strict=False)
                found |= {d.value for a, d in named if a.arg == "slug" and isinstance(d, ast.Constant)}
            elif isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["slug"]:
                found |= {part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)}
    return {slug for slug in found if re.fullmatch(r"[a-z]+(-[a-z]+)*", slug)} - {"placeholder"}


def problems(*paths: Path) -> list[str]:
    """What is wrong with the runbooks of causes and checks."""
    sections = [found for path in paths for found in load_runbook(path).sections]
    named = [found.cause for found in sections]
    wrong = [f"no section on {name}" for name in sorted({*CAUSES, *check_ids()}) if name not in named]
    known = {*CAUSES, *check_ids()}
    wrong += [
        f"line {found.line}: {found.cause} is no cause and no check" for found in sections if found.cause not in known
    ]
    wrong += [f"{cause} has two sections" for cause in {name for name in named if named.count(name) > 1}]
    for found in sections:
        leads = (*PARTS, "Do not") if found.cause in CAUSES else PARTS
        parts = {part.lead: part.text for part in found.parts}
        wrong += [f"{found.cause} says nothing under {lead}" for lead in leads if len(parts.get(lead, "")) < 5]
    return wrong


def test_the_runbooks_have_a_full_section_for_every_cause_and_check_and_no_other() -> None:
    assert len(check_ids()) > 60
    assert problems(FAILURE, HEALTH) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("### `leaf-key-rotated`: ", "### ", "no section on leaf-key-rotated"),
        ("### `hex-pin`", "### `hex-pim`", "hex-pim is no cause"),
        ("### `no-backup`, `one-pin`", "### `one-pin`", "no section on no-backup"),
        ("**Do not.** Look for an attacker.", "", "hex-pin says nothing under Do not"),
        ("**Do not.** Look for an attacker.", "**Do not.**", "hex-pin says nothing under Do not"),
        (
            "**Impact.** One or a few devices, by their owner's choice.",
            "",
            "user-installed-ca says nothing under Impact",
        ),
        ("**Mitigation.** Have it issued again.", "**Mitigation.**", "certificate-unreadable says nothing under Miti"),
    ],
)
def test_a_missing_an_unknown_and_an_empty_section_are_found(tmp_path: Path, old: str, new: str, problem: str) -> None:
    texts = {path.name: path.read_text() for path in (FAILURE, HEALTH)}
    assert sum(text.count(old) for text in texts.values()) == 1
    for name, text in texts.items():
        (tmp_path / name).write_text(text.replace(old, new))
    assert any(problem in found for found in problems(*tmp_path.iterdir()))


def test_each_cause_stands_under_its_verdict() -> None:
    headings = {"Rotation": "rotation", "MITM": "mitm", "Misconfiguration": "misconfiguration"}
    headings["Not a pin failure"] = "not-a-pin-failure"
    current = None
    for line in FAILURE.read_text().splitlines():
        if line.startswith("## "):
            current = headings.get(line[3:])
        elif match := re.match(r"### `([^`]+)`", line):
            assert CAUSES[match[1]] == current, line


def test_the_diagnosis_has_the_five_numbered_steps_of_the_notebook() -> None:
    steps = re.findall(r"^### (\d)\. (\w+)$", FAILURE.read_text(), re.MULTILINE)
    assert steps == [("1", "Scope"), ("2", "Capture"), ("3", "Compare"), ("4", "Classify"), ("5", "Remedy")]


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_every_runbook_names_its_alert_its_owner_and_its_review(path: Path) -> None:
    runbook = load_runbook(path)
    assert runbook.alert == path.stem
    assert runbook.owner
    assert runbook.reviewed >= date(2026, 1, 1)


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_every_runbook_belongs_to_an_alert_that_links_to_it(path: Path) -> None:
    rules = (RUNBOOKS / "alerts.yml").read_text()
    assert f"alert: {path.stem}\n" in rules
    assert f"/{path.name}\n" in rules


def test_a_section_is_given_with_its_paragraphs() -> None:
    found = section("empty-input-pin")
    assert found is not None
    assert found.title == "the hash of nothing"
    assert found.parts[0].lead == "Meaning"
    assert "47DEQpj8HBSa" in found.body
    assert "Do not: Leave it in" in repr(found)
    assert section("no-such-cause") is None
    both = section("no-backup"), section("one-pin")
    assert both[0] is not None
    assert both[1] is not None
    assert both[0].body == both[1].body, "two checks share a section"


def test_paragraphs_lists_and_commands_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "A.md"
    path.write_text(
        FRONT
        + "## `one`: x\nbefore\n\n**Mitigation.** First\nthis.\n\n1. Serve\n   it.\n2. Wait.\n\n```sh\nopenssl a\n\n"
        "- b\n```\nAfter.\n\n    irkit c\n    irkit d\n"
    )
    before, part = load_runbook(path).sections[0].parts
    assert (before.lead, before.blocks) == ("", (("text", "before"),))
    assert part.lead == "Mitigation"
    assert part.blocks == (
        ("text", "First this."), ("step", "Serve it."), ("step", "Wait."), ("code", "openssl a\n\n- b"),
        ("text", "After."), ("code", "irkit c\nirkit d"),
    )  # fmt: skip
    assert "<pre><code>openssl a" in load_runbook(path).sections[0].shown()


@given(st.text(alphabet="ab `*#-1.\n ", max_size=200))
def test_no_word_of_a_section_is_lost(body: str) -> None:
    found = RunbookSection("x", "y", body)
    words = "".join(part.lead + part.text for part in found.parts)
    assert words.count("a") == body.count("a") or "```" in body
    assert plain(found.shown()).count("b") <= body.count("b")


def test_a_long_section_is_cut_between_blocks_and_says_where_the_rest_is() -> None:
    body = "**Meaning.** Short.\n\n**Diagnosis.** Look.\n\n" + "\n\n".join(
        f"Paragraph {n} of many words." for n in range(900)
    )
    shown = plain(RunbookSection("x", "y", body, "Ours.md", 7).shown())
    assert "Cut here: the rest is in Ours.md, line 7." in shown
    assert shown.count("of many words.") > 100
    assert len(shown) < 9000
    assert not re.search(r"Paragraph \d+ of man(?!y words)", shown)
    assert "Cut here" not in plain(RunbookSection("x", "y", body[:3000]).shown())


def test_deeper_headings_and_fenced_lines_stay_in_the_section(tmp_path: Path) -> None:
    path = tmp_path / "A.md"
    path.write_text(FRONT + "## `one`: x\ntext\n```\n# a comment\n## `two`\n```\n### deeper\nmore\n## other\nelse\n")
    (only,) = load_runbook(path).sections
    assert (only.cause, only.line) == ("one", 6)
    assert only.body == "text\n```\n# a comment\n## `two`\n```\n### deeper\nmore"


def test_markup_in_a_section_is_shown_as_text(tmp_path: Path) -> None:
    path = tmp_path / "A.md"
    path.write_text(FRONT + "## `one`: <script>x</script>\n**Meaning.** <img src=x onerror=y>\n")
    html = load_runbook(path).sections[0]._repr_html_()
    assert "<script>" not in html
    assert "<img" not in html


@pytest.mark.parametrize(
    "text", ["", "# no front matter\n", "---\nalert: A\n---\n", FRONT.replace("2026-11-23", "soon")]
)
def test_a_runbook_without_its_front_matter_is_refused_with_a_hint(tmp_path: Path, text: str) -> None:
    path = tmp_path / "A.md"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_runbook(path)
    assert "2026-11-23" in caught.value.hint


def test_a_runbook_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read"):
        load_runbook(tmp_path / "none.md")


@pytest.mark.parametrize("path", [*RUNBOOKS.glob("*.md"), RUNBOOKS / "alerts.yml"], ids=lambda path: path.name)
def test_the_commands_and_calls_that_runbooks_name_exist(path: Path) -> None:
    text = path.read_text()
    commands = re.findall(r"`(irkit [a-z][^`]*)`", text.replace("\n", " ")) + re.findall(
        r"^    (irkit .*)$", text, re.MULTILINE
    )
    commands += re.findall(r": (irkit [^'\n]*)'?$", text, re.MULTILINE)
    commands += re.findall(r"^(irkit .*)$", "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)), re.MULTILINE)
    assert commands
    for command in commands:
        words = shlex.split(command)[1:]
        needed = {
            "triage": "incident.toml", "check": "pins.xml", "show": "h", "health": "hosts.toml", "plan": "rotation.toml"
        }.get(words[-1])  # fmt: skip
        assert parser().parse_args([*words, *filter(None, [needed])]).handler, command
    for name in re.findall(r"`irkit\.(\w+)`", text):
        assert callable(getattr(irkit, name)), name


def fenced(text: str) -> list[str]:
    """The lines of its shell blocks."""
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines() if line]


def test_the_pipes_of_openssl_give_the_pins_that_irkit_gives(tls_server: Callable[..., Any], tmp_path: Path) -> None:
    identity = forge.root().issue("localhost")
    certificate, key = identity.write(tmp_path, "me")
    address = tls_server(identity).address
    told = {
        "api.example.com:443": address, "server.key": str(key), "server.pem": str(certificate),
        "-servername api.example.com": "-servername localhost",
    }  # fmt: skip
    lines = [
        line for line in fenced(FAILURE.read_text()) if line.startswith("openssl") and line.endswith("openssl base64")
    ]
    assert len(lines) == 4
    said = []
    for line in lines:
        for old, new in told.items():
            line = line.replace(old, new)  # noqa: PLW2901 - the line is what is run
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.strip())
    pin = identity.certificate.pin.base64
    whole = base64.b64encode(bytes.fromhex(identity.certificate.sha256)).decode()
    assert said == [pin, pin, pin, whole], "the last is the wrong one, of certificate-hash-pinned"


def test_the_request_for_a_renewal_keeps_the_key_and_the_hex_pin_is_converted(tmp_path: Path) -> None:
    identity = forge.root().issue("localhost")
    _, key = identity.write(tmp_path, "me")
    lines = fenced(FAILURE.read_text())
    (request,) = [line for line in lines if line.startswith("openssl req ")]
    made = request.replace("server.key", str(key)).replace("renew.csr", str(tmp_path / "renew.csr"))
    subprocess.run(shlex.split(made), check=True, capture_output=True)
    pipe = (
        f"openssl req -in {tmp_path}/renew.csr -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256"
    )
    done = subprocess.run(
        ["bash", "-c", f"{pipe} -binary | openssl base64"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == identity.certificate.pin.base64
    (hexed,) = [line for line in lines if "bytes.fromhex" in line]
    done = subprocess.run(shlex.split(hexed), capture_output=True, text=True, check=True)
    (digits,) = re.findall("[0-9a-f]{64}", hexed)
    assert base64.b64decode(done.stdout) == bytes.fromhex(digits)


# --- a team's own


OWN = FRONT + "## `leaf-key-rotated`: ours\n**Meaning.** Call the edge team, extension 4711.\n"


def test_own_sections_come_first_and_what_they_lack_is_ours(tmp_path: Path) -> None:
    (tmp_path / "Edge.md").write_text(OWN)
    own, wrong = load_runbooks(tmp_path)
    assert wrong == ()
    mine, shipped = section("leaf-key-rotated", own), section("hex-pin", own)
    assert mine is not None
    assert shipped is not None
    assert (mine.title, mine.source) == ("ours", "Edge.md")
    assert shipped.source == "CertificatePinFailure.md"


def test_what_is_wrong_with_own_runbooks_is_described_and_the_rest_counts(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(OWN)
    (tmp_path / "b.md").write_text("# no front matter\n## `hex-pin`: lost\n**Meaning.** x\n")
    (tmp_path / "c.md").write_bytes(b"\xff\xfe")
    (tmp_path / "d.md").write_text(
        FRONT + "## `leaf-key-rotatd`: typo\ntext\n## `hex-pin`: empty\n\n## `leaf-key-rotated`: again\ntext\n"
    )
    (tmp_path / "e.md").write_text("x" * (SIZE + 1))
    own, wrong = load_runbooks(tmp_path)
    assert [one.source for one in own if one.cause == "leaf-key-rotated"] == ["a.md"]
    said = "\n".join(f"{item.source}: {item.reason} ({item.hint})" for item in wrong)
    for words in (
        "runbook b.md: ", "front matter", "runbook c.md: can't read", "leaf-key-rotatd is no cause and no check",
        "did you mean 'leaf-key-rotated'?", "the section on hex-pin is empty", "leaf-key-rotated has a section already",
        "runbook e.md: ", "larger than",
    ):  # fmt: skip
        assert words in said
    assert all(item.hint for item in wrong)
    with pytest.raises(InputError, match="no runbook in"):
        load_runbooks(tmp_path / "none")


def test_a_triage_shows_the_teams_section_by_the_incident_file_and_by_the_option_and_so_does_its_replay(
    tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "Edge.md").write_text(OWN)
    (tmp_path / "books" / "bad.md").write_text("nothing")
    with prepare("rotation", tmp_path / "drill") as drill:
        code = main(
            ["triage", str(drill.incident), "--runbooks", str(tmp_path / "books"), "--out", str(tmp_path / "a")]
        )
        assert code == 10, capsys.readouterr().err
        named = drill.incident.read_text() + f'[runbooks]\nfolder = "{tmp_path}/books"\n'
        drill.incident.write_text(named)
        evidence = irkit.gather(drill.incident)
    (run,) = (tmp_path / "a").glob("*/*")
    assert [one.title for one in evidence.runbooks] == ["ours"]
    verdict = irkit.classify(evidence)
    shown = plain(report.remedy(evidence, verdict, irkit.remedies(evidence, verdict)))
    shutil.rmtree(tmp_path / "books")
    replayed = irkit.load_evidence(run)
    for page in (shown, (run / "report.html").read_text(), plain(report.remedy(replayed, verdict, Remediation(())))):
        assert "Call the edge team, extension 4711." in page
    assert any("bad.md" in item.source for item in replayed.missing)
    assert main(["triage", "--replay", str(run), "--runbooks", str(tmp_path)]) == 2
    assert main(["triage", str(drill.incident), "--runbooks", str(tmp_path / "books")]) == 2
    assert "no runbook in" in capsys.readouterr().err
