"""Chromium's preloaded pins: transport_security_state_static.json, and the .pins file that its names stand in."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from irkit.certificate import Certificate, Pin, pem_blocks
from irkit.errors import InputError
from irkit.pins.notes import Notes
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.pins.source import decode_text
from irkit.render import text

__all__ = ["join_pins_file", "read_chromium", "read_chromium_pins"]

# Between the JSON and the .pins file in the bytes that a Release keeps; a comment in both.
_JOINT = b"\n//= .pins\n"
_SIZE = 16 << 20


def join_pins_file(raw: bytes, path: Path) -> bytes:
    """The JSON's bytes with those of the .pins file beside it, where there is one."""
    beside = path.with_suffix(".pins")
    if path.suffix != ".json" or _JOINT in raw or not beside.is_file():
        return raw
    with beside.open("rb") as file:
        return raw + _JOINT + file.read(_SIZE)


def read_chromium(raw: bytes, _platform: str, name: str) -> Release:
    """Reads the JSON, whose lines may be `//` comments, and the .pins file if it was joined to it.

    Raises:
        InputError: It is not such a JSON document.
    """
    head, _, tail = raw.partition(_JOINT)
    lines = decode_text(head, name).splitlines()
    try:
        document = json.loads("\n".join("" if line.lstrip().startswith("//") else line for line in lines))
        sets = {item["name"]: item for item in document["pinsets"]}
        entries = [item for item in document["entries"] if item.get("pins")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{text(name)} is not Chromium's JSON of pins: {type(error).__name__} {text(error, 120)}",
            "give transport_security_state_static.json",
        ) from None
    notes = Notes("chromium")
    named = _named(decode_text(tail, name), notes) if tail else {}
    if not named:
        says = "the pins are names: their hashes are in the .pins file, which was not beside the JSON"
        notes.add("unknown-pin", "error", says)
    rules = [rule for item in entries if (rule := _rule(item, sets, named, notes)) is not None]
    return notes.release(rules)


def _rule(
    entry: dict[str, Any], sets: dict[str, Any], named: dict[str, list[ConfiguredPin]], notes: Notes
) -> HostRule | None:
    host = str(entry.get("name"))
    pinset = sets.get(entry["pins"]) if isinstance(entry["pins"], str) else None
    if not isinstance(pinset, dict):
        notes.add("unknown-pin", "error", f"the pinset {text(entry['pins'], 60)} is not defined", text(host, 80))
        return None
    pins: list[ConfiguredPin] = []
    for key, bad in (("static_spki_hashes", False), ("bad_static_spki_hashes", True)):
        names = pinset.get(key, [])
        for known in names if isinstance(names, list) else ():
            found = named.get(str(known)) or [ConfiguredPin(str(known), None, problem="is a name in the .pins file")]
            where = f"pinset {text(entry['pins'], 60)}, {text(known, 60)}"
            notes.spend(len(found))
            pins += [ConfiguredPin(pin.text, pin.pin, "any", "spki", bad, pin.problem, where) for pin in found]
    subdomains = bool(entry.get("include_subdomains") or entry.get("include_subdomains_for_pinning"))
    return HostRule(host, subdomains, tuple(pins), frozenset({"any"}), where=text(host, 80))


def _named(content: str, notes: Notes) -> dict[str, list[ConfiguredPin]]:
    """The hashes of each name of a .pins file: a line with the name, then `sha256/…` or PEM of certificate or key."""
    found: dict[str, list[ConfiguredPin]] = {}
    current = ""
    block: list[str] = []
    for number, line in enumerate(content.splitlines(), 1):
        stripped = line.strip()
        where = f"line {number}"
        if block or stripped.startswith("-----BEGIN"):
            block.append(stripped)
            if stripped.startswith("-----END"):
                pin = _from_pem("\n".join(block))
                problem = "" if pin else "is PEM that can't be read"
                found.setdefault(current, []).append(ConfiguredPin(block[0], pin, problem=problem, where=where))
                block = []
        elif stripped.startswith("sha256/"):
            found.setdefault(current, []).append(notes.pin(stripped, where=where))
        elif stripped and not stripped.startswith(("#", "//")):
            current = stripped
    return found


def _from_pem(block: str) -> Pin | None:
    try:
        if "PUBLIC KEY" in block:
            return Pin.of(base64.b64decode("".join(block.splitlines()[1:-1]), validate=True))
        return Certificate.from_der(pem_blocks(block)[0]).pin
    except (ValueError, IndexError, InputError):
        return None


def read_chromium_pins(raw: bytes, _platform: str, name: str) -> Release:
    """Reads a .pins file alone: its pins are for every host, for it names none.

    Raises:
        InputError: It holds no pin.
    """
    notes = Notes("chromium")
    named = _named(re.sub(r"(?m)^PinsListTimestamp\s+\d+\s*$", "", decode_text(raw, name)), notes)
    pins = tuple(
        ConfiguredPin(pin.text, pin.pin, problem=pin.problem, where=f"{text(key, 60)}, {pin.where}")
        for key, entries in named.items()
        for pin in entries
    )
    if not pins:
        raise InputError(f"{text(name)} holds no pin", "give transport_security_state_static.pins")
    return notes.release([HostRule("*", False, pins, frozenset({"any"}))])
