"""APK, AAB and IPA files: a child process takes the configuration out, this module reads what it found.

What the child printed is the release's `raw`, so that evidence replays without the package and without apkInspector.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from irkit.errors import InputError, MissingExtraError
from irkit.pins.android import read_android
from irkit.pins.ios import read_plist
from irkit.pins.notes import Notes
from irkit.pins.release import HostRule, PinFinding, Platform, Release
from irkit.render import text

__all__ = ["is_package", "read_package", "read_unpacked", "unpack_file"]

WALL = 90.0  # seconds that the child may take
_OUTPUT = 64 << 20


def is_package(head: bytes) -> bool:
    """Whether a file that begins like this is a ZIP."""
    return head.startswith(b"PK\x03\x04")


def unpack_file(path: Path) -> bytes:
    """Takes the configuration out of a package, in a child process with limits on memory and time.

    Returns:
        JSON, as `read_unpacked` reads it.

    Raises:
        InputError: It is no such package, is damaged, or needs more than the limits.
        MissingExtraError: An APK needs apkInspector, which is not installed.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with tempfile.TemporaryFile() as output:
        try:
            subprocess.run(  # noqa: S603 - this interpreter, our module; the path is one argument
                [sys.executable, "-P", "-m", "irkit.pins.unpack", str(path.absolute())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=WALL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InputError(
                f"{text(path)} took more than {WALL:g} s to unpack", "give the configuration file itself"
            ) from None
        output.seek(0)
        raw = output.read(_OUTPUT + 1)
    found = _document(raw, str(path))
    if found.get("missing"):
        raise MissingExtraError(
            "reading an APK needs apkInspector", "pip install 'irkit[apk]', or give network_security_config.xml itself"
        )
    if "error" in found:
        raise InputError(
            f"{text(path)} can't be unpacked: {text(found['error'], 300)}", "give the configuration file itself"
        )
    return raw


def _document(raw: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(raw) if len(raw) <= _OUTPUT else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        # Killed at a limit, most likely: nothing, or half a document, was printed.
        raise InputError(f"{text(name)} can't be unpacked within 1 GiB and 60 s", "give the configuration file itself")
    return found


def read_package(raw: bytes, platform: Platform | None, name: str) -> Release:
    """Reads the bytes of a package.

    Raises:
        InputError, MissingExtraError: As `unpack_file`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "package.zip"
        path.write_bytes(raw)
        try:
            unpacked = unpack_file(path)
        except InputError as error:
            raise InputError(error.message.replace(str(path), text(name)), error.hint) from None
    return read_unpacked(unpacked, platform, name)


def read_unpacked(raw: bytes, platform: Platform | None, name: str) -> Release:
    """Reads what the child found.

    Args:
        raw: Its JSON.
        platform: Whose pins: `android` or `trustkit-android` (the network security configuration), `okhttp` (strings in
            the code), `ios` or `trustkit-ios`. None takes the configuration, or the strings where only they are pins.
        name: What to call the package in messages.

    Raises:
        InputError: It is no such JSON, or the platform is not one of this kind of package.
    """
    found = _document(raw, name)
    try:
        release = _ios(found, platform, name) if found["kind"] == "ipa" else _android(found, platform, name)
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise InputError(
            f"{text(name)} holds no unpacked package: {type(error).__name__}", "give the APK or IPA"
        ) from None
    return replace(release, raw=raw)


def _ios(found: dict[str, Any], platform: Platform | None, name: str) -> Release:
    plist = base64.b64decode(found["plist"])
    asked = _one_of(platform, ("ios", "trustkit-ios"), name)
    release = read_plist(plist, asked, name)
    says = f"read from {text(found['paths'][0], 120)}"
    return replace(release, findings=(*release.findings, PinFinding("from-package", "info", says)))


def _one_of(platform: Platform | None, known: tuple[Any, ...], name: str) -> Any:
    if platform is not None and platform not in known:
        raise InputError(f"{text(name)} has no pins that {platform} reads", "give one of " + ", ".join(known))
    return platform


def _android(found: dict[str, Any], platform: Platform | None, name: str) -> Release:
    asked = _one_of(platform, ("android", "trustkit-android", "okhttp"), name)
    xml = str(found["xml"])
    notes = Notes(asked if asked in {"android", "trustkit-android"} else "android")
    release = read_android(xml.encode(), _nsc(asked), name) if xml else Release(notes.platform, ())
    strings = [(str(item["text"]), str(item["file"])) for item in found["strings"]]
    _say_where(found, xml, notes)
    live = any(rule.pins for rule in release.rules)
    if asked == "okhttp" or (asked is None and strings and not live):
        if live:
            notes.add("second-configuration", "info", "the network security config pins too: platform android")
        release = replace(_okhttp(strings, notes), app="", version="")
    elif strings:
        says = f"{len(strings)} strings in the code are pins, for OkHttp most likely: read them with platform okhttp"
        notes.add("second-configuration", "info", says)
    return replace(
        release,
        app=str(found["app"]),
        version=str(found["version"]),
        findings=(*release.findings, *(item for item in notes.findings if item not in release.findings)),
    )


def _nsc(asked: str | None) -> Literal["android", "trustkit-android"]:
    return "trustkit-android" if asked == "trustkit-android" else "android"


def _say_where(found: dict[str, Any], xml: str, notes: Notes) -> None:
    reference, paths = str(found["reference"]), [str(path) for path in found["paths"]]
    if xml:
        others = f"; devices may choose {text(', '.join(paths[1:]), 200)} instead" if paths[1:] else ""
        severity: Literal["warning", "info"] = "warning" if others else "info"
        notes.add("from-package", severity, f"read from {text(paths[0], 120)}, {text(reference, 120)}{others}")
    elif reference:
        says = f"the manifest names {text(reference, 120)}, which is not in the package: the app breaks at its start"
        notes.add("config-missing", "error", says, "AndroidManifest.xml")
    elif found["unread"]:
        says = f"{text(found['unread'][0], 120)} is in the package, but the manifest has no networkSecurityConfig"
        notes.add("config-unread", "error", f"{says}: it is not read", "AndroidManifest.xml")
    else:
        notes.add("no-config", "info", "the manifest has no networkSecurityConfig", "AndroidManifest.xml")
    if found["debuggable"]:
        notes.add("debuggable", "warning", "the app is debuggable: debug-overrides act in it", "AndroidManifest.xml")


def _okhttp(strings: list[tuple[str, str]], notes: Notes) -> Release:
    inner = Notes("okhttp")
    pins = tuple(inner.pin(value, where=file) for value, file in strings)
    rules: tuple[HostRule, ...] = ()
    if pins:
        says = "which host each pin in the code is for is not known: they count for every host here"
        inner.add("unknown-host", "warning", says, pins[0].where)
        rules = (HostRule("*", False, pins, frozenset({"any"}), where=pins[0].where),)
    # A string like a pin may never reach CertificatePinner: a malformed one is told, and refuses nothing.
    return Release("okhttp", rules, findings=(*inner.findings, *notes.findings))
