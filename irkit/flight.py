"""A TLS server's first flight, read off the wire as far as Certificate and the signature after it. Sans-I/O.

The records are read as they came, not as a TLS library hands certificates back: OpenSSL re-encodes BER, refuses odd
certificates and long chains, and forgets a chain when the handshake fails. In TLS 1.2 and before, Certificate is in
clear; in TLS 1.3 the records are decrypted with the server's handshake traffic secret (RFC 8446, section 7.1).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from irkit import iana
from irkit.messages import (
    RETRY,
    MalformedError,
    Reader,
    ServerHello,
    Signed,
    alpn,
    decompress,
    extensions,
    greeting,
    key_exchange,
    server_hello,
)

__all__ = ["Flight", "expand_label", "hash_of"]

_CCS, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_RECORD_LIMIT = 2**14 + 2048


@lru_cache
def hash_of(cipher: int) -> str:
    """The hash of a suite's key schedule and transcript."""
    return "sha384" if iana.cipher_name(cipher).endswith("SHA384") else "sha256"


def expand_label(cipher: int, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446, section 7.1, with the suite's hash; no longer than that hash is."""
    full = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(full)]) + full + bytes([len(context)]) + context
    return hmac.digest(secret, info + b"\1", hash_of(cipher))[:length]


class _Opener:
    """Decrypts TLS 1.3 records (RFC 8446, section 5.2)."""

    def __init__(self, cipher: int, secret: bytes) -> None:
        key = expand_label(cipher, secret, b"key", b"", 16 if cipher in {0x1301, 0x1304, 0x1305} else 32)
        self._iv = int.from_bytes(expand_label(cipher, secret, b"iv", b"", 12), "big")
        self._count = 0
        self._aead: AESGCM | AESCCM | ChaCha20Poly1305
        if cipher == 0x1303:
            self._aead = ChaCha20Poly1305(key)
        elif cipher in {0x1304, 0x1305}:
            self._aead = AESCCM(key, 16 if cipher == 0x1304 else 8)
        else:
            self._aead = AESGCM(key)

    def open(self, header: bytes, body: bytes) -> tuple[int, bytes]:
        nonce = (self._iv ^ self._count).to_bytes(12, "big")
        self._count += 1
        plain = self._aead.decrypt(nonce, body, header).rstrip(b"\0")
        return (plain[-1], plain[:-1]) if plain else (_HANDSHAKE, b"")


class Flight:
    """Takes what client and server sent and holds what was read of the server's first flight.

    Attributes:
        client_random: Of the client's hello; empty until it was sent.
        hello: ServerHello; None until it came.
        certificates: DER as presented, in order; None until Certificate came.
        ocsp: The stapled OCSP response for the leaf; None without one.
        scts: The SignedCertificateTimestampList for the leaf (RFC 6962, section 3.3); None without one.
        signed: What was signed with the leaf's key; None until it came, or where the suite signs nothing.
        alpn: The application protocol agreed on.
        client_certificate_asked: The server sent CertificateRequest.
        alert: The server's fatal alert, by name.
        problem: Why the bytes can't be read further.
        done: Nothing more is to be had.
        findings: What is odd, a line each.
    """

    def __init__(
        self, secret: Callable[[Flight], bytes | None], *, max_bytes: int = 2**22, max_certificates: int = 1000
    ) -> None:
        """Begins with nothing read.

        Args:
            secret: Asked once, when TLS 1.3 was agreed on, for the server's handshake traffic secret.
            max_bytes: The most bytes read from the server.
            max_certificates: The most certificates kept.
        """
        self.hello: ServerHello | None = None
        self.certificates: tuple[bytes, ...] | None = None
        self.ocsp: bytes | None = None
        self.scts: bytes | None = None
        self.signed: Signed | None = None
        self.alpn = ""
        self.client_certificate_asked = False
        self.alert = ""
        self.problem = ""
        self.done = False
        self.findings: list[str] = []
        self.received = 0
        self._secret, self._max_bytes, self._max_certificates = secret, max_bytes, max_certificates
        self._records, self._messages, self._client = bytearray(), bytearray(), bytearray()
        self._transcript: list[bytes] = []
        self.client_random = b""
        self._opener: _Opener | None = None

    @property
    def over(self) -> bool:
        """Whether reading on is of no use."""
        return self.done or bool(self.problem or self.alert)

    def sent(self, data: bytes) -> None:
        """Takes what the client sent: its ClientHello is part of what the server signs."""
        if self.hello is not None and not self.hello.retry:
            return
        pos = 0
        while pos + 5 <= len(data):
            end = pos + 5 + int.from_bytes(data[pos + 3 : pos + 5], "big")
            if data[pos] == _HANDSHAKE:
                self._client += data[pos + 5 : end]
            pos = end
        while len(self._client) >= 4 and len(self._client) >= (size := 4 + int.from_bytes(self._client[1:4], "big")):
            message = bytes(self._client[:size])
            del self._client[:size]
            if message[0] == 1:
                self.client_random = message[6:38]
                self._transcript.append(message)

    def feed(self, data: bytes) -> None:
        """Takes what the server sent. Never raises: what can't be read is said in `problem`."""
        if self.over:
            return
        room = self._max_bytes - self.received
        self.received += len(data)
        self._records += data[:room]
        try:
            self._read_records()
        except MalformedError as error:
            self.problem = f"a malformed TLS message: {error}"
        if len(data) > room and not self.over:
            self._cut(f"stopped reading after {self._max_bytes} bytes")

    def transcript_hash(self) -> bytes:
        """Hash over the handshake messages so far (RFC 8446, section 4.4.1)."""
        assert self.hello is not None
        algorithm = hash_of(self.hello.cipher)
        messages = list(self._transcript)
        if len(messages) > 2 and messages[1][0] == 2 and messages[1][6:38] == RETRY:
            first = hashlib.new(algorithm, messages[0]).digest()
            messages[0] = b"\xfe\0\0" + bytes([len(first)]) + first
        return hashlib.new(algorithm, b"".join(messages)).digest()

    def _cut(self, why: str) -> None:
        """Keeps the whole certificates of an unfinished Certificate message."""
        if self.certificates is None and self._messages[:1] == b"\x0b":
            found = self._entries(bytes(self._messages[4:]))
            if found:
                self.certificates = tuple(found)
                self.findings.append(f"{why}, inside Certificate: {len(found)} certificates are whole, the rest is cut")
        if self.certificates is None:
            self.problem = why
        self.done = True

    def _read_records(self) -> None:
        buffer = self._records
        while not self.over and buffer:
            if buffer[0] not in (_CCS, _ALERT, _HANDSHAKE, _DATA) or (len(buffer) > 1 and buffer[1] != 3):
                if len(buffer) >= 5:
                    self.problem = greeting(bytes(buffer[:200]))
                return
            if len(buffer) < 5:
                return
            size = int.from_bytes(buffer[3:5], "big")
            if size > _RECORD_LIMIT:
                raise MalformedError(f"a record of {size} bytes")
            if len(buffer) < 5 + size:
                return
            header, body = bytes(buffer[:5]), bytes(buffer[5 : 5 + size])
            del buffer[: 5 + size]
            kind = header[0]
            if kind == _DATA:
                kind, body = self._decrypt(header, body)
            self._record(kind, body)

    def _decrypt(self, header: bytes, body: bytes) -> tuple[int, bytes]:
        if self._opener is None:
            raise MalformedError("application data before the handshake")
        try:
            return self._opener.open(header, body)
        except (InvalidTag, ValueError):
            raise MalformedError("a record that does not decrypt") from None

    def _record(self, kind: int, body: bytes) -> None:
        if kind == _ALERT and len(body) == 2:
            name = iana.alert_name(body[1])
            if body[0] == 1 and body[1] not in {0, 90}:
                if len(self.findings) < 20:
                    self.findings.append(f"the server sent the warning {name}")
            else:
                self.alert = name
        elif kind == _HANDSHAKE:
            self._messages += body
            while not self.over and len(self._messages) >= 4:
                size = 4 + int.from_bytes(self._messages[1:4], "big")
                if len(self._messages) < size:
                    return
                message = bytes(self._messages[:size])
                del self._messages[:size]
                self._message(message)
        elif kind == _CCS and self.hello is not None and self.hello.protocol < 0x0304:
            self.done = True  # TLS 1.2 and before: from here on everything is encrypted

    def _message(self, message: bytes) -> None:
        kind, body = message[0], message[4:]
        if self.hello is None or self.hello.retry:
            if kind != 2:
                raise MalformedError(f"message {kind} before ServerHello")
            retried = self.hello is not None
            self.hello = server_hello(body)
            if retried and self.hello.retry:
                raise MalformedError("a second HelloRetryRequest")
            self.alpn, self.scts = self.hello.alpn, self.hello.scts
            self._transcript.append(message)
            if self.hello.protocol == 0x0304 and not self.hello.retry:
                self._keys(self.hello)
            return
        if kind == 15:
            reader = Reader(body)
            scheme, signature = reader.number(2), reader.vector(2)
            content = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + self.transcript_hash()
            self.signed, self.done = Signed(scheme, content, signature), True
            return
        self._transcript.append(message)
        if kind == 8:
            self.alpn = next((alpn(data) for number, data in extensions(Reader(body).vector(2)) if number == 16), "")
        elif kind == 13:
            self.client_certificate_asked = True
        elif kind == 25:
            self._certificate(decompress(body))
        elif kind == 11:
            self._certificate(body)
        elif kind == 22 and body[:1] == b"\x01":
            self.ocsp = Reader(body[1:]).vector(3) or None
        elif kind == 12:
            self.signed = key_exchange(body, self.hello, self.client_random)
        elif kind in {14, 20}:
            self.done = True

    def _keys(self, hello: ServerHello) -> None:
        if hello.cipher not in {0x1301, 0x1302, 0x1303, 0x1304, 0x1305}:
            raise MalformedError(f"TLS 1.3 with the unknown suite {iana.cipher_name(hello.cipher)}")
        secret = self._secret(self)
        if secret is None:
            raise MalformedError(f"no key for the TLS 1.3 group 0x{hello.group:04X}")
        self._opener = _Opener(hello.cipher, secret)

    def _certificate(self, body: bytes) -> None:
        if self.certificates is not None:
            raise MalformedError("a second Certificate")
        found = self._entries(body)
        if not found:
            raise MalformedError("Certificate holds no certificate")
        self.certificates = tuple(found)

    def _entries(self, body: bytes) -> list[bytes]:
        """The certificates of a Certificate message, as far as they are whole."""
        modern = self.hello is not None and self.hello.protocol == 0x0304
        found: list[bytes] = []
        try:
            reader = Reader(body)
            if modern:
                reader.vector(1)
            end = reader.number(3) + reader.pos
            if end != len(body) and len(body) >= 3:
                self.findings.append("the length in Certificate is not that of its list")
            while reader.pos < min(end, len(body)):
                if len(found) == self._max_certificates:
                    self.findings.append(f"kept the first {len(found)} certificates, the rest is cut")
                    break
                found.append(reader.vector(3))
                for number, data in extensions(reader.vector(2)) if modern else ():
                    if number == 5 and len(found) == 1 and data[:1] == b"\x01":
                        self.ocsp = Reader(data[1:]).vector(3) or None
                    elif number == 18 and len(found) == 1:
                        self.scts = data or None
        except MalformedError:
            self.findings.append(f"Certificate breaks off after {len(found)} whole certificates")
        return found
