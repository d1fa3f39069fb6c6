"""An incident as a file: what `irkit.incident.parse_incident` reads, written. tomllib only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irkit.incident import Incident
from irkit.render import text

__all__ = ["incident_toml", "with_absolute_paths"]

_PATHS = ("file", "pins", "ca_file", "token_file", "password_file", "client_cert", "client_key")
_HEAD = ("id", "host", "port", "start", "end")


def incident_toml(incident: Incident, comments: Iterable[str] = ()) -> str:
    """An incident file that says what the incident says.

    Args:
        incident: Its relative paths stay relative; see `with_absolute_paths`.
        comments: Lines for the top, of any content: each is shown on one line, whatever is in it.

    Returns:
        TOML. `parse_incident` reads the same incident back; what has its default value is left out.
    """
    parts = [f"# {text(line, 300)}" for line in comments]
    parts.append(_table("[incident]", {name: getattr(incident, name) for name in _HEAD}))
    if incident.metrics is not None:
        parts.append(_table("[metrics]", _changed(incident.metrics)))
    for head, items in (
        ("capture", incident.vantages),
        ("observed", incident.observed),
        ("release", incident.releases),
        ("annotation", incident.annotations),
    ):
        written = [_changed(item) for item in items]
        if head == "capture" and written == [{}]:
            continue  # the one vantage that an incident file has without saying so
        parts += [_table(f"[[{head}]]", _renamed(item, {"name": "vantage"})) for item in written]
    for head, item in (
        ("inventory", {"file": incident.inventory}),
        ("history", {"folder": incident.history}),
        ("reports", {"files": incident.reports}),
        ("trust", {"roots": incident.roots, "crls": incident.crls}),
        ("runbooks", {"folder": incident.runbooks}),
    ):
        if any(item.values()):
            parts.append(_table(f"[{head}]", item))
    return "\n".join(parts)


def with_absolute_paths(incident: Incident) -> Incident:
    """The incident with every path absolute, so that its file can stand anywhere."""

    def moved(item: Any) -> Any:
        names = {field.name for field in fields(item)} & set(_PATHS)
        return replace(item, **{n: _absolute(incident, getattr(item, n)) for n in names if getattr(item, n)})

    return replace(
        incident,
        metrics=moved(incident.metrics) if incident.metrics is not None else None,
        vantages=tuple(map(moved, incident.vantages)),
        observed=tuple(map(moved, incident.observed)),
        releases=tuple(map(moved, incident.releases)),
        inventory=_absolute(incident, incident.inventory) if incident.inventory else "",
        history=_absolute(incident, incident.history),
        reports=tuple(_absolute(incident, name) for name in incident.reports),
        runbooks=_absolute(incident, incident.runbooks) if incident.runbooks else "",
        roots=tuple(name if name == "mozilla" else _absolute(incident, name) for name in incident.roots),
        crls=tuple(_absolute(incident, name) for name in incident.crls),
        folder=Path(),
    )


def _absolute(incident: Incident, name: str) -> str:
    return str(incident.path(name).absolute())


def _changed(item: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not what they are when a file leaves them out."""
    kept = {}
    for field in fields(item):
        value = getattr(item, field.name)
        made = field.default if field.default_factory is MISSING else field.default_factory()
        if value != made:
            kept[field.name] = value
    return kept


def _renamed(item: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in item.items()}


def _table(head: str, item: Mapping[str, Any]) -> str:
    return "\n".join([head, *(f"{_key(key)} = {_value(value)}" for key, value in item.items()), ""])


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, int | float):
        return repr(value)
    # A JSON string is a basic string of TOML. What doesn't print is spelt out: the file is also shown on terminals.
    # Half of a surrogate pair is no character in either.
    whole = json.dumps(str(value).encode("utf-8", "backslashreplace").decode(), ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in whole)
