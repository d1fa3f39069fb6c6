"""`irkit pins`: what it prints, what it refuses, its exit codes."""

from __future__ import annotations

import argparse
import getpass
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from forge import root

from irkit.certificate import Pin
from irkit.errors import InputError
from irkit.pins import SYNTAXES, command

A, B = Pin.of(b"a"), Pin.of(b"b")


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser(prog="irkit")
    command.register(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["pins", *map(str, arguments)])
    code: int = parsed.handler(parsed)
    return code


@pytest.fixture
def chain_file(tmp_path: Path) -> Path:
    path = tmp_path / "chain.pem"
    path.write_text(root().issue("Forge CA", ca=True).issue("a.example").chain_pem)
    return path


@pytest.fixture
def pin_file(tmp_path: Path) -> Path:
    path = tmp_path / "pins.txt"
    path.write_text(f"a.example {A}\na.example {B}\n")
    return path


def test_pins_of_a_chain_are_printed_in_every_syntax(chain_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(chain_file, "--host", "a.example", "--backup", B) == 0
    out = capsys.readouterr().out
    assert [line[3:] for line in out.splitlines() if line.startswith("== ")] == list(SYNTAXES)
    assert B.base64 in out


@pytest.mark.parametrize("name", ["nofile.xml", "Info.plist", "no/such/folder", "app.apk", "chain.pem"])
def test_a_mistyped_file_is_not_taken_for_a_host(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no file"):
        run(name, "--backup", B)


def test_a_host_that_trustkit_refuses_gets_the_other_syntaxes(
    chain_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(chain_file, "--host", "api.internal", "--backup", B) == 0
    shown = [line[3:] for line in capsys.readouterr().out.splitlines() if line.startswith("== ")]
    assert shown == [syntax for syntax in SYNTAXES if syntax != "trustkit-ios"]


def test_one_syntax_is_printed_bare_so_that_it_can_be_redirected(
    chain_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(chain_file, "--host", "a.example", "--backup", B, "--syntax", "android") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("<?xml")
    assert "CN=a.example" in captured.err


def test_without_a_backup_the_chain_is_shown_and_nothing_is_written(
    chain_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="without a backup"):
        run("show", chain_file, "--host", "a.example")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "sha256/" in captured.err


def test_a_file_with_pins_is_turned_into_another_syntax(
    pin_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = root().key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "spare.pem").write_bytes(pem)
    assert run(pin_file, "--backup", tmp_path / "spare.pem", "--syntax", "okhttp") == 0
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert capsys.readouterr().out == f'.add("a.example", "{A}", "{B}", "{Pin.of(der)}")\n'


def test_a_host_is_captured(tls_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    identity = root().issue("a.example", "127.0.0.1")
    server = tls_server(identity)
    assert run(server.address, "--host", "a.example", "--backup", B, "--syntax", "curl") == 0
    assert f"sha256//{identity.certificate.pin.base64};sha256//{B.base64}" in capsys.readouterr().out


def test_a_chain_needs_a_host(chain_file: Path) -> None:
    with pytest.raises(InputError, match="which host"):
        run(chain_file, "--backup", B)


def test_check_exits_1_on_errors_only(pin_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", pin_file) == 0
    assert "1 host" in capsys.readouterr().out
    broken = tmp_path / "nsc.xml"
    broken.write_text("<network-security-config><pin-set/></network-security-config>")
    assert run("check", broken) == 1
    assert "error    line 1: <pin-set> is ignored" in capsys.readouterr().out


def test_check_compares_files_and_uses_the_inventory(
    pin_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.txt"
    other.write_text(f"a.example {A}\n")
    inventory = tmp_path / "keys.toml"
    inventory.write_text(f'[[key]]\npin = "{A}"\n[[key]]\npin = "{B}"\nstatus = "compromised"\n')
    assert run("check", pin_file, other, "--host", "a.example", "--inventory", inventory, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "irkit.pins/1"
    assert [entry["file"] for entry in document["files"]] == [str(pin_file), str(other)]
    assert {"platforms-disagree", "key-compromised"} <= {entry["id"] for entry in document["findings"]}


def test_foreign_text_is_shown_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = tmp_path / "nsc.xml"
    hostile.write_text(
        "<network-security-config><domain-config><domain>\u202ea.example\x85</domain>"
        '<pin-set><pin digest="SHA-256">\u200bx</pin></pin-set></domain-config></network-security-config>'
    )
    assert run("check", hostile) == 1
    out = capsys.readouterr().out
    assert "\u202e" not in out
    assert "\u200b" not in out
    assert "\\u{200b}" in out


def test_a_backup_key_is_made_with_a_passphrase_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BACKUP_PASSPHRASE", "correct horse battery")
    assert run("new-backup", tmp_path / "one.key", "--passphrase-env", "BACKUP_PASSPHRASE") == 0
    pin = Pin.parse(capsys.readouterr().out.strip())
    key = serialization.load_pem_private_key((tmp_path / "one.key").read_bytes(), b"correct horse battery")
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert Pin.of(der) == pin
    (tmp_path / "passphrase").write_text("correct horse battery\n")
    assert (
        run("new-backup", tmp_path / "two.key", "--passphrase-file", tmp_path / "passphrase", "--kind", "ed25519") == 0
    )
    assert "TrustKit" in capsys.readouterr().err


def test_a_passphrase_is_asked_twice_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["correct horse battery", "correct horse battery", "correct horse battery", "another one, longer"])
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(answers))
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert run("new-backup", tmp_path / "one.key") == 0
    with pytest.raises(InputError, match="differ"):
        run("new-backup", tmp_path / "two.key")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no terminal"),
        (("--passphrase-env", "IRKIT_NO_SUCH_VARIABLE"), "has no"),
        (("--passphrase-file", "no-such-file"), "can't read"),
    ],
)
def test_a_passphrase_that_cannot_be_had_is_an_input_error(
    arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(InputError, match=says):
        run("new-backup", tmp_path / "x.key", *arguments)
    assert not (tmp_path / "x.key").exists()


def test_no_option_takes_a_passphrase_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("new-backup", "x.key", "--passphrase", "secret")
    assert "ambiguous" in capsys.readouterr().err


def test_help_names_the_three_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("--help")
    out = capsys.readouterr().out
    assert all(name in out for name in ("show", "check", "new-backup"))
