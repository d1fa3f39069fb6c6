"""Apple's NSPinnedDomains and TrustKit for iOS.

Sources: Security's `SecPolicy.c` (parseNSPinnedDomains), `SecPolicyServer.c` and `SecTrustServer.c`; TrustKit 3.0.0's
`parse_configuration.m`, `ssl_pin_verifier.m` and `TSKPinningValidator.m`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime

from irkit.accept.android import refused_pin
from irkit.accept.value import Acceptance, Path, Question, find, judge_pins, let_through, match, mismatch, no, on_paths
from irkit.certificate import Certificate
from irkit.pins.cover import rules_for
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.pins.suffix import doubtful_suffix
from irkit.pins.trustkit import refusals
from irkit.render import text

__all__ = ["ios", "trustkit_ios"]


def ios(question: Question) -> Acceptance:
    """NSPinnedDomains: the leaf list and the CA list must both be satisfied, on any path that can be built."""
    host, rules = question.host, rules_for(question.release, question.host)
    verification = question.verify()
    rule = rules[0] if rules else None
    entries = tuple(entry for rule in rules for entry in rule.pins)
    lists = {name for rule in rules for name in rule.lists} | {entry.scope for entry in entries}
    if not lists:
        if rule is None:
            reason = f"no entry of NSPinnedDomains covers {text(host, 80)}"
            return let_through(question, verification, "no-rule", reason, None)
        reason = f"the entry for {text(rule.pattern, 80)} has neither a leaf nor a CA list"
        return let_through(question, verification, "no-pins", reason, rule)
    judged = on_paths(question, verification, lambda path: _both(path, lists, entries, rule), any_path=True)
    return replace(judged, rule=rule)


_LISTS = {"leaf": "NSPinnedLeafIdentities", "ca": "NSPinnedCAIdentities", "any": "the pins"}


def _both(path: Path, lists: AbstractSet[str], entries: Sequence[ConfiguredPin], rule: HostRule | None) -> Acceptance:
    """One path: every list that is there needs a match. What an empty one does, sources contradict each other on."""
    said, found, empty = [], None, []
    for name in sorted(lists, reverse=True):
        pins = [entry for entry in entries if entry.scope == name]
        if not pins:
            empty.append(name)
            continue
        hit = find(pins, path)
        if hit is None:
            first, *more = mismatch(path, pins)
            if name == "ca" and len(path) < 2:
                first = f"there is no certificate above the leaf; {first}"
            return Acceptance("no", "pin", (f"{_LISTS[name]}: {first}", *more), rule=rule, path=path)
        found = found or hit
        said.append(match(path, hit[0], hit[1], rule))
    if empty or found is None:
        names = " and ".join(_LISTS[name] for name in empty)
        reason = f"{names} is there and empty: whether Apple then refuses every chain or pins nothing is not confirmed"
        return Acceptance("unknown", "unconfirmed", (reason, *said), rule=rule, path=path)
    return Acceptance("yes", "pin", tuple(said), path[found[1]], found[0].pin, rule, path)


def trustkit_ios(question: Question) -> Acceptance:
    """TrustKit: any certificate of the evaluated chain, from the root down; a key of a kind it doesn't know blocks."""
    rules, host = question.release.rules, question.host
    if refused := refused_pin(question) or next((says for _, says in refusals(rules)), ""):
        return no("config-rejected", f"TrustKit throws when the app starts: {refused}")
    rule = next(iter(rules_for(question.release, host)), None)
    verification = question.verify()
    if rule is None:
        return let_through(question, verification, "no-rule", f"no pinned domain covers {text(host, 80)}", None)
    if rule.excluded:
        reason = f"{text(rule.pattern, 80)} is excluded from its parent's pins"
        return let_through(question, verification, "excluded", reason, rule)
    if not rule.pins:
        return let_through(question, verification, "no-pins", f"{text(rule.pattern, 80)} has no pins", rule)
    judged = replace(on_paths(question, verification, lambda path: _from_the_root(path, rule)), rule=rule)
    if judged.why in ("trust", "host"):
        return judged
    if unsure := _not_followed(question.release, rules):
        return judged.instead("unknown", "unconfirmed", unsure)
    if rule.expires is not None:
        judged = _while_in_force(rule.expires, question.at, judged)
    if judged.answer in ("no", "unknown") and not rule.enforce and judged.certificate is None:
        return judged.instead("unpinned", "not-enforced", "TSKEnforcePinning is NO: a mismatch is only reported")
    return judged


def _not_followed(release: Release, rules: Sequence[HostRule]) -> str:
    """Which of TrustKit's rules would have to be known to answer; empty for none."""
    suffix = next((rule.pattern for rule in rules if rule.subdomains and doubtful_suffix(rule.pattern)), None)
    if suffix is not None:
        return f"{text(suffix, 80)} looks like a public suffix, whose subdomains TrustKit refuses to pin"
    if re.search(r"(?<![\d.])1\.\d", release.library) and any(f.id == "key-kinds" for f in release.findings):
        return "TrustKit 1 hashes only keys of the kinds in TSKPublicKeyAlgorithms, which irkit does not follow"
    return ""


def _from_the_root(path: Path, rule: HostRule) -> Acceptance:
    for i in range(len(path) - 1, -1, -1):
        if not _known_kind(path[i]):
            says = f"TrustKit can't hash the key of {text(path[i].subject, 80)} ({text(path[i].key)}) and blocks"
            return Acceptance("no", "pin", (says,), path[i], None, rule, path)
        judged = judge_pins((path[i],), rule.pins, rule, java=True)
        if judged.answer == "yes":
            hit = next(entry for entry in rule.pins if entry.pin == judged.pin)
            return replace(judged, path=path, reasons=(match(path, hit, i, rule),))
    if any(entry.unread for entry in rule.pins):
        return replace(judge_pins(path, rule.pins, rule), path=path)
    return Acceptance("no", "pin", mismatch(path, rule.pins), rule=rule, path=path)


def _known_kind(certificate: Certificate) -> bool:
    return certificate.key in {"RSA 2048", "RSA 3072", "RSA 4096", "EC secp256r1", "EC secp384r1"}


def _while_in_force(expires: str, at: datetime | None, judged: Acceptance) -> Acceptance:
    """TSKExpirationDate: 00:00 UTC of that day; then TrustKit does nothing."""
    date = re.fullmatch(r"(\d{4})-(\d\d?)-(\d\d?)", expires.strip(), re.ASCII)
    try:
        end = datetime(int(date[1]), int(date[2]), int(date[3]), tzinfo=UTC) if date else None
    except ValueError:
        end = None
    if end is None:
        if judged.answer != "no":
            return judged
        reason = f"what TrustKit makes of the date {text(expires, 40)} is not confirmed; it may never expire"
        return judged.instead("unknown", "unconfirmed", reason)
    if at is None:
        return judged.undated(end.date())
    if at > end:
        reason = f"the pins expired at {end:%F} 00:00 UTC: TrustKit leaves the chain to the system"
        return judged.instead("unpinned", "expired-config", reason)
    return judged
