"""Recognises a file that holds pins and reads it: the one way in for every format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, Unpack

from irkit.errors import InputError
from irkit.pins.android import ROOT, read_android
from irkit.pins.chromium import join_pins_file, read_chromium, read_chromium_pins
from irkit.pins.code import read_alamofire, read_curl, read_python, read_react_native, read_trustkit_source
from irkit.pins.hpkp import read_hpkp
from irkit.pins.ios import is_plist, read_plist
from irkit.pins.listing import read_list
from irkit.pins.okhttp import read_okhttp
from irkit.pins.package import is_package, read_package, read_unpacked, unpack_file
from irkit.pins.release import PLATFORMS, Platform, Release
from irkit.pins.report import read_inventory, read_report
from irkit.render import text

__all__ = ["FORMATS", "About", "load_release", "load_release_bytes"]

SIZE = 16 << 20  # bytes of a configuration or a source file


@dataclass(frozen=True, slots=True)
class _Format:
    """How one format is read: by a function of (raw, platform, name), for the platforms named, the first by default."""

    read: Callable[[bytes, Any, str], Release]
    platforms: tuple[Platform, ...]
    choose: bool = False  # the reader chooses the platform where none is given


_PACKAGED: tuple[Platform, ...] = ("android", "trustkit-android", "okhttp", "ios", "trustkit-ios")
FORMATS: dict[str, _Format] = {
    "android-xml": _Format(read_android, ("android", "trustkit-android")),
    "plist": _Format(read_plist, ("ios", "trustkit-ios"), choose=True),
    "package": _Format(read_package, _PACKAGED, choose=True),
    "unpacked": _Format(read_unpacked, _PACKAGED, choose=True),
    "okhttp-source": _Format(read_okhttp, ("okhttp",)),
    "trustkit-source": _Format(read_trustkit_source, ("trustkit-ios",)),
    "react-native-source": _Format(read_react_native, ("okhttp", "trustkit-ios")),
    "alamofire-source": _Format(read_alamofire, ("list",)),
    "hpkp": _Format(read_hpkp, ("hpkp",)),
    "chromium-json": _Format(read_chromium, ("chromium",)),
    "chromium-pins": _Format(read_chromium_pins, ("chromium",)),
    "curl": _Format(read_curl, ("curl",)),
    "python": _Format(read_python, ("python",)),
    "report": _Format(read_report, ("hpkp", "trustkit-ios", "trustkit-android"), choose=True),
    "inventory": _Format(read_inventory, ("list",)),
    "list": _Format(read_list, ("list", *(platform for platform in PLATFORMS if platform != "list"))),
}


class About(TypedDict, total=False):
    """What the incident file says of a release and its pin file does not.

    Attributes:
        app, version: What the release is called; default: what the file says, as an APK does.
        library: What decides, where the platform's rules depend on it, as "okhttp 4.12.0".
        released: When it reached its first users, aware.
        share: Its share of validations, 0 to 1.
    """

    app: str
    version: str
    library: str
    released: datetime | None
    share: float | None


def load_release(path: str | Path, *, platform: str | None = None, **about: Unpack[About]) -> Release:
    """Reads the pins that a release ships, from the file that a responder has at hand.

    Args:
        path: The file; its format is recognised by its content.
        platform: Whose rules to read it by, one of `PLATFORMS`; the format's own when left out.
        about: `app`, `version`, `library`, `released`, `share`: see `About`.

    Returns:
        The release; what is malformed in the file is a finding, not an error.

    Raises:
        InputError: The file can't be read, is in no known format, or the platform does not read that format.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
            raw = unpack_file(Path(path)) if is_package(head) else head + file.read(SIZE)
    except OSError as error:
        raise InputError(f"can't read {text(path)}: {text(error.strerror)}", "name a file with pins") from None
    form = "unpacked" if is_package(head) else None
    return load_release_bytes(join_pins_file(raw, Path(path)), name=str(path), format=form, platform=platform, **about)


def load_release_bytes(
    raw: bytes,
    *,
    name: str,
    format: str | None = None,  # noqa: A002 - the field of Release that it comes from
    platform: str | None = None,
    **about: Unpack[About],
) -> Release:
    """Reads the bytes of such a file; `Release.raw` with `Release.format` and its platform give the same release again.

    Args:
        raw: The bytes.
        name: What to call them in messages; becomes `Release.source`.
        format: The reader, as `Release.format` names it; recognised by the content when left out.
        platform: As for `load_release`.
        about: As for `load_release`.

    Raises:
        InputError: As `load_release`.
    """
    if platform is not None and platform not in PLATFORMS:
        raise InputError(f"unknown platform {text(platform, 60)!r}", "known are " + ", ".join(PLATFORMS))
    if format is not None and format not in FORMATS:
        raise InputError(f"unknown format {text(format, 60)!r}", "known are " + ", ".join(FORMATS))
    if len(raw) > SIZE and not is_package(raw) and format != "unpacked":
        raise InputError(f"{text(name)} is too large for a configuration", "give the file with the pins alone")
    chosen = format or _recognise(raw, platform)
    reader = FORMATS[chosen]
    if platform is not None and platform not in reader.platforms:
        raise InputError(
            f"{text(name)} is in the format {chosen}, which {platform} does not read",
            "leave the platform out, or give one of " + ", ".join(reader.platforms),
        )
    release = reader.read(raw, platform or (None if reader.choose else reader.platforms[0]), name)
    known: Any = about | {"app": about.get("app") or release.app, "version": about.get("version") or release.version}
    kept = "unpacked" if chosen == "package" else chosen
    return replace(release, **known, source=name, format=kept, raw=release.raw or raw)


# What only one format holds, the more telling first. Looked for in the whole file.
_SIGNS: tuple[tuple[str, bytes], ...] = (
    ("chromium-json", rb'"pinsets"\s*:'),
    ("report", rb'"known-pins"\s*:'),
    (
        "trustkit-source",
        rb"\bkTSK(PinnedDomains|PublicKeyHashes)\b|\bTrustKit\b.{0,200}\binitSharedInstance|[\"']TSKPinnedDomains",
    ),
    ("react-native-source", rb"\binitializeSslPinning\b|\bpublicKeyHashes\b|\bsslPinning\b"),
    ("alamofire-source", rb"\b(ServerTrustManager|PublicKeysTrustEvaluator|PinnedCertificatesTrustEvaluator)\b"),
    ("okhttp-source", rb"\b[Cc]ertificatePinner\b"),
    ("python", rb"\bassert_fingerprint\b|\bFingerprintAdapter\b"),
    ("curl", rb"\bpinnedpubkey\b|\bCURLOPT_PINNEDPUBLICKEY\b|\A\s*[\"']?sha256//"),
    ("hpkp", rb"(?i)public-key-pins|\A\s*pin-sha256=\"[^\n]*max-age|max-age[^\n]{0,500}pin-sha256"),
    ("chromium-pins", rb"\bPinsListTimestamp\b|\A(#[^\n]*\n|\s)*[A-Za-z]\w+\r?\n(sha256/|-----BEGIN )"),
    ("inventory", rb"(?m)^[ \t]*\[\[?[ \t]*(key|inspection|rotation)[ \t]*\]\]?"),
)
_COMPILED = tuple((name, re.compile(pattern)) for name, pattern in _SIGNS)


def _recognise(raw: bytes, platform: str | None) -> str:
    """The format of some bytes, by what they hold; the platform decides where nothing in them does."""
    if is_package(raw):
        return "package"
    head = raw[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if is_plist(raw):
        return "plist"
    if re.search(rb"<\s*" + ROOT.encode(), raw) or head.startswith((b"<", b"\xff\xfe<", b"\xfe\xff\0<")):
        return "android-xml"
    found = next((name for name, pattern in _COMPILED if pattern.search(raw)), "list")
    return (
        platform if found == "list" and platform in {"python", "curl", "hpkp"} and b"\n" not in raw.strip() else found
    )
