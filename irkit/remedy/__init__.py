"""What to do: actions whose effect is worked out from the releases' own pins, in order, and what not to do.

Each chain and key that the servers could present, and each update that could ship, is put to `irkit.accepts`; what it
would bring back is the failing validations of the releases that say yes. Pure, as the verdict is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from irkit.cohorts import Case, cases
from irkit.evidence import Evidence
from irkit.facts import Facts, establish
from irkit.remedy import network, server, shipped
from irkit.remedy.value import DAYS, Action, Remediation
from irkit.verdict import CohortVerdict, Verdict

__all__ = ["Action", "Remediation", "remedies"]

_DO_NOT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mitm": (
            "Do not disable or loosen pinning: it is what keeps these users from the interceptor.",
            "Do not add the key that was seen to any pin list, and do not ship an update that accepts it.",
            "Do not tell users to install a certificate or to switch the check off.",
        ),
        "inconclusive": (
            "Do not disable or loosen pinning before the deciding check is done: this can still be a MITM.",
            "Do not add a key to pins because it was seen; add it when its owner has confirmed it.",
        ),
        "rotation": ("Do not disable pinning: serving a key that the releases pin brings them back with it on.",),
        "misconfiguration": ("Do not disable pinning for all releases: the others are right.",),
    }
)
_SERVED_WRONG = ("wrong-certificate-served", "incomplete-chain", "dual-certificate")
# Where which key is served makes no difference.
_ANY_KEY = ("pin-set-expired", "host-pattern-mismatch", "config-rejected")
# With less than this brought back quickly, the last resort is named at all.
_ENOUGH = 0.99


def remedies(evidence: Evidence, verdict: Verdict) -> Remediation:
    """Works out what to do about a verdict, the gravest cohort first.

    Args:
        evidence: What the verdict was reached from.
        verdict: As `irkit.classify` gave it.

    Returns:
        Actions by cohort; within one those that weaken nothing first, then the quick ones, then by the share they
        restore. Switching pinning off is the last resort, and not among them while any cohort may be a mitm.
    """
    facts = establish(evidence)
    found: dict[tuple[str, str], Action] = {}
    by_cohort = {case.cohort: case for case in cases(facts)}
    safe = not {judged.verdict for judged in verdict.cohorts} & {"mitm", "inconclusive"}
    for judged in verdict.cohorts:
        case = by_cohort.get(judged.cohort, Case(judged.cohort, "unsure"))
        actions = sorted(_actions(facts, case, judged), key=_order)
        if safe and judged.verdict in ("rotation", "misconfiguration") and not _quickly(actions):
            actions += shipped.disable_pinning(facts, case)
        for action in actions:
            found.setdefault((action.action, action.title), action)
    do_not = dict.fromkeys(line for judged in verdict.cohorts for line in _DO_NOT.get(judged.verdict, ()))
    return Remediation(tuple(found.values()), tuple(do_not))


def _order(action: Action) -> tuple[bool, bool, bool, float]:
    grows = action.action != "stop-rollout"  # what makes it worse by the minute is stopped first
    return action.weakens_pinning, grows, action.takes == DAYS, -(action.restores or 0)


def _quickly(actions: list[Action]) -> bool:
    return any((action.restores or 0) >= _ENOUGH and action.takes != DAYS for action in actions)


def _actions(facts: Facts, case: Case, judged: CohortVerdict) -> Iterator[Action]:
    cause = judged.cause
    match judged.verdict:
        case "mitm":
            yield from (
                network.origin_replaced(facts)
                if cause == "origin-replaced"
                else network.intercepted(facts, case, cause)
            )
        case "rotation":
            yield from _served(facts, case, cause)
            yield from shipped.emergency_update(facts, case)
        case "misconfiguration" if cause in _SERVED_WRONG:
            yield from _served(facts, case, cause)
        case "misconfiguration":
            if cause != "pin-set-expired":
                yield from shipped.stop_rollout(facts, case)
            if case.kind in ("silent", "lapsed"):
                yield from shipped.exposed(facts, case)
            if cause not in _ANY_KEY:
                yield from server.switch_keys(facts, case)
            yield from shipped.emergency_update(facts, case)
        case "not-a-pin-failure":
            if cause == "certificate-expired":
                yield from server.renew(facts, case)
            if cause == "chain-untrusted":
                yield from server.serve_again(facts, case, cause)
            yield from network.outside(facts, cause)
        case "inconclusive":
            checks = judged.would_change_it[:3]
            yield Action("decide", "Make the check that decides it.", checks, why="Nothing else is safe.")


def _served(facts: Facts, case: Case, cause: str) -> Iterator[Action]:
    """What the servers could present instead."""
    if cause == "trust-path-changed":
        yield from server.force_path(facts, case)
    if cause in ("rollout-in-progress", "dual-certificate"):
        yield from server.serve_everywhere(facts, case, cause)
    else:
        yield from server.serve_again(facts, case, cause)
    yield from server.switch_keys(facts, case)
