"""What releases could ship instead: right pins, a stop to wrong ones, and last of all no pins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from irkit.accept import Acceptance, accepts
from irkit.certificate import Pin
from irkit.cohorts import Case
from irkit.facts import OWNED, Facts
from irkit.observations import explain
from irkit.pins import ConfiguredPin, HostRule, Platform, Release
from irkit.remedy.value import DAYS, MINUTES, Action, gains
from irkit.render import text

__all__ = ["disable_pinning", "emergency_update", "exposed", "pin_line", "stop_rollout"]

# One pin in each platform's syntax; `irkit pins show` writes whole configurations.
_LINES: dict[Platform, str] = {
    "android": '<pin digest="SHA-256">{base64}</pin>',
    "trustkit-android": '<pin digest="SHA-256">{base64}</pin>',
    "okhttp": '.add("{host}", "sha256/{base64}")',
    "ios": "<dict><key>SPKI-SHA256-BASE64</key><string>{base64}</string></dict>",
    "trustkit-ios": "<string>{base64}</string> in TSKPublicKeyHashes",
    "hpkp": 'pin-sha256="{base64}"',
    "curl": "--pinnedpubkey 'sha256//{base64}'",
}
_SYNTAX: dict[Platform, str] = {"chromium": "hpkp", "python": "curl", "list": "keys.toml"}


def pin_line(pin: Pin, platform: Platform, host: str) -> str:
    """A pin as one writes it into a platform's configuration; plain where the platform has no syntax of its own."""
    return _LINES.get(platform, "sha256/{base64}").format(base64=pin.base64, host=host)


def stop_rollout(facts: Facts, case: Case) -> Iterator[Action]:
    """For a release that refuses the owner's chain: no further users."""
    del facts  # every builder is called alike
    if names := ", ".join(text(opinion.release.name) for opinion in case.opinions):
        yield Action(
            "stop-rollout",
            f"Stop the rollout of {names}: every user it reaches is cut off.",
            ("Halt the staged rollout in the store's console.",),
            0.0,
            takes=MINUTES.partition(":")[0],
            why="It keeps the number of affected users from growing.",
        )


def exposed(facts: Facts, case: Case) -> Iterator[Action]:
    """For a release whose pins check nothing: what it did without them may have been seen."""
    host = text(facts.evidence.incident.host)
    if names := ", ".join(text(opinion.release.name) for opinion in case.opinions):
        yield Action(
            "treat-as-exposure",
            f"Take it that {names} goes without pinning for {host}, and tell the security team.",
            (
                f"Look {host} up in CT logs for certificates that you did not order.",
                "Decide whether what those users sent meanwhile (sessions, tokens) has to be renewed.",
            ),
            takes="hours",
            why="Until the update is out, any certificate of a trusted CA is accepted there.",
        )


def emergency_update(facts: Facts, case: Case) -> Iterator[Action]:
    """An update whose pins fit what is served, in the syntax of each platform, judged by that platform's rules."""
    releases = [opinion.release for opinion in case.opinions]
    if not releases:
        return
    names = ", ".join(text(release.name) for release in releases)
    pins = _right_pins(facts)
    steps = [*_replacements(facts, case)]
    host = text(facts.evidence.incident.host)
    for platform in dict.fromkeys(release.platform for release in releases):
        lines = " and ".join(pin_line(pin, platform, host) for pin in pins)
        if pins:
            steps.append(f"{platform}: {lines}.")
    if len(pins) > 1:
        syntax = _SYNTAX.get(releases[0].platform, releases[0].platform)
        steps.append(f"irkit pins show {host} --backup {pins[1]} --syntax {syntax}")
    elif pins:
        steps.append("irkit pins new-backup backup.key   # no backup key is listed: make one, and pin it too")
    else:
        steps.append("Have the owner of the servers confirm the key first: a key that is merely seen is not pinned.")
    steps.append("Before it ships: irkit pins check NEW-PIN-FILE, and irkit triage with it in [[release]].")
    restores, by_release = gains(facts, case, lambda release: _updated(facts, release, pins)) if pins else (None, ())
    yield Action(
        "emergency-update", f"Ship an update of {names} with the right pins.", tuple(steps), restores, by_release,
        DAYS, why="It reaches users only as they update.",
    )  # fmt: skip


def _right_pins(facts: Facts) -> tuple[Pin, ...]:
    """The served leaf key, if it is the owner's, and a backup; nothing is pinned because somebody saw it."""
    served = None if facts.chain is None else facts.chain.leaf.pin
    if served is None or not (facts.owners(served) or facts.pinned_leaf(served)):
        return ()
    inventory = facts.evidence.inventory
    listed = sorted(() if inventory is None else inventory.keys, key=lambda key: key.status != "backup")
    spare = [k.pin for k in listed if k.role == "leaf" and facts.status(k.pin) in OWNED and k.pin != served]
    return (served, *spare[:1])


def _updated(facts: Facts, release: Release, pins: tuple[Pin, ...]) -> Acceptance:
    evidence = facts.evidence
    entries = tuple(
        ConfiguredPin(pin.base64, pin, scope="leaf" if release.platform in ("ios", "curl") else "any") for pin in pins
    )
    shipped = replace(release, rules=(HostRule(evidence.incident.host, pins=entries),), rejected="")
    assert facts.chain is not None
    return accepts(shipped, facts.chain, host=evidence.incident.host, at=evidence.now, trust=evidence.trust)


def _replacements(facts: Facts, case: Case) -> Iterator[str]:
    for opinion in case.opinions:
        explained = explain(facts, opinion)
        if explained is not None and explained[1].right_pin is not None:
            entry, explanation = explained
            source = text(opinion.release.source)
            yield f"In {source}, replace {text(entry.text, 80)} by {explanation.right_pin}."


def disable_pinning(facts: Facts, case: Case) -> Iterator[Action]:
    """The last resort, where the chain served is the owner's beyond doubt."""
    chain, evidence = facts.chain, facts.evidence
    if chain is None or not facts.owners(chain.leaf.pin):
        return
    restores, by_release = gains(
        facts,
        case,
        lambda release: accepts(
            replace(release, rules=(), rejected=""), chain, host=evidence.incident.host, at=evidence.now,
            trust=evidence.trust,
        ),
    )  # fmt: skip
    if restores:
        host = text(evidence.incident.host)
        steps = (
            "Only with the consent of whoever answers for security, in writing, and with a date on which it ends.",
            f"For {host} alone, by a signed switch; failing that by an update, which can carry right pins as well.",
        )
        yield Action(
            "disable-pinning", f"The last resort: switch pinning off for {host} in those releases.", steps, restores,
            by_release, DAYS,
            weakens="everything that pinning protects: any certificate of any trusted CA is accepted, an "
            "interceptor's too",
            why="Nothing quicker brings these users back.",
        )  # fmt: skip
