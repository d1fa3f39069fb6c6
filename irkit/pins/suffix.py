"""Public suffixes as far as TrustKit's refusals need them: it ships the Public Suffix List, and looks every domain up.

An approximation that errs to silence, built from the well-known part of publicsuffix.org: which names of the second
level the larger countries register under, the suffixes of large hosting platforms, and names that are never delegated
(RFC 6762, appendix G; RFC 8375). What it doesn't know passes, or is called doubtful where it has the look of a suffix.
"""

from __future__ import annotations

import ipaddress
import re

__all__ = ["doubtful_suffix", "is_suffix", "no_registry"]

_BELOW = {
    "ar": "com edu gob gov int mil net org tur",
    "at": "ac co gv or",
    "au": "asn com edu gov id net org",
    "br": "com edu eng gov ind jus leg mil net org",
    "cn": "ac com edu gov mil net org",
    "co": "com edu gov mil net nom org",
    "hk": "com edu gov idv net org",
    "id": "ac co desa go mil my net or sch web",
    "il": "ac co gov idf k12 muni net org",
    "in": "ac co edu firm gen gov ind mil net nic org res",
    "jp": "ac ad co ed go gr lg ne or",
    "kr": "ac co es go hs kg mil ms ne or pe re sc",
    "mx": "com edu gob net org",
    "my": "com edu gov mil name net org",
    "nz": "ac co cri geek gen govt health iwi kiwi maori mil net org parliament school",
    "pl": "biz com edu gov info net org",
    "sg": "com edu gov net org",
    "th": "ac co go in mi net or",
    "tr": "av bel biz com edu gen gov info k12 mil name net org pol tel tv web",
    "tw": "com club ebiz edu game gov idv mil net org",
    "ua": "com edu gov in net org",
    "uk": "ac co gov ltd me net nhs org plc police sch",
    "za": "ac co edu gov law mil net nom org school web",
}
_SECOND = frozenset(f"{name}.{country}" for country, names in _BELOW.items() for name in names.split())
_HOSTING = frozenset(
    (
        "appspot.com", "azurewebsites.net", "blogspot.com", "cloudfront.net", "firebaseapp.com", "fly.dev",
        "github.io", "gitlab.io", "herokuapp.com", "netlify.app", "onrender.com", "pages.dev", "s3.amazonaws.com",
        "vercel.app", "web.app", "workers.dev",
    )
)  # fmt: skip
_NEVER = frozenset(
    ("corp", "home", "internal", "intranet", "lan", "local", "localdomain", "localhost", "private", "home.arpa")
)
_LOOK = re.compile(r"(ac|co|com|edu|gov|mil|net|or|org)\.[a-z]{2}")


def no_registry(domain: str) -> str:
    """Why no registry gives out names under a domain, which TrustKit then calls invalid; empty if none is known."""
    name = domain.lower().removesuffix(".")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        return "is an address, not a domain"
    if "." not in name.strip("."):
        return "is not a domain"
    top = name.rpartition(".")[2]
    if top in _NEVER or name.endswith(".home.arpa"):
        return f"ends in .{top}, under which no registry gives out names"
    return ""


def is_suffix(domain: str) -> bool:
    """Whether a domain is certainly a public suffix: a registry's, or a hosting platform's."""
    name = domain.lower().removesuffix(".")
    return "." not in name or name in _SECOND or name in _HOSTING


def doubtful_suffix(domain: str) -> bool:
    """Whether a domain has the look of a public suffix, and may be none."""
    name = domain.lower().removesuffix(".")
    return not is_suffix(name) and _LOOK.fullmatch(name) is not None
