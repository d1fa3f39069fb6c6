"""Android's network_security_config.xml, as the platform reads it and as TrustKit Android reads it.

Follows `XmlConfigSource` of AOSP and, for `trustkit-android`, TrustKit's `TrustKitConfigurationParser` on top. Nested
configurations are flattened: one rule a domain, with the pins, expiry and anchors that are effective for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from irkit.errors import InputError
from irkit.pins.grammar import android_expiry, literal
from irkit.pins.markup import Element, parse_xml
from irkit.pins.notes import Notes
from irkit.pins.release import Anchor, ConfiguredPin, HostRule, Release
from irkit.render import text

__all__ = ["read_android"]

ROOT = "network-security-config"
_PARENTS = {
    "base-config": {ROOT},
    "debug-overrides": {ROOT},
    "domain-config": {ROOT, "domain-config", "base-config", "debug-overrides"},
    "domain": {"domain-config", "base-config", "debug-overrides"},
    "pin-set": {"domain-config", "base-config", "debug-overrides"},
    "pin": {"pin-set"},
    "trust-anchors": {"domain-config", "base-config", "debug-overrides"},
    "certificates": {"trust-anchors"},
    "trustkit-config": {"domain-config"},
    "report-uri": {"trustkit-config"},
    "certificateTransparency": {"domain-config", "base-config"},
    "domainEncryption": {"domain-config", "base-config"},
}
_ATTRIBUTES = {
    "domain": {"includeSubdomains"},
    "pin-set": {"expiration"},
    "pin": {"digest"},
    "certificates": {"src", "overridePins"},
    "domain-config": {"cleartextTrafficPermitted", "hstsEnforced"},
    "base-config": {"cleartextTrafficPermitted", "hstsEnforced"},
    "trustkit-config": {"enforcePinning", "disableDefaultReportUri"},
}
_SPACE = "".join(map(chr, range(33)))


@dataclass(frozen=True, slots=True)
class _Config:
    """What a domain-config hands down to those inside it; None is "not said here"."""

    pins: tuple[ConfiguredPin, ...] | None = None
    expires: str | None = None
    anchors: tuple[Anchor, ...] | None = None
    enforce: bool | None = None
    subdomains: bool | None = None


def read_android(raw: bytes, platform: Literal["android", "trustkit-android"], name: str) -> Release:
    """Reads the source form of a network security configuration.

    Raises:
        InputError: It is not XML, or its root is another element.
    """
    root = parse_xml(raw, name)
    if root.name != ROOT:
        raise InputError(
            f"{text(name)} holds <{text(root.name, 60)}>, not <{ROOT}>", "give the network security config"
        )
    notes = Notes(platform)
    _lint_names(root, notes)
    bases = _only_one(root, "base-config", notes)
    debugs = _only_one(root, "debug-overrides", notes)
    base = _Config(anchors=_anchors(bases[0], notes) if bases else None)
    for element in bases:
        _refuse_inside(element, ("domain", "pin-set", "domain-config"), notes)
    rules = [rule for element in root.find("domain-config") for rule in _rules(element, base, notes)]
    _duplicates(rules, notes)
    # Read in debuggable builds only, where everything in it is refused or obeyed as elsewhere.
    debug_notes = Notes(platform)
    debug = _anchors(debugs[0], debug_notes, override=True) if debugs else None
    for finding in debug_notes.findings:
        notes.add("debug-overrides", "warning", f"in debuggable builds: {finding.says}", finding.where)
    _commented_out(root, bool(any(rule.pins for rule in rules)), notes)
    if platform == "android" and any(element.name == "trustkit-config" for element in root.walk()):
        notes.add("trustkit", "info", "TrustKit Android reads this file too: platform trustkit-android has its rules")
    return replace(notes.release(rules), debug_anchors=debug or ())


def _only_one(root: Element, name: str, notes: Notes) -> list[Element]:
    found = root.find(name)
    if len(found) > 1:
        notes.refuse(f"there are {len(found)} <{name}> elements, one is allowed", found[1].where)
    return found


def _refuse_inside(element: Element, names: tuple[str, ...], notes: Notes) -> None:
    for child in element.children:
        if child.name in names:
            notes.refuse(f"<{child.name}> is not allowed in <{element.name}>", child.where)


def _true(value: str | None, *, default: bool | None = None) -> bool | None:
    """What the resource compiler makes of a boolean attribute; a value that is none counts as not given."""
    if value in {"true", "TRUE", "True"}:
        return True
    if value in {"false", "FALSE", "False"}:
        return False
    return int(value) != 0 if value and re.fullmatch(r"[0-9]{1,9}", value) else default


def _rules(element: Element, parent: _Config, notes: Notes) -> Iterator[HostRule]:
    """The rules of a domain-config and of those nested in it."""
    config = _config(element, parent, notes)
    trustkit = notes.platform == "trustkit-android"
    domains = element.find("domain")
    if not domains:
        notes.refuse("a <domain-config> has no <domain>", element.where)
    if trustkit and len(domains) > 1:
        kept = text(domains[-1].text.strip(), 80)
        says = f"TrustKit keeps only the last <domain> of a <domain-config>, {kept}: the others are not pinned by it"
        notes.add("domains-dropped", "error", says, element.where)
    for domain in domains[-1:] if trustkit else domains:
        yield _rule(domain, config, notes)
    for child in element.find("domain-config"):
        yield from _rules(child, config, notes)


def _rule(domain: Element, config: _Config, notes: Notes) -> HostRule:
    host = domain.text.strip(_SPACE)
    if not host:
        notes.refuse("a <domain> names no host", domain.where)
    if domain.children:
        notes.refuse("a <domain> holds elements", domain.where)
    inherited = config.subdomains if notes.platform == "trustkit-android" else None
    own = domain.attributes.get("includeSubdomains")
    subdomains = _true(own, default=inherited)
    if own is not None and _true(own) is None:
        says = f'includeSubdomains="{text(own, 40)}" is neither true nor false: it counts as false'
        notes.add("bad-boolean", "error", says, domain.where)
    pins = config.pins or ()
    if notes.platform == "trustkit-android" and config.enforce and len({pin.text for pin in pins}) < 2:
        notes.refuse(f"TrustKit wants two pins for {text(host, 80)}, which it enforces", domain.where)
    if pins and any(anchor.override_pins for anchor in config.anchors or ()):
        says = f"an anchor with overridePins switches the pins of {text(host, 80)} off for paths that end at it"
        notes.add("pins-overridden", "warning", says, domain.where)
    return HostRule(
        literal(host),
        bool(subdomains),
        pins,
        frozenset({"any"}) if config.pins is not None else frozenset(),
        config.expires,
        enforce=bool(config.enforce) if notes.platform == "trustkit-android" else True,
        anchors=config.anchors or (),
        where=domain.where,
    )


def _config(element: Element, parent: _Config, notes: Notes) -> _Config:
    pin_sets = element.find("pin-set")
    if len(pin_sets) > 1:
        notes.refuse("a <domain-config> has more than one <pin-set>", pin_sets[1].where)
    pins, expires = parent.pins, parent.expires
    if pin_sets:
        pins = tuple(_pin(pin, notes) for pin_set in pin_sets for pin in pin_set.find("pin"))
        expires = _expires(pin_sets[0], notes)
        if expires is None and notes.platform == "trustkit-android":
            expires = parent.expires
        if not pins:
            notes.add(
                "empty-pin-set", "error", "a <pin-set> has no <pin>: its domains are not pinned", pin_sets[0].where
            )
    enforce, subdomains = parent.enforce, parent.subdomains
    for trustkit in element.find("trustkit-config"):
        if "enforcePinning" in trustkit.attributes:
            enforce = trustkit.attributes["enforcePinning"].lower() == "true"
    for domain in element.find("domain")[-1:]:
        subdomains = _true(domain.attributes.get("includeSubdomains"), default=subdomains)
    anchors = _anchors(element, notes)
    return _Config(pins, expires, parent.anchors if anchors is None else anchors, enforce, subdomains)


def _pin(element: Element, notes: Notes) -> ConfiguredPin:
    digest = element.attributes.get("digest")
    exact = notes.platform == "trustkit-android"
    if digest is None or (digest if exact else digest.upper()) != "SHA-256":
        said = "no digest" if digest is None else f"the digest {text(digest, 40)}"
        notes.refuse(f"a <pin> has {said}, only SHA-256 is known", element.where)
    if element.children:
        notes.refuse("a <pin> holds elements", element.where)
    if not element.text:
        notes.refuse("a <pin> is empty", element.where)
        return ConfiguredPin("", None, problem="is empty", where=element.where)
    # A responder looks for the pin, not for the white space around it; TrustKit compares with it.
    return notes.pin(element.text if exact else element.text.strip(_SPACE), where=element.where)


def _expires(pin_set: Element, notes: Notes) -> str | None:
    expires = pin_set.attributes.get("expiration")
    if expires is None:
        return None
    day = android_expiry(expires)
    if day is None:
        notes.refuse(f'expiration="{text(expires, 40)}" is not a date as yyyy-MM-dd', pin_set.where)
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", expires):
        says = f'expiration="{text(expires, 40)}" is read as {day.isoformat()}'
        notes.add("odd-expiration", "error" if day.year < 1970 else "warning", says, pin_set.where)
    return expires


def _anchors(element: Element, notes: Notes, *, override: bool = False) -> tuple[Anchor, ...] | None:
    """The anchors that an element declares; None when it declares none and inherits."""
    lists = element.find("trust-anchors")
    if not lists:
        return None
    if len(lists) > 1:
        notes.refuse(f"<{element.name}> has more than one <trust-anchors>", lists[1].where)
    found = []
    for entry in (child for item in lists for child in item.find("certificates")):
        src = entry.attributes.get("src")
        if src not in {"system", "user", "wfa"} and not (src or "").startswith("@"):
            said = "no src" if src is None else f"src={text(src, 60)}"
            notes.refuse(f"<certificates> has {said}; system, user or a resource are known", entry.where)
        found.append(Anchor(src or "", bool(_true(entry.attributes.get("overridePins"), default=override))))
    if not found:
        says = "an empty <trust-anchors> trusts nothing: every connection fails"
        notes.add("no-trust-anchors", "error", says, lists[0].where)
    return tuple(found)


def _duplicates(rules: list[HostRule], notes: Notes) -> None:
    seen: set[str] = set()
    for rule in rules:
        host = rule.pattern.lower()
        if host and host in seen:
            notes.refuse(f"the domain {text(host, 80)} occurs twice", rule.where)
        seen.add(host)


def _lint_names(root: Element, notes: Notes) -> None:
    """Elements and attributes that Android skips without a word."""

    def visit(element: Element) -> None:
        known = _ATTRIBUTES.get(element.name, set())
        for attribute in element.attributes:
            if ":" not in attribute and attribute != "xmlns" and element.name in _ATTRIBUTES and attribute not in known:
                says = f"the attribute {text(attribute, 60)} of <{element.name}> is ignored"
                notes.ignored(says, attribute, known, element.where, slug="unknown-attribute", cutoff=0.55)
        for child in element.children:
            if child.name not in _PARENTS:
                says = f"the element <{text(child.name, 60)}> is ignored, with all that is in it"
                notes.ignored(says, child.name, _PARENTS, child.where, slug="unknown-element", form="<{}>")
            elif element.name not in _PARENTS[child.name]:
                says = f"<{child.name}> is ignored inside <{element.name}>; it belongs in <{_home(child.name)}>"
                notes.add("misplaced-element", "error", says, child.where)
            else:
                visit(child)

    visit(root)


def _home(name: str) -> str:
    return next(
        parent
        for parent in (ROOT, "domain-config", "pin-set", "trust-anchors", *sorted(_PARENTS[name]))
        if parent in _PARENTS[name]
    )


def _commented_out(root: Element, live: bool, notes: Notes) -> None:
    for element in root.walk():
        for line, comment in element.comments:
            count = len(re.findall(r"<pin\s", comment))
            if count or "<pin-set" in comment:
                said = f"{count} pins are" if count > 1 else "a pin is" if count else "a <pin-set> is"
                notes.commented_out(said, f"line {line}", live=live)
