"""The short handshake: a ClientHello, and the server's answer read as far as Certificate. Sans-I/O.

It goes where OpenSSL won't: it asks nothing of a certificate, of a chain's length or of a key. It never resumes a
session, and ends before the key exchange does: the server's signature is all that shows who holds the leaf's key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from irkit import iana
from irkit.flight import Flight, expand_label

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
        wanted, _ = _KINDS[self.key_type]
        old = [n for n, name in iana.CIPHERS.items() if wanted in name and n >> 8 != 0x13 and self.minimum < 0x0304]
        old.sort(key=lambda n: ("DHE" not in iana.CIPHERS[n], "GCM" not in iana.CIPHERS[n], n))
        return (*((0x1301, 0x1302, 0x1303, 0x1304, 0x1305) if self.maximum >= 0x0304 else ()), *old)

    @property
    def schemes(self) -> tuple[int, ...]:
        """Signature schemes of the wanted kind of key."""
        _, begins = _KINDS[self.key_type]
        return tuple(number for number in _SCHEMES if iana.SCHEMES[number].startswith(begins))


@dataclass(frozen=True, slots=True)
class _Keys:
    """One handshake's random values and private keys."""

    random: bytes = field(default_factory=lambda: os.urandom(32))
    session: bytes = field(default_factory=lambda: os.urandom(32))
    x25519: x25519.X25519PrivateKey = field(default_factory=x25519.X25519PrivateKey.generate)


def _vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _numbers(numbers: tuple[int, ...]) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


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
    """

    def __init__(self, offer: Offer, *, max_bytes: int = 2**22, max_certificates: int = 1000) -> None:
        self.flight = Flight(self._secret, max_bytes=max_bytes, max_certificates=max_certificates)
        self._offer, self._keys = offer, _Keys()
        self._curve: tuple[int, ec.EllipticCurvePrivateKey] | None = None
        self._retried = False

    def start(self) -> bytes:
        """The record to send first."""
        public = self._keys.x25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return self._hello((X25519, public) if self._offer.maximum >= 0x0304 else None)

    def feed(self, data: bytes) -> bytes:
        """Takes what the server sent; returns what to send then, mostly nothing."""
        flight = self.flight
        flight.feed(data)
        if flight.hello is None or not flight.hello.retry or self._retried or flight.over:
            return b""
        self._retried = True
        if flight.hello.group in _CURVES:
            private = ec.generate_private_key(_CURVES[flight.hello.group]())
            self._curve = (flight.hello.group, private)
            public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            return self._hello((flight.hello.group, public), flight.hello.cookie)
        if flight.hello.group in {0, X25519}:  # the cookie is all it wants
            public = self._keys.x25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return self._hello((X25519, public), flight.hello.cookie)
        flight.problem = f"the server wants the TLS 1.3 group 0x{flight.hello.group:04X}, which was not offered"
        return b""

    def _hello(self, share: tuple[int, bytes] | None, cookie: bytes = b"") -> bytes:
        message = client_hello(self._offer, self._keys.random, self._keys.session if share else b"", share, cookie)
        record = b"\x16\x03\x01" + _vector(message, 2)
        self.flight.sent(record)
        return record

    def _secret(self, flight: Flight) -> bytes | None:
        """The server's handshake traffic secret (RFC 8446, section 7.1); None where the server's share is no key."""
        hello = flight.hello
        assert hello is not None
        try:
            if hello.group == X25519:
                shared = self._keys.x25519.exchange(x25519.X25519PublicKey.from_public_bytes(hello.share))
            elif self._curve is not None and hello.group == self._curve[0]:
                private = self._curve[1]
                public = ec.EllipticCurvePublicKey.from_encoded_point(private.curve, hello.share)
                shared = private.exchange(ec.ECDH(), public)
            else:
                return None
        except ValueError:
            return None
        algorithm = hashes.SHA384() if iana.cipher_name(hello.cipher).endswith("SHA384") else hashes.SHA256()
        empty = hashes.Hash(algorithm).finalize()

        def extract(salt: bytes, secret: bytes) -> bytes:
            mac = hmac.HMAC(salt, algorithm)
            mac.update(secret)
            return mac.finalize()

        early = extract(bytes(algorithm.digest_size), bytes(algorithm.digest_size))
        derived = expand_label(hello.cipher, early, b"derived", empty, algorithm.digest_size)
        secret = extract(derived, shared)
        return expand_label(hello.cipher, secret, b"s hs traffic", flight.transcript_hash(), algorithm.digest_size)
