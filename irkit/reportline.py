"""One pin-failure report: what a client says of a failed connection. Anyone can send one; it proves nothing.

Read are TrustKit's for iOS and for Android, those of RFC 7469, section 3, and what apps log when a connection fails, as
it is or inside structured logs: OkHttp's messages, which name every pin, and Android's, which name none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from irkit.certificate import Certificate, Pin, pem_blocks
from irkit.errors import InputError
from irkit.render import text

__all__ = ["Kind", "Report", "messages", "read_line", "read_value"]

# What failed, as the client has it. `pin`: no pin matched on a path that it trusts. `trust`: the chain is not trusted,
# which in TrustKit's words includes a name that doesn't fit. `name`, `expired`, `not-yet-valid`: what the log says.
Kind = Literal["pin", "trust", "name", "expired", "not-yet-valid", "success", "other"]
Format = Literal["trustkit-ios", "trustkit-android", "rfc7469", "okhttp", "android"]

CERTIFICATES = 24  # of one chain
PINS = 64

# TrustKit's TSKTrustEvaluationResult. 5 is "the hash of a key could not be computed": it blocks like a mismatch.
_RESULTS: Mapping[int, Kind] = {0: "success", 1: "pin", 2: "trust", 3: "other", 4: "other", 5: "pin"}
_PLATFORMS = {"IOS": "ios", "TVOS": "ios", "WATCHOS": "ios", "MACOS": "ios", "ANDROID": "android"}


@dataclass(frozen=True, slots=True)
class Report:
    """One report.

    Attributes:
        kind: What failed.
        host: The host that was connected to, lower case; empty where a log doesn't say.
        at: When, aware UTC; None if unknown. TrustKit for Android writes local time as if it were UTC: then up to 14
            hours off, and `local` is true.
        app, version, platform: The release, as the client names it; platform is `ios`, `android` or empty.
        system: The version of the operating system; empty if unknown.
        device: An identifier of the installation, only to count devices with; never shown.
        region, network: Where, if whoever collects the reports added it.
        served: The chain that was presented; empty where the format has none (TrustKit for iOS).
        validated: The path that the device built; empty where the format has none, or only repeats `served` (TrustKit
            for Android on API level 24 and newer, where the exception comes before the assignment).
        pins: The pins of the path, where a log names them instead of certificates.
        known: The pins that the client was configured with, as written.
        enforced: Whether the connection was blocked; None if unknown.
    """

    format: Format
    kind: Kind
    host: str = ""
    at: datetime | None = None
    local: bool = False
    app: str = ""
    version: str = ""
    platform: str = ""
    system: str = ""
    device: str = ""
    region: str = ""
    network: str = ""
    served: tuple[Certificate, ...] = ()
    validated: tuple[Certificate, ...] = ()
    pins: tuple[Pin, ...] = ()
    known: tuple[str, ...] = ()
    enforced: bool | None = None


def read_line(line: str) -> tuple[Report, ...]:
    """Reads one line of NDJSON.

    Raises:
        InputError: It is no report and no log entry with a message that irkit knows.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {text(error, 100)}", "a report is one JSON object on one line") from None
    return read_value(value)


def read_value(value: Any) -> tuple[Report, ...]:
    """Reads one report that was JSON; a log entry may hold several messages. See `read_line`."""
    if not isinstance(value, dict):
        raise InputError("not a JSON object", "a report is a JSON object")
    if "known-pins" in value or "validated-certificate-chain" in value or "served-certificate-chain" in value:
        return (_report(value),)
    found = [
        _labelled(message, value)
        for item in value.values()
        if isinstance(item, str) and len(item) < 1 << 20
        for message in messages(item.splitlines())
    ]
    if not found:
        raise InputError(
            "neither a report nor a log entry with a known message",
            "a report has known-pins and a certificate chain; a log entry has the exception's whole message",
        )
    return tuple(found)


def _report(value: Mapping[str, Any]) -> Report:
    host = value.get("hostname") or value.get("noted-hostname")
    if not isinstance(host, str) or not host.strip():
        raise InputError("the report names no hostname", "a report has hostname")
    system = _word(value, "app-platform").upper()
    kit = bool(system) or "app-bundle-id" in value or "validation-result" in value
    android = system == "ANDROID" or (kit and not system and "served-certificate-chain" in value)
    served = _chain(value, "served-certificate-chain")
    validated = _chain(value, "validated-certificate-chain")
    if not served and not validated:
        raise InputError("the report holds no certificate", "a report has a certificate chain as PEM")
    if android and served == validated:
        validated = ()
    return Report(
        format="trustkit-android" if android else "trustkit-ios" if kit else "rfc7469",
        kind=_kind(value) if kit else "pin",
        host=host.strip().rstrip(".").lower()[:253],
        at=_time(value.get("date-time")),
        local=android,
        app=_word(value, "app-bundle-id"),
        version=_word(value, "app-version"),
        platform=_PLATFORMS.get(system, "android" if android else ""),
        system=_word(value, "app-platform-version"),
        device=_word(value, "app-vendor-id"),
        region=_word(value, "region"),
        network=_word(value, "network"),
        served=served,
        validated=validated,
        known=_known(value.get("known-pins")),
        enforced=value["enforce-pinning"] if isinstance(value.get("enforce-pinning"), bool) else None,
    )


def _kind(value: Mapping[str, Any]) -> Kind:
    result = value.get("validation-result")
    if isinstance(result, bool) or not isinstance(result, int) or result not in _RESULTS:
        raise InputError(f"no validation-result that TrustKit knows: {text(result, 40)}", "it is a number from 0 to 5")
    return _RESULTS[result]


def _word(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found[:120] if isinstance(found, str) else str(found) if isinstance(found, int) else ""


def _known(value: Any) -> tuple[str, ...]:
    pins = value if isinstance(value, list) else []
    return tuple(re.sub(r'^pin-sha256="(.*)"$', r"sha256/\1", pin[:200]) for pin in pins[:PINS] if isinstance(pin, str))


def _chain(value: Mapping[str, Any], key: str) -> tuple[Certificate, ...]:
    """A list of PEM blocks; one text with all of them will do."""
    found = value.get(key) or []
    parts = found if isinstance(found, list) else [found]
    if not all(isinstance(part, str) for part in parts):
        raise InputError(f"{key} is not a list of PEM texts", "each certificate is a PEM block")
    chain = tuple(certificate for part in parts for certificate in _certificates(part))
    if parts and not chain:
        raise InputError(f"{key} holds no PEM block", "each certificate is a PEM block")
    if len(chain) > CERTIFICATES:
        raise InputError(f"{key} holds {len(chain)} certificates", f"no real chain has more than {CERTIFICATES}")
    return chain


@lru_cache(maxsize=4096)  # the same few CA certificates stand in every report
def _certificates(pem: str) -> tuple[Certificate, ...]:
    return tuple(Certificate.from_der(der) for der in pem_blocks(pem))


def _time(value: Any) -> datetime | None:
    """RFC 3339, as far as a client follows it; None where it doesn't."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _labelled(message: Report, entry: Mapping[str, Any]) -> Report:
    """A message of a structured log, with the labels that the log has beside it."""
    stamps = (entry.get(key) for key in ("@timestamp", "timestamp", "time", "date-time", "ts"))
    known = {key.lower(): key for key in entry}
    words = {
        name: _word(entry, known[label])
        for name, labels in _LABELS.items()
        for label in labels
        if label in known and _word(entry, known[label])
    }
    return replace(
        message,
        host=message.host or words.get("host", "").lower(),
        at=next((at for at in map(_time, stamps) if at is not None), None),
        app=words.get("app", ""),
        version=words.get("version", ""),
        platform=words.get("platform", "android").lower(),
        region=words.get("region", ""),
        network=words.get("network", ""),
    )


_LABELS = {
    "app": ("app", "app-bundle-id", "package"),
    "version": ("version", "app-version", "app_version"),
    "platform": ("platform", "app-platform"),
    "region": ("region",),
    "network": ("network", "asn"),
    "host": ("hostname", "host"),
}


# --- logs

# What Android's own classes say: NetworkSecurityTrustManager, Conscrypt's TrustManagerImpl, X509CertificateObject and
# PKIX. Only the first is about pins. https://cs.android.com: NetworkSecurityTrustManager.checkPins
_SAID: tuple[tuple[re.Pattern[str], Kind], ...] = (
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


def _logged(form: Format, kind: Kind, host: str = "") -> Report:
    return Report(form, kind, host, platform="android")


@dataclass(slots=True)
class _Open:
    """OkHttp's message while its lines go by."""

    report: Report
    pins: list[Pin] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    pinned: bool = False

    def takes(self, line: str) -> bool:
        """Whether the line belongs to the message."""
        if self.report.kind == "name":
            return self._name(line)
        if "Peer certificate chain:" in line:
            return True
        if match := _PINNED_FOR.search(line):
            self.report, self.pinned = replace(self.report, host=match[1].lower()), True
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

    def done(self) -> Report:
        return replace(self.report, pins=tuple(self.pins), known=tuple(self.known))


def _keep(pins: list[Pin], written: str) -> None:
    try:
        pin = Pin.parse(written)
    except InputError:
        return
    if len(pins) < PINS:
        pins.append(pin)


def messages(lines: Iterable[str]) -> Iterator[Report]:
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
            told = current.report.kind
            current = None
        if _PINNING.search(line):
            if not (_CAUSED.search(line) and told == "pin"):
                current = _Open(_logged("okhttp", "pin"))
        elif match := _NAME.search(line):
            if not (_CAUSED.search(line) and told == "name"):
                current = _Open(_logged("okhttp", "name", match[1].lower()))
                current.takes(line)
        else:
            kind = next((kind for pattern, kind in _SAID if pattern.search(line)), None)
            if kind is not None and not (_CAUSED.search(line) and told):
                yield _logged("android", kind)
            told = kind or (told if _TRACE.search(line) else "")
    if current is not None:
        yield current.done()
