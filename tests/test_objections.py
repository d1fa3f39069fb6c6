"""Why a chain does not verify: each reason by its kind, in a responder's words, with the certificate at fault."""

from __future__ import annotations

import ipaddress
import subprocess
import warnings
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from forge import EPOCH, Identity, make_key, root, self_signed

from irkit.aia import issuer_urls
from irkit.appraisal import appraise
from irkit.certificate import Certificate, unwarned
from irkit.chain import Chain
from irkit.trust import TrustStore, Verification, verify

AT = EPOCH + timedelta(days=5)
ROOT = root("Trust Root")
CA = ROOT.issue(cn="Trust CA", ca=True)
STORE = TrustStore("own", (ROOT.certificate,))
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\0")


def bare(cn: str, *extensions: tuple[x509.ExtensionType, bool]) -> Identity:
    """A certificate by the root that has these extensions and no others."""
    key = make_key()
    builder = x509.CertificateBuilder(
        issuer_name=ROOT.x509.subject, subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)]),
        public_key=key.public_key(), serial_number=7, not_valid_before=EPOCH,
        not_valid_after=EPOCH + timedelta(days=90),
    )  # fmt: skip
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Identity(builder.sign(ROOT.key, hashes.SHA256()), key)


def usage(*kinds: ObjectIdentifier) -> tuple[x509.ExtensionType, bool]:
    return x509.ExtendedKeyUsage(list(kinds)), False


def constraints(*, permitted: Any = None, excluded: Any = None) -> Identity:
    extension = x509.NameConstraints(permitted, excluded)
    return ROOT.issue(cn="Bound CA", ca=True, extensions=((extension, True),))


def for_crls_only() -> tuple[x509.ExtensionType, bool]:
    rights = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
              "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**{right: right == "crl_sign" for right in rights}), True


NARROW = ROOT.issue(cn="Narrow", ca=True, path_length=0)
OUTSIDE = constraints(permitted=[x509.DNSName("inside.example")])
WITHOUT = constraints(excluded=[x509.DNSName("bank.example")])
NETWORK = constraints(permitted=[x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))])
MAIL = ROOT.issue(cn="Mail CA", ca=True, extensions=(usage(ExtendedKeyUsageOID.EMAIL_PROTECTION),))
SIGNER = bare("Signer", (x509.BasicConstraints(ca=True, path_length=None), True), for_crls_only())
CLIENT = bare("api.example", usage(ExtendedKeyUsageOID.CLIENT_AUTH), (x509.SubjectAlternativeName(
    [x509.DNSName("api.example")]), False))  # fmt: skip
LEAF = CA.issue("api.example")
ED = ROOT.issue(cn="Ed CA", ca=True, key=make_key("ed25519"))


@pytest.mark.parametrize(
    ("leaf", "why", "says", "at_fault"),
    [
        (NARROW.issue(cn="Below", ca=True).issue("api.example"), "path-length",
         "CN=Narrow allows no CA below it (path length 0), and the path has 1", NARROW),
        (OUTSIDE.issue("api.example"), "name-constraints",
         "CN=Bound CA may issue for inside.example only (its name constraints), so not for api.example", OUTSIDE),
        (WITHOUT.issue("api.bank.example"), "name-constraints",
         "CN=Bound CA may not issue for bank.example (its name constraints), so not for api.bank.example", WITHOUT),
        (NETWORK.issue("192.0.2.1"), "name-constraints",
         "CN=Bound CA may issue for 10.0.0.0/8 only (its name constraints), so not for 192.0.2.1", NETWORK),
        (CLIENT, "usage",
         "CN=api.example is not for servers: its extendedKeyUsage has clientAuth, and no serverAuth", CLIENT),
        (MAIL.issue("api.example"), "usage",
         "CN=Mail CA may not issue for servers: its extendedKeyUsage has emailProtection, and no serverAuth", MAIL),
        (SIGNER.issue("api.example"), "not-a-ca",
         "CN=Signer signed another certificate, which its keyUsage does not allow", SIGNER),
        (LEAF.issue("bank.example"), "not-a-ca",
         "CN=api.example signed another certificate and is not a CA", LEAF),
        (ED.issue("api.example"), "weak-key",
         "CN=Ed CA has a key that browsers and phones don't accept: Ed25519", ED),
    ],
)  # fmt: skip
def test_each_broken_rule_is_named_with_the_certificate_at_fault(
    leaf: Identity, why: str, says: str, at_fault: Identity
) -> None:
    chain = leaf.chain if leaf.above else (*leaf.chain, SIGNER.certificate)
    found = verify(chain, STORE, at=AT)
    assert (found.why, found.reason, found.certificate) == (why, says, at_fault.certificate)


def test_a_thousand_names_and_constraints_are_named_shortly() -> None:
    trees = [x509.DNSName(f"c{number}.example") for number in range(1000)]
    ca = constraints(permitted=trees)
    found = verify(ca.issue(*(f"n{number}.test" for number in range(1000))).chain, STORE, at=AT)
    assert (found.why, found.certificate) == ("name-constraints", ca.certificate)
    assert found.reason == "the name constraints of CN=Bound CA do not permit a name of CN=n0.test"


def test_no_certificate_of_the_corpus_breaks_the_judgement(corpus: Path) -> None:
    with zipfile.ZipFile(corpus / "certificates.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        odd = [one for one in (Certificate.from_der(archive.read(name)) for name in names) if breaks(one)]
    assert len(odd) > 100
    warnings.simplefilter("error")  # pytest puts it back
    for certificate in odd:
        chain = Chain((certificate, certificate, ROOT.certificate))
        for store in (STORE, TrustStore("itself", (certificate,))):
            found = appraise(chain, "x.test", trust=store, at=certificate.not_before or AT)
            assert found.verification.reason
            assert len(found.answers()) >= 4
        issuer_urls(certificate)


@unwarned()
def breaks(certificate: Certificate) -> bool:
    """Whether cryptography loads it and raises later."""
    try:
        list(certificate.x509.extensions if certificate.x509 is not None else ())
    except Exception:  # noqa: BLE001 - whatever it raises
        return True
    return False


@pytest.mark.parametrize("odd", ["leaf", "CA"])
def test_a_critical_extension_that_nobody_knows_is_named(odd: str) -> None:
    ca = ROOT.issue(cn="Odd CA", ca=True, extensions=((UNKNOWN, True),) if odd == "CA" else ())
    leaf = ca.issue("api.example", extensions=((UNKNOWN, True),) if odd == "leaf" else ())
    found = verify(leaf.chain, STORE, at=AT)
    assert found.why == "critical-extension"
    assert "1.2.3.4.5" in found.reason
    assert found.certificate == (ca if odd == "CA" else leaf).certificate


@pytest.mark.parametrize("leaf", [OUTSIDE.issue("a.inside.example"), WITHOUT.issue("other.example"),
                                  NETWORK.issue("10.1.2.3"), NARROW.issue("api.example")])  # fmt: skip
def test_what_a_constraint_allows_verifies(leaf: Identity) -> None:
    assert verify(leaf.chain, STORE, at=AT).ok


def by_openssl(
    folder: Path, *, digest: str = "sha256", key: str = "rsa:2048", host: str | None = "api.example"
) -> Verification:
    """The verdict on a chain that cryptography refuses to sign: root, CA and leaf by the openssl command."""

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    kind, _, size = key.partition(":")
    new = ["-newkey", key] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{size}"]
    (folder / "ca.cnf").write_text("basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n")
    (folder / "leaf.cnf").write_text("basicConstraints=critical,CA:false\nsubjectAltName=DNS:api.example\n")
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "900",
        "-subj", "/CN=Old Root")  # fmt: skip
    for name, above, subject, hashed in (("ca", "root", "/CN=Old CA", "sha256"), ("leaf", "ca", "/CN=Leaf", digest)):
        run("req", *new, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        extensions = ["-extfile", f"{name}.cnf"] if host or name == "ca" else []  # without any, version 1
        run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{above}.pem", "-CAkey", f"{above}.key", "-CAcreateserial",
            *extensions, f"-{hashed}", "-days", "90", "-out", f"{name}.pem")  # fmt: skip
    made = [Certificate.from_pem((folder / f"{name}.pem").read_text()) for name in ("leaf", "ca", "root")]
    moment = datetime.now(UTC) + timedelta(minutes=5)
    return verify(made[:2], TrustStore("own", (made[2],)), at=moment, host=host)


@pytest.mark.parametrize(("digest", "shown"), [("md5", "MD5"), ("sha1", "SHA-1"), ("sha224", "SHA-224")])
def test_a_weak_signature_is_called_weak_and_not_a_forgery(tmp_path: Path, digest: str, shown: str) -> None:
    found = by_openssl(tmp_path, digest=digest)
    assert (found.why, found.reason) == (
        "weak-signature", f"CN=Leaf is signed with {shown}, which clients no longer accept")  # fmt: skip


@pytest.mark.parametrize(("key", "shown"), [("rsa:1024", "RSA 1024"), ("ec:prime192v1", "EC secp192r1")])
def test_a_weak_key_of_a_ca_is_named(tmp_path: Path, key: str, shown: str) -> None:
    found = by_openssl(tmp_path, key=key)
    assert (found.why, found.reason) == (
        "weak-key", f"CN=Old CA has a key that browsers and phones don't accept: {shown}")  # fmt: skip


def test_a_key_that_can_t_be_read_leaves_the_signature_open(tmp_path: Path) -> None:
    found = by_openssl(tmp_path, key="ec:secp192k1")
    assert found.why == "unchecked"
    assert "can't be checked" in found.reason


def test_a_malformed_certificate_is_named_with_what_is_odd_about_it(tmp_path: Path) -> None:
    found = by_openssl(tmp_path, host=None)
    assert (found.why, found.reason) == (
        "malformed", "CN=Leaf is of an X.509 version without extensions, which clients refuse")  # fmt: skip


def test_a_self_signed_certificate_with_an_old_hash_is_an_unknown_root(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-sha1", "-nodes", "-keyout", "k", "-out", "c.pem", "-days",
         "9", "-subj", "/CN=Old Box"], check=True, capture_output=True, cwd=tmp_path)  # fmt: skip
    found = verify([Certificate.from_pem((tmp_path / "c.pem").read_text())], STORE, at=datetime.now(UTC))
    assert (found.why, "self-signed" in found.reason) == ("unknown-root", True)


def test_everything_that_is_wrong_is_said_the_gravest_first() -> None:
    late = EPOCH + timedelta(days=100)
    found = verify(CA.issue("other.example").chain, STORE, at=late, host="api.example")
    assert found.why == "expired"
    assert found.also == ("the certificate is for other.example, not for api.example",)
    stranger = verify(self_signed("other.example").chain, STORE, at=late, host="api.example")
    assert stranger.why == "unknown-root"
    assert [says.partition(" ")[2][:7] for says in stranger.also] == ["expired", "certifi"]


def test_every_path_says_why_it_is_no_way_out() -> None:
    short = root("Short", days=1)
    ca = short.issue(cn="CA", ca=True)
    twin = NARROW.issue(cn="CA", ca=True, key=ca.key)
    chain = (*ca.issue("api.example").chain, twin.certificate, NARROW.certificate)
    found = verify(chain, TrustStore("own", (short.certificate, ROOT.certificate)), at=AT)
    assert (found.why, found.certificate) == ("expired", short.certificate)
    assert found.also == ("CN=Narrow allows no CA below it (path length 0), and the path has 1",)
