"""Known interception products: what the list holds, and that recognition takes no suspicion away."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from incidents import HOST, World, interception

from irkit import classify
from irkit.certificate import Certificate, Pin
from irkit.chain import Chain
from irkit.clients import clients
from irkit.drill.pki import authority
from irkit.interception import known, portal, recognise

SUPERFISH = "sha256/S7jzW6HhJvjd4bDEIGJe2G3OYae92tveqauleP8TFF4="


def issued_by(cn: str, o: str) -> Certificate:
    """A leaf whose issuer has these names."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return authority(cn, o, at=at).issue(HOST, at=at, days=90).certificate


def test_every_entry_has_something_to_match_and_a_source_with_a_licence() -> None:
    listed = known()
    assert len(listed.products) >= 22
    assert len(listed.portals) == 19
    for product in listed.products:
        assert product.cn or product.o
        assert product.kind in {"inspection", "debugger"}
        assert product.source in listed.sources
    assert "BSD" in listed.sources["chromium"]


@pytest.mark.parametrize(
    ("cn", "o", "name", "kind"),
    [
        ("FortiGate CA", "Fortinet", "Fortigate", "inspection"),
        ("FGT60E0000000000", "Fortinet Ltd.", "Fortinet", "inspection"),
        ("Sophos SSL CA_C0FFEE-1", "Sophos", "Sophos", "inspection"),
        ("x", "Blue Coat Systems", "Symantec Blue Coat", "inspection"),
        ("Zscaler Intermediate Root CA (zscaler.net) (t)", "Zscaler Inc.", "Zscaler", "inspection"),
        ("mitmproxy", "mitmproxy", "mitmproxy", "debugger"),
        ("Charles Proxy CA (2 Jan 2026, laptop)", "XK72 Ltd", "Charles Proxy", "debugger"),
    ],
)  # fmt: skip
def test_a_product_is_recognised_by_the_names_of_its_issuer(cn: str, o: str, name: str, kind: str) -> None:
    product = recognise((issued_by(cn, o),))
    assert product is not None
    assert (product.name, product.kind) == (name, kind)


@pytest.mark.parametrize(
    ("cn", "o"),
    [("FortiGate CA", "Somebody"), ("No McAfee Web Gateway", "Somebody"), ("R11", "Let's Encrypt")],
)  # fmt: skip
def test_part_of_a_name_or_one_of_two_is_no_match(cn: str, o: str) -> None:
    assert recognise((issued_by(cn, o),)) is None


def test_a_ca_whose_private_key_is_public_is_recognised_by_its_key() -> None:
    listed = {product.pin: product.name for product in known().products if product.pin}
    assert listed[Pin.parse(SUPERFISH)].startswith("Superfish")


def test_what_is_no_certificate_is_recognised_as_nothing() -> None:
    broken = Certificate(b"no certificate")
    assert recognise((broken,)) is None
    assert portal(broken) == ""


@pytest.mark.parametrize("cn", ["Web Access CA", "Zscaler Root CA", "mitmproxy"])
def test_a_known_name_does_not_make_an_interception_less_of_one(cn: str) -> None:
    here = World()
    evidence = interception(here, here.interceptor(cn=cn).chain)
    assert classify(evidence).verdict == "mitm"
    (client, *_) = clients(evidence, frozenset())
    assert client.stranger


def test_a_known_portal_s_key_in_a_certificate_for_the_host_is_a_stranger_s_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = World()
    own, other = here.interceptor().chain, here.interceptor("login.hotel.example").chain
    for chain, nature, name in ((own, "private", ""), (other, "elsewhere", "Hotel")):
        pin = Chain(chain.certificates).leaf.pin
        assert pin is not None
        monkeypatch.setitem(known().portals, pin, "Hotel")
        (client, *_) = clients(interception(here, chain), frozenset())
        assert (client.nature, client.name) == (nature, name)
        assert client.stranger
