"""What changed on the server's side, and when: certificates as probers saw them, releases, deployments, notes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from irkit.render import moment, text

__all__ = ["KINDS", "ServerChange"]

KINDS = ("served", "issued", "planned", "release", "deployment", "note")


@dataclass(frozen=True, slots=True)
class ServerChange:
    """One change that a metric or the incident file dates. Its texts come from outside: show them escaped.

    Attributes:
        at: When it was first so, aware UTC; for `planned`, when it will be.
        what: In words.
        kind: `served`: a prober was given another certificate. `issued`: one was issued or lies on a disk, served or
            not. `planned`: a renewal to come. `release`, `deployment`: as the metric says. `note`: the incident file's.
        earliest: The last sample that showed it otherwise: the change lies after it. None if there is none.
        until: The last sample that showed it so, where later ones showed it otherwise; None if it still is.
        source: The metric's name, or `incident file`.
        where: Who was probed, in words.
        fingerprint: The leaf certificate's SHA-256 in lower hex, as `Certificate.sha256`; empty where the metric has
            none. It names the certificate, not its key.
        serial: The certificate's serial number as the metric writes it; empty where it has none.
    """

    at: datetime
    what: str
    kind: Literal["served", "issued", "planned", "release", "deployment", "note"] = "note"
    earliest: datetime | None = None
    until: datetime | None = None
    source: str = "incident file"
    where: str = ""
    fingerprint: str = ""
    serial: str = ""

    def __str__(self) -> str:
        after = f" (after {moment(self.earliest)})" if self.earliest is not None else ""
        until = f", until {moment(self.until)}" if self.until is not None else ""
        return f"{moment(self.at)}{after}{until}: {text(self.what, 200)}"
