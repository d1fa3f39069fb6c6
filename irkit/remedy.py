"""Actions: what each would bring back, by what accept() says, and what it would cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from irkit.accept import accepts
from irkit.certificate import Pin
from irkit.cohorts import Case, cases
from irkit.evidence import Evidence
from irkit.facts import OWNED, Facts, establish
from irkit.observations import entries, explain
from irkit.render import text
from irkit.verdict import CohortVerdict, Verdict

__all__ = ["Action", "Remediation", "remedies"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do.

    Attributes:
        action: A slug: `roll-back-key`, `emergency-update`, `investigate-network`, …
        title: What to do, in one imperative sentence.
        steps: The steps, commands to copy among them.
        restores: Share of the failing validations that accepts() says it would bring back, 0 to 1; None where it can't
            be worked out.
        by_release: The same by release name.
        weakens_pinning: Whether it takes away protection while it lasts.
        why: The reason, in one sentence.
    """

    action: str
    title: str
    steps: tuple[str, ...] = ()
    restores: float | None = None
    by_release: tuple[tuple[str, float], ...] = ()
    weakens_pinning: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Remediation:
    """Actions in the order to take them, and what not to do. In a mitm `do_not` is shown first."""

    actions: tuple[Action, ...]
    do_not: tuple[str, ...] = ()


_HASH_KEY = "openssl pkey -in server.key -pubout -outform DER | openssl dgst -sha256 -binary | base64"
_APPLY = (
    "kubectl create secret tls {name} --cert=previous-chain.pem --key=previous.key --dry-run=client -o yaml"
    " | kubectl apply -f -"
)

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


def remedies(evidence: Evidence, verdict: Verdict) -> Remediation:
    """Works out what to do about a verdict, the gravest cohort first.

    Args:
        evidence: What the verdict was reached from.
        verdict: As `irkit.classify` gave it.

    Returns:
        Actions ordered by cohort, then by the share they restore. Never one that weakens pinning in a mitm.
    """
    facts = establish(evidence)
    found: dict[tuple[str, str], Action] = {}
    by_cohort = {case.cohort: case for case in cases(facts)}
    for judged in verdict.cohorts:
        case = by_cohort.get(judged.cohort, Case(judged.cohort, "unsure"))
        for action in _actions(facts, case, judged):
            found.setdefault((action.action, action.title), action)
    do_not = dict.fromkeys(line for judged in verdict.cohorts for line in _DO_NOT.get(judged.verdict, ()))
    return Remediation(tuple(found.values()), tuple(do_not))


def _actions(facts: Facts, case: Case, judged: CohortVerdict) -> list[Action]:
    if judged.verdict == "mitm":
        return _origin(facts) if judged.cause == "origin-replaced" else _intercepted(facts, judged)
    if judged.verdict == "rotation":
        return _rotated(facts, case)
    if judged.verdict == "misconfiguration":
        return _misconfigured(facts, case, judged)
    if judged.verdict == "not-a-pin-failure":
        return _not_pins(facts, judged)
    if judged.verdict == "inconclusive":
        return [
            Action("decide", "Make the check that decides it.", judged.would_change_it[:3], why="Nothing else is safe.")
        ]
    return []


def _capture_command(facts: Facts) -> str:
    incident = facts.evidence.incident
    host = text(incident.host)
    return (
        f"openssl s_client -connect {host}:{incident.port} -servername {host} -showcerts </dev/null "
        "> seen.pem   # then add it under [[observed]] or [[capture]]"
    )


def _intercepted(facts: Facts, judged: CohortVerdict) -> list[Action]:
    cohort = judged.cohort
    where = ", ".join(text(place) for place in (*cohort.networks, *cohort.regions)) or "the affected networks"
    actions = [
        Action(
            "investigate-network",
            f"Keep pinning on, and find out who intercepts in {where}.",
            (
                "Capture from an affected device or a probe on that network: " + _capture_command(facts),
                "Ask the operator of the network whether it inspects TLS; an inspection can exempt the host.",
                "Tell the security team: credentials sent by clients without pinning on that network may be known.",
            ),
            restores=None,
            why="The apps fail because pinning works; what has to go is the interceptor.",
        )
    ]
    if judged.cause == "interception-public-ca":
        host = text(facts.evidence.incident.host)
        actions.insert(
            0,
            Action(
                "revoke",
                "Get the certificate revoked by the CA that issued it, and see how it was obtained.",
                (
                    "Report it to the CA's problem-reporting address, with the certificate from the evidence.",
                    f"dig +short CAA {host}   # does CAA name only your CA?",
                    f"Look {host} up in CT logs, and check DNS, registrar and BGP for changes since the onset.",
                ),
                why="A public CA vouched for a key that is not yours: whoever holds it can read unpinned clients.",
            ),
        )
    if judged.cause == "inspection-authorised":
        host = text(facts.evidence.incident.host)
        actions[0] = Action(
            "exempt-from-inspection",
            f"Have {host} exempted from the inspection that the inventory allows.",
            (f"Ask the owner of the inspection in {where} to bypass TLS inspection for {host}.",),
            why="The inspection is known; pinning rightly refuses it.",
        )
    return actions


def _origin(facts: Facts) -> list[Action]:
    host = text(facts.evidence.incident.host)
    return [
        Action(
            "check-origin",
            "Treat the origin as taken over until its key is accounted for: check DNS, registrar, BGP and the hosts.",
            (
                f"dig +trace {host}   # are delegation and addresses yours?",
                f"Compare the served key with the one on your hosts: {_HASH_KEY}",
                f"Look {host} up in CT logs for certificates that you did not order, and have them revoked.",
                "Check the registrar account, the load balancers and the deployment log for changes since the onset.",
            ),
            why="Trusted vantages themselves see a chain that the owner can't account for.",
        )
    ]


def _restored(
    facts: Facts, case: Case, brings_back: Callable[[str], bool]
) -> tuple[float | None, tuple[tuple[str, float], ...]]:
    """Share of the case's failing validations whose release an action brings back, and which those are."""
    names = [opinion.release.name for opinion in case.opinions]
    if not names:
        return None, ()
    weights = {opinion.release.name: _weight(facts, case, opinion.release.version) for opinion in case.opinions}
    whole = sum(weights.values())
    if not whole:
        weights, whole = dict.fromkeys(names, 1.0), float(len(names))
    by_release = tuple((name, 1.0 if brings_back(name) else 0.0) for name in names)
    return round(sum(weights[name] * back for name, back in by_release) / whole, 4), by_release


def _weight(facts: Facts, case: Case, version: str) -> float:
    failures = facts.evidence.failures
    if failures is not None and "version" in failures.roles and version:
        regions = {"region": case.cohort.regions} if case.cohort.regions and "region" in failures.roles else {}
        return float(failures.select(version=version, **regions).by()["failures"].sum())
    return next((o.release.share or 0.0 for o in case.opinions if o.release.version == version), 0.0)


def _rotated(facts: Facts, case: Case) -> list[Action]:
    evidence, actions = facts.evidence, []
    by_name = {opinion.release.name: opinion for opinion in case.opinions}
    host = text(evidence.incident.host)
    previous = facts.previous
    if previous is not None and facts.status(previous.chain.leaf.pin) not in ("compromised", "retired"):

        def back(name: str) -> bool:
            decision = accepts(
                by_name[name].release,
                previous.chain,
                host=evidence.incident.host,
                at=evidence.now,
                trust=evidence.trust,
            )
            return decision.answer == "yes"

        restores, by_release = _restored(facts, case, back)
        actions.append(
            Action(
                "roll-back-key",
                "Serve the previous certificate and key again, then rotate as planned.",
                (
                    f"Put back the key with pin {text(previous.chain.leaf.pin)} "
                    f"(its certificate runs until {previous.chain.leaf.not_after:%Y-%m-%d})."
                    if previous.chain.leaf.not_after
                    else f"Put back the key with pin {text(previous.chain.leaf.pin)}.",
                    _APPLY.format(name=host.replace(".", "-")),
                    "Check from outside: irkit triage again, and the failures fall within minutes.",
                ),
                restores,
                by_release,
                why="The releases accept it, by their own pin files.",
            )
        )
    actions += _switches(facts, case)
    actions.sort(key=lambda action: -(action.restores or 0))
    names = ", ".join(text(name) for name in by_name)
    served = facts.chain.leaf.pin if facts.chain else None
    actions.append(
        Action(
            "emergency-update",
            f"Ship an update of {names} that pins the new key too.",
            (f"Add the pin {text(served)} beside the old one, keep a backup pin, and release.",),
            0.0,
            why="It reaches users only as they update.",
        )
    )
    return actions


def _switches(facts: Facts, case: Case) -> list[Action]:
    """Serving another key of the inventory: which of them do the failing releases pin?"""
    inventory, actions = facts.evidence.inventory, []
    served = facts.chain.leaf.pin if facts.chain else None
    before = facts.previous.chain.leaf.pin if facts.previous else None
    by_name = {opinion.release.name: opinion for opinion in case.opinions}

    def pins(name: str, pin: Pin) -> bool:
        return any(entry.pin == pin and entry.scope in ("leaf", "any") for entry in entries(by_name[name]))

    for key in () if inventory is None else inventory.keys:
        if key.role != "leaf" or key.status not in OWNED or key.pin in (served, before):
            continue
        restores, by_release = _restored(facts, case, lambda name, pin=key.pin: pins(name, pin))  # type: ignore[misc]  # mypy can't infer a lambda's default
        if restores:
            actions.append(
                Action(
                    "switch-key",
                    f"Serve another key of the inventory, which they pin: {text(key.name or key.pin)} ({key.status}).",
                    (
                        f"Order a certificate for the key with pin {text(key.pin)} from the same CA.",
                        "openssl req -new -key backup.key -out backup.csr",
                    ),
                    restores,
                    by_release,
                    why="The key is in the inventory and in the releases' pin files.",
                )
            )
    return actions


def _misconfigured(facts: Facts, case: Case, judged: CohortVerdict) -> list[Action]:
    names = ", ".join(text(opinion.release.name) for opinion in case.opinions) or "the release"
    if judged.cause in ("wrong-certificate-served", "incomplete-chain"):
        restores, by_release = _restored(facts, case, lambda _: True)
        what = (
            "Serve the full chain again, the pinned intermediate included."
            if judged.cause == "incomplete-chain"
            else f"Serve the certificate for {text(facts.evidence.incident.host)} again: check virtual host and SNI."
        )
        steps = ("Compare what is served with the previous capture in the evidence.", _capture_command(facts))
        return [Action("restore-chain", what, steps, restores, by_release, why="The earlier chain was accepted.")]
    right = []
    for opinion in case.opinions:
        explained = explain(facts, opinion)
        if explained is not None and explained[1].right_pin is not None:
            right.append(
                f"In {text(opinion.release.source)}, replace {text(explained[0].text, 80)} by {explained[1].right_pin}."
            )
    if not right and facts.chain is not None:
        right.append(f"The served leaf key's pin is {text(facts.chain.leaf.pin)}; pin it and a backup key.")
    restores, by_release = _restored(facts, case, lambda _: True)
    return [
        Action(
            "stop-rollout",
            f"Stop the rollout of {names}: every user it reaches is cut off.",
            ("Halt the staged rollout in the store's console.",),
            0.0,
            why="It keeps the number of affected users from growing.",
        ),
        Action(
            "emergency-update",
            f"Ship an update of {names} with the right pins.",
            (*right, "Check it before release: irkit triage with the new pin file accepts the served chain."),
            restores,
            by_release,
            why="The pins are wrong, the server is right.",
        ),
    ]


def _not_pins(facts: Facts, judged: CohortVerdict) -> list[Action]:
    host = text(facts.evidence.incident.host)
    if judged.cause == "certificate-expired":
        step = "openssl req -new -key current.key -out renew.csr   # the same key keeps every pin valid"
        return [Action("renew", "Renew the certificate with the same key.", (step,), 1.0, why="It ran out.")]
    if judged.cause == "endpoint-down":
        step = f"curl -sv https://{host}:{facts.evidence.incident.port}/ -o /dev/null"
        return [
            Action("service-incident", "Hand this over as an outage of the service.", (step,), why="No TLS is served.")
        ]
    return []
