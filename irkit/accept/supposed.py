"""What a release would make of a key that no certificate has yet: the question before a rotation, and in a remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from irkit.accept import Acceptance, accepts
from irkit.certificate import Certificate, Pin
from irkit.pins.release import ConfiguredPin, Release

__all__ = ["accepts_key"]

# A pin that no key has: what a pin of the replaced leaf becomes.
_NOTHING = Pin(hashlib.sha256(b"no key").digest())


def accepts_key(
    release: Release,
    key: Pin,
    chain: Sequence[Certificate],
    *,
    host: str,
    at: datetime,
) -> Acceptance:
    """Decides as `irkit.accepts` would, were this key the leaf's and everything above it as it is.

    A certificate can't be made for a key that is known by its hash alone. So the release's pins are exchanged instead:
    that of the key for that of the leaf. Every rule of the platform then counts as it does for a real chain. Hashes of
    whole certificates match no leaf: the new one is not issued yet.

    Args:
        release: The pins, and whose rules decide.
        key: The hash of the key supposed to be served.
        chain: A chain of the same CA, the leaf first.
        host: The host that the app connects to.
        at: When, aware. It may lie beyond the dates of the chain: no trust store is asked.

    Returns:
        The answer. Its reasons speak of the leaf of `chain`, in whose place the key is.
    """
    leaf = chain[0]
    whole = hashlib.sha256(leaf.der).digest()

    def exchanged(entry: ConfiguredPin) -> ConfiguredPin:
        if entry.pin is None or leaf.pin is None:
            return entry
        if entry.of == "certificate":
            return replace(entry, pin=_NOTHING, text=str(_NOTHING)) if entry.pin.digest == whole else entry
        if entry.pin == key:
            return replace(entry, pin=leaf.pin, text=leaf.pin.base64)
        return replace(entry, pin=_NOTHING, text=_NOTHING.base64) if entry.pin == leaf.pin else entry

    rules = tuple(replace(rule, pins=tuple(map(exchanged, rule.pins))) for rule in release.rules)
    return accepts(replace(release, rules=rules), chain, host=host, at=at)
