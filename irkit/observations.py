"""What was seen of one case, in sentences, each with what it speaks for and how strongly."""

from __future__ import annotations

from datetime import timedelta

from irkit.cohorts import Case, counted_places
from irkit.explain import Explanation, explain_pin
from irkit.facts import Facts, Opinion, issuer_key, root_key
from irkit.notes import Observations, short
from irkit.pins import ConfiguredPin
from irkit.render import text
from irkit.testimony import testimony
from irkit.trust import covers, verify
from irkit.weights import EXPLAINED

__all__ = ["observe"]


def observe(facts: Facts, case: Case) -> Observations:
    """Everything that bears on one case."""
    seen = Observations()
    _failures(facts, case, seen)
    testimony(facts, case, seen)
    if case.kind not in ("foreign", "trickle"):
        _opinions(facts, case, seen)
        sound = facts.verification is not None and facts.verification.ok
        judged_by_pins = case.kind not in ("accepts", "silent", "lapsed") and not (case.kind == "told" and sound)
        if judged_by_pins and not (case.kind == "never" and _others_accept(facts, case)):
            _server(facts, case, seen)
    if case.kind in ("never", "rejects"):
        _pins(facts, case, seen)
    _reader_findings(case, seen)
    _checks(facts, case, seen)
    return seen


def _failures(facts: Facts, case: Case, seen: Observations) -> None:
    failures, cohort, onset = facts.evidence.failures, case.cohort, case.onset
    if failures is None:
        return
    source = f"metrics {failures.source}"
    if onset is None:
        if case.kind not in ("foreign", "trickle", "silent", "lapsed", "told", "split", "path"):
            seen.add("no-excess", "No cohort's failures rise above their own baseline in the window.", source)
        return
    count = f"{onset.failures:.0f} of {onset.validations:.0f} validations failed, {onset.excess:.0f} over the baseline"
    between = f" ({onset.earliest:%H:%M} to {onset.latest:%H:%M})" if onset.earliest < onset.latest else ""
    since = f"since {onset.at:%Y-%m-%d %H:%M} UTC{between}"
    usual = "" if onset.usual is None else f"; the same hours of the days before let expect {onset.usual:.0f}"
    shape = "recurring rise" if onset.shape == "recurring" else onset.shape
    seen.add("failures-rise", f"{text(cohort.name)}: {count}, {since}, as a {shape}{usual}.", source)
    places = counted_places(onset)  # a client's word for its network is not where the failures are counted
    if places:
        where = ", ".join(text(place) for place in places)
        seen.add("localised", f"The failures keep to {where}; elsewhere the same releases connect.", source)
    else:
        seen.add("everywhere", "The failures come from every region and network.", source)
    released = [o.release.released for o in case.opinions if o.release.released is not None]
    if case.kind in ("never", "rejects") and (
        onset.shape == "ramp" or any(abs(onset.at - at) < timedelta(hours=6) for at in released)
    ):
        seen.add("follows-rollout", f"The failures began and grew with the rollout of {text(cohort.name)}.", source)


def _opinions(facts: Facts, case: Case, seen: Observations) -> None:
    if facts.chain is None or not case.opinions:
        return
    names = ", ".join(text(opinion.release.name) for opinion in case.opinions)
    pins = "their pin files" if len(case.opinions) > 1 else f"pin file {text(case.opinions[0].release.source)}"
    reason = case.opinions[0].now.reasons[0] if case.opinions[0].now and case.opinions[0].now.reasons else ""
    now = f"the chain that {_vantages(facts)} see{'s' if len(facts.witnesses) == 1 else ''} now"
    if case.kind in ("accepts", "quiet"):
        if all(opinion.kind == "accepts" for opinion in case.opinions):
            seen.add("trusted-chain-accepted", f"{names} would accept {now}. {_sentence(reason)}", pins)
    elif case.kind == "changed":
        when = f"{facts.previous.at:%Y-%m-%d %H:%M} UTC" if facts.previous and facts.previous.at else "before"
        says = f"{names} would refuse {now}, and would have accepted the one captured {when}."
        seen.add("acceptance-changed", says, pins)
        _pinned_place(case, seen, pins)
    elif case.kind == "split":
        says = f"{names} would accept one of the chains that trusted vantages see now and refuse another."
        seen.add("acceptance-split", says, pins)
    elif case.kind == "path":
        says = (
            f"The chain as presented holds a pin of {names}; the path to the given roots does not. {_sentence(reason)}"
        )
        seen.add("pin-off-the-path", says, pins)
    elif case.kind in ("silent", "lapsed") and (case.onset is None or _broke_at_the_end(case)):
        expired = case.opinions[0].now is not None and case.opinions[0].now.why == "expired-config"
        name = "pins-expired" if expired else "host-not-covered"
        broke = " Its validations fail since then all the same." if case.onset is not None else ""
        seen.add(name, f"{names} has pins and checks none of them. {_sentence(reason)}{broke}", pins)
    elif case.kind == "never":
        says = f"{names} would refuse {now}, and would have refused the one before it too. {_sentence(reason)}"
        seen.add("never-accepted", says, pins)
    elif case.kind == "rejects":
        says = f"{names} would refuse {now}; no earlier trusted chain is known. {_sentence(reason)}"
        seen.add("rejected-now", says, pins)


def _broke_at_the_end(case: Case) -> bool:
    """Whether the failures are those of a release whose pins ended: they came with that, everywhere."""
    return case.kind == "lapsed" and not (case.cohort.regions or case.cohort.networks)


def _pinned_place(case: Case, seen: Observations, source: str) -> None:
    """Where on the path of before the pin stood that is gone now."""
    places = {
        decided.path.index(decided.certificate)
        for decided in (opinion.before for opinion in case.opinions)
        if decided is not None and decided.certificate is not None and decided.certificate in decided.path
    }
    if len(places) == 1:
        name, word = ("pinned-ca-gone", "CA") if places.pop() else ("pinned-leaf-gone", "leaf")
        names = ", ".join(text(opinion.release.name) for opinion in case.opinions)
        seen.add(name, f"What {names} matched before was the key of the {word} certificate.", source)


def _server(facts: Facts, case: Case, seen: Observations) -> None:
    """What the trusted captures say of the server."""
    evidence, chain = facts.evidence, facts.chain
    if chain is None:
        files = {f"capture {vantage.name}" for vantage in evidence.incident.vantages if vantage.file}
        failed = [m for m in evidence.missing if m.source.startswith("capture ") and m.source not in files]
        if failed and case.kind != "quiet":
            says = f"No trusted vantage got a certificate: {text(failed[0].reason, 150)}."
            seen.add("no-certificate", says, ", ".join(text(item.source) for item in failed[:3]))
        return
    leaf, source = chain.leaf, "captures from " + _vantages(facts)
    owners, status, verification = facts.owners(leaf.pin), facts.status(leaf.pin), facts.verification
    if status == "compromised":
        says = f"The served leaf key {short(leaf.pin)} is listed as compromised."
        seen.add("leaf-key-compromised", says, "inventory")
    elif owners:
        seen.add("leaf-key-owned", f"The served leaf key {short(leaf.pin)} is the owner's: {owners}.", source)
    elif facts.listed(leaf.pin) == "retired":
        says = f"The served leaf key {short(leaf.pin)} is listed as retired: whoever kept it may be serving it."
        seen.add("leaf-key-retired", says, "inventory")
    elif other := facts.listed(leaf.pin):
        hosts = ", ".join(text(host) for host in facts.listed_for(leaf.pin)) or text(evidence.incident.host)
        says = f"The served leaf key {short(leaf.pin)} is in the inventory, for {hosts}, as {text(other)}."
        seen.add("leaf-key-of-another", says, "inventory")
    elif evidence.inventory is not None:
        says = f"The served leaf key {short(leaf.pin)} is not in the inventory"
        says += ", and no trusted capture from before the failures has it."
        seen.add("leaf-key-unknown", says, source)
    if facts.dissent:
        _dissent(facts, seen)
    elif len(facts.witnesses) > 1:
        seen.add("vantages-agree", f"{_vantages(facts)} see the same leaf key.", source)
    if verification is not None and not verification.ok:
        _unverified(facts, seen, source)
    if facts.previous is not None:
        _before(facts, seen, source)


def _dissent(facts: Facts, seen: Observations) -> None:
    pins = {facts.chain.leaf.pin if facts.chain else None, *(c.chain.leaf.pin for c in facts.dissent)}
    where = ", ".join(sorted({text(capture.vantage) for capture in facts.dissent}))
    chains = [facts.chain, *(c.chain for c in facts.dissent)]
    kinds = {c.leaf.key.partition(" ")[0] for c in chains if c is not None}
    if len(kinds) > 1 and all(facts.owners(pin) for pin in pins):
        says = (
            f"The server has leaf keys of several kinds ({text(' and '.join(sorted(kinds)))}), all of them the owner's."
        )
        seen.add("keys-of-two-kinds", says, where)
    elif all(facts.owners(pin) for pin in pins):
        says = f"Trusted captures differ ({where} sees another leaf key), and every key seen is the owner's."
        seen.add("edges-differ-all-known", says, where)
    else:
        listed = "in the inventory" if facts.evidence.inventory is not None else "known to be the owner's"
        says = f"Trusted captures disagree: {where} sees another leaf key, and not every key seen is {listed}."
        seen.add("vantages-disagree", says, where)


def _unverified(facts: Facts, seen: Observations, source: str) -> None:
    chain, verification = facts.chain, facts.verification
    if chain is None or verification is None:
        return
    now = facts.evidence.now
    if chain.leaf.not_after is not None and chain.leaf.not_after < now:
        seen.add(
            "leaf-expired", f"The served certificate ran out at {chain.leaf.not_after:%Y-%m-%d %H:%M} UTC.", source
        )
    elif not covers(chain.leaf, facts.evidence.incident.host):
        names = ", ".join(text(name, 60) for name in chain.leaf.dns_names[:4]) or text(chain.leaf.subject, 80)
        says = f"The served certificate is for {names}, not for {text(facts.evidence.incident.host)}."
        seen.add("name-mismatch", says, source)
    else:
        says = f"The served chain does not verify to the trusted roots: {text(verification.reason, 200)}."
        owned = facts.owners(chain.leaf.pin)
        seen.add("own-chain-untrusted" if owned else "issuer-untrusted", says, source)


def _before(facts: Facts, seen: Observations, source: str) -> None:
    chain, previous, trust = facts.chain, facts.previous, facts.evidence.trust
    if chain is None or previous is None:
        return
    when = f"{previous.at:%Y-%m-%d %H:%M} UTC" if previous.at else "an unknown time"
    before = previous.chain
    if chain.leaf.pin is not None and chain.leaf.pin == before.leaf.pin:
        seen.add("leaf-key-unchanged", f"The leaf key is the one captured at {when}.", source)
        if len(chain) < len(before) and set(chain.certificates) <= set(before.certificates):
            says = f"The server sends {len(chain)} certificates where it sent {len(before)} at {when}."
            gone = {c.pin for c in before} - {c.pin for c in chain}
            pinned = any(pin in opinion.release.pins for opinion in facts.opinions for pin in gone)
            seen.add("chain-shortened" if pinned else "chain-shortened-unpinned", says, source)
    else:
        says = f"The leaf key changed from {short(before.leaf.pin)} (captured at {when}) to {short(chain.leaf.pin)}."
        seen.add("leaf-key-changed", says, source)
    if trust is None:
        return
    host = facts.evidence.incident.host
    then = verify(before, trust, at=previous.at or facts.evidence.now, host=host)
    now = facts.verification
    if now is None or not (now.ok and then.ok):
        return
    if root_key(now) != root_key(then):
        seen.add("root-changed", f"The chain ends at another root than at {when}.", source)
    elif issuer_key(now) != issuer_key(then):
        seen.add(
            "issuer-changed", f"Another intermediate signed the leaf than at {when}; the root is the same.", source
        )
    else:
        seen.add("issuer-unchanged", "The key that signed the leaf is the same as before.", source)


def _others_accept(facts: Facts, case: Case) -> list[Opinion]:
    mine = {opinion.release.name for opinion in case.opinions}
    return [o for o in facts.opinions if o.release.name not in mine and o.now is not None and o.now.answer == "yes"]


def _pins(facts: Facts, case: Case, seen: Observations) -> None:
    """What the pins of releases that were never right are; those of one case share them."""
    opinion, names = case.opinions[0], ", ".join(text(opinion.release.name) for opinion in case.opinions)
    verb, source = ("pin" if len(case.opinions) > 1 else "pins"), text(opinion.release.source)
    explained = explain(facts, opinion)
    listed = [(e, facts.status(e.pin)) for e in entries(opinion) if facts.status(e.pin) in _LISTED_WRONG]
    if opinion.now is not None and opinion.now.why == "config-rejected":
        says = f"{names}: the platform refuses the configuration. {_sentence(opinion.release.rejected)}"
        seen.add("config-rejected", says, source)
    elif listed and all(facts.status(e.pin) in _LISTED_WRONG for e in entries(opinion)):
        status = listed[0][1]
        says = f"{names} {verb} only keys listed as {status}, as {short(listed[0][0].pin)}."
        seen.add("pin-explained", says, source, {_LISTED_WRONG[status]: EXPLAINED})
    elif caught := _caught(facts, opinion):
        seen.add("parent-rule-caught", caught, source)
    elif explained is not None:
        entry, explanation = explained
        right = f" The right pin is {explanation.right_pin}." if explanation.right_pin else ""
        says = f"{names} {verb} {text(entry.text, 80)}: {text(explanation.says, 300)}.{right}"
        seen.add("pin-explained", says, source, {explanation.cause: EXPLAINED})
    else:
        says = f"No pin of {names} is the hash of a key in any trusted capture, the inventory or a root."
        seen.add("pins-match-nothing", says, source)
    others = _others_accept(facts, case)
    if others:
        accepting = ", ".join(text(opinion.release.name) for opinion in others[:4])
        seen.add("others-accept", f"The same chain is accepted by {accepting}.", "their pin files")


def _caught(facts: Facts, opinion: Opinion) -> str:
    """The sentence for a rule of the parent that catches this host with the pins of another; empty for none."""
    inventory, host = facts.evidence.inventory, facts.evidence.incident.host
    rule = opinion.now.rule if opinion.now is not None else None
    if inventory is None or rule is None or rule.pattern.lower().strip(".") == host:
        return ""
    keys = [inventory.key(entry.pin) for entry in rule.pins]
    if not any(key is not None and key.hosts and host not in key.hosts for key in keys):
        return ""
    return f"The rule for {text(rule.pattern, 80)} catches {text(host)} too, with pins listed for others."


# Keys of the inventory that a release should not be left with, and the cause when it is.
_LISTED_WRONG = {"staging": "staging-pin", "retired": "retired-pin"}


def entries(opinion: Opinion) -> tuple[ConfiguredPin, ...]:
    """The pins that decide for the incident's host: those of the rule that applies, or all where none does."""
    decision = opinion.now or opinion.before
    rule = decision.rule if decision is not None else None
    return rule.pins if rule is not None else tuple(e for r in opinion.release.rules for e in r.pins)


def explain(facts: Facts, opinion: Opinion) -> tuple[ConfiguredPin, Explanation] | None:
    """The first pin of a release that is a known key's hash gone wrong, with what went wrong."""
    chains = [capture.chain for capture in (*facts.trusted, *facts.evidence.history) if capture.trusted]
    keys = () if facts.evidence.inventory is None else tuple(key.pin for key in facts.evidence.inventory.keys)
    for entry in entries(opinion):
        explanation = explain_pin(entry.text, *chains, keys=keys, scope=entry.scope)
        if explanation is not None and explanation.cause:
            return entry, explanation
    return None


def _reader_findings(case: Case, seen: Observations) -> None:
    for opinion in case.opinions:
        for finding in opinion.release.findings:
            if finding.severity == "error":
                seen.add(finding.id, text(finding.says, 300), text(opinion.release.source), {})


def _checks(facts: Facts, case: Case, seen: Observations) -> None:
    """The single observations that would change or settle the verdict."""
    host, cohort = text(facts.evidence.incident.host), case.cohort
    where = ", ".join(text(place) for place in (*cohort.regions, *cohort.networks))
    if case.kind == "accepts" and not case.foreign:
        seen.checks.append(
            f"Get the chain that a failing client sees{f' in {where}' if where else ''} (openssl s_client -connect "
            f"{host}:{facts.evidence.incident.port} -servername {host} -showcerts from there) and name it under "
            "[[observed]]: a leaf key nobody knows means interception, a key of yours means an edge with another chain."
        )
    if case.kind == "unlisted":
        seen.checks.append("Add [[release]] with the pin file of each failing release: would it accept this chain?")
    unknown = (
        facts.chain is not None and not facts.owners(facts.chain.leaf.pin) and not facts.listed(facts.chain.leaf.pin)
    )
    if facts.chain is not None and unknown and case.kind not in ("accepts", "foreign"):
        seen.checks.append(
            f"Compare the served leaf key {short(facts.chain.leaf.pin)} with the key on your own hosts; if it is"
            " yours, list it in keys.toml, if it is not, treat this as a MITM."
        )
    if facts.evidence.failures is None:
        seen.checks.append("Add [metrics]: without counts there is no telling who fails, and since when.")


def _sentence(reason: str) -> str:
    shown = text(reason, 400)
    return shown[:1].upper() + shown[1:] + ("" if not shown or shown.endswith(".") else ".")


def _vantages(facts: Facts) -> str:
    return " and ".join(text(name) for name in facts.witnesses) or "no vantage"
