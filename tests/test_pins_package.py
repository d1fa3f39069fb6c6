"""Pins inside APK, AAB and IPA files: made here byte by byte, and by aapt2 where it is installed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import plistlib
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from forge import root

from irkit.accept import accepts
from irkit.errors import InputError, MissingExtraError
from irkit.pins import Anchor, Release, load_release, load_release_bytes, package

A = base64.b64encode(hashlib.sha256(b"a").digest()).decode()
B = base64.b64encode(hashlib.sha256(b"b").digest()).decode()
NSC = f"""<network-security-config>
  <domain-config>
    <domain includeSubdomains="true">a.example</domain>
    <pin-set expiration="2027-01-31">
      <pin digest="SHA-256">{A}</pin>
      <pin digest="SHA-256">{B}</pin>
    </pin-set>
    <trust-anchors><certificates src="@raw/ca"/><certificates src="system"/></trust-anchors>
  </domain-config>
</network-security-config>"""
ANDROID = "{http://schemas.android.com/apk/res/android}"
MANIFEST = f"""<manifest xmlns:android="{ANDROID[1:-1]}" package="com.example.shop" android:versionName="4.2.0">
<application android:networkSecurityConfig="@xml/nsc" android:debuggable="false"/></manifest>"""
FRAMEWORK = {"versionName": 0x0101021C, "networkSecurityConfig": 0x01010527, "debuggable": 0x0101000F}
RESOURCES = {"@xml/nsc": 0x7F020000, "@raw/ca": 0x7F010000}
NOTHING = 0xFFFFFFFF


def chunk(kind: int, header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<HHI", kind, 8 + len(header), 8 + len(header) + len(body)) + header + body


def string_pool(strings: list[str], *, utf8: bool) -> bytes:
    offsets, data = b"", b""
    for value in strings:
        offsets += struct.pack("<I", len(data))
        raw = value.encode("utf-8" if utf8 else "utf-16-le")
        data += bytes([len(value), len(raw)]) + raw + b"\0" if utf8 else struct.pack("<H", len(value)) + raw + b"\0\0"
    data += b"\0" * (-len(data) % 4)
    header = struct.pack("<5I", len(strings), 0, 0x100 if utf8 else 0, 28 + len(offsets), 0)
    return chunk(0x0001, header, offsets + data)


def binary_xml(source: str) -> bytes:
    """Android's binary XML of a document: resource ids first in the string pool, then names and values."""
    root = ET.fromstring(source)
    used = {key.removeprefix(ANDROID) for node in root.iter() for key in node.attrib if key.startswith(ANDROID)}
    names = [name for name in FRAMEWORK if name in used]
    strings = [*names]
    texts: list[str] = []

    def index(value: str) -> int:
        if value not in strings:
            strings.append(value)
        return strings.index(value)

    def visit(node: ET.Element, line: int) -> bytes:
        attributes = b""
        for key, value in node.attrib.items():
            space = index(ANDROID[1:-1]) if key.startswith(ANDROID) else NOTHING
            kind, data = 3, index(value)
            if value in RESOURCES:
                kind, data = 1, RESOURCES[value]
            elif value in {"true", "false"}:
                kind, data = 0x12, NOTHING if value == "true" else 0
            name = index(key.removeprefix(ANDROID))
            attributes += struct.pack("<IIIHBBI", space, name, NOTHING, 8, 0, kind, data)
        tag = struct.pack("<II", NOTHING, index(node.tag))
        sizes = struct.pack("<6H", 20, 20, len(node.attrib), 0, 0, 0)
        head = struct.pack("<II", line, NOTHING)
        out = chunk(0x0102, head, tag + sizes + attributes)
        if (node.text or "").strip():
            texts.append(str(node.text))
            out += chunk(0x0104, head, struct.pack("<IHBBI", index(str(node.text)), 8, 0, 0, 0))
        for i, child in enumerate(node):
            out += visit(child, line + i + 1)
        return out + chunk(0x0103, head, tag)

    body = visit(root, 1)
    ids = chunk(0x0180, b"", struct.pack(f"<{len(names)}I", *(FRAMEWORK[name] for name in names)))
    whole = string_pool(strings, utf8=False) + ids + body
    return struct.pack("<HHI", 0x0003, 8, 8 + len(whole)) + whole


def resource_table(*, compact: bool = False, sparse: bool = False) -> bytes:
    """resources.arsc with raw/ca and xml/nsc; the latter also for API 24, which is no default."""
    values = string_pool(["res/raw/ca.pem", "res/xml/nsc.xml", "res/xml-v24/nsc.xml"], utf8=True)
    keys = string_pool(["ca", "nsc"], utf8=True)

    def entry(key: int, value: int) -> bytes:
        if compact:
            return struct.pack("<HHI", key, 8 | 3 << 8, value)
        return struct.pack("<HHIHBBI", 8, 0, key, 8, 0, 3, value)

    def of_type(number: int, data: bytes, version: int = 0) -> bytes:
        """A type chunk with one entry, number 0 at offset 0."""
        config = struct.pack("<I", 28) + bytes(20) + struct.pack("<HH", version, 0)
        header = struct.pack("<BBHII", number, sparse, 0, 1, 20 + len(config) + 4) + config
        return chunk(0x0201, header, bytes(4) + data)

    types = [of_type(1, entry(0, 0)), of_type(2, entry(1, 2), 24), of_type(2, entry(1, 1))]
    type_names = string_pool(["raw", "xml"], utf8=False)
    names = struct.pack("<I", 0x7F) + bytes(256)
    offsets = struct.pack("<5I", 288, 0, 288 + len(type_names), 0, 0)
    content = chunk(0x0200, names + offsets, type_names + keys + b"".join(types))
    return chunk(0x0002, struct.pack("<I", 1), values + content)


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def proto_xml(source: str) -> bytes:
    """The XmlNode that an AAB holds for a document."""

    def visit(node: ET.Element, line: int) -> bytes:
        out = field(3, node.tag.encode())
        for key, value in node.attrib.items():
            item = field(2, key.removeprefix(ANDROID).encode()) + field(3, value.encode())
            out += field(4, item + (field(5, FRAMEWORK[key.removeprefix(ANDROID)]) if key.startswith(ANDROID) else b""))
        if (node.text or "").strip():
            out += field(5, field(2, str(node.text).encode()))
        for i, child in enumerate(node):
            out += field(5, visit(child, line + i + 1))
        return field(1, out) + field(3, field(1, line))

    return visit(ET.fromstring(source), 1)


def zipped(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def apk(manifest: str = MANIFEST, nsc: str = NSC, table: bytes | None = None, **more: bytes) -> bytes:
    parts = {"AndroidManifest.xml": binary_xml(manifest), "resources.arsc": table or resource_table()}
    return zipped(parts | {"res/xml/nsc.xml": binary_xml(nsc)} | more)


def read(raw: bytes, tmp_path: Path, **options: Any) -> Release:
    path = tmp_path / "app.zip"
    path.write_bytes(raw)
    release = load_release(path, **options)
    again = load_release_bytes(release.raw, name=str(path), format=release.format, platform=release.platform)
    assert again == release
    return release


def ids(release: Release) -> set[str]:
    return {finding.id for finding in release.findings}


@pytest.mark.parametrize("form", [{}, {"compact": True}, {"sparse": True}])
def test_the_configuration_of_an_apk_is_found_through_its_resources(form: dict[str, bool], tmp_path: Path) -> None:
    release = read(apk(table=resource_table(**form)), tmp_path)
    (rule,) = release.rules
    assert (release.platform, release.name) == ("android", "com.example.shop 4.2.0")
    assert (rule.pattern, rule.subdomains, rule.expires) == ("a.example", True, "2027-01-31")
    assert [pin.pin.base64 for pin in rule.pins if pin.pin] == [A, B]
    assert rule.anchors == (Anchor("@raw/ca"), Anchor("system"))
    assert ids(release) == {"from-package"}
    assert load_release_bytes(apk(table=resource_table(**form)), name=release.source) == release
    assert "res/xml/nsc.xml" in release.findings[0].says


def test_the_configuration_of_an_app_bundle_is_found_by_its_name(tmp_path: Path) -> None:
    bundle = zipped(
        {
            "BundleConfig.pb": b"",
            "base/manifest/AndroidManifest.xml": proto_xml(MANIFEST),
            "base/res/xml/nsc.xml": proto_xml(NSC),
            "base/dex/classes.dex": b"\0" * 100 + f"sha256/{A}".encode() + b"\0",
        }
    )
    release = read(bundle, tmp_path)
    assert (release.name, release.rules[0].pattern, len(release.pins)) == ("com.example.shop 4.2.0", "a.example", 2)
    assert ids(release) == {"from-package", "second-configuration"}


def test_pins_in_the_code_are_found_across_blocks_and_taken_where_nothing_else_pins(tmp_path: Path) -> None:
    edge = (4 << 20) - 20
    dex = {"classes.dex": b"x" * edge + f"sha256/{A}".encode() + b"\0", "classes2.dex": f"\0sha256/{B}\0".encode()}
    bare = apk(manifest=MANIFEST.replace(' android:networkSecurityConfig="@xml/nsc"', ""), **dex)
    release = read(bare, tmp_path)
    assert (release.platform, {pin.base64 for pin in release.pins}) == ("okhttp", {A, B})
    assert [(rule.pattern, len(rule.pins)) for rule in release.rules] == [("*", 2)]
    assert "unknown-host" in ids(release)
    both = apk(**dex)
    assert read(both, tmp_path).platform == "android"
    assert len(read(both, tmp_path, platform="okhttp").rules) == 1


def test_a_configuration_that_the_manifest_does_not_name_is_not_read(tmp_path: Path) -> None:
    manifest = MANIFEST.replace(' android:networkSecurityConfig="@xml/nsc"', "")
    release = read(apk(manifest=manifest, **{"res/xml/network_security_config.xml": binary_xml(NSC)}), tmp_path)
    assert release.rules == ()
    assert [(finding.id, finding.severity) for finding in release.findings] == [("config-unread", "error")]


def test_a_configuration_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    parts = {"AndroidManifest.xml": binary_xml(MANIFEST), "resources.arsc": resource_table()}
    assert "config-missing" in ids(read(zipped(parts), tmp_path))


def test_a_debuggable_app_is_told_and_a_refused_pin_is_still_refused(tmp_path: Path) -> None:
    manifest = MANIFEST.replace('debuggable="false"', 'debuggable="true"')
    release = read(apk(manifest=manifest, nsc=NSC.replace(B, "short")), tmp_path)
    assert "debuggable" in ids(release)
    assert release.rejected


def test_debug_overrides_of_a_debuggable_apk_decide_on_the_device(tmp_path: Path) -> None:
    debug = '<debug-overrides><trust-anchors><certificates src="user"/></trust-anchors></debug-overrides>'
    nsc = NSC.replace("</network-security-config>", f"{debug}</network-security-config>")
    chain = root().issue("a.example").chain
    answers = []
    for flag in ("true", "false"):
        manifest = MANIFEST.replace('debuggable="false"', f'debuggable="{flag}"')
        release = read(apk(manifest=manifest, nsc=nsc), tmp_path)
        assert release.debug_anchors == (Anchor("user", override_pins=True),)
        answers.append(accepts(release, chain, host=release.rules[0].pattern).why)
    assert answers == ["override", "pin"]


@pytest.mark.parametrize("fmt", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_the_info_plist_of_an_ipa_is_read(fmt: plistlib.PlistFormat, tmp_path: Path) -> None:
    entry = {"NSPinnedLeafIdentities": [{"SPKI-SHA256-BASE64": A}]}
    info = {"NSAppTransportSecurity": {"NSPinnedDomains": {"a.example": entry}}}
    ipa = zipped(
        {
            "Payload/Shop.app/Frameworks/X.framework/Info.plist": plistlib.dumps({}),
            "Payload/Shop.app/Info.plist": plistlib.dumps(info, fmt=fmt),
        }
    )
    release = read(ipa, tmp_path)
    assert (release.platform, release.rules[0].pattern, len(release.pins)) == ("ios", "a.example", 1)
    with pytest.raises(InputError, match="no pins that android reads"):
        read(ipa, tmp_path, platform="android")


@pytest.mark.parametrize(
    "raw",
    [
        b"PK\x03\x04" + b"\0" * 100,
        zipped({"readme.txt": b"x"}),
        zipped({"AndroidManifest.xml": b""}),
        zipped({"AndroidManifest.xml": b"\xff" * 1000}),
        zipped({"AndroidManifest.xml": binary_xml(MANIFEST), "resources.arsc": b"\x02\0\x0c\0\xff\xff\0\0"}),
        zipped({"Payload/X.app/Info.plist": b"no plist"}),
        zipped({"base/manifest/AndroidManifest.xml": b"\x0a\xff\xff\xff\xff\x0f"}),
    ],
    ids=["no zip", "no package", "empty", "noise", "damaged table", "no plist", "damaged protobuf"],
)
def test_a_damaged_package_is_an_input_error(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(raw, tmp_path)
    assert caught.value.hint


def test_a_part_that_unpacks_to_more_than_a_bound_is_refused(tmp_path: Path) -> None:
    bomb = zipped({"AndroidManifest.xml": bytes(100 << 20)})
    assert len(bomb) < 1 << 20
    with pytest.raises(InputError, match="larger than"):
        read(bomb, tmp_path)


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "WALL", 0.001)
    with pytest.raises(InputError, match="took more than"):
        read(apk(), tmp_path)


def test_a_child_that_wants_too_much_memory_is_told(tmp_path: Path) -> None:
    path = tmp_path / "app.apk"
    path.write_bytes(zipped({"AndroidManifest.xml": bytes(50 << 20)}))
    program = "import sys; from irkit.pins import unpack; unpack.MEMORY = 60 << 20; sys.exit(unpack.main(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=False)
    if sys.platform == "linux":
        assert "memory" in json.loads(done.stdout)["error"]


def test_without_apkinspector_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "hidden" / "apkInspector"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(str(hidden.parent))
    with pytest.raises(MissingExtraError, match="apkInspector"):
        read(apk(), tmp_path)


def test_a_mutated_apk_gives_a_release_or_an_input_error(tmp_path: Path) -> None:
    """In this process, for speed; the child runs the same function."""
    import random

    from irkit.pins.unpack import unpack

    chosen = random.Random(7)
    parts = {"AndroidManifest.xml": binary_xml(MANIFEST), "resources.arsc": resource_table()}
    parts |= {"res/xml/nsc.xml": binary_xml(NSC)}
    outcomes = set()
    for _ in range(150):
        name = chosen.choice(sorted(parts))
        raw = bytearray(parts[name])
        for _ in range(chosen.randint(1, 4)):
            raw[chosen.randrange(8, len(raw))] = chosen.randrange(256)
        path = tmp_path / "app.apk"
        path.write_bytes(zipped(parts | {name: bytes(raw)}))
        try:
            found = unpack(str(path))
        except Exception as error:  # noqa: BLE001 - main() prints any of them
            outcomes.add(type(error).__name__)
            continue
        try:
            load_release_bytes(json.dumps(found).encode(), name="app.apk", format="unpacked")
            outcomes.add("release")
        except InputError:
            outcomes.add("InputError")
    assert "release" in outcomes


def test_an_apk_and_a_bundle_built_by_aapt2_are_read(tmp_path: Path, tool: Callable[..., str]) -> None:
    aapt2 = tool("aapt2")

    def build(*arguments: object) -> None:
        subprocess.run([aapt2, *map(str, arguments)], check=True, capture_output=True, cwd=tmp_path)

    values = tmp_path / "framework" / "values"
    values.mkdir(parents=True)
    (tmp_path / "framework.xml").write_text(f'<manifest xmlns:android="{ANDROID[1:-1]}" package="android"/>')
    formats = {"versionName": "string", "networkSecurityConfig": "reference", "debuggable": "boolean"}
    (values / "attrs.xml").write_text(
        "<resources>"
        + "".join(
            f'<attr name="{name}" format="{formats[name]}"/><public type="attr" name="{name}" id="{resource:#010x}"/>'
            for name, resource in FRAMEWORK.items()
        )
        + "</resources>"
    )
    for folder, name, content in (("xml", "nsc.xml", NSC), ("raw", "ca.pem", "x")):
        (tmp_path / "app" / folder).mkdir(parents=True)
        (tmp_path / "app" / folder / name).write_text(content)
    (tmp_path / "app.xml").write_text(MANIFEST)
    build("compile", "--dir", "framework", "-o", "framework.zip")
    build("link", "-x", "--manifest", "framework.xml", "-o", "framework.apk", "framework.zip")
    build("compile", "--dir", "app", "-o", "app.zip")
    build("link", "-I", "framework.apk", "--manifest", "app.xml", "-o", "app.apk", "app.zip")
    build("link", "--proto-format", "-I", "framework.apk", "--manifest", "app.xml", "-o", "proto.apk", "app.zip")
    with zipfile.ZipFile(tmp_path / "proto.apk") as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    inside["manifest/AndroidManifest.xml"] = inside.pop("AndroidManifest.xml")
    for raw in ((tmp_path / "app.apk").read_bytes(), zipped({f"base/{name}": data for name, data in inside.items()})):
        release = read(raw, tmp_path)
        (rule,) = release.rules
        assert (release.name, rule.pattern, rule.expires) == ("com.example.shop 4.2.0", "a.example", "2027-01-31")
        assert [pin.pin.base64 for pin in rule.pins if pin.pin] == [A, B]
        assert [pin.where for pin in rule.pins] == ["line 5", "line 6"]
        assert rule.anchors == (Anchor("@raw/ca"), Anchor("system"))
