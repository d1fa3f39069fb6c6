"""Pins in the sources of TrustKit, react-native and Alamofire apps, of scripts with curl and of Python programs."""

from __future__ import annotations

import re
from typing import Any

from irkit.errors import InputError
from irkit.pins.notes import Notes
from irkit.pins.okhttp import loose_pins, pinner_rule, source_release
from irkit.pins.release import ConfiguredPin, HostRule, Platform, Release
from irkit.pins.source import Source, Unknown, decode_text, written
from irkit.pins.trustkit import EXCLUDE, trustkit_rules
from irkit.render import text

__all__ = ["read_alamofire", "read_curl", "read_python", "read_react_native", "read_trustkit_source"]

_BASE64_PIN = re.compile(r"[A-Za-z0-9+/]{43}=\Z|sha256/")


def read_trustkit_source(raw: bytes, _platform: str, name: str) -> Release:
    """Reads the dictionary that TrustKit is configured with in Swift or Objective-C.

    Raises:
        InputError: The source holds no pin.
    """
    source = Source(decode_text(raw, name))
    notes = Notes("trustkit-ios")
    rules: list[HostRule] = []
    for _, domains in source.value_after("kTSKPinnedDomains", "TSKPinnedDomains"):
        if isinstance(domains, dict):
            named = {notes.host(host, ""): _constants(policy) for host, policy in domains.items()}
            rules += trustkit_rules({"TSKPinnedDomains": named, "TSKSwizzleNetworkDelegates": True}, notes)
    if not rules:
        rules = loose_pins(source, rules, notes, _BASE64_PIN)
    return source_release(source, rules, notes, name, "TrustKit")


def _constants(policy: Any) -> Any:
    """A policy with the constants of TrustKit's header as the keys that they stand for."""
    if not isinstance(policy, dict):
        return policy
    special = {"kTSKExcludeSubdomainFromParentPolicy": EXCLUDE}
    return {special.get(key, key.removeprefix("k")): value for key, value in _by_name(policy).items()}


def _by_name(policy: dict[Any, Any]) -> dict[str, Any]:
    """Options with bare words as the names that they are."""
    return {written(key): value for key, value in policy.items()}


def read_react_native(raw: bytes, platform: Platform, name: str) -> Release:
    """Reads the options of react-native-ssl-public-key-pinning, which wraps OkHttp on Android and TrustKit on iOS.

    Raises:
        InputError: The source holds no pin.
    """
    source = Source(decode_text(raw, name))
    notes = Notes(platform)
    rules: list[HostRule] = []
    options = [items[0] for _, items in source.calls("initializeSslPinning") if items]
    for domains in (found for found in options if isinstance(found, dict)):
        rules += _react_native_rules(domains, platform, notes)
    rules += _ssl_pinning(source, notes) if platform == "okhttp" else []
    rules += loose_pins(source, rules, notes, _BASE64_PIN) if not rules else []
    return source_release(source, rules, notes, name, "pinning")


def _ssl_pinning(source: Source, notes: Notes) -> list[HostRule]:
    """The options of react-native-ssl-pinning's fetch, and of RNPinch's: pins, or names of certificates in the app."""
    words = [token.value for token in source.tokens]
    aliases = {words[i + 2] for i, word in enumerate(words[:-2]) if word == "fetch" and words[i + 1] == "as"}
    called = [(t, items) for t, items in source.calls("fetch", *aliases) if any(isinstance(x, dict) for x in items)]
    found = [
        (token, items[0], option)
        for token, items in called
        for options in items
        if isinstance(options, dict) and isinstance(option := _by_name(options).get("sslPinning"), dict)
    ]
    if not found:
        loose = source.value_after("sslPinning")
        found = [(token, Unknown("the URL"), option) for token, option in loose if isinstance(option, dict)]
    rules = []
    for token, url, option in found:
        where = f"line {token.line}"
        host = re.match(r"https://([\w.-]+)", written(url))
        named = _by_name(option)
        values = named.get("certs", named.get("cert"))
        pins = tuple(
            _bundled(value, where, notes)
            for value in (values if isinstance(values, list) else [values])
            if value is not None
        )
        pattern = host[1] if host else notes.host(Unknown(written(url)), where)
        rules.append(pinner_rule(pattern, pins, where, notes))
    return rules


def _bundled(value: Any, where: str, notes: Notes) -> ConfiguredPin:
    """A pin as text, or the name of a certificate file."""
    if not isinstance(value, str) or value.startswith("sha256/"):
        return notes.pin(value, where=where)
    notes.add("unknown-pin", "warning", f"{text(value, 80)} is a certificate in the app's bundle, not here", where)
    return ConfiguredPin(value, None, problem="names a certificate in the app's bundle", where=where)


def _react_native_rules(domains: dict[Any, Any], platform: Platform, notes: Notes) -> list[HostRule]:
    if platform == "trustkit-ios":
        keys = {
            "publicKeyHashes": "TSKPublicKeyHashes",
            "includeSubdomains": "TSKIncludeSubdomains",
            "expirationDate": "TSKExpirationDate",
        }
        named = {
            notes.host(host, ""): {keys.get(key, key): value for key, value in _by_name(policy).items()}
            for host, policy in domains.items()
            if isinstance(policy, dict)
        }
        return list(trustkit_rules({"TSKPinnedDomains": named, "TSKSwizzleNetworkDelegates": True}, notes))
    rules = []
    for key, options in domains.items():
        host, policy = notes.host(key, ""), _by_name(options) if isinstance(options, dict) else {}
        hashes = policy.get("publicKeyHashes")
        if isinstance(hashes, Unknown):
            hashes = [hashes]
        if not isinstance(hashes, list):
            notes.add("unknown-pin", "warning", f"{text(host, 80)} has no publicKeyHashes in this file", text(host, 80))
            continue
        pins = tuple(
            notes.pin(f"sha256/{value}" if isinstance(value, str) else value, where=text(host, 80)) for value in hashes
        )
        pattern = f"**.{host}" if policy.get("includeSubdomains") is True and host != "*" else host
        if len(pins) < 2 and not any(isinstance(value, Unknown) for value in hashes):
            notes.add("one-pin", "error", "one pin is enough on Android; on iOS TrustKit throws", text(host, 80))
        rules.append(pinner_rule(pattern, pins, text(host, 80), notes))
    return rules


_EVALUATORS = {"PublicKeysTrustEvaluator": "public keys", "PinnedCertificatesTrustEvaluator": "certificates"}


def read_alamofire(raw: bytes, _platform: str, name: str) -> Release:
    """Reads the hosts of Alamofire's ServerTrustManager. The keys are those of the certificates in the app's bundle.

    Raises:
        InputError: The source holds no evaluator.
    """
    source = Source(decode_text(raw, name))
    notes = Notes("list")
    rules: list[HostRule] = []
    for token, evaluators in source.value_after("evaluators"):
        for host, evaluator in evaluators.items() if isinstance(evaluators, dict) else ():
            if host == Unknown("String"):
                continue  # the type of the variable: [String: ServerTrustEvaluating]
            named = evaluator.written if isinstance(evaluator, Unknown) else ""
            where = f"line {token.line}"
            kind = next((kind for known, kind in _EVALUATORS.items() if known in named), None)
            if kind is None:
                says = f"{text(host, 80)} is not pinned: its evaluator is {text(named, 60) or 'unknown'}"
                notes.add("not-pinned", "warning", says, where)
                continue
            problem = f"is one of the {kind} in the app's bundle"
            says = f"{text(host, 80)} is pinned to the {kind} in the app's bundle, which this file does not hold"
            notes.add("unknown-pin", "warning", says, where)
            pins = (ConfiguredPin(named, None, problem=problem, where=where),)
            rules.append(HostRule(notes.host(host, ""), False, pins, frozenset({"any"}), where=where))
    rules += loose_pins(source, rules, notes, _BASE64_PIN)
    return source_release(source, rules, notes, name, "Alamofire")


_CURL = re.compile(
    r"(?:--pinnedpubkey(?:\s+|=)|^[ \t]*pinnedpubkey[ \t]*[=:\s][ \t]*|CURLOPT_PINNEDPUBLICKEY\s*(?:,|=>)\s*)"
    r"""(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<bare>[^\s"']+))""",
    re.MULTILINE,
)


def read_curl(raw: bytes, _platform: str, name: str) -> Release:
    """Reads curl's --pinnedpubkey from a script, a .curlrc, a program with CURLOPT_PINNEDPUBLICKEY, or by itself.

    `;sha256//` separates pins; a space or a single slash there makes text of it that no key equals.

    Raises:
        InputError: There is no such option.
    """
    content = decode_text(raw, name)
    notes = Notes("curl")
    rules = []
    found = [(match, match["double"] or match["single"] or match["bare"] or "") for match in _CURL.finditer(content)]
    if not found and len(content.split()) in {1, 2}:
        found = [(match, match[0].strip()) for match in re.finditer(r"\A[^\n]+", content)]
    notes.spend(10 * len(found))
    for match, value in found:
        number = content.count("\n", 0, match.start()) + 1
        where = f"line {number}"
        line = _command(content, match.start(), match.end())
        if line.lstrip().startswith(("#", "//")):
            notes.commented_out("a pin is", where)
            continue
        host = re.search(r"https://([\w.-]+)", line)
        parts = value.split(";sha256//")
        values = [parts[0], *(f"sha256//{part}" for part in parts[1:])]
        pins = tuple(notes.pin(part, scope="leaf", where=where) for part in values)
        rules.append(HostRule(host[1] if host else "*", False, pins, frozenset({"leaf"}), where=where))
    if not rules and not notes.findings:
        raise InputError(f"{text(name)} names no pin for curl", "give the line with --pinnedpubkey")
    return notes.release(rules)


_JOINED = 60  # lines of one command


def _command(content: str, begin: int, end: int) -> str:
    """The lines around a place, those joined to them by a backslash at their end included."""
    first, last = content.rfind("\n", 0, begin) + 1, content.find("\n", end)
    for _ in range(_JOINED):
        if first and content.endswith(("\\\n", "\\\r\n"), 0, first):
            first = content.rfind("\n", 0, first - 1) + 1
        if last > 0 and content.endswith(("\\", "\\\r"), 0, last):
            last = content.find("\n", last + 1)
    return content[first : None if last < 0 else last]


def read_python(raw: bytes, _platform: str, name: str) -> Release:
    """Reads urllib3's assert_fingerprint and requests-toolbelt's FingerprintAdapter, or a fingerprint by itself.

    Raises:
        InputError: There is no fingerprint.
    """
    content = decode_text(raw, name)
    source = Source(content)
    notes = Notes("python")
    found: list[tuple[int, Any]] = [(token.line, value) for token, value in source.value_after("assert_fingerprint")]
    found += [(token.line, items[0]) for token, items in source.calls("FingerprintAdapter") if items]
    if not found and re.fullmatch(r"[0-9a-fA-F:\s]{32,}", content):
        found = [(1, content.strip())]
    rules = []
    lines = content.splitlines()
    for number, value in found:
        where = f"line {number}"
        near = " ".join(lines[max(0, number - 3) : number])
        hosts = re.findall(r"https://([\w.-]+)|Pool\(\s*[\"']([\w.-]+)[\"']", near)
        host = next(filter(None, hosts[-1])) if hosts else "*"
        pin = notes.pin(value, scope="leaf", where=where)
        rules.append(HostRule(host, False, (pin,), frozenset({"leaf"}), where=where))
        notes.add("hostname-unchecked", "warning", "assert_fingerprint switches the check of the hostname off", where)
    if not rules:
        raise InputError(f"{text(name)} holds no fingerprint", "give the line with assert_fingerprint")
    return notes.release(rules)
