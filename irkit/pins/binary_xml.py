"""Compiled XML back to text: Android's binary form in an APK, by apkInspector, and the protobuf form in an AAB.

Elements keep the lines that they had in the source. Runs in the child process of `irkit.pins.unpack`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape, quoteattr

__all__ = ["Attributes", "axml_text", "proto_text"]

_LINES = 20_000
DEPTH = 64
# (name, value, resource id of the name, resource id that the value refers to)
Attributes = list[tuple[str, str, int, int]]


def _clean(value: str) -> str:
    return "".join(c if c >= " " or c in "\t\n" else "\ufffd" for c in value).encode("utf-8", "replace").decode()


class _Writer:
    """Writes elements at the lines that they had."""

    def __init__(self) -> None:
        self.parts = ['<?xml version="1.0" encoding="utf-8"?>']
        self.line = 1

    def start(self, name: str, attributes: Attributes, line: int) -> None:
        if self.line < line < _LINES:
            self.parts.append("\n" * (line - self.line))
            self.line = line
        shown = "".join(f" {key}={quoteattr(_clean(value))}" for key, value, _, _ in attributes)
        self.parts.append(f"<{name}{shown}>")

    def text(self, value: str) -> None:
        self.parts.append(escape(_clean(value)))
        self.line += value.count("\n")

    def end(self, name: str) -> None:
        self.parts.append(f"</{name}>")


def axml_text(data: bytes, resolve: Callable[[int], str]) -> tuple[str, list[tuple[str, Attributes]]]:
    """Reads binary XML.

    Args:
        data: The bytes of the file.
        resolve: Gives a resource's name, as `raw/ca`, for its id; empty where it has none.

    Returns:
        The XML as text, and its elements with their attributes.
    """
    from apkInspector.axml import ManifestStruct, XmlcDataElement, XmlEndElement, XmlStartElement

    parsed = ManifestStruct.parse(io.BytesIO(data))
    strings = parsed.string_pool.string_list
    names = parsed.resource_map.resids if parsed.resource_map else []
    writer = _Writer()
    elements: list[tuple[str, Attributes]] = []
    for element in parsed.elements:
        if isinstance(element, XmlStartElement):
            attributes = [
                (
                    strings[item.name_index] or f"id-{item.name_index}",
                    _typed(item, strings, resolve),
                    names[item.name_index] if item.name_index < len(names) else 0,
                    item.typed_value_data if item.typed_value_datatype == 1 else 0,
                )
                for item in element.attributes
            ]
            name = strings[element.attrext[1]]
            elements.append((name, attributes))
            writer.start(name, attributes, int.from_bytes(element.header.data[:4], "little"))
        elif isinstance(element, XmlcDataElement):
            writer.text(strings[element.data_index])
        elif isinstance(element, XmlEndElement):
            writer.end(strings[element.attrext[1]])
    return "".join(writer.parts), elements


def _typed(item: object, strings: list[str], resolve: Callable[[int], str]) -> str:
    """An attribute's value as the source may have had it (Res_value's types)."""
    kind = int(getattr(item, "typed_value_datatype", 0))
    data = int(getattr(item, "typed_value_data", 0))
    raw = int(getattr(item, "raw_value_index", 0xFFFFFFFF))
    if kind == 0x01:
        return f"@{resolve(data) or f'0x{data:08x}'}"
    if raw < len(strings):
        return strings[raw]
    if kind == 0x03:
        return strings[data]
    if kind == 0x12:
        return "true" if data else "false"
    return str(data)


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a protobuf message: number and value."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while shift < 64:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
        raise ValueError("a damaged protobuf number")

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            length = varint()
            if at + length > len(data):
                raise ValueError("a damaged protobuf field")
            yield key >> 3, data[at : at + length]
            at += length
        elif key & 7 in {1, 5}:
            at += 8 if key & 7 == 1 else 4
        else:
            raise ValueError("an unknown protobuf field")


def _message(data: bytes) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for number, value in _fields(data):
        if isinstance(value, bytes):
            found.setdefault(number, []).append(value)
    return found


def _number(data: bytes, wanted: int) -> int:
    return next((value for number, value in _fields(data) if number == wanted and isinstance(value, int)), 0)


def proto_text(data: bytes) -> tuple[str, list[tuple[str, Attributes]]]:
    """Reads the XmlNode of aapt2's Resources.proto, as an AAB holds it; see `axml_text`."""
    writer = _Writer()
    elements: list[tuple[str, Attributes]] = []

    def visit(node: bytes, depth: int) -> None:
        if depth > DEPTH:
            raise ValueError("nested too deeply")
        fields = _message(node)
        for content in fields.get(2, ()):
            writer.text(content.decode("utf-8", "replace"))
        for content in fields.get(1, ()):
            element = _message(content)
            name = _one(element, 3)
            attributes: Attributes = [
                (_one(item, 2), _one(item, 3), _number(raw, 5), 0)
                for raw in element.get(4, ())
                for item in (_message(raw),)
            ]
            elements.append((name, attributes))
            writer.start(name, attributes, _number(fields[3][0], 1) if 3 in fields else 0)
            for child in element.get(5, ()):
                visit(child, depth + 1)
            writer.end(name)

    visit(data, 0)
    return "".join(writer.parts), elements


def _one(fields: dict[int, list[bytes]], number: int) -> str:
    return fields.get(number, [b""])[0].decode("utf-8", "replace")
