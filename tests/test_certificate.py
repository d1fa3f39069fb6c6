from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import x509 as asn1
from forge import make_key, root, self_signed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from irkit import fields
from irkit.certificate import Certificate, Pin, pem_blocks
from irkit.errors import InputError
from irkit.fields import cut_spki


@given(st.binary(min_size=32, max_size=32))
@example(b"\xff" * 32)  # base64 that begins with a slash, as one pin in 64 does
def test_a_pin_is_read_in_every_spelling(digest: bytes) -> None:
    text = base64.b64encode(digest).decode()
    pin = Pin(digest)
    assert str(pin) == f"sha256/{text}"
    for spelling in (text, f"sha256/{text}", f"sha256//{text}", f'pin-sha256="{text}"', f" sha256/{text}\n"):
        assert Pin.parse(spelling) == pin


@pytest.mark.parametrize("extra", ["/", "A", "//"])
def test_a_pin_of_another_length_is_refused(extra: str) -> None:
    with pytest.raises(InputError):
        Pin.parse(f"sha256//{extra}{base64.b64encode(b'x' * 32).decode()}")


def by_openssl(pem: str) -> str:
    """The pin by the pipe that everyone is told to use."""
    command = (
        "openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | openssl base64"
    )
    return subprocess.run(command, shell=True, input=pem, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("kind", ["rsa", "ec", "ec384", "ed25519", "ed448", "dsa"])
def test_a_pin_is_openssl_s(kind: str) -> None:
    leaf = root().issue("x.example", key=make_key(kind)).certificate
    assert leaf.pin is not None
    assert leaf.pin.base64 == by_openssl(leaf.pem())


def test_the_pin_of_an_rsa_pss_key_is_openssl_s(tmp_path: Path) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-nodes", "-subj",
         "/CN=pss.example", "-days", "9", "-keyout", tmp_path / "pss.key"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    certificate = Certificate.from_pem(made)
    assert certificate.pin is not None
    assert certificate.pin.base64 == by_openssl(made)
    assert bytes.fromhex("06092a864886f70d01010a") in (certificate.spki or b"")


def test_fields_are_read_and_shown() -> None:
    leaf = root("Field Root").issue("a.example", "192.0.2.7", cn="Field Leaf", serial=77).certificate
    assert (leaf.subject, leaf.issuer, leaf.serial) == ("CN=Field Leaf", "CN=Field Root", 77)
    assert (leaf.dns_names, leaf.is_ca, leaf.key, leaf.problems) == (
        ("a.example", "192.0.2.7"),
        False,
        "EC secp256r1",
        (),
    )
    assert leaf.not_before == datetime(2026, 11, 1, tzinfo=UTC)
    assert not leaf.self_issued
    assert self_signed("x.example").certificate.self_issued
    assert leaf.sha256 == hashlib.sha256(leaf.der).hexdigest()
    assert Certificate.from_pem(f"noise\n{leaf.pem()}") == leaf
    assert pem_blocks(leaf.pem() * 2) == [leaf.der] * 2


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----"])
def test_text_without_a_certificate_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Certificate.from_pem(text)


LEAF = root().issue("mutant.example", key=make_key("rsa")).certificate


def touch(certificate: Certificate) -> None:
    """Reads everything that there is to read."""
    assert certificate.problems == certificate.problems
    assert (certificate.pin is None) == (certificate.spki is None)
    fields = (
        certificate.subject,
        certificate.issuer,
        certificate.serial,
        certificate.not_before,
        certificate.not_after,
    )
    assert len(fields) == 5
    assert isinstance(certificate.key, str)
    assert certificate.is_ca in (True, False, None)
    assert repr(certificate).isprintable()
    assert "<script" not in certificate._repr_html_()
    assert Certificate.from_pem(certificate.pem()) == certificate


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, len(LEAF.der) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.none() | st.integers(0, len(LEAF.der)),
)
def test_no_mutation_of_a_certificate_raises(changes: list[tuple[int, int]], end: int | None) -> None:
    der = bytearray(LEAF.der)
    for at, byte in changes:
        der[at] = byte
    touch(Certificate.from_der(bytes(der[:end])))


@given(st.binary(max_size=300))
def test_no_bytes_at_all_raise(der: bytes) -> None:
    touch(Certificate.from_der(der))
    touch(Certificate.from_der(b"\x30\x82" + len(der).to_bytes(2, "big") + der))


def collected(corpus: Path) -> Iterator[tuple[bytes, bool]]:
    """Every certificate of the corpus, and whether it is shaped like one."""
    with zipfile.ZipFile(corpus / "certificates.zip") as archive:
        rows = csv.DictReader(io.StringIO(archive.read("index.csv").decode()))
        shaped = {row["file"]: row["cert_shape"] != "0" for row in rows}
        for name, is_shaped in shaped.items():
            yield archive.read(name), is_shaped


def test_every_certificate_of_the_corpus_is_readable(corpus: Path) -> None:
    found = [(Certificate.from_der(der), shaped) for der, shaped in collected(corpus)]
    assert len(found) > 5000
    for certificate, _ in found:
        touch(certificate)
    pinned = sum(certificate.pin is not None for certificate, shaped in found if shaped)
    assert pinned / sum(shaped for _, shaped in found) > 0.98


def test_pins_of_the_corpus_are_those_of_asn1crypto_s_bytes(corpus: Path) -> None:
    compared, wrong = 0, []
    for der, _ in collected(corpus):
        try:
            theirs = asn1.Certificate.load(der)["tbs_certificate"]["subject_public_key_info"]
            spki = theirs._header + theirs.contents
            assert theirs["algorithm"].native  # it looks inside only when it is asked
            assert theirs["public_key"].native
        except Exception:  # noqa: BLE001 - what asn1crypto can't parse is no reference
            continue
        ours = cut_spki(der)
        compared += 1
        if ours != spki:
            wrong.append(hashlib.sha256(der).hexdigest())
    assert compared > 5000
    assert wrong == []


def test_hostile_certificates_are_readable_and_shown_harmless(corpus: Path) -> None:
    files = sorted((corpus / "hostile-certificates").glob("*.der"))
    assert files
    for file in files:
        touch(Certificate.from_der(file.read_bytes()))


def test_a_field_that_breaks_hides_no_other() -> None:
    """Each place is spoilt in turn; what stands elsewhere is read all the same."""
    plain = root().issue("a.example", "192.0.2.7", cn="Field Leaf", serial=77).certificate
    names = ("subject", "issuer", "serial", "not_before", "not_after", "dns_names", "is_ca", "key", "pin")
    whole = {name: getattr(plain, name) for name in names}
    for good, bad in (
        (b"\x17\x0d", b"\x17\x0c"),  # a UTCTime whose length is wrong spoils validity
        (b"\x06\x03\x55\x1d\x13", b"\x06\x03\x55\x1d\x23"),  # an extension twice
        (b"\x0c\x0aField Leaf", b"\x0c\x0aField\xff\xfe\xfdaf"),  # not UTF-8
        (b"\x02\x01\x4d", b"\x02\x01\xcd"),  # a negative serial number
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"),  # version 8
    ):
        assert good in plain.der
        odd = Certificate.from_der(plain.der.replace(good, bad, 1))
        same = [name for name in names if getattr(odd, name) == whole[name]]
        assert len(same) >= len(names) - 2, (bad, set(names) - set(same))
    trailing = Certificate.from_der(plain.der + b"more")
    assert trailing.x509 is None
    assert {name: getattr(trailing, name) for name in names} == whole
    assert len(trailing.problems) == 1


def test_the_lenient_reader_agrees_with_the_strict_one_on_the_corpus(corpus: Path) -> None:
    compared = 0
    for der, _ in collected(corpus):
        certificate = Certificate.from_der(der)
        if certificate.x509 is None or certificate.problems:
            continue
        compared += 1
        assert fields.read_serial(der) == certificate.serial
        assert fields.read_time(der) == certificate.not_before
        assert fields.read_time(der, after=True) == certificate.not_after
        assert fields.read_names(der) == certificate.dns_names
        assert fields.read_is_ca(der) == certificate.is_ca
    assert compared > 4000
