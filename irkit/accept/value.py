"""What is asked of a platform, what it answers, and the comparison of pins with the certificates of a path."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from functools import lru_cache
from typing import Literal

from irkit import render
from irkit.certificate import Certificate, Pin
from irkit.pins.release import ConfiguredPin, HostRule, Release
from irkit.render import text
from irkit.spki import with_null
from irkit.trust import TrustStore, Verification, issued_by_cas, linked_paths, verify

__all__ = [
    "Acceptance", "Answer", "Devices", "Path", "Position", "Question", "Why", "across", "find", "judge_pins",
    "let_through", "match", "matches", "mismatch", "no", "on_paths", "position", "unpinned",
]  # fmt: skip

Answer = Literal["yes", "no", "unpinned", "unknown", "on some devices"]
Why = Literal[
    "pin", "trust", "host", "config-rejected",
    "no-rule", "no-pins", "expired-config", "not-enforced", "excluded", "override", "private-root",
    "trust-store", "path", "time-zone", "version", "unconfirmed",
]  # fmt: skip
Path = tuple[Certificate, ...]
Position = Literal["leaf", "intermediate", "root"]
Devices = tuple[tuple[str, Answer], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Acceptance:
    """Whether a release accepts a chain, and what that rests on.

    Attributes:
        answer: `yes`: a pin matches. `no`: the connection fails. `unpinned`: no pin stands in its way. `on some
            devices`: it depends, see `devices`. `unknown`: what the platform does is not confirmed.
        why: What decided. For `yes` and `no`: `pin`, and for `no` also `trust` (no valid path), `host` (a certificate
            for other names), `config-rejected` (the app breaks on its own configuration). For `unpinned`: `no-rule` (no
            pattern covers the host), `no-pins`, `expired-config`, `not-enforced` (a mismatch is reported only),
            `excluded`, `override` (an anchor that skips pins), `private-root`, `config-rejected` (ignored as a whole).
            For the others: `trust-store`, `path`, `time-zone`, `version`, `override`, `unconfirmed`.
        reasons: Sentences, the deciding one first.
        certificate: The certificate that matched, or that is at fault; None where none decided.
        pin: The pin that decided; None where none did.
        rule: The host rule that applies; None where none does.
        path: The path that was judged, from the leaf to the anchor; empty where there is none.
        devices: The answers that differ, by trust store, version or time zone.
    """

    answer: Answer
    why: Why
    reasons: tuple[str, ...] = ()
    certificate: Certificate | None = None
    pin: Pin | None = None
    rule: HostRule | None = None
    path: Path = ()
    devices: Devices = ()

    @property
    def connects(self) -> bool:
        """Whether the connection goes through on every device."""
        return self.answer in ("yes", "unpinned")

    def instead(self, answer: Answer, why: Why, reason: str, devices: Devices = ()) -> Acceptance:
        """Another answer, for a reason that goes before the others."""
        return replace(self, answer=answer, why=why, reasons=(reason, *self.reasons), devices=devices or self.devices)

    def undated(self, day: date) -> Acceptance:
        """The answer where no time was given to hold an expiry against."""
        return replace(self, reasons=(*self.reasons, f"no time was given: the pins count as not expired on {day}"))

    def __repr__(self) -> str:
        return f"Acceptance({self.answer}, {self.why})" + "".join(f"\n  {text(line, 600)}" for line in self.reasons)

    def _repr_html_(self) -> str:
        rows = [("why", self.why), *(("reason", reason) for reason in self.reasons), *self.devices]
        return render.table((self.answer, ""), rows, "Would the release accept this chain?")


@dataclass(frozen=True, slots=True)
class Question:
    """One call of `accepts` for one trust store.

    Attributes:
        host: Lower case, in its ASCII form, without a trailing dot.
        at: When, aware; None if unknown.
        trust: None for the chain as given.
    """

    release: Release
    chain: Path
    host: str
    at: datetime | None
    trust: TrustStore | None
    tz: tzinfo | None
    cached: Path

    def verify(self, *, expired_roots: bool = False, check_host: bool = True) -> Verification:
        """The paths that the platform may build; without a trust store those within the chain as given."""
        if self.trust is None:
            paths = tuple(dict.fromkeys(issued_by_cas(path) for path in linked_paths(self.chain)))
            return Verification(paths) if paths else Verification((), "empty", "no certificate was presented")
        moment = self.at or (self.chain[0].not_before if self.chain else None)
        if moment is None:
            return Verification(
                (), "unreadable", "the chain is empty or its dates can't be read, and no time was given"
            )
        host = self.host if check_host else None
        return verify(self.chain, self.trust, at=moment, host=host, extra=self.cached, expired_roots=expired_roots)


def unpinned(why: Why, reason: str, rule: HostRule | None = None, path: Path = ()) -> Acceptance:
    """Nothing about pins stops the connection."""
    return Acceptance("unpinned", why, (reason,), rule=rule, path=path)


def no(why: Why, reason: str, rule: HostRule | None = None, path: Path = ()) -> Acceptance:
    """The connection fails."""
    return Acceptance("no", why, (reason,), rule=rule, path=path)


def on_paths(
    question: Question,
    verification: Verification,
    judge: Callable[[Path], Acceptance],
    *,
    any_path: bool = False,
) -> Acceptance:
    """Judges the path that a platform picks: the first valid one, or any that satisfies it.

    Without a trust store a device may pick any path within the chain, so that differing answers stay apart.
    """
    if not verification.ok:
        name = verification.why == "name"
        reason = f"the chain does not verify, whatever the pins: {verification.reason}"
        return Acceptance("no", "host" if name else "trust", (reason,), verification.certificate)
    answers = [judge(path) for path in verification.paths]
    if any_path:
        unsure = next((a for a in answers if a.answer == "unknown"), answers[0])
        return next((a for a in answers if a.connects), unsure)
    if question.trust is None and len(answers) > 1:
        return across([(f"path to {_called(a.path[-1])}" if a.path else "path", a) for a in answers], "path")
    return answers[0]


def let_through(
    question: Question, verification: Verification, why: Why, reason: str, rule: HostRule | None
) -> Acceptance:
    """Unpinned, unless the chain does not even verify."""
    return replace(on_paths(question, verification, lambda path: unpinned(why, reason, rule, path)), rule=rule)


def across(cases: Sequence[tuple[str, Acceptance]], why: Why) -> Acceptance:
    """One answer for several kinds of devices; where they differ, each is said."""
    devices = tuple((name, case.answer) for name, case in cases)
    answers = {answer for _, answer in devices}
    first = next((case for _, case in cases if case.answer == "yes"), cases[0][1])
    if len(answers) == 1 or answers <= {"yes", "unpinned"}:
        return replace(first, devices=devices)
    reasons = tuple(f"{name}: {case.answer}, {case.reasons[0] if case.reasons else case.why}" for name, case in cases)
    some = "no" in answers or "on some devices" in answers
    settled = answers - {"unknown"}
    answer: Answer = "on some devices" if some and len(settled) > 1 else "unknown"
    return replace(cases[0][1], answer=answer, why=why, reasons=reasons, certificate=None, pin=None, devices=devices)


_Digests = Mapping[tuple[str, str], bytes]


@lru_cache(maxsize=8192)
def _digests(der: bytes, java: bool) -> _Digests:
    spki = Certificate(der).spki
    hashed = {"certificate": der} if spki is None else {"certificate": der, "spki": with_null(spki) if java else spki}
    return {
        (of, algorithm): hashlib.new(algorithm, data, usedforsecurity=False).digest()
        for of, data in hashed.items()
        for algorithm in ("sha256", "sha1", "md5")
    }


def matches(entry: ConfiguredPin, certificate: Certificate, *, java: bool = False) -> bool:
    """Whether a pin is this certificate's; with `java` as `getPublicKey().getEncoded()` writes its key."""
    if entry.pin is None:
        return False
    return _digests(certificate.der, java).get((entry.of, entry.pin.algorithm)) == entry.pin.digest


def find(entries: Iterable[ConfiguredPin], path: Path, *, java: bool = False) -> tuple[ConfiguredPin, int] | None:
    """The first pin that matches a certificate at a position that its scope allows, with that position."""
    wanted = [entry for entry in entries if entry.pin is not None]
    for i, certificate in enumerate(path):
        digests = _digests(certificate.der, java)
        for entry in wanted:
            if (entry.scope == "leaf" and i) or (entry.scope == "ca" and not i) or entry.pin is None:
                continue
            if digests.get((entry.of, entry.pin.algorithm)) == entry.pin.digest:
                return entry, i
    return None


def judge_pins(
    path: Path, entries: Sequence[ConfiguredPin], rule: HostRule | None, *, java: bool = False
) -> Acceptance:
    """Yes where any pin matches a certificate of the path at a position that its scope allows; else no."""
    found = find(entries, path, java=java)
    if found is None:
        said = mismatch(path, entries)
        unread = next((entry for entry in entries if entry.unread), None)
        if unread is not None:
            reason = f"a pin that can't be compared may match: {text(unread.text, 80)} {text(unread.problem, 200)}"
            return Acceptance("unknown", "unconfirmed", (reason, *said), rule=rule, path=path)
        return Acceptance("no", "pin", said, rule=rule, path=path)
    entry, i = found
    return Acceptance("yes", "pin", (match(path, entry, i, rule),), path[i], entry.pin, rule, path)


def match(path: Path, entry: ConfiguredPin, i: int, rule: HostRule | None) -> str:
    """The sentence for a match."""
    what = "key" if entry.of == "spki" else "fingerprint"
    where = f" for {text(rule.pattern, 80)}" if rule is not None and rule.pattern else ""
    return f"the {position(path, i)} certificate {_called(path[i])} has the {what} pinned{where}: {entry.pin}"


def mismatch(path: Path, entries: Sequence[ConfiguredPin]) -> tuple[str, ...]:
    """The sentences for no match: what was seen, what is pinned, what can never match."""
    seen = ", ".join(f"{position(path, i)} {_called(c)} {c.pin or 'without a key'}" for i, c in enumerate(path[:6]))
    reasons = [f"no certificate on the path has a pinned key; the path is {seen}"]
    reasons += [
        f"the pin {text(entry.text, 80)} can never match: {text(entry.problem) or 'it is no hash of a key'}"
        for entry in entries[:6]
        if entry.pin is None and not entry.unread
    ]
    wrong = next((e for e in entries if e.scope != "any" and find([replace(e, scope="any")], path)), None)
    if wrong is not None:
        reasons.append(
            f"{wrong.pin} is on the path, but not where the platform looks for it: its list is {wrong.scope}"
        )
    if path and not path[-1].self_issued:
        reasons.append("the path as given ends below a root; a device may complete it with one that is pinned (trust=)")
    return tuple(reasons)


def position(path: Sequence[Certificate], i: int) -> Position:
    """Leaf, intermediate or root."""
    if i == 0:
        return "leaf"
    return "root" if i == len(path) - 1 and path[i].self_issued else "intermediate"


def _called(certificate: Certificate) -> str:
    return text(certificate.subject or "without a readable name", 80)
