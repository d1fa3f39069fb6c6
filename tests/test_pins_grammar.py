"""How each platform decodes the text of a pin: the same text, different ends."""

from __future__ import annotations

import base64
import hashlib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.pins.grammar import android_expiry, odd, read_pin
from irkit.pins.release import PLATFORMS, Platform

DIGEST = bytes(range(0xE0, 0x100))  # its base64 has + and /
A = base64.b64encode(DIGEST).decode()
assert "/" in A
assert "+" in A
URL = A.replace("+", "-").replace("/", "_")
HEX = DIGEST.hex()
BARE: tuple[Platform, ...] = ("android", "trustkit-android", "ios", "trustkit-ios", "hpkp", "chromium", "list")

# What a text ends as: "good" matches its key, "never" is taken and matches nothing, "refused" breaks the configuration.
CASES: dict[str, tuple[str, dict[Platform, str]]] = {
    "as it should be": (A, dict.fromkeys(BARE, "good")),
    "no padding": (
        A.rstrip("="),
        {"android": "good", "trustkit-android": "never", "ios": "never", "trustkit-ios": "refused", "hpkp": "refused"},
    ),
    "white space inside": (
        f"{A[:10]}\n {A[10:]}",
        {"android": "good", "trustkit-android": "never", "ios": "good", "trustkit-ios": "refused"},
    ),
    "white space around": (f" {A} ", {"android": "good", "trustkit-android": "never", "ios": "good"}),
    "base64url": (
        URL,
        {"android": "refused", "trustkit-android": "refused", "ios": "never", "trustkit-ios": "refused"},
    ),
    "hex": (HEX, {"android": "refused", "ios": "never", "trustkit-ios": "refused", "hpkp": "refused"}),
    "a prefix": (f"sha256/{A}", {"android": "refused", "ios": "never", "trustkit-ios": "refused", "chromium": "good"}),
    "words": ("REPLACE_WITH_BASE64_PIN", {"android": "refused", "ios": "never", "trustkit-ios": "refused"}),
    "nothing": ("", {"android": "refused", "ios": "never", "trustkit-ios": "refused", "hpkp": "refused"}),
    "an okhttp pin": (f"sha256/{A}", {"okhttp": "good", "list": "good", "curl": "never"}),
    "an okhttp pin without padding": (f"sha256/{A[:-1]}", {"okhttp": "good"}),
    "an okhttp pin in base64url": (f"sha256/{URL}", {"okhttp": "good"}),
    "an okhttp pin with a line feed": (f"sha256/{A}\n", {"okhttp": "good"}),
    "an okhttp pin in hex": (f"sha256/{HEX}", {"okhttp": "never"}),
    "two slashes": (f"sha256//{A}", {"okhttp": "never", "curl": "good"}),
    "a raw key": ("sha256/" + base64.b64encode(b"x" * 44).decode(), {"okhttp": "never"}),
    "a placeholder for okhttp": ("sha256/REPLACEWITHBASE64PIN", {"okhttp": "never"}),
    "a placeholder that is no base64": ("sha256/{{PIN}}", {"okhttp": "refused"}),
    "capital letters": (f"SHA256/{A}", {"okhttp": "refused"}),
    "no prefix": (A, {"okhttp": "refused", "curl": "never"}),
    "SHA-1": ("sha1/" + base64.b64encode(DIGEST[:20]).decode(), {"okhttp": "good", "list": "good"}),
    "SHA-1 of another length": (f"sha1/{A}", {"okhttp": "never"}),
    "curl without padding": (f"sha256//{A[:-1]}", {"curl": "never"}),
    "two pins with a space between": (f"sha256//{A}; sha256//{A}", {"curl": "never"}),
    "a fingerprint": (HEX, {"python": "good"}),
    "a fingerprint with colons": (":".join(HEX[i : i + 2] for i in range(0, 64, 2)).upper(), {"python": "good"}),
    "a fingerprint of SHA-1": ("0123456789abcdef0123456789abcdef01234567", {"python": "good"}),
    "a fingerprint of MD5": ("0123456789abcdef" * 2, {"python": "good"}),
    "a fingerprint of another length": (HEX[:-2], {"python": "never"}),
    "a fingerprint that is not hex": ("z" * 64, {"python": "never"}),
}


@pytest.mark.parametrize(
    ("case", "platform"), [(case, platform) for case in CASES for platform in CASES[case][1]], ids=str
)
def test_each_platform_takes_a_text_in_its_own_way(case: str, platform: Platform) -> None:
    value, ends = CASES[case]
    pin, refused = read_pin(value, platform)
    assert ("refused" if refused else "never" if pin.pin is None else "good") == ends[platform]
    assert pin.text == value
    assert bool(pin.problem) == (ends[platform] != "good")
    if pin.pin is not None and pin.pin.algorithm == "sha256":
        assert pin.pin.digest == DIGEST


def test_a_python_pin_is_of_the_certificate() -> None:
    assert read_pin(HEX, "python")[0].of == "certificate"
    assert read_pin(A, "ios")[0].of == "spki"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("A" * 43 + "=", "placeholder"),
        ("ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFA=", "placeholder"),
        (base64.b64encode(hashlib.sha256(b"").digest()).decode(), "of nothing"),
        (base64.b64encode(hashlib.sha256(b"\n").digest()).decode(), "line feed"),
        ("sha256/YOUR_PIN_HERE=", "placeholder"),
        (HEX, "64 hex digits"),
        (f"sha256/{A}", "prefix"),
        (A[:-1], "padding"),
        ("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE", "public key"),
        ("-----BEGIN CERTIFICATE-----", "certificate"),
    ],
)
def test_what_a_wrong_pin_looks_like_is_said(value: str, says: str) -> None:
    assert says in read_pin(value, "ios")[0].problem


@given(st.binary(min_size=32, max_size=32))
def test_random_hashes_are_read_by_every_platform_and_look_like_nothing_else(digest: bytes) -> None:
    encoded = base64.b64encode(digest).decode()
    for platform in BARE:
        assert read_pin(encoded, platform)[0].pin is not None
    for value, platform in ((f"sha256/{encoded}", "okhttp"), (f"sha256//{encoded}", "curl"), (digest.hex(), "python")):
        pin, refused = read_pin(value, platform)  # type: ignore[arg-type]  # mypy joins the tuple's texts to str
        assert pin.pin is not None
        assert pin.pin.digest == digest
        assert not refused


@given(st.text(max_size=80) | st.text("AZaz09+/=-_ \n", max_size=80))
def test_any_text_is_read_without_an_exception(value: str) -> None:
    for platform in PLATFORMS:
        pin, refused = read_pin(value, platform)
        assert not (refused and pin.pin)
        assert pin.pin is not None or pin.problem
    odd(value)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2027-01-31", date(2027, 1, 31)),
        ("2025-1-1", date(2025, 1, 1)),
        ("2025-12-31T23:59:59Z", date(2025, 12, 31)),
        ("25-12-31", date(25, 12, 31)),
        ("2018/8/10", None),
        ("2026-02-30", None),
        ("31-12-2026", None),
        ("never", None),
        ("", None),
        ("99999-01-01", date(9999, 1, 1)),
    ],
)
def test_an_expiration_is_read_as_simpledateformat_reads_it(value: str, day: date | None) -> None:
    assert android_expiry(value) == day
