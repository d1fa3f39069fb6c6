"""The safety rule: no verdict that would make an owner relax without corroboration that an attacker can't forge.

A MITM called a rotation or a misconfiguration is the worst mistake this program can make. What an attacker controls
(client chains, reports, names, issuers, SCTs, labels) can raise suspicion; only what is out of their reach lowers it:
the inventory, the pin files, captures from before the onset, and trusted vantages that agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from irkit.clients import Client
from irkit.cohorts import Case, counted_places, is_of
from irkit.crux import HASH_KEY
from irkit.facts import OWNED, Facts, clock_off, doubtful, issuer_key, root_key
from irkit.observations import entries, explain
from irkit.render import text
from irkit.tally import Tally
from irkit.testimony import passing
from irkit.trust import verify

__all__ = ["Objection", "objection"]


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a verdict may not be given, and the one check that would decide, where the case doesn't name it already."""

    says: str
    check: str = ""


_TAIL = timedelta(minutes=15)
_LIST = "Find out whose the keys are, and list them in keys.toml."

# What is wrong with the server itself, and so for everyone that it answers; whatever causes are a rotation's are, too.
_SERVER = frozenset({"incomplete-chain", "wrong-certificate-served", "certificate-expired", "chain-untrusted"})
_ENOUGH = 20  # validations that show whether a release connects


def objection(facts: Facts, case: Case, verdict: str, cause: str) -> Objection | None:
    """Holds a verdict against the rule; None when it may be given."""
    portal = cause == "captive-portal" and passing(case) and all(c.nature == "elsewhere" for c in case.foreign)
    if case.foreign and not portal and verdict not in ("mitm", "inconclusive"):
        return Objection(
            f"A failing client saw a leaf key that nobody knows: that is not to be called {verdict}.",
            "Capture from the network of that client, over a path you trust to show what it sees.",
        )
    if verdict == "mitm":
        return _mitm(facts, case, cause)
    if unsure := next((client for client in case.told if doubtful(facts, client)), None):
        return Objection(
            f"A failing client saw the leaf key {text(unsure.leaf)}, which a capture has too, but no list: who was in "
            "the path of a vantage is in a capture as well.",
            "Find out whose that key is, and list it in keys.toml.",
        )
    if contradicted := _contradicted(facts, case, verdict, cause):
        return contradicted
    if verdict == "rotation":
        return _rotation(facts, case)
    if verdict == "misconfiguration":
        return _misconfiguration(facts, case, cause)
    if verdict == "not-a-pin-failure":
        return _not_a_pin_failure(facts, case, cause)
    if verdict == "none":
        return _none(facts)
    return None


def _contradicted(facts: Facts, case: Case, verdict: str, cause: str) -> Objection | None:
    """Counts that the verdict can't be true with: the reason that it names was there, and clients connected."""
    get = "Get the chain that a failing client sees, and name it under [[observed]]."
    if verdict == "misconfiguration" and case.kind in ("never", "rejects") and _connects(facts, case, before=True):
        return Objection(
            "The releases connected before the failures began, or do elsewhere: pins that were never right don't.", get
        )
    if (verdict == "rotation" or cause in _SERVER) and case.kind != "split" and _connects(facts, case, before=False):
        return Objection(
            "The same releases connect elsewhere, while the vantages see a chain that would fail everywhere.", get
        )
    return None


def _connects(facts: Facts, case: Case, *, before: bool) -> bool:
    """Whether the case's releases connect where its failures are not counted, or did before they began."""
    failures, onset = facts.evidence.failures, case.onset
    if failures is None or onset is None or (before and "version" not in failures.roles):
        return False
    import numpy as np

    def here(cohort: Mapping[str, str]) -> bool:
        values = {role: onset.cohort[role] for role in ("region", "network") if role in onset.cohort}
        return all(cohort.get(role, "") in ((v,) if isinstance(v, str) else v) for role, v in values.items())

    mine = np.array(
        [
            not case.opinions or any(is_of(o, c.get("version", ""), c.get("platform", "")) for o in case.opinions)
            for c in failures.cohorts
        ],
        dtype=bool,
    )[:, None]
    away = ~np.array([here(cohort) for cohort in failures.cohorts], dtype=bool)[:, None]
    began, since = (np.datetime64(at.replace(tzinfo=None)) for at in (onset.earliest, onset.latest))
    cells = mine & ((failures.times < began) | away if before else (failures.times > since) & away)
    failed, validated = np.nansum(failures.failures[cells]), np.nansum(failures.validations[cells])
    return bool(validated >= _ENOUGH and failed < 0.5 * validated)


def _mitm(facts: Facts, case: Case, cause: str) -> Objection | None:
    """Alarm needs a chain too: failures alone can't tell an interception from an edge that serves another chain."""
    listed, verified = facts.evidence.inventory is not None, facts.verification is not None and facts.verification.ok
    if cause == "origin-replaced":
        pin = None if facts.chain is None else facts.chain.leaf.pin
        if facts.chain is None or (facts.owners(pin) and not facts.dissent):
            return Objection(
                "No trusted vantage sees a chain that is not the owner's.", "Capture from a second vantage."
            )
        if facts.dissent and verified and not listed:
            return Objection("Vantages see different keys, and no inventory says whose they are.", _LIST)
        if verified and not facts.dissent and facts.status(pin) != "compromised":
            return Objection(
                "The served key is on no list, but a trusted CA signed it and every vantage sees it: a new key that "
                "nobody listed looks the same.",
                _LIST,
            )
        return None
    # Without a capture of its own, the server may present that very chain to everyone.
    if case.foreign and (facts.chain is not None or (listed and counted_places(case.onset))):
        return None
    if case.foreign:
        return Objection(
            "No trusted capture is at hand to hold the client's chain against.",
            "Capture from a trusted vantage: does the server itself present that chain?",
        )
    return Objection(
        "No chain that a failing client saw is at hand: counts alone can't tell an interception from an edge that "
        "serves another chain."
    )


def _rotation(facts: Facts, case: Case) -> Objection | None:
    chain = facts.chain
    pin = None if chain is None else chain.leaf.pin
    check = f"Ask whoever runs the server whether {text(pin)} is its key ({HASH_KEY}), and list it in keys.toml."
    seen = (pin, *(capture.chain.leaf.pin for capture in facts.dissent))
    if case.kind in ("split", "path") and facts.opinions:
        # Nobody's new key is at stake here: every key that is served has to be the owner's.
        if all(facts.owners(key) for key in seen):
            return None
        return Objection("Not every leaf key that is served is known to be the owner's.", check)
    if chain is None or case.kind != "changed":
        return Objection("No release is known to have accepted the chain before and to refuse it now.", check)
    if facts.dissent and any(facts.status(c.chain.leaf.pin) not in OWNED for c in facts.dissent):
        return Objection("Trusted vantages see different leaf keys, and not all of them are the owner's.", check)
    if facts.owners(pin):
        return None
    if facts.evidence.inventory is not None:
        return Objection("The new leaf key is not in the inventory.", check)
    if len(facts.witnesses) < 2:
        return Objection("One vantage alone saw the new leaf key, and no inventory lists it.", check)
    if not facts.pinned_leaf(pin):
        # Who takes over the name's DNS gets a certificate from the same CA, and every vantage agrees on it.
        return Objection("The new leaf key is in no inventory, and no release was shipped with its pin.", check)
    # Vantages that agree rule out an attacker in one path; one who holds the origin, its DNS or a route they don't.
    if not _same_ca(facts):
        return Objection("The new leaf key is known to nobody, and another CA than before signed it.", check)
    if _moved(facts):
        return Objection("The new leaf key is known to nobody, and the host answers at other addresses.", check)
    spared = [o for o in facts.opinions if o.kind == "changed" and o not in case.opinions]
    if case.onset is None or case.cohort.regions or case.cohort.networks or spared:
        return Objection(
            "The new leaf key is known to nobody, and the failures are not those of a rotation: it would fail the same "
            "releases everywhere from the switch on.",
            check,
        )
    return None


def _moved(facts: Facts) -> bool:
    """Whether trusted vantages reach the host at none of the addresses from before the onset."""
    before = facts.previous.chain.obtained.address if facts.previous is not None else ""
    now = {capture.chain.obtained.address for capture in facts.trusted} - {""}
    return bool(before and now and before not in now)


def _same_ca(facts: Facts) -> bool:
    trust, previous, now = facts.evidence.trust, facts.previous, facts.verification
    if trust is None or previous is None or now is None or not now.ok:
        return False
    then = verify(previous.chain, trust, at=previous.at or facts.evidence.now, host=facts.evidence.incident.host)
    return then.ok and root_key(now) == root_key(then) and issuer_key(now) == issuer_key(then)


def _misconfiguration(facts: Facts, case: Case, cause: str) -> Objection | None:
    chain = facts.chain
    pin = None if chain is None else chain.leaf.pin
    check = f"Find out whether the served leaf key {text(pin)} is yours; list it in keys.toml if it is."
    if case.kind in ("silent", "lapsed") and facts.evidence.failures is None:
        return Objection("Its pins check nothing, but whether anything fails is not counted.", "Add [metrics].")
    if cause == "dual-certificate" or case.kind in ("silent", "lapsed"):
        keys = (pin, *(capture.chain.leaf.pin for capture in facts.dissent))
        shipped = {
            key for opinion in case.opinions if case.kind in ("silent", "lapsed") for key in opinion.release.pins
        }
        shipped -= {key for key in shipped if facts.status(key)}
        if chain is not None and all(facts.owners(key) or key in shipped for key in keys):
            return None
        return Objection("Not every leaf key that is served is known to be the owner's.", check)
    if cause == "wrong-certificate-served":
        return _wrong_certificate(facts, check)
    if cause == "incomplete-chain":
        return None if facts.owners(pin) else Objection("The served leaf key is not known to be the owner's.", check)
    if cause == "wrong-pin":
        owned = [
            entry.pin for o in case.opinions for entry in entries(o) if entry.pin and facts.status(entry.pin) in OWNED
        ]
        if owned:
            return Objection(
                f"The release pins {text(owned[0])}, a key of the owner's that no capture shows: the pin may be right "
                "and the server wrong.",
                check,
            )
        if case.kind != "never" or not facts.owners(pin):
            return Objection("Nothing shows that the chain which the release refuses is the owner's.", check)
        return None
    if case.kind not in ("never", "rejects"):
        return Objection("The release is not known to refuse the trusted chain by its pins.", check)
    # A wrong pin beside others proves nothing while the chain that is refused may be an attacker's. It must be the
    # owner's: by the inventory, by what was served before, by another release's pin, or since the wrong pin itself was
    # made from this very leaf.
    made_from = (explain(facts, opinion) for opinion in case.opinions)
    if (
        facts.owners(pin)
        or facts.pinned_leaf(pin)
        or any(e is not None and e[1].certificate is not None and e[1].certificate.pin == pin for e in made_from)
    ):
        return None
    return Objection("Nothing shows that the chain which the release refuses is the owner's.", check)


def _wrong_certificate(facts: Facts, check: str) -> Objection | None:
    """Names are what their maker wrote, and who took a route over answers every vantage: the key has to be known."""
    pin = None if facts.chain is None else facts.chain.leaf.pin
    if (listed := facts.listed(pin)) in ("compromised", "retired"):
        return Objection(f"The served leaf key is listed as {listed}: who kept it may be serving it.", check)
    if facts.listed(pin) or facts.served_before(pin):
        return None
    return Objection("The certificate is for another name, and nothing shows that its key is the owner's.", check)


def _not_a_pin_failure(facts: Facts, case: Case, cause: str) -> Objection | None:
    check = "Capture from a second trusted vantage, on another network."
    if cause in ("captive-portal", "clock-wrong") and case.onset is not None:
        # Anyone can say it, and what befalls single devices raises no count above its baseline.
        return Objection(
            "Failures rise together, and only reports say that single devices are at fault.",
            "Get the chain that a failing client sees, and name it under [[observed]].",
        )
    pin = None if facts.chain is None else facts.chain.leaf.pin
    if cause in ("captive-portal", "clock-wrong") and not (facts.owners(pin) or facts.pinned_leaf(pin)):
        return Objection(f"The served leaf key {text(pin)} is not known to be the owner's.", _LIST)
    if cause == "endpoint-down":
        if facts.evidence.failures is None:
            return Objection("The vantages got no certificate, and no counts say that clients get none.", check)
        if _still_succeeding(facts, case):
            return Objection(
                "No vantage got a certificate, yet clients go on connecting: the vantages are cut off.", check
            )
        if any(len(client.chain) and _since(client, case) for client in facts.clients):
            return Objection("No vantage got a certificate, yet a client says that it was shown one.", check)
        return None
    if cause == "captive-portal" and (facts.verification is None or not facts.verification.ok):
        return Objection("No trusted capture shows that the server itself has a certificate for the host.", check)
    if cause == "captive-portal" and not case.foreign:
        return Objection("No client's chain shows a sign-in page.", check)
    if cause == "clock-wrong" and not any(clock_off(facts, client) for client in case.told):
        return Objection("No client's date is known to be off.", check)
    if cause == "chain-untrusted" and not facts.opinions:
        return Objection("No release's pins are at hand: a pin may be what fails.", "Add [[release]] with its pins.")
    if cause == "chain-untrusted" and (facts.chain is None or not facts.owners(facts.chain.leaf.pin)):
        return Objection("The chain that does not verify is not known to be the owner's.", check)
    if cause == "certificate-expired" and facts.chain is not None and not facts.owners(facts.chain.leaf.pin):
        return Objection("The certificate that ran out is not known to be the owner's.", check)
    return None


def _since(client: Client, case: Case) -> bool:
    return case.onset is None or client.at is None or client.at >= case.onset.earliest


def _still_succeeding(facts: Facts, case: Case) -> bool:
    """Whether clients still connect: since the failures began, or in the window's last quarter of an hour."""
    failures = facts.evidence.failures
    if failures is None:
        return False
    import numpy as np

    since = min(case.onset.latest, failures.end - 2 * failures.step) if case.onset is not None else failures.end - _TAIL
    bins = failures.times > np.datetime64(since.replace(tzinfo=None))
    return bool(np.nansum((failures.validations - failures.failures)[:, bins]) > 0)


def _always_failing(facts: Facts) -> str:
    """A value of a label, or everyone, that fails all day as no trickle does: a rise could hide in it."""
    tally = facts.tally or Tally()
    for role in tally.roles:
        for (value,), (failed, validated) in tally.by(role).items():
            if failed >= _ENOUGH and failed > 0.1 * validated:
                return value or f"no {role}"
    return ""


def _none(facts: Facts) -> Objection | None:
    failures = facts.evidence.failures
    check = "Query the metrics again: an answer that is whole would tell whether anything fails."
    if failures is None:
        return Objection("There are no counts of failures.", "Add [metrics] to the incident file.")
    if facts.tally is None or not facts.tally.total()[1]:
        return Objection("The metrics count no validations in the window.", check)
    if any("partial" in finding for finding in failures.findings):
        return Objection("The metrics are only a part of what there is.", check)
    if steady := _always_failing(facts):
        return Objection(
            f"Nothing rises, but of the validations of {text(steady)} a good part fails in the whole window.",
            "Start the window earlier: since when do they fail?",
        )
    pin = None if facts.chain is None else facts.chain.leaf.pin
    changed = facts.previous is not None and facts.previous.chain.leaf.pin != pin
    known = facts.evidence.inventory is not None or changed  # something to hold the key against
    if facts.chain is not None and known and not (facts.owners(pin) or facts.pinned_leaf(pin)):
        return Objection(
            f"Nothing fails, but the served leaf key {text(pin)} is not known to be the owner's.",
            "Find out whose key it is; list it in keys.toml if it is yours.",
        )
    return None
