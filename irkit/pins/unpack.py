"""Takes the pin configuration out of an APK, AAB or IPA. Run as a child process: `python -m irkit.pins.unpack FILE`.

A package is hostile input of any size, so this process limits its own memory and time, and reads every part with a
bound. It prints one JSON document; `irkit.pins.package` starts it and reads that.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import zipfile
from typing import Any

from irkit.pins.binary_xml import Attributes, axml_text, proto_text
from irkit.pins.resources import find_resource

__all__ = ["main", "unpack"]

MEMORY = 1 << 30
SECONDS = 60
PART = 64 << 20  # bytes of a manifest, a configuration or resources.arsc
CODE = 256 << 20  # bytes looked at for pins written in code, all files together
PINS = 2000
_BLOCK = 4 << 20

_CONFIG, _VERSION, _DEBUGGABLE = 0x01010527, 0x0101021C, 0x0101000F  # of android.R.attr
_PIN = re.compile(rb"sha(?:256|1)/[A-Za-z0-9+/=_-]{20,90}")
_CODE = re.compile(r"(?:base/(?:dex/)?|)classes\d*\.dex|(?:base/)?assets/[^/]+\.(?:bundle|jsbundle)")


def _read(package: zipfile.ZipFile, name: str) -> bytes:
    with package.open(name) as part:
        data = part.read(PART + 1)
    if len(data) > PART:
        raise ValueError(f"{name} is larger than {PART} bytes")
    return data


def _code_pins(package: zipfile.ZipFile) -> list[dict[str, str]]:
    """Strings like pins in the code: OkHttp's are there as they were written."""
    found: dict[str, str] = {}
    left = CODE
    for name in sorted(name for name in package.namelist() if _CODE.fullmatch(name)):
        tail = b""
        with package.open(name) as part:
            while left > 0 and (block := part.read(_BLOCK)):
                left -= len(block)
                for match in _PIN.finditer(tail + block):
                    found.setdefault(match[0].decode(), name)
                tail = block[-128:]
        if len(found) > PINS:
            raise ValueError("too many strings like pins")
    # A string cut at the end of a block is a prefix of the one that the next block gives.
    whole = sorted(found)
    kept = [text for i, text in enumerate(whole) if i + 1 == len(whole) or not whole[i + 1].startswith(text)]
    return [{"file": found[text], "text": text} for text in kept]


def _attribute(attributes: Attributes, name: str, resource: int) -> tuple[str, int]:
    found = [item for item in attributes if item[2] == resource] or [item for item in attributes if item[0] == name]
    return (found[0][1], found[0][3]) if found else ("", 0)


def _android(package: zipfile.ZipFile, names: set[str]) -> dict[str, Any]:
    bundle = "base/manifest/AndroidManifest.xml" in names
    table = b"" if bundle or "resources.arsc" not in names else _read(package, "resources.arsc")

    def resolve(resource: int) -> str:
        try:
            return find_resource(table, resource)[0]
        except LookupError:
            return ""

    def parse(name: str) -> tuple[str, list[tuple[str, Attributes]]]:
        data = _read(package, name)
        return proto_text(data) if bundle else axml_text(data, resolve)

    _, elements = parse("base/manifest/AndroidManifest.xml" if bundle else "AndroidManifest.xml")
    by_name: dict[str, Attributes] = {}
    for element, attributes in elements:
        by_name.setdefault(element, attributes)
    manifest, application = by_name.get("manifest", []), by_name.get("application", [])
    written, resource = _attribute(application, "networkSecurityConfig", _CONFIG)
    paths: list[str] = []
    if bundle and written.startswith("@"):
        end = f"/{written.rpartition('/')[2]}.xml"
        paths = sorted((name for name in names if name.startswith("base/res/xml") and name.endswith(end)), key=len)
    elif resource:
        paths = [path for path in find_resource(table, resource)[1] if path in names]
    return {
        "kind": "aab" if bundle else "apk",
        "app": _attribute(manifest, "package", 0)[0],
        "version": _attribute(manifest, "versionName", _VERSION)[0],
        "debuggable": _attribute(application, "debuggable", _DEBUGGABLE)[0] == "true",
        "reference": written,
        "paths": paths,
        "xml": parse(paths[0])[0] if paths else "",
        "unread": [] if written else sorted(name for name in names if re.search(r"network_?security_?config", name)),
        "strings": _code_pins(package),
    }


def _ios(package: zipfile.ZipFile, names: set[str]) -> dict[str, Any]:
    found = sorted(name for name in names if re.fullmatch(r"Payload/[^/]+\.app/Info\.plist", name))
    return {
        "kind": "ipa",
        "paths": found[:1],
        "plist": base64.b64encode(_read(package, found[0])).decode(),
    }


def unpack(path: str) -> dict[str, Any]:
    """What a package says about pins, as plain values for JSON."""
    with zipfile.ZipFile(path) as package:
        names = set(package.namelist())
        if any(re.fullmatch(r"Payload/[^/]+\.app/Info\.plist", name) for name in names):
            return _ios(package, names)
        if names & {"AndroidManifest.xml", "base/manifest/AndroidManifest.xml"}:
            return _android(package, names)
    raise ValueError("neither an AndroidManifest.xml nor a Payload/*.app/Info.plist is in it")


def main(path: str) -> int:
    """Prints what `unpack` finds, or why it can't, as JSON."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    except (ImportError, ValueError, OSError):
        pass  # a system without these limits: the parent's clock still holds
    try:
        found = unpack(path)
    except ImportError:
        found = {"missing": "apkInspector"}
    except MemoryError:
        found = {"error": f"needs more than {MEMORY >> 20} MiB of memory"}
    except Exception as error:  # noqa: BLE001 - a damaged package raises any kind; it is told, not raised
        found = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
    json.dump(found, sys.stdout, sort_keys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
