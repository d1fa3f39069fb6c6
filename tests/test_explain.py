from __future__ import annotations

import base64
import hashlib
import secrets
import subprocess
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from forge import make_key, root
from hypothesis import example, given
from hypothesis import strategies as st

from irkit.certificate import Certificate, Pin
from irkit.explain import explain_pin
from irkit.pins.grammar import odd
from irkit.trust import TrustStore
from irkit.verdict import CAUSES

ROOT = root("Explained Root")
CA = ROOT.issue(cn="Explained CA", ca=True, key=make_key("rsa"))
LEAF = CA.issue("api.example.com")
CHAIN = LEAF.chain
DER = LEAF.certificate.der
SPKI = LEAF.certificate.spki or b""
PUBLIC_PEM = LEAF.x509.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def pin(data: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode()


def point() -> bytes:
    key = LEAF.x509.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def compressed_spki() -> bytes:
    key = LEAF.x509.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    short = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + short


RIGHT = pin(SPKI)


HEX = hashlib.sha256(SPKI).hexdigest()
# As `openssl dgst`, `sha256sum` and `shasum --tag` print a digest.
LINES = (
    f"(stdin)= {HEX}\n",
    f"SHA2-256(stdin)= {HEX}\n",
    f"SHA256 (key.der) = {HEX}\n",
    f"{HEX}  -\n",
    f"{HEX} *key.der\n",
)
WRONG = [
    (pin(DER), "certificate-hash-pinned"),
    (pin(DER, "sha1"), "certificate-hash-pinned"),
    (hashlib.sha256(DER).hexdigest(), "hex-pin"),
    (pin(point()), "raw-key-hash-pinned"),
    (pin(LEAF.certificate.pem().encode()), "text-hash-pinned"),
    (pin(LEAF.certificate.pem().rstrip().encode()), "text-hash-pinned"),
    (pin(PUBLIC_PEM), "text-hash-pinned"),
    (pin(PUBLIC_PEM.rstrip()), "text-hash-pinned"),
    (pin(PUBLIC_PEM.replace(b"\n", b"\r\n")), "text-hash-pinned"),
    (pin(base64.b64encode(SPKI)), "text-hash-pinned"),
    (pin(base64.b64encode(SPKI) + b"\n"), "text-hash-pinned"),
    (pin(SPKI + b"\n"), "text-hash-pinned"),
    (pin(SPKI.hex().encode()), "text-hash-pinned"),
    (pin(compressed_spki()), "reencoded-pin"),
    (hashlib.sha256(SPKI).hexdigest(), "hex-pin"),
    (hashlib.sha256(SPKI).hexdigest().upper(), "hex-pin"),
    (":".join(f"{b:02X}" for b in hashlib.sha256(SPKI).digest()), "hex-pin"),
    (base64.b64encode(hashlib.sha256(SPKI).hexdigest().encode()).decode(), "base64-of-hex-pin"),
    (base64.b64encode(hashlib.sha256(SPKI).hexdigest().encode() + b"\n").decode(), "base64-of-hex-pin"),
    (base64.b64encode(RIGHT.encode()).decode(), "corrupt-pin"),
    (pin(SPKI, "sha1"), "corrupt-pin"),
    (pin(SPKI, "sha512"), "corrupt-pin"),
    (base64.b64encode(SPKI).decode(), "corrupt-pin"),
    (base64.b64encode(DER).decode(), "corrupt-pin"),
    (RIGHT.rstrip("="), "corrupt-pin"),
    (RIGHT[:-4], "corrupt-pin"),
    (RIGHT[3:], "corrupt-pin"),
    (RIGHT.swapcase(), "corrupt-pin"),
    (("A" if RIGHT[5] != "A" else "B").join((RIGHT[:5], RIGHT[6:])), "corrupt-pin"),
    (RIGHT[:9] + RIGHT[10:], "corrupt-pin"),
    *((base64.b64encode(line.encode()).decode(), "base64-of-hex-pin") for line in LINES),
    (pin(hashlib.sha256(SPKI).digest()), "text-hash-pinned"),
    (pin(hashlib.sha256(SPKI).hexdigest().encode()), "text-hash-pinned"),
    (pin(hashlib.sha256(SPKI).hexdigest().encode() + b"\n"), "text-hash-pinned"),
    (pin(RIGHT.encode()), "text-hash-pinned"),
    (pin(PUBLIC_PEM + LEAF.certificate.pem().encode()), "text-hash-pinned"),
    (pin("".join(certificate.pem() for certificate in CHAIN).encode()), "text-hash-pinned"),
    (pin(base64.b64encode(point())), "text-hash-pinned"),
    (RIGHT.encode().hex(), "corrupt-pin"),
    (quote(f"sha256/{RIGHT}", safe=""), "corrupt-pin"),
    (RIGHT.rstrip("=").replace("+", "-").replace("/", "_"), "corrupt-pin"),
    ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "empty-input-pin"),
    ("sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "empty-input-pin"),
    ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "empty-input-pin"),
    (pin(b"\n"), "empty-input-pin"),
    ("A" * 43 + "=", "placeholder-pin"),
    ("sha256/" + "B" * 43 + "=", "placeholder-pin"),
    ("REPLACE_WITH_BASE64_PIN", "placeholder-pin"),
    ("REPLACEWITHYOURPRIMARYPUBLICKEYPINHASHHEREX=", "placeholder-pin"),
    ("sha256/yourBackupPublicKeyHashGoesHereReplaceThisXX=", "placeholder-pin"),
    ("YOUR_PRIMARY_CERTIFICATE_PIN_SHA256_BASE64__", "placeholder-pin"),
    ("0" * 64, "placeholder-pin"),
]


@pytest.mark.parametrize("prefix", ["sha256/", "sha256//"])
def test_a_hash_that_begins_with_a_slash_keeps_it(prefix: str) -> None:
    """One in 64 does, and curl writes two slashes before every one."""
    right = Pin(b"\xfc" + bytes(range(31)))
    assert right.base64.startswith("/")
    for body in (right.base64[:-6], right.base64[:20] + "x" + right.base64[21:]):
        explanation = explain_pin(prefix + body, keys=[right])
        assert explanation is not None
        assert (explanation.cause, explanation.right_pin) == ("corrupt-pin", right)
    whole = explain_pin(prefix + right.base64, keys=[right])
    assert whole is not None
    assert whole.cause == ""


# The pins are made anew in every process, so that their place names the case.
@pytest.mark.parametrize("case", range(len(WRONG)), ids=lambda i: f"{i}-{WRONG[i][1]}")
def test_a_wrong_pin_is_named_by_what_it_is(case: int) -> None:
    written, cause = WRONG[case]
    found = explain_pin(written, CHAIN)
    assert found is not None
    assert found.cause == cause, found
    assert cause in CAUSES
    if cause not in ("empty-input-pin", "placeholder-pin"):
        assert found.right_pin == LEAF.certificate.pin
        assert "api.example.com" in found.says


@pytest.mark.parametrize("prefix", ["", "sha256/", "sha256//", 'pin-sha256="', "SHA256:", "sha-256/"])
def test_prefixes_don_t_hide_what_a_pin_is(prefix: str) -> None:
    found = explain_pin(prefix + pin(DER), CHAIN)
    assert found is not None
    assert found.cause == "certificate-hash-pinned"


def test_the_pin_of_openssl_x509_pubkey_piped_into_dgst_is_explained() -> None:
    command = "openssl x509 -inform DER -pubkey -noout | openssl dgst -sha256 -binary | openssl base64"
    made = subprocess.run(command, shell=True, input=DER, capture_output=True, check=True).stdout.decode()
    found = explain_pin(made, CHAIN)
    assert found is not None
    assert found.cause == "text-hash-pinned"
    assert "PEM" in found.says


def test_an_rsa_key_without_its_header_or_its_null_is_explained() -> None:
    key = CA.x509.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    found = explain_pin(pin(key.public_bytes(Encoding.DER, PublicFormat.PKCS1)), CHAIN)
    assert found is not None
    assert (found.cause, found.right_pin) == ("raw-key-hash-pinned", CA.certificate.pin)
    for written in (
        pin(key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)),
        pin(base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.PKCS1))),
    ):
        found = explain_pin(written, CHAIN)
        assert found is not None
        assert (found.cause, found.right_pin) == ("text-hash-pinned", CA.certificate.pin)
    without_null = (CA.certificate.spki or b"").replace(
        bytes.fromhex("300d06092a864886f70d0101010500"), bytes.fromhex("300b06092a864886f70d010101")
    )
    without_null = b"\x30\x82" + (len(without_null) - 4).to_bytes(2, "big") + without_null[4:]
    found = explain_pin(pin(without_null), CHAIN)
    assert found is not None
    assert (found.cause, found.right_pin) == ("reencoded-pin", CA.certificate.pin)


def test_a_right_pin_has_no_cause_but_a_name() -> None:
    found = explain_pin(f"sha256/{RIGHT}", CHAIN)
    assert found is not None
    assert (found.cause, found.certificate) == ("", LEAF.certificate)
    assert found.says == "the hash of the key of the leaf CN=api.example.com"


def test_a_right_pin_in_the_wrong_list_is_in_the_wrong_position() -> None:
    assert [explain_pin(str(c.pin), CHAIN, scope=s).cause for c, s in zip(CHAIN, ("ca", "leaf"), strict=True)] == [  # type: ignore[union-attr]  # both are known pins
        "pin-in-wrong-position",
        "pin-in-wrong-position",
    ]
    assert [explain_pin(str(c.pin), CHAIN, scope=s).cause for c, s in zip(CHAIN, ("leaf", "ca"), strict=True)] == [
        "",
        "",
    ]  # type: ignore[union-attr]  # both are known pins


def test_a_root_of_the_trust_store_is_named() -> None:
    found = explain_pin(str(ROOT.certificate.pin), CHAIN, trust=TrustStore("own", (ROOT.certificate,)))
    assert found is not None
    assert found.says == "the hash of the key of the root CN=Explained Root"
    assert explain_pin(str(ROOT.certificate.pin), CHAIN) is None


def test_a_key_of_the_inventory_is_found_and_its_slips_too() -> None:
    backup = Pin(secrets.token_bytes(32))
    found = explain_pin(str(backup), CHAIN, keys=[backup])
    assert found is not None
    assert (found.cause, found.right_pin) == ("", backup)
    slip = explain_pin(backup.base64.rstrip("=")[:-1], CHAIN, keys=[backup])
    assert slip is not None
    assert (slip.cause, slip.right_pin) == ("corrupt-pin", backup)


def repeats(written: str) -> bool:
    """Whether a text is one short pattern, but for a few characters at its end: a placeholder by design."""
    body = written.rstrip("=")
    return any(all(body[i] == body[i - n] for i in range(n, len(body) - 7)) for n in range(1, 9))


@given(st.binary(min_size=32, max_size=32))
@example(base64.b64decode("hashTODOreplaceYourBackup+Q8zvK4tLw1nRj7XbU="))
@example(base64.b64decode("kQ8dummyK4tLw1nRyourj7XbUMexampleQ0p3Jx9/pE="))
def test_a_random_pin_has_no_explanation(digest: bytes) -> None:
    padded = base64.b64encode(digest).decode()
    urlsafe = base64.urlsafe_b64encode(digest).decode()
    for written in (padded, padded[:-1], urlsafe, urlsafe[:-1], digest.hex(), f"sha256/{padded}", padded[13:]):
        found = explain_pin(written, CHAIN, keys=[Pin(hashlib.sha256(b"a key").digest())])
        if found is not None:
            assert found.cause == "placeholder-pin"
            assert repeats(written.removeprefix("sha256/")), (written, found)
        assert "placeholder" not in odd(written) or repeats(written.removeprefix("sha256/")), written


def test_thousands_of_random_pins_have_no_explanation() -> None:
    for _ in range(3000):
        assert explain_pin(base64.b64encode(secrets.token_bytes(32)).decode(), CHAIN) is None


@given(st.text(max_size=300))
def test_any_text_is_taken(written: str) -> None:
    explain_pin(written, CHAIN, trust=TrustStore("own", (ROOT.certificate,)))


def test_hostile_names_are_shown_harmless() -> None:
    hostile = ROOT.issue("x.example", cn="<script>\x1b[2J")
    found = explain_pin(pin(hostile.certificate.der), hostile.chain)
    assert found is not None
    assert "\x1b" not in repr(found)
    assert "<script>" not in found._repr_html_()


def test_a_certificate_that_is_none_breaks_nothing() -> None:
    junk = Certificate.from_der(b"\x30\x03junk")
    found = explain_pin(pin(b"\x30\x03junk"), [junk])
    assert found is not None
    assert found.cause == "certificate-hash-pinned"
    assert isinstance(LEAF.x509, x509.Certificate)
