"""Making pins: every platform's syntax, with a backup, read back as the platform reads it; and backup keys."""

from __future__ import annotations

import base64
import hashlib
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from forge import root

from irkit.certificate import Pin
from irkit.chain import Chain
from irkit.errors import InputError
from irkit.pins import SYNTAXES, load_release_bytes, new_backup, pins_as

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
A, B, C = (Pin.of(name) for name in (b"a", b"b", b"c"))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("subdomains", [False, True])
def test_every_syntax_is_read_back_with_the_pins_and_the_host(syntax: str, subdomains: bool) -> None:
    shown = pins_as([A, str(C)], host="API.example.com.", backup=B, syntax=syntax, subdomains=subdomains)  # type: ignore[arg-type]  # SYNTAXES
    source = f"CertificatePinner{shown}" if syntax == "okhttp" else shown
    release = load_release_bytes(source.encode(), name="x", platform=None if syntax == "keys.toml" else syntax)
    assert set(release.pins) == {A, B, C}
    assert release.rejected == ""
    patterns = {rule.pattern for rule in release.rules}
    assert patterns <= {"api.example.com", "**.api.example.com", "*"}
    if syntax not in {"curl", "keys.toml"}:
        assert {rule.subdomains for rule in release.rules} == {subdomains}


@pytest.mark.parametrize("syntax", ["android", "trustkit-android", "trustkit-ios"])
def test_an_expiry_is_written_where_there_is_one(syntax: str) -> None:
    shown = pins_as([A], host="a.example", backup=B, syntax=syntax, expires="2999-06-30")  # type: ignore[arg-type]  # SYNTAXES
    assert load_release_bytes(shown.encode(), name="x", platform=syntax).rules[0].expires == "2999-06-30"


def test_pins_may_expire_the_day_after_their_making() -> None:
    shown = pins_as([A], host="a.example", backup=B, syntax="android", expires="2026-11-26", now=NOON)
    assert 'expiration="2026-11-26"' in shown


def test_ca_pins_go_into_the_ca_list_of_ios() -> None:
    shown = pins_as([A], host="a.example", backup=B, syntax="ios", scope="ca")
    assert load_release_bytes(shown.encode(), name="x").rules[0].lists == {"ca"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backup": None}, "without a backup"),
        ({"backup": A}, "one of the keys in use"),
        ({"backup": "sha256/short"}, "not a pin"),
        ({"backup": Pin.parse("A" * 43 + "=")}, "placeholder"),
        ({"pins": []}, "no pin to write"),
        ({"pins": [Pin(b"x" * 20, "sha1")]}, "no SHA-256"),
        ({"pins": [Pin(hashlib.sha256(b"").digest())]}, "of nothing"),
        ({"host": "https://a.example"}, "no host"),
        ({"host": "*.a.example"}, "no host"),
        ({"host": "a.example:443"}, "no host"),
        ({"host": "bücher.example"}, "xn--"),
        ({"host": 'a.example"><x/>'}, "no host"),
        ({"host": "localhost"}, "no host"),
        ({"expires": "30.6.2027"}, "not a date"),
        ({"expires": "2999-02-30"}, "would not do"),
        ({"expires": "2020-02-20"}, "expired already"),
        ({"expires": "2026-11-25", "now": NOON}, "expired already"),
        ({"syntax": "trustkit-ios", "host": "co.uk", "subdomains": True}, "public suffix"),
        ({"syntax": "trustkit-ios", "host": "api.internal"}, "no registry"),
        ({"syntax": "windows"}, "unknown syntax"),
        ({"syntax": "ios", "expires": "2999-06-30"}, "no expiry"),
        ({"syntax": "curl", "scope": "ca"}, "leaf"),
    ],
)
def test_what_a_platform_would_refuse_is_not_written(changes: dict[str, object], says: str) -> None:
    arguments: dict[str, object] = {"pins": [A], "host": "a.example", "backup": B, "syntax": "android"} | changes
    with pytest.raises(InputError) as caught:
        pins_as(arguments.pop("pins"), **arguments)  # type: ignore[arg-type]  # wrong on purpose
    assert says in str(caught.value)
    assert caught.value.hint


def test_a_chain_gives_its_leaf_or_what_is_above_it() -> None:
    identity = root().issue("Forge CA", ca=True).issue("a.example")
    leaf, *above = (pin for pin in identity.chain.pins if pin)
    shown = pins_as(identity.chain, host="a.example", backup=B, syntax="android")
    assert set(load_release_bytes(shown.encode(), name="x").pins) == {leaf, B}
    shown = pins_as(identity.chain, host="a.example", backup=B, syntax="android", scope="ca")
    assert set(load_release_bytes(shown.encode(), name="x").pins) == {*above, B}
    with pytest.raises(InputError, match="one of the keys in use"):
        pins_as(identity.chain, host="a.example", backup=above[0], syntax="android")


def test_a_ca_certificate_that_a_server_appends_is_not_pinned() -> None:
    identity = root().issue("Forge CA", ca=True).issue("a.example")
    stranger = root("Stranger").certificate
    chain = Chain((*identity.chain, stranger), identity.chain.obtained)
    shown = pins_as(chain, host="a.example", backup=B, syntax="android", scope="ca")
    assert set(load_release_bytes(shown.encode(), name="x").pins) == {*identity.chain.pins[1:], B}


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_a_backup_key_is_encrypted_private_and_has_the_pin_that_openssl_computes(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "backup.key"
    pin = new_backup(path, kind=kind, passphrase="correct horse battery")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes()
    with pytest.raises(ValueError, match="password"):
        serialization.load_pem_private_key(path.read_bytes(), b"wrong")
    der = subprocess.run(
        ["openssl", "pkey", "-in", path, "-passin", "stdin", "-pubout", "-outform", "der"],
        input=b"correct horse battery\n", capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert pin.base64 == base64.b64encode(hashlib.sha256(der).digest()).decode()


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "backup.key"
    path.write_text("precious")
    with pytest.raises(InputError, match="there already"):
        new_backup(path, passphrase="correct horse battery")
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "kind", "passphrase", "says"),
    [
        ("k", "ec", "short", "at least"),
        ("k", "dsa", "correct horse battery", "unknown kind"),
        ("no/such/folder/k", "ec", "correct horse battery", "can't write"),
    ],
)
def test_a_backup_that_cannot_be_made_is_an_input_error(
    name: str, kind: str, passphrase: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        new_backup(tmp_path / name, kind=kind, passphrase=passphrase)
    assert not (tmp_path / name).exists()
