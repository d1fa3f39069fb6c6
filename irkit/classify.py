"""From evidence to verdict. Pure: no clock, no network, no file.

The steps, numbered as in the code below:
    1. Establish the facts: the trusted chain, the one before, whose keys they are, what each release makes of them.
    2. Sort the failures into cases (irkit.cohorts).
    3. For each case, write down what was seen (irkit.observations), each with its weight (irkit.weights).
    4. Add the weights to even odds: a probability for each cause.
    5. Hold the likeliest verdict against the safety rule: rotation and misconfiguration need corroboration that an
       attacker can't forge. Without it the answer is `inconclusive`, with the check that would decide it.
    6. The gravest case leads. Strangers as few as on any day and seen before the onset are named, and don't lead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from irkit.cohorts import Case, cases
from irkit.crux import crux
from irkit.evidence import Evidence
from irkit.facts import Facts, establish
from irkit.observations import observe
from irkit.render import text
from irkit.safety import objection
from irkit.verdict import CAUSES, VERDICTS, CohortVerdict, Finding, Verdict

__all__ = ["classify"]

# Below this probability the likeliest verdict is not given.
THRESHOLD = 0.8

# Each source that could not be had makes every odd a little less telling.
_RELEVANT = ("metrics", "history", "inventory", "client chains", "releases", "capture")
_DULLING = 0.04

# What is left to chance however much speaks for a verdict: evidence can be wrong in ways that no weight foresees.
_DOUBT = 0.01

_HYPOTHESES: Mapping[str, str] = {**CAUSES, "none": "none"}
_OF: Mapping[str, tuple[str, ...]] = {
    verdict: tuple(cause for cause, of in _HYPOTHESES.items() if of == verdict)
    for verdict in VERDICTS
    if verdict != "inconclusive"
}


def classify(evidence: Evidence) -> Verdict:
    """Judges evidence.

    Args:
        evidence: As `irkit.gather` or `irkit.load_evidence` gives it; "now" is in it.

    Returns:
        The gravest cohort's verdict, with every cohort's. The same evidence always gives the same verdict.
    """
    facts = establish(evidence)  # 1
    found = [(case.kind == "trickle", _judge(facts, case)) for case in cases(facts)]  # 2 to 5
    found.sort(key=lambda item: (item[0], VERDICTS.index(item[1].verdict), -(item[1].cohort.failures or 0)))  # 6
    judged = [item for _, item in found]
    gravest = judged[0]
    findings = dict[tuple[str, str], Finding]()
    for finding in (finding for item in judged for finding in item.findings):
        findings.setdefault((finding.id, finding.says), finding)  # what is said twice weighs in its first place
    checks = dict.fromkeys(check for item in judged for check in item.would_change_it)
    return Verdict(
        verdict=gravest.verdict,
        cause=gravest.cause,
        confidence=gravest.confidence,
        probabilities=gravest.probabilities,
        onset=gravest.cohort.onset,
        cohorts=tuple(judged),
        findings=tuple(findings.values()),
        missing=evidence.missing,
        would_change_it=tuple(checks),
    )


def _judge(facts: Facts, case: Case) -> CohortVerdict:
    observations = observe(facts, case)  # 3
    by_cause = _probabilities(facts, observations.scores)  # 4
    by_verdict = {verdict: round(sum(by_cause[cause] for cause in _OF[verdict]), 4) for verdict in _OF}
    verdict = max(by_verdict, key=lambda name: by_verdict[name])
    cause = max(_OF[verdict], key=lambda name: by_cause[name])
    confidence = by_verdict[verdict]
    checks = list(observations.checks)
    findings = observations.findings(verdict, cause)
    refusal = objection(facts, case, verdict, cause)  # 5
    if refusal is not None:
        findings.insert(0, Finding("safety-rule", refusal.says, "the safety rule"))
        checks = [refusal.check, *checks] if refusal.check else checks
    if refusal is not None or confidence < THRESHOLD:
        # How far from settled: 1 would mean that nothing points anywhere.
        verdict, cause, confidence = "inconclusive", "", round(1 - confidence, 4)
        checks = checks or _lost(facts)
    else:
        checks.insert(0, crux(facts, case, verdict, cause))
    return CohortVerdict(
        cohort=case.cohort,
        verdict=verdict,
        cause="" if verdict == "none" else cause,
        confidence=confidence,
        probabilities=by_verdict,
        findings=tuple(findings),
        would_change_it=tuple(dict.fromkeys(checks)),
    )


def _lost(facts: Facts) -> list[str]:
    """What to have where no observation stands out as the one that decides: what is missing, or more of the same."""
    lost = [item for item in facts.evidence.missing if item.source.startswith(_RELEVANT)]
    if not lost:
        return ["Capture from another trusted vantage, and get the chain that a failing client saw."]
    return [f"Have what is missing: {text(item.source)}. {text(item.hint or item.reason)}" for item in lost[:3]]


def _probabilities(facts: Facts, scores: Mapping[str, float]) -> dict[str, float]:
    """Softmax over the causes, from even odds between verdicts and between the causes of each."""
    lost = {source for item in facts.evidence.missing for source in _RELEVANT if item.source.startswith(source)}
    sharpness = 1 / (1 + _DULLING * len(lost))
    odds = {
        cause: -math.log(len(_OF[verdict])) + sharpness * (scores.get(verdict, 0.0) + _own(scores, cause, verdict))
        for cause, verdict in _HYPOTHESES.items()
    }
    top = max(odds.values())
    likely = {cause: math.exp(value - top) for cause, value in odds.items()}
    whole = sum(likely.values())
    return {cause: (1 - _DOUBT) * value / whole + _DOUBT / len(likely) for cause, value in likely.items()}


def _own(scores: Mapping[str, float], cause: str, verdict: str) -> float:
    return 0.0 if cause == verdict else scores.get(cause, 0.0)
