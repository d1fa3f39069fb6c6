"""The fields of a certificate walked out of its DER, each as far as it goes.

A strict reader refuses a whole certificate for one odd byte. Here each field is looked up by its place (RFC 5280,
section 4.1): what is whole is read, what isn't is None. Nothing is re-encoded and nothing raises.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

__all__ = [
    "cut_spki",
    "der_children",
    "der_element",
    "read_is_ca",
    "read_key",
    "read_name",
    "read_names",
    "read_serial",
    "read_time",
]


def der_element(data: bytes, pos: int, end: int) -> tuple[int, int, int]:
    """The DER element at `pos`: its tag byte, where its content begins and where it ends.

    Raises:
        ValueError: It is cut off, longer than what holds it, or not DER.
    """
    if pos + 2 > end:
        raise ValueError("it is truncated")
    tag, length = data[pos], data[pos + 1]
    start = pos + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("a long tag")
    if length == 0x80:
        raise ValueError("its length is indefinite")
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > end:
        raise ValueError("it is truncated: an element is longer than what holds it")
    return tag, start, start + length


def der_children(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The elements between start and end: (tag, where it begins, where its content begins, where it ends).

    Raises:
        ValueError: As `der_element`.
    """
    while start < end:
        tag, content, after = der_element(data, start, end)
        yield tag, start, content, after
        start = after


def cut_spki(der: bytes) -> bytes | None:
    """The bytes of SubjectPublicKeyInfo as they stand in a DER certificate, or None where it has no such shape.

    Re-encoding a parsed key gives other bytes for RSA without NULL, RSA-PSS and compressed or explicit EC keys, and so
    another pin; the certificate's own bytes are what RFC 7469, section 2.4 hashes.
    """
    # Written out: this is the whole cost of a pin. Positions only grow, so that one look at the end shows whether an
    # element was longer than what holds it.
    try:
        pos, limit = 0, len(der)
        for _ in (0, 1):  # into Certificate, into TBSCertificate
            if der[pos] != 0x30:
                return None
            length = der[pos + 1]
            pos += 2
            if length > 0x80:
                pos += length - 0x80
                length = int.from_bytes(der[pos - (length - 0x80) : pos], "big")
            elif length == 0x80:  # BER without a length: as far as what holds it goes
                length = limit - pos
            if pos + length > limit:
                return None
            limit = pos + length
        begin = pos
        for _ in range(7 if der[pos] == 0xA0 else 6):  # version, serial, signature, issuer, validity, subject, key
            begin = pos
            length = der[pos + 1]
            if der[pos] & 0x1F == 0x1F or length == 0x80:
                return None
            pos += 2
            if length > 0x80:
                pos += length - 0x80
                length = int.from_bytes(der[pos - (length - 0x80) : pos], "big")
            pos += length
        if pos > limit or der[begin] != 0x30:
            return None
        inside = pos - length  # of the key: the algorithm, a SEQUENCE, then a BIT STRING
        size = der[inside + 1]
        after = inside + 2 + size if size < 0x80 else der_element(der, inside, pos)[2]
        whole = after < pos and der[inside] == 0x30 and der[after] == 0x03
    except (ValueError, IndexError):
        return None
    return der[begin:pos] if whole else None


def _parts(der: bytes) -> list[tuple[int, int, int, int]]:
    """The elements of TBSCertificate from serialNumber on, as far as they are whole."""
    found: list[tuple[int, int, int, int]] = []
    try:
        _, start, end = (0x30, 2, len(der)) if der[:2] == b"\x30\x80" else der_element(der, 0, len(der))
        tag, start, end = der_element(der, start, end)
        if tag != 0x30:
            return []
        for part in der_children(der, start, end):
            if found or part[0] != 0xA0:
                found.append(part)
    except ValueError:
        pass
    return found


_SERIAL, _ISSUER, _VALIDITY, _SUBJECT = 0, 2, 3, 4
_NAME_OIDS = {"550403": "CN", "550406": "C", "55040a": "O", "55040b": "OU", "550407": "L", "550408": "ST"}


def read_name(der: bytes, *, issuer: bool = False) -> str | None:
    """Subject or issuer, in the manner of RFC 4514."""
    shown = []
    try:
        _, _, start, end = _parts(der)[_ISSUER if issuer else _SUBJECT]
        for _, _, rdn_start, rdn_end in der_children(der, start, end):
            for _, _, pair_start, pair_end in der_children(der, rdn_start, rdn_end):
                oid, value = list(der_children(der, pair_start, pair_end))[:2]
                name = _NAME_OIDS.get(der[oid[2] : oid[3]].hex(), "OID." + der[oid[2] : oid[3]].hex())
                raw = der[value[2] : value[3]]
                encoding = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1"}.get(value[0], "utf-8")
                shown.append(f"{name}={raw.decode(encoding, 'backslashreplace')}")
    except (ValueError, IndexError):
        return None
    return ",".join(reversed(shown))


def read_serial(der: bytes) -> int | None:
    """The serial number."""
    parts = _parts(der)
    if not parts or parts[_SERIAL][0] != 0x02 or parts[_SERIAL][2] == parts[_SERIAL][3]:
        return None
    return int.from_bytes(der[parts[_SERIAL][2] : parts[_SERIAL][3]], "big", signed=True)


_TIME = re.compile(rb"(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(?:[.,]\d+)?(?:Z|([+-])(\d{2})(\d{2}))")


def read_time(der: bytes, *, after: bool = False) -> datetime | None:
    """Where validity begins or ends, aware UTC; a UTCTime's year as RFC 5280, section 4.1.2.5.1 says."""
    try:
        _, _, start, end = _parts(der)[_VALIDITY]
        tag, _, start, end = list(der_children(der, start, end))[1 if after else 0]
        match = _TIME.fullmatch(der[start:end])
        if match is None or len(match[1]) != {0x17: 2, 0x18: 4}.get(tag):
            return None
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        if tag == 0x17:
            year += 1900 if year >= 50 else 2000
        offset = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC) - (-offset if match[7] == b"-" else offset)
    except (ValueError, IndexError, OverflowError):
        return None


def _extension(der: bytes, oid: bytes) -> tuple[int, int] | None:
    """Where the value of an extension begins and ends in its OCTET STRING; None for a certificate without it.

    Raises:
        ValueError: The extensions can't be read as far as this one.
    """
    wrapped = next((part[2:] for part in _parts(der)[_SUBJECT + 2 :] if part[0] == 0xA3), None)
    if wrapped is not None:
        _, start, end = der_element(der, *wrapped)
        for _, _, one, one_end in der_children(der, start, end):
            fields = list(der_children(der, one, one_end))
            if fields and der[fields[0][2] : fields[0][3]] == oid:
                return fields[-1][2], fields[-1][3]
    return None


def read_names(der: bytes) -> tuple[str, ...] | None:
    """The dNSName and iPAddress entries of subjectAltName, DNS names first; empty without any."""
    names, addresses = [], []
    try:
        place = _extension(der, b"\x55\x1d\x11")
        if place is None:
            return () if cut_spki(der) is not None else None
        _, start, end = der_element(der, *place)
        for tag, _, one, one_end in der_children(der, start, end):
            if tag == 0x82:
                names.append(der[one:one_end].decode("utf-8", "backslashreplace"))
            elif tag == 0x87 and one_end - one in {4, 16}:
                addresses.append(str(ipaddress.ip_address(der[one:one_end])))
            elif tag == 0x87 and one_end - one in {8, 32}:  # a network, which belongs in name constraints
                half = (one + one_end) // 2
                bits = int.from_bytes(der[half:one_end], "big").bit_count()
                addresses.append(f"{ipaddress.ip_address(der[one:half])}/{bits}")
    except ValueError:
        return None
    return (*names, *addresses)


def read_is_ca(der: bytes) -> bool | None:
    """Whether basicConstraints says cA."""
    try:
        place = _extension(der, b"\x55\x1d\x13")
        if place is None:
            return False if cut_spki(der) is not None else None
        _, start, end = der_element(der, *place)
        first = next(der_children(der, start, end), None)
        return first is not None and first[0] == 0x01 and any(der[first[2] : first[3]])
    except ValueError:
        return None


_KEY_OIDS = {
    "2a864886f70d010101": "RSA", "2a864886f70d01010a": "RSA-PSS", "2a864886f70d010107": "RSA-OAEP",
    "2a8648ce3d0201": "EC", "2a8648ce380401": "DSA", "2a864886f70d010301": "DH", "2b656e": "X25519",
    "2b8104010c": "ECDH", "2a850302020": "GOST",
}  # fmt: skip


def read_key(der: bytes) -> str | None:
    """The kind of key by its algorithm's OID, when nothing else can be said of it."""
    spki = cut_spki(der)
    if spki is None:
        return None
    try:
        _, start, end = der_element(spki, 0, len(spki))
        _, start, end = der_element(spki, start, end)
        tag, start, end = der_element(spki, start, end)
    except ValueError:
        return None
    oid = spki[start:end].hex()
    return f"{_KEY_OIDS.get(oid, f'unknown kind, OID {_dotted(spki[start:end])}')}, unreadable" if tag == 0x06 else None


def _dotted(oid: bytes) -> str:
    """An object identifier in dots (X.690, section 8.19); as hex where it isn't one."""
    arcs, value = [], 0
    for byte in oid[:64]:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            arcs.append(value)
            value = 0
    if not arcs or value:
        return oid.hex()
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))
