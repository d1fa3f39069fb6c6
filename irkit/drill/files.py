"""The rehearsal's files, as a responder would find them: pin files, keys.toml, incident.toml."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from irkit.drill.scenario import HOST, Key, Shipped
from irkit.drill.traffic import JOB, METRIC

__all__ = ["Table", "pin_file", "to_toml", "write_keys"]

Table = tuple[str, dict[str, Any]]  # ("[metrics]", {"file": "failures.json"})

_ANDROID = """<?xml version="1.0" encoding="utf-8"?>
<network-security-config>
    <domain-config cleartextTrafficPermitted="false">
        <domain includeSubdomains="false">{host}</domain>
        <pin-set>
{pins}
        </pin-set>
    </domain-config>
</network-security-config>
"""


def pin_file(release: Shipped, folder: Path) -> str:
    """Writes the file that ships the release's pins.

    Returns:
        Its path, relative to the folder.
    """
    if release.platform == "android":
        name = f"pins/android-{release.version}/network_security_config.xml"
        pins = "\n".join(f'            <pin digest="SHA-256">{pin.base64}</pin>' for pin in release.pins)
        content = _ANDROID.format(host=HOST, pins=pins).encode()
    else:
        name = f"pins/ios-{release.version}/Info.plist"
        pinned = {"NSPinnedLeafIdentities": [{"SPKI-SHA256-BASE64": pin.base64} for pin in release.pins]}
        content = plistlib.dumps(
            {
                "CFBundleIdentifier": "com.example.shop",
                "CFBundleShortVersionString": release.version,
                "NSAppTransportSecurity": {"NSPinnedDomains": {HOST: pinned}},
            }
        )
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


def write_keys(keys: Sequence[Key], path: Path) -> None:
    """Writes keys.toml."""
    tables: list[Table] = []
    for key in keys:
        item = {
            "pin": str(key.pin), "name": key.name, "role": key.role, "status": key.status, "hosts": [HOST],
            "since": key.since,
        }  # fmt: skip
        tables.append(("[[key]]", item))
    path.write_text(to_toml(tables), encoding="utf-8")


def to_toml(tables: Sequence[Table]) -> str:
    """Tables as TOML; tomllib only reads. Values are text, numbers, times, or lists and tables of text."""
    return "\n".join("\n".join([head, *(f"{key} = {_value(value)}" for key, value in item.items())]) + "\n"
                     for head, item in tables)  # fmt: skip


def _value(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    return str(value)


def metrics_table(source: dict[str, str]) -> Table:
    """The [metrics] table for a file or a URL."""
    return "[metrics]", {**source, "metric": METRIC, "matchers": {"job": JOB}}
