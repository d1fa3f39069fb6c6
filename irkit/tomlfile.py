"""TOML files that people write: every value is held against what its key takes, each mistake named with its remedy."""

from __future__ import annotations

import contextlib
import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from irkit.errors import InputError
from irkit.render import text

__all__ = [
    "FLAG", "NUMBER", "TEXT", "WHOLE", "Check", "Table", "moment", "nearest", "one_of", "parse_toml",
    "refuse_unknown", "share", "texts",
]  # fmt: skip

# Takes a value and where it stands, as text that is safe to show; gives what it stands for, or raises InputError.
Check = Callable[[Any, str], Any]


@dataclass(frozen=True, slots=True)
class Table:
    """What a table may hold: its keys with their checks, those that it needs, and whether there may be many of it."""

    keys: Mapping[str, Check]
    needed: tuple[str, ...] = ()
    many: bool = False


def parse_toml(content: str | bytes, tables: Mapping[str, Table], name: str) -> dict[str, Any]:
    """Reads the text of a file.

    Args:
        content: The text, or the bytes of it in UTF-8.
        tables: What it may hold.
        name: What to call it in messages.

    Returns:
        For each table what it holds, checked: a dict, empty where the file has none; a list of dicts for one of many.

    Raises:
        InputError: It is not TOML, lacks what is needed, has an unknown key or a value of the wrong kind.
    """
    shown = text(name)
    try:
        document = tomllib.loads(content if isinstance(content, str) else content.decode())
    except UnicodeDecodeError:
        raise InputError(f"{shown} is not TOML: it is not UTF-8", "save it as UTF-8 and run it again") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shown} is not TOML: {text(error, 160)}", "mend that line and run it again") from None
    refuse_unknown(document, tables, shown)
    found: dict[str, Any] = {}
    for key, table in tables.items():
        item = document.get(key, [] if table.many else {})
        if not table.many:
            if not isinstance(item, dict):
                raise InputError(f"{shown}: {key} is not a table", f"write [{key}] on a line of its own")
            found[key] = _checked(item, table, f"{shown}: [{key}]", f"{shown}: {key}.")
        elif isinstance(item, list) and all(isinstance(entry, dict) for entry in item):
            heads = [f"{shown}: [[{key}]] number {i}" for i in range(1, len(item) + 1)]
            found[key] = [_checked(entry, table, head, f"{head}, ") for entry, head in zip(item, heads, strict=True)]
        else:
            raise InputError(f"{shown}: {key} is not a list of tables", f"write [[{key}]] with two brackets")
    return found


def _checked(item: Mapping[str, Any], table: Table, head: str, prefix: str) -> dict[str, Any]:
    refuse_unknown(item, table.keys, head)
    for key in table.needed:
        if item.get(key) in (None, ""):
            raise InputError(f"{head} has no {key}", f"add {key} = …")
    return {key: table.keys[key](value, f"{prefix}{key}") for key, value in item.items()}


def refuse_unknown(item: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raises InputError, with the nearest right one, for a key that is not known."""
    for key in item:
        if key not in known:
            raise InputError(f"{where}: unknown key {text(key, 60)!r}", nearest(key, known))


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint for a word that is not known."""
    words = [name for name in known if name]
    near = difflib.get_close_matches(word, words, 1, 0.5)
    return f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(words)


def _kind(says: str, *types: type) -> Check:
    def check(value: Any, where: str) -> Any:
        if isinstance(value, types) and (bool in types or not isinstance(value, bool)):
            return value
        shown = repr(text(value, 60)) if isinstance(value, str) else text(value, 60)  # "443" is text, and no number
        raise InputError(f"{where} is {shown}", f"it must be {says}")

    return check


TEXT, FLAG = _kind("text in quotes", str), _kind("true or false", bool)
WHOLE, NUMBER = _kind("a whole number", int), _kind("a number", int, float)
_LIST = _kind('a list, as ["a", "b"]', list)


def texts(value: Any, where: str) -> tuple[str, ...]:
    """Checks a list of texts."""
    if not all(isinstance(part, str) for part in _LIST(value, where)):
        raise InputError(f"{where} holds something that is not text", "put each entry in quotes")
    return tuple(value)


def one_of(*words: str) -> Check:
    """Checks a word; an empty one stands for "not said" where it is among them."""

    def check(value: Any, where: str) -> Any:
        if TEXT(value, where) in words:
            return value
        raise InputError(f"{where}: {text(value, 40)!r} is not known", nearest(value, words))

    return check


def share(value: Any, where: str) -> float:
    """Checks a share, 0 to 1."""
    if not 0 <= NUMBER(value, where) <= 1:
        raise InputError(f"{where} = {value} is no share", "write 0.62 for 62 %")
    return float(value)


def moment(value: Any, where: str) -> datetime:
    """Checks a time with its zone; gives aware UTC."""
    if isinstance(value, date) and not (isinstance(value, datetime) and value.tzinfo):
        raise InputError(f"{where} = {value} has no time zone", "write it as 2026-11-23T09:00:00Z, in UTC")
    with contextlib.suppress(AttributeError, OverflowError):
        found: datetime = value.astimezone(UTC)
        return found
    raise InputError(f"{where} is not a time", "write it as 2026-11-23T09:00:00Z, without quotes")
