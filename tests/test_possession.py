"""Whose signature is it? Every kind of key that a certificate can hold, and every scheme that goes with it."""

from __future__ import annotations

import hashlib
from typing import Any

import forge
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from irkit.iana import SCHEMES
from irkit.messages import Signed
from irkit.possession import check_possession

NUMBERS = {name: number for number, name in SCHEMES.items()}
CONTENT = b"what the server signs"
KEYS = {kind: forge.make_key(kind) for kind in ("ec", "ec384", "rsa", "ed25519", "ed448", "dsa")}
LEAVES = {kind: forge.self_signed("a.test", key=key).certificate.der for kind, key in KEYS.items()}


def pss(algorithm: Any) -> tuple[Any, Any]:
    return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm


SIGNED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "ecdsa_secp256r1_sha256": ("ec", (ec.ECDSA(hashes.SHA256()),)),
    "ecdsa_secp384r1_sha384": ("ec384", (ec.ECDSA(hashes.SHA384()),)),
    "ecdsa_sha1": ("ec", (ec.ECDSA(hashes.SHA1()),)),
    "rsa_pkcs1_sha256": ("rsa", (padding.PKCS1v15(), hashes.SHA256())),
    "rsa_pkcs1_sha512": ("rsa", (padding.PKCS1v15(), hashes.SHA512())),
    "rsa_pss_rsae_sha256": ("rsa", pss(hashes.SHA256())),
    "rsa_pss_pss_sha384": ("rsa", pss(hashes.SHA384())),
    "ed25519": ("ed25519", ()),
    "ed448": ("ed448", ()),
    "dsa_sha256": ("dsa", (hashes.SHA256(),)),
}


@pytest.mark.parametrize("scheme", SIGNED)
def test_the_leaf_s_key_proves_and_any_other_disproves(scheme: str) -> None:
    kind, how = SIGNED[scheme]
    signature = KEYS[kind].sign(CONTENT, *how)
    for leaf, der in LEAVES.items():
        answer, why = check_possession(der, Signed(NUMBERS[scheme], CONTENT, signature))
        assert answer == ("proven" if leaf == kind else "disproven"), leaf
        assert bool(why) == (answer != "proven")
    assert check_possession(LEAVES[kind], Signed(NUMBERS[scheme], CONTENT + b"!", signature))[0] == "disproven"


def test_tls_1_0_and_1_1_have_no_scheme() -> None:
    key = KEYS["rsa"]
    assert isinstance(key, rsa.RSAPrivateKey)
    for kind in ("ec", "dsa"):
        how = ec.ECDSA(hashes.SHA1()) if kind == "ec" else hashes.SHA1()
        made = Signed(0, CONTENT, KEYS[kind].sign(CONTENT, how))
        assert check_possession(LEAVES[kind], made)[0] == "proven"
        assert check_possession(LEAVES["rsa"], made)[0] != "proven"
    # for RSA, MD5 and SHA-1 end to end: a SHA-256 signature is none
    other = key.sign(hashlib.sha256(CONTENT).digest(), padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    assert check_possession(LEAVES["rsa"], Signed(0, CONTENT, other))[0] != "proven"


def test_a_scheme_for_which_there_is_no_way_leaves_it_open() -> None:
    for scheme in (0x7777, 0xFFFF):
        answer, why = check_possession(LEAVES["ec"], Signed(scheme, CONTENT, b"x"))
        assert (answer, why) == ("unproven", f"no way here to check 0x{scheme:04X} with the leaf's key")
    assert check_possession(b"no certificate", Signed(NUMBERS["ed25519"], CONTENT, b"x"))[0] == "unproven"
    assert check_possession(LEAVES["ec"], None)[0] == "unproven"
