"""resources.arsc of an APK: which file a resource id stands for, and what the resource is called.

The layout is that of `ResourceTypes.h` in Android's androidfw.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["Resource", "find_resource"]

_STRING_POOL, _TABLE, _PACKAGE, _TYPE = 0x0001, 0x0002, 0x0200, 0x0201
_STRING = 0x03

Resource = tuple[str, list[str]]


def _chunks(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The chunks between two offsets: (type, where it begins, where its content begins, where it ends)."""
    while start + 8 <= end:
        kind, header, size = struct.unpack_from("<HHI", data, start)
        if size < 8 or header < 8 or header > size or start + size > end:
            raise ValueError("a damaged chunk in resources.arsc")
        yield kind, start, start + header, start + size
        start += size


def _string(data: bytes, pool: int, index: int) -> str:
    """One string of the string pool that begins at an offset."""
    count, _, flags, strings, _ = struct.unpack_from("<5I", data, pool + 8)
    if index >= count:
        raise ValueError("a string beyond its pool")
    header = struct.unpack_from("<H", data, pool + 2)[0]
    at = pool + strings + struct.unpack_from("<I", data, pool + header + 4 * index)[0]
    if flags & 0x100:  # UTF-8: the length in characters, then in bytes; one or two bytes each
        at += 2 if data[at] & 0x80 else 1
        length, at = ((data[at] & 0x7F) << 8 | data[at + 1], at + 2) if data[at] & 0x80 else (data[at], at + 1)
        return data[at : at + length].decode("utf-8", "replace")
    length, at = struct.unpack_from("<H", data, at)[0], at + 2
    if length & 0x8000:
        length, at = (length & 0x7FFF) << 16 | struct.unpack_from("<H", data, at)[0], at + 2
    return data[at : at + 2 * length].decode("utf-16-le", "replace")


def find_resource(data: bytes, resource: int) -> Resource:
    """The name of a resource as `xml/network_security_config`, and its string values: the default one first.

    Args:
        data: The bytes of resources.arsc.
        resource: The id, as 0x7f010000.

    Raises:
        ValueError, struct.error, IndexError: The table is damaged.
        LookupError: It has no such resource.
    """
    kind, header, size = struct.unpack_from("<HHI", data, 0)
    if kind != _TABLE:
        raise ValueError("resources.arsc is no resource table")
    values = None
    for kind, start, content, end in _chunks(data, header, min(size, len(data))):
        if kind == _STRING_POOL and values is None:
            values = start
        elif kind == _PACKAGE and values is not None and data[start + 8] == resource >> 24:
            return _in_package(data, values, (start, content, end), resource)
    raise LookupError(f"no resource 0x{resource:08x}")


def _in_package(data: bytes, values: int, package: tuple[int, int, int], resource: int) -> Resource:
    start, content, end = package
    type_names = start + struct.unpack_from("<I", data, start + 268)[0]
    key_names = start + struct.unpack_from("<I", data, start + 276)[0]
    wanted, entry = resource >> 16 & 0xFF, resource & 0xFFFF
    name = ""
    found: list[tuple[bool, str]] = []
    for kind, begin, entries, _ in _chunks(data, content, end):
        if kind != _TYPE or data[begin + 8] != wanted:
            continue
        at = _entry(data, begin, entries, entry)
        if at is None:
            continue
        key, value_type, value = _value(data, at)
        name = name or f"{_string(data, type_names, wanted - 1)}/{_string(data, key_names, key)}"
        configured = struct.unpack_from("<I", data, begin + 20)[0]
        if value_type == _STRING:
            special = any(data[begin + 24 : begin + 20 + configured])
            found.append((special, _string(data, values, value)))
    if not name:
        raise LookupError(f"no resource 0x{resource:08x}")
    return name, [value for _, value in sorted(found, key=lambda pair: pair[0])]


def _entry(data: bytes, begin: int, entries: int, wanted: int) -> int | None:
    """Where an entry of a type chunk begins: by plain, sparse or 16-bit offsets."""
    flags = data[begin + 9]
    count, values = struct.unpack_from("<II", data, begin + 12)
    if flags & 1:  # sparse: pairs of index and offset
        pairs = struct.iter_unpack("<HH", data[entries : entries + 4 * count])
        return next((begin + values + 4 * offset for index, offset in pairs if index == wanted), None)
    if wanted >= count:
        return None
    if flags & 2:
        short = struct.unpack_from("<H", data, entries + 2 * wanted)[0]
        return None if short == 0xFFFF else begin + int(values) + 4 * int(short)
    offset = struct.unpack_from("<I", data, entries + 4 * wanted)[0]
    return None if offset == 0xFFFFFFFF else begin + int(values) + int(offset)


def _value(data: bytes, at: int) -> tuple[int, int, int]:
    """Key, type and data of a simple entry; the type is 0 for a complex one, which is no file."""
    size, flags = struct.unpack_from("<HH", data, at)
    if flags & 8:  # compact: the key where the size was, the type in the flags' high byte
        return size, flags >> 8, struct.unpack_from("<I", data, at + 4)[0]
    key = struct.unpack_from("<I", data, at + 4)[0]
    if flags & 1:
        return key, 0, 0
    value_type = data[at + size + 3]
    return key, value_type, struct.unpack_from("<I", data, at + size + 4)[0]
