"""The pin decision for OkHttp 3.13.1, Java's keys and Android's dates, against the real implementations in one JVM."""

from __future__ import annotations

import base64
import hashlib
import itertools
import random
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from forge import EPOCH, Identity, cross_sign, make_key, root

from irkit.accept import accepts
from irkit.accept.okhttp import clean
from irkit.accept.value import Question
from irkit.certificate import Certificate
from irkit.pins.grammar import android_expiry, literal, read_pin
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.spki import with_null
from irkit.trust import TrustStore

HERE = Path(__file__).parent
JARS = [Path("/usr/share/java") / name for name in ("okhttp-3.13.1.jar", "okio-1.16.0.jar")]  # Debian's libokhttp-java

HOSTS = [
    "api.example.com",
    "example.com",
    "a.b.example.com",
    "badexample.com",
    "localhost",
    "xn--bcher-kva.example",
    "192.0.2.7",
]
PATTERNS = [
    "api.example.com",
    "API.Example.COM",
    "example.com",
    "*.example.com",
    "*.Example.Com",
    "**.example.com",
    "*.com",
    "*",
    "*.",
    "**.",
    "***.example.com",
    "a.*.example.com",
    "*.*.example.com",
    "https://api.example.com",
    "api.example.com:443",
    "api.example.com:99999",
    "api.example.com:x",
    "api.example.com:",
    "api.example.com/path",
    "api.example.com?q",
    "api.example.com#f",
    "user@api.example.com",
    "user:pw@api.example.com",
    "//api.example.com",
    "\\api.example.com",
    "api.example.com ",
    " api.example.com",
    "api .example.com",
    "api.example.com\n",
    "api%2eexample.com",
    "%61pi.example.com",
    "%zz.example.com",
    "api%20.example.com",
    "api.example.com.",
    ".example.com",
    "api..example.com",
    "",
    ".",
    "-x.example",
    "b\u00fccher.example",
    "B\u00dcCHER.example",
    "xn--bcher-kva.example",
    "api\u3002example.com",
    "192.0.2.7",
    "[::1]",
    "::1",
    "local host",
    "localhost",
    "*.localhost",
    "x" * 64 + ".example",
    "api.example.com;x",
    "api_x.example.com",
    "api.example.com\t",
    "\u200bapi.example.com",
    "stra\u00dfe.example",
    "*.b\u00fccher.example",
    "@",
    ":",
    "/",
    "a@b@example.com",
]

ROOT = root("Java Root", key=make_key("rsa"))
CA = ROOT.issue(cn="Java CA", ca=True)
LEAF = CA.issue("api.example.com")
CHAIN = (*LEAF.chain, ROOT.certificate)


def pins_of(certificate: Certificate) -> list[str]:
    """A key's pin as people write it."""
    spki = certificate.spki or b""
    sha256, sha1 = hashlib.sha256(spki).digest(), hashlib.sha1(spki, usedforsecurity=False).digest()
    right = base64.b64encode(sha256).decode()
    return [
        f"sha256/{right}",
        f"sha256/{base64.urlsafe_b64encode(sha256).decode()}",
        f"sha256/{right.rstrip('=')}",
        f"sha256/{right}\n",
        f"sha256/ {right}",
        f"sha256/{right[:20]}\r\n {right[20:]}",
        f"sha256/{right}====",
        f"sha1/{base64.b64encode(sha1).decode()}",
        f"sha1/{base64.b64encode(sha1).decode().rstrip('=')}",
        f"sha1/{right}",
        f"sha256/{base64.b64encode(sha1).decode()}",
        f"SHA256/{right}",
        f"sha256//{right}",
        f"sha256/{sha256.hex()}",
        f" sha256/{right}",
        f"sha-256/{right}",
        right,
        f"sha256={right}",
        f"sha256/{base64.b64encode(spki).decode()}",
        f"sha256/{right[:-2]}",
        f"sha256/{right[:40]}",
    ]


ODD_PINS = [
    "sha256/",
    "sha1/",
    "sha256/=",
    "sha256/A",
    "sha256/AA",
    "sha256/!!!!",
    "sha256/REPLACE_WITH_BASE64_PIN",
    "sha256/AAAA=AAA",
    "sha256/" + "A" * 43 + "=",
    "md5/AAAA",
    "",
    "sha512/" + "A" * 86,
    "sha256/\u00e9",
    "sha256/" + "A" * 45,
]

PinCase = tuple[str, list[tuple[str, str]], tuple[Certificate, ...]]


def pin_cases() -> list[PinCase]:
    right = pins_of(LEAF.certificate)[0]
    found: list[PinCase] = [(host, [(pattern, right)], CHAIN) for host in HOSTS for pattern in PATTERNS]
    for certificate in CHAIN:
        found += [(HOSTS[0], [(HOSTS[0], pin)], CHAIN) for pin in pins_of(certificate)]
    found += [(HOSTS[0], [(HOSTS[0], pin)], CHAIN) for pin in ODD_PINS]
    found += [(HOSTS[0], [(HOSTS[0], pin)], CHAIN[:n]) for n in (1, 2) for c in CHAIN for pin in pins_of(c)[:1]]
    # Several patterns and pins at once: their union counts.
    draw = random.Random(3131)
    pins = [*pins_of(LEAF.certificate)[:3], *pins_of(CA.certificate)[:1], *pins_of(Identity(*other()).certificate)[:2]]
    good = [p for p in PATTERNS if p and p[0] not in "%.@:/*[" and " " not in p and p.isascii() and len(p) < 40]
    for _ in range(150):
        several = [(draw.choice(good + ["*.example.com"] * 5), draw.choice(pins)) for _ in range(draw.randint(2, 4))]
        found.append((draw.choice(HOSTS[:3]), several, CHAIN[: draw.randint(1, 3)]))
    return found


def other() -> tuple[object, object]:
    stranger = root("Stranger").issue("api.example.com")
    return stranger.x509, stranger.key


def clean_cases() -> list[tuple[tuple[Certificate, ...], tuple[Certificate, ...]]]:
    """(roots, presented): every order of what a server may send, cross-signs, strangers, missing parts."""
    old = root("Java Old Root")
    bridge = cross_sign(ROOT, old)
    evil = root("Java Root").issue(cn="Java CA", ca=True).issue("api.example.com")
    leaf, ca, top = CHAIN
    parts = [ca, top, bridge, evil.certificate]
    stores = [
        (top,),
        (old.certificate,),
        (top, old.certificate),
        (old.certificate, top),
        (ca,),
        (leaf,),
        (ca, top),
        (evil.certificate,),
    ]
    presented = [
        (first, *rest)
        for first in (leaf, evil.certificate, top)
        for n in range(4)
        for rest in itertools.permutations(parts, n)
    ]
    ladder = [root("Step 0")]
    for i in range(1, 13):
        ladder.append(ladder[-1].issue(cn=f"Step {i}", ca=True))
    steps = [step.certificate for step in ladder]
    long = [((steps[0],), tuple(reversed(steps[: n + 1]))) for n in range(6, 13)]
    return [(store, chain) for store in stores for chain in presented if len(set(chain)) == len(chain)] + long


DATES = [
    "2026-11-23",
    "2026-1-1",
    "26-11-23",
    "2026-11-23T10:00:00Z",
    "2026/11/23",
    "20261123",
    "2026-13-01",
    "2026-02-30",
    "2028-02-29",
    "2026-00-10",
    "2026-11-00",
    " 2026-11-23",
    "2026- 11-23",
    "2026 -11-23",
    "",
    "soon",
    "2026-11",
    "2026-11-",
    "+2026-11-23",
    "12026-11-23",
    "2026-11-23x",
    "2026-011-023",
    "\t2026-11-23",
    "0-01-01",
    "1969-12-31",
    "2026-11-23 ",
    "\u0662\u0660\u0662\u0666-11-23",
]
ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"]


@pytest.fixture(scope="module")
def java(tool: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], list[str]]:
    """Runs cases through the real implementations; see tests/java/Pinning.java for their form."""
    javac, machine = tool("javac"), tool("java")
    for jar in JARS:
        tool(str(jar))
    classes = tmp_path_factory.mktemp("java")
    path = ":".join(map(str, (*JARS, classes)))
    subprocess.run([javac, "-d", classes, "-cp", path, HERE / "java" / "Pinning.java"], check=True)

    def run(cases: list[str]) -> list[str]:
        done = subprocess.run(
            [machine, "-cp", path, "Pinning"], input="\n".join(cases), capture_output=True, text=True, check=True
        )
        answers = done.stdout.removesuffix("\n").split("\n")
        assert len(answers) == len(cases), done.stderr
        return answers

    return run


def b64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def ders(certificates: tuple[Certificate, ...]) -> str:
    return ",".join(b64(certificate.der) for certificate in certificates)


def ours(case: PinCase) -> str:
    host, pins, chain = case
    rules = tuple(HostRule(literal(pattern), pins=(read_pin(pin, "okhttp")[0],)) for pattern, pin in pins)
    found = accepts(Release("okhttp", rules, library="okhttp 3.13.1"), chain, host=host)
    return "rejected" if found.why == "config-rejected" else found.answer


def test_at_least_500_decisions_are_okhttp_s_own(java: Callable[[list[str]], list[str]]) -> None:
    cases = pin_cases()
    assert len(cases) >= 500
    lines = [
        "\t".join(("pin", b64(host), ",".join(b64(t) for pair in pins for t in pair), ders(chain)))
        for host, pins, chain in cases
    ]
    answers = java(lines)
    assert {"yes", "no", "unpinned", "rejected"} == set(answers)
    wrong = [
        (case[:2], theirs, ours(case)) for case, theirs in zip(cases, answers, strict=True) if ours(case) != theirs
    ]
    assert wrong == []


def test_the_cleaned_chain_is_okhttp_s_own(java: Callable[[list[str]], list[str]]) -> None:
    cases = clean_cases()
    answers = java(["\t".join(("clean", "", ders(roots), ders(chain))) for roots, chain in cases])
    wrong = []
    for (roots, chain), theirs in zip(cases, answers, strict=True):
        question = Question(Release("okhttp", ()), chain, "", None, TrustStore("own", roots), None, ())
        found = clean(question)
        if ders(found) != theirs:
            wrong.append(
                ([c.subject for c in roots], [c.subject for c in chain], [c.subject for c in found], theirs[:40])
            )
    assert wrong == []
    assert sum(bool(theirs) for theirs in answers) > 100


def test_dates_are_read_as_simple_date_format_reads_them(java: Callable[[list[str]], list[str]]) -> None:
    cases = [(zone, date) for zone in ZONES for date in DATES]
    answers = java(["\t".join(("date", zone, b64(date), "")) for zone, date in cases])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for (zone, written), theirs in zip(cases, answers, strict=True):
        day = android_expiry(written)
        assert (day is None) == (theirs == "error"), (written, theirs)
        if day is not None and 1970 <= day.year < 9999:
            end = epoch + timedelta(milliseconds=int(theirs))
            pins = HostRule(
                "example.com",
                pins=(ConfiguredPin("x", read_pin("sha256/" + "B" * 43 + "=", "okhttp")[0].pin),),
                expires=written,
            )
            for at, wanted in ((end, "no"), (end + timedelta(seconds=1), "unpinned")):
                found = accepts(Release("android", (pins,)), CHAIN, host="example.com", at=at, tz=ZoneInfo(zone))
                assert found.answer == wanted, (zone, written)


def test_keys_are_encoded_as_java_encodes_them(java: Callable[[list[str]], list[str]]) -> None:
    kinds = ["rsa", "ec", "ec384", "ed25519", "dsa"]
    certificates = [CA.issue("x.example", key=make_key(kind)).certificate for kind in kinds] + [without_null()]
    answers = java(["\t".join(("key", "", "", ders((certificate,)))) for certificate in certificates])
    for certificate, theirs in zip(certificates, answers, strict=True):
        assert b64(with_null(certificate.spki or b"")) == theirs
    assert without_null().spki != with_null(without_null().spki or b"")


def without_null() -> Certificate:
    """A certificate whose RSA key has no parameters; its signature no longer fits, which a reader doesn't check."""
    der = CA.issue("x.example", key=make_key("rsa"), not_before=EPOCH).certificate.der
    spki = Certificate(der).spki or b""
    short = spki.replace(bytes.fromhex("300d06092a864886f70d0101010500"), bytes.fromhex("300b06092a864886f70d010101"))
    body = der[4:].replace(spki, short[:2] + (len(short) - 4).to_bytes(2, "big") + short[4:])
    body = body[:2] + (int.from_bytes(body[2:4], "big") - 2).to_bytes(2, "big") + body[4:]
    return Certificate(der[:2] + len(body).to_bytes(2, "big") + body)
