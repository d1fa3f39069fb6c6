"""Chains from files: every form, byte for byte, and a clear word about everything else."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forge
import pytest
import zoo
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from hypothesis import given
from hypothesis import strategies as st
from zoo import CA, EC, RSA, ders

from irkit.capture import capture
from irkit.certificate import Certificate
from irkit.chain import Attempt, Chain, Obtained
from irkit.chainfile import load_chain, load_chain_bytes
from irkit.chainjson import chain_from_json, chain_from_value, chain_to_json, chain_to_value
from irkit.errors import InputError

LEAF, ISSUER = ders(EC.chain)


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


def test_pem_with_anything_around_it(tmp_path: Path) -> None:
    file = tmp_path / "phone.pem"
    for before, after in (
        ("", ""),
        ("subject=/CN=x\nBag Attributes\n", "\nregards, me"),
        ("\ufeff", ""),
        ("\n\n  ", ""),
    ):
        file.write_text(before + EC.chain_pem.replace("\n", "\r\n") + after, newline="")
        chain = load_chain(file)
        assert ders(chain) == [LEAF, ISSUER]
        assert chain.obtained == Obtained("file", str(file))


def test_pem_out_of_mails_logs_and_windows() -> None:
    quoted = "".join(f"> {line}\n" for line in EC.chain_pem.splitlines())
    assert ders(load_chain_bytes(quoted.encode())) == [LEAF, ISSUER]
    logged = f'level=error chain="{EC.chain_pem}"'.replace("\n", "\\n")
    assert ders(load_chain_bytes(logged.encode())) == [LEAF, ISSUER]
    assert ders(load_chain_bytes(EC.chain_pem.encode("utf-16"))) == [LEAF, ISSUER]
    bare = EC.certificate.pem().split("-----")[2]
    assert ders(load_chain_bytes(bare.encode())) == [LEAF]


def test_der_one_or_several() -> None:
    assert ders(load_chain_bytes(LEAF)) == [LEAF]
    assert ders(load_chain_bytes(LEAF + ISSUER)) == [LEAF, ISSUER]
    with_rest = load_chain_bytes(LEAF + b"tail")
    assert ders(with_rest) == [LEAF]
    assert with_rest.obtained.findings == ("4 bytes after the last certificate are left out",)


def test_pkcs7_in_der_and_pem(tmp_path: Path) -> None:
    certificate, _ = EC.write(tmp_path, "ec")
    for form in ("DER", "PEM"):
        data = openssl("crl2pkcs7", "-nocrl", "-certfile", str(certificate), "-outform", form)
        chain = load_chain_bytes(data)
        assert sorted(ders(chain)) == sorted([LEAF, ISSUER])
        assert "order" in chain.obtained.findings[0]
    with pytest.raises(InputError, match="PKCS #7 without a certificate"):
        load_chain_bytes(openssl("crl2pkcs7", "-nocrl"))


def test_pkcs7_of_indefinite_length() -> None:
    plain = LEAF + ISSUER
    version, algorithms = b"\x02\x01\x01", b"\x31\0"
    content = b"\x30\x80\x06\x09" + bytes.fromhex("2a864886f70d010701") + b"\0\0"
    certificates = b"\xa0\x80" + plain + b"\0\0"
    inner = b"\x30\x80" + version + algorithms + content + certificates + b"\x31\0" + b"\0\0"
    whole = b"\x30\x80\x06\x09" + bytes.fromhex("2a864886f70d010702") + b"\xa0\x80" + inner + b"\0\0\0\0"
    chain = load_chain_bytes(whole)
    assert sorted(ders(chain)) == sorted([LEAF, ISSUER])
    assert "re-encoding" in chain.obtained.findings[0]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_what_s_client_printed(tmp_path: Path, version: str) -> None:
    with zoo.s_server(tmp_path, EC) as port:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-showcerts", version]
        shown = subprocess.run(command, input=b"", capture_output=True, check=False)
    file = tmp_path / "saved.txt"
    file.write_bytes(shown.stdout + shown.stderr)
    chain = load_chain(file)
    assert ders(chain) == [LEAF, ISSUER]
    assert chain.obtained.protocol == ("TLSv1.2" if version == "-tls1_2" else "TLSv1.3")
    assert chain.obtained.cipher
    if version == "-tls1_2":  # s_client prints a TLS 1.2 session with its time
        assert chain.obtained.at is not None
        assert chain.obtained.at.tzinfo is UTC


def test_a_folder_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "1.pem").write_text(EC.certificate.pem())
    (tmp_path / "2.cer").write_bytes(ISSUER)
    (tmp_path / "3-\x1b[2J.txt").write_text("notes")
    (tmp_path / ".hidden").write_text(RSA.chain_pem)
    (tmp_path / "sub").mkdir()
    chain = load_chain(tmp_path)
    assert ders(chain) == [LEAF, ISSUER]
    assert any("order is that of the file names" in finding for finding in chain.obtained.findings)
    left_out = next(finding for finding in chain.obtained.findings if finding.startswith("left out"))
    assert left_out.isprintable()
    with pytest.raises(InputError, match=r"no file in .* holds a certificate"):
        load_chain(tmp_path / "sub")


def full(chain: Chain) -> Chain:
    obtained = Obtained(
        "handshake", "a.test:443 at 192.0.2.7:443", at=datetime(2026, 11, 23, 9, 10, 11, 123456, tzinfo=UTC),
        duration=0.25, host="a.test", port=443, server_name="a.test", address="192.0.2.7:443", protocol="TLSv1.3",
        cipher="TLS_AES_128_GCM_SHA256", signature_scheme="ed25519", alpn="h2", possession="proven",
        ocsp=b"\x30\x03", scts=b"\0",
        attempts=(Attempt("a", "handshake", "no"),), findings=("odd", "\x1b]52;"), vantage="office",
        proxy="http://p:1", starttls="smtp",
    )  # fmt: skip
    return Chain(chain.certificates, obtained)


def test_json_and_back_is_the_same_chain(tmp_path: Path) -> None:
    for chain in (EC.chain, full(RSA.chain), Chain((Certificate.from_der(b"junk"), Certificate.from_der(b"")))):
        text = chain_to_json(chain)
        assert text.isascii()
        back = chain_from_json(text)
        assert (back, back.obtained) == (chain, chain.obtained)
        (tmp_path / "chain.json").write_text(text)
        assert load_chain(tmp_path / "chain.json").obtained == chain.obtained
    with zoo.python_tls(EC.server_context()) as port:
        captured = capture("127.0.0.1", port)
    assert chain_from_json(chain_to_json(captured)).obtained == captured.obtained


def test_a_list_of_captures_is_one_chain_if_they_agree() -> None:
    one, same, other = chain_to_value(EC.chain), chain_to_value(full(EC.chain)), chain_to_value(RSA.chain)
    assert load_chain_bytes(json.dumps([one, same]).encode()) == EC.chain
    with pytest.raises(InputError, match="2 different chains"):
        load_chain_bytes(json.dumps([one, other]).encode())
    with pytest.raises(InputError, match="empty list"):
        load_chain_bytes(b"[]")


WRONG: list[tuple[str, Any]] = [
    ("schema", "irkit.chain/2"), ("schema", None), ("certificates", []), ("certificates", "x"), ("certificates", [1]),
    ("certificates", [{"der": "%%%"}]), ("certificates", [{"der": 5}]), ("certificates", [{}]),
    ("certificates", [{"der": "AAAA", "sha256": "00"}]), ("obtained", 5), ("obtained", {"how": "guess"}),
    ("obtained", {"at": "yesterday"}), ("obtained", {"at": "2026-11-23T09:00:00"}), ("obtained", {"host": ["x"]}),
    ("obtained", {"attempts": [1]}), ("obtained", {"attempts": 7}), ("obtained", {"port": "x"}),
    ("obtained", {"possession": "maybe"}), ("obtained", {"ocsp": "%"}), ("obtained", {"findings": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG, ids=str)
def test_json_that_is_not_ours_says_which_field(field: str, value: Any) -> None:
    with pytest.raises(InputError) as raised:
        chain_from_value({**chain_to_value(EC.chain), field: value}, "x.json")
    assert "x.json" in raised.value.message
    assert raised.value.hint


def pkcs12() -> bytes:
    return serialize_key_and_certificates(b"x", EC.key, EC.x509, None, BestAvailableEncryption(b"x"))


def other_der(kind: str) -> bytes:
    """What has nearly the outline of a certificate."""
    if kind == "req":
        builder = x509.CertificateSigningRequestBuilder().subject_name(EC.x509.subject)
        return builder.sign(RSA.key, hashes.SHA256()).public_bytes(Encoding.DER)
    if kind == "crl":
        times = x509.CertificateRevocationListBuilder().last_update(forge.EPOCH).next_update(forge.EPOCH)
        return times.issuer_name(CA.x509.subject).sign(CA.key, hashes.SHA256()).public_bytes(Encoding.DER)
    return RSA.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


USELESS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n ", "is empty"),
    "a key": (EC.key_pem, "it holds a private key"),
    "a public key": (b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n", "a bare public key"),
    "garbage": (bytes(range(256)), "it is binary"),
    "DER garbage": (b"\x30\x82\x01\x00" + bytes(256), "begins like DER but is none"),
    "truncated DER": (LEAF[:-1], "truncated"),
    "a request in DER": (other_der("req"), "no certificate in it"),
    "a CRL in DER": (other_der("crl"), "no certificate in it"),
    "a key in DER": (other_der("key"), "no certificate in it"),
    "PKCS #12": (pkcs12(), "looks like PKCS #12"),
    "a Java key store": (b"\xfe\xed\xfe\xed\0\0\0\2", "a Java key store"),
    "text": (b"hello, is it me you're looking for?", "other text"),
    "a page": (b"<!doctype html><html><body>Log in</body></html>", "a web page"),
    "broken base64": (b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n", "is not base64"),
    "no END": (EC.certificate.pem()[:-30].encode(), "without its END"),
    "broken JSON": (b'{"certificates": [', "begins like JSON"),
    "deep JSON": (b"[" * 100_000, "begins like JSON|JSON"),
    "other JSON": (b'{"a": 1}', "schema"),
    "nothing presented": (b"CONNECTED(00000003)\n---\nno peer certificate available\n---\n", "presented none"),
    "broken PKCS7": (b"-----BEGIN PKCS7-----\nMAMC\n-----END PKCS7-----\n", "PKCS7 block can't be read"),
}


@pytest.mark.parametrize(("data", "says"), USELESS.values(), ids=USELESS)
def test_anything_else_is_a_clear_error(data: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "odd"
    file.write_bytes(data)
    with pytest.raises(InputError, match=says) as raised:
        load_chain(file)
    assert str(file) in raised.value.message
    assert raised.value.hint


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    for path, says in (
        (tmp_path / "absent", "there is no file"), ("a\0b", "not a path|there is no file"), ("/dev/zero", "neither"),
        (tmp_path / ("x" * 300), "can't read|there is no file"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=says):
            load_chain(path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        load_chain(tmp_path / "fifo")
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(InputError, match="larger than 16 MB"):
        load_chain(huge)


def test_a_private_key_in_the_file_is_pointed_out() -> None:
    chain = load_chain_bytes(EC.key_pem + EC.chain_pem.encode())
    assert ders(chain) == [LEAF, ISSUER]
    assert "private key" in chain.obtained.findings[0]


def test_odd_certificates_are_kept(corpus: Path) -> None:
    for file in sorted((corpus / "hostile-certificates").glob("*.der")):
        assert ders(load_chain(file)) == [file.read_bytes()]
        pem = Certificate.from_der(file.read_bytes()).pem()
        assert ders(load_chain_bytes(pem.encode())) == [file.read_bytes()]


def test_every_certificate_of_the_corpus_loads_as_it_is(corpus: Path) -> None:
    with zipfile.ZipFile(corpus / "certificates.zip") as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("index.csv").decode())))
        shaped = [row["file"] for row in rows if row["cert_shape"] == "1"]
        assert shaped
        for name in shaped:
            assert ders(load_chain_bytes(archive.read(name))) == [archive.read(name)], name


@given(st.binary(max_size=400))
def test_any_bytes_are_a_chain_or_an_input_error(data: bytes) -> None:
    for whole in (data, LEAF[:4] + data, LEAF[:300] + data, b"-----BEGIN CERTIFICATE-----" + data, b"[" + data):
        try:
            assert len(load_chain_bytes(whole)) > 0
        except InputError as error:
            assert error.hint


def test_a_certificate_with_a_broken_key_is_still_one() -> None:
    place = LEAF.index(EC.certificate.spki or b"?")
    odd = LEAF[:place] + b"\x04" + LEAF[place + 1 :]
    assert Certificate.from_der(odd).pin is None
    assert ders(load_chain_bytes(odd)) == [odd]


def test_order_and_duplicates_stay() -> None:
    text = CA.certificate.pem() + EC.certificate.pem() + CA.certificate.pem() + forge.self_signed("x.test").chain_pem
    assert [c.sha256 for c in load_chain_bytes(text.encode())][:3] == [
        CA.certificate.sha256, EC.certificate.sha256, CA.certificate.sha256
    ]  # fmt: skip
    assert replace(load_chain_bytes(text.encode()).obtained, where="") == Obtained("file", "")
