"""The pin decision for curl against curl itself: a script's --pinnedpubkey on a TLS server on loopback."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TlsServer
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from forge import Identity, root

from irkit.accept import accepts
from irkit.pins.load import load_release_bytes
from irkit.trust import TrustStore

ROOT = root("Curl Root")
CA = ROOT.issue(cn="Curl CA", ca=True)
LEAF = CA.issue("localhost")
STORE = TrustStore("own", (ROOT.certificate,))


def b64(data: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode()


RIGHT = b64(LEAF.certificate.spki or b"")
ISSUER = b64(CA.certificate.spki or b"")
WRONG = b64(b"another key")
CASES = {
    "right": f"sha256//{RIGHT}",
    "wrong": f"sha256//{WRONG}",
    "issuer": f"sha256//{ISSUER}",
    "second of two": f"sha256//{WRONG};sha256//{RIGHT}",
    "first of two": f"sha256//{RIGHT};sha256//{WRONG}",
    "space after the semicolon": f"sha256//{WRONG}; sha256//{RIGHT}",
    "space after the first": f"sha256//{RIGHT}; sha256//{WRONG}",
    "semicolon at the end": f"sha256//{RIGHT};",
    "no padding": f"sha256//{RIGHT.rstrip('=')}",
    "more padding": f"sha256//{RIGHT}=",
    "one slash": f"sha256/{RIGHT}",
    "no prefix": RIGHT,
    "capitals": f"SHA256//{RIGHT}",
    "second without prefix": f"sha256//{WRONG};{RIGHT}",
    "hex": f"sha256//{hashlib.sha256(LEAF.certificate.spki or b'').hexdigest()}",
    "certificate's hash": f"sha256//{b64(LEAF.certificate.der)}",
    "space before": f"sha256// {RIGHT}",
    "placeholder": "sha256//REPLACE_ME",
    "empty": "sha256//",
    "file that is not there": "key.bin",
}


@pytest.fixture(scope="module")
def curl(tool: Callable[..., str]) -> str:
    return tool("curl")


@pytest.fixture
def served(tls_server: Callable[..., TlsServer]) -> TlsServer:
    return tls_server(LEAF)


def run(curl: str, served: TlsServer, pins: str, folder: Path, *more: Any) -> int:
    (folder / "root.pem").write_text(ROOT.certificate.pem())
    url = f"https://localhost:{served.port}/"
    command = [
        curl,
        "-q",
        "-s",
        "-o",
        "out",
        "--noproxy",
        "*",
        "--cacert",
        "root.pem",
        "--pinnedpubkey",
        pins,
        *more,
        url,
    ]
    return subprocess.run(command, cwd=folder, check=False, timeout=20).returncode


def decide(pins: str, identity: Identity = LEAF, host: str = "localhost", trust: TrustStore | None = STORE) -> Any:
    release = load_release_bytes(f"curl --pinnedpubkey '{pins}' https://{host}/\n".encode(), name="run.sh")
    return accepts(release, identity.chain, host=host, at=identity.certificate.not_before, trust=trust)


@pytest.mark.parametrize("name", CASES)
def test_curl_itself_decides_the_same(name: str, curl: str, served: TlsServer, tmp_path: Path) -> None:
    code = run(curl, served, CASES[name], tmp_path)
    assert code in (0, 90)
    found = decide(CASES[name])
    assert (found.answer, found.why) == (("yes" if code == 0 else "no"), "pin"), found


def test_a_key_file_that_curl_reads_is_not_known_from_the_option(curl: str, served: TlsServer, tmp_path: Path) -> None:
    key = x509.load_der_x509_certificate(LEAF.certificate.der).public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    assert run(curl, served, "key.pem", tmp_path) == 0
    assert decide("key.pem").answer == "unknown"


def test_curl_checks_the_pin_even_where_it_verifies_nothing(curl: str, served: TlsServer, tmp_path: Path) -> None:
    assert run(curl, served, CASES["wrong"], tmp_path, "--insecure") == 90
    assert run(curl, served, CASES["right"], tmp_path, "--insecure") == 0
    assert (decide(CASES["wrong"], trust=None).answer, decide(CASES["right"], trust=None).answer) == ("no", "yes")


def test_a_chain_that_curl_does_not_trust_fails_whatever_its_pin(
    curl: str, tls_server: Callable[..., TlsServer], tmp_path: Path
) -> None:
    stranger = root("Stranger").issue("localhost")
    pins = f"sha256//{b64(stranger.certificate.spki or b'')}"
    assert run(curl, tls_server(stranger), pins, tmp_path) == 60
    assert decide(pins, stranger).why == "trust"
    misnamed = CA.issue("www.example")
    pins = f"sha256//{b64(misnamed.certificate.spki or b'')}"
    assert run(curl, tls_server(misnamed), pins, tmp_path) == 60
    assert decide(pins, misnamed).why == "host"
