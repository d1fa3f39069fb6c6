"""How each platform turns the text of a pin into bytes: its base64, its prefix, its idea of a length.

The same text is a good pin to one platform, a crash to a second and a pin that never matches to a third. Sources:
Android's `android.util.Base64` and `XmlConfigSource.parsePin`, okio's `decodeBase64` under OkHttp's
`CertificatePinner`, Apple's `SecBase64Decode` under `parseNSPinnedDomains`, Foundation's decoder under TrustKit's
`parse_configuration.m`, curl's string comparison in `Curl_pin_peer_pubkey`, urllib3's `assert_fingerprint`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import date
from typing import Any, Literal

from irkit.certificate import Pin
from irkit.pins.release import ConfiguredPin, Platform

__all__ = ["android_expiry", "literal", "odd", "read_pin", "text_of"]

_ALPHABET = {c: i for i, c in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
_LONGEST = 4096  # characters; what is longer is no pin to any platform, and decoding it would take long
_JAVA_SPACE = "".join(map(chr, range(33)))  # what String.trim() removes


class _RefusedError(ValueError):
    """The platform refuses the text: an exception there, or a configuration that is ignored."""


def _sextets(values: list[int]) -> bytes:
    """Whole bytes of a run of six-bit values; the bits left over are dropped."""
    number = 0
    for value in values:
        number = number << 6 | value
    size = len(values) * 6 // 8
    return (number >> (len(values) * 6 - size * 8)).to_bytes(size, "big")


def _android_base64(value: str) -> bytes:
    """`Base64.decode(text, DEFAULT)`: bytes outside the alphabet are skipped, padding is optional but not half-way."""
    values: list[int] = []
    padding = 0
    for byte in value.encode("utf-8", "surrogatepass"):
        if byte == ord("="):
            padding += 1
        elif byte in _ALPHABET:
            if padding:
                raise _RefusedError("has characters after its padding")
            values.append(_ALPHABET[byte])
    rest = len(values) % 4
    if rest == 1 or padding not in {0, (4 - rest) % 4}:
        raise _RefusedError("is not base64: its padding is wrong")
    return _sextets(values)


def _okio_base64(value: str) -> bytes:
    """What okio decodes: `-` and `_` too, white space anywhere, padding only at the end and optional."""
    data = value.rstrip("=\n\r \t").translate({ord(c): None for c in "\n\r \t"}).replace("-", "+").replace("_", "/")
    if not data.isascii() or any(c not in _ALPHABET for c in data.encode()) or len(data) % 4 == 1:
        raise _RefusedError("is not base64")
    return _sextets([_ALPHABET[c] for c in data.encode()])


def _apple_base64(value: str) -> bytes:
    """`SecBase64Decode`: unknown characters are skipped, an incomplete group of four at the end is dropped."""
    known = [c for c in value.encode("utf-8", "surrogatepass") if c in _ALPHABET or c == ord("=")]
    found = bytearray()
    for i in range(0, len(known) - 3, 4):
        group = [_ALPHABET[c] for c in known[i : i + 4] if c != ord("=")]
        found += _sextets(group)
        if len(group) < 4:
            break
    return bytes(found)


def _strict_base64(value: str) -> bytes:
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _RefusedError("is not base64") from None


def _need_32(digest: bytes) -> bytes:
    if len(digest) != 32:
        raise _RefusedError(f"has {len(digest)} bytes, not the 32 of SHA-256")
    return digest


def _android(value: str) -> bytes:
    return _need_32(_android_base64(value.strip(_JAVA_SPACE)))


def _trustkit_android(value: str) -> bytes:
    digest = _need_32(_android_base64(value))
    if base64.b64encode(digest).decode() != value:
        raise ValueError("decodes, but TrustKit Android compares pins as text and no key's pin is written like this")
    return digest


def _okhttp(value: str) -> Pin | bytes:
    for algorithm in ("sha256", "sha1"):
        if value.startswith(f"{algorithm}/"):
            digest = _okio_base64(value.removeprefix(f"{algorithm}/"))
            if algorithm == "sha1" and len(digest) == 20:
                return Pin(digest, "sha1")
            if algorithm == "sha1":
                raise ValueError(f"has {len(digest)} bytes, not the 20 of SHA-1")
            return digest
    raise _RefusedError("does not start with sha256/ or sha1/")


def _chromium(value: str) -> bytes:
    return _need_32(_strict_base64(value.removeprefix("sha256/")))


def _curl(value: str) -> bytes:
    if re.search(r"\.(pem|der|crt|cer|key|pub)\Z", value, re.IGNORECASE):
        raise ValueError("is the name of a key file, which is not in this file")
    if not value.startswith("sha256//"):
        raise ValueError("does not start with sha256// and counts as the name of a key file")
    digest = _strict_base64(value.removeprefix("sha256//"))
    if base64.b64encode(digest).decode() != value.removeprefix("sha256//"):
        raise ValueError("is not written as curl writes a pin, and curl compares text")
    return digest


def _fingerprint(value: str) -> Pin | bytes:
    """urllib3's `assert_fingerprint`: colons go, the length picks the hash of the whole certificate."""
    digits = value.replace(":", "").lower()
    if len(digits) not in {32, 40, 64}:
        raise _RefusedError(f"has {len(digits)} digits; 32, 40 and 64 are MD5, SHA-1 and SHA-256")
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        raise _RefusedError("is not hex") from None
    if len(digest) == 16:
        return Pin(digest, "md5")
    return Pin(digest, "sha1") if len(digest) == 20 else digest


def _list(value: str) -> Pin | bytes:
    match = re.fullmatch(r'(?:pin-)?(sha256|sha1)(?:/{1,2}|=)"?([^"]*)"?', value.strip())
    digest = _strict_base64(match[2] if match else value.strip())
    return Pin(digest, "sha1") if match and match[1] == "sha1" and len(digest) == 20 else digest


_READERS: dict[Platform, Callable[[str], Pin | bytes]] = {
    "android": _android,
    "trustkit-android": _trustkit_android,
    "okhttp": _okhttp,
    "ios": _apple_base64,
    "trustkit-ios": lambda value: _need_32(_strict_base64(value)),
    "hpkp": lambda value: _need_32(_strict_base64(value)),
    "chromium": _chromium,
    "curl": _curl,
    "python": _fingerprint,
    "list": _list,
}
# These have no configuration to refuse: one malformed pin leaves the others as they are.
_TOLERANT: frozenset[Platform] = frozenset({"chromium", "curl", "python", "list"})


def read_pin(
    value: str,
    platform: Platform,
    *,
    scope: Literal["any", "leaf", "ca"] = "any",
    where: str = "",
) -> tuple[ConfiguredPin, bool]:
    """Reads one pin as a platform does.

    Returns:
        The pin, and whether the platform refuses a configuration that holds it.
    """
    problem, refused = "", False
    pin: Pin | None = None
    try:
        digest = _READERS[platform](value) if len(value) <= _LONGEST else _too_long(value)
        pin = digest if isinstance(digest, Pin) else _pin(digest)
    except _RefusedError as error:
        problem, refused = str(error), True
    except ValueError as error:
        problem = str(error)
    hint = odd(value, pin)
    if pin is None or hint:
        problem = "; ".join(part for part in (problem, hint) if part)
    of: Literal["spki", "certificate"] = "certificate" if platform == "python" else "spki"
    return ConfiguredPin(value, pin, scope, of, problem=problem, where=where), refused and platform not in _TOLERANT


def _too_long(value: str) -> bytes:
    raise ValueError(f"has {len(value)} characters")


def _pin(digest: bytes) -> Pin:
    if len(digest) != 32:
        raise ValueError(f"decodes to {len(digest)} bytes, not the 32 of SHA-256")
    return Pin(digest)


_DUMMY = "is a placeholder"
_KNOWN = {
    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=": "is the SHA-256 of nothing: no input reached what computed it",
    "AbpHGcgLb+kRsJGnwFEktk7uzpZOCcBY74+YBdrKVGs=": "is the SHA-256 of a line feed: no input reached what computed it",
}
# The form of a hash: its letters say nothing by chance, so that only a text that is words throughout is a placeholder.
_HASH = re.compile(r"[A-Za-z0-9+/_-]{43}=?|[A-Za-z0-9+/_-]{27}=?|(?:[0-9A-Fa-f]{2}:?){16,32}")
_CUT = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")  # a hash that was cut off, where its letters are of both cases
_WORDS = re.compile(
    r"replace|placeholder|your|example|change|insert|dummy|backup|todo|fake|pins?|hash(?:es)?|base|sha|spki|public|keys?|"
    r"cert(?:ificate)?|primary|secondary|current|next|spare|leaf|root|intermediate|server|domain|with|here|real|actual|"
    r"value|string|this|that|test|production|staging|goes|the|for|and|not|of|me|xx+",
    re.IGNORECASE,
)
_SPELT = 0.8  # of its letters; a random hash has hardly a tenth
_PERIODIC = re.compile(r"(.{1,8}?)\1{3,}.{0,7}")
# What a text looks like that is no hash of a key; the first that matches counts.
_LOOKS = [
    (re.compile(pattern, re.IGNORECASE), says)
    for pattern, says in (
        (
            r".*(replace|placeholder|your|example|change_?me|insert|dummy|backup|todo|_pin|pin_|hash|<|\{|\.\.\.)",
            _DUMMY,
        ),
        (r"([0-9a-f]{2}:?){32}$", "is 64 hex digits where base64 belongs"),
        (r"-----BEGIN|MII.{100}", "is a certificate or a key, not its hash"),
        (r"MFkw|MHYw|MIIB", "is a public key, not its hash"),
        (r"[a-z0-9+/]{43}$", "has lost its padding: the = at its end"),
        (r"[a-z0-9_-]{43}=?$", "is base64url where base64 belongs"),
    )
]


def odd(value: str, pin: Pin | None = None) -> str:
    """What a pin's text looks like, where it is no hash of a key: a placeholder, hex, a wrong prefix. Empty if nothing.

    Args:
        value: The pin as written.
        pin: What a platform decoded it to.
    """
    value = value.strip()[:_LONGEST]
    bare = re.sub(r"^(?:pin-)?sha(?:256|1)(?:/{1,2}|=)", "", value, flags=re.IGNORECASE).strip('"')
    if pin is not None and pin.base64 in _KNOWN:
        return _KNOWN[pin.base64]
    if _PERIODIC.fullmatch(bare.rstrip("=")):
        return _DUMMY
    cut = _CUT.fullmatch(bare) and bare != bare.upper() and bare != bare.lower()
    hashed = pin is not None or _HASH.fullmatch(bare) or cut
    if hashed and _spelt(bare):
        return _DUMMY
    if pin is not None:
        return ""
    if bare != value and re.fullmatch(r"[A-Za-z0-9+/]{43}=", bare):
        return "has a prefix that does not belong here"
    looks = (says for pattern, says in _LOOKS if pattern.match(bare) and not (hashed and says == _DUMMY))
    return next(looks, "")


def _spelt(value: str) -> bool:
    """Whether a text is made of the words of placeholders."""
    letters = re.sub(r"[^A-Za-z]", "", value)
    return len(letters) >= 12 and sum(map(len, _WORDS.findall(letters))) >= _SPELT * len(letters)


def android_expiry(value: str) -> date | None:
    """The date that `SimpleDateFormat("yyyy-MM-dd")`, not lenient, reads; None where it throws.

    It reads a prefix, so `2025-12-31T10:00` is a date, `2025-1-1` too, and `25-12-31` is in the year 25. The pins hold
    through the start of that day in the device's own time zone.
    """
    match = re.match(r"[ \t]*(\d+)-[ \t]*(\d+)-[ \t]*(\d+)", value)
    if not match:
        return None
    year, month, day = (int(group[:9]) for group in match.groups())
    try:
        return date(min(year, 9999), month, day)
    except ValueError:
        return None


def literal(host: str) -> str:
    """A host as written; a `*` in quotes, for by itself it stands for every host and no platform reads it so."""
    return '"*"' if host == "*" else host


def text_of(value: Any) -> str:
    """What a value of the wrong type is called in a message; never its content, which may be a cycle."""
    return f"a {type(value).__name__}"
