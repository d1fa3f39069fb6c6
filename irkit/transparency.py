"""Signed certificate timestamps (RFC 6962): are those of a chain really by the logs that they name?

A valid SCT says that a log has promised to publish the certificate. It says nothing of who asked for the certificate:
whoever hijacks a domain gets them, too.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from irkit import render
from irkit.chain import Chain
from irkit.errors import InputError
from irkit.messages import MalformedError, Reader
from irkit.trust import issuers

__all__ = ["LogList", "SctCheck", "check_scts", "load_logs"]

_SNAPSHOT = Path(__file__).with_name("ct_logs.json")
_OID = bytes.fromhex("060a2b06010401d679020402")  # 1.3.6.1.4.1.11129.2.4.2 in DER
_LIMIT = 2**24  # bytes of a log list


@dataclass(frozen=True, slots=True)
class LogList:
    """Known logs.

    Attributes:
        source: Where the list is from, and of when.
        logs: By log id, which is the SHA-256 of the key: name, and key as DER.
    """

    source: str
    logs: dict[bytes, tuple[str, bytes]]

    def __repr__(self) -> str:
        return f"LogList({len(self.logs)} logs, {render.text(self.source)})"


@dataclass(frozen=True, slots=True)
class SctCheck:
    """One SCT.

    Attributes:
        log: The log's name; its id in hex where the list has none such.
        at: When the log says it saw the certificate, aware UTC; None where it can't be read.
        delivered: In the certificate, in the TLS handshake, or in the stapled OCSP response.
        answer: `valid`, `invalid`, or `unknown` where it can't be checked.
        reason: Why it is not valid, in a sentence.
    """

    log: str
    at: datetime | None
    delivered: Literal["certificate", "tls", "ocsp"]
    answer: Literal["valid", "invalid", "unknown"]
    reason: str = ""


@lru_cache(maxsize=4)
def load_logs(path: str | Path | None = None) -> LogList:
    """Reads a log list in the form of Google's log_list.json, version 3.

    Args:
        path: The file; left out, the snapshot that ships with irkit: the logs that Chromium 150 (July 2026) knows.

    Raises:
        InputError: It can't be read, or is no such list.
    """
    shown = render.text(path or _SNAPSHOT, 200)
    try:
        with Path(path or _SNAPSHOT).open("rb") as file:
            document = json.loads(file.read(_LIMIT))
        entries = [log for one in document["operators"] for log in (*one.get("logs", ()), *one.get("tiled_logs", ()))]
        logs: dict[bytes, tuple[str, bytes]] = {}
        for entry in entries:
            key = base64.b64decode(entry["key"], validate=True)
            logs[hashlib.sha256(key).digest()] = (str(entry.get("description", "")) or "a log without a name", key)
        of = document.get("log_list_timestamp") or document.get("read") or "no date"
        return LogList(f"{document.get('source', shown)}, {of}", logs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{shown} is no log list: {render.text(error, 100)}", "give a log_list.json") from None


def check_scts(chain: Chain, logs: LogList | None = None, *, at: datetime | None = None) -> tuple[SctCheck, ...]:
    """Checks every SCT of a chain's leaf: in the certificate, in the handshake, in the stapled OCSP response.

    Args:
        chain: As captured; the leaf's issuer has to be in it for the SCTs in the certificate.
        logs: The logs to know; default: `load_logs()`.
        at: SCTs from after this time are invalid; aware; default: now.

    Returns:
        One check for each SCT, in that order; empty where there are none.
    """
    known, now = logs or load_logs(), at or datetime.now(UTC)
    found: list[SctCheck] = []
    leaf = chain.leaf.x509
    if leaf is None:
        return ()
    plain = b"\0\0" + _vector(chain.leaf.der, 3)
    if (raw := _embedded(leaf)) is not None:
        found += _each(raw, _precertificate(chain, leaf), known, now, "certificate")
    if chain.obtained.scts is not None:
        found += _each(chain.obtained.scts, plain, known, now, "tls")
    if chain.obtained.ocsp is not None and (raw := _in_ocsp(chain.obtained.ocsp)):
        found += _each(raw, plain, known, now, "ocsp")
    return tuple(found)


def _vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _octets(raw: bytes) -> bytes:
    """What an OCTET STRING holds."""
    from irkit.fields import der_element

    _, start, end = der_element(raw, 0, len(raw))
    return raw[start:end]


def _precertificate(chain: Chain, leaf: Any) -> bytes | None:
    """What a log signed before the certificate was issued (RFC 6962, section 3.2); None without the issuer's key."""
    issuer = next(iter(issuers(chain.leaf, chain[1:])), None)
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


def _in_ocsp(response: bytes) -> bytes | None:
    from cryptography.x509 import ocsp
    from cryptography.x509.oid import ObjectIdentifier

    try:
        extensions = ocsp.load_der_ocsp_response(response).single_extensions
        value = extensions.get_extension_for_oid(ObjectIdentifier("1.3.6.1.4.1.11129.2.4.5")).value
        return _octets(value.public_bytes())
    except Exception:  # noqa: BLE001 - as above
        return None


def _each(raw: bytes, entry: bytes | None, known: LogList, now: datetime, kind: Any) -> Iterator[SctCheck]:
    try:
        reader = Reader(Reader(raw).vector(2))
        while reader:
            yield _check(reader.vector(2), entry, known, now, kind)
    except MalformedError:
        yield SctCheck("unreadable", None, kind, "invalid", "the list of SCTs is malformed")


def _check(sct: bytes, entry: bytes | None, known: LogList, now: datetime, kind: Any) -> SctCheck:
    """RFC 6962, section 3.2."""
    reader = Reader(sct)
    version, log, stamp = reader.number(1), reader.take(32), reader.take(8)
    extensions, algorithms, signature = reader.vector(2), reader.number(2), reader.vector(2)
    try:
        at = datetime.fromtimestamp(int.from_bytes(stamp, "big") / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return SctCheck(log.hex(), None, kind, "invalid", "its time is out of range")
    if version != 0:
        return SctCheck(log.hex(), at, kind, "unknown", f"it is of version {version + 1}")
    if log not in known.logs:
        return SctCheck(log.hex(), at, kind, "unknown", f"no such log in {known.source}")
    name, key = known.logs[log]
    if at > now:
        return SctCheck(name, at, kind, "invalid", "it is from the future")
    if entry is None:
        return SctCheck(name, at, kind, "unknown", "the leaf's issuer was not presented, and is part of what is signed")
    content = b"\0\0" + stamp + entry + _vector(extensions, 2)
    if not _signed(key, algorithms, content, signature):
        return SctCheck(name, at, kind, "invalid", "it is not signed by that log for this certificate")
    return SctCheck(name, at, kind, "valid")


def _signed(key: bytes, algorithms: int, content: bytes, signature: bytes) -> bool:
    """Logs sign with ECDSA P-256 or RSA, over SHA-256 (RFC 6962, section 2.1.4)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        public = load_der_public_key(key)
        if isinstance(public, ec.EllipticCurvePublicKey) and algorithms == 0x0403:
            public.verify(signature, content, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public, rsa.RSAPublicKey) and algorithms == 0x0401:
            public.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except Exception:  # noqa: BLE001 - a wrong signature or a broken key: it proves nothing
        return False
    return True
