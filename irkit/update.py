"""Dynamic pin updates: a signed list of pins that clients fetch, and what makes one safe to take.

An update can lock every client out, or let an attacker in. So it counts only with the right key's signature, for the
right host, newer than the last, with its dates in order, and never without a key that is served now: a list that drops
every current key is refused, however well it is signed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from irkit import render
from irkit.certificate import Pin
from irkit.errors import InputError
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.render import text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["PinUpdate", "check_update", "sign_update"]

SIZE = 64 << 10
PINS = 32  # in one update
# Signed before the payload, so that nothing else that the key signs can pass for an update.
_CONTEXT = b"irkit.pin-update/1\n"


@dataclass(frozen=True, slots=True, repr=False)
class PinUpdate:
    """One update.

    Attributes:
        host: The host it is for, lower case.
        number: Grows with every update: a lower one is an old one played back.
        issued: When it was made, aware UTC.
        expires: From when on it no longer counts, aware UTC.
        pins: The keys to accept, the current one and the next: at least two, so that a rotation has somewhere to go.
    """

    host: str
    number: int
    issued: datetime
    expires: datetime
    pins: tuple[Pin, ...]

    def __post_init__(self) -> None:
        if self.issued.tzinfo is None or self.expires.tzinfo is None:
            raise InputError("an update's time has no time zone", "give aware datetimes, as datetime(…, tzinfo=UTC)")
        if self.issued >= self.expires:
            raise InputError("the update ends before it begins", "let expires be after issued")
        if any(pin.algorithm != "sha256" for pin in self.pins):
            raise InputError("a pin of the update is not SHA-256", "give sha256/ and 44 characters of base64")
        if self.number < 0:
            raise InputError("the update's number is negative", "count updates from 0")
        if not 2 <= len(set(self.pins)) <= PINS or len(set(self.pins)) != len(self.pins):
            raise InputError(f"an update has 2 to {PINS} distinct pins", "give the current key and the next")
        if not self.host or self.host != self.host.strip().rstrip(".").lower():
            raise InputError(f"not a host in lower case: {text(self.host, 80)}", "give one host name")

    def release(self) -> Release:
        """The pins as `irkit.accepts` takes them."""
        pins = tuple(ConfiguredPin(str(pin), pin) for pin in self.pins)
        return Release("list", (HostRule(self.host, pins=pins),), version=f"update {self.number}")

    def __repr__(self) -> str:
        pins = ", ".join(map(str, self.pins))
        return f"PinUpdate({text(self.host)}, number {self.number}, until {self.expires:%F %H:%M} UTC, {pins})"

    def _repr_html_(self) -> str:
        rows = [("host", self.host), ("number", self.number), ("issued", self.issued), ("expires", self.expires)]
        return render.table(("", ""), [*rows, *(("pin", pin) for pin in self.pins)], "Pin update")


def sign_update(update: PinUpdate, key: Ed25519PrivateKey) -> bytes:
    """The document that clients fetch: JSON with the payload, as it was signed, and its Ed25519 signature."""
    payload = json.dumps(
        {
            "host": update.host,
            "number": update.number,
            "issued": update.issued.astimezone(UTC).isoformat(),
            "expires": update.expires.astimezone(UTC).isoformat(),
            "pins": [str(pin) for pin in update.pins],
        },
        sort_keys=True,
    ).encode()
    signature = key.sign(_CONTEXT + payload)
    parts = {"payload": base64.b64encode(payload).decode(), "signature": base64.b64encode(signature).decode()}
    return json.dumps(parts).encode()


def check_update(
    document: bytes,
    key: Ed25519PublicKey,
    *,
    host: str,
    at: datetime,
    current: Iterable[Pin],
    last: PinUpdate | None = None,
) -> PinUpdate:
    """Takes an update, or says why not.

    Args:
        document: As it was fetched; anyone may have made it.
        key: The only key that signs updates.
        host: The host whose pins are to be updated.
        at: When, aware.
        current: The keys that are in use: those of the chain that was last accepted, or the ones that the app ships.
        last: The update taken last; None for none.

    Returns:
        The update. It keeps one of the current keys, so that it can lock nobody out.

    Raises:
        InputError: It is not to be taken; what was in force stays in force.
    """
    if at.tzinfo is None:
        raise InputError(f"the time {at} has no time zone", "give an aware datetime, as datetime(…, tzinfo=UTC)")
    update = _read(_verified(document, key))
    if update.host != host.strip().rstrip(".").lower():
        raise _refused(f"it is for {text(update.host, 80)}, not for {text(host, 80)}")
    if last is not None and (update.number <= last.number or update.issued < last.issued):
        raise _refused(f"number {update.number} is not newer than number {last.number}, the last one taken")
    if update.issued > at:
        raise _refused(f"it was issued at {update.issued:%F %H:%M} UTC, which is still to come")
    if update.expires <= at:
        raise _refused(f"it ended at {update.expires:%F %H:%M} UTC")
    if not set(current) & set(update.pins):
        raise _refused("it keeps none of the keys in use, and would lock every client out")
    return update


def _refused(why: str) -> InputError:
    return InputError(f"the pin update is refused: {why}", "keep the pins in force, and find out who made this update")


def _verified(document: bytes, key: Ed25519PublicKey) -> bytes:
    """The payload, if the key signed it."""
    from cryptography.exceptions import InvalidSignature

    if len(document) > SIZE:
        raise _refused(f"it has more than {SIZE} bytes")
    try:
        parts = json.loads(document)
        payload = base64.b64decode(parts["payload"], validate=True)
        signature = base64.b64decode(parts["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise _refused("it is not a signed update") from None
    try:
        key.verify(signature, _CONTEXT + payload)
    except InvalidSignature:
        raise _refused("its signature is not from the key that signs updates") from None
    return payload


def _read(payload: bytes) -> PinUpdate:
    try:
        found: dict[str, Any] = json.loads(payload)
        issued, expires = (datetime.fromisoformat(found[name]) for name in ("issued", "expires"))
        pins = tuple(Pin.parse(pin) for pin in found["pins"])
        host, number = found["host"], found["number"]
        known = isinstance(host, str) and type(number) is int
        update = PinUpdate(host, number, issued, expires, pins) if known else None
    except InputError as error:
        raise _refused(error.message) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        update = None
    if update is None:
        raise _refused("what was signed is no pin update")
    return update
