"""HTTP Public Key Pinning headers (RFC 7469), as Chromium's `http_security_headers.cc` parsed them."""

from __future__ import annotations

import re

from irkit.errors import InputError
from irkit.pins.notes import Notes
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.pins.source import decode_text
from irkit.render import text

__all__ = ["read_hpkp"]

_KNOWN = ("pin-sha256", "max-age", "includesubdomains", "report-uri")
# The header's name, as HTTP sends it or as a server's configuration sets it, and what follows on its line.
_HEADER = re.compile(r"(?P<name>Public-Key-Pins(?:-Report-Only)?)[\"']?\s*[:=,]?\s*(?P<value>[^\r\n]+)", re.IGNORECASE)
_DIRECTIVE = re.compile(r'(?:"[^"]*"|[^;"])++')


def read_hpkp(raw: bytes, _platform: str, name: str) -> Release:
    """Reads a header, a whole response's headers, or the line of a server's configuration that sets it.

    The rule's pattern is `*`: the host is the one that answered.

    Raises:
        InputError: There is no such header.
    """
    content = decode_text(raw, name)
    notes = Notes("hpkp")
    found = list(_HEADER.finditer(content))
    notes.spend(10 * len(found))
    rules = []
    for match in found:
        where = f"line {content.count(chr(10), 0, match.start()) + 1}"
        before = content[content.rfind("\n", 0, match.start()) + 1 : match.start()]
        if "#" in before:
            notes.commented_out("the header is", where)
            continue
        rules.append(_rule(_unquoted(match["value"]), match["name"].lower().endswith("only"), where, notes))
    if not found and "pin-sha256" in content:
        rules.append(_rule(" ".join(content.split()), False, "line 1", notes))
    if not rules and not notes.findings:
        raise InputError(f"{text(name)} holds no Public-Key-Pins header", "give the response's headers")
    return notes.release(rules)


def _unquoted(value: str) -> str:
    """The header's value out of the quotes of an nginx or Apache line."""
    value = value.strip().replace('\\"', '"')
    for quote in "'\"":
        if value.startswith(quote) and not value.startswith(f"{quote}{quote}"):
            inside = re.match(rf"{quote}(.*){quote}", value)
            return inside[1] if inside else value[1:]
    return value


def _rule(value: str, report_only: bool, where: str, notes: Notes) -> HostRule:
    pins: list[ConfiguredPin] = []
    max_age: list[str] = []
    subdomains = False
    for part in _DIRECTIVE.findall(value):
        directive, _, argument = (word.strip() for word in part.partition("="))
        key = directive.lower()
        if key == "pin-sha256":
            if not re.fullmatch(r'".*"', argument):
                notes.refuse(f"pin-sha256={text(argument, 60)} is not in quotes", where)
            pins.append(notes.pin(argument.strip('"'), where=where))
        elif key == "max-age":
            max_age.append(argument.strip('"'))
        elif key == "includesubdomains":
            subdomains = True
        elif key and key not in _KNOWN:
            notes.ignored(f"the directive {text(directive, 60)} is ignored", key, _KNOWN, where)
    if len(max_age) != 1 or not max_age[0].isdigit():
        notes.refuse("max-age is missing" if not max_age else "max-age is no single number of seconds", where)
    elif not int(max_age[0][:12]):
        notes.add("max-age-zero", "warning", "max-age=0 makes browsers forget the pins", where)
        return HostRule("*", subdomains, (), enforce=not report_only, where=where)
    if len({pin.pin for pin in pins}) < 2:
        notes.refuse("there are fewer than two pins, no backup", where)
    notes.add(
        "obsolete", "info", "browsers no longer read this header: Chromium dropped it in 72, Firefox in 72", where
    )
    return HostRule("*", subdomains, tuple(pins), frozenset({"any"}), enforce=not report_only, where=where)
