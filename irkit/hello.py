"""The short handshake: a ClientHello, and the server's answer read as far as Certificate. Sans-I/O.

It goes where OpenSSL won't: it asks nothing of a certificate, of a chain's length or of a key. It never resumes a
session, and ends before the key exchange does: the server's signature is all that shows who holds the leaf's key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from irkit import iana
from irkit.flight import Flight, expand_label, hash_of

__all__ = ["KEY_TYPES", "Offer", "ShortHandshake", "client_hello"]

X25519 = 29
_CURVES: dict[int, type[ec.EllipticCurve]] = {23: ec.SECP256R1, 24: ec.SECP384R1, 25: ec.SECP521R1}
_GROUPS = (X25519, *_CURVES)
# TLS 1.2 shows a certificate only if its curve is offered; here no key is ever made on these: X448, brainpool, others.
_OLD_GROUPS = (*_GROUPS, 30, 26, 27, 28, 22, 21, 19)

# In the order OpenSSL prefers them; SHA-1 and DSA last, for the old servers an incident may lead to.
_SCHEMES = (
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080A, 0x080B, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601,
    0x0905, 0x0906, 0x0904, 0x081A, 0x081B, 0x081C, 0x0303, 0x0301, 0x0203, 0x0201, 0x0302, 0x0202, 0x0402, 0x0502,
    0x0602,
)  # fmt: skip

# Kind of key: what the names of its suites before TLS 1.3 hold (RFC 8422, section 2: EdDSA goes with ECDSA's), and how
# the names of its signature schemes begin.
_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "any": ("", ("",)),
        "rsa": ("_RSA_", ("rsa_",)),
        "ecdsa": ("_ECDSA_", ("ecdsa_",)),
        "eddsa": ("_ECDSA_", ("ed25519", "ed448")),
        "mldsa": ("none", ("mldsa",)),
    }
)
KEY_TYPES = tuple(_KINDS)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a ClientHello offers.

    Attributes:
        server_name: The SNI, A-labels; None sends none.
        minimum, maximum: Protocol versions as on the wire, 0x0301 to 0x0304.
        key_type: One of KEY_TYPES. All but `any` offer signatures of that kind of key only, so that a server with
            several shows that one.
        alpn: Application protocols.
    """

    server_name: str | None = None
    minimum: int = 0x0301
    maximum: int = 0x0304
    key_type: str = "any"
    alpn: tuple[str, ...] = ()

    @property
    def ciphers(self) -> tuple[int, ...]:
        """Suites, TLS 1.3 first, then forward secret ones, strong before weak."""
        return _suites(self.key_type, old=self.minimum < 0x0304, new=self.maximum >= 0x0304)

    @property
    def schemes(self) -> tuple[int, ...]:
        """Signature schemes of the wanted kind of key."""
        return _schemes(self.key_type)


@lru_cache
def _schemes(key_type: str) -> tuple[int, ...]:
    _, begins = _KINDS[key_type]
    return tuple(number for number in _SCHEMES if iana.SCHEMES[number].startswith(begins))


@lru_cache
def _suites(key_type: str, *, old: bool, new: bool) -> tuple[int, ...]:
    wanted, _ = _KINDS[key_type]
    found = [n for n, name in iana.CIPHERS.items() if wanted in name and n >> 8 != 0x13] if old else []
    found.sort(key=lambda n: ("DHE" not in iana.CIPHERS[n], "GCM" not in iana.CIPHERS[n], n))
    return (*((0x1301, 0x1302, 0x1303, 0x1304, 0x1305) if new else ()), *found)


class _Keys:
    """One handshake's random values and private keys."""

    def __init__(self) -> None:
        self.random, self.session = os.urandom(32), os.urandom(32)
        self._x25519: x25519.X25519PrivateKey | None = None  # not made for TLS 1.2
        self._curve: tuple[int, ec.EllipticCurvePrivateKey] | None = None

    def share(self, group: int) -> tuple[int, bytes]:
        """A key share for a group of _GROUPS."""
        if group == X25519:
            self._x25519 = self._x25519 or x25519.X25519PrivateKey.generate()
            return group, self._x25519.public_key().public_bytes_raw()
        private = ec.generate_private_key(_CURVES[group]())
        self._curve = (group, private)
        return group, private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def secret(self, flight: Flight) -> bytes | None:
        """The server's handshake traffic secret (RFC 8446, section 7.1); None where the server's share is no key."""
        hello = flight.hello
        assert hello is not None
        try:
            if hello.group == X25519 and self._x25519 is not None:
                shared = self._x25519.exchange(x25519.X25519PublicKey.from_public_bytes(hello.share))
            elif self._curve is not None and hello.group == self._curve[0]:
                private = self._curve[1]
                public = ec.EllipticCurvePublicKey.from_encoded_point(private.curve, hello.share)
                shared = private.exchange(ec.ECDH(), public)
            else:
                return None
        except ValueError:
            return None
        algorithm = hash_of(hello.cipher)
        empty = hashlib.new(algorithm).digest()
        early = hmac.digest(bytes(len(empty)), bytes(len(empty)), algorithm)
        derived = expand_label(hello.cipher, early, b"derived", empty, len(empty))
        secret = hmac.digest(derived, shared, algorithm)
        return expand_label(hello.cipher, secret, b"s hs traffic", flight.transcript_hash(), len(empty))


def _vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _numbers(numbers: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(numbers)}H", *numbers)


def client_hello(
    offer: Offer, random: bytes, session: bytes, share: tuple[int, bytes] | None, cookie: bytes = b""
) -> bytes:
    """A ClientHello message (RFC 8446, section 4.1.2), without its record.

    Args:
        offer: What to offer.
        random: 32 bytes.
        session: The legacy session id, at most 32 bytes.
        share: Group and public value of the one key share; None for TLS 1.2 and before.
        cookie: What a HelloRetryRequest gave.
    """
    parts: list[tuple[int, bytes]] = []
    if offer.server_name is not None:
        name = b"\0" + _vector(offer.server_name.encode("ascii"), 2)
        parts.append((0, _vector(name, 2)))
    parts += [
        (5, b"\1\0\0\0\0"),  # status_request: staple the OCSP response
        (10, _vector(_numbers(_GROUPS if share else _OLD_GROUPS), 2)),
        (11, b"\1\0"),
        (13, _vector(_numbers(offer.schemes), 2)),
        (18, b""),  # signed_certificate_timestamp
        (23, b""),
        (0xFF01, b"\0"),
    ]
    if offer.key_type != "any":  # whoever signed the certificates, show them; else OpenSSL's servers show even those
        parts.append((50, _vector(_numbers(_SCHEMES), 2)))  # that are signed with MD5, if this is left out
    if offer.alpn:
        protocols = b"".join(_vector(protocol.encode("ascii"), 1) for protocol in offer.alpn)
        parts.append((16, _vector(protocols, 2)))
    if share is not None:
        versions = tuple(v for v in (0x0304, 0x0303, 0x0302, 0x0301) if offer.minimum <= v <= offer.maximum)
        parts += [
            (43, _vector(_numbers(versions), 1)),
            (45, b"\1\1"),
            (51, _vector(_numbers(share[:1]) + _vector(share[1], 2), 2)),
        ]
    if cookie:
        parts.append((44, _vector(cookie, 2)))
    extensions = b"".join(number.to_bytes(2, "big") + _vector(data, 2) for number, data in parts)
    body = (
        min(offer.maximum, 0x0303).to_bytes(2, "big")
        + random
        + _vector(session, 1)
        + _vector(_numbers((*offer.ciphers, 0x00FF)), 2)
        + b"\1\0"
        + _vector(extensions, 2)
    )
    return b"\1" + _vector(body, 3)


class ShortHandshake:
    """Sends a ClientHello and reads the answer into `flight`.

    Attributes:
        flight: What was read.
        failure: Why the flight is not all there; empty while nothing failed.
        patience: None: silence is borne until the deadline.
    """

    patience = None

    def __init__(self, offer: Offer, *, max_bytes: int = 2**22, max_certificates: int = 1000) -> None:
        self._offer, self._keys, self._retried, self._lost = offer, _Keys(), False, ""
        self.flight = Flight(self._keys.secret, max_bytes=max_bytes, max_certificates=max_certificates)

    @property
    def over(self) -> bool:
        """Whether reading on is of no use."""
        return self.flight.over

    @property
    def failure(self) -> str:  # noqa: D102 - described above
        alert = self.flight.alert
        return f"the server sent the alert {alert}" if alert else self.flight.problem or self._lost

    def lost(self, reason: str) -> None:
        """Takes that nothing more will come, and why."""
        self._lost = "" if self.flight.signed else reason

    def start(self) -> bytes:
        """The record to send first."""
        return self._hello(self._keys.share(X25519) if self._offer.maximum >= 0x0304 else None)

    def feed(self, data: bytes) -> bytes:
        """Takes what the server sent; returns what to send then, mostly nothing."""
        flight = self.flight
        flight.feed(data)
        if flight.hello is None or not flight.hello.retry or self._retried or flight.over:
            return b""
        self._retried = True
        group = flight.hello.group or X25519  # 0: the cookie is all it wants
        if group in _GROUPS:
            return self._hello(self._keys.share(group), flight.hello.cookie)
        flight.problem = f"the server wants the TLS 1.3 group 0x{group:04X}, which was not offered"
        return b""

    def _hello(self, share: tuple[int, bytes] | None, cookie: bytes = b"") -> bytes:
        message = client_hello(self._offer, self._keys.random, self._keys.session if share else b"", share, cookie)
        record = b"\x16\x03\x01" + _vector(message, 2)
        self.flight.sent(record)
        return record
