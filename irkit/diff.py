"""What changed between two chains, or which pin of a release matches which certificate: by key, not by certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from irkit import render
from irkit.accept.value import matches
from irkit.certificate import Certificate, Pin
from irkit.chain import Chain
from irkit.pins.release import ConfiguredPin, Release
from irkit.render import text
from irkit.trust import linked_path

__all__ = ["Change", "Diff", "Row", "diff"]

Change = Literal["same", "renewed", "moved", "gone", "new", "pinned", "not pinned", "off the path", "matches nothing"]


@dataclass(frozen=True, slots=True)
class Row:
    """One key, or one pin.

    Attributes:
        change: Of two chains: `same` (certificate and position), `renewed` (another certificate with the same key),
            `moved` (another position), `gone`, `new`. Of a chain and a release: `pinned`, `not pinned`, `off the path`
            (presented and pinned, but not signed into the path: it counts for nothing), `matches nothing`.
        before, after: Positions in the first and the second; with a release, `after` is the number of the pin in the
            release, from 0. None where there is none.
        certificate: The certificate, the newer of two; None for a pin that matches none.
        pin: Its pin; None where it has none.
        pinned: The configured pin; None without a release, or where none matches.
        host: The pattern that the configured pin belongs to.
    """

    change: Change
    before: int | None
    after: int | None
    certificate: Certificate | None
    pin: Pin | None
    pinned: ConfiguredPin | None = None
    host: str = ""

    def cells(self) -> tuple[object, ...]:
        """What the table shows."""
        subject = "" if self.certificate is None else self.certificate.subject or "unreadable"
        written = self.pinned.text if self.pinned is not None else self.pin or "none"
        where = [part for part in (self.host, self.pinned.where if self.pinned is not None else "") if part]
        at = ["" if i is None else i for i in (self.before, self.after)]
        return self.change, *at, subject, written, ", ".join(where)


@dataclass(frozen=True, slots=True, repr=False)
class Diff:
    """The rows, and in sentences what follows from them.

    Attributes:
        title: What was compared.
        rows: In the order of the first chain, then what only the second has.
        says: Sentences: whether the leaf key, the issuing key or the root changed; what is pinned and what is not.
    """

    title: str
    rows: tuple[Row, ...]
    says: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing changed, or every pin matches."""
        return all(row.change in ("same", "pinned", "not pinned") for row in self.rows)

    def _header(self) -> tuple[str, str, str, str, str, str]:
        second = "pin no." if any(row.pinned is not None for row in self.rows) else "second"
        return "", "first", second, "subject", "pin", "where"

    def __repr__(self) -> str:
        table = render.text_table(self._header(), [row.cells() for row in self.rows])
        return "\n".join((text(self.title), table, *(text(line, 400) for line in self.says)))

    def _repr_html_(self) -> str:
        table = render.table(self._header(), [row.cells() for row in self.rows], self.title)
        return render.fragment(table, render.table(("in words",), [(line,) for line in self.says]))


def diff(chain: Chain | Sequence[Certificate], other: Chain | Sequence[Certificate] | Release) -> Diff:
    """Compares a chain with a later one, or with the pins of a release.

    Keys count, not certificates: a renewal with the same key changes no pin. Positions are the presented lists'.

    Args:
        chain: The earlier chain; with a release, the chain that it is to accept.
        other: The later chain, or the release.
    """
    certificates = tuple(chain)
    if isinstance(other, Release):
        return _against_pins(certificates, other)
    return _between(certificates, tuple(other))


def _between(first: tuple[Certificate, ...], second: tuple[Certificate, ...]) -> Diff:
    left = list(range(len(second)))
    rows = []
    for i, certificate in enumerate(first):
        # The same position first: a key that is listed twice stays where it is.
        twins = [j for j in left if _same_key(certificate, second[j])]
        j = i if i in twins else next(iter(twins), None)
        if j is None:
            rows.append(Row("gone", i, None, certificate, certificate.pin))
            continue
        left.remove(j)
        change: Change = "moved" if i != j else "same" if second[j] == certificate else "renewed"
        rows.append(Row(change, i, j, second[j], certificate.pin))
    rows += [Row("new", None, j, second[j], second[j].pin) for j in left]
    return Diff("Two chains, by key", tuple(rows), tuple(_changes(first, second)))


def _same_key(one: Certificate, two: Certificate) -> bool:
    return one == two or (one.pin is not None and one.pin == two.pin)


def _changes(first: tuple[Certificate, ...], second: tuple[Certificate, ...]) -> list[str]:
    before, after = linked_path(first), linked_path(second)
    if not before or not after:
        return ["a chain is empty"]
    if _same_key(before[0], after[0]):
        renewed = "" if before[0] == after[0] else "; its certificate is another one"
        says = [f"the leaf key is the same{renewed}"]
    else:
        says = [f"the leaf key changed from {before[0].pin or 'none'} to {after[0].pin or 'none'}"]
    if len(before) > 1 and len(after) > 1:
        changed = not _same_key(before[1], after[1])
        names = f"{_called(before[1])} to {_called(after[1])}"
        says.append(f"the issuing key changed: {names}" if changed else "the issuing key is the same")
    elif before[0].issuer != after[0].issuer:
        says.append(f"the issuer's name changed from {text(before[0].issuer, 80)} to {text(after[0].issuer, 80)}")
    tops = (before[-1].issuer, after[-1].issuer)
    if tops[0] != tops[1]:
        says.append(f"the chain ends at another root: {text(tops[0], 80)}, now {text(tops[1], 80)}")
    else:
        says.append(f"both lead to {text(tops[0], 80)}")
    for name, path, given in (("first", before, first), ("second", after, second)):
        strangers = len(set(given) - set(path))
        if strangers:
            says.append(f"{strangers} certificates of the {name} chain are on no path from its leaf")
    return says


def _against_pins(chain: tuple[Certificate, ...], release: Release) -> Diff:
    path = linked_path(chain)
    java = release.platform in ("android", "okhttp", "trustkit-android", "trustkit-ios")
    entries = [(rule.pattern, entry) for rule in release.rules for entry in rule.pins]
    rows, hit = [], set()
    for i, certificate in enumerate(chain):
        found = [n for n, (_, entry) in enumerate(entries) if matches(entry, certificate, java=java)]
        hit.update(found)
        change: Change = "pinned" if certificate in path else "off the path"
        rows += [Row(change, i, n, certificate, certificate.pin, entries[n][1], entries[n][0]) for n in found]
        if not found:
            rows.append(Row("not pinned", i, None, certificate, certificate.pin))
    missed = [(n, *entry) for n, entry in enumerate(entries) if n not in hit]
    rows += [Row("matches nothing", None, n, None, entry.pin, entry, host) for n, host, entry in missed]
    counted = sum(row.change == "pinned" for row in rows)
    says = [
        f"{counted} of {len(entries)} pins match a certificate of the chain" if entries else "the release has no pins"
    ]
    if any(row.change == "off the path" for row in rows):
        says.append("a pinned certificate was presented that did not sign the chain: no client counts it")
    says += [f"{text(entry.text, 80)}: {text(entry.problem)}" for _, _, entry in missed if entry.problem][:6]
    return Diff(f"The chain and the pins of {release.name}", tuple(rows), tuple(says))


def _called(certificate: Certificate) -> str:
    return text(certificate.subject or "without a readable name", 80)
