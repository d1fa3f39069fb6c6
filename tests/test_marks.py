"""Names that are made to be misread are marked, and networks that are not the internet named."""

from __future__ import annotations

import forge
import pytest
from zoo import EC

from irkit.chain import Chain, Obtained
from irkit.marks import marks, reads_like

HOST = "api.example.com"


@pytest.mark.parametrize(
    "name",
    [
        "\u0430pi.example.com",  # Cyrillic a
        "xn--pi-6kc.example.com",  # the same as an A-label
        "api.ex\u0430mple.com",
        "*.ex\u0430mple.com",
        "\uff41pi.example.com",  # fullwidth
        "\u0430\u0440\u0456.example.com",  # all Cyrillic
        "ap\u00ed.example.com",
        "api.exarnple.com",
        "api.examp1e.com",
    ],
)
def test_a_name_that_reads_like_the_host_is_marked(name: str) -> None:
    assert reads_like(name, HOST)


@pytest.mark.parametrize(
    "name", [HOST, "API.example.com.", "*.example.com", "www.example.com", "example.org", "com", ""]
)
def test_the_host_and_other_names_are_not(name: str) -> None:
    assert not reads_like(name, HOST)


@pytest.mark.parametrize(
    ("cn", "kind"),
    [
        ("evil\x1b[2J", "a control character"),
        ("abc\u202egnp.moc", "a bidirectional override"),
        ("pay\u200dpal", "an invisible character"),
        ("p\u0430ypal", "letters of several scripts in one word"),
    ],
)
def test_a_name_with_characters_that_act_is_marked_and_shown_harmless(cn: str, kind: str) -> None:
    chain = forge.root().issue("a.test", cn=cn).chain
    assert any(kind in line for line in marks(chain[0]))
    assert kind in repr(chain)
    assert kind in chain._repr_html_()
    assert not {"\x1b", "\u202e", "\u200d", "\u0430"} & set(repr(chain) + chain._repr_html_())


def test_honest_names_have_no_marks() -> None:
    for cn in (
        "Example CA 3",
        "M\u00fcnchen GmbH",
        "\u041f\u0440\u0438\u0432\u0435\u0442",
        "\u682a\u5f0f\u4f1a\u793e",
        "\u05d0\u05d1",
    ):
        assert marks(forge.root().issue("a.test", cn=cn).certificate, HOST) == ()


def test_a_chain_says_which_of_its_names_reads_like_its_host() -> None:
    identity = forge.root().issue("xn--pi-6kc.example.com")
    chain = Chain(identity.chain.certificates, Obtained("hello", "x", host=HOST))
    assert any("certificate 0: the name xn--pi-6kc" in line and "is another" in line for line in chain.remarks)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3:443", "private (RFC 1918)"), ("172.31.0.1:443", "private (RFC 1918)"), ("172.32.0.1:443", ""),
        ("192.168.1.1:8443", "private (RFC 1918)"), ("100.64.0.1:443", "shared (RFC 6598: a provider's NAT)"),
        ("[fd00::1]:443", "private (RFC 4193)"), ("[fe80::1%eth0]:443", "link-local"),
        ("169.254.169.254:80", "link-local"), ("127.0.0.1:443", "loopback"),
        ("[::1]:443", "loopback"), ("[::ffff:10.0.0.1]:443", "private (RFC 1918)"),
        ("192.0.2.7:443", "reserved (RFC 6890)"), ("8.8.8.8:443", ""), ("[2606:4700::1111]:443", ""),
        ("api.example.com:443", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_network_that_is_not_the_internet_is_named(address: str, network: str) -> None:
    chain = Chain(EC.chain.certificates, Obtained("handshake", "x", address=address))
    assert chain.obtained.network == network
    assert (f"the address {address} is {network}" in repr(chain)) == bool(network)
