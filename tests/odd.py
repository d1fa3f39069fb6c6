"""Certificates with one thing odd about each, as neither the library nor OpenSSL would make them. Their key is EC's."""

from __future__ import annotations

from collections.abc import Mapping

from zoo import EC

from irkit.fields import der_children, der_element

__all__ = ["ODD_CERTIFICATES"]

_LEAF = EC.certificate.der
_FIELDS = ("version", "serial", "algorithm", "issuer", "validity", "subject", "spki", "extensions")


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    head = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + head + content


def _with(**fields: bytes) -> bytes:
    """EC's leaf with other fields; its signature is none any more, which nobody looks at."""
    _, start, end = der_element(_LEAF, 0, len(_LEAF))
    _, _, inner, after = next(der_children(_LEAF, start, end))
    parts = (_LEAF[begin:stop] for _, begin, _, stop in der_children(_LEAF, inner, after))
    own = dict(zip(_FIELDS, parts, strict=True)) | fields
    return _element(0x30, _element(0x30, b"".join(own.values())) + _LEAF[after:end])


def _cn(tag: int, value: bytes) -> bytes:
    return _element(0x30, _element(0x31, _element(0x30, bytes.fromhex("0603550403") + _element(tag, value))))


def _valid(*times: bytes) -> bytes:
    return _element(0x30, b"".join(_element(0x17, time) for time in times))


def _extensions(*each: bytes) -> bytes:
    return _element(0xA3, _element(0x30, b"".join(_element(0x30, one) for one in each)))


_CONSTRAINTS = bytes.fromhex("0603551d13") + _element(4, b"\x30\0")
_NAMES = bytes.fromhex("0603551d11") + _element(4, _element(0x30, _element(0x82, b"bank.test\0.evil.test")))

ODD_CERTIFICATES: Mapping[str, bytes] = {
    "times without seconds": _with(validity=_valid(b"2601010000Z", b"3601010000Z")),
    "a thirteenth month": _with(validity=_valid(b"261301000000Z", b"361301000000Z")),
    "version 1": _with(version=b"", extensions=b""),
    "version 1 with extensions": _with(version=b""),
    "version 8": _with(version=b"\xa0\x03\x02\x01\x07"),
    "a serial number of 40 bytes": _with(serial=_element(2, b"\x7f" * 40)),
    "a serial number of 1000 bytes": _with(serial=_element(2, b"\x7f" * 1000)),
    "a padded serial number": _with(serial=b"\x02\x03\0\0\5"),
    "an extension twice": _with(extensions=_extensions(_CONSTRAINTS, _CONSTRAINTS)),
    "no extension in the list": _with(extensions=_extensions()),
    "critical FALSE written out": _with(extensions=_extensions(bytes.fromhex("0603551d13010100") + b"\4\2\x30\0")),
    "an unknown critical extension": _with(extensions=_extensions(bytes.fromhex("06032a03040101ff") + b"\4\1x")),
    "NUL in the name": _with(subject=_cn(0x0C, b"bank.test\0.evil.test")),
    "NUL in a subjectAltName": _with(extensions=_extensions(_NAMES)),
    "no name": _with(subject=b"\x30\0"),
    "a name of three bytes in BMPString": _with(subject=_cn(0x1E, b"abc")),
    "a name that PrintableString can't hold": _with(subject=_cn(0x13, b"a@b_\xff")),
    "a name that acts on a terminal": _with(subject=_cn(0x0C, "\x1b[2J\u202emoc.elgoog".encode())),
    "a signature of unknown kind": _with(algorithm=_element(0x30, bytes.fromhex("06032a0305"))),
    "a key of unknown kind": _with(spki=_element(0x30, _element(0x30, bytes.fromhex("06032a0306")) + b"\3\2\0k")),
}
