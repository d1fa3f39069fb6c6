"""The messages of a TLS server's first flight, read field by field."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

from irkit import iana, render

__all__ = [
    "RETRY",
    "MalformedError",
    "Reader",
    "ServerHello",
    "Signed",
    "alpn",
    "decompress",
    "extensions",
    "greeting",
    "key_exchange",
    "server_hello",
]

RETRY = hashlib.sha256(b"HelloRetryRequest").digest()  # a ServerHello with this random is one (RFC 8446, 4.1.3)


@dataclass(frozen=True, slots=True)
class ServerHello:
    """ServerHello or HelloRetryRequest.

    Attributes:
        protocol: What was agreed on, as on the wire: 0x0304 is TLS 1.3.
        cipher: The suite's number.
        group, share: The key share of TLS 1.3; 0 and empty without one.
        cookie: Of a HelloRetryRequest.
        retry: Whether it is a HelloRetryRequest.
        scts: The SignedCertificateTimestampList, before TLS 1.3; None without one.
    """

    protocol: int
    random: bytes
    cipher: int
    group: int = 0
    share: bytes = b""
    cookie: bytes = b""
    alpn: str = ""
    retry: bool = False
    scts: bytes | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """What the server signed with the leaf's key: ServerKeyExchange or CertificateVerify.

    Attributes:
        scheme: The SignatureScheme; 0 before TLS 1.2, which has none.
    """

    scheme: int
    content: bytes
    signature: bytes


class MalformedError(ValueError):
    """A message that does not hold what it should."""


class Reader:
    """Reads length-prefixed fields; every step checked."""

    __slots__ = ("data", "pos")

    def __init__(self, data: bytes) -> None:
        self.data, self.pos = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start, end = self.pos, self.pos + count
        if end > len(self.data):
            raise MalformedError("truncated")
        self.pos = end
        return self.data[start:end]

    def number(self, size: int) -> int:
        """The next number of `size` bytes."""
        start, end = self.pos, self.pos + size
        if end > len(self.data):
            raise MalformedError("truncated")
        self.pos = end
        return int.from_bytes(self.data[start:end], "big")

    def vector(self, size: int) -> bytes:
        """The next field, which begins with its length in `size` bytes."""
        start = self.pos + size
        end = start + int.from_bytes(self.data[self.pos : start], "big")
        if end > len(self.data) or start > len(self.data):
            raise MalformedError("truncated")
        self.pos = end
        return self.data[start:end]

    def __bool__(self) -> bool:
        return self.pos < len(self.data)


def extensions(data: bytes) -> list[tuple[int, bytes]]:
    """Each extension's number and data."""
    found, pos = [], 0
    while pos < len(data):
        start = pos + 4
        end = start + int.from_bytes(data[pos + 2 : start], "big")
        if end > len(data) or start > len(data):
            raise MalformedError("truncated")
        found.append((int.from_bytes(data[pos : pos + 2], "big"), data[start:end]))
        pos = end
    return found


def alpn(data: bytes) -> str:
    """The protocol that an ALPN extension of the server names."""
    return Reader(Reader(data).vector(2)).vector(1).decode("ascii", "backslashreplace")


def server_hello(body: bytes) -> ServerHello:
    """Reads ServerHello or HelloRetryRequest."""
    reader = Reader(body)
    protocol, random = reader.number(2), reader.take(32)
    reader.vector(1)
    cipher = reader.number(2)
    reader.number(1)
    found = dict(extensions(reader.vector(2))) if reader else {}
    retry = random == RETRY
    if 43 in found:
        protocol = Reader(found[43]).number(2)
    share = Reader(found.get(51, b"\0\0\0\0"))
    return ServerHello(
        protocol=protocol,
        random=random,
        cipher=cipher,
        group=share.number(2),
        share=b"" if retry else share.vector(2),
        cookie=Reader(found[44]).vector(2) if 44 in found else b"",
        alpn=alpn(found[16]) if 16 in found else "",
        retry=retry,
        scts=found.get(18) or None,
    )


def greeting(data: bytes) -> str:
    """What answers instead of TLS, in words."""
    line = render.text(data.split(b"\n")[0].rstrip(b"\r").decode("latin-1"), 60)
    for start, name in (
        (b"HTTP/", "plain HTTP"),
        (b"SSH-", "SSH"),
        (b"+OK", "POP3"),
        (b"* OK", "IMAP"),
        (b"220", "SMTP or FTP"),
    ):
        if data.startswith(start):
            return f"not TLS but {name}: {line}"
    if data[3:5] == b"\0\x0a":
        return "not TLS but MySQL"
    return (
        f"not TLS: {line}"
        if data[:4].isascii() and data[:4].decode().isprintable()
        else f"not TLS: bytes {data[:8].hex()}"
    )


def key_exchange(body: bytes, hello: ServerHello, client_random: bytes) -> Signed | None:
    """ServerKeyExchange of the ECDHE and DHE suites (RFC 8422, section 5.4; RFC 5246, section 7.4.3)."""
    reader, name = Reader(body), iana.cipher_name(hello.cipher)
    if "_ECDHE_" in name:
        if reader.number(1) != 3:
            return None  # an explicit curve: its signature is not looked at
        reader.number(2)
        reader.vector(1)
    elif "_DHE_" in name:
        for _ in range(3):
            reader.vector(2)
    else:
        return None
    content = client_random + hello.random + body[: reader.pos]
    scheme = reader.number(2) if hello.protocol >= 0x0303 else 0
    return Signed(scheme, content, reader.vector(2))


def decompress(body: bytes) -> bytes:
    """CompressedCertificate (RFC 8879) with zlib, the one algorithm that needs no further library."""
    reader = Reader(body)
    algorithm, size, packed = reader.number(2), reader.number(3), reader.vector(3)
    if algorithm != 1:
        raise MalformedError(f"a certificate compressed with algorithm {algorithm}")
    try:
        plain = zlib.decompressobj().decompress(packed, size + 1)
    except zlib.error:
        raise MalformedError("a compressed certificate that does not decompress") from None
    if len(plain) != size:
        raise MalformedError("a compressed certificate of another length than it says")
    return plain
