"""The host patterns of OkHttp's CertificatePinner: what each version takes, and which hosts it matches.

Sources: `CertificatePinner` of OkHttp 3.13.1, run against in the tests, and of 4.12, read. Patterns are checked, and
`**.` is known, from 4.3.0 on.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import unquote

__all__ = ["checks_patterns", "okhttp_pattern"]


def checks_patterns(library: str) -> bool | None:
    """Whether a library, as in `okhttp 4.12.0`, checks patterns; None where it names no version."""
    version = re.search(r"(\d+)\.(\d+)", library)
    return (int(version[1]), int(version[2])) >= (4, 3) if version else None


def okhttp_pattern(pattern: str, *, checked: bool) -> Callable[[str], bool]:
    """What says of a host, in lower case and ASCII, whether a pattern matches it.

    Args:
        pattern: As a `HostRule` has it: `*` alone is for every host.
        checked: Whether OkHttp checks patterns, which it does from 4.3.0 on.

    Raises:
        ValueError: CertificatePinner throws on the pattern.
    """
    if pattern == "*":
        return lambda _name: True
    return (_checked_pattern if checked else _unchecked_pattern)(pattern)


def _checked_pattern(pattern: str) -> Callable[[str], bool]:
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


def _unchecked_pattern(pattern: str) -> Callable[[str], bool]:
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
