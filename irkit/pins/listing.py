"""A plain list of pins: one a line, with the host before it where one is meant."""

from __future__ import annotations

import json
import re
from typing import Any

from irkit.errors import InputError
from irkit.pins.notes import Notes
from irkit.pins.release import ConfiguredPin, HostRule, Platform, Release
from irkit.render import text

__all__ = ["read_list"]

# A host or a pattern: what a pin can't be, for it has a dot and no slash, plus or equals sign.
_HOST = re.compile(r"(?:\*{1,2}\.)?[^\s/+=.:]+(?:\.[^\s/+=.:]+)+\.?:?\Z")
_HEADER = frozenset(("host", "hostname", "domain", "pin", "pins", "hash", "sha256", "spki"))
_PINS = re.compile(r"pin|hash|sha|key", re.IGNORECASE)


def read_list(raw: bytes, platform: Platform, name: str) -> Release:
    """Reads lines of pins; `#` and `//` begin comments, commas, semicolons and quotes separate.

    A line may begin with the host that its pins are for. Pins without one are for every host. A JSON object that gives
    hosts their pins is a list too.

    Raises:
        InputError: It is not text, or holds no pin.
    """
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{text(name)} is in no format that irkit knows", "say which with platform=, or give a list of pins"
        ) from None
    notes = Notes(platform)
    rules: dict[str, list[ConfiguredPin]] = {}
    mapped = _mapped(content)
    for host, word in mapped:
        rules.setdefault(host, []).append(notes.pin(word, where=text(host, 80)))
    for number, line in enumerate([] if mapped else content.splitlines(), 1):
        if not line or line.isspace():
            continue
        live, _, comment = re.sub(r"(^|\s)(#|//)", "\0", line, count=1).partition("\0")
        words = [word for word in re.split(r"[\s,;'\"\[\]]+", live.replace('pin-sha256="', "sha256/")) if word]
        if number == 1 and words and all(word.lower() in _HEADER for word in words):
            continue  # the names of columns
        host = words.pop(0).rstrip(":") if words and _HOST.match(words[0]) else "*"
        for word in words:
            pin = notes.pin(word, where=f"line {number}")
            rules.setdefault(host, []).append(pin)
        if re.search(r"sha256/|\b[A-Za-z0-9+/]{43}=", comment) and not words:
            notes.commented_out("a pin is", f"line {number}")
    entries = [pin for pins in rules.values() for pin in pins]
    plausible = sum(pin.pin is not None or "/" in pin.text or len(pin.text) >= 32 for pin in entries)
    if not entries or plausible * 2 < len(entries):
        raise InputError(
            f"{text(name)} is in no format that irkit knows, and no list of pins",
            "say which with platform=, or give the file that the app is built from",
        )
    return notes.release(
        HostRule(host, host.startswith("**."), tuple(pins), frozenset({"any"}), where=pins[0].where)
        for host, pins in rules.items()
    )


def _mapped(content: str) -> list[tuple[str, str]]:
    """Hosts and pins of a JSON object that gives a host its pins, as a text, a list, or within an object of options."""
    if not content.lstrip().startswith("{"):
        return []
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return []
    found: list[tuple[str, str]] = []
    todo: list[tuple[str, bool, Any]] = [("", False, document)]
    while todo:
        host, pinned, value = todo.pop()
        if isinstance(value, dict):
            items = [(key, key) if _HOST.match(key) else (host, key) for key in value]
            entries = [(name, name == key or bool(_PINS.search(key)), value[key]) for name, key in items]
        elif isinstance(value, list):
            entries = [(host, pinned, item) for item in value]
        else:
            entries = []
            if isinstance(value, str) and host and pinned:
                found.append((host, value))
        todo += reversed(entries)
    return found
