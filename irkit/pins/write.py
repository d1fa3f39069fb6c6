"""Writes pins in each platform's syntax, and makes backup keys. What a platform would refuse is not written."""

from __future__ import annotations

import os
import plistlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

from irkit.certificate import Pin
from irkit.chain import Chain
from irkit.errors import InputError
from irkit.pins.grammar import odd
from irkit.pins.load import load_release_bytes
from irkit.pins.release import Platform
from irkit.render import text
from irkit.trust import linked_path

__all__ = ["SYNTAXES", "Syntax", "new_backup", "pins_as"]

Syntax = Literal["android", "ios", "trustkit-android", "trustkit-ios", "okhttp", "hpkp", "curl", "keys.toml"]
Scope = Literal["leaf", "ca"]

_LDH = re.compile(r"(?=.{1,253}\Z)(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+\Z")
_SHORTEST = 12  # characters of a passphrase
_MAX_AGE = 60 * 24 * 3600  # RFC 7469, section 4.1, takes about 60 days for a balance


def pins_as(
    pins: Chain | Sequence[Pin | str],
    *,
    host: str,
    backup: Pin | str | None,
    syntax: Syntax,
    scope: Scope = "leaf",
    subdomains: bool = False,
    expires: str | None = None,
    now: datetime | None = None,
) -> str:
    """Pins of a host in one platform's syntax.

    Args:
        pins: The pins; of a chain the leaf's is taken, or those above it for the scope `ca`.
        host: The host as the platform is asked for it; an international name in its xn-- form.
        backup: The pin of a key that is not served yet. There is no configuration without one.
        syntax: One of `SYNTAXES`.
        scope: Whether the pins are those of leaf or of CA keys; iOS has a list for each.
        subdomains: Whether they count for subdomains too.
        expires: `yyyy-mm-dd`, for Android and TrustKit; nothing is pinned from that day on.
        now: Aware; the expiry has to lie after its day. Default: the present.

    Returns:
        Text that was read again as the platform reads it, and gives these pins.

    Raises:
        InputError: The backup is missing or one of the pins, a pin is a placeholder or no SHA-256 of a key, the host or
            the date is none, the date has passed, or the platform would refuse what comes out.
    """
    if syntax not in _WRITERS:
        raise InputError(f"unknown syntax {text(syntax, 40)!r}", "known are " + ", ".join(_WRITERS))
    name = host.strip().rstrip(".").lower()
    if not _LDH.match(name):
        raise InputError(
            f"{text(host, 80)!r} is no host that can be pinned",
            "give the name alone, without scheme, port and wildcard, an international one in its xn-- form",
        )
    if expires is not None and not re.fullmatch(r"2\d{3}-\d\d-\d\d", expires):
        raise InputError(f"{text(expires, 40)!r} is not a date", "write it as 2027-06-30")
    if expires is not None and expires <= f"{(now or datetime.now(UTC)).astimezone(UTC):%Y-%m-%d}":
        raise InputError(f"on {expires} the pins have expired already", "give a date to come, or none")
    own = _own(pins, scope)
    if backup is None:
        raise InputError(
            "pins without a backup are not written: when the key is lost, every user is locked out",
            "make one with `irkit pins new-backup backup.key`, and give its pin",
        )
    spare = _checked(backup)
    if spare in own or (isinstance(pins, Chain) and spare in pins.pins):
        raise InputError(f"the backup {spare} is one of the keys in use", "make another with `irkit pins new-backup`")
    shown = _WRITERS[syntax](name, [*own, spare], scope, subdomains, expires)
    _read_again(shown, syntax, {*own, spare})
    return shown


def _own(pins: Chain | Sequence[Pin | str], scope: Scope) -> list[Pin]:
    if isinstance(pins, Chain):
        # What a server sends along and nothing links to its leaf is no CA of its own.
        chosen = pins.pins[:1] if scope == "leaf" else tuple(c.pin for c in linked_path(pins)[1:])
        if None in chosen:
            raise InputError("a certificate of the chain has no key that can be pinned", "capture the chain again")
        found = [pin for pin in chosen if pin is not None]
    else:
        found = [_checked(pin) for pin in pins]
    if not found:
        what = "the chain has no certificate above its leaf" if isinstance(pins, Chain) else "there is no pin to write"
        raise InputError(what, "give at least one pin beside the backup")
    return list(dict.fromkeys(found))


def _checked(value: Pin | str) -> Pin:
    pin = Pin.parse(value) if isinstance(value, str) else value
    if pin.algorithm != "sha256":
        raise InputError(f"{pin} is no SHA-256: iOS and Android refuse it", "take the SHA-256 of the same key")
    if strange := odd(pin.base64, pin):
        raise InputError(f"{pin} {strange}", "take the pin of a real key: `irkit pins HOST` prints it")
    return pin


def _read_again(shown: str, syntax: Syntax, wanted: set[Pin]) -> None:
    """Holds what was written against the reader of the platform that is to take it."""
    platform: Platform = "list" if syntax == "keys.toml" else syntax
    source = f"CertificatePinner.Builder(){shown}" if syntax == "okhttp" else shown
    release = load_release_bytes(source.encode(), name=f"the {syntax} text", platform=platform)
    faults = [finding.says for finding in release.findings if finding.severity == "error"]
    if release.rejected or faults or set(release.pins) != wanted:
        why = release.rejected or "; ".join(faults) or "it gives other pins"
        raise InputError(
            f"the {syntax} text would not do: {text(why, 300)}", "give other pins, or another host or date"
        )


def _android(host: str, pins: list[Pin], _scope: Scope, subdomains: bool, expires: str | None) -> str:
    return _nsc(host, pins, subdomains, expires, "")


def _trustkit_android(host: str, pins: list[Pin], _scope: Scope, subdomains: bool, expires: str | None) -> str:
    return _nsc(host, pins, subdomains, expires, '        <trustkit-config enforcePinning="true" />\n')


def _nsc(host: str, pins: list[Pin], subdomains: bool, expires: str | None, more: str) -> str:
    lines = "".join(f'            <pin digest="SHA-256">{pin.base64}</pin>\n' for pin in pins)
    expiration = f' expiration="{expires}"' if expires else ""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<network-security-config>\n    <domain-config>\n'
        f'        <domain includeSubdomains="{str(subdomains).lower()}">{escape(host)}</domain>\n'
        f"        <pin-set{expiration}>\n{lines}        </pin-set>\n{more}"
        "    </domain-config>\n</network-security-config>\n"
    )


def _plist(value: dict[str, Any]) -> str:
    return plistlib.dumps(value, sort_keys=False).decode()


def _ios(host: str, pins: list[Pin], scope: Scope, subdomains: bool, expires: str | None) -> str:
    if expires:
        raise InputError("NSPinnedDomains has no expiry", "leave the date out for iOS")
    key = "NSPinnedLeafIdentities" if scope == "leaf" else "NSPinnedCAIdentities"
    entry = {"NSIncludesSubdomains": subdomains, key: [{"SPKI-SHA256-BASE64": pin.base64} for pin in pins]}
    return _plist({"NSAppTransportSecurity": {"NSPinnedDomains": {host: entry}}})


def _trustkit_ios(host: str, pins: list[Pin], _scope: Scope, subdomains: bool, expires: str | None) -> str:
    policy: dict[str, Any] = {
        "TSKIncludeSubdomains": subdomains,
        "TSKEnforcePinning": True,
        "TSKPublicKeyHashes": [pin.base64 for pin in pins],
    }
    if expires:
        policy["TSKExpirationDate"] = expires
    configuration = {"TSKSwizzleNetworkDelegates": False, "TSKPinnedDomains": {host: policy}}
    return _plist({"TSKConfiguration": configuration})


def _okhttp(host: str, pins: list[Pin], _scope: Scope, subdomains: bool, _expires: str | None) -> str:
    # `**.` covers the host itself too, from OkHttp 4.3 on.
    return f'.add("{"**." if subdomains else ""}{host}", ' + ", ".join(f'"{pin}"' for pin in pins) + ")\n"


def _hpkp(_host: str, pins: list[Pin], _scope: Scope, subdomains: bool, _expires: str | None) -> str:
    directives = [*(f'pin-sha256="{pin.base64}"' for pin in pins), f"max-age={_MAX_AGE}"]
    return "Public-Key-Pins: " + "; ".join(directives + ["includeSubDomains"] * subdomains) + "\n"


def _curl(host: str, pins: list[Pin], scope: Scope, _subdomains: bool, _expires: str | None) -> str:
    if scope == "ca":
        raise InputError("curl compares the leaf's key alone", "give the leaf's pins for curl")
    return f"curl --pinnedpubkey '{';'.join(f'sha256//{pin.base64}' for pin in pins)}' https://{host}/\n"


def _keys(host: str, pins: list[Pin], scope: Scope, _subdomains: bool, _expires: str | None) -> str:
    role = "leaf" if scope == "leaf" else "intermediate"
    entries = [
        f'[[key]]\npin = "{pin}"\nname = "{host} {status}"\nrole = "{role}"\nstatus = "{status}"\nhosts = ["{host}"]\n'
        for pin, status in zip(pins, ["active"] * (len(pins) - 1) + ["backup"], strict=True)
    ]
    return "\n".join(entries)


_WRITERS = {
    "android": _android,
    "ios": _ios,
    "trustkit-android": _trustkit_android,
    "trustkit-ios": _trustkit_ios,
    "okhttp": _okhttp,
    "hpkp": _hpkp,
    "curl": _curl,
    "keys.toml": _keys,
}
SYNTAXES: tuple[str, ...] = tuple(_WRITERS)


def new_backup(path: str | Path, *, kind: str = "ec", passphrase: str) -> Pin:
    """Makes a key to keep for the day that the one in use is lost, and writes it encrypted.

    Args:
        path: The new file, PKCS #8 in PEM, readable by its owner alone. A file that is there is not touched.
        kind: `ec` (P-256), `rsa` (3072 bits) or `ed25519`, which no public CA certifies yet.
        passphrase: At least 12 characters; keep it elsewhere than the file.

    Returns:
        The pin of the key, to put beside the one in use.

    Raises:
        InputError: The file is there, can't be written, the kind is unknown or the passphrase too short.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    makers: dict[str, Any] = {
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 3072),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    if kind not in makers:
        raise InputError(f"unknown kind of key {text(kind, 40)!r}", "known are " + ", ".join(makers))
    if len(passphrase) < _SHORTEST:
        raise InputError(f"a passphrase has at least {_SHORTEST} characters", "take four or five random words")
    key = makers[kind]()
    encryption = serialization.BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise InputError(f"{text(path)} is there already", "give the name of a new file") from None
    except OSError as error:
        raise InputError(
            f"can't write {text(path)}: {text(error.strerror)}", "give a folder that can be written"
        ) from None
    return Pin.of(spki)
