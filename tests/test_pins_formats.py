"""Every other format: recognised by its content, read with its hosts and pins, and read again from what was kept."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.certificate import Pin
from irkit.errors import InputError
from irkit.pins import PLATFORMS, Release, load_release, load_release_bytes
from irkit.pins.load import FORMATS

A = base64.b64encode(hashlib.sha256(b"a").digest()).decode()
B = base64.b64encode(hashlib.sha256(b"b").digest()).decode()
C = base64.b64encode(hashlib.sha256(b"c").digest()).decode()
HEX = hashlib.sha256(b"certificate").hexdigest()


def read(content: str, platform: str | None = None) -> Release:
    release = load_release_bytes(content.encode(), name="x", platform=platform)
    again = load_release_bytes(release.raw, name="x", format=release.format, platform=release.platform)
    assert again == release
    return release


def table(release: Release) -> dict[str, list[str]]:
    """Base64 of the readable pins of each host."""
    found: dict[str, list[str]] = {}
    for rule in release.rules:
        found.setdefault(rule.pattern, []).extend(pin.pin.base64 for pin in rule.pins if pin.pin)
    return found


def ids(release: Release) -> list[str]:
    return [finding.id for finding in release.findings]


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


def test_react_native_means_okhttp_on_android_and_trustkit_on_ios() -> None:
    content = f"initializeSslPinning({{ 'a.example': {{ includeSubdomains: true, publicKeyHashes: ['{A}', '{B}'] }} }})"
    android, ios = read(content), read(content, "trustkit-ios")
    assert table(android) == {"**.a.example": [A, B]}
    assert (ios.rules[0].pattern, ios.rules[0].subdomains, ios.rejected) == ("a.example", True, "")
    one = content.replace(f", '{B}'", "")
    assert "one-pin" in ids(read(one))
    assert read(one, "trustkit-ios").rejected


def test_keys_and_members_are_followed_in_javascript() -> None:
    release = read(
        f"const HOST = 'a.example';\nconst HASHES = {{ primary: '{A}', backup: \"{B}\" }};\n"
        "await initializeSslPinning({ [HOST]: { includeSubdomains: false,\n"
        "  publicKeyHashes: [HASHES.primary, HASHES.backup] }, [config.other]: { publicKeyHashes: keys.split(',') } });"
    )
    assert table(release) == {"a.example": [A, B], "*": []}
    assert set(ids(release)) == {"unknown-host", "unknown-pin"}


def test_pins_that_another_file_defines_are_told() -> None:
    release = read("CertificatePinner.Builder().add(DOMAIN_PATTERN, *TRUSTED_CERTIFICATES.toTypedArray()).build()")
    assert set(ids(release)) == {"unknown-host", "unknown-pin"}
    assert release.pins == ()


def test_alamofire_names_hosts_whose_keys_are_in_the_bundle() -> None:
    evaluators = '["a.example": PublicKeysTrustEvaluator(), "b.example": DisabledTrustEvaluator()]'
    release = read(f"ServerTrustManager(evaluators: {evaluators})")
    assert [(rule.pattern, rule.pins[0].pin) for rule in release.rules] == [("a.example", None)]
    assert ids(release) == ["unknown-pin", "not-pinned"]


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


def test_curl_is_read_from_scripts_and_by_itself() -> None:
    script = f"curl -s --pinnedpubkey 'sha256//{A};sha256//{B}' https://a.example/x\n# --pinnedpubkey sha256//{C}\n"
    release = read(script)
    assert (release.platform, table(release)) == ("curl", {"a.example": [A, B]})
    assert {pin.scope for pin in release.rules[0].pins} == {"leaf"}
    assert ids(release) == ["commented-out-pin"]
    assert table(read(f"sha256//{A};sha256//{B}")) == {"*": [A, B]}
    assert table(read(f'pinnedpubkey = "sha256//{A}"\n')) == {"*": [A]}
    assert read(f"sha256//{A}; sha256//{B}").pins == ()
    assert "key file" in read("curl --pinnedpubkey key.pem https://a.example").rules[0].pins[0].problem


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_curl_command_over_several_lines_keeps_its_host(end: str) -> None:
    lines = [
        "curl https://other.example",
        "curl -sS \\",
        f"  --pinnedpubkey 'sha256//{A}' \\",
        "  https://a.example/v1",
    ]
    for shown in (lines, [*lines[:1], "curl https://a.example \\", lines[2].rstrip("\\ "), "curl https://b.example"]):
        assert table(read(end.join(shown))) == {"a.example": [A]}


def test_react_native_ssl_pinning_is_read() -> None:
    head = "import {fetch as pinned} from 'react-native-ssl-pinning';\n"
    live = (
        f"pinned(`https://a.example/v1`, {{ pkPinning: true, sslPinning: {{ certs: ['sha256/{A}', 'sha256/{B}'] }} }})"
    )
    release = read(head + live)
    assert (release.format, release.platform) == ("react-native-source", "okhttp")
    assert (table(release), ids(release)) == ({"a.example": [A, B]}, [])
    assert table(read(head + f"const o = {{ sslPinning: {{ certs: ['sha256/{A}'] }} }};\npinned(URL, o)")) == {"*": [A]}
    named = read(head + "pinned('https://a.example', { sslPinning: { certs: ['prod'] } })")
    assert (table(named), ids(named)) == ({"a.example": []}, ["unknown-pin"])
    assert named.rules[0].pins[0].unread


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


def test_the_type_of_alamofires_evaluators_is_no_host() -> None:
    release = read(
        'let evaluators: [String: ServerTrustEvaluating] = ["a.example": PublicKeysTrustEvaluator()]\n'
        "let manager = ServerTrustManager(evaluators: evaluators)"
    )
    assert ([rule.pattern for rule in release.rules], ids(release)) == (["a.example"], ["unknown-pin"])


def test_python_fingerprints_are_of_whole_certificates() -> None:
    release = read(
        f's.mount("https://a.example", FingerprintAdapter("{HEX}"))\n\n\n\n'
        f'HTTPSConnectionPool("b.example", assert_fingerprint="{":".join(HEX[i : i + 2] for i in range(0, 64, 2))}")'
    )
    assert {(rule.pattern, rule.subdomains) for rule in release.rules} == {("a.example", False), ("b.example", False)}
    assert {pin.of for rule in release.rules for pin in rule.pins} == {"certificate"}
    assert release.pins == (Pin(bytes.fromhex(HEX)),)
    assert "hostname-unchecked" in ids(release)
    assert read(HEX, "python").pins == release.pins


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
