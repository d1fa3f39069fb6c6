"""OkHttp's CertificatePinner, in Kotlin and Java sources."""

from __future__ import annotations

import re
from typing import Any

from irkit.errors import InputError
from irkit.pins.grammar import literal
from irkit.pins.notes import Notes
from irkit.pins.pattern import okhttp_pattern
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.pins.source import Source, Token, Unknown, decode_text
from irkit.render import text

__all__ = ["commented_out", "loose_pins", "pinner_rule", "read_okhttp", "unknown_host", "unknown_pin"]

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
    commented_out(source, bool(rules), notes)
    if not rules and not notes.findings:
        raise InputError(f"{text(name)} names a CertificatePinner but no pin", "give the source file with the pins")
    return Release("okhttp", tuple(rules), rejected=notes.rejected, findings=notes.findings)


def _added(token: Token, arguments: list[Any], notes: Notes) -> HostRule | None:
    """The rule of one `add(pattern, pins…)`; None where it adds something else."""
    written = [value.written if isinstance(value, Unknown) else str(value) for value in arguments]
    if len(written) < 2 or not (
        any(_PIN.search(value) for value in written[1:])
        or (isinstance(arguments[1], Unknown) and (_HOST.search(written[0]) or _SECRET.search(written[1])))
    ):
        return None
    where = f"line {token.line}"
    host = arguments[0]
    host = literal(host) if isinstance(host, str) else unknown_host(host, where, notes)
    pins = tuple(
        notes.pin(value, where=where) if isinstance(value, str) else unknown_pin(value, where, notes)
        for value in arguments[1:]
        if isinstance(value, str | Unknown)
    )
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


def unknown_host(value: object, where: str, notes: Notes) -> str:
    """`*` for a host that the file does not define, with a finding."""
    written = text(value.written if isinstance(value, Unknown) else type(value).__name__, 80)
    says = f"the host is {written}, which this file does not define: its pins count for every host here"
    notes.add("unknown-host", "warning", says, where)
    return "*"


def unknown_pin(value: Unknown, where: str, notes: Notes) -> ConfiguredPin:
    """A pin that the file does not define."""
    notes.add("unknown-pin", "warning", f"the pin {text(value.written, 80)} is not defined in this file", where)
    return ConfiguredPin(value.written, None, problem="is not defined in this file", where=where)


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


def commented_out(source: Source, live: bool, notes: Notes) -> None:
    """Comments that hold pins."""
    for token in source.comments:
        if re.search(r"sha(?:256|1)/[A-Za-z0-9+/]{20}|[\"'][A-Za-z0-9+/]{43}=[\"']", token.value):
            says = "a pin is commented out" + ("" if live else ", and none is left: nothing is pinned here")
            notes.add("commented-out-pin", "warning" if live else "error", says, f"line {token.line}")
