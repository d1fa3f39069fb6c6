"""Trust stores, and the paths from a presented chain to their roots.

A presented list proves nothing by itself: anyone can append a genuine CA certificate. What counts is the path, each
certificate signed by the next. `cryptography.x509.verification` judges each path; finding all of them, in the order in
which devices try them, and saying in a responder's words why there is none, is done here. Pure: no clock, no network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from irkit import render
from irkit.certificate import Certificate, unwarned
from irkit.errors import InputError
from irkit.objections import DEPTH, Objection, Why, called, issued_by_cas, objection, outside_validity, weakly_signed
from irkit.signature import algorithm_of, relation
from irkit.truststore import TrustStore, load_trust, mozilla

__all__ = [
    "TrustStore",
    "Verification",
    "covers",
    "issued_by_cas",
    "issuers",
    "linked_path",
    "linked_paths",
    "load_trust",
    "mozilla",
    "verify",
]

CHECKS = 200  # signatures checked for one chain: a list of a thousand CAs of one name is an attack
PATHS = 16  # paths kept for one chain


@dataclass(frozen=True, slots=True, repr=False)
class Verification:
    """Whether a chain leads to a trust store, and how.

    Attributes:
        paths: Every valid path found, from the leaf to the anchor, in the order in which a device tries them.
        why: What is wrong when there is none, as a slug; empty where there is one.
        reason: The same in a sentence.
        certificate: The certificate at fault, None where it is none's.
        store: The trust store's name.
        also: What is wrong besides, a sentence each.
    """

    paths: tuple[tuple[Certificate, ...], ...]
    why: Why = ""
    reason: str = ""
    certificate: Certificate | None = None
    store: str = ""
    also: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is a valid path."""
        return bool(self.paths)

    def lines(self) -> list[str]:
        """The answer in lines for a terminal: each path from the leaf up, or each thing that is wrong."""
        if not self.ok:
            return [render.text(says, 500) for says in (self.reason, *self.also)]
        return [" < ".join(called(certificate) for certificate in path) for path in self.paths]

    def __repr__(self) -> str:
        head = "ok" if self.ok else self.why
        return "\n".join([f"Verification({head})", *(f"  {line}" for line in self.lines())])

    def _repr_html_(self) -> str:
        if not self.ok:
            return render.table(("no path", "reason"), [(self.why, says) for says in self.lines()], self.store)
        rows = [(i, depth, called(c)) for i, path in enumerate(self.paths) for depth, c in enumerate(path)]
        return render.table(("path", "", "subject"), rows, f"Paths to {self.store}")


def verify(
    chain: Sequence[Certificate],
    store: TrustStore,
    *,
    at: datetime,
    host: str | None = None,
    extra: Iterable[Certificate] = (),
    expired_roots: bool = False,
) -> Verification:
    """All valid paths from the first certificate of a chain to a trust store.

    Server certificates only: the leaf must allow server authentication where it restricts its use at all.

    Args:
        chain: As presented: the leaf first, the rest in any order, strangers included.
        store: The roots to reach.
        at: When, aware.
        host: The name or IP address that the leaf must be for; None to leave names unchecked.
        extra: Certificates that a device may know besides, such as cached intermediates.
        expired_roots: Accept a root past its end, as Android does.

    Raises:
        InputError: `at` is naive.
    """
    if at.tzinfo is None:
        raise InputError(f"the time {at} has no time zone", "give an aware datetime, as datetime(…, tzinfo=UTC)")
    return _verify(tuple(chain), store, at, host, tuple(extra), expired_roots)


@lru_cache(maxsize=4096)
@unwarned()
def _verify(  # noqa: PLR0917 - the cache's key
    chain: tuple[Certificate, ...],
    store: TrustStore,
    at: datetime,
    host: str | None,
    extra: tuple[Certificate, ...],
    expired_roots: bool,
) -> Verification:
    if not chain:
        return Verification((), "empty", "no certificate was presented", None, store.name)
    if chain[0].x509 is None:
        return Verification((), "unreadable", f"the leaf {chain[0].problems[0]}", chain[0], store.name)
    search = _Search(chain[1:], store, extra)
    found = list(search.paths((chain[0],)))
    verdicts = [(path, objection(path, at, expired_roots=expired_roots)) for path in found]
    valid = tuple(path for path, refusal in verdicts if refusal is None)
    against: list[Objection] = [] if valid else [refusal for _, refusal in verdicts if refusal is not None]
    if not found:
        against.append(_dead_end(search, chain, store))
        against += [one for one in [outside_validity(chain[0], at)] if one is not None]
    if host is not None and not covers(chain[0], host):
        names = ", ".join(render.text(name, 80) for name in chain[0].dns_names[:5]) or "no name at all"
        says = f"the certificate is for {names}, not for {render.text(host, 80)}"
        against.append(("name", says, chain[0]))
    if against:
        also = tuple(dict.fromkeys(says for _, says, _ in against[1:] if says != against[0][1]))
        return Verification((), *against[0], store.name, also)
    return Verification(valid, store=store.name)


def linked_paths(certificates: Sequence[Certificate]) -> tuple[tuple[Certificate, ...], ...]:
    """The paths within a list as it was given: from its first certificate up, each signed by the next.

    A certificate that signed nothing on the way is on no path, however genuine it is. Nothing else is checked: no root,
    no date, no name. An empty list has no path.
    """
    return _linked_paths(tuple(certificates))


def linked_path(certificates: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The first of `linked_paths`: the chain as given, less what does not belong to it."""
    paths = linked_paths(certificates)
    return paths[0] if paths else ()


@lru_cache(maxsize=4096)
def _linked_paths(chain: tuple[Certificate, ...]) -> tuple[tuple[Certificate, ...], ...]:
    return tuple(_Search(chain[1:], None, ()).paths((chain[0],))) if chain else ()


def covers(certificate: Certificate, host: str) -> bool:
    """Whether a certificate's subjectAltName has this host (RFC 6125): `*.` stands for exactly one label."""
    wanted = host.rstrip(".").lower()
    try:
        address = ipaddress.ip_address(wanted.strip("[]"))
    except ValueError:
        pass
    else:
        return str(address) in certificate.dns_names
    try:
        wanted = wanted if wanted.isascii() else wanted.encode("idna").decode()
    except UnicodeError:
        return False
    parent = wanted.partition(".")[2]
    names = {name.rstrip(".").lower() for name in certificate.dns_names}
    return wanted in names or ("." in parent and f"*.{parent}" in names)


class _Search:
    """The search for paths, with the signature checks that it has left."""

    def __init__(
        self, presented: Iterable[Certificate], store: TrustStore | None, extra: Iterable[Certificate]
    ) -> None:
        self.store = store
        self.roots = {} if store is None else _by_subject(store)
        self.presented = tuple(dict.fromkeys(presented))
        self.extra = tuple(dict.fromkeys(extra))
        self.checks = CHECKS
        self.found = 0

    def paths(self, path: tuple[Certificate, ...]) -> Iterator[tuple[Certificate, ...]]:
        """Paths that continue this one, in Conscrypt's order: anchors first, then presented, then cached certificates.

        With a store they end at an anchor, without one where no certificate of the list signed the last. Once at an
        anchor, only anchors continue a path (`TrustManagerImpl.checkTrustedRecursive`).
        """
        current, more = path[-1], False
        anchored = current in self.roots.get(current.subject or "", ())
        if len(path) < DEPTH and not _self_signed(current):
            for issuer in self.issuers(current, anchors_only=anchored):
                # The same key under the same name again is a loop, whatever the serial number.
                if any(issuer.pin == c.pin and issuer.subject == c.subject for c in path):
                    continue
                more = True
                yield from self.paths((*path, issuer))
                if self.found >= PATHS:
                    return
        if anchored or (self.store is None and not more):
            self.found += 1
            yield path

    def issuers(self, certificate: Certificate, *, anchors_only: bool = False) -> Iterator[Certificate]:
        name = certificate.issuer
        if name is None:
            return
        pool = self.roots.get(name, ())
        if not anchors_only:
            pool = (*pool, *(c for c in (*self.presented, *self.extra) if c.subject == name))
        for candidate in dict.fromkeys(pool):
            if self.checks <= 0:
                return
            self.checks -= 1
            if _signed(certificate.der, candidate.der):
                yield candidate


def issuers(certificate: Certificate, candidates: Iterable[Certificate]) -> Iterator[Certificate]:
    """Those of some certificates that signed this one, in their order: name and signature fit, nothing more."""
    name = certificate.issuer
    return (c for c in candidates if name is not None and c.subject == name and _signed(certificate.der, c.der))


@lru_cache(maxsize=16384)
def _signed(der: bytes, issuer_der: bytes) -> bool:
    """Whether the second certificate's key signed the first."""
    child, issuer = Certificate(der).x509, Certificate(issuer_der).x509
    if child is None or issuer is None:
        return False
    try:
        child.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - a signature or key of any odd kind raises its own; it proves nothing
        return False
    return True


def _self_signed(certificate: Certificate) -> bool:
    return certificate.self_issued and _signed(certificate.der, certificate.der)


@lru_cache(maxsize=64)
def _by_subject(store: TrustStore) -> dict[str, tuple[Certificate, ...]]:
    """Roots by subject, in the order in which Conscrypt prefers them: self-issued, EC, larger key, later notAfter."""

    def preference(root: Certificate) -> tuple[bool, bool, int, float]:
        kind, _, size = root.key.partition(" ")
        bits = int(size) if size.isdigit() else 0
        return (not root.self_issued, kind != "EC", -bits, -(root.not_after.timestamp() if root.not_after else 0))

    index: dict[str, list[Certificate]] = {}
    for root in store.roots:
        if root.subject is not None:
            index.setdefault(root.subject, []).append(root)
    return {name: tuple(sorted(roots, key=preference)) for name, roots in index.items()}


def _dead_end(search: _Search, chain: tuple[Certificate, ...], store: TrustStore) -> Objection:
    """Why no path reaches the store: where the longest one ends."""
    if search.checks <= 0:
        return "too-many", f"more than {CHECKS} signatures would have to be checked: an odd chain", None
    pool = (*chain, *search.extra)
    last = max(_Search(pool[1:], None, ()).paths((chain[0],)), key=len)[-1]
    where = render.text(store.name) or "the trust store"
    if last.self_issued and relation(last, last) in {"signed", "weak"}:
        what = "is self-signed" if last == chain[0] else "is the chain's root"
        return "unknown-root", f"{called(last)} {what} and not in {where}", last
    name = last.issuer
    issuer = "an issuer without a readable name" if not name else render.text(name, 120)
    candidates = () if name is None else (*search.roots.get(name, ()), *pool)
    namesakes = [one for one in candidates if one.subject == name and one != last]
    relations = {relation(last, one): one for one in namesakes}
    if "weak" in relations:
        return weakly_signed(last)
    if "unknown" in relations:
        says = f"whether {issuer} signed {called(last)} can't be checked: the key is {relations['unknown'].key}, "
        return "unchecked", says + f"the signature {algorithm_of(last)}", last
    if namesakes:
        says = f"{called(last)} names {issuer} as its issuer, but no key of that name signed it"
        return "bad-signature", says, last
    if last.self_issued:
        return "bad-signature", f"{called(last)} names itself as its issuer and is not signed by its own key", last
    says = f"the issuer of {called(last)}, {issuer}, was not presented and is not in {where}"
    return "missing-issuer", says, last
