"""What a pin that matches nothing is: which hash of which known thing, or which known pin gone wrong."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

from irkit import render
from irkit.certificate import Certificate, Pin
from irkit.chain import Chain
from irkit.pins.grammar import odd
from irkit.render import text
from irkit.spki import raw_key, reencodings
from irkit.trust import TrustStore

__all__ = ["Explanation", "explain_pin"]


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """What a pin turned out to be.

    Attributes:
        cause: A slug of `irkit.verdict.CAUSES`; empty where the pin is the right hash of a known key.
        says: What it is, in a phrase: "the hash of the whole certificate CN=…, not of its public key".
        certificate: Whose it is; None where it is no certificate's.
        right_pin: The pin to write instead; None where none is known.
    """

    cause: str
    says: str
    certificate: Certificate | None = None
    right_pin: Pin | None = None

    def __repr__(self) -> str:
        right = f"\n  the right pin is {self.right_pin}" if self.right_pin is not None and self.cause else ""
        return f"Explanation({self.cause or 'a right pin'}: {text(self.says, 500)}){right}"

    def _repr_html_(self) -> str:
        rows = [
            ("what it is", self.says),
            ("cause", self.cause or "none"),
            ("the right pin", self.right_pin or "unknown"),
        ]
        return render.table(("", ""), rows, "What this pin is")


def explain_pin(
    pin_text: str,
    *chains: Chain | Sequence[Certificate],
    keys: Iterable[Pin] = (),
    trust: TrustStore | None = None,
    scope: Literal["any", "leaf", "ca"] = "any",
) -> Explanation | None:
    """Finds what a pin is, where it is not simply the hash of an unknown key.

    Args:
        pin_text: The pin as written, with or without a prefix.
        chains: Chains to look for it in.
        keys: Pins that are known to be right, as from an inventory.
        trust: Roots to look for it in.
        scope: Where its platform looks for it (`ConfiguredPin.scope`).

    Returns:
        The explanation; None where there is none. A random pin has none.
    """
    known = tuple(keys)
    told = [e for bare in _bares(pin_text) if (e := _explain(bare, chains, known, trust, scope)) is not None]
    return min(told, key=lambda explanation: bool(explanation.cause), default=None)  # a right pin before a slip


def _explain(
    bare: str,
    chains: Sequence[Chain | Sequence[Certificate]],
    keys: Sequence[Pin],
    trust: TrustStore | None,
    scope: str,
) -> Explanation | None:
    forms = list(_forms(bare))
    for digest, form, _ in forms:
        if digest in _NOTHING:
            return Explanation("empty-input-pin", f"{form}the {_NOTHING[digest]}: what computed it was given no input")
    places = [(certificate, i) for chain in chains for i, certificate in enumerate(chain)]
    roots = [] if trust is None else [(root, None) for root in trust.roots]
    for digest, form, form_cause in forms:
        for certificate, place in (*places, *roots):
            known = _known(certificate.der).get(digest)
            if known is not None:
                cause, what = known
                return _explained(form_cause or cause, form + what, certificate, place, scope)
        right = next((pin for pin in keys if pin.digest == digest), None)
        if right is not None:
            return Explanation(form_cause, f"{form}the hash of a key in the inventory", None, right)
    for digest, form, _ in forms:
        for chain in chains:
            if (how := _bundles(tuple(c.der for c in chain)).get(digest)) is not None:
                return _explained("text-hash-pinned", form + how, next(iter(chain)), 0, scope)
    pins: dict[Pin, Certificate | None] = {c.pin: c for c, _ in (*places, *roots) if c.pin is not None}
    slip = _mistyped(bare, dict.fromkeys(keys) | pins)
    whole = next((Pin(digest) for digest, _, _ in forms if len(digest) == 32), None)
    if slip is None and "placeholder" in odd(bare, whole):
        return Explanation("placeholder-pin", "a placeholder that was never replaced")
    return slip


# Hashes of no input at all, or of what `echo` and a failed pipe leave.
_INPUTS = {
    b"": "nothing",
    b"\n": "a line feed",
    b"\r\n": "a line break",
    b"(stdin)= \n": "an empty digest's own output",
}
_NOTHING = {
    hashlib.new(algorithm, data, usedforsecurity=False).digest(): f"{algorithm.upper()} of {what}"
    for data, what in _INPUTS.items()
    for algorithm in ("sha256", "sha1", "md5", "sha512")
}

_PREFIX = re.compile(r"""^(?:pin-)?sha-?(?:1|256)(?:/|[=:]\s*)""", re.IGNORECASE)


def _bare(pin_text: str) -> str:
    return _PREFIX.sub("", pin_text.strip().strip("\"'")).strip().strip("\"'")


def _bares(pin_text: str) -> tuple[str, ...]:
    """The pin without its prefix; a second slash may be curl's or the hash's first character."""
    bare = _bare(pin_text)
    return (bare, bare[1:]) if bare != pin_text and bare.startswith("/") else (bare,)


def _base64(value: str) -> bytes | None:
    body = re.sub(r"\s", "", value).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _hex(value: str | bytes) -> bytes | None:
    shown = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    digits = re.sub(r"[:\s]", "", shown).removeprefix("0x")
    return bytes.fromhex(digits) if re.fullmatch(r"(?:[0-9a-fA-F]{2}){16,64}", digits) else None


# What `openssl dgst`, `sha256sum` and `shasum --tag` print: the digits after `(stdin)= `, or before a name.
_DIGEST_LINE = re.compile(rb"(?:[^\n=]{0,200}=\s*)?([0-9a-fA-F:]{32,200})(?:\s[^\n]*)?\s*")
_LINE = 600


def _forms(bare: str) -> Iterator[tuple[bytes, str, str]]:
    """What the text may stand for: bytes, how they are written, and the cause if that writing is the fault."""
    if re.search(r"%[0-9A-Fa-f]{2}", bare):
        for digest, form, cause in _read(_bare(unquote(bare, errors="replace"))):
            yield digest, f"URL-encoded, {form}", cause or "corrupt-pin"
    else:
        yield from _read(bare)


def _read(bare: str) -> Iterator[tuple[bytes, str, str]]:
    digest = _hex(bare)
    if digest is not None:
        yield digest, "in hex where base64 belongs, ", "hex-pin"
        if digest.isascii() and (written := _base64(digest.decode("ascii"))) is not None and len(written) in (20, 32):
            yield written, "the hex of base64 text, of ", "corrupt-pin"
    decoded = _base64(bare)
    if decoded is None:
        return
    right = re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", bare) and len(bare) % 4 == 0
    yield (
        decoded,
        "" if right else "in base64 that lost its padding or is not the standard kind, ",
        "" if right else "corrupt-pin",
    )
    inner = _hex(decoded)
    if inner is not None:
        yield inner, "the base64 of hex digits, of ", "base64-of-hex-pin"
        return
    line = _DIGEST_LINE.fullmatch(decoded) if len(decoded) <= _LINE else None
    if line is not None and (inner := _hex(line[1])) is not None:
        yield inner, "the base64 of a line that a digest command printed, of ", "base64-of-hex-pin"
        return
    if decoded.isascii() and (again := _base64(decoded.decode("ascii"))) is not None and len(again) in (20, 32):
        yield again, "base64 applied twice, to ", "corrupt-pin"


def _explained(cause: str, phrase: str, certificate: Certificate, place: int | None, scope: str) -> Explanation:
    name = text(certificate.subject or "without a readable name", 100)
    says = phrase.replace("{}", f"{_place(certificate, place)} {name}")
    if not cause and place is not None and ((scope == "leaf" and place) or (scope == "ca" and not place)):
        cause = "pin-in-wrong-position"
        says += f", pinned in the list for {'the leaf' if scope == 'leaf' else 'CAs'}"
    return Explanation(cause, says, certificate, certificate.pin)


def _place(certificate: Certificate, place: int | None) -> str:
    if place == 0:
        return "the leaf"
    return "the root" if certificate.self_issued or place is None else "the intermediate"


@lru_cache(maxsize=4096)
def _known(der: bytes) -> dict[bytes, tuple[str, str]]:
    """Every hash that someone may have taken of a certificate: digest to (cause, phrase). The right one wins."""
    certificate = Certificate(der)
    found: dict[bytes, tuple[str, str]] = {}

    def add(cause: str, phrase: str, data: bytes, *algorithms: str) -> None:
        for algorithm in algorithms or ("sha256",):
            digest = hashlib.new(algorithm, data, usedforsecurity=False).digest()
            found.setdefault(digest, (cause, f"the {algorithm.upper()} of {phrase}"))

    spki, whole = certificate.spki, "the whole certificate of {}, not of its public key"
    if spki is not None:
        found[hashlib.sha256(spki).digest()] = ("", "the hash of the key of {}")
        found[spki] = ("corrupt-pin", "the public key of {} itself, not its hash")
        add("corrupt-pin", "the key of {}, where SHA-256 belongs", spki, "sha1", "sha384", "sha512", "md5")
        for how, encoded in reencodings(spki).items():
            add("reencoded-pin", f"the key of {{}} re-encoded {how}", encoded)
        raw = raw_key(spki)
        if raw is not None:
            add("raw-key-hash-pinned", "the key of {} without its ASN.1 header", raw, "sha256", "sha1")
            for how, written in _texts(raw, "RSA PUBLIC KEY"):
                add("text-hash-pinned", f"{how} of the key of {{}} without its ASN.1 header", written)
        for how, written in _hashed(spki):
            add("text-hash-pinned", f"{how} of the key of {{}}: it was hashed twice", written)
    found[der] = ("corrupt-pin", "the certificate of {} itself, not the hash of its key")
    add("certificate-hash-pinned", whole, der, "sha256", "sha1", "md5", "sha512")
    for what, data, label in (("certificate", der, "CERTIFICATE"), ("key", spki, "PUBLIC KEY")):
        if data is not None:
            for how, written in _texts(data, label):
                add("text-hash-pinned", f"{how} of the {what} of {{}}, not of the key's DER", written, "sha256", "sha1")
    return found


def _hashed(data: bytes) -> Iterator[tuple[str, bytes]]:
    """A hash once more as an input: its bytes, and its texts with and without a last line feed."""
    digest = hashlib.sha256(data).digest()
    yield "the hash", digest
    for how, written in (("hex", digest.hex()), ("base64", base64.b64encode(digest).decode())):
        yield f"the {how} text of the hash", written.encode()
        yield f"the {how} text of the hash and a line feed", written.encode() + b"\n"


@lru_cache(maxsize=256)
def _bundles(ders: tuple[bytes, ...]) -> dict[bytes, str]:
    """Hashes of files with more in them than one key: the whole chain in PEM, or a key and its certificate."""
    pems = [_pem(der, "CERTIFICATE") + b"\n" for der in ders]
    files = {"the PEM file of the whole chain": b"".join(pems)} if len(ders) > 1 else {}
    spki = Certificate(ders[0]).spki if ders else None
    if spki is not None:
        files["what `openssl x509 -pubkey` prints without -noout, key and certificate"] = (
            _pem(spki, "PUBLIC KEY") + b"\n" + pems[0]
        )
    return {
        hashlib.sha256(written).digest(): f"the SHA256 of {how}, not of the key of {{}}"
        for how, data in files.items()
        for written in (data, data.removesuffix(b"\n"), data.replace(b"\n", b"\r\n"))
    }


def _pem(data: bytes, label: str) -> bytes:
    """PEM without a last line feed."""
    wrapped = re.sub(rb"(.{64})(?=.)", rb"\1\n", base64.b64encode(data))
    return b"-----BEGIN %b-----\n%b\n-----END %b-----" % (label.encode(), wrapped, label.encode())


def _texts(data: bytes, label: str) -> Iterator[tuple[str, bytes]]:
    """The texts that hold some DER: PEM, its body, base64 on one line, hex; each with and without a last line feed."""
    pem = _pem(data, label)
    texts = {
        "the PEM text": pem,
        "the base64 lines": b"\n".join(pem.split(b"\n")[1:-1]),
        "the base64 text": base64.b64encode(data),
        "the hex text": data.hex().encode(),
        "the hex text in capitals": data.hex().upper().encode(),
    }
    for how, written in texts.items():
        yield how, written
        yield f"{how} and a line feed", written + b"\n"
    yield "the PEM text with CRLF", pem.replace(b"\n", b"\r\n")
    yield "the PEM text with CRLF at every line", pem.replace(b"\n", b"\r\n") + b"\r\n"
    yield "the DER and a line feed", data + b"\n"


def _mistyped(bare: str, known: dict[Pin, Certificate | None]) -> Explanation | None:
    """A known pin with a slip in it: letters in the wrong case, cut off, or an edit or two away."""
    body = re.sub(r"\s", "", bare).rstrip("=")
    if len(body) < 20:
        return None
    slips: list[tuple[str, Callable[[str, str], bool]]] = [
        ("with its letters in another case", lambda a, b: a.lower() == b.lower()),
        ("with something before or after it", lambda a, b: b in a),
        ("cut off", lambda a, b: b.startswith(a) or b.endswith(a)),
        ("with one or two characters wrong", lambda a, b: _distance(a, b, 2) <= 2),
        ("with its hex digits wrong in one or two places", lambda a, b: _distance(a.lower(), _as_hex(b), 2) <= 2),
    ]
    for how, slipped in slips:
        for pin, certificate in known.items():
            if slipped(body, pin.base64.rstrip("=")):
                whose = (
                    "a key in the inventory"
                    if certificate is None
                    else text(certificate.subject or "an unnamed one", 100)
                )
                return Explanation("corrupt-pin", f"the pin of {whose} {how}", certificate, pin)
    return None


def _as_hex(value: str) -> str:
    return base64.b64decode(value + "=" * (-len(value) % 4)).hex()


def _distance(one: str, two: str, most: int) -> int:
    """Levenshtein's distance, or more than `most` as soon as it is certain to be more."""
    if abs(len(one) - len(two)) > most:
        return most + 1
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        row, above = [i], row
        for j, b in enumerate(two, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
        if min(row) > most:
            return most + 1
    return row[-1]
