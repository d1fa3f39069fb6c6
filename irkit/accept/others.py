"""Chromium's static pins and HPKP, curl, Python's fingerprints, and plain lists of pins.

Sources: Chromium's `transport_security_state.cc` and `http_security_headers.cc` for RFC 7469; curl's
`Curl_pin_peer_pubkey`, run against in the tests; urllib3's `assert_fingerprint`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

from irkit.accept.android import refused_pin
from irkit.accept.value import (
    Acceptance,
    Path,
    Question,
    judge_pins,
    let_through,
    match,
    matches,
    no,
    on_paths,
    unpinned,
)
from irkit.certificate import Pin
from irkit.pins.cover import rules_for
from irkit.pins.release import HostRule
from irkit.render import text
from irkit.trust import mozilla

__all__ = ["chromium", "curl", "pin_list", "python"]


def chromium(question: Question) -> Acceptance:
    """Static pins and HPKP (RFC 7469): no bad hash and one good one on the path; private roots bypass them."""
    refused = refused_pin(question)
    if refused:
        return unpinned("config-rejected", f"the pins are not noted: {refused}")
    rule = next(iter(rules_for(question.release, question.host)), None)
    verification = question.verify()
    if rule is None or not rule.pins:
        covered = rule is not None
        reason = f"no pin is for {text(question.host, 80)}"
        return let_through(question, verification, "no-pins" if covered else "no-rule", reason, rule)

    def judge(path: Path) -> Acceptance:
        for i, certificate in enumerate(path):
            bad = next((entry for entry in rule.pins if entry.bad and matches(entry, certificate)), None)
            if bad is not None:
                return replace(
                    no("pin", "forbidden: " + match(path, bad, i, rule), rule, path), certificate=certificate
                )
        good = [entry for entry in rule.pins if not entry.bad]
        return judge_pins(path, good, rule) if good else unpinned("no-pins", "only bad hashes are listed", rule, path)

    judged = replace(on_paths(question, verification, judge), rule=rule)
    if judged.answer in ("no", "unknown") and not rule.enforce:
        return judged.instead("unpinned", "not-enforced", "report only")
    if judged.why == "pin" and judged.answer == "no" and question.trust is not None and not _public(judged.path):
        reason = "the root is not a public one: browsers skip pins for roots installed locally, and report nothing"
        return judged.instead("unpinned", "private-root", reason)
    if question.release.platform == "hpkp" and judged.why == "pin":
        return replace(judged, reasons=(*judged.reasons, *_noted(judged, rule)))
    return judged


def _noted(judged: Acceptance, rule: HostRule) -> Iterator[str]:
    """What the answer rests on: HPKP counts where a browser has seen the header, for max-age seconds."""
    yield "this holds for browsers that noted the header less than max-age ago; Chromium 72 and Firefox 72 note none"
    if all(any(matches(entry, certificate) for certificate in judged.path) for entry in rule.pins):
        yield "every pin is on this path: a header without a backup pin is not noted (RFC 7469, section 4.3)"


def _public(path: Path) -> bool:
    return bool(path) and path[-1].pin in _public_roots()


@lru_cache(maxsize=1)
def _public_roots() -> frozenset[Pin | None]:
    return frozenset(root.pin for root in mozilla().roots)


def curl(question: Question) -> Acceptance:
    """`--pinnedpubkey`: the leaf's key, compared as text; checked even where verification is switched off."""
    return _leaf_only(question, check_host=True)


def python(question: Question) -> Acceptance:
    """urllib3's `assert_fingerprint`: the leaf's whole DER; setting it switches the check of the host name off."""
    return _leaf_only(question, check_host=False)


def pin_list(question: Question) -> Acceptance:
    """A plain list of pins: any certificate of the path."""
    return _simple(question, lambda path, rule: judge_pins(path, rule.pins, rule), check_host=True)


def _leaf_only(question: Question, *, check_host: bool) -> Acceptance:
    def judge(path: Path, rule: HostRule) -> Acceptance:
        return replace(judge_pins(path[:1], rule.pins, rule), path=path)

    return _simple(question, judge, check_host=check_host)


def _simple(question: Question, judge: Callable[[Path, HostRule], Acceptance], *, check_host: bool) -> Acceptance:
    verification = question.verify(check_host=check_host)
    rules = [rule for rule in rules_for(question.release, question.host) if rule.pins]
    if not rules:
        reason = f"no pin is for {text(question.host, 80)}"
        return let_through(question, verification, "no-rule", reason, None)
    rule = replace(rules[0], pins=tuple(entry for rule in rules for entry in rule.pins))
    return on_paths(question, verification, lambda path: replace(judge(path, rule), rule=rules[0]))
