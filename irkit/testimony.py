"""What failing clients say of a case, in sentences. Anyone can say it: it raises suspicion and lowers none."""

from __future__ import annotations

from irkit.clients import Client
from irkit.cohorts import Case
from irkit.facts import Facts, clock_off
from irkit.notes import Observations, short
from irkit.render import text
from irkit.trust import linked_path

__all__ = ["passing", "testimony"]

NOTED = 8  # groups of clients that get a sentence each


def testimony(facts: Facts, case: Case, seen: Observations) -> None:
    """Notes what the case's clients saw and said. One kind of stranger weighs once, however often it is told."""
    weighed = set()
    for client in case.foreign[:NOTED]:
        name, says = _stranger(case, client)
        if name in weighed:
            says = f"{_who(client)} saw such a chain too, with the leaf key {short(client.leaf)}."
        seen.add(name, says, client.source, {} if name in weighed else None)
        weighed.add(name)
    if case.kind == "trickle":
        says = "These are few, and as before the failures began, which have another reason: they don't lead."
        seen.add("trickle-as-before", says, case.foreign[0].source)
    if len(case.foreign) > NOTED:
        says = f"{len(case.foreign) - NOTED} more groups of clients saw leaf keys that nobody knows."
        seen.add("more-strangers", says, case.foreign[NOTED].source, {})
    _told(facts, case, seen)
    known = [client for client in facts.clients if client.nature == "ours"]
    if known and case.kind == "accepts" and not case.foreign:
        says = "The chain that a client sent is one that trusted vantages see too; it explains no failure."
        seen.add("client-chain-known", says, known[0].source)


def _stranger(case: Case, client: Client) -> tuple[str, str]:
    who = f"{_who(client)} saw"
    key = f"leaf key {short(client.leaf)}, which neither the inventory nor any trusted capture knows"
    if client.nature == "authorised":
        says = f"{who} a chain issued by {text(client.name)}, an inspection CA that the inventory allows."
        return "client-chain-authorised", says
    if client.nature == "public":
        return "client-chain-public-root", f"{who} a publicly trusted chain with {key}."
    path = linked_path(client.chain)  # what was merely sent along signed nothing
    issuer = text(path[-1].issuer, 100) if path else "a CA that the log doesn't name"
    ends = f"it ends at {issuer} and does not verify: {text(client.reason, 200)}"
    if client.nature == "product":
        return "client-chain-product", f"{who} a chain issued under the name of {text(client.name)} with {key}; {ends}."
    # Failures that rise above their baseline are no single user's debugging.
    if client.nature == "debug" and case.onset is None:
        made = f"a debugging proxy, {text(client.name)}" if client.name else "a CA that mints while the client waits"
        return "client-chain-debug", f"{who} a chain as of {made}, on few devices, with {key}; {ends}."
    if client.nature == "elsewhere" and passing(case):
        page = f"the sign-in page of {text(client.name)}" if client.name else "a sign-in page"
        return "client-chain-elsewhere", f"{who} a certificate for other names, as of {page}, with {key}; {ends}."
    if client.nature == "elsewhere":
        says = f"{who} a certificate for other names with {key}, and the failures last; {ends}."
        return "client-chain-elsewhere-lasting", says
    return "client-chain-untrusted-root", f"{who} a chain with {key}; {ends}."


def _who(client: Client) -> str:
    where = text(client.network or client.region)
    many = f"{client.count} reports of failing clients" if client.count > 1 else "A failing client"
    of = f" of {text(client.release)}" if client.release else ""
    return f"{many}{of}{f' on {where}' if where else ''}"


def passing(case: Case) -> bool:
    """Whether the failures, if they are counted at all, came and went as at a sign-in page."""
    # Nor are failures over that merely come every day at this hour and still last.
    return case.onset is None or (case.onset.shape in ("blip", "recurring") and case.onset.end is not None)


def _told(facts: Facts, case: Case, seen: Observations) -> None:
    off = [client for client in case.told if clock_off(facts, client)]
    if off:
        count = sum(client.count for client in off)
        says = f"{count} clients say that the owner's valid chain is not valid at their time: their clocks are off."
        seen.add("clients-clock-off", says, off[0].source)
    rest = [
        client for client in case.told if client not in off and client.kind in ("trust", "expired", "not-yet-valid")
    ]
    if rest:
        count = sum(client.count for client in rest)
        seen.add(
            "clients-distrust", f"{count} clients say that they don't trust the chain, pins aside.", rest[0].source
        )
