"""What will hurt in the pins of a release: the lint behind `irkit pins check`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from irkit.certificate import Pin
from irkit.pins.cover import pattern_problem, rules_for, unclear_host, why_not
from irkit.pins.grammar import android_expiry
from irkit.pins.keys import Inventory, InventoryKey
from irkit.pins.release import HostRule, PinFinding, Release
from irkit.render import text

__all__ = ["check_pins", "expiry_day"]

SOON = timedelta(days=60)  # an app update reaches most users within it
_SEVERITIES = ("error", "warning", "info")


def check_pins(
    releases: Release | Sequence[Release],
    *,
    host: str | None = None,
    now: datetime,
    inventory: Inventory | None = None,
) -> tuple[PinFinding, ...]:
    """Says what will hurt.

    Args:
        releases: One release, or several of the same app, which are compared with each other too.
        host: The host that they are meant to pin; None leaves coverage aside.
        now: Aware; expiry is judged at it.
        inventory: The owner's keys: it shows backups, retired keys and planned rotations.

    Returns:
        What the readers and the lint found: errors (connections break, or pinning is silently off) first.
    """
    several = (releases,) if isinstance(releases, Release) else tuple(releases)
    found: list[PinFinding] = []
    for release in several:
        own = [*release.findings, *_release(release, host, now, inventory)]
        if len(several) > 1:
            own = [replace(item, where=f"{_label(release)}: {item.where}".rstrip(": ")) for item in own]
        found += own
    if len(several) > 1:
        found += _disagreements(several, host)
    return tuple(sorted(dict.fromkeys(found), key=lambda item: _SEVERITIES.index(item.severity)))


def _label(release: Release) -> str:
    return text(release.source or release.name, 80)


def _release(release: Release, host: str | None, now: datetime, inventory: Inventory | None) -> Iterator[PinFinding]:
    pinned = [rule for rule in release.rules if rule.pins]
    if not pinned and not any(item.severity == "error" for item in release.findings):
        yield PinFinding("nothing-pinned", "warning", "no host is pinned here")
    for rule in release.rules:
        problem = pattern_problem(release, rule.pattern)
        if problem and not any(item.id == "bad-pattern" and item.where == rule.where for item in release.findings):
            says = f"the pattern {text(rule.pattern, 80)} matches no host: {problem}"
            yield PinFinding("bad-pattern", "error", says, rule.where)
        yield from _expiry(release, rule, now)
    for rule in pinned:
        yield from _pins(release, rule)
        yield from _against(inventory, rule) if inventory is not None else ()
    yield from _coverage(release, host) if host else ()
    if inventory is not None:
        yield from _other_hosts(release, inventory)
        yield from _rotations(release, inventory, now)


def _expiry(release: Release, rule: HostRule, now: datetime) -> Iterator[PinFinding]:
    day = expiry_day(release.platform, rule.expires) if rule.expires else None
    if day is None or not rule.pins:
        return
    # Android takes the start of the day in each device's time zone, so the last devices follow 12 hours later.
    at = datetime.combine(day, time(), UTC) + timedelta(hours=0 if release.platform == "trustkit-ios" else 12)
    who = text(rule.pattern, 80)
    if now >= at:
        says = f"the pins of {who} expired on {day.isoformat()}: nothing is pinned since"
        yield PinFinding("pin-set-expired", "error", says, rule.where)
    elif at - now <= SOON:
        says = f"the pins of {who} expire on {day.isoformat()}, in {(at - now).days} days: then nothing is pinned"
        yield PinFinding("pin-set-expiring", "warning", says, rule.where)


def expiry_day(platform: str, expires: str) -> date | None:
    """The day on which a pin set ends, by its platform's grammar; None where that is none."""
    if platform in {"android", "trustkit-android"}:
        return android_expiry(expires)
    try:
        return date.fromisoformat(expires)
    except ValueError:
        return None


def _pins(release: Release, rule: HostRule) -> Iterator[PinFinding]:
    """What the pins of one rule show by themselves."""
    who = text(rule.pattern, 80)
    good = [entry for entry in rule.pins if not entry.bad]
    usable = {entry.pin for entry in good if entry.pin is not None and not entry.problem}
    unknown = any(entry.unread for entry in good)
    if not unknown:
        for scope in ("leaf", "ca", "any"):
            part = [entry for entry in good if entry.scope == scope]
            there = {entry.pin for entry in part if entry.pin in usable}
            what = {"leaf": "leaf pin", "ca": "CA pin", "any": "pin"}[scope]
            if part and len(there) == 1 and release.platform != "python":
                says = f"{who} has one usable {what}: when its key goes, every connection fails. Add a backup"
                yield PinFinding("one-pin", "warning", says, rule.where)
            elif part and not there:
                says = f"{who} has no usable {what}: no key can match"
                yield PinFinding("no-usable-pin", "error", says, rule.where)
    if rule.lists >= {"leaf", "ca"}:
        says = f"{who} has a leaf list and a CA list: a path must satisfy both"
        yield PinFinding("both-lists", "info", says, rule.where)
    elif release.platform == "ios" and len(usable) > 1:
        level = "leaf" if "leaf" in rule.lists else "CA"
        yield PinFinding("one-level", "info", f"all pins of {who} are in the {level} list", rule.where)
    if not rule.enforce:
        yield PinFinding("not-enforced", "warning", f"a mismatch for {who} is reported only", rule.where)
    decoded = [(entry.pin, entry.scope) for entry in good if entry.pin is not None]
    if len(set(decoded)) < len(decoded):
        yield PinFinding("pin-twice", "info", f"a pin of {who} occurs twice", rule.where)
    if rule.subdomains and rule.pattern.strip("*.").count(".") == 1 and release.platform != "chromium":
        says = f"every subdomain of {who} is pinned: those that are served with another key will fail"
        yield PinFinding("broad-pattern", "info", says, rule.where)


_STATUS: dict[str, tuple[Literal["error", "warning"], str]] = {
    "retired": ("warning", "is retired: it was served once"),
    "compromised": ("error", "is compromised: whoever has the key passes"),
    "staging": ("error", "belongs to another environment"),
}


def _against(inventory: Inventory, rule: HostRule) -> Iterator[PinFinding]:
    """What the owner's inventory shows about the pins of a rule."""
    who = text(rule.pattern, 80)
    entries = [entry for entry in rule.pins if entry.pin is not None and not entry.bad and entry.of == "spki"]
    keys: list[InventoryKey] = []
    for entry in entries:
        key = inventory.key(entry.pin)
        where = entry.where or rule.where
        if inventory.inspection(entry.pin) is not None:
            says = f"{entry.pin} is the CA of a TLS inspection: whoever runs it passes"
            yield PinFinding("inspection-pinned", "error", says, where)
        elif key is None:
            yield PinFinding("key-unknown", "warning", f"{entry.pin} is not in the inventory", where)
        else:
            keys.append(key)
            if key.status in _STATUS:
                severity, says = _STATUS[key.status]
                name = f" ({text(key.name, 60)})" if key.name else ""
                yield PinFinding(f"key-{key.status}", severity, f"{entry.pin}{name} {says}", where)
    if entries and not any(key.status == "active" for key in keys):
        yield PinFinding("no-active-key", "error", f"{who} pins none of the inventory's active keys", rule.where)
    if entries and not any(key.status in {"backup", "next"} for key in keys):
        yield PinFinding("no-backup", "warning", f"{who} pins no backup or next key of the inventory", rule.where)
    roles = [key.role for key in keys if key.status in {"active", "next", "backup"}]
    if len(roles) > 1 and len(keys) == len(entries) and len(set(roles)) == 1:
        says = f"all pins of {who} are of one level, {roles.pop()}: one event can take them all"
        yield PinFinding("one-level", "warning", says, rule.where)


def _coverage(release: Release, host: str) -> Iterator[PinFinding]:
    shown = text(host, 80)
    if unclear := unclear_host(host):
        yield PinFinding("host-unclear", "error", f"whether {shown} is pinned can't be said: {unclear}")
        return
    rules = rules_for(release, host)
    if not rules:
        if release.rules:
            why = why_not(release, host)
            yield PinFinding("host-not-covered", "error", f"{shown} is not pinned" + (f": {why}" if why else ""))
    elif not any(rule.pins or rule.lists for rule in rules):
        says = f"{shown} is not pinned: the rule {text(rules[0].pattern, 80)} that is for it has no pins"
        yield PinFinding("host-not-covered", "error", says, rules[0].where)


def _pinned(rules: Iterable[HostRule]) -> frozenset[Pin]:
    """The pins that a key can match; placeholders are left out."""
    entries = (entry for rule in rules for entry in rule.pins if not entry.bad and not entry.problem)
    return frozenset(entry.pin for entry in entries if entry.pin is not None)


def _other_hosts(release: Release, inventory: Inventory) -> Iterator[PinFinding]:
    """Hosts of the inventory that a rule catches though their keys are not among its pins."""
    active: dict[str, list[InventoryKey]] = {}
    for key in inventory.keys:
        for name in key.hosts if key.status == "active" else ():
            active.setdefault(name, []).append(key)
    for name, keys in active.items():
        rules = tuple(rule for rule in rules_for(release, name) if rule.pins)
        if rules and not any(rule.pattern == "*" for rule in rules) and not _pinned(rules) & {k.pin for k in keys}:
            if any(key.role != "leaf" for key in keys) or _same(rules[0].pattern, name):
                continue
            says = f"{text(rules[0].pattern, 80)} covers {text(name, 80)} too, whose active key is not among its pins"
            yield PinFinding("over-covered", "error", says, rules[0].where)


def _same(pattern: str, host: str) -> bool:
    return pattern.rstrip(".").lower() == host


def _rotations(release: Release, inventory: Inventory, now: datetime) -> Iterator[PinFinding]:
    for rotation in inventory.rotations:
        rules = tuple(rule for rule in rules_for(release, rotation.host) if rule.pins)
        pins = _pinned(rules)
        if rotation.at > now and rotation.old in pins and rotation.new not in pins:
            ticket = f" ({text(rotation.ticket, 60)})" if rotation.ticket else ""
            says = (
                f"the rotation of {text(rotation.host, 80)} on {rotation.at:%Y-%m-%d}{ticket} goes to a key that is not"
            )
            yield PinFinding("rotation-not-pinned", "error", f"{says} pinned: {rotation.new}", rules[0].where)


_DEPTH = {"ios": "one label", "android": "any depth", "trustkit-android": "any depth", "trustkit-ios": "any depth"}


def _disagreements(releases: tuple[Release, ...], host: str | None) -> Iterator[PinFinding]:
    """Where releases that should pin alike don't."""
    names = [rule.pattern.lower().lstrip("*").strip(".") for release in releases for rule in release.rules if rule.pins]
    for name in [host] if host else [name for name in dict.fromkeys(names) if name]:
        rules = {release: [rule for rule in rules_for(release, name) if rule.pins] for release in releases}
        covered = [release for release in releases if rules[release]]
        missing = [release for release in releases if not rules[release] and any(r.pins for r in release.rules)]
        shown = text(name, 80)
        if covered and missing:
            says = f"{shown} is pinned by {_all(covered)}, and not by {_all(missing)}"
            yield PinFinding("platforms-disagree", "warning", says)
        pins = {release: _pinned(rules[release]) for release in covered}
        union = frozenset[Pin]().union(*pins.values())
        for pin in sorted(union):
            without = [release for release in covered if pin not in pins[release]]
            if without:
                says = f"{shown}: {pin} is pinned by {_all(r for r in covered if pin in pins[r])}, and not by "
                yield PinFinding("platforms-disagree", "warning", says + _all(without))
        depths = {_DEPTH[r.platform] for r in covered if r.platform in _DEPTH and any(x.subdomains for x in rules[r])}
        if len(depths) > 1:
            says = f"{shown} with its subdomains means one label on iOS, and any depth elsewhere"
            yield PinFinding("subdomains-differ", "warning", says)


def _all(releases: Iterable[Release]) -> str:
    return ", ".join(f"{_label(release)} ({release.platform})" for release in releases)
