"""Names in a certificate that are made to be misread: what they hold, in words.

Marks are for a reader's eye. They decide nothing: a certificate that verifies for a host is for that host.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from irkit import render
from irkit.certificate import Certificate

__all__ = ["marks", "reads_like"]

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Small letters and digits that look like Latin letters: of the confusables.txt of Unicode Technical Standard #39, those
# that a host name may hold.
_LOOKS = str.maketrans(
    "аԁеһіјӏорԛгѕсѵԝхуүкαγικνορτυϲցօոսհզ01ıɑɡ",  # noqa: RUF001 - what is confused is the point
    "adehijlopqrscvwxyykayikvoptucgonuhqoliag",
)


@lru_cache(maxsize=256)  # a hostile certificate can hold thousands of names, and stand in every capture
def marks(certificate: Certificate, host: str = "") -> tuple[str, ...]:
    """What is misleading in subject, issuer and the names, a line each.

    Args:
        certificate: Whose names.
        host: The host that was asked for; empty for none. Names that read like it and are others are marked.
    """
    found = []
    for what, value in (
        ("the subject", certificate.subject), ("the issuer", certificate.issuer),
        *(("the name", name) for name in certificate.dns_names),
    ):  # fmt: skip
        shown = _unicode(value or "")
        if kinds := _kinds(shown):
            found.append(f"{what} {render.text(value, 100)} holds {' and '.join(kinds)}")
    for name in certificate.dns_names:
        if reads_like(name, host):
            written = render.text(name, 100)
            spelt = render.text(_unicode(name).encode("ascii", "backslashreplace").decode(), 100)
            also = f" ({spelt})" if spelt != written else ""
            found.append(f"the name {written}{also} reads like {render.text(host, 100)}, and is another")
    return tuple(found)


def reads_like(name: str, host: str) -> bool:
    """Whether a name, or the domain it is in, looks like the host's and is another."""
    ours, theirs = (_unicode(value).lower().rstrip(".").split(".") for value in (host, name.removeprefix("*.")))
    for count in range(2, min(len(ours), len(theirs)) + 1):
        mine, other = ".".join(ours[-count:]), ".".join(theirs[-count:])
        if mine != other:
            return _skeleton(mine) == _skeleton(other)
    return False


def _skeleton(name: str) -> str:
    """A name with its letters' look only: one skeleton, one look."""
    folded = unicodedata.normalize("NFKD", name).casefold()
    bare = "".join(char for char in folded if not unicodedata.combining(char) and char not in _BIDI)
    return bare.translate(_LOOKS).replace("rn", "m")


def _unicode(name: str) -> str:
    """A host name with its A-labels (RFC 5890) as the letters they stand for; other text as it is."""
    labels = []
    for label in name.split("."):
        try:
            labels.append(label[4:].encode("ascii").decode("punycode") if label[:4].lower() == "xn--" else label)
        except UnicodeError:
            labels.append(label)
    return ".".join(labels)


def _kinds(shown: str) -> list[str]:
    """What a text holds that acts on a reader instead of being read."""
    if shown.isascii() and shown.isprintable():
        return []
    kinds = []
    if any(unicodedata.category(char) == "Cc" for char in shown):
        kinds.append("a control character")
    if any(char in _BIDI for char in shown):
        kinds.append("a bidirectional override")
    if any(unicodedata.category(char) in {"Cf", "Zl", "Zp"} and char not in _BIDI for char in shown):
        kinds.append("an invisible character")
    # what is spelt out beside these are letters of another script inside a Latin word
    rest = "".join(char for char in shown if unicodedata.category(char)[0] in "LMNPS" or char == " ")
    if any(char.isalpha() and f"\\u{{{ord(char):x}}}" in render.text(rest, 10_000) for char in set(rest)):
        kinds.append("letters of several scripts in one word")
    return kinds
