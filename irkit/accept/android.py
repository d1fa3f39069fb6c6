"""Android's network security configuration, and TrustKit Android on top of it.

Sources: AOSP `android.security.net.config` (`ApplicationConfig`, `NetworkSecurityTrustManager.checkPins`, `PinSet`),
Conscrypt's `TrustManagerImpl`, TrustKit-Android's `PinningTrustManager`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from irkit.accept.value import Acceptance, Devices, Path, Question, across, judge_pins, let_through, no, on_paths
from irkit.pins.cover import android_rule
from irkit.pins.grammar import android_expiry, read_pin
from irkit.pins.release import Anchor, ConfiguredPin, HostRule
from irkit.render import text

__all__ = ["android", "refused_pin", "trustkit_android"]

# The first and the last time zone to see a date begin.
_FIRST, _LAST = timedelta(hours=14), timedelta(hours=-12)


def android(question: Question) -> Acceptance:
    """Android's own pinning: one rule, the first trusted path, any certificate of it."""
    refused = refused_pin(question) or _refused_expiry(question)
    if refused:
        return no(
            "config-rejected", f"Android refuses the configuration, the app breaks at its first TLS use: {refused}"
        )
    rule = android_rule(question.release.rules, question.host)
    return _foreign_roots(question, _judged(question, rule), rule)


def trustkit_android(question: Question) -> Acceptance:
    """TrustKit Android: below Android 7 its own check with pins compared as text, from 7 on Android's."""
    refused = refused_pin(question) or _refused_expiry(question)
    if refused:
        return no("config-rejected", f"TrustKit throws when the app starts: {refused}")
    rule = android_rule(question.release.rules, question.host, fold=False)
    own = _judged(question, rule)
    # Android itself reads pins that TrustKit's comparison of texts can't match.
    decoded = tuple(replace(e, pin=read_pin(e.text, "android")[0].pin) if e.pin is None else e for e in _pins(rule))
    folded = android_rule(question.release.rules, question.host)
    if folded == rule and decoded == _pins(rule):
        return own
    delegated = _judged(question, replace(rule, pins=decoded) if rule is not None else folded)
    return across([("Android 7 and newer", delegated), ("older", own)], "version")


def refused_pin(question: Question) -> str:
    """Why the platform refuses a pin of the release; empty where it doesn't."""
    for rule in question.release.rules:
        for entry in rule.pins:
            if entry.pin is not None or entry.unread:
                continue
            read, refused = read_pin(entry.text, question.release.platform)
            if refused:
                return f"the pin {text(entry.text, 80)} {read.problem}"
    return ""


def _refused_expiry(question: Question) -> str:
    for rule in question.release.rules:
        if rule.expires is not None and android_expiry(rule.expires) is None:
            return f"the expiration {text(rule.expires, 40)} is not a date as yyyy-MM-dd"
    return ""


def _pins(rule: HostRule | None) -> tuple[ConfiguredPin, ...]:
    return rule.pins if rule is not None else ()


def _judged(question: Question, rule: HostRule | None) -> Acceptance:
    """The trusted path held against a rule's pins."""
    # Conscrypt doesn't look at a trust anchor's dates.
    verification = question.verify(expired_roots=True)
    if rule is None:
        reason = f"no domain of the configuration covers {text(question.host, 80)}"
        return let_through(question, verification, "no-rule", reason, None)
    if not rule.pins:
        reason = f"the configuration for {text(rule.pattern, 80)} has no pins"
        return let_through(question, verification, "no-pins", reason, rule)

    def judge(path: Path) -> Acceptance:
        judged = judge_pins(path, rule.pins, rule, java=True)
        return _overridden(judged, (*rule.anchors, *_debug(question))) if judged.answer == "no" else judged

    pinned = replace(on_paths(question, verification, judge), rule=rule)
    if pinned.why in ("trust", "host"):
        return pinned
    if pinned.answer in ("no", "unknown") and not rule.enforce:
        return pinned.instead("unpinned", "not-enforced", "a mismatch is only reported")
    return _while_in_force(question, rule, pinned)


def _debug(question: Question) -> tuple[Anchor, ...]:
    """The anchors of debug-overrides, which a debuggable app has besides those of every rule."""
    debuggable = any(finding.id == "debuggable" for finding in question.release.findings)
    return question.release.debug_anchors if debuggable else ()


def _overridden(judged: Acceptance, anchors: Sequence[Anchor]) -> Acceptance:
    """A refusal, where anchors may skip the pins: which store a path's anchor is in, the given roots don't say."""
    sources = ", ".join(dict.fromkeys(text(anchor.src, 60) for anchor in anchors if anchor.override_pins))
    if not sources:
        return judged
    reason = f"overridePins: a device where the path ends at a certificate of {sources} skips the pins"
    devices: Devices = ((f"anchor in {sources}", "unpinned"), ("another anchor", "no"))
    return judged.instead("on some devices", "override", reason, devices)


def _while_in_force(question: Question, rule: HostRule, pinned: Acceptance) -> Acceptance:
    """The answer with the expiry: pins hold through 00:00:00.000 at the start of the date, in the device's zone."""
    day = None if rule.expires is None else android_expiry(rule.expires)
    if day is None or day.year >= 9999:
        return pinned
    if question.at is None:
        return pinned.undated(day)
    written = f"the pin-set expired at the start of {day.isoformat()}: any trusted chain is accepted"
    ended = _ended(day, question.at, question.tz)
    if ended is True:
        return pinned.instead("unpinned", "expired-config", written)
    if ended is False or pinned.answer != "no":
        return pinned
    reason = f"{written}, which has come in some time zones and not in others"
    devices: Devices = ((f"zones where {day.isoformat()} has begun", "unpinned"), ("other zones", "no"))
    return pinned.instead("on some devices", "time-zone", reason, devices)


def _ended(day: date, at: datetime, tz: tzinfo | None) -> bool | None:
    """Whether the first midnight of a day has passed; None where it has in some zones only."""
    if day.year < 1970:
        return True
    midnight = datetime.combine(day, time())
    if tz is not None:
        return at > midnight.replace(tzinfo=tz)
    first, last = midnight.replace(tzinfo=UTC) - _FIRST, midnight.replace(tzinfo=UTC) - _LAST
    if at > last:
        return True
    return False if at <= first else None


def _foreign_roots(question: Question, judged: Acceptance, rule: HostRule | None) -> Acceptance:
    """An app that trusts only roots it ships is not refuted by a store that lacks them."""
    anchors = (*(() if rule is None else rule.anchors), *_debug(question))
    shipped = [text(anchor.src, 60) for anchor in anchors if anchor.src.startswith("@")]
    if judged.why != "trust" or question.trust is None or not shipped:
        return judged
    reason = f"the app has trust anchors of its own ({', '.join(shipped)}), which the given roots may lack"
    return judged.instead("unknown", "unconfirmed", reason)
