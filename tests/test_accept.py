from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from forge import EPOCH, cross_sign, root
from hypothesis import given
from hypothesis import strategies as st
from pinned import (
    AT,
    CA,
    CHAIN,
    HOST,
    LEAF,
    LEAF_ONLY,
    OTHER,
    ROOT,
    SECOND,
    STORE,
    answer,
    pin_of,
    release,
)
from urllib3.exceptions import SSLError
from urllib3.util.ssl_ import assert_fingerprint

from irkit.accept import accepts
from irkit.chain import Chain, Obtained
from irkit.errors import InputError
from irkit.pins.grammar import read_pin
from irkit.pins.load import load_release_bytes
from irkit.pins.release import PLATFORMS, Platform
from irkit.trust import TrustStore, mozilla


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("trust", [None, STORE])
class TestEveryPlatform:
    def test_the_pinned_leaf_is_accepted(self, platform: Platform, trust: TrustStore | None) -> None:
        found = accepts(
            release(platform, pin_of(LEAF.certificate, platform), OTHER), CHAIN, host=HOST, at=AT, trust=trust
        )
        assert (found.answer, found.why) == ("yes", "pin")
        assert found.certificate == LEAF.certificate
        assert found.rule is not None
        assert found.rule.pattern == HOST
        assert found.path[:2] == tuple(CHAIN)
        assert found.pin == pin_of(LEAF.certificate, platform).pin
        assert "leaf certificate CN=api.example.com" in found.reasons[0]

    def test_a_pinned_ca_is_accepted_except_where_only_the_leaf_counts(
        self, platform: Platform, trust: TrustStore | None
    ) -> None:
        wanted = "no" if platform in LEAF_ONLY else "yes"
        assert answer(release(platform, pin_of(CA.certificate), OTHER), CHAIN, trust=trust)[0] == wanted

    def test_unknown_keys_are_refused(self, platform: Platform, trust: TrustStore | None) -> None:
        found = accepts(release(platform, OTHER, SECOND), CHAIN, host=HOST, at=AT, trust=trust)
        if platform in ("hpkp", "chromium") and trust is not None:
            assert (found.answer, found.why) == ("unpinned", "private-root")
        else:
            assert (found.answer, found.why) == ("no", "pin")
            assert "leaf CN=api.example.com" in found.reasons[0]

    def test_an_appended_genuine_ca_certificate_matches_nothing(
        self, platform: Platform, trust: TrustStore | None
    ) -> None:
        evil = root("Evil").issue(HOST)
        chain = (evil.certificate, CA.certificate, ROOT.certificate)
        pins = release(platform, pin_of(CA.certificate), pin_of(ROOT.certificate))
        assert answer(pins, chain, trust=trust) == ("no", "trust" if trust else "pin")

    def test_names_copied_from_the_genuine_chain_match_nothing(
        self, platform: Platform, trust: TrustStore | None
    ) -> None:
        fake = root("Accept Root").issue(cn="Accept CA", ca=True).issue(HOST)
        chain = (fake.certificate, CA.certificate, ROOT.certificate)
        pins = release(platform, pin_of(CA.certificate), pin_of(ROOT.certificate))
        assert answer(pins, chain, trust=trust) == ("no", "trust" if trust else "pin")

    def test_another_host_is_unpinned(self, platform: Platform, trust: TrustStore | None) -> None:
        leaf = CA.issue("www.example.org")
        pins = release(platform, OTHER, SECOND)
        assert answer(pins, leaf.chain, host="www.example.org", trust=trust) == ("unpinned", "no-rule")

    def test_a_refused_configuration_refuses_every_chain(self, platform: Platform, trust: TrustStore | None) -> None:
        pins = replace(release(platform, pin_of(LEAF.certificate, platform)), rejected="it does not parse")
        wanted = "unpinned" if platform == "hpkp" else "no"
        assert answer(pins, CHAIN, trust=trust) == (wanted, "config-rejected")

    def test_an_empty_chain_is_refused(self, platform: Platform, trust: TrustStore | None) -> None:
        assert answer(release(platform, OTHER, SECOND), (), trust=trust) == ("no", "trust")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_chain_that_does_not_verify_is_refused_for_that_reason(platform: Platform) -> None:
    pins = release(platform, pin_of(LEAF.certificate, platform), OTHER)
    found = accepts(pins, CHAIN, host=HOST, at=AT, trust=mozilla())
    assert (found.answer, found.why) == ("no", "trust")
    assert "CN=Accept Root, was not presented and is not in mozilla" in found.reasons[0]
    assert answer(pins, CHAIN, trust=STORE, at=EPOCH + timedelta(days=400)) == ("no", "trust")


@pytest.mark.parametrize("platform", [p for p in PLATFORMS if p != "python"])
def test_a_certificate_for_another_name_is_told_apart(platform: Platform) -> None:
    other = CA.issue("www.example.com")
    pins = release(platform, pin_of(CA.certificate), pin_of(other.certificate))
    assert answer(pins, other.chain, trust=STORE) == ("no", "host")


def test_python_s_fingerprint_switches_the_check_of_names_off() -> None:
    other = CA.issue("www.example.com")
    assert answer(release("python", pin_of(other.certificate, "python")), other.chain, trust=STORE) == ("yes", "pin")


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
@pytest.mark.parametrize("colons", [False, True])
def test_a_fingerprint_of_any_length_is_compared_as_urllib3_does(algorithm: str, colons: bool) -> None:
    for certificate in (LEAF.certificate, CA.certificate):
        digits = hashlib.new(algorithm, certificate.der, usedforsecurity=False).hexdigest()
        written = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2)).upper() if colons else digits
        shipped = load_release_bytes(f'assert_fingerprint="{written}"'.encode(), name="x")
        try:
            assert_fingerprint(LEAF.certificate.der, written)
        except SSLError:
            taken = "no"
        else:
            taken = "yes"
        assert answer(shipped, CHAIN, trust=STORE)[0] == taken
        assert (taken == "yes") is (certificate == LEAF.certificate)


def test_the_root_counts_once_the_path_is_built() -> None:
    pins = release("android", pin_of(ROOT.certificate))
    assert answer(pins, CHAIN, trust=STORE) == ("yes", "pin")
    found = accepts(pins, CHAIN, host=HOST, at=AT)
    assert found.answer == "no"
    assert "a device may complete it" in found.reasons[-1]


def test_the_time_of_the_capture_counts_where_none_is_given() -> None:
    chain = Chain(CHAIN.certificates, Obtained("file", "x", at=AT))
    pins = release("android", OTHER, expires="2026-11-03")
    assert accepts(pins, chain, host=HOST).why == "expired-config"
    assert accepts(pins, CHAIN, host=HOST).why == "pin"
    assert "no time was given" in accepts(pins, CHAIN, host=HOST).reasons[-1]
    assert accepts(pins, CHAIN.certificates, host=HOST, trust=STORE).answer == "no"


def test_several_trust_stores_answer_each() -> None:
    new, old = root("New Root"), root("Old Root")
    leaf = new.issue(cn="Issuing CA", ca=True).issue(HOST)
    chain = (*leaf.chain, cross_sign(new, old))
    stores = [TrustStore("android 14", (new.certificate, old.certificate)), TrustStore("android 7", (old.certificate,))]
    pins = release("android", pin_of(old.certificate))
    found = accepts(pins, chain, host=HOST, at=AT, trust=stores)
    assert (found.answer, found.why) == ("on some devices", "trust-store")
    assert found.devices == (("android 14", "no"), ("android 7", "yes"))
    assert found.reasons[0].startswith("android 14: no")
    # Apple goes on to the next path, where the old root's pin is.
    apple = accepts(release("ios", pin_of(old.certificate, scope="ca")), chain, host=HOST, at=AT, trust=stores)
    assert (apple.answer, apple.devices) == ("yes", (("android 14", "yes"), ("android 7", "yes")))
    assert accepts(pins, chain, host=HOST, at=AT, trust=stores[:1]).answer == "no"


def test_android_accepts_a_root_past_its_end_and_apple_does_not() -> None:
    old = root("Ended Root", days=2)
    leaf = old.issue(cn="Ended CA", ca=True).issue(HOST)
    store = TrustStore("old", (old.certificate,))
    assert answer(release("android", pin_of(leaf.certificate)), leaf.chain, trust=store) == ("yes", "pin")
    assert answer(release("ios", pin_of(leaf.certificate, scope="leaf")), leaf.chain, trust=store) == ("no", "trust")


def test_a_cached_intermediate_completes_the_path() -> None:
    pins = release("android", pin_of(CA.certificate))
    assert answer(pins, CHAIN[:1], trust=STORE) == ("no", "trust")
    assert answer(pins, CHAIN[:1], trust=STORE, extra_cached=[CA.certificate]) == ("yes", "pin")


def test_a_naive_time_and_no_stores_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="no time zone"):
        accepts(release("list", OTHER), CHAIN, host=HOST, at=datetime(2026, 11, 1))  # noqa: DTZ001 - the point
    with pytest.raises(InputError, match="empty"):
        accepts(release("list", OTHER), CHAIN, host=HOST, at=AT, trust=[])


@given(
    platform=st.sampled_from(PLATFORMS),
    pattern=st.text(max_size=30),
    host=st.text(max_size=30),
    written=st.text(max_size=60),
    expires=st.none() | st.text(max_size=12),
    library=st.sampled_from(["", "okhttp 3.13.1", "okhttp 4.12.0", "okhttp x"]),
)
def test_any_configuration_and_host_are_taken(platform: Platform, host: str, written: str, **more: Any) -> None:
    pins = release(platform, read_pin(written, platform)[0], subdomains=True, **more)
    found = accepts(pins, CHAIN, host=host, at=AT, trust=STORE)
    assert found.reasons
    assert found.answer != "yes"


def test_what_is_shown_is_harmless() -> None:
    hostile = ROOT.issue(HOST, cn="<script>\x1b[2J")
    found = accepts(release("android", OTHER), hostile.chain, host=HOST)
    assert "\x1b" not in repr(found)
    assert "\x1b" not in found._repr_html_()
    assert "<script>" not in found._repr_html_()


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("trust", [None, STORE])
class TestEveryHost:
    def test_a_rule_for_every_host_is_for_this_one(self, platform: Platform, trust: TrustStore | None) -> None:
        pins = (pin_of(LEAF.certificate, platform), SECOND)
        assert answer(release(platform, *pins, pattern="*"), CHAIN, trust=trust) == ("yes", "pin")

    def test_and_refuses_other_keys(self, platform: Platform, trust: TrustStore | None) -> None:
        found = answer(release(platform, OTHER, SECOND, pattern="*"), CHAIN, trust=trust)
        private = platform in ("chromium", "hpkp") and trust is not None
        assert found == (("unpinned", "private-root") if private else ("no", "pin"))


@pytest.mark.parametrize(
    ("format_", "written"),
    [
        (
            "android-xml",
            (
                '<network-security-config><domain-config><domain>*</domain><pin-set><pin digest="SHA-256">{0}</pin>'
                "</pin-set></domain-config></network-security-config>"
            ),
        ),
        ("okhttp-source", 'CertificatePinner.Builder().add("*", "sha256/{0}")'),
        (
            "plist",
            (
                "<plist><dict><key>NSAppTransportSecurity</key><dict><key>NSPinnedDomains</key><dict><key>*</key><dict>"
                "<key>NSPinnedLeafIdentities</key><array><dict><key>SPKI-SHA256-BASE64</key><string>{0}</string></dict>"
                "</array></dict></dict></dict></dict></plist>"
            ),
        ),
    ],
)
def test_a_star_that_the_file_itself_writes_is_no_wildcard(format_: str, written: str) -> None:
    pin = LEAF.certificate.pin
    assert pin is not None
    shipped = load_release_bytes(written.format(pin.base64).encode(), name="x", format=format_, library="okhttp 3.13.1")
    assert shipped.pins == (pin,)
    assert answer(shipped, CHAIN) == ("unpinned", "no-rule")


@pytest.mark.parametrize(
    ("format_", "written"),
    [
        ("okhttp-source", 'CertificatePinner.Builder().add("api.example.com", BuildConfig.PIN_A, BuildConfig.PIN_B)'),
        ("trustkit-source", 'kTSKPinnedDomains: ["api.example.com": [kTSKPublicKeyHashes: [Pins.a, Pins.b]]]'),
        ("alamofire-source", 'ServerTrustManager(evaluators: ["api.example.com": PublicKeysTrustEvaluator()])'),
        ("curl", "curl --pinnedpubkey keys/edge.pem https://api.example.com/"),
    ],
)
def test_pins_that_a_file_only_names_are_unknown_and_no_refusal(format_: str, written: str) -> None:
    shipped = load_release_bytes(written.encode(), name="x", format=format_)
    for trust in (None, STORE):
        assert answer(shipped, CHAIN, trust=trust) == ("unknown", "unconfirmed")


@pytest.mark.parametrize("platform", [platform for platform in PLATFORMS if platform not in LEAF_ONLY])
@pytest.mark.parametrize("trust", [None, STORE])
def test_whoever_has_a_certificate_of_the_pinned_ca_is_no_ca(platform: Platform, trust: TrustStore | None) -> None:
    customer = CA.issue("other.example.com")
    forged = customer.issue(HOST)
    pins = release(platform, pin_of(CA.certificate), pin_of(ROOT.certificate))
    assert answer(pins, forged.chain, trust=trust)[0] == "no"


def test_a_root_s_name_constraints_count_for_a_leaf_right_below_it() -> None:
    inside = x509.NameConstraints(permitted_subtrees=[x509.DNSName("corp.example")], excluded_subtrees=None)
    limited = ROOT.issue(cn="Corp Root", ca=True, extensions=((inside, True),))
    leaf = limited.issue(HOST)
    store = TrustStore("corp", (limited.certificate,))
    assert answer(release("android", pin_of(limited.certificate)), leaf.chain, trust=store) == ("no", "trust")


def test_a_host_is_compared_in_its_ascii_form() -> None:
    leaf = CA.issue("xn--bcher-kva.example")
    pins = release("android", pin_of(leaf.certificate), pattern="xn--bcher-kva.example")
    for host in ("bücher.example", "BÜCHER.example.", "bücher。example。", "xn--bcher-kva.example."):
        assert answer(pins, leaf.chain, host=host, trust=STORE) == ("yes", "pin")
    assert answer(pins, leaf.chain, host="fuß.example", trust=STORE) == ("unknown", "unconfirmed")


def test_trustkit_s_rules_that_are_not_followed_are_unknown() -> None:
    pins = release("trustkit-ios", OTHER, SECOND, pattern="net.de", subdomains=True)
    leaf = CA.issue("shop.net.de")
    assert answer(pins, leaf.chain, host="shop.net.de") == ("unknown", "unconfirmed")


def test_hpkp_says_what_its_answer_rests_on() -> None:
    found = accepts(release("hpkp", pin_of(LEAF.certificate), pin_of(CA.certificate)), CHAIN, host=HOST, at=AT)
    assert "max-age" in found.reasons[-2]
    assert "without a backup pin" in found.reasons[-1]
