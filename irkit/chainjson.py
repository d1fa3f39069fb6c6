"""Chains as JSON, certificate for certificate: what `irkit capture --json` prints and histories keep."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from irkit import render
from irkit.certificate import Certificate
from irkit.chain import Attempt, Chain, Obtained
from irkit.errors import InputError

__all__ = ["SCHEMA", "chain_from_json", "chain_from_value", "chain_to_json", "chain_to_value"]

SCHEMA = "irkit.chain/1"
_HINT = "give what irkit wrote"


def chain_to_json(chain: Chain) -> str:
    """The chain as JSON text: `chain_from_json` and `load_chain` read it back, DER for DER."""
    return json.dumps(chain_to_value(chain), indent=1)


def chain_from_json(text: str, where: str = "the JSON") -> Chain:
    """The chain that `chain_to_json` wrote, or a list of such that are all the same chain.

    Args:
        text: JSON text.
        where: What to call it in messages.

    Raises:
        InputError: It is none, a certificate's bytes are not those of its fingerprint, or the chains differ.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} begins like JSON but is none: {render.text(error, 100)}", _HINT) from None
    entries = value if isinstance(value, list) else [value]
    chains = [chain_from_value(entry, where) for entry in entries]
    if not chains:
        raise InputError(f"{where} is an empty list", _HINT)
    if len(set(chains)) > 1:
        raise InputError(
            f"{where} holds {len(set(chains))} different chains", "keep the one that is meant, in a file of its own"
        )
    return chains[0]


def chain_to_value(chain: Chain) -> dict[str, Any]:
    """The chain as JSON values. Subject, pin and fingerprint are there for readers; only `der` counts."""
    obtained = chain.obtained
    fields: dict[str, Any] = {name: getattr(obtained, name) for name in Obtained.__slots__}
    fields["at"] = obtained.at.isoformat().replace("+00:00", "Z") if obtained.at else None
    for name, raw in (("ocsp", obtained.ocsp), ("scts", obtained.scts)):
        fields[name] = base64.b64encode(raw).decode() if raw is not None else None
    fields["attempts"] = [{"where": a.where, "how": a.how, "reason": a.reason} for a in obtained.attempts]
    fields["findings"] = list(obtained.findings)
    return {
        "schema": SCHEMA,
        "certificates": [
            {
                "subject": c.subject,
                "pin": str(c.pin) if c.pin else None,
                "sha256": c.sha256,
                "der": base64.b64encode(c.der).decode(),
            }
            for c in chain
        ],
        "obtained": fields,
    }


def chain_from_value(value: object, where: str = "the JSON") -> Chain:
    """The chain that `chain_to_value` made.

    Args:
        value: JSON values as `json.loads` gives them.
        where: What to call it in messages.

    Raises:
        InputError: It is no such value, or a certificate's bytes are not those of its fingerprint.
    """
    entry = _mapping(value, where)
    if entry.get("schema") != SCHEMA:
        raise InputError(f"{where} says schema {render.text(entry.get('schema'), 60)}, not {SCHEMA}", _HINT)
    listed = entry.get("certificates")
    if not isinstance(listed, list) or not listed:
        raise InputError(f"{where} lists no certificates", _HINT)
    certificates = []
    for number, item in enumerate(listed):
        place = f"{where}, certificate {number}"
        raw = _bytes(_mapping(item, place).get("der"), place)
        certificate = Certificate.from_der(raw)
        if item.get("sha256") not in {None, certificate.sha256}:
            raise InputError(f"{place}: its bytes are not those of its sha256", "the file was changed: get it again")
        certificates.append(certificate)
    return Chain(tuple(certificates), _obtained(_mapping(entry.get("obtained", {}), where), where))


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} holds {type(value).__name__} where an object is wanted", _HINT)
    return value


def _bytes(value: object, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)  # type: ignore[arg-type]  # another type is one of the errors
    except (TypeError, ValueError, binascii.Error):
        raise InputError(f"{where}: not base64", _HINT) from None


def _obtained(fields: Mapping[str, Any], where: str) -> Obtained:
    """How the chain was obtained; each field of the type that it has, or an error that names it."""
    default = Obtained("file", where)
    known: dict[str, Any] = {}
    for name in Obtained.__slots__:
        value = fields.get(name)
        if value is None:
            continue
        try:
            if name == "at":
                known[name] = _time(value)
            elif name in {"ocsp", "scts"}:
                known[name] = base64.b64decode(value, validate=True)
            elif name == "attempts":
                known[name] = tuple(Attempt(str(a["where"]), str(a["how"]), str(a["reason"])) for a in value)
            elif name == "findings":
                known[name] = tuple(str(finding) for finding in value)
            elif name in {"port", "duration"}:
                known[name] = (int if name == "port" else float)(value)
            else:
                known[name] = _string(value)
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"{where}: obtained.{name} can't be read: {render.text(error, 80)}", _HINT) from None
    if known.get("how", "file") not in {"handshake", "hello", "file", "report"}:
        raise InputError(f"{where}: no way called {render.text(known['how'], 40)}", _HINT)
    if known.get("possession", "unproven") not in {"proven", "disproven", "unproven"}:
        raise InputError(f"{where}: possession {render.text(known['possession'], 40)}", _HINT)
    return replace(default, **known)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a string is wanted")
    return value


def _time(value: object) -> datetime:
    at = datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC)
