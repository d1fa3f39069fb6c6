"""The single observation that would change a verdict which was given, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from irkit.cohorts import Case
from irkit.facts import Facts
from irkit.notes import short
from irkit.render import text
from irkit.verdict import CAUSES

__all__ = ["HASH_KEY", "crux"]

# Prints the pin of a server's key, on the server.
HASH_KEY = "openssl pkey -in server.key -pubout -outform DER | openssl dgst -sha256 -binary | base64"

_KEY = f"Read the key on the server itself ({HASH_KEY}): were {{key}} not yours after all, this would be a MITM."
_SHIPPED = (
    "Look into the build that the store has (irkit pins check BUILD): were the pins of {names} others than in its pin "
    "file, this would not be the reason."
)
_CRUX: Mapping[str, str] = {
    "trust-path-changed": "Ask two failing devices for their roots: one that fails without the newer root would have "
    "another reason.",
    "rollout-in-progress": f"Read the key on each edge ({HASH_KEY}): were one that is served not yours after all, this "
    "would be a MITM.",
    "inspection-authorised": "Were {maker} no longer allowed, this would be an interception like any other.",
    "wrong-certificate-served": _KEY,
    "dual-certificate": _KEY,
    "incomplete-chain": "If a failing client turned out to hold the whole chain, the reason would be another.",
    "captive-portal": "If the same chain came from other networks, or failures rose and lasted, this would be a MITM.",
    "clock-wrong": "If a client whose clock is right failed in the same way, the chain would be at fault.",
    "certificate-expired": "If clients had failed before the certificate ran out, the reason would be another.",
    "chain-untrusted": "If a failing client turned out to hold the whole chain, its CA would be what is not trusted.",
    "endpoint-down": "If a vantage captured a certificate, or a client kept one, something would be answering: a MITM "
    "could not be ruled out.",
    "none": "A rise of failures in one release or region, or one client's chain with a key that nobody knows, would "
    "change this.",
    "rotation": _KEY,
    "misconfiguration": _SHIPPED,
    "mitm": "If {stranger} turned out to be yours (ask whoever issues your certificates), this would be no MITM.",
}


def crux(facts: Facts, case: Case, verdict: str, cause: str) -> str:
    """What would change it."""
    says = _CRUX.get(cause) or _CRUX[CAUSES.get(cause, verdict)]
    served = short(facts.chain.leaf.pin) if facts.chain is not None else "the key that was served"
    client = next(iter(case.foreign), None)
    return says.format(
        key=served,
        names=", ".join(text(opinion.release.name) for opinion in case.opinions) or "the failing releases",
        stranger=short(client.leaf) if client is not None else served,
        maker=text(client.name) if client is not None else "",
    )
