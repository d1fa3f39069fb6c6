"""SubjectPublicKeyInfo taken apart and written in other ways: what a stack that re-encodes a key would hash."""

from __future__ import annotations

from irkit.fields import der_children, der_element

__all__ = ["raw_key", "reencodings", "with_null"]

_RSA = bytes.fromhex("06092a864886f70d010101")  # rsaEncryption
_PSS = bytes.fromhex("06092a864886f70d01010a")  # id-RSASSA-PSS
_NULL = b"\x05\x00"


def _parts(spki: bytes) -> tuple[bytes, bytes, bytes]:
    """The algorithm's OID, its parameters (empty if absent) and the BIT STRING, each as a whole DER element."""
    _, start, end = der_element(spki, 0, len(spki))
    algorithm, key = list(der_children(spki, start, end))[:2]
    inner = list(der_children(spki, *algorithm[2:]))
    oid = spki[inner[0][1] : inner[0][3]]
    return oid, spki[inner[0][3] : algorithm[3]], spki[key[1] : key[3]]


def _sequence(content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([0x30, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x30, 0x80 | len(length)]) + length + content


def _spki(oid: bytes, parameters: bytes, key: bytes) -> bytes:
    return _sequence(_sequence(oid + parameters) + key)


def with_null(spki: bytes) -> bytes:
    """An RSA key's parameters written as NULL where they are absent; anything else as it is.

    RFC 3279, section 2.3.1 wants NULL. Java's `getEncoded` writes it, and so do Android and OkHttp pins.
    """
    try:
        oid, parameters, key = _parts(spki)
    except (ValueError, IndexError):
        return spki
    return _spki(oid, _NULL, key) if oid == _RSA and not parameters else spki


def raw_key(spki: bytes) -> bytes | None:
    """The key without its ASN.1 header: PKCS #1 for RSA, the point for EC (SecKeyCopyExternalRepresentation)."""
    try:
        _, _, key = _parts(spki)
        tag, start, end = der_element(key, 0, len(key))
    except (ValueError, IndexError):
        return None
    return key[start + 1 : end] if tag == 0x03 and end > start else None


def reencodings(spki: bytes) -> dict[str, bytes]:
    """Other encodings of the same key, by what was done to it; the key's own encoding is not among them."""
    try:
        oid, parameters, key = _parts(spki)
    except (ValueError, IndexError):
        return {}
    found = {}
    if oid == _RSA:
        found["with NULL for the RSA parameters"] = _spki(oid, _NULL, key)
        found["without NULL for the RSA parameters"] = _spki(oid, b"", key)
    elif oid == _PSS:
        found["with RSA-PSS rewritten to rsaEncryption"] = _spki(_RSA, _NULL, key)
        found["with the RSA-PSS parameters left out"] = _spki(_PSS, b"", key)
    else:
        found |= _points(oid, parameters, spki)
    return {how: encoded for how, encoded in found.items() if encoded != spki}


def _points(oid: bytes, parameters: bytes, spki: bytes) -> dict[str, bytes]:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    try:
        key = load_der_public_key(spki)
    except Exception:  # noqa: BLE001 - an odd key raises one of many kinds, and has no other encoding known here
        return {}
    if not isinstance(key, EllipticCurvePublicKey):
        return {}
    found = {"with a named curve": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)}
    for how, form in (("compressed", PublicFormat.CompressedPoint), ("uncompressed", PublicFormat.UncompressedPoint)):
        point = b"\x00" + key.public_bytes(Encoding.X962, form)
        bits = b"\x03" + (bytes([len(point)]) if len(point) < 0x80 else b"\x81" + bytes([len(point)])) + point
        found[f"with the point {how}"] = _spki(oid, parameters, bits)
    return found
