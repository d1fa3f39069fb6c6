"""OkHttp's CertificatePinner, in Kotlin and Java sources."""

from __future__ import annotations

import re
from typing import Any

from irkit.errors import InputError
from irkit.pins.grammar import literal
from irkit.pins.notes import Notes
from irkit.pins.pattern import okhttp_pattern
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.pins.source import Source, Token, Unknown, decode_text, written
from irkit.render import text

__all__ = ["loose_pins", "pinner_rule", "read_okhttp", "source_release"]

_PIN = re.compile(r"sha(?:256|1)/", re.IGNORECASE)
# What the names of a host or a pin look like where another file defines them; add() has other uses too.
_HOST = re.compile(r"host|domain|pattern|[a-z0-9]\.[a-z]{2,}\Z", re.IGNORECASE)
_SECRET = re.compile(r"pin|hash|cert|sha256", re.IGNORECASE)


def read_okhttp(raw: bytes, _platform: str, name: str) -> Release:
    """Reads the `add` calls of a CertificatePinner's builder.

    Raises:
        InputError: The source holds no pin.
    """
    source = Source(decode_text(raw, name))
    notes = Notes("okhttp")
    rules = [
        rule for token, arguments in source.calls("add", "Pin") if (rule := _added(token, arguments, notes)) is not None
    ]
    rules += loose_pins(source, rules, notes)
    return source_release(source, rules, notes, name, "a CertificatePinner")


def source_release(source: Source, rules: list[HostRule], notes: Notes, name: str, what: str) -> Release:
    """What was read from a source, with the pins that its comments hold.

    Raises:
        InputError: That is nothing; `what` is what the source names.
    """
    for token in source.comments:
        if re.search(r"sha(?:256|1)/[A-Za-z0-9+/]{20}|[\"'][A-Za-z0-9+/]{43}=[\"']", token.value):
            notes.commented_out("a pin is", f"line {token.line}", live=bool(rules), then="nothing is pinned here")
    if not rules and not notes.findings:
        raise InputError(f"{text(name)} names {what} but no pin", "give the source file with the pins")
    return notes.release(rules)


def _added(token: Token, arguments: list[Any], notes: Notes) -> HostRule | None:
    """The rule of one `add(pattern, pins…)`; None where it adds something else."""
    words = [written(value) for value in arguments]
    if len(words) < 2 or not (
        any(_PIN.search(word) for word in words[1:])
        or (isinstance(arguments[1], Unknown) and (_HOST.search(words[0]) or _SECRET.search(words[1])))
    ):
        return None
    where = f"line {token.line}"
    host = arguments[0]
    host = literal(host) if isinstance(host, str) else notes.host(host, where)
    pins = tuple(notes.pin(value, where=where) for value in arguments[1:] if isinstance(value, str | Unknown))
    return pinner_rule(host, pins, where, notes)


def pinner_rule(pattern: str, pins: tuple[ConfiguredPin, ...], where: str, notes: Notes) -> HostRule:
    """A rule of a CertificatePinner, with what OkHttp makes of its pattern.

    From 4.3.0 on a pattern is checked and `**.` is known; before, a bad one is taken and mostly matches no host.
    """
    try:
        okhttp_pattern(pattern, checked=True)
    except ValueError as error:
        says = f"the pattern {text(pattern, 80)} is refused by OkHttp 4.3 and later ({error}); older ones take it"
        notes.add("bad-pattern", "error", f"{says}, and mostly match no host with it", where)
    return HostRule(pattern, pattern.startswith("**."), pins, frozenset({"any"}), where=where)


def loose_pins(source: Source, rules: list[HostRule], notes: Notes, pattern: re.Pattern[str] = _PIN) -> list[HostRule]:
    """A rule for every host with the pins of a source that no call or literal ties to one."""
    known = {pin.text for rule in rules for pin in rule.pins}
    strings = ((source.filled(token.value), token.line) for token in source.tokens if token.kind == "string")
    values = {
        value: line
        for value, line in strings
        if isinstance(value, str) and pattern.match(value) and len(value) > 8 and value not in known
    }
    notes.spend(len(values))
    # A prefix that other strings begin with is half of a concatenation.
    values = {value: line for value, line in values.items() if not any(pin.startswith(value) for pin in known)}
    if not values:
        return []
    first = f"line {min(values.values())}"
    says = "pins whose host this file does not say count for every host here"
    notes.add("unknown-host", "warning", says, first)
    pins = tuple(notes.pin(value, where=f"line {line}") for value, line in values.items())
    return [HostRule("*", False, pins, frozenset({"any"}), where=first)]
