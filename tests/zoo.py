"""Servers of every kind that a capture may meet, on loopback: each a context manager that gives its port.

Where a real server does it, a real server does it: Python's ssl, `openssl s_server`, nginx. What they won't do (a junk
certificate, a wrong key, an abort) raw sockets do.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac as hashlib_hmac
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import forge
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from forge import Identity
from OpenSSL import SSL

from irkit.capture import capture
from irkit.certificate import pem_blocks
from irkit.chain import Chain
from irkit.errors import IrkitError

Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def raw(serve: Serve, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A TCP server that does with each connection what it is told."""
    listener = socket.create_server((host, port))
    connections: list[socket.socket] = []

    def run(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError, SSL.Error):
            serve(connection)
        connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(20)
            connections.append(connection)
            threading.Thread(target=run, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        for sock in (listener, *connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        thread.join(5)


def python_tls(
    context: ssl.SSLContext, host: str = "127.0.0.1", port: int = 0
) -> contextlib.AbstractContextManager[int]:
    """Python's ssl: shakes hands and waits for the client to leave."""

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(100)

    return raw(serve, host, port)


@contextlib.contextmanager
def s_server(folder: Path, identity: Identity, *arguments: str) -> Iterator[int]:
    """`openssl s_server` with an identity's chain."""
    leaf, key = identity.write(folder, "s_server")
    chain = folder / "s_server-chain.pem"
    chain.write_text("".join(certificate.pem() for certificate in identity.chain[1:]))
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", str(leaf), "-key", str(key), *arguments]
    if len(identity.chain) > 1:
        command += ["-cert_chain", str(chain)]
    with program([*command, "-www"]) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if match := re.match(r"ACCEPT .*:(\d+)\s*$", line):
                break
        else:
            raise AssertionError("".join(said))
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield int(match[1])


@contextlib.contextmanager
def nginx(folder: Path, server_blocks: Callable[[int], str]) -> Iterator[int]:
    """nginx, which takes over a socket that is bound here, so that no port is guessed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        user = "user root; " if os.geteuid() == 0 else ""  # the worker has to reach the folder
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; {user}pid {folder}/pid; error_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n"
            f"fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n"
            f"{server_blocks(port)} }}\n"
        )
        binary = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        assert binary is not None
        environment = {**os.environ, "NGINX": f"{listener.fileno()};"}
        command = [binary, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        with program(command, env=environment, pass_fds=(listener.fileno(),)):
            yield port


@contextlib.contextmanager
def program(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def s_client(port: int, *arguments: str) -> list[bytes]:
    """What `openssl s_client -showcerts` shows, as DER."""
    return s_client_says(port, *arguments)[0]


def s_client_says(port: int, *arguments: str) -> tuple[list[bytes], str]:
    """What `openssl s_client -showcerts` shows, as DER, and what it complains of."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-showcerts", "-no-CAfile", "-no-CApath",
               "-no-CAstore", "-cipher", "ALL:@SECLEVEL=0", "-legacy_server_connect", *arguments]  # fmt: skip
    ran = subprocess.run(command, input=b"", capture_output=True, timeout=30, check=False)
    return pem_blocks(ran.stdout.decode("utf-8", "replace")), ran.stderr.decode("utf-8", "replace")


def pyopenssl(context: SSL.Context) -> contextlib.AbstractContextManager[int]:
    """The OpenSSL that cryptography brings, newer than the system's."""

    def serve(connection: socket.socket) -> None:
        server = SSL.Connection(context, None)
        server.set_accept_state()
        while True:
            server.bio_write(connection.recv(65536))
            with contextlib.suppress(SSL.WantReadError):
                server.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                connection.sendall(server.bio_read(65536))

    return raw(serve)


# Raw TLS: the server's side as far as Certificate and the signature, with any bytes for certificates.


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + vector(body, 3)


def records(payload: bytes, kind: int = 22, size: int = 16384) -> bytes:
    return b"".join(bytes([kind]) + b"\3\3" + vector(payload[i : i + size], 2) for i in range(0, len(payload), size))


def client_hello(connection: socket.socket) -> bytes:
    """The ClientHello message, without its record."""
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[1:4], "big"):
        header = exactly(connection, 5)
        data += exactly(connection, int.from_bytes(header[3:], "big"))
    return data


def certificate_message(ders: Sequence[bytes], *, modern: bool = False) -> bytes:
    if modern:
        return message(11, b"\0" + vector(b"".join(vector(der, 3) + b"\0\0" for der in ders), 3))
    return message(11, vector(b"".join(vector(der, 3) for der in ders), 3))


def sign(key: Any, content: bytes) -> bytes:
    """A scheme with its signature, as ServerKeyExchange and CertificateVerify hold them. Bytes are one that is none."""
    if isinstance(key, bytes):
        return key + vector(b"signed", 2)
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return b"\x08\x04" + vector(key.sign(content, pss, hashes.SHA256()), 2)
    return b"\x04\x03" + vector(key.sign(content, ec.ECDSA(hashes.SHA256())), 2)


def tls12(
    ders: Sequence[bytes], key: Any = None, *, first: bytes = b"", then: bytes = b"", certificate: bytes | None = None,
    size: int = 16384, finish: bool = False,
) -> Serve:  # fmt: skip
    """TLS 1.2 with ECDHE: ServerHello, Certificate, then ServerKeyExchange if there is a key, then `then`.

    `certificate` stands in for the whole Certificate message, `first` is sent before all, records hold `size` bytes.
    The connection is closed after it, unless it is to `finish` the handshake, as a server from before RFC 5746.
    """

    def serve(connection: socket.socket) -> None:
        hello = client_hello(connection)
        random = os.urandom(32)
        is_rsa = isinstance(key, rsa.RSAPrivateKey)
        flight = message(2, b"\3\3" + random + b"\0" + (b"\xc0\x2f" if is_rsa else b"\xc0\x2b") + b"\0")
        flight += certificate if certificate is not None else certificate_message(ders)
        if key is not None:
            private = x25519.X25519PrivateKey.generate()
            parameters = b"\x03\x00\x1d" + vector(private.public_key().public_bytes_raw(), 1)
            flight += message(12, parameters + sign(key, hello[6:38] + random + parameters))
            flight += message(14, b"")
        connection.sendall(first + records(flight, size=size) + then)
        if finish:
            _finish(connection, private, hello, flight)
        if key is not None:
            connection.recv(4096)

    return serve


def _finish(connection: socket.socket, private: x25519.X25519PrivateKey, hello: bytes, flight: bytes) -> None:
    """The rest of a TLS 1.2 handshake with AES-128-GCM (RFC 5246, sections 5, 6.3 and 7.4.9; RFC 5288)."""

    def prf(secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
        out, link = b"", label + seed
        while len(out) < length:
            link = hashlib_hmac.digest(secret, link, "sha256")
            out += hashlib_hmac.digest(secret, link + label + seed, "sha256")
        return out[:length]

    def header(size: int) -> bytes:
        return bytes(8) + b"\x16\3\3" + size.to_bytes(2, "big")

    exchange, _, finished = (exactly(connection, int.from_bytes(exactly(connection, 5)[3:], "big")) for _ in range(3))
    client, server = hello[6:38], flight[6:38]
    shared = private.exchange(x25519.X25519PublicKey.from_public_bytes(exchange[5:]))
    master = prf(shared, b"master secret", client + server, 48)
    keys = prf(master, b"key expansion", server + client, 40)
    plain = AESGCM(keys[:16]).decrypt(keys[32:36] + finished[:8], finished[8:], header(len(finished) - 24))
    digest = hashlib.sha256(hello + flight + exchange + plain).digest()
    answer = message(20, prf(master, b"server finished", digest, 12))
    sealed = bytes(8) + AESGCM(keys[16:32]).encrypt(keys[36:40] + bytes(8), answer, header(len(answer)))
    connection.sendall(records(b"\1", 20) + records(sealed))


def tls13(ders: Sequence[bytes], key: Any = None) -> Serve:
    """TLS 1.3 with X25519 and AES-128-GCM: as far as CertificateVerify, or Certificate where there is no key."""

    def expand(secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
        info = struct.pack(">H", length) + vector(b"tls13 " + label, 1) + vector(context, 1)
        return HKDFExpand(hashes.SHA256(), length, info).derive(secret)

    def digest(data: bytes) -> bytes:
        running = hashes.Hash(hashes.SHA256())
        running.update(data)
        return running.finalize()

    def extract(salt: bytes, secret: bytes) -> bytes:
        mac = hmac.HMAC(salt, hashes.SHA256())
        mac.update(secret)
        return mac.finalize()

    def serve(connection: socket.socket) -> None:
        hello = client_hello(connection)
        session = hello[39 : 39 + hello[38]]
        at = hello.index(b"\x00\x1d\x00\x20") + 4  # X25519's share
        private = x25519.X25519PrivateKey.generate()
        shared = private.exchange(x25519.X25519PublicKey.from_public_bytes(hello[at : at + 32]))
        extensions = (
            b"\x00\x2b\x00\x02\x03\x04\x00\x33\x00\x24\x00\x1d\x00\x20" + private.public_key().public_bytes_raw()
        )
        answer = message(2, b"\3\3" + os.urandom(32) + vector(session, 1) + b"\x13\x01\0" + vector(extensions, 2))
        derived = expand(extract(bytes(32), bytes(32)), b"derived", digest(b""), 32)
        secret = expand(extract(derived, shared), b"s hs traffic", digest(hello + answer), 32)
        aead, iv = AESGCM(expand(secret, b"key", b"", 16)), int.from_bytes(expand(secret, b"iv", b"", 12), "big")
        flight = message(8, b"\0\0") + certificate_message(ders, modern=True)
        if key is not None:
            covered = digest(hello + answer + flight)
            content = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + covered
            flight += message(15, sign(key, content)) + message(20, bytes(32))  # a Finished that is wrong
        sealed = b""
        for number, start in enumerate(range(0, len(flight), 16000)):
            plain = flight[start : start + 16000] + b"\x16" + bytes(3)  # padded
            header = b"\x17\3\3" + (len(plain) + 16).to_bytes(2, "big")
            sealed += header + aead.encrypt((iv ^ number).to_bytes(12, "big"), plain, header)
        connection.sendall(records(answer) + records(b"\1", 20) + sealed)
        if key is not None:
            connection.recv(4096)

    return serve


# Servers that are no use at all.


def answering(data: bytes) -> Serve:
    """Sends something at once, whatever the client wants, and waits for it to leave."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(data)
        while connection.recv(4096):
            pass

    return serve


def replying(data: bytes) -> Serve:
    """Sends something after the client's first words, and closes."""

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(data)

    return serve


def replying_and_silent(data: bytes) -> Serve:
    """Sends something after the client's first words, and waits for it to leave."""

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(data)
        silent(connection)

    return serve


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def dripping(connection: socket.socket) -> None:
    """A byte now and then of a record that would be good."""
    connection.recv(4096)
    stop = threading.Event()
    for byte in records(message(2, b"\3\3" + bytes(9000))):
        connection.sendall(bytes([byte]))
        stop.wait(1)


def resetting(connection: socket.socket) -> None:
    connection.recv(100)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def endless(record: bytes, first: bytes = b"") -> Serve:
    """One record over and over, up to a gigabyte."""

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(first)
        several = record * (65536 // len(record) + 1)
        for _ in range(2**30 // len(several)):
            connection.sendall(several)

    return serve


# What the tests of captures share.

ROOT = forge.root()
CA = ROOT.issue(cn="Forge CA", ca=True)
EC = CA.issue("ec.test")
RSA = CA.issue("rsa.test", key=forge.make_key("rsa"))


def local(port: int, **options: Any) -> Chain:
    return capture("127.0.0.1", port, **options)


def ders(chain: Chain) -> list[bytes]:
    return [certificate.der for certificate in chain]


def context(identity: Identity, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    made = identity.server_context()
    made.maximum_version = maximum
    return made


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """The call's result or error; fails when it is not back long after its deadline."""
    box: list[Any] = []

    def run() -> None:
        try:
            box.append(call())
        except IrkitError as error:
            box.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert box, "it hangs, or raised something else than an IrkitError"
    if isinstance(box[0], IrkitError):
        raise box[0]
    return box[0]


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Makes every name resolve to these loopback addresses; connections stay real."""
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: Any, **options: Any) -> Any:
        if host[0].isdigit() or ":" in host:
            return real(host, port, *args, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
