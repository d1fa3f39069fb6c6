"""Who is known to intercept, by the names and keys of their CAs: interception.toml, with its sources.

A name proves nothing, since anyone can copy it, and a certificate without a handshake shows no key either. Recognition
says what kind of stranger a chain looks like; it never makes one less strange.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from irkit.certificate import Certificate, Pin
from irkit.pins.keys import Inspection

__all__ = ["Known", "Product", "authorised", "known", "portal", "recognise"]

_FILE = Path(__file__).with_name("interception.toml")


@dataclass(frozen=True, slots=True)
class Product:
    """One entry of the list.

    Attributes:
        name: Of the product.
        kind: `inspection`: an antivirus, a middlebox, adware. `debugger`: a proxy on a developer's device.
        source: Where the entry is from, a key of `Known.sources`.
        cn, o: What the whole of an issuer's commonName and organizationName match, in any case; None: not compared.
        pin: Of the CA's key; None where it is not known, or each installation has its own.
    """

    name: str
    kind: Literal["inspection", "debugger"]
    source: str
    cn: re.Pattern[str] | None = None
    o: re.Pattern[str] | None = None
    pin: Pin | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """The list.

    Attributes:
        products: In the file's order.
        portals: Sign-in pages by their leaf's key.
        sources: What each source is, and its licence.
    """

    products: tuple[Product, ...]
    portals: dict[Pin, str]
    sources: dict[str, str]


@lru_cache(maxsize=1)
def known() -> Known:
    """The list that ships with irkit."""
    data = tomllib.loads(_FILE.read_text("utf-8"))

    def pattern(entry: dict[str, str], field: str) -> re.Pattern[str] | None:
        return re.compile(entry[field], re.IGNORECASE) if field in entry else None

    return Known(
        tuple(
            Product(
                entry["name"],
                entry["kind"],
                entry["source"],
                pattern(entry, "cn"),
                pattern(entry, "o"),
                Pin.parse(entry["pin"]) if "pin" in entry else None,
            )
            for entry in data["product"]
        ),
        {Pin.parse(entry["pin"]): entry["name"] for entry in data["portal"]},
        {name: f"{source['what']} ({source['licence']})" for name, source in data["source"].items()},
    )


def recognise(path: Sequence[Certificate]) -> Product | None:
    """The product that a path looks like; None where it looks like none that is known.

    Both names have to match where an entry has both, as in Chromium (chrome/browser/ssl/ssl_error_assistant.cc).

    Args:
        path: From the leaf up, each signed by the next; a leaf alone still names its issuer.
    """
    pins = {certificate.pin for certificate in path} - {None}
    issuers = [_issuer(certificate) for certificate in path]
    for product in known().products:
        if product.pin in pins or any(_named(product, *issuer) for issuer in issuers):
            return product
    return None


def authorised(path: Sequence[Certificate], inspections: Iterable[Inspection], network: str = "") -> str:
    """What the owner calls the inspection that signed a path; empty where he allows none such on that network.

    Args:
        path: From the leaf up, each signed by the next: a CA that was merely appended doesn't count.
        inspections: Of the inventory.
        network: Where the chain was seen.
    """
    pins = {certificate.pin for certificate in path[1:]}
    return next(
        (one.name or str(one.pin) for one in inspections
         if one.pin in pins and (not one.networks or network in one.networks)), "",
    )  # fmt: skip


def portal(leaf: Certificate) -> str:
    """Whose sign-in page has this certificate's key; empty where it is none that is known."""
    return "" if leaf.pin is None else known().portals.get(leaf.pin, "")


def _named(product: Product, names: Sequence[str], organisations: Sequence[str]) -> bool:
    asked = [(p, values) for p, values in ((product.cn, names), (product.o, organisations)) if p is not None]
    return bool(asked) and all(any(p.fullmatch(value) for value in values) for p, values in asked)


def _issuer(certificate: Certificate) -> tuple[list[str], list[str]]:
    """The commonNames and organizationNames of the issuer; none where it can't be read."""
    from cryptography import x509

    try:
        name = x509.Name.from_rfc4514_string(certificate.issuer or "")
    except ValueError:
        return [], []
    cn, o = (
        [str(attribute.value) for attribute in name.get_attributes_for_oid(oid)]
        for oid in (x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME)
    )
    return cn, o
