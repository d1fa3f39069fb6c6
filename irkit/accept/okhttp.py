"""OkHttp's CertificatePinner, on Android and on a JVM.

Sources: `CertificatePinner` and `BasicCertificateChainCleaner` of OkHttp 3.13.1, run against in the tests, and of 4.12,
read. Patterns are checked, and `**.` is known, from 4.3.0 on.
"""

from __future__ import annotations

from dataclasses import replace

from irkit.accept.android import refused_pin
from irkit.accept.value import Acceptance, Path, Question, across, judge_pins, let_through, no, on_paths
from irkit.certificate import Certificate
from irkit.pins.pattern import checks_patterns, okhttp_pattern
from irkit.pins.release import HostRule
from irkit.render import text
from irkit.trust import issuers

__all__ = ["okhttp"]

_SIGNERS = 9


def okhttp(question: Question) -> Acceptance:
    """Any certificate of the cleaned chain, against the pins of every pattern that matches."""
    if refused := refused_pin(question):
        return no("config-rejected", f"CertificatePinner throws when it is built: {refused}")
    checked = checks_patterns(question.release.library)
    if checked is not None:
        return _judged(question, checked=checked)
    new, old = _judged(question, checked=True), _judged(question, checked=False)
    if new.answer == old.answer:
        return new
    return replace(across([("OkHttp 4.3.0 and newer", new), ("older", old)], "version"), answer="unknown")


def _judged(question: Question, *, checked: bool) -> Acceptance:
    rules: list[HostRule] = []
    for candidate in question.release.rules:
        try:
            matches = okhttp_pattern(candidate.pattern, checked=checked)
        except ValueError as error:
            reason = f"CertificatePinner throws on the pattern {text(candidate.pattern, 80)}: {error}"
            return no("config-rejected", reason, candidate)
        if matches(question.host):
            rules.append(candidate)
    verification = question.verify(expired_roots=True)
    entries = tuple(entry for rule in rules for entry in rule.pins)
    rule = rules[0] if rules else None
    if not entries:
        reason = f"no pattern covers {text(question.host, 80)}"
        return let_through(question, verification, "no-rule", reason, rule)

    def deciding(judged: Acceptance) -> Acceptance:
        by = next((r for r in rules if any(e.pin is not None and e.pin == judged.pin for e in r.pins)), rule)
        return replace(judged, rule=by)

    def judge(path: Path) -> Acceptance:
        android = deciding(judge_pins(path, entries, rule, java=True))
        if question.trust is None or not verification.ok:
            return android
        cleaned = clean(question)
        jvm = (
            deciding(judge_pins(cleaned, entries, rule, java=True))
            if cleaned
            else no("trust", "no cleaned chain", rule)
        )
        return android if android.answer == jvm.answer else across([("Android", android), ("JVM", jvm)], "path")

    return on_paths(question, verification, judge)


def clean(question: Question) -> Path:
    """The chain as `BasicCertificateChainCleaner` makes it; empty where it throws.

    The first anchor by subject and signature, else the first presented certificate that signed the last; no way back.
    """
    chain = question.chain
    if question.trust is None or not chain:
        return ()
    queue, result, anchored = list(chain[1:]), [chain[0]], False
    for _ in range(_SIGNERS):
        last = result[-1]
        trusted = next(issuers(last, question.trust.roots), None)
        if trusted is not None:
            if len(result) > 1 or last != trusted:
                result.append(trusted)
            if next(issuers(trusted, (trusted,)), None) is not None:
                return tuple(result)
            anchored = True
            continue
        signer: Certificate | None = next(issuers(last, queue), None)
        if signer is None:
            return tuple(result) if anchored else ()
        queue.remove(signer)
        result.append(signer)
    return ()
