"""Every other format: recognised by its content, read with its hosts and pins, and read again from what was kept."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import HEX, A, B, C, ids, read, table

from irkit.certificate import Pin
from irkit.errors import InputError
from irkit.pins import PLATFORMS, load_release, load_release_bytes
from irkit.pins.load import FORMATS

KOTLIN = f"""
object Pinning {{
    private const val HOST = "api.example.com"  // not "sha256/{C}"
    const val LEAF: String = "sha256/{A}"
    private val BACKUP = "{B}"
    val ALL: List<String> = listOf(LEAF, "sha256/" + BACKUP)
    val url = "https://api.example.com//path"
    val pinner = CertificatePinner.Builder()
        .add(HOST, LEAF, "sha256/$BACKUP")
        .add("*.${{HOST}}", *ALL.toTypedArray())
        .add(pattern = "**.example.org", "sha256/${{Pinning.BACKUP}}")
        .build()
    fun other() {{ list.add("x", 3); list.add(listOf("a")) }}
}}
"""
JAVA = f"""
class Pins {{
  static final String[] PINS = new String[] {{"sha256/{A}", "sha256/{B}"}};
  /* builder.add("old.example", "sha256/{C}"); */
  CertificatePinner pinner = new CertificatePinner.Builder()
      .add("a.example", PINS)
      .add("b.example", "sha1/" + "{base64.b64encode(b"0123456789abcdefghij").decode()}")
      .build();
}}
"""
SWIFT = f"""
let host = "api.example.com"
let config: [String: Any] = [
    kTSKSwizzleNetworkDelegates: false,
    kTSKPinnedDomains: [
        host: [
            kTSKEnforcePinning: false,
            kTSKIncludeSubdomains: true,
            kTSKExpirationDate: "2027-01-01",
            kTSKPublicKeyHashes: ["{A}", "{B}"],
        ] as [String: Any],
        "open.api.example.com": [kTSKExcludeSubdomainFromParentPolicy: true],
    ] as [String: Any]]
TrustKit.initSharedInstance(withConfiguration: config)
"""
OBJECTIVE_C = f"""
NSDictionary *config = @{{ kTSKSwizzleNetworkDelegates : @NO,
  kTSKPinnedDomains : @{{ @"a.example" : @{{ kTSKIncludeSubdomains : @(YES),
    kTSKPublicKeyHashes : @[ @"{A}", @"{B}" ], }} }} }};
"""


def test_kotlin_constants_templates_and_spreads_are_followed() -> None:
    release = read(KOTLIN)
    assert (release.format, release.platform) == ("okhttp-source", "okhttp")
    assert table(release) == {"api.example.com": [A, B], "*.api.example.com": [A, B], "**.example.org": [B]}
    assert [rule.subdomains for rule in release.rules] == [False, False, True]
    assert release.rules[0].where == "line 9"
    assert ids(release) == ["commented-out-pin"]


def test_java_arrays_and_sha1_are_read_and_comments_are_not() -> None:
    release = read(JAVA)
    assert table(release)["a.example"] == [A, B]
    (sha1,) = release.rules[1].pins
    assert sha1.pin is not None
    assert sha1.pin.algorithm == "sha1"
    assert ids(release) == ["commented-out-pin"]


def test_what_another_file_defines_is_unknown_and_not_guessed() -> None:
    release = read(
        f'val HOST = "mine.example"\nCertificatePinner.Builder().add(BuildConfig.HOST, "sha256/{A}", BuildConfig.PIN)'
    )
    (rule,) = release.rules
    assert rule.pattern == "*"
    assert [pin.text for pin in rule.pins] == [f"sha256/{A}", "BuildConfig.PIN"]
    assert rule.pins[1].pin is None
    assert set(ids(release)) == {"unknown-host", "unknown-pin"}


def test_pins_in_a_loop_are_found_without_their_host() -> None:
    release = read(f'val PINS = listOf("sha256/{A}", "sha256/{B}")\nPINS.forEach {{ certificatePinner.add(host, it) }}')
    assert table(release) == {"*": [A, B]}
    assert "unknown-host" in ids(release)


def test_a_pin_that_certificatepinner_throws_at_refuses_the_configuration() -> None:
    assert "does not start" in read(f'CertificatePinner.Builder().add("a.example", "SHA256/{A}")').rejected
    hexed = read(f'CertificatePinner.Builder().add("a.example", "sha256/{HEX}", "sha256/{A}")')
    assert hexed.rejected == ""
    assert "48 bytes" in hexed.rules[0].pins[0].problem


@pytest.mark.parametrize(
    "pattern", ["https://a.example", "a.example:443", "a.*.example", "a.example/path", "*a.example"]
)
def test_a_pattern_that_okhttp_takes_for_no_host_is_an_error(pattern: str) -> None:
    release = read(f'CertificatePinner.Builder().add("{pattern}", "sha256/{A}")')
    assert ids(release) == ["bad-pattern"]


def test_trustkit_is_read_from_swift() -> None:
    release = read(SWIFT)
    first, second = release.rules
    assert (release.format, release.platform) == ("trustkit-source", "trustkit-ios")
    assert (first.pattern, first.subdomains, first.enforce, first.expires) == (
        "api.example.com",
        True,
        False,
        "2027-01-01",
    )
    assert table(release)["api.example.com"] == [A, B]
    assert (second.pattern, second.excluded, second.pins) == ("open.api.example.com", True, ())
    assert release.rejected == ""


def test_trustkit_is_read_from_objective_c() -> None:
    release = read(OBJECTIVE_C)
    assert (table(release), release.rules[0].subdomains) == ({"a.example": [A, B]}, True)
    assert read(OBJECTIVE_C.replace(f', @"{B}"', "")).rejected


def test_a_policy_or_pin_from_elsewhere_is_unknown_and_refuses_nothing() -> None:
    release = read(
        f'[kTSKPinnedDomains: ["a.example": [kTSKPublicKeyHashes: ["{A}", Secrets.pin]], "b.example": policy]]'
    )
    assert release.rejected == ""
    assert [pin.pin is None for pin in release.rules[0].pins] == [False, True]
    assert ids(release) == ["unknown-pin", "unknown-pin"]


def test_pins_that_another_file_defines_are_told() -> None:
    release = read("CertificatePinner.Builder().add(DOMAIN_PATTERN, *TRUSTED_CERTIFICATES.toTypedArray()).build()")
    assert set(ids(release)) == {"unknown-host", "unknown-pin"}
    assert release.pins == ()


HPKP = f'pin-sha256="{A}"; pin-sha256="{B}"; max-age=5184000; includeSubDomains; report-uri="https://x.example/;y"'


@pytest.mark.parametrize(
    "content",
    [
        f"HTTP/1.1 200 OK\r\nServer: x\r\nPublic-Key-Pins: {HPKP}\r\n\r\n",
        f"add_header Public-Key-Pins '{HPKP}' always;",
        'Header always set Public-Key-Pins "{}"'.format(HPKP.replace('"', '\\"')),
        HPKP,
    ],
)
def test_hpkp_is_read_from_a_response_and_from_servers_configurations(content: str) -> None:
    release = read(content)
    assert (release.format, release.platform, release.rejected) == ("hpkp", "hpkp", "")
    assert table(release) == {"*": [A, B]}
    assert release.rules[0].subdomains
    assert release.rules[0].enforce


@pytest.mark.parametrize(
    "value",
    [
        f'pin-sha256="{A}"; pin-sha256="{B}"',
        f'pin-sha256="{A}"; pin-sha256="{B}"; max-age=soon',
        f'pin-sha256="{A}"; pin-sha256="{B}"; max-age=1; max-age=2',
        f'pin-sha256="{A}"; max-age=1',
        f'pin-sha256={A}; pin-sha256="{B}"; max-age=1',
        f'pin-sha256="{A[:-1]}"; pin-sha256="{B}"; max-age=1',
        f'pin-sha256="{A}"; pin-sha256="{A}"; max-age=1',
    ],
)
def test_browsers_ignore_a_header_with_a_mistake(value: str) -> None:
    release = read(f"Public-Key-Pins: {value}")
    assert release.rejected
    assert any("browsers ignore" in finding.says for finding in release.findings)


def test_report_only_does_not_enforce_and_max_age_zero_forgets() -> None:
    assert not read(f"Public-Key-Pins-Report-Only: {HPKP}").rules[0].enforce
    assert read(f"Public-Key-Pins: {HPKP}".replace("5184000", "0")).rules[0].pins == ()


STATIC = """// Copyright
{ "pinsets": [ { "name": "g", "static_spki_hashes": ["One", "Two"], "bad_static_spki_hashes": ["Bad"] } ],
  // entries
  "entries": [ { "name": "google.example", "pins": "g", "include_subdomains": true },
               { "name": "other.example", "mode": "force-https" }, { "name": "x.example", "pins": "missing" } ] }
"""


def test_chromium_names_are_resolved_in_the_pins_file_beside_the_json(tmp_path: Path) -> None:
    path = tmp_path / "transport_security_state_static.json"
    path.write_text(STATIC)
    alone = load_release(path)
    assert alone.pins == ()
    assert "unknown-pin" in ids(alone)
    spki = base64.b64encode(b"a key").decode()
    path.with_suffix(".pins").write_text(
        f"# c\nPinsListTimestamp\n1693440000\n\nOne\nsha256/{A}\nTwo\n-----BEGIN PUBLIC KEY-----\n{spki}\n"
        f"-----END PUBLIC KEY-----\nBad\nsha256/{B}\n"
    )
    release = load_release(path)
    (rule,) = release.rules
    assert (rule.pattern, rule.subdomains) == ("google.example", True)
    assert [(pin.pin, pin.bad) for pin in rule.pins] == [
        (Pin.parse(A), False),
        (Pin.of(b"a key"), False),
        (Pin.parse(B), True),
    ]
    assert Pin.parse(B) not in release.pins
    assert load_release_bytes(release.raw, name=str(path), format=release.format) == release
    pins = load_release(path.with_suffix(".pins"))
    assert (pins.format, len(pins.pins)) == ("chromium-pins", 3)


def test_a_json_map_gives_hosts_their_pins() -> None:
    for shown in (
        {"a.example": [f"sha256/{A}", B], "*.b.example": f"sha256/{C}"},
        {"version": "1", "pins": {"a.example": {"sha256": [A, B], "expires": "2027-01-01"}, "*.b.example": [C]}},
    ):
        release = read(json.dumps(shown))
        assert (table(release), release.findings) == ({"a.example": [A, B], "*.b.example": [C]}, ())
    assert ids(read(json.dumps({"a.example": [A, "sha256/short"]}))) == ["malformed-pin"]
    with pytest.raises(InputError):
        read(json.dumps({"a.example": 7, "name": "x"}))
    with pytest.raises(InputError):
        read('{"a":' * 100_000)


def test_the_names_of_columns_are_no_pins() -> None:
    release = read(f"host,pin\na.example,{A}\na.example,{B}\n")
    assert (table(release), release.findings) == ({"a.example": [A, B]}, ())


def test_a_list_may_name_hosts() -> None:
    release = read(f'# pins\na.example sha256/{A}\n{B}, "pin-sha256"\nhttps: {C}\n*.b.example: "{C}"  # last\n')
    assert (release.format, release.platform) == ("list", "list")
    assert table(release) == {"a.example": [A], "*": [B, C], "*.b.example": [C]}
    assert table(read(f'["sha256/{A}", "sha256/{B}"]')) == {"*": [A, B]}
    assert table(read(f"sha256/{A}\n", "okhttp")) == {"*": [A]}


def test_a_report_gives_the_pins_that_a_client_had_and_says_so() -> None:
    report = {"hostname": "www.a.example", "noted-hostname": "a.example", "include-subdomains": True}
    report |= {"known-pins": [f'pin-sha256="{A}"', f'pin-sha256="{B}"'], "enforce-pinning": False}
    trustkit = report | {"app-platform": "IOS", "app-bundle-id": "com.example.shop", "app-version": "4.2.0"}
    release = read(json.dumps(trustkit))
    assert (release.platform, release.name, table(release)) == (
        "trustkit-ios", "com.example.shop 4.2.0", {"a.example": [A, B]},
    )  # fmt: skip
    assert not release.rules[0].enforce
    assert "from-report" in ids(release)
    assert read(json.dumps(trustkit | {"app-platform": "ANDROID"})).platform == "trustkit-android"
    assert read(json.dumps(report)).platform == "hpkp"


def test_an_inventory_gives_the_keys_that_are_to_be_pinned() -> None:
    release = read(
        f'[[key]]\npin = "{A}"\nhosts = ["a.example"]\n[[key]]\npin = "{B}"\nstatus = "retired"\n'
        f'[[key]]\npin = "{C}"\nstatus = "backup"\nrole = "root"\n'
    )
    assert (release.format, table(release)) == ("inventory", {"a.example": [A], "*": [C]})
    assert [pin.scope for rule in release.rules for pin in rule.pins] == ["leaf", "ca"]


def test_what_is_said_of_the_release_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "pins.txt"
    path.write_text(f"sha256/{A}")
    at = datetime(2026, 11, 20, tzinfo=UTC)
    release = load_release(path, app="shop", version="4.2.0", library="okhttp 4.12.0", released=at, share=0.6)
    assert (release.app, release.version, release.library, release.released, release.share) == (
        "shop", "4.2.0", "okhttp 4.12.0", at, 0.6,
    )  # fmt: skip
    assert (release.source, release.raw) == (str(path), path.read_bytes())


@pytest.mark.parametrize(
    ("raw", "options", "says"),
    [
        (b"", {}, "no list of pins"),
        (b"Once upon a time", {}, "no list of pins"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", {}, "no format that irkit knows"),
        (b"x" * (17 << 20), {}, "too large"),
        (b"sha256/" + A.encode(), {"platform": "windows"}, "unknown platform"),
        (b"sha256/" + A.encode(), {"format": "yaml"}, "unknown format"),
        (b"<network-security-config/>", {"platform": "ios"}, "which ios does not read"),
        (b"val x = CertificatePinner.DEFAULT", {}, "no pin"),
        (b'{"pinsets": 7}', {}, "Chromium"),
        (b'{"known-pins": []}', {}, "no pin-failure report"),
        (b'{"known-pins": ' + b"[" * 100_000, {}, "no pin-failure report"),
    ],
)
def test_what_cannot_be_used_is_an_input_error_with_a_hint(raw: bytes, options: dict[str, str], says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_release_bytes(raw, name="x", **options)
    assert says in caught.value.message
    assert caught.value.hint


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.xml", tmp_path):
        with pytest.raises(InputError, match="can't read"):
            load_release(path)


SEEDS = [KOTLIN, JAVA, SWIFT, OBJECTIVE_C, HPKP, STATIC, f"sha256//{A}", f"assert_fingerprint='{HEX}'"]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A file of some format with bytes cut out, put in or changed."""
    raw = bytearray(draw(st.sampled_from(SEEDS)).encode())
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 20))] = draw(
            st.binary(max_size=6) | st.sampled_from([b'"', b"[", b"{", b"("])
        )
    return bytes(raw)


@given(st.binary(max_size=200) | mutated())
def test_any_bytes_give_a_release_or_an_input_error(raw: bytes) -> None:
    try:
        release = load_release_bytes(raw, name="x")
    except InputError:
        return
    assert load_release_bytes(release.raw, name="x", format=release.format, platform=release.platform) == release
    repr(release)
    release._repr_html_()


@given(
    st.binary(max_size=200) | mutated(),
    st.sampled_from(sorted(FORMATS.keys() - {"package"})),
    st.sampled_from(PLATFORMS),
)
def test_any_bytes_in_any_format_for_any_platform_give_a_release_or_an_input_error(
    raw: bytes, fmt: str, platform: str
) -> None:
    try:
        release = load_release_bytes(raw, name="x", format=fmt, platform=platform)
    except InputError:
        return
    assert release.platform == platform
