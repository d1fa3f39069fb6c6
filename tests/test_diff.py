from __future__ import annotations

from forge import Identity, root

from irkit.chain import Chain
from irkit.diff import diff
from irkit.pins.release import ConfiguredPin, HostRule, Release

ROOT = root("Diff Root")
CA = ROOT.issue(cn="Diff CA", ca=True)
LEAF = CA.issue("api.example.com")


def changes(*arguments: object) -> list[tuple[str, int | None, int | None]]:
    return [(row.change, row.before, row.after) for row in diff(*arguments).rows]  # type: ignore[arg-type]  # either form


def release(*pins: ConfiguredPin) -> Release:
    return Release("android", (HostRule("example.com", subdomains=True, pins=pins),), app="shop", version="4.2")


def test_a_chain_is_the_same_as_itself() -> None:
    found = diff(LEAF.chain, LEAF.chain)
    assert [row.change for row in found.rows] == ["same", "same"]
    assert found.same
    assert found.says[0] == "the leaf key is the same"


def test_a_renewal_with_the_same_key_is_no_new_key() -> None:
    renewed = CA.issue("api.example.com", key=LEAF.key)
    found = diff(LEAF.chain, renewed.chain)
    assert [row.change for row in found.rows] == ["renewed", "same"]
    assert "its certificate is another one" in found.says[0]
    assert found.rows[0].certificate == renewed.certificate


def test_a_new_leaf_key_under_the_same_issuer() -> None:
    rotated = CA.issue("api.example.com")
    assert changes(LEAF.chain, rotated.chain) == [("gone", 0, None), ("same", 1, 1), ("new", None, 0)]
    says = diff(LEAF.chain, rotated.chain).says
    assert str(LEAF.certificate.pin) in says[0]
    assert str(rotated.certificate.pin) in says[0]
    assert says[1:] == ("the issuing key is the same", "both lead to CN=Diff Root")


def test_another_issuer_and_another_root_are_said() -> None:
    other = root("Other Root").issue(cn="Other CA", ca=True).issue("api.example.com", key=LEAF.key)
    says = diff(LEAF.chain, other.chain).says
    assert "the issuing key changed: CN=Diff CA to CN=Other CA" in says
    assert "the chain ends at another root: CN=Diff Root, now CN=Other Root" in says


def test_a_copied_issuer_name_does_not_count_as_the_same_issuer() -> None:
    fake = root("Diff Root").issue(cn="Diff CA", ca=True).issue("api.example.com")
    chain = Chain((fake.certificate, CA.certificate))
    found = diff(LEAF.chain, chain)
    assert [(row.change, row.after) for row in found.rows] == [("gone", None), ("same", 1), ("new", 0)]
    assert "1 certificates of the second chain are on no path from its leaf" in found.says


def test_order_and_repeats_show_as_moves() -> None:
    chain = (LEAF.certificate, ROOT.certificate, CA.certificate)
    assert changes((*LEAF.chain, ROOT.certificate), chain) == [("same", 0, 0), ("moved", 1, 2), ("moved", 2, 1)]
    assert changes(LEAF.chain, (*LEAF.chain, CA.certificate)) == [("same", 0, 0), ("same", 1, 1), ("new", None, 2)]
    assert changes((), ()) == []


def test_pins_are_shown_at_the_certificates_that_they_match() -> None:
    pins = (ConfiguredPin("first", None, problem="has 17 bytes"), ConfiguredPin("ca pin", CA.certificate.pin))
    found = diff(LEAF.chain, release(*pins))
    assert [(row.change, row.before, row.after) for row in found.rows] == [
        ("not pinned", 0, None),
        ("pinned", 1, 1),
        ("matches nothing", None, 0),
    ]
    assert found.rows[1].host == "example.com"
    assert found.says == ("1 of 2 pins match a certificate of the chain", "first: has 17 bytes")
    assert not found.same


def test_a_pinned_certificate_that_signed_nothing_is_off_the_path() -> None:
    evil = root("Evil").issue("api.example.com")
    found = diff((evil.certificate, CA.certificate), release(ConfiguredPin("ca pin", CA.certificate.pin)))
    assert [row.change for row in found.rows] == ["not pinned", "off the path"]
    assert "did not sign the chain" in found.says[1]


def test_what_is_shown_is_harmless() -> None:
    hostile: Identity = ROOT.issue("x.example", cn="<img src=x onerror=alert(1)>\x1b[31m")
    found = diff(hostile.chain, release(ConfiguredPin("<script>\x1b]8;;", None, problem="<b>")))
    assert "\x1b" not in repr(found) + found._repr_html_()
    assert "<script" not in found._repr_html_()
    assert "<img" not in found._repr_html_()
