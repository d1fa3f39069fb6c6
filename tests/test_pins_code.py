"""Pins in the sources of react-native, Alamofire and Python programs, and in scripts with curl."""

from __future__ import annotations

import pytest
from sources import HEX, A, B, C, ids, read, table

from irkit.certificate import Pin


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


def test_alamofire_names_hosts_whose_keys_are_in_the_bundle() -> None:
    evaluators = '["a.example": PublicKeysTrustEvaluator(), "b.example": DisabledTrustEvaluator()]'
    release = read(f"ServerTrustManager(evaluators: {evaluators})")
    assert [(rule.pattern, rule.pins[0].pin) for rule in release.rules] == [("a.example", None)]
    assert ids(release) == ["unknown-pin", "not-pinned"]


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
