"""What apps log when a connection fails: OkHttp's messages, which name every pin, and Android's, which name none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from irkit.certificate import Pin
from irkit.errors import InputError

__all__ = ["Message", "messages"]

PINS = 64


@dataclass(frozen=True, slots=True)
class Message:
    """One failure that a log tells of.

    Attributes:
        format: `okhttp` or `android`.
        kind: As `irkit.reportline.Kind`.
        host: Where the message names one.
        pins: Of the path that OkHttp judged, leaf first; for a name that doesn't fit, of the leaf alone.
        known: The pins that it was held against, as written.
    """

    format: Literal["okhttp", "android"]
    kind: Literal["pin", "trust", "name", "expired", "not-yet-valid"]
    host: str = ""
    pins: tuple[Pin, ...] = ()
    known: tuple[str, ...] = ()


# What Android's own classes say: NetworkSecurityTrustManager, Conscrypt's TrustManagerImpl, X509CertificateObject and
# PKIX. Only the first is about pins. https://cs.android.com: NetworkSecurityTrustManager.checkPins
_SAID: tuple[tuple[re.Pattern[str], Literal["pin", "trust", "expired", "not-yet-valid"]], ...] = (
    (re.compile(r"CertificateException: Pin verification failed"), "pin"),
    (re.compile(r"Trust anchor for certification path not found"), "trust"),
    (re.compile(r"CertificateExpiredException|(?:Certificate )?expired at |NotAfter: "), "expired"),
    (re.compile(r"CertificateNotYetValidException|Certificate not valid until |NotBefore: "), "not-yet-valid"),
)
_PINNING = re.compile(r"Certificate pinning failure!")
_NAME = re.compile(r"Hostname ([\w.:\-]{1,253}) not verified")
_PEER = re.compile(r"\b(sha(?:1|256)/[A-Za-z0-9+/_\-]{20,60}={0,2}): ")
_LEAF = re.compile(r"\bcertificate: (sha(?:1|256)/[A-Za-z0-9+/_\-]{20,60}={0,2})")
_PINNED_FOR = re.compile(r"Pinned certificates for ([\w.*:\-]{1,253}):")
_PINNED = re.compile(r"(?:^|\s)(sha(?:1|256)/\S{1,120})\s*$")
_CAUSED = re.compile(r"\bCaused by: ")
_TRACE = re.compile(r"(?:^|\s)(?:at [\w.$<>]+\(|\.\.\. \d+ more|Caused by: |Suppressed: )")


@dataclass(slots=True)
class _Open:
    """OkHttp's message while its lines go by."""

    message: Message
    pins: list[Pin] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    pinned: bool = False

    def takes(self, line: str) -> bool:
        """Whether the line belongs to the message."""
        if self.message.kind == "name":
            return self._name(line)
        if "Peer certificate chain:" in line:
            return True
        if match := _PINNED_FOR.search(line):
            self.message, self.pinned = replace(self.message, host=match[1].lower()), True
            return True
        if not self.pinned and (match := _PEER.search(line)):
            _keep(self.pins, match[1])
            return True
        if self.pinned and (match := _PINNED.search(line)):
            if len(self.known) < PINS:
                self.known.append(match[1])
            return True
        return False

    def _name(self, line: str) -> bool:
        if match := _LEAF.search(line):
            _keep(self.pins, match[1])
            return True
        return bool(re.search(r"\b(?:DN|subjectAltNames): ", line))

    def done(self) -> Message:
        return replace(self.message, pins=tuple(self.pins), known=tuple(self.known))


def _keep(pins: list[Pin], written: str) -> None:
    try:
        pin = Pin.parse(written)
    except InputError:
        return
    if len(pins) < PINS:
        pins.append(pin)


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The failures that a log tells of, as its lines go by, whatever stands before a message in its line.

    A stack trace repeats its message with every "Caused by"; that counts once.
    """
    current: _Open | None = None
    told: str = ""  # the kind that the trace now going by has told of
    for line in lines:
        if current is not None:
            if current.takes(line):
                continue
            yield current.done()
            told = current.message.kind
            current = None
        if _PINNING.search(line):
            if not (_CAUSED.search(line) and told == "pin"):
                current = _Open(Message("okhttp", "pin"))
        elif match := _NAME.search(line):
            if not (_CAUSED.search(line) and told == "name"):
                current = _Open(Message("okhttp", "name", match[1].lower()))
                current.takes(line)
        else:
            kind = next((kind for pattern, kind in _SAID if pattern.search(line)), None)
            if kind is not None and not (_CAUSED.search(line) and told):
                yield Message("android", kind)
            told = kind or (told if _TRACE.search(line) else "")
    if current is not None:
        yield current.done()
