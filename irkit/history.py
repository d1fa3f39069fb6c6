"""Earlier captures: a folder that grows by one small file a capture, with each certificate kept once.

    certificates/<sha256>.der               the certificate, named by what it is
    captures/<host>_<port>/<UTC>-<hash>.json   one capture: when, where from, and which certificates in which order

Every file is written beside its place and then renamed, so that a run that dies leaves the folder whole. File names are
made of hashes, times and safe characters only: host names come from outside.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from irkit import render
from irkit.certificate import Certificate, Pin
from irkit.chain import Chain
from irkit.chainjson import chain_from_value, chain_to_value
from irkit.errors import InputError, RunError
from irkit.files import write_whole

__all__ = ["History", "PastCapture", "Sighting", "add_capture", "read_history", "timeline"]

_SCHEMA = "irkit.capture/1"
_LIMIT = 2**25  # bytes of one file of the history


@dataclass(frozen=True, slots=True)
class PastCapture:
    """One earlier capture.

    Attributes:
        chain: As presented then; `chain.obtained` says how it was obtained.
        vantage: Where it was captured.
        trusted: Whether the owner trusted the path from there.
        at: When, aware UTC.
    """

    chain: Chain
    vantage: str
    trusted: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class History:
    """What a folder holds of one endpoint.

    Attributes:
        captures: Oldest first.
        findings: What could not be read, a line each; such an entry is left out of `captures`.
    """

    captures: tuple[PastCapture, ...]
    findings: tuple[str, ...] = ()


def add_capture(
    folder: str | os.PathLike[str],
    chain: Chain,
    *,
    vantage: str,
    trusted: bool,
    host: str | None = None,
    port: int | None = None,
    at: datetime | None = None,
) -> Path:
    """Adds a capture to the history.

    Args:
        folder: The history; made if it isn't there.
        chain: What was captured.
        vantage: Where it was captured.
        trusted: Whether the owner trusts the path from there.
        host: The endpoint, where `chain.obtained` doesn't say it (a chain from a file).
        port: Its port; default: `chain.obtained`'s, else 443.
        at: When it was captured, aware; default: `chain.obtained.at`.

    Returns:
        The file that records it. Adding the same capture again gives the same file.

    Raises:
        InputError: Host or time are unknown.
        RunError: The folder can't be written.
    """
    obtained = chain.obtained
    name, number, when = host or obtained.host, port or obtained.port or 443, at or obtained.at
    if not name:
        raise InputError("a chain from a file doesn't say whose it is", "give host=")
    if when is None or when.tzinfo is None:
        raise InputError("the history needs the time of a capture", "give at= as an aware datetime")
    when = when.astimezone(UTC)
    value = chain_to_value(chain)
    value["certificates"] = [certificate.sha256 for certificate in chain]
    entry = {
        "schema": _SCHEMA,
        "host": name,
        "port": number,
        "vantage": vantage,
        "trusted": trusted,
        "at": when.isoformat().replace("+00:00", "Z"),
        "chain": value,
    }
    data = (json.dumps(entry, indent=1, sort_keys=True) + "\n").encode()
    short = hashlib.sha256(data).hexdigest()[:12]
    place = Path(folder)
    try:
        for certificate in chain:
            kept = place / "certificates" / f"{certificate.sha256}.der"
            if not kept.is_file() or kept.read_bytes() != certificate.der:
                write_whole(kept, certificate.der)
        written = place / "captures" / _slug(name, number) / f"{when:%Y%m%dT%H%M%S}Z-{short}.json"
        write_whole(written, data)
    except OSError as error:
        raise RunError(
            f"can't write the history {render.text(folder, 200)}: {error.strerror or error}",
            "check the folder's rights and the space left; what was there before is unharmed",
        ) from None
    return written


def _slug(host: str, port: int) -> str:
    """A folder name for an endpoint: the host where it is plain, else its plain characters and a hash."""
    plain = host.lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,99}", plain) or ".." in plain:
        safe = re.sub(r"[^a-z0-9-]+", "-", plain)[:60].strip("-")
        plain = f"{safe}-{hashlib.sha256(plain.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}".lstrip("-")
    return f"{plain}_{port}"


def read_history(folder: str | os.PathLike[str], host: str, port: int = 443) -> History:
    """The captures of an endpoint, oldest first, and what could not be read.

    An endpoint that was never captured has an empty history.

    Raises:
        InputError: There is no such folder, or it can't be read.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(
            f"there is no history folder {render.text(place, 200)}",
            "check the path; irkit capture HOST --history DIR makes one",
        )
    own = place / "captures" / _slug(host, port)
    captures: list[PastCapture] = []
    findings: list[str] = []
    try:
        files = sorted(own.iterdir()) if own.is_dir() else []
    except OSError as error:
        raise InputError(
            f"can't read the history {render.text(own, 200)}: {error.strerror or error}", "check the folder's rights"
        ) from None
    for file in files:
        if file.name.startswith(".new-"):  # a run died while it wrote; it never counted
            continue
        try:
            captures.append(_read(place, file, host, port))
        except (InputError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            why = error.message if isinstance(error, InputError) else error
            findings.append(f"history entry {render.text(file.name, 80)} can't be read: {render.text(why, 200)}")
    captures.sort(key=lambda capture: capture.at)
    return History(tuple(captures), tuple(findings))


def _read(place: Path, file: Path, host: str, port: int) -> PastCapture:
    entry = json.loads(_bytes(file))
    if not isinstance(entry, dict) or entry.get("schema") != _SCHEMA:
        raise InputError(f"it is not of schema {_SCHEMA}")
    if (str(entry["host"]).lower().rstrip("."), entry["port"]) != (host.lower().rstrip("."), port):
        raise InputError("it is another endpoint's")
    at = datetime.fromisoformat(entry["at"])
    if at.tzinfo is None:
        raise InputError("its time has no zone")
    if not isinstance(entry["trusted"], bool) or not isinstance(entry["vantage"], str):
        raise InputError("vantage or trusted is of another type")
    value: dict[str, Any] = dict(entry["chain"])
    value["certificates"] = [_certificate(place, name) for name in value["certificates"]]
    return PastCapture(chain_from_value(value, "its chain"), entry["vantage"], entry["trusted"], at.astimezone(UTC))


def _bytes(file: Path) -> bytes:
    if not file.is_file():
        raise InputError("it is no file")
    with file.open("rb") as opened:
        data = opened.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise InputError(f"it is larger than {_LIMIT >> 20} MB")
    return data


def _certificate(place: Path, name: object) -> dict[str, str]:
    """A certificate by its fingerprint, as `chain_from_value` wants it; its bytes must still be those."""
    if not isinstance(name, str) or not re.fullmatch(r"[0-9a-f]{64}", name):
        raise InputError("it names a certificate by something else than a fingerprint")
    try:
        raw = _bytes(place / "certificates" / f"{name}.der")
    except (InputError, OSError):
        raise InputError(f"its certificate {name[:16]}… is gone or can't be read") from None
    certificate = Certificate.from_der(raw)
    if certificate.sha256 != name:
        raise InputError(f"its certificate {name[:16]}… was changed")
    return {"der": base64.b64encode(raw).decode(), "sha256": name}


@dataclass(frozen=True, slots=True)
class Sighting:
    """How long a chain or a key was seen.

    Attributes:
        kind: `chain` or `key`.
        id: The chain's SHA-256 in hex, or the key's pin as text.
        first, last: Its first and last capture, aware UTC.
        captures: How many.
        positions: Where in the chains the key stood, leaf 0; empty for a chain.
        vantages: From where it was seen, sorted.
        trusted: Whether a trusted vantage saw it.
        subject: The (leaf) certificate's subject when first seen; hostile, show it through irkit.render.
    """

    kind: Literal["chain", "key"]
    id: str
    first: datetime
    last: datetime
    captures: int
    positions: tuple[int, ...]
    vantages: tuple[str, ...]
    trusted: bool
    subject: str = ""


def timeline(captures: Iterable[PastCapture]) -> tuple[Sighting, ...]:
    """When each presented chain and each key was first and last seen: chains, then keys, each by first sight."""
    seen: dict[tuple[Literal["chain", "key"], str], list[tuple[PastCapture, int, Certificate]]] = {}
    for capture in sorted(captures, key=lambda capture: capture.at):
        seen.setdefault(("chain", capture.chain.sha256), []).append((capture, 0, capture.chain.leaf))
        for position, certificate in enumerate(capture.chain):
            pin: Pin | None = certificate.pin
            if pin is not None:
                seen.setdefault(("key", str(pin)), []).append((capture, position, certificate))
    found = []
    for (kind, name), sights in seen.items():
        found.append(
            Sighting(
                kind=kind,
                id=name,
                first=sights[0][0].at,
                last=sights[-1][0].at,
                captures=len({id(capture) for capture, _, _ in sights}),
                positions=tuple(sorted({position for _, position, _ in sights})) if kind == "key" else (),
                vantages=tuple(sorted({capture.vantage for capture, _, _ in sights})),
                trusted=any(capture.trusted for capture, _, _ in sights),
                subject=sights[0][2].subject or "",
            )
        )
    return tuple(sorted(found, key=lambda sight: (sight.kind, sight.first)))
