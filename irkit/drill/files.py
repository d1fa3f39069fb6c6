"""The rehearsal's files, as a responder would find them: pin files, keys.toml, incident.toml."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from irkit.certificate import Pin
from irkit.drill.scenario import Key, Shipped
from irkit.drill.traffic import JOB, METRIC

__all__ = ["Table", "pin_file", "to_toml", "write_keys"]

Table = tuple[str, dict[str, Any]]  # ("[metrics]", {"file": "failures.json"})

_ANDROID = """<?xml version="1.0" encoding="utf-8"?>
<network-security-config>{rule}</network-security-config>
"""
_RULE = """
    <domain-config cleartextTrafficPermitted="false">
        <domain includeSubdomains="{subdomains}">{host}</domain>
        <pin-set{expires}>
{pins}
        </pin-set>{more}
    </domain-config>
"""


def pin_file(release: Shipped, folder: Path) -> str:
    """Writes the file that ships the release's pins.

    Returns:
        Its path, relative to the folder.
    """
    pins = [pin if isinstance(pin, str) else pin.base64 for pin in release.pins]
    names = {"android": "network_security_config.xml", "okhttp": "Pinning.kt"}
    names["trustkit-android"] = names["android"]
    name = f"pins/{release.platform}-{release.version}/{names.get(release.platform, 'Info.plist')}"
    if "android" in release.platform:
        lines = "\n".join(f'            <pin digest="SHA-256">{pin}</pin>' for pin in pins)
        expires = f' expiration="{release.expires}"' if release.expires else ""
        rule = _RULE.format(
            host=release.pattern, pins=lines, expires=expires, subdomains=str(release.subdomains).lower(),
            more='\n        <trustkit-config enforcePinning="true" />' if "trustkit" in release.platform else "",
        )  # fmt: skip
        content = _ANDROID.format(rule=rule * (1 + release.twice)).encode()
    elif release.platform == "okhttp":
        pattern = ("**." if release.subdomains else "") + release.pattern
        added = "".join(f'    .add("{pattern}", "sha256/{pin}")\n' for pin in pins)
        content = f"val pinner = CertificatePinner.Builder()\n{added}    .build()\n".encode()
    else:
        content = plistlib.dumps(_plist(release, pins))
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


def _plist(release: Shipped, pins: list[str]) -> dict[str, Any]:
    head = {"CFBundleIdentifier": f"com.example.{release.brand}", "CFBundleShortVersionString": release.version}
    if release.platform == "trustkit-ios":
        policy: dict[str, Any] = {"TSKPublicKeyHashes": pins, "TSKEnforcePinning": True}
        policy |= {"TSKExpirationDate": release.expires} if release.expires else {}
        policy |= {"TSKIncludeSubdomains": True} if release.subdomains else {}
        domains = {release.pattern: policy}
        return head | {"TSKConfiguration": {"TSKSwizzleNetworkDelegates": False, "TSKPinnedDomains": domains}}
    listed = "NSPinnedLeafIdentities" if release.scope == "leaf" else "NSPinnedCAIdentities"
    pinned: dict[str, Any] = {listed: [{"SPKI-SHA256-BASE64": pin} for pin in pins]}
    pinned |= {"NSIncludesSubdomains": True} if release.subdomains else {}
    return head | {"NSAppTransportSecurity": {"NSPinnedDomains": {release.pattern: pinned}}}


def write_keys(keys: Sequence[Key], path: Path, allowed: Sequence[tuple[Pin, str]] = ()) -> None:
    """Writes keys.toml."""
    tables: list[Table] = []
    for key in keys:
        item = {
            "pin": str(key.pin), "name": key.name, "role": key.role, "status": key.status, "hosts": list(key.hosts),
            "since": key.since,
        }  # fmt: skip
        tables.append(("[[key]]", item))
    tables += [("[[inspection]]", {"pin": str(pin), "name": name}) for pin, name in allowed]
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
