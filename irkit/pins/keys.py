"""keys.toml: the owner's own list of keys, of inspection CAs it allows and of rotations it plans."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from irkit import render
from irkit.certificate import Pin
from irkit.errors import InputError
from irkit.files import read_file
from irkit.render import text
from irkit.tomlfile import TEXT, Table, moment, one_of, parse_toml, texts

__all__ = [
    "Inspection",
    "Inventory",
    "InventoryKey",
    "Role",
    "Rotation",
    "Status",
    "load_inventory",
    "load_inventory_bytes",
]

Role = Literal["leaf", "intermediate", "root"]
Status = Literal["active", "next", "backup", "retired", "compromised", "staging"]
SIZE = 8 << 20


@dataclass(frozen=True, slots=True)
class InventoryKey:
    """A key that the owner knows.

    Attributes:
        pin: The hash of its SubjectPublicKeyInfo.
        name: What the owner calls it.
        role: Where in a chain it stands.
        status: `active` is served, `next` will be, `backup` is kept for an emergency, `retired` was served,
            `compromised` must never be trusted, `staging` belongs to another environment.
        hosts: The hosts it is for; empty for all of them.
        since, until: When it is or was in use, aware UTC; None for open.
    """

    pin: Pin
    name: str = ""
    role: Role = "leaf"
    status: Status = "active"
    hosts: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """A CA of a TLS inspection that the owner allows, on the networks named; on all of them when none is."""

    pin: Pin
    name: str = ""
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rotation:
    """A planned change of a host's key.

    Attributes:
        host: The host.
        old, new: The pins before and after, `from` and `to` in the file.
        at: When, aware UTC.
        ticket: Where it was decided.
    """

    host: str
    old: Pin
    new: Pin
    at: datetime
    ticket: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Inventory:
    """What keys.toml says.

    Attributes:
        raw: The bytes read, for the evidence.
    """

    keys: tuple[InventoryKey, ...] = ()
    inspections: tuple[Inspection, ...] = ()
    rotations: tuple[Rotation, ...] = ()
    source: str = ""
    raw: bytes = b""

    def key(self, pin: Pin | None) -> InventoryKey | None:
        """The key with this pin; None where the owner lists none."""
        return next((key for key in self.keys if key.pin == pin), None)

    def inspection(self, pin: Pin | None) -> Inspection | None:
        """The allowed inspection CA with this pin; None where there is none."""
        return next((item for item in self.inspections if item.pin == pin), None)

    def _rows(self) -> list[tuple[object, ...]]:
        return [(key.name, key.role, key.status, ", ".join(key.hosts) or "all", key.pin) for key in self.keys]

    def __repr__(self) -> str:
        head = (
            f"Inventory of {len(self.keys)} keys, {len(self.inspections)} inspections, {len(self.rotations)} rotations"
        )
        return head + "\n" + render.text_table(("name", "role", "status", "hosts", "pin"), self._rows())

    def _repr_html_(self) -> str:
        return render.table(("name", "role", "status", "hosts", "pin"), self._rows(), "Inventory")


def _pin(value: Any, where: str) -> Pin:
    written = TEXT(value, where)
    try:
        return Pin.parse(written)
    except InputError as error:
        raise InputError(f"{where}: {error.message}", error.hint) from None


def _host(value: Any, where: str) -> str:
    return str(TEXT(value, where)).strip().rstrip(".").lower()


def _hosts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_host(part, where) for part in texts(value, where))


def _time(value: Any, where: str) -> datetime:
    """A TOML time as aware UTC; a bare date is its beginning, a time without an offset counts as UTC."""
    with contextlib.suppress(ValueError, TypeError):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return moment(value.replace(tzinfo=value.tzinfo or UTC) if isinstance(value, datetime) else value, where)


_TABLES: dict[str, Table] = {
    "key": Table({
        "pin": _pin, "name": TEXT, "role": one_of(*get_args(Role)), "status": one_of(*get_args(Status)),
        "hosts": _hosts, "since": _time, "until": _time,
    }, needed=("pin",), many=True),
    "inspection": Table({"pin": _pin, "name": TEXT, "networks": texts}, needed=("pin",), many=True),
    "rotation": Table(
        {"host": _host, "from": _pin, "to": _pin, "at": _time, "ticket": TEXT},
        needed=("host", "from", "to", "at"), many=True,
    ),
}  # fmt: skip


def load_inventory(path: str | Path) -> Inventory:
    """Reads keys.toml.

    Raises:
        InputError: It can't be read, is not TOML, has an unknown key or a value of the wrong kind.
    """
    hint = "name the keys.toml, or leave [inventory] out"
    return load_inventory_bytes(read_file(path, hint, limit=SIZE), name=str(path))


def load_inventory_bytes(raw: bytes, *, name: str = "keys.toml") -> Inventory:
    """Reads the bytes of a keys.toml; see `load_inventory`."""
    if len(raw) > SIZE:
        raise InputError(f"{text(name)} is too large", "keep the inventory below 8 MiB")
    found = parse_toml(raw, _TABLES, name)
    rotations = tuple(
        Rotation(item["host"], item["from"], item["to"], item["at"], item.get("ticket", ""))
        for item in found["rotation"]
    )
    keys = tuple(InventoryKey(**item) for item in found["key"])
    for pin, count in Counter(key.pin for key in keys).items():
        if count > 1:
            raise InputError(f"{text(name)} lists {pin} twice", "keep one [[key]] for each pin")
    return Inventory(keys, tuple(Inspection(**item) for item in found["inspection"]), rotations, name, raw)
