"""keys.toml, the owner's inventory."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.certificate import Pin
from irkit.errors import InputError
from irkit.pins import load_inventory, load_inventory_bytes

A, B = Pin.of(b"a"), Pin.of(b"b")
FULL = f"""
[[key]]
pin = "{A}"
name = "api 2026"
role = "leaf"
status = "active"
hosts = ["API.example.com."]
since = 2026-01-01T01:00:00+01:00
until = 2027-01-01

[[key]]
pin = 'pin-sha256="{B.base64}"'
status = "backup"

[[inspection]]
pin = "{Pin.of(b"proxy")}"
name = "office proxy"
networks = ["AS64500"]

[[rotation]]
host = "api.example.com"
from = "{A}"
to = "{B}"
at = 2026-12-01T09:00:00Z
ticket = "OPS-7"
"""


def test_every_field_is_read_with_times_in_utc(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(FULL)
    inventory = load_inventory(path)
    key = inventory.key(A)
    assert key is not None
    assert (key.name, key.role, key.status, key.hosts) == ("api 2026", "leaf", "active", ("api.example.com",))
    assert (key.since, key.until) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert [entry.status for entry in inventory.keys] == ["active", "backup"]
    assert inventory.key(Pin.of(b"c")) is None
    assert inventory.key(None) is None
    inspection = inventory.inspection(Pin.of(b"proxy"))
    assert inspection is not None
    assert inspection.networks == ("AS64500",)
    (rotation,) = inventory.rotations
    assert (rotation.old, rotation.new, rotation.ticket) == (A, B, "OPS-7")
    assert rotation.at == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert load_inventory_bytes(inventory.raw, name=str(path)) == inventory


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f'[[key]]\npin = "{A}"\nstauts = "active"', "did you mean 'status'?"),
        (f'[[keys]]\npin = "{A}"', "did you mean 'key'?"),
        (f'[[key]]\npin = "{A}"\nstatus = "retierd"', "did you mean 'retired'?"),
        (f'[[key]]\npin = "{A}"\nrole = "root-ca"', "root"),
        ('[[key]]\nname = "x"', "has no pin"),
        ('[[key]]\npin = "sha256/short"', "not a pin"),
        (f'[key]\npin = "{A}"', "two brackets"),
        (f'[[key]]\npin = "{A}"\nhosts = "a"', "hosts is 'a' — it must be a list"),
        (f'[[key]]\npin = "{A}"\nsince = "soon"', "not a time"),
        (f'[[key]]\npin = "{A}"\nname = 7', "name is 7 — it must be text"),
        (f'[[rotation]]\nhost = "a"\nfrom = "{A}"\nto = "{B}"', "has no at"),
        (f'[[key]]\npin = "{A}"\n[[key]]\npin = "{A}"', "twice"),
        ("[[key", "not TOML"),
    ],
)
def test_a_mistake_is_an_error_that_says_what_to_do(content: str, says: str) -> None:
    with pytest.raises(InputError, match=r"keys\.toml") as caught:
        load_inventory_bytes(content.encode())
    assert says in str(caught.value)


def test_a_missing_inventory_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read"):
        load_inventory(tmp_path / "keys.toml")


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_arbitrary_bytes_give_an_inventory_or_an_input_error(raw: bytes) -> None:
    with contextlib.suppress(InputError):
        load_inventory_bytes(raw)
