"""Certificates cut out of DER containers, byte for byte: a parser that re-encodes would change fingerprints."""

from __future__ import annotations

import warnings

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from irkit.certificate import Certificate
from irkit.fields import der_element

__all__ = ["looks_like_certificate", "pkcs7_certificates", "sequences"]

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # 1.2.840.113549.1.7.2 (RFC 5652, section 5.1)

_SET = "PKCS #7 keeps a set: its order is not the order presented"


def sequences(data: bytes) -> tuple[list[bytes], bytes]:
    """The SEQUENCEs that stand end to end, and what follows them.

    Raises:
        ValueError: The first is truncated.
    """
    found: list[bytes] = []
    pos = 0
    while data[pos : pos + 1] == b"\x30":
        try:
            _, _, end = der_element(data, pos, len(data))
        except ValueError:
            if not found:
                raise
            break
        found.append(data[pos:end])
        pos = end
    return found, data[pos:]


def looks_like_certificate(raw: bytes) -> bool:
    """Whether the outline is a certificate's, however odd its fields: not a request's, a CRL's or a key's.

    TBSCertificate begins with [0], or in version 1 with a serial number and four SEQUENCEs (RFC 5280, section 4.1).
    """
    if Certificate.from_der(raw).spki is not None:
        return True
    tags: list[int] = []
    try:
        _, start, _ = der_element(raw, 0, len(raw))
        tag, pos, end = der_element(raw, start, len(raw))
        while tag == 0x30 and pos < end and len(tags) < 5:
            found, _, pos = der_element(raw, pos, len(raw))
            tags.append(found)
    except ValueError:
        pass
    return tags[:1] == [0xA0] or tags == [0x02, 0x30, 0x30, 0x30, 0x30]


def pkcs7_certificates(data: bytes) -> tuple[list[bytes], str] | None:
    """The certificates of a PKCS #7 (CMS) SignedData, and what is to be said of them; None for other data.

    Raises:
        ValueError: It is SignedData, but broken.
    """
    if _SIGNED_DATA not in data[:24]:
        return None
    try:
        _, start, _ = der_element(data, 0, len(data))
        _, _, after_type = der_element(data, start, len(data))
        _, start, _ = der_element(data, after_type, len(data))  # [0] EXPLICIT
        _, pos, end = der_element(data, start, len(data))  # SignedData
        while pos < end:
            tag, start, after = der_element(data, pos, len(data))
            if tag == 0xA0:  # certificates [0] IMPLICIT CertificateSet
                return sequences(data[start:after])[0], _SET
            pos = after
    except ValueError as error:
        if "indefinite" not in str(error):
            raise
        # BER, as Java and Windows write it: the library reads it, and writes each certificate anew
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is BER
            parsed = pkcs7.load_der_pkcs7_certificates(data)
        return [one.public_bytes(Encoding.DER) for one in parsed], f"{_SET}; it is BER, and was read by re-encoding"
    return [], _SET
