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
        # The owner's own key, and not one for this host or not for service: only the owner can have put it there.
        "leaf-key-of-another": {"wrong-certificate-served": 2, "rotation": -2, "origin-replaced": -3},
        # Nobody means to serve it. An old configuration does, or whoever kept the key.
        "leaf-key-retired": {"origin-replaced": 1, "wrong-certificate-served": 1, "rotation": -4},
        "leaf-key-compromised": {"origin-replaced": 8, "rotation": -6},
        "issuer-untrusted": {"origin-replaced": 3.5, "rotation": -3},
        "vantages-disagree": {"origin-replaced": 2.5, "rotation": -1},
        "edges-differ-all-known": {"rollout-in-progress": 7, "origin-replaced": -4},
        # A certificate for other names than the host: servers do that by mistake, attackers have no use for it.
        "name-mismatch": {"wrong-certificate-served": 6, "rotation": -5, "origin-replaced": -1},
        # What is no longer sent was pinned: with or without a path, the pin is gone.
        "chain-shortened": {"incomplete-chain": 8, "chain-untrusted": -5, "intermediate-rotated": -4,
                            "trust-path-changed": -2},
        # What is no longer sent was nobody's pin: devices lack the path, whatever their pins.
        "chain-shortened-unpinned": {"chain-untrusted": 5, "incomplete-chain": 1, "rotation": -2},
        "own-chain-untrusted": {"chain-untrusted": 6, "origin-replaced": -2, "rotation": -3},
        "leaf-expired": {"certificate-expired": 10, "rotation": -6, "misconfiguration": -3},
        "no-certificate": {"endpoint-down": 6},
        # --- the release's pins
        # The pin is a transformation of a certificate that the owner serves: SHA-256 can't be made to match by chance.
        # The pins are for another host, and a rule for the parent carries them here.
        "parent-rule-caught": {"host-pattern-mismatch": 8},
        # Which certificate of the path they relied on tells which change broke them.
        "pinned-leaf-gone": {"intermediate-rotated": -3},
        "pinned-ca-gone": {"intermediate-rotated": 1, "ca-changed": 1, "leaf-key-rotated": -3},
        # Two chains are served at once, and the release knows one: edges, or two kinds of key.
        "acceptance-split": {"rollout-in-progress": 2, "dual-certificate": 2, "origin-replaced": 1, "none": -3},
        "keys-of-two-kinds": {"dual-certificate": 8, "rollout-in-progress": -2, "origin-replaced": -4},
        # Only a path that the device builds differently loses a pin that is presented.
        "pin-off-the-path": {"trust-path-changed": 5, "wrong-pin": -3, "none": -4},
        # The platform's own rule says that nothing is checked: no failure needed to know it.
        "pins-expired": {"pin-set-expired": 9},
        "host-not-covered": {"host-pattern-mismatch": 9},
        "pin-explained": {},  # the cause that explain_pin names, with EXPLAINED
        "config-rejected": {"config-rejected": 7},
        "pins-match-nothing": {"wrong-pin": 3.5},
        "others-accept": {"misconfiguration": 2, "origin-replaced": -3},
        "follows-rollout": {"misconfiguration": 2, "mitm": -1},
        # --- what failing clients saw (anyone can send that: it only raises suspicion)
        "client-chain-untrusted-root": {"interception-untrusted-ca": 7},
        # A trusted CA signed it, which no report can make up: beside other strangers it is the one that is named.
        "client-chain-public-root": {"interception-public-ca": 9},
        "client-chain-authorised": {"inspection-authorised": 12},
        # A name proves nothing, but an interception is what it is; its kind is worth a guess.
        "client-chain-product": {"inspection-product": 8},
        "client-chain-debug": {"user-installed-ca": 8},
        # A chain for other names fails with or without pins. Where it lasts it is held for an attack.
        "client-chain-elsewhere": {"captive-portal": 8},
        "client-chain-elsewhere-lasting": {"interception-untrusted-ca": 7},
        # What clients say lowers nothing: it keeps their case from leading the incident, and doesn't clear it.
        "trickle-as-before": {},
        # The client says that its trust in the chain failed, and the chain is the owner's and valid.
        "clients-clock-off": {"clock-wrong": 7},
        "clients-distrust": {"chain-untrusted": 1.5},
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
