"""iOS: an Info.plist with NSPinnedDomains, as App Transport Security reads it, or with TrustKit's TSKConfiguration.

Follows `parseNSPinnedDomains` of Apple's Security framework: an entry of the wrong type is dropped, the list that held
it still counts, and an empty list matches nothing.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Iterator
from typing import Any, Literal

from irkit.errors import InputError
from irkit.pins.grammar import literal, text_of
from irkit.pins.notes import Notes
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.pins.trustkit import trustkit_rules
from irkit.render import text

__all__ = ["is_plist", "load_plist", "read_plist"]

SIZE = 16 << 20
NODES = 100_000
DEPTH = 32

_LISTS: dict[str, Literal["leaf", "ca"]] = {"NSPinnedLeafIdentities": "leaf", "NSPinnedCAIdentities": "ca"}
_ENTRY = (*_LISTS, "NSIncludesSubdomains")
_SPKI = "SPKI-SHA256-BASE64"


def is_plist(raw: bytes) -> bool:
    """Whether the bytes look like a property list, binary or XML."""
    return raw.startswith(b"bplist00") or b"<plist" in raw[:2048]


def load_plist(raw: bytes, name: str) -> Any:
    """Reads a property list whose author is not trusted. What it holds may still have cycles.

    Raises:
        InputError: It is too large, or no property list.
    """
    if len(raw) > SIZE:
        raise InputError(f"{text(name)} has {len(raw)} bytes: too large for an Info.plist", "give the Info.plist alone")
    try:
        return plistlib.loads(raw)
    except Exception as error:  # noqa: BLE001 - plistlib raises many kinds for a damaged file
        raise InputError(
            f"{text(name)} is not a property list: {type(error).__name__} {text(error, 120)}",
            "check it with `plutil -lint`",
        ) from None


def read_plist(raw: bytes, platform: Literal["ios", "trustkit-ios"] | None, name: str) -> Release:
    """Reads an Info.plist.

    Args:
        raw: XML or binary.
        platform: Whose part to read; None takes NSPinnedDomains, or TSKConfiguration where only that pins.
        name: What to call the file in messages.

    Raises:
        InputError: It is no property list.
    """
    root = load_plist(raw, name)
    security = root.get("NSAppTransportSecurity") if isinstance(root, dict) else None
    domains = security.get("NSPinnedDomains") if isinstance(security, dict) else None
    trustkit = root.get("TSKConfiguration") if isinstance(root, dict) else None
    if trustkit is None and isinstance(root, dict) and "TSKPinnedDomains" in root:
        trustkit = root  # the dictionary itself, in a file of its own
    if platform is None:
        platform = "trustkit-ios" if domains is None and trustkit is not None else "ios"
    notes = Notes(platform)
    other = {"ios": trustkit, "trustkit-ios": domains}[platform]
    if other is not None:
        reader = {"ios": "TrustKit (platform trustkit-ios)", "trustkit-ios": "App Transport Security (platform ios)"}
        notes.add("second-configuration", "info", f"{reader[platform]} has pins of its own in this file")
    if platform == "trustkit-ios":
        rules = tuple(trustkit_rules(trustkit, notes)) if trustkit is not None else ()
    else:
        rules = tuple(_rules(domains, notes)) if domains is not None else ()
        if security is not None and not isinstance(security, dict):
            notes.add(
                "wrong-type", "error", f"NSAppTransportSecurity is {text_of(security)}, not a dictionary: ignored"
            )
    _misplaced(root, notes)
    _commented_out(raw, bool(any(rule.pins for rule in rules)), notes)
    return notes.release(rules)


def _rules(domains: Any, notes: Notes) -> Iterator[HostRule]:
    if not isinstance(domains, dict):
        notes.add("wrong-type", "error", f"NSPinnedDomains is {text_of(domains)}, not a dictionary: nothing is pinned")
        return
    for host, entry in domains.items():
        where = f"NSPinnedDomains, {text(host, 80)}"
        if not isinstance(entry, dict):
            notes.add("wrong-type", "error", f"the entry is {text_of(entry)}, not a dictionary: it is dropped", where)
            continue
        yield _rule(str(host), entry, where, notes)


def _rule(host: str, entry: dict[Any, Any], where: str, notes: Notes) -> HostRule:
    for key in entry:
        if key not in _ENTRY:
            notes.ignored(f"the key {text(key, 60)} is ignored", str(key), _ENTRY, where)
    subdomains = entry.get("NSIncludesSubdomains", False)
    if not isinstance(subdomains, bool):
        says = f"NSIncludesSubdomains is {text_of(subdomains)}, not a boolean: subdomains are not pinned"
        notes.add("wrong-type", "error", says, where)
    lists = frozenset(scope for key, scope in _LISTS.items() if key in entry)
    pins = tuple(pin for key in _LISTS if key in entry for pin in _pins(entry[key], key, where, notes))
    if not lists:
        notes.add("no-pins", "warning", "neither NSPinnedLeafIdentities nor NSPinnedCAIdentities: not pinned", where)
    return HostRule(literal(host), subdomains is True, pins, lists, where=where)


def _pins(identities: Any, key: str, where: str, notes: Notes) -> list[ConfiguredPin]:
    found = []
    if not isinstance(identities, list):
        says = f"{key} is {text_of(identities)}, not an array: it counts as empty, and no connection is allowed"
        notes.add("wrong-type", "error", says, where)
        return []
    for i, identity in enumerate(identities):
        at = f"{where}, {key}[{i}]"
        if not isinstance(identity, dict):
            notes.add("wrong-type", "error", f"the pin is {text_of(identity)}, not a dictionary: it is dropped", at)
            continue
        value = identity.get(_SPKI)
        if value is None:
            meant = next((name for name in identity if notes.nearest(str(name), [_SPKI])), None)
            said = f"under {text(meant, 60)} instead of {_SPKI}" if meant else f"without {_SPKI}"
            notes.add("unknown-key", "error", f"a pin {said} is dropped", at)
        elif not isinstance(value, str) or not value:
            said = text_of(value) if value else "empty"
            notes.add("wrong-type", "error", f"{_SPKI} is {said}, not a text: the pin is dropped", at)
        else:
            found.append(notes.pin(value, scope=_LISTS[key], where=at))
    if not found:
        notes.add("empty-list", "error", f"{key} has no usable entry: no connection is allowed", where)
    return found


_HOMES = {
    "NSPinnedDomains": ("NSAppTransportSecurity",),
    "NSPinnedLeafIdentities": ("NSAppTransportSecurity", "NSPinnedDomains", "*"),
    "NSPinnedCAIdentities": ("NSAppTransportSecurity", "NSPinnedDomains", "*"),
    "TSKPinnedDomains": ("TSKConfiguration",),
    "TSKPublicKeyHashes": ("TSKConfiguration", "TSKPinnedDomains", "*"),
}
_TOP = ("NSAppTransportSecurity", "TSKConfiguration")


def _misplaced(root: Any, notes: Notes) -> None:
    """Pinning keys that stand where nothing reads them. Walks with bounds: a binary plist can hold cycles."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), root)]
    seen: set[int] = set()
    while todo and len(seen) < NODES:
        path, value = todo.pop()
        if id(value) in seen or len(path) > DEPTH or not isinstance(value, dict | list):
            continue
        seen.add(id(value))
        items = value.items() if isinstance(value, dict) else ((str(i), item) for i, item in enumerate(value))
        for key, item in items:
            home = _HOMES.get(str(key))
            if home is not None and not _fits(path, home):
                says = f"{key} is not read here; it belongs in {' → '.join(home).replace('*', 'the host')}"
                notes.add("misplaced-key", "error", says, text(" → ".join(path), 200) or "the top")
            elif path in {(), _TOP[:1]} and isinstance(key, str) and key not in _HOMES and key not in _TOP:
                meant = notes.nearest(key, _TOP if not path else ("NSPinnedDomains",))
                if meant:
                    notes.add("unknown-key", "error", f"the key {text(key, 60)} is ignored; it is spelt {meant}")
            todo.append(((*path, str(key)), item))


def _fits(path: tuple[str, ...], home: tuple[str, ...]) -> bool:
    if path == () and home == ("TSKConfiguration",):
        return True  # a file of its own
    if home[0] == "TSKConfiguration" and path[:1] == ("TSKPinnedDomains",):
        path = ("TSKConfiguration", *path)
    return len(path) == len(home) and all(part in {name, "*"} for name, part in zip(path, home, strict=True))


def _commented_out(raw: bytes, live: bool, notes: Notes) -> None:
    if raw.startswith(b"bplist00"):
        return
    for match in re.finditer(rb"<!--(.*?)(?:-->|\Z)", raw, re.DOTALL):
        if re.search(rb"<key>\s*(NSPinned|SPKI-|TSKPublicKeyHashes)|<string>[A-Za-z0-9+/]{43}=", match[1]):
            line = raw[: match.start()].count(b"\n") + 1
            notes.commented_out("pins are", f"line {line}", live=live)
