from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, pkcs12
from forge import EPOCH, Identity, cross_sign, make_key, root, self_signed

from irkit.certificate import Certificate
from irkit.errors import InputError
from irkit.trust import TrustStore, covers, linked_path, linked_paths, load_trust, mozilla, verify

AT = EPOCH + timedelta(days=5)
ROOT = root("Trust Root")
CA = ROOT.issue(cn="Trust CA", ca=True)
LEAF = CA.issue("api.example.com", "*.example.net", "192.0.2.7")
STORE = TrustStore("own", (ROOT.certificate,))


def store(*identities: Identity) -> TrustStore:
    return TrustStore("own", tuple(identity.certificate for identity in identities))


def test_a_served_chain_leads_to_its_root() -> None:
    found = verify(LEAF.chain, STORE, at=AT, host="api.example.com")
    assert found.ok
    assert (found.why, found.reason) == ("", "")
    assert found.paths == ((LEAF.certificate, CA.certificate, ROOT.certificate),)


@pytest.mark.parametrize(
    ("certificates", "kept"),
    [
        ((CA, ROOT), 3),
        ((ROOT, CA), 3),
        ((CA, CA, LEAF), 3),
    ],
)
def test_order_and_repeats_don_t_matter(certificates: tuple[Identity, ...], kept: int) -> None:
    chain = (LEAF.certificate, *(c.certificate for c in certificates))
    assert [len(path) for path in verify(chain, STORE, at=AT).paths] == [kept]


def test_a_missing_intermediate_is_named() -> None:
    found = verify(LEAF.chain[:1], STORE, at=AT)
    assert (found.why, found.certificate) == ("missing-issuer", LEAF.certificate)
    assert found.reason == "the issuer of CN=api.example.com, CN=Trust CA, was not presented and is not in own"


def test_an_intermediate_that_the_device_has_cached_completes_the_path() -> None:
    assert verify(LEAF.chain[:1], STORE, at=AT, extra=[CA.certificate]).ok


def test_an_unknown_root_is_named() -> None:
    chain = (*LEAF.chain, ROOT.certificate)
    found = verify(chain, store(root("Another")), at=AT)
    assert (found.why, found.certificate) == ("unknown-root", ROOT.certificate)
    assert "CN=Trust Root is the chain's root and not in own" in found.reason


def test_a_self_signed_leaf_is_an_unknown_root_unless_it_is_trusted() -> None:
    alone = self_signed("api.example.com")
    assert verify(alone.chain, STORE, at=AT).why == "unknown-root"
    assert verify(alone.chain, store(alone), at=AT).paths == ((alone.certificate,),)


@pytest.mark.parametrize(("days", "why"), [(-1, "not-yet-valid"), (91, "expired")])
def test_dates_outside_the_validity_are_said(days: int, why: str) -> None:
    found = verify(LEAF.chain, STORE, at=EPOCH + timedelta(days=days), host="api.example.com")
    assert (found.why, found.certificate) == (why, LEAF.certificate)
    assert "UTC" in found.reason


def test_an_expired_intermediate_is_at_fault_itself() -> None:
    short = ROOT.issue(cn="Short CA", ca=True, days=1)
    found = verify(short.issue("x.example").chain, STORE, at=AT)
    assert (found.why, found.certificate) == ("expired", short.certificate)


def test_an_expired_root_counts_for_android_only() -> None:
    old = root("Old Root", days=1)
    chain = old.issue(cn="Old CA", ca=True).issue("x.example").chain
    assert verify(chain, store(old), at=AT).why == "expired"
    assert verify(chain, store(old), at=AT, expired_roots=True).ok


def test_a_certificate_for_other_names_says_which() -> None:
    found = verify(LEAF.chain, STORE, at=AT, host="www.example.com")
    assert found.why == "name"
    assert found.reason == "the certificate is for api.example.com, *.example.net, 192.0.2.7, not for www.example.com"


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("api.example.com", True), ("API.example.com.", True), ("x.example.net", True), ("192.0.2.7", True),
        ("example.net", False), ("a.b.example.net", False), ("192.0.2.8", False), ("", False), ("*.example.net", True),
    ],
)  # fmt: skip
def test_names_fit_as_rfc_6125_says(host: str, fits: bool) -> None:
    assert covers(LEAF.certificate, host) is fits


def test_a_copied_name_with_another_key_is_a_bad_signature() -> None:
    fake = root("Trust Root").issue(cn="Trust CA", ca=True).issue("api.example.com")
    found = verify((fake.certificate, CA.certificate), STORE, at=AT)
    assert (found.why, found.certificate) == ("bad-signature", fake.certificate)


def test_a_leaf_that_signs_is_no_ca() -> None:
    rogue = LEAF.issue("bank.example")
    found = verify((rogue.certificate, LEAF.certificate, CA.certificate), STORE, at=AT)
    assert (found.why, found.certificate) == ("not-a-ca", LEAF.certificate)


def test_every_path_is_found_and_anchors_come_first() -> None:
    new, old = root("New Root"), root("Old Root")
    ca = new.issue(cn="Issuing CA", ca=True)
    leaf = ca.issue("api.example.com")
    bridge = cross_sign(new, old)
    chain = (*leaf.chain, bridge)
    assert verify(chain, store(new), at=AT).paths == ((*leaf.chain, new.certificate),)
    assert verify(chain, store(old), at=AT).paths == ((*leaf.chain, bridge, old.certificate),)
    both = verify(chain, store(old, new), at=AT)
    assert both.paths[0] == (*leaf.chain, new.certificate)
    assert (*leaf.chain, bridge, old.certificate) in both.paths


def test_a_broken_alternative_does_not_hide_a_valid_path() -> None:
    first, second = root("First"), root("Second", days=2)
    ca = first.issue(cn="CA", ca=True)
    leaf = ca.issue("x.example")
    other = cross_sign(ca, second)
    found = verify((leaf.certificate, other, ca.certificate), store(second, first), at=AT)
    assert found.paths == ((leaf.certificate, ca.certificate, first.certificate),)


def test_a_genuine_ca_certificate_appended_to_a_strangers_chain_is_on_no_path() -> None:
    evil = root("Evil").issue("api.example.com")
    chain = (evil.certificate, CA.certificate, ROOT.certificate)
    assert linked_path(chain) == (evil.certificate,)
    assert not verify(chain, STORE, at=AT).ok
    copied = root("Trust Root").issue(cn="Trust CA", ca=True)  # the same names, the attacker's keys
    fake = copied.issue("api.example.com")
    assert linked_path((fake.certificate, CA.certificate, ROOT.certificate)) == (fake.certificate,)
    assert linked_path((fake.certificate, CA.certificate, copied.certificate)) == (fake.certificate, copied.certificate)


def test_linked_paths_end_where_nothing_signed_the_last() -> None:
    assert linked_paths(()) == ()
    assert linked_paths(LEAF.chain) == (tuple(LEAF.chain),)


def test_a_thousand_cas_of_one_name_are_given_up_on() -> None:
    key = make_key("ed25519")
    namesakes = [root("Loop", key=make_key("ed25519")) for _ in range(1000)]
    first = Identity(namesakes[0].x509, key).issue("x.example")
    found = verify((first.certificate, *(c.certificate for c in namesakes)), STORE, at=AT)
    assert found.why == "too-many"


def test_cas_that_sign_each_other_in_a_ring_end() -> None:
    ring = [root(f"Ring {i}", key=make_key("ec")) for i in range(8)]
    signed = [cross_sign(a, b) for a in ring for b in ring if a is not b]
    leaf = ring[0].issue("x.example")
    assert not verify((leaf.certificate, *signed), STORE, at=AT).ok


def test_odd_certificates_are_described() -> None:
    assert verify((), STORE, at=AT).why == "empty"
    assert verify([Certificate.from_der(b"junk")], STORE, at=AT).why == "unreadable"
    assert linked_path([Certificate.from_der(b"junk"), CA.certificate]) == (Certificate(b"junk"),)
    assert not verify([LEAF.certificate, Certificate.from_der(b"junk")], STORE, at=AT).ok


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InputError, match="no time zone"):
        verify(LEAF.chain, STORE, at=datetime(2026, 11, 5))  # noqa: DTZ001 - what the test is about


@pytest.mark.parametrize("kind", ["rsa", "ec384"])
def test_other_kinds_of_ca_keys_verify(kind: str) -> None:
    ca = root("Kind", key=make_key(kind))
    assert verify(ca.issue("x.example", key=make_key("rsa")).chain, store(ca), at=AT).ok


def test_mozilla_s_roots_are_there_once_each() -> None:
    roots = mozilla().roots
    assert len(roots) > 100
    assert len(set(roots)) == len(roots)
    assert all(root.pin is not None and root.x509 is not None for root in roots)


def test_a_root_that_is_not_to_the_verifier_s_taste_is_still_an_anchor() -> None:
    made = (
        x509.CertificateBuilder()
        .subject_name(ROOT.x509.subject)
        .issuer_name(ROOT.x509.subject)
        .public_key(ROOT.key.public_key())
        .serial_number(1)
        .not_valid_before(EPOCH)
        .not_valid_after(EPOCH + timedelta(days=900))
        .sign(ROOT.key, hashes.SHA256())  # no basicConstraints, as roots from before RFC 3280
    )
    bare = TrustStore("bare", (Certificate.from_der(made.public_bytes(Encoding.DER)),))
    assert verify(LEAF.chain, bare, at=AT).ok


def test_stores_load_from_files_and_folders(tmp_path: Path) -> None:
    other = root("Second Root")
    (tmp_path / "both.pem").write_text("# comment\n" + ROOT.certificate.pem() + other.certificate.pem())
    assert load_trust(tmp_path / "both.pem").roots == (ROOT.certificate, other.certificate)
    (tmp_path / "one.der").write_bytes(ROOT.certificate.der)
    assert load_trust(tmp_path / "one.der", "one") == TrustStore("one", (ROOT.certificate,))
    folder = tmp_path / "cacerts"
    folder.mkdir()
    (folder / "5ed36f99.0").write_text(ROOT.certificate.pem() + "Certificate:\n    Data:\n")
    (folder / "apple.cer").write_bytes(other.certificate.der)
    (folder / "README").write_text("not a certificate")
    assert set(load_trust(folder).roots) == {ROOT.certificate, other.certificate}


@pytest.mark.parametrize("password", [b"changeit", None])
def test_pkcs12_stores_load(tmp_path: Path, password: bytes | None) -> None:
    kind = NoEncryption() if password is None else BestAvailableEncryption(password)
    entry = pkcs12.PKCS12Certificate(ROOT.x509, b"own")
    data = pkcs12.serialize_key_and_certificates(b"own", None, None, [entry.certificate], kind)
    (tmp_path / "trust.p12").write_bytes(data)
    assert load_trust(tmp_path / "trust.p12").roots == (ROOT.certificate,)


@pytest.mark.parametrize("kind", ["JKS", "PKCS12"])
def test_java_s_keystores_load(tmp_path: Path, kind: str, tool: Callable[..., str]) -> None:
    (tmp_path / "root.pem").write_text(ROOT.certificate.pem())
    subprocess.run(
        [tool("keytool"), "-importcert", "-noprompt", "-storetype", kind, "-storepass", "changeit", "-alias", "own",
         "-file", "root.pem", "-keystore", "trust"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    assert load_trust(tmp_path / "trust").roots == (ROOT.certificate,)
    assert load_trust(tmp_path / "trust", password="changeit").roots == (ROOT.certificate,)
    with pytest.raises(InputError, match=r"another password|does not open"):
        load_trust(tmp_path / "trust", password="other")


@pytest.mark.parametrize("kind", ["JKS", "PKCS12"])
def test_a_keystore_with_a_password_of_its_own_opens_with_it(
    tmp_path: Path, kind: str, tool: Callable[..., str]
) -> None:
    (tmp_path / "root.pem").write_text(ROOT.certificate.pem())
    subprocess.run(
        [tool("keytool"), "-importcert", "-noprompt", "-storetype", kind, "-storepass", "own secret", "-alias", "own",
         "-file", "root.pem", "-keystore", "trust"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    assert load_trust(tmp_path / "trust", password="own secret").roots == (ROOT.certificate,)
    if kind == "PKCS12":
        with pytest.raises(InputError, match="does not open") as caught:
            load_trust(tmp_path / "trust")
        assert "password" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello", "holds no certificate"),
        (b"", "holds no certificate"),
        (b"\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x05", "broken Java keystore"),
        (b"\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01", "private keys"),
        (b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----", "not base64"),
    ],
)
def test_what_is_no_trust_store_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "file.pem").write_bytes(content)
    with pytest.raises(InputError, match=says):
        load_trust(tmp_path / "file.pem")
    with pytest.raises(InputError, match=says):
        load_trust(tmp_path)


def test_an_absent_or_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read"):
        load_trust(tmp_path / "absent.pem")
    with pytest.raises(InputError, match="no certificate in"):
        load_trust(tmp_path)
