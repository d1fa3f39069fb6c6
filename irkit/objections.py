"""Why a path is not valid, in a responder's words.

`cryptography.x509.verification` judges a path; it says why in terse English and names no certificate. Each reason that
an incident meets is looked for here first, with the certificate at fault.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from irkit import render
from irkit.certificate import Certificate
from irkit.signature import WEAK, signed_with

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509.verification import ExtensionPolicy

__all__ = ["DEPTH", "Objection", "Why", "called", "issued_by_cas", "objection", "outside_validity", "weakly_signed"]

DEPTH = 12  # certificates in a path, root included
_LOOKED = 100  # names and constraints that are looked at for the words of an objection; the verifier looks at all

Why = Literal[
    "", "empty", "unreadable", "expired", "not-yet-valid", "name", "unknown-root", "missing-issuer", "bad-signature",
    "weak-signature", "weak-key", "unchecked", "not-a-ca", "path-length", "name-constraints", "usage",
    "critical-extension", "malformed", "policy", "too-many",
]  # fmt: skip
Objection = tuple[Why, str, Certificate | None]
_Path = tuple[Certificate, ...]


# What cryptography's verifier says of a certificate's form, and in a responder's words.
_MALFORMED = {
    "must be an X509v3 certificate": "is of an X.509 version without extensions",
    "serial number cannot be negative": "has a negative serial number",
    "must have a serial between": "has a serial number of no or too many bytes",
    "signatureAlgorithm and SPKI": "names a signature algorithm that is not its issuer's key's",
    "must be UtcTime": "has a date in a form that its year does not allow",
    "duplicate extension": "has an extension twice",
    "parsing error": "has a part that does not parse",
    "non-empty Issuer": "names no issuer",
    "directoryName constraint": "is below a CA that limits names in a form that can't be judged here",
}


def objection(path: _Path, at: datetime, *, expired_roots: bool) -> Objection | None:
    """Why a path whose signatures hold is not valid; None where it is.

    Args:
        path: From the leaf to the anchor, each signed by the next.
        at: When, aware.
        expired_roots: Whether an anchor past its end counts.
    """
    for i, certificate in enumerate(path):
        if expired_roots and i == len(path) - 1 and i > 0:
            continue
        if outside := outside_validity(certificate, at):
            return outside
    if found := _not_a_ca(path) or _too_deep(path) or _wrong_usage(path):
        return found
    problem = _judge(path, at)
    if (
        problem is not None
        and not _extension(path[-1], "NameConstraints")
        and _judge(path[-2:], at) is not None
        and _judge(path[-2:-1] or path, at) is None
    ):
        # The root itself is past its end, or not to the verifier's taste (Certum's writes its dates in an odd form): an
        # anchor is a name and a key (RFC 5280, section 6.1.1), so what it signed takes its place.
        problem = _judge(path[:-1], at)
    return None if problem is None else _put(problem, path)


def issued_by_cas(path: _Path) -> _Path:
    """A path up to the first issuer that is no CA: the owner of any certificate can sign with its key."""
    for i, certificate in enumerate(path[1:], 1):
        if _is_no_ca(certificate, last=i == len(path) - 1 and certificate.self_issued):
            return path[:i]
    return path


def called(certificate: Certificate) -> str:
    """A certificate's subject, for a sentence."""
    return render.text(certificate.subject or "a certificate without a readable name", 120) or "a nameless certificate"


def weakly_signed(certificate: Certificate) -> Objection:
    """The objection to a certificate that is signed with a broken hash."""
    algorithm = signed_with(certificate).upper().replace("SHA", "SHA-")
    says = f"{called(certificate)} is signed with {algorithm}, which clients no longer accept"
    return "weak-signature", says, certificate


def outside_validity(certificate: Certificate, at: datetime) -> Objection | None:
    """The objection to a certificate past its end, or before its beginning."""
    start, end = certificate.not_before, certificate.not_after
    if end is not None and at > end:
        return "expired", f"{called(certificate)} expired at {_time(end)}", certificate
    if start is not None and at < start:
        return "not-yet-valid", f"{called(certificate)} is not valid before {_time(start)}", certificate
    return None


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _is_no_ca(certificate: Certificate, *, last: bool) -> bool:
    """Whether basicConstraints says so; absent, as in roots from before RFC 3280, it says nothing of the last one."""
    return certificate.is_ca is False and not (last and _extension(certificate, "BasicConstraints") is None)


def _not_a_ca(path: _Path) -> Objection | None:
    for certificate in path[1:]:
        if _is_no_ca(certificate, last=certificate is path[-1]):
            says = f"{called(certificate)} signed another certificate and is not a CA"
            return "not-a-ca", says, certificate
        usage = _extension(certificate, "KeyUsage")
        if usage is not None and not usage.key_cert_sign and certificate is not path[-1]:
            says = f"{called(certificate)} signed another certificate, which its keyUsage does not allow"
            return "not-a-ca", says, certificate
    return None


def _too_deep(path: _Path) -> Objection | None:
    """RFC 5280, section 4.2.1.9: how many CAs may stand below one; a name's renewal of itself is not counted."""
    below = 0
    for certificate in path[1:]:
        limit = getattr(_extension(certificate, "BasicConstraints"), "path_length", None)
        if limit is not None and below > limit:
            allowed = "no CA" if limit == 0 else f"{limit} {'CA' if limit == 1 else 'CAs'}"
            says = f"{called(certificate)} allows {allowed} below it (path length {limit}), and the path has {below}"
            return "path-length", says, certificate
        below += not certificate.self_issued
    return None


def _wrong_usage(path: _Path) -> Objection | None:
    """extendedKeyUsage: of the leaf, and of the CAs above it, as OpenSSL, Go, NSS and Windows nest it."""
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    for certificate in path[:1] + path[1:-1]:  # an anchor is a name and a key
        usage = _extension(certificate, "ExtendedKeyUsage")
        if usage is not None and not {Usage.SERVER_AUTH, Usage.ANY_EXTENDED_KEY_USAGE} & set(usage):
            kinds = ", ".join(getattr(oid, "_name", oid.dotted_string) for oid in usage)
            what = "is not for servers" if certificate is path[0] else "may not issue for servers"
            says = (
                f"{called(certificate)} {what}: its extendedKeyUsage has {render.text(kinds, 120)}, and no serverAuth"
            )
            return "usage", says, certificate
    return None


def _extension(certificate: Certificate, name: str) -> Any:
    """The value of an extension, by the name of its class; None where there is none or it can't be read."""
    from cryptography import x509

    try:
        if certificate.x509 is not None:
            return certificate.x509.extensions.get_extension_for_class(getattr(x509, name)).value
    except Exception:  # noqa: BLE001, S110 - absent, or odd: parsing is lazy and raises many kinds; the verifier judges it
        pass
    return None


def _judge(path: _Path, at: datetime) -> str | None:
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
        return str(error).removeprefix("validation failed: ").removeprefix("candidates exhausted: ")
    return None


@lru_cache(maxsize=1)
def _policies() -> tuple[ExtensionPolicy, ExtensionPolicy]:
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    anything = ExtensionPolicy.permit_all()
    return anything.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None), anything


def _put(problem: str, path: _Path) -> Objection:
    """The verifier's objection, with the certificate that it must mean."""
    leaf, issuers = path[0], path[1:-1]
    if "name constraint" in problem:
        return _out_of_bounds(path, excluded="excluded" in problem)
    if oid := re.search(r"extension: ([0-9.]+): certificate contains unaccounted-for critical", problem):
        at_fault = next((c for c in path if oid[1] in _critical(c)), leaf)
        says = f"{called(at_fault)} has a critical extension that no client knows: {oid[1]}"
        return "critical-extension", says, at_fault
    for certificate in path[:-1]:
        if signed_with(certificate) in WEAK | {"sha224"}:
            return weakly_signed(certificate)
    if "too weak" in problem or "Forbidden public key" in problem:
        for certificate in (*issuers, leaf, path[-1]):
            if _judged_key(certificate):
                says = f"{called(certificate)} has a key that browsers and phones don't accept: {certificate.key}"
                return "weak-key", says, certificate
    at_fault = next((certificate for certificate in path if _shown(certificate) in problem), leaf)
    for said, words in _MALFORMED.items():
        if said in problem:
            return "malformed", f"{called(at_fault)} {words}, which clients refuse", at_fault
    return "policy", f"the path is refused: {render.text(problem.partition(' (encountered')[0], 160)}", at_fault


def _shown(certificate: Certificate) -> str:
    """As the verifier's message names it."""
    try:
        return repr(certificate.x509)
    except Exception:  # noqa: BLE001 - as in _extension
        return "a certificate that it can't name"


def _judged_key(certificate: Certificate) -> bool:
    """Whether a key is of none of the kinds that the Baseline Requirements name, section 6.1.5."""
    kind, _, size = certificate.key.partition(" ")
    good = {"EC": size in {"secp256r1", "secp384r1", "secp521r1"}, "RSA": size.isdigit() and int(size) >= 2048}
    return not good.get(kind, kind.startswith("MLDSA"))


def _critical(certificate: Certificate) -> set[str]:
    try:
        extensions = certificate.x509.extensions if certificate.x509 is not None else ()
        return {extension.oid.dotted_string for extension in extensions if extension.critical}
    except Exception:  # noqa: BLE001 - as in _extension
        return set()


def _out_of_bounds(path: _Path, *, excluded: bool) -> Objection:
    """Which CA may not issue for which of the leaf's names (RFC 5280, section 4.2.1.10)."""
    bounded = [(one, found) for one in path[1:] if (found := _extension(one, "NameConstraints")) is not None]
    for certificate, bounds in bounded:
        permitted, forbidden = tuple(bounds.permitted_subtrees or ()), tuple(bounds.excluded_subtrees or ())
        if max(len(permitted), len(forbidden)) > _LOOKED:
            continue
        for name in path[0].dns_names[:_LOOKED]:
            alike = [tree for tree in permitted if _is_network(tree) == bool(_address(name))]
            hit = [tree for tree in forbidden if _within(name, tree)]
            if hit or (alike and not any(_within(name, tree) for tree in alike)):
                shown = ", ".join(render.text(tree.value, 80) for tree in (hit or alike)[:5])
                may = f"may not issue for {shown}" if hit else f"may issue for {shown} only"
                says = f"{called(certificate)} {may} (its name constraints), so not for {render.text(name, 80)}"
                return "name-constraints", says, certificate
    at_fault = bounded[0][0] if bounded else path[-1]
    what = "exclude" if excluded else "do not permit"
    says = f"the name constraints of {called(at_fault)} {what} a name of {called(path[0])}"
    return "name-constraints", says, at_fault


def _is_network(tree: x509.GeneralName) -> bool:
    return isinstance(tree.value, ipaddress.IPv4Network | ipaddress.IPv6Network)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _within(name: str, tree: x509.GeneralName) -> bool:
    if _is_network(tree):
        address = _address(name)
        return address is not None and address in tree.value
    wanted, suffix = name.lower().removeprefix("*."), str(tree.value).lower().lstrip(".")
    return wanted == suffix or wanted.endswith("." + suffix)
