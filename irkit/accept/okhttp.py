"""OkHttp's CertificatePinner, on Android and on a JVM.

Sources: `CertificatePinner` and `BasicCertificateChainCleaner` of OkHttp 3.13.1, run against in the tests, and of 4.12,
read. Patterns are checked, and `**.` is known, from 4.3.0 on.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote

from irkit.accept.android import refused_pin
from irkit.accept.value import Acceptance, Path, Question, across, judge_pins, let_through, no, on_paths
from irkit.certificate import Certificate
from irkit.pins.release import HostRule
from irkit.render import text
from irkit.trust import issuers

__all__ = ["okhttp"]

_CHECKED = (4, 3)  # the first version that checks patterns
_SIGNERS = 9


def okhttp(question: Question) -> Acceptance:
    """Any certificate of the cleaned chain, against the pins of every pattern that matches."""
    if refused := refused_pin(question):
        return no("config-rejected", f"CertificatePinner throws when it is built: {refused}")
    version = re.search(r"(\d+)\.(\d+)", question.release.library)
    if version:
        return _judged(question, checked=(int(version[1]), int(version[2])) >= _CHECKED)
    new, old = _judged(question, checked=True), _judged(question, checked=False)
    if new.answer == old.answer:
        return new
    return replace(across([("OkHttp 4.3.0 and newer", new), ("older", old)], "version"), answer="unknown")


def _judged(question: Question, *, checked: bool) -> Acceptance:
    rules: list[HostRule] = []
    for candidate in question.release.rules:
        if candidate.pattern == "*":
            rules.append(candidate)
            continue
        try:
            matches = (_checked_pattern if checked else _unchecked_pattern)(candidate.pattern)
        except ValueError as error:
            reason = f"CertificatePinner throws on the pattern {text(candidate.pattern, 80)}: {error}"
            return no("config-rejected", reason, candidate)
        if matches(question.host):
            rules.append(candidate)
    verification = question.verify(expired_roots=True)
    entries = tuple(entry for rule in rules for entry in rule.pins)
    rule = rules[0] if rules else None
    if not entries:
        reason = f"no pattern covers {text(question.host, 80)}"
        return let_through(question, verification, "no-rule", reason, rule)

    def deciding(judged: Acceptance) -> Acceptance:
        by = next((r for r in rules if any(e.pin is not None and e.pin == judged.pin for e in r.pins)), rule)
        return replace(judged, rule=by)

    def judge(path: Path) -> Acceptance:
        android = deciding(judge_pins(path, entries, rule, java=True))
        if question.trust is None or not verification.ok:
            return android
        cleaned = clean(question.chain, question)
        jvm = (
            deciding(judge_pins(cleaned, entries, rule, java=True))
            if cleaned
            else no("trust", "no cleaned chain", rule)
        )
        return android if android.answer == jvm.answer else across([("Android", android), ("JVM", jvm)], "path")

    return on_paths(question, verification, judge)


def clean(chain: Path, question: Question) -> Path:
    """The chain as `BasicCertificateChainCleaner` makes it; empty where it throws.

    The first anchor by subject and signature, else the first presented certificate that signed the last; no way back.
    """
    if question.trust is None or not chain:
        return ()
    queue, result, anchored = list(chain[1:]), [chain[0]], False
    for _ in range(_SIGNERS):
        last = result[-1]
        trusted = next(issuers(last, question.trust.roots), None)
        if trusted is not None:
            if len(result) > 1 or last != trusted:
                result.append(trusted)
            if next(issuers(trusted, (trusted,)), None) is not None:
                return tuple(result)
            anchored = True
            continue
        signer: Certificate | None = next(issuers(last, queue), None)
        if signer is None:
            return tuple(result) if anchored else ()
        queue.remove(signer)
        result.append(signer)
    return ()


_Matches = Callable[[str], bool]


def _checked_pattern(pattern: str) -> _Matches:
    """Patterns from 4.3.0 on: a name, `*.` for exactly one label, `**.` for any number, none included."""
    stars = pattern.rfind("*")
    if stars != -1 and not (pattern.startswith("*.") and stars == 0) and not (pattern.startswith("**.") and stars == 1):
        raise ValueError("a * may stand only as *. or **. at its beginning")
    host = _canonical(pattern)
    if host.startswith("**."):
        rest = host[3:]
        return lambda name: name == rest or name.endswith("." + rest)
    if host.startswith("*."):
        return lambda name: name.endswith(host[1:]) and "." not in name[: len(name) - len(host) + 1]
    return lambda name: name == host


def _unchecked_pattern(pattern: str) -> _Matches:
    """Patterns before 4.3.0: what stands in a URL's host, and `*.`. Anything odd is taken and matches no host."""
    wildcard = pattern.startswith("*.")
    host = _url_host(pattern.removeprefix("*.") if wildcard else pattern)
    if wildcard:
        return lambda name: name.partition(".")[2] == host if "." in name else name == host
    return lambda name: name == host


def _url_host(value: str) -> str:
    """The host that `HttpUrl.get("http://" + value)` has; ValueError where it throws."""
    rest = value.rstrip("\t\n\f\r ").lstrip("/\\")
    authority = re.split(r"[/\\?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    match = re.fullmatch(r"(\[[^\]]*\]?|[^:]*)(?::(.*))?", authority, re.DOTALL)
    if match is None:
        raise ValueError("it is not a host")
    port = match[2]
    if port and not (re.fullmatch(r"[0-9]+", port) and 0 < int(port) <= 65535):
        raise ValueError("its port is not a port")
    return _canonical(unquote(match[1], errors="replace"))


def _canonical(host: str) -> str:
    """A host as OkHttp's `toCanonicalHost` writes it; ValueError where it gives up."""
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host[1:-1] if host.startswith("[") and host.endswith("]") else host))
        except ValueError:
            raise ValueError("it holds a colon") from None
    try:
        # IDNA 2003, as java.net.IDN has it; a label of ASCII stays as it is.
        labels = [
            part if part.isascii() else part.encode("idna").decode() for part in re.split("[.\u3002\uff0e\uff61]", host)
        ]
    except UnicodeError:
        raise ValueError("it is not a host name") from None
    found = ".".join(labels).lower()
    if not found or re.search(r"[\x00-\x20\x7f-\uffff#%/:?@\[\\\]]", found):
        raise ValueError("it is not a host name")
    if found != "." and any(not label or len(label) > 63 for label in found.removesuffix(".").split(".")):
        raise ValueError("a label of it is empty or too long")
    return found
