"""keys.toml: the owner's own list of keys, of inspection CAs it allows and of rotations it plans."""

from __future__ import annotations

import contextlib
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from irkit import render
from irkit.certificate import Pin
from irkit.errors import InputError
from irkit.render import text

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


_TABLES: dict[str, dict[str, str]] = {
    "key": {
        "pin": "pin", "name": "str", "role": "role", "status": "status", "hosts": "list", "since": "time",
        "until": "time",
    },
    "inspection": {"pin": "pin", "name": "str", "networks": "list"},
    "rotation": {"host": "str", "from": "pin", "to": "pin", "at": "time", "ticket": "str"},
}  # fmt: skip
_NEEDED = {"key": ("pin",), "inspection": ("pin",), "rotation": ("host", "from", "to", "at")}


def load_inventory(path: str | Path) -> Inventory:
    """Reads keys.toml.

    Raises:
        InputError: It can't be read, is not TOML, has an unknown key or a value of the wrong kind.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(SIZE + 1)
    except OSError as error:
        raise InputError(
            f"can't read {text(path)}: {text(error.strerror)}", "name the keys.toml, or leave [inventory] out"
        ) from None
    return load_inventory_bytes(raw, name=str(path))


def load_inventory_bytes(raw: bytes, *, name: str = "keys.toml") -> Inventory:
    """Reads the bytes of a keys.toml; see `load_inventory`."""
    if len(raw) > SIZE:
        raise InputError(f"{text(name)} is too large", "keep the inventory below 8 MiB")
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise InputError(f"{text(name)} is not TOML: {text(error, 160)}", "mend that line and run it again") from None
    _known(document, _TABLES, name, "table")
    found = {
        table: [_entry(item, table, i, name) for i, item in enumerate(_list(document, table, name), 1)]
        for table in _TABLES
    }
    inventory = Inventory(
        tuple(InventoryKey(**item) for item in found["key"]),
        tuple(Inspection(**item) for item in found["inspection"]),
        tuple(
            Rotation(
                item["host"].strip().rstrip(".").lower(), item["from"], item["to"], item["at"], item.get("ticket", "")
            )
            for item in found["rotation"]
        ),
        name,
        raw,
    )
    seen: set[Pin] = set()
    for key in inventory.keys:
        if key.pin in seen:
            raise InputError(f"{text(name)} lists {key.pin} twice", "keep one [[key]] for each pin")
        seen.add(key.pin)
    return inventory


def _list(document: Mapping[str, Any], table: str, name: str) -> list[Any]:
    items = document.get(table, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(f"{text(name)}: {table} is not a list of tables", f"write [[{table}]], with two brackets")
    return items


def _known(found: Mapping[str, Any], known: Mapping[str, Any], name: str, what: str) -> None:
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.4)
            hint = f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)
            raise InputError(f"{text(name)} has an unknown {what} {text(key, 60)}", hint)


def _entry(item: dict[str, Any], table: str, number: int, name: str) -> dict[str, Any]:
    """One table with its values checked; raises InputError."""
    where = f"{name}: [[{table}]] number {number}"
    _known(item, _TABLES[table], where, "key")
    for key in _NEEDED[table]:
        if key not in item:
            raise InputError(f"{text(where)} has no {key}", f"add {key} = …")
    return {key: _value(item[key], _TABLES[table][key], f"{where}, {key}") for key in item}


def _value(value: Any, kind: str, where: str) -> Any:
    if kind == "time":
        return _time(value, where)
    if kind == "list":
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise InputError(f"{text(where)} is not a list of texts", 'write it as ["a", "b"]')
        return tuple(part.strip().rstrip(".").lower() for part in value) if where.endswith("hosts") else tuple(value)
    if not isinstance(value, str):
        raise InputError(f"{text(where)} is not a text", "put it into quotes")
    if kind == "pin":
        try:
            return Pin.parse(value)
        except InputError as error:
            raise InputError(f"{text(where)}: {error.message}", error.hint) from None
    if kind in {"role", "status"}:
        words = cast("tuple[str, ...]", get_args(Role if kind == "role" else Status))
        if value not in words:
            near = difflib.get_close_matches(value, words, 1)
            hint = f"did you mean {near[0]}?" if near else "known are " + ", ".join(words)
            raise InputError(f"{text(where)}: {text(value, 40)!r} is not known", hint)
    return value


def _time(value: Any, where: str) -> datetime:
    """A TOML time as aware UTC; a bare date is its beginning, a time without an offset counts as UTC."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        with contextlib.suppress(OverflowError):
            return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
    elif isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise InputError(f"{text(where)} is not a time", "write it as 2026-11-23T09:00:00Z")
