"""How much each observation weighs: the one reviewed place. Log-odds (natural), with the reason for each.

A weight of 1 makes something about three times as likely, 3 twenty times, 5 a hundred and fifty times.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["WEIGHTS"]

# finding: {verdict or cause: weight}. A verdict's weight goes to each of its causes.
WEIGHTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        # --- what the releases make of the trusted chain
        # They accept what the server sends: nothing on the server or in their pins explains a failure.
        "trusted-chain-accepted": {"rotation": -5, "misconfiguration": -5, "mitm": 1},
        # They accepted the chain before and not this one: the server side changed.
        "acceptance-changed": {"rotation": 3, "origin-replaced": 2, "wrong-certificate-served": 1.5,
                               "incomplete-chain": 1.5, "none": -5, "wrong-pin": -4},
        # They accept neither: the release was never right.
        "never-accepted": {"misconfiguration": 3, "rotation": -4, "none": -3},
        # They don't accept this one, and nothing is known of the one before.
        "rejected-now": {"rotation": 1, "misconfiguration": 1, "origin-replaced": 1, "none": -3},
        # --- the server's chain
        # Nobody in the clients' path can put a key into the owner's list.
        "leaf-key-owned": {"rotation": 4, "origin-replaced": -6, "interception-public-ca": -2,
                           "interception-untrusted-ca": -2},
        # Vantages on separate paths agree: one path's attacker can't do that. One who holds the origin or its DNS can.
        "vantages-agree": {"rotation": 2, "origin-replaced": -2.5},
        # The same CA as before signed it. An attacker can go to the same CA, so it weighs little.
        "issuer-unchanged": {"leaf-key-rotated": 1.5, "ca-changed": -4, "intermediate-rotated": -3},
        "issuer-changed": {"intermediate-rotated": 4, "leaf-key-rotated": -1, "ca-changed": -3},
        "root-changed": {"ca-changed": 4, "leaf-key-rotated": -3, "intermediate-rotated": -4, "origin-replaced": 1},
        "leaf-key-changed": {"leaf-key-rotated": 2},
        # Only who holds the key serves it; no interceptor does.
        "leaf-key-unchanged": {"rotation": -3, "intermediate-rotated": 5, "trust-path-changed": 2,
                               "leaf-key-rotated": -3, "origin-replaced": -5, "incomplete-chain": 1},
        # The owner keeps a list and this key is not on it.
        "leaf-key-unknown": {"origin-replaced": 3.5, "rotation": -4},
        "leaf-key-compromised": {"origin-replaced": 8, "rotation": -6},
        "issuer-untrusted": {"origin-replaced": 3.5, "rotation": -3},
        "vantages-disagree": {"origin-replaced": 2.5, "rotation": -1},
        "edges-differ-all-known": {"rollout-in-progress": 7, "origin-replaced": -4},
        # A certificate for other names than the host: servers do that by mistake, attackers have no use for it.
        "name-mismatch": {"wrong-certificate-served": 6, "rotation": -5, "origin-replaced": -1},
        "chain-shortened": {"incomplete-chain": 8, "intermediate-rotated": -4, "trust-path-changed": -2},
        "leaf-expired": {"certificate-expired": 10, "rotation": -6, "misconfiguration": -3},
        "no-certificate": {"endpoint-down": 6},
        # --- the release's pins
        # The pin is a transformation of a certificate that the owner serves: SHA-256 can't be made to match by chance.
        "pin-explained": {},  # the cause that explain_pin names, with EXPLAINED
        "config-rejected": {"config-rejected": 7},
        "pins-match-nothing": {"wrong-pin": 3.5},
        "others-accept": {"misconfiguration": 2, "origin-replaced": -3},
        "follows-rollout": {"misconfiguration": 2, "mitm": -1},
        # --- what failing clients saw (anyone can send that: it only raises suspicion)
        "client-chain-untrusted-root": {"interception-untrusted-ca": 7},
        "client-chain-public-root": {"interception-public-ca": 7},
        "client-chain-authorised": {"inspection-authorised": 12},
        "client-chain-known": {"none": 0.0},
        # --- the failures
        "no-excess": {"none": 5},
        "failures-rise": {"none": -6},
        "localised": {"mitm": 1, "rotation": -1.5},
        "everywhere": {"rotation": 1, "interception-untrusted-ca": -1, "interception-public-ca": -1},
        "step-at-switch": {"rotation": 1},
    }
)  # fmt: skip

EXPLAINED = 7.0
