"""A chain, releases that pin it or don't, and the answer of a platform: what the tests of `irkit.accept` share."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from forge import EPOCH, make_key, root

from irkit.accept import accepts
from irkit.certificate import Certificate, Pin
from irkit.pins.release import ConfiguredPin, HostRule, Platform, Release
from irkit.trust import TrustStore

HOST = "api.example.com"
AT = EPOCH + timedelta(days=5)
ROOT = root("Accept Root", key=make_key("rsa"))
CA = ROOT.issue(cn="Accept CA", ca=True)
LEAF = CA.issue(HOST)
CHAIN = LEAF.chain
STORE = TrustStore("own", (ROOT.certificate,))
OTHER = ConfiguredPin("other", Pin(b"\x07" * 32))
SECOND = ConfiguredPin("second", Pin(b"\x08" * 32))

# Where each platform looks for a pin: these match the leaf only.
LEAF_ONLY = ("curl", "python")


def pin_of(certificate: Certificate, platform: Platform = "list", **more: Any) -> ConfiguredPin:
    if platform == "python":
        return ConfiguredPin(
            certificate.sha256, Pin(hashlib.sha256(certificate.der).digest()), of="certificate", **more
        )
    return ConfiguredPin(str(certificate.pin), certificate.pin, **more)


def release(platform: Platform, *pins: ConfiguredPin, pattern: str = HOST, library: str = "", **more: Any) -> Release:
    return Release(platform, (HostRule(pattern, pins=pins, **more),), library=library)


def answer(*arguments: Any, **more: Any) -> tuple[str, str]:
    found = accepts(*arguments, **({"host": HOST, "at": AT} | more))
    return found.answer, found.why


def rules(platform: Platform, *patterns: tuple[str, bool, ConfiguredPin]) -> Release:
    return Release(platform, tuple(HostRule(p, subdomains=s, pins=(pin,)) for p, s, pin in patterns))


GOOD = pin_of(LEAF.certificate)
MIDNIGHT = datetime(2026, 11, 8, tzinfo=UTC)
