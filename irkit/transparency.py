"""Signed certificate timestamps (RFC 6962): are those of a chain really by the logs that they name?

A valid SCT says that a log has promised to publish the certificate. It says nothing of who asked for the certificate:
whoever hijacks a domain gets them, too.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from irkit import render
from irkit.certificate import Certificate, unwarned
from irkit.chain import Chain
from irkit.errors import InputError
from irkit.files import read_file
from irkit.messages import MalformedError, Reader
from irkit.signature import signs
from irkit.trust import issuers

__all__ = ["Log", "LogList", "SctCheck", "check_scts", "load_logs"]

_SNAPSHOT = Path(__file__).with_name("ct_logs.json")
_OID = bytes.fromhex("060a2b06010401d679020402")  # 1.3.6.1.4.1.11129.2.4.2 in DER
_LIMIT = 2**24  # bytes of a log list


@dataclass(frozen=True, slots=True)
class Log:
    """One log.

    Attributes:
        name: Its description in the list.
        key: Its public key, DER; empty where the list has only its id.
        operator: Who runs it.
        state: `pending`, `qualified`, `usable`, `readonly`, `retired` or `rejected`; empty where the list does not say.
        since: When that began, aware UTC; None where the list does not say.
        start, end: Certificates that expire from `start` on and before `end` are all it takes; None: no such limit.
    """

    name: str
    key: bytes
    operator: str = ""
    state: str = ""
    since: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None

    def disqualifies(self, at: datetime, expires: datetime | None) -> str:
        """Why an SCT of this log does not count, as Chromium's policy has it; empty where it does.

        Args:
            at: When the log says it saw the certificate.
            expires: The certificate's notAfter.

        Source: https://googlechrome.github.io/CertificateTransparency/log_states.html
        """
        on = f" on {self.since:%Y-%m-%d}" if self.since is not None else ""
        if self.state == "retired" and (self.since is None or at >= self.since):
            return f"the log was retired{on}, before it signed this" if on else "the log was retired"
        if self.state == "rejected":
            return f"the log was rejected{on}"
        if self.state == "pending":
            return "the log is not accepted by clients yet"
        low, high = self.start, self.end
        if expires is not None and ((low and expires < low) or (high and expires >= high)):
            first = f" from {low:%Y-%m-%d}" if low else ""
            last = f" to {high - timedelta(seconds=1):%Y-%m-%d}" if high else ""
            return f"the certificate expires on {expires:%Y-%m-%d}, and the log takes what expires{first}{last}"
        return ""


@dataclass(frozen=True, slots=True)
class LogList:
    """Known logs.

    Attributes:
        source: Where the list is from, and of when.
        logs: By log id, which is the SHA-256 of the key.
        at: Of when the list is, aware UTC; None where it doesn't say. Logs that are newer are not in it.
    """

    source: str
    logs: dict[bytes, Log]
    at: datetime | None = None

    def __repr__(self) -> str:
        return f"LogList({len(self.logs)} logs, {render.text(self.source)})"


@dataclass(frozen=True, slots=True)
class SctCheck:
    """One SCT.

    Attributes:
        log: The log's name; its id in hex where the list has none such.
        at: When the log says it saw the certificate, aware UTC; None where it can't be read.
        delivered: In the certificate, in the TLS handshake, or in the stapled OCSP response.
        answer: `valid`; `invalid`; `disqualified` where the log did sign it and clients don't count it; or `unknown`
            where it can't be checked.
        reason: Why it is not valid, in a sentence.
        operator: The log's; empty where it is not known.
    """

    log: str
    at: datetime | None
    delivered: Literal["certificate", "tls", "ocsp"]
    answer: Literal["valid", "invalid", "disqualified", "unknown"]
    reason: str = ""
    operator: str = ""


@lru_cache(maxsize=4)
def load_logs(path: str | Path | None = None) -> LogList:
    """Reads a log list in the form of Google's log_list.json, version 3, or all_logs_list.json.

    Args:
        path: The file; left out, the snapshot that ships with irkit, of August 2026.

    Raises:
        InputError: It can't be read, or is no such list.
    """
    shown = render.text(path or _SNAPSHOT, 200)
    data = read_file(path or _SNAPSHOT, "give a log_list.json", limit=_LIMIT, what="log list")
    try:
        document = json.loads(data)
        logs = dict(
            _log(entry, str(one.get("name", "")))
            for one in document["operators"]
            for entry in (*one.get("logs", ()), *one.get("tiled_logs", ()))
        )
        at = _moment(document.get("log_list_timestamp"))
        of = f"of {at:%Y-%m-%d}" if at else "of no date"
        return LogList(f"the log list {shown if path else 'that ships with irkit'}, {of}", logs, at)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{shown} is no log list: {render.text(error, 100)}", "give a log_list.json") from None


def _log(entry: dict[str, Any], operator: str) -> tuple[bytes, Log]:
    key = base64.b64decode(entry["key"], validate=True) if "key" in entry else b""
    name = str(entry.get("description") or entry.get("url") or "") or "a log without a name"
    state = next(iter(entry.get("state") or {"": {}}))
    interval = entry.get("temporal_interval") or {}
    return hashlib.sha256(key).digest() if key else base64.b64decode(entry["log_id"], validate=True), Log(
        name, key, operator, state, _moment((entry.get("state") or {}).get(state, {}).get("timestamp")),
        _moment(interval.get("start_inclusive")), _moment(interval.get("end_exclusive")),
    )  # fmt: skip


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).astimezone(UTC)


@unwarned()
def check_scts(
    chain: Chain, logs: LogList | None = None, *, at: datetime | None = None, extra: Iterable[Certificate] = ()
) -> tuple[SctCheck, ...]:
    """Checks every SCT of a chain's leaf: in the certificate, in the handshake, in the stapled OCSP response.

    Args:
        chain: As captured; for the SCTs in the certificate, the leaf's issuer has to be in it, or in `extra`.
        logs: The logs to know; default: `load_logs()`.
        at: SCTs from after this time are invalid; aware; default: now.
        extra: More certificates, such as roots, among which the leaf's issuer may be.

    Returns:
        One check for each SCT, in that order; empty where there are none.
    """
    known, now = logs or load_logs(), at or datetime.now(UTC)
    found: list[SctCheck] = []
    leaf = chain.leaf.x509
    if leaf is None:
        return ()
    plain = b"\0\0" + _vector(chain.leaf.der, 3)
    sources: list[tuple[bytes | None, bytes | None, Any]] = [
        (_embedded(leaf), _precertificate(chain, extra, leaf), "certificate"),
        (chain.obtained.scts, plain, "tls"),
        (_in_ocsp(chain.obtained.ocsp), plain, "ocsp"),
    ]
    for raw, entry, kind in sources:
        if raw is not None:
            found += _each(raw, _Asked(entry, known, now, kind, chain.leaf.not_after))
    return tuple(found)


class _Asked(NamedTuple):
    """What the SCTs of one list are checked against."""

    entry: bytes | None
    known: LogList
    now: datetime
    kind: Any
    expires: datetime | None


def _vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _octets(raw: bytes) -> bytes:
    """What an OCTET STRING holds."""
    from irkit.fields import der_element

    _, start, end = der_element(raw, 0, len(raw))
    return raw[start:end]


def _precertificate(chain: Chain, extra: Iterable[Certificate], leaf: Any) -> bytes | None:
    """What a log signed before the certificate was issued (RFC 6962, section 3.2); None without the issuer's key."""
    issuer = next(iter(issuers(chain.leaf, (*chain[1:], *extra))), None)
    if issuer is None or issuer.spki is None:
        return None
    try:
        return b"\0\1" + hashlib.sha256(issuer.spki).digest() + _vector(leaf.tbs_precertificate_bytes, 3)
    except ValueError:
        return None


def _embedded(leaf: Any) -> bytes | None:
    """The list in the certificate, as TLS writes it; None where there is none, nothing where it is broken."""
    from cryptography import x509

    try:
        extension = leaf.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
        return _octets(extension.value.public_bytes())
    except x509.ExtensionNotFound:
        return None
    except Exception:  # noqa: BLE001 - an extension is broken in one of many ways, maybe another than this one
        return b"" if _OID in leaf.tbs_certificate_bytes else None


def _in_ocsp(response: bytes | None) -> bytes | None:
    from cryptography.x509 import ocsp
    from cryptography.x509.oid import ObjectIdentifier

    if response is None:
        return None
    try:
        extensions = ocsp.load_der_ocsp_response(response).single_extensions
        value = extensions.get_extension_for_oid(ObjectIdentifier("1.3.6.1.4.1.11129.2.4.5")).value
        return _octets(value.public_bytes())
    except Exception:  # noqa: BLE001 - as above
        return None


def _each(raw: bytes, asked: _Asked) -> Iterator[SctCheck]:
    try:
        reader = Reader(Reader(raw).vector(2))
        while reader:
            yield _check(reader.vector(2), asked)
    except MalformedError:
        yield SctCheck("unreadable", None, asked.kind, "invalid", "the list of SCTs is malformed")


def _check(sct: bytes, asked: _Asked) -> SctCheck:
    """RFC 6962, section 3.2."""
    reader = Reader(sct)
    version, log, stamp = reader.number(1), reader.take(32), reader.take(8)
    extensions, algorithms, signature = reader.vector(2), reader.number(2), reader.vector(2)
    kind = asked.kind
    try:
        at = datetime.fromtimestamp(int.from_bytes(stamp, "big") / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return SctCheck(log.hex(), None, kind, "invalid", "its time is out of range")
    if version != 0:
        return SctCheck(log.hex(), at, kind, "unknown", f"it is of version {version + 1}")
    one = asked.known.logs.get(log)
    if one is None:
        return SctCheck(log.hex(), at, kind, "unknown", f"no such log in {asked.known.source}")

    def answer(word: Any, reason: str = "") -> SctCheck:
        return SctCheck(one.name, at, kind, word, reason, one.operator)

    if at > asked.now:
        return answer("invalid", "it is from the future")
    if not one.key:
        return answer("unknown", f"{asked.known.source} has this log without its key")
    if asked.entry is None:
        return answer("unknown", "the leaf's issuer was not presented, and is part of what is signed")
    content = b"\0\0" + stamp + asked.entry + _vector(extensions, 2)
    if not _signed(one.key, algorithms, content, signature):
        return answer("invalid", "it is not signed by that log for this certificate")
    against = one.disqualifies(at, asked.expires)
    return answer("disqualified", against) if against else answer("valid")


def _signed(key: bytes, algorithms: int, content: bytes, signature: bytes) -> bool:
    """Logs sign with ECDSA P-256 or RSA, over SHA-256 (RFC 6962, section 2.1.4)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        public = load_der_public_key(key)
        kinds = {0x0403: ec.EllipticCurvePublicKey, 0x0401: rsa.RSAPublicKey}
        return isinstance(public, kinds[algorithms]) and signs(public, signature, content, hashes.SHA256())
    except Exception:  # noqa: BLE001 - an unknown algorithm or a broken key: it proves nothing
        return False
