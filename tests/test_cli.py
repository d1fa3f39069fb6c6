"""The command line and the public names: thin, documented, and the same as the library."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import irkit
from irkit import errors
from irkit.cli import main, parser
from irkit.completion import script
from irkit.verdict import EXIT_CODES

PUBLIC = {
    "Acceptance", "Certificate", "Chain", "Evidence", "Failures", "Finding", "Incident", "IrkitError", "Missing", "Pin",
    "PinUpdate", "Release", "Strategy", "TrustStore", "Verdict", "__version__", "accepts", "begin", "capture",
    "capture_all", "check_pins", "check_update", "classify", "diff", "explain_pin", "finish_run", "gather",
    "gather_chains", "gather_failures", "gather_pins", "history", "incident_from_alerts", "keep", "load_alerts",
    "load_chain",
    "load_evidence", "load_failures", "load_incident", "load_inventory", "load_release", "load_reports", "load_trust",
    "new_backup", "onsets", "open_desk", "open_run", "load_rotation", "plan_rotation", "preflight",
    "pinned_session", "pins_as", "query_changes",
    "query_failures", "remedies", "save_evidence", "scope", "sign_update", "top", "triage",
    "verify",
}  # fmt: skip


def test_the_public_names_are_these() -> None:
    assert set(irkit.__all__) >= PUBLIC
    for name in irkit.__all__:
        assert getattr(irkit, name) is not None
    assert set(irkit.__all__) <= set(dir(irkit))


def test_a_function_is_not_hidden_by_the_module_of_its_name() -> None:
    import irkit.capture
    import irkit.classify
    import irkit.diff
    import irkit.gather

    for function in (irkit.capture, irkit.classify, irkit.diff, irkit.gather):
        assert callable(function)
    with pytest.raises(AttributeError):
        irkit.no_such_name  # noqa: B018 - reading it is the test


def commands(top: argparse.ArgumentParser, name: str = "irkit") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, top
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub, command in action.choices.items():
                yield from commands(command, f"{name} {sub}")


@pytest.mark.parametrize(("name", "command"), list(commands(parser())))
def test_every_command_says_what_it_is_for(name: str, command: argparse.ArgumentParser) -> None:
    assert command.description, name
    own = (action for action in command._actions if not isinstance(action, argparse._SubParsersAction))
    assert all(action.help for action in own), name


@pytest.mark.parametrize(("name", "command"), list(commands(parser())))
def test_every_command_has_examples_that_parse_and_prints_json(name: str, command: argparse.ArgumentParser) -> None:
    lines = re.findall(r"^  (?:\S.* )?(irkit [^|<>#\")\n]*)", command.epilog or "", re.MULTILINE)
    assert lines, name
    for line in lines:
        assert parser().parse_args(shlex.split(line)[1:]).handler, line
    if not any(isinstance(action, argparse._SubParsersAction) for action in command._actions):
        assert "--json" in command.format_help(), name


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("irkit tri", "triage"),
        ("irkit drill m", "mitm"),
        ("irkit triage --rep", "--replay"),
        ("irkit pins new", "new-backup"),
    ],
)
def test_bash_completes_commands_kinds_and_options(typed: str, wanted: str) -> None:
    words = " ".join(typed.split())
    ask = f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _irkit; echo ${{COMPREPLY[@]}}"
    code = f"{script(parser(), 'bash')}\n{ask}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert wanted in done.stdout.split()


def test_fish_completes_commands_kinds_and_options(tmp_path: Path, tool: Callable[..., str]) -> None:
    (tmp_path / "irkit.fish").write_text(script(parser(), "fish"))
    typed = {
        "irkit tri": "triage",
        "irkit pins new": "new-backup",
        "irkit triage --rep": "--replay",
        "irkit drill hex": "hex-pin",
    }
    ask = "; ".join([f"source {tmp_path / 'irkit.fish'}", *(f'complete -C "{words}"' for words in typed)])
    done = subprocess.run(
        [tool("fish"), "--no-config", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == list(typed.values())


def test_fish_and_zsh_get_every_command() -> None:
    for shell in ("fish", "zsh"):
        made = script(parser(), shell)
        assert all(word in made for word in ("triage", "drill", "doctor", "capture", "new-backup", "--deadline"))


def test_the_help_gives_every_exit_code() -> None:
    epilog = parser().epilog or ""
    for verdict, code in EXIT_CODES.items():
        assert f"{code} {verdict}" in epilog
    for error in (errors.InputError, errors.RunError, errors.DeadlineError):
        assert f"{error.exit_code} " in epilog


def test_capture_prints_the_chain_as_text_pem_or_json(
    tls_server: Callable[..., Any], capsys: Any, tmp_path: Path
) -> None:
    import forge

    identity = forge.root().issue("localhost")
    port = tls_server(identity).address.rpartition(":")[2]
    assert main(["capture", f"127.0.0.1:{port}", "--server-name", "localhost"]) == 0
    assert str(identity.certificate.pin) in capsys.readouterr().out
    assert main(["capture", f"127.0.0.1:{port}", "--pem"]) == 0
    assert capsys.readouterr().out.strip() == identity.chain.pem().strip()
    assert main(["capture", f"127.0.0.1:{port}", "--json"]) == 0
    (tmp_path / "chain.json").write_text(capsys.readouterr().out)
    assert irkit.load_chain(tmp_path / "chain.json") == identity.chain


def test_capture_offers_what_the_library_can(tls_server: Callable[..., Any], capsys: Any, tmp_path: Path) -> None:
    import forge

    identity = forge.root().issue(cn="CA", ca=True).issue("localhost")
    certificate, key = identity.write(tmp_path, "me")
    address = tls_server(identity).address
    options = "--no-server-name --key-type ecdsa --minimum TLSv1.2 --maximum TLSv1.2 --vantage office --sweep --alpn h2"
    options += f" --client-cert {certificate} --client-key {key}"
    assert main(["capture", address, "--all", "--json", *options.split()]) == 0
    said = capsys.readouterr()
    (tmp_path / "all.json").write_text(said.out)
    chain = irkit.load_chain(tmp_path / "all.json")
    assert chain == identity.chain
    obtained = chain.obtained
    assert (obtained.server_name, obtained.protocol, obtained.vantage, obtained.how) == (
        None, "TLSv1.2", "office", "hello"
    )  # fmt: skip
    assert "1 addresses, 1 with a chain: the same chain" in said.err
    assert main(["capture", address, "--max-certificates", "1"]) == 0
    assert "kept the first 1 certificates, the rest is cut" in capsys.readouterr().out
    assert main(["capture", address, "--max-bytes", "100"]) == 3
    assert "stopped reading after 100 bytes" in capsys.readouterr().err
    assert main(["capture", address]) == 0
    shown = capsys.readouterr().out
    for line in ("by handshake: TLSv1.3", "SNI none", "possession of the leaf's key: proven"):
        assert line in shown
    assert main(["capture", "127.0.0.1:1", "--all"]) == 3
    assert "refused the connection" in capsys.readouterr().err


def test_a_reader_that_leaves_early_sees_no_traceback(tls_server: Callable[..., Any]) -> None:
    import forge

    address = tls_server(forge.root().issue("localhost")).address
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "irkit.cli", "capture", address]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        ("completion bash >&-", 0, ""),
        ("completion bash >&- 2>&-", 0, ""),
        ("completion bash > /dev/full", 3, "No space left on device"),
        ("triage --alert - <&-", 2, "standard input is closed"),
        ("triage 2>&-", 2, ""),
    ],
)
def test_a_closed_or_full_standard_stream_ends_without_a_traceback(call: str, code: int, says: str) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m irkit.cli {call}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert says in done.stderr
    assert ("Traceback" in done.stderr, "Exception" in done.stderr) == (False, False)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["capture", "127.0.0.1:1"], 3, "hint:"),
        (["capture", "127.0.0.1:1", "--client-key", "x"], 2, "without its certificate"),
        (["capture", "127.0.0.1:1", "--key-type", "dsa"], 2, "no key type"),
        (["capture", "127.0.0.1:x"], 2, "no usable port"),
        (["capture", "https://a.test:8443/x?y=1"], 2, "irkit capture a.test:8443"),
        (["verify", "no.pem", "--host", "a.test:443"], 2, "--host is no usable host"),
        (["incident", "from-alert", "http://127.0.0.1:1/api/v2/alerts"], 3, "hint: is it up?"),
        (["triage"], 2, "wants an incident file or --replay"),
        (["triage", "a.toml", "--replay", "b"], 2, "one of them"),
        (["triage", "a.toml", "--deadline", "-1"], 2, "deadline"),
        (["triage", "--replay", "nowhere"], 2, "no evidence"),
    ],
)
def test_a_failure_is_one_line_a_hint_and_its_exit_code(
    arguments: list[str], code: int, says: str, capsys: Any
) -> None:
    assert main(arguments) == code
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert said.startswith("irkit: ")


def test_the_hints_of_a_capture_name_options_of_the_command(tls_server: Callable[..., Any], capsys: Any) -> None:
    import forge

    address = tls_server(forge.root().issue("localhost")).address
    assert main(["capture", address, "--key-type", "mldsa"]) == 3
    assert "--server-name, another --maximum or --key-type, or --client-cert\n" in capsys.readouterr().err
    assert main(["capture", "no-such-host.invalid"]) == 3
    hint = capsys.readouterr().err.partition("hint: ")[2]
    assert "--connect" in hint
    assert "=" not in hint


def test_a_hostile_argument_is_shown_harmlessly(capsys: Any) -> None:
    assert main(["triage", "\x1b[2Jno.toml"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_the_core_alone_says_what_to_install_for_more() -> None:
    """As it is where pandas is not installed: the import of it fails."""
    script = (
        "import sys\n"
        "sys.modules['pandas'] = sys.modules['numpy'] = None\n"
        "import irkit\n"
        "try:\n    irkit.query_failures\n"
        "except irkit.IrkitError as error:\n    print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "irkit[workbench]" in done.stdout, done.stderr


def test_errors_carry_a_message_a_hint_and_an_exit_code() -> None:
    for name in errors.__all__:
        error = getattr(errors, name)("what happened", "what to do")
        assert str(error) == "what happened — what to do"
        assert error.exit_code in (2, 3, 4)
    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        assert name in drawn, "the tree in the module's docstring has every error"
    assert json.dumps(str(errors.IrkitError("only this"))) == '"only this"'
