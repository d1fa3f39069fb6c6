"""Trust stores, and the paths from a presented chain to their roots.

A presented list proves nothing by itself: anyone can append a genuine CA certificate. What counts is the path, each
certificate signed by the next. `cryptography.x509.verification` judges each path; finding all of them, in the order in
which devices try them, and saying in a responder's words why there is none, is done here. Pure: no clock, no network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from irkit import render
from irkit.certificate import Certificate
from irkit.errors import InputError
from irkit.truststore import TrustStore, load_trust, mozilla

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509.verification import ExtensionPolicy

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

DEPTH = 12  # certificates in a path, root included
CHECKS = 200  # signatures checked for one chain: a list of a thousand CAs of one name is an attack
PATHS = 16  # paths kept for one chain

Why = Literal[
    "", "empty", "unreadable", "expired", "not-yet-valid", "name", "unknown-root", "missing-issuer", "bad-signature",
    "not-a-ca", "policy", "too-many",
]  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Verification:
    """Whether a chain leads to a trust store, and how.

    Attributes:
        paths: Every valid path found, from the leaf to the anchor, in the order in which a device tries them.
        why: What is wrong when there is none, as a slug; empty where there is one.
        reason: The same in a sentence.
        certificate: The certificate at fault, None where it is none's.
        store: The trust store's name.
    """

    paths: tuple[tuple[Certificate, ...], ...]
    why: Why = ""
    reason: str = ""
    certificate: Certificate | None = None
    store: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is a valid path."""
        return bool(self.paths)

    def _rows(self) -> list[tuple[object, ...]]:
        return [(i, *(c.subject or "unreadable" for c in path)) for i, path in enumerate(self.paths)]

    def __repr__(self) -> str:
        if not self.ok:
            return f"Verification({self.why}: {render.text(self.reason, 500)})"
        paths = (" < ".join(render.text(c.subject or "unreadable", 80) for c in path) for path in self.paths)
        return "Verification(ok)\n" + "\n".join(f"  {path}" for path in paths)

    def _repr_html_(self) -> str:
        if not self.ok:
            return render.table(("no path", "reason"), [(self.why, self.reason)], self.store)
        rows = [
            (i, depth, c.subject or "unreadable") for i, path in enumerate(self.paths) for depth, c in enumerate(path)
        ]
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
    verdicts = [(path, _refusal(path, at, expired_roots)) for path in found]
    valid = tuple(path for path, refusal in verdicts if refusal is None)
    if not valid:
        why = next((refusal for _, refusal in verdicts if refusal is not None), None) or _dead_end(search, chain, store)
        return Verification((), *why, store.name)
    if host is not None and not covers(chain[0], host):
        names = ", ".join(render.text(name, 80) for name in chain[0].dns_names[:5]) or "no name at all"
        says = f"the certificate is for {names}, not for {render.text(host, 80)}"
        return Verification((), "name", says, chain[0], store.name)
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


_Refusal = tuple[Why, str, Certificate | None]


def _refusal(path: tuple[Certificate, ...], at: datetime, expired_roots: bool) -> _Refusal | None:
    """Why a path whose signatures hold is not valid; None where it is."""
    for i, certificate in enumerate(path):
        if expired_roots and i == len(path) - 1 and i > 0:
            continue
        if outside := _outside_validity(certificate, at):
            return outside
    for certificate in path[1:]:
        if certificate.is_ca is False and not (certificate is path[-1] and _says_nothing_of_ca(certificate)):
            says = f"{_called(certificate)} signed another certificate and is not a CA"
            return "not-a-ca", says, certificate
    problem = _judge(path, at)
    if (
        problem is not None
        and not _constrains(path[-1])
        and _judge(path[-2:], at) is not None
        and _judge(path[-2:-1] or path, at) is None
    ):
        # The root itself is past its end, or not to the verifier's taste (Certum's writes its dates in an odd form): an
        # anchor is a name and a key (RFC 5280, section 6.1.1), so what it signed takes its place.
        problem = _judge(path[:-1], at)
    return None if problem is None else ("policy", problem, path[0])


def _constrains(root: Certificate) -> bool:
    """Whether a root limits the names below it."""
    from cryptography import x509

    return root.x509 is not None and any(e.oid == x509.NameConstraints.oid for e in root.x509.extensions)


def issued_by_cas(path: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    """A path up to the first issuer that is no CA: the owner of any certificate can sign with its key."""
    for i, certificate in enumerate(path[1:], 1):
        if certificate.is_ca is False and not (
            i == len(path) - 1 and certificate.self_issued and _says_nothing_of_ca(certificate)
        ):
            return path[:i]
    return path


def _says_nothing_of_ca(certificate: Certificate) -> bool:
    """Whether basicConstraints is absent, as in roots from before RFC 3280: an anchor needs none."""
    from cryptography import x509

    try:
        return certificate.x509 is None or not certificate.x509.extensions.get_extension_for_class(
            x509.BasicConstraints
        )
    except x509.ExtensionNotFound:
        return True


def _outside_validity(certificate: Certificate, at: datetime) -> _Refusal | None:
    if certificate.not_after is not None and at > certificate.not_after:
        return "expired", f"{_called(certificate)} expired at {_time(certificate.not_after)}", certificate
    if certificate.not_before is not None and at < certificate.not_before:
        return (
            "not-yet-valid",
            f"{_called(certificate)} is not valid before {_time(certificate.not_before)}",
            certificate,
        )
    return None


def _judge(path: tuple[Certificate, ...], at: datetime) -> str | None:
    """The objection of cryptography's verifier to a path, or None; its profile is relaxed to what private CAs issue."""
    from cryptography.x509 import verification

    certificates = [certificate.x509 for certificate in path]
    if any(certificate is None for certificate in certificates):
        return "a certificate on the path does not parse"
    leaf, *above = (certificate for certificate in certificates if certificate is not None)
    ca, ee = _policies()
    builder = (
        verification.PolicyBuilder().time(at).max_chain_depth(DEPTH).extension_policies(ca_policy=ca, ee_policy=ee)
    )
    try:
        builder.store(verification.Store([above[-1] if above else leaf])).build_client_verifier().verify(
            leaf, above[:-1]
        )
    except Exception as error:  # noqa: BLE001 - VerificationError, and whatever lazy parsing raises
        return "the path is refused: " + render.text(error, 200).removeprefix("validation failed: ")
    return None


@lru_cache(maxsize=1)
def _policies() -> tuple[ExtensionPolicy, ExtensionPolicy]:
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    anything = ExtensionPolicy.permit_all()
    ca = anything.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    return ca, anything.may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_servers)


def _for_servers(policy: object, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    del policy, certificate
    if usage is not None and not {Usage.SERVER_AUTH, Usage.ANY_EXTENDED_KEY_USAGE} & set(usage):
        raise ValueError("the leaf is not for servers: its extendedKeyUsage lacks serverAuth")


def _dead_end(search: _Search, chain: tuple[Certificate, ...], store: TrustStore) -> _Refusal:
    """Why no path reaches the store: where the longest one ends."""
    if search.checks <= 0:
        return "too-many", f"more than {CHECKS} signatures would have to be checked: an odd chain", None
    pool = (*chain, *search.extra)
    last = max(_Search(pool[1:], None, ()).paths((chain[0],)), key=len)[-1]
    where = render.text(store.name) or "the trust store"
    if _self_signed(last):
        what = "is self-signed" if last == chain[0] else "is the chain's root"
        return "unknown-root", f"{_called(last)} {what} and not in {where}", last
    issuer = render.text(last.issuer or "unreadable", 120)
    namesakes = [c for c in (*search.roots.get(last.issuer or "", ()), *pool) if c.subject == last.issuer and c != last]
    if namesakes:
        says = f"{_called(last)} names {issuer} as its issuer, but no key of that name signed it"
        return "bad-signature", says, last
    if last.self_issued:
        return "bad-signature", f"{_called(last)} names itself as its issuer and is not signed by its own key", last
    says = f"the issuer of {_called(last)}, {issuer}, was not presented and is not in {where}"
    return "missing-issuer", says, last


def _called(certificate: Certificate) -> str:
    return render.text(certificate.subject or "a certificate without a readable name", 120) or "a nameless certificate"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def valid_moment(certificate: Certificate) -> datetime | None:
    """A moment at which a certificate was valid, for where none is known; None where its dates can't be read."""
    return None if certificate.not_before is None else certificate.not_before + timedelta(minutes=1)
