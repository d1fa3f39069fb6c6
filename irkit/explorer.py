"""The chain explorer: choose a certificate, see its fields and which releases accept it, and copy what is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from irkit import widgets
from irkit.certificate import Certificate
from irkit.evidence import Evidence
from irkit.lineup import Column, Lineup, lineup, role, short_name
from irkit.render import Markup, code, copy_button, details, fragment, label, moment, paragraph, table

__all__ = ["explorer"]


def explorer(evidence: Evidence) -> tuple[Any, ...]:
    """The controls, for the chains that there are: none without a chain."""
    lines = lineup(evidence)
    if not lines.columns:
        return ()
    names = [(label(f"{i}. {one.title} ({one.note})", 110), i) for i, one in enumerate(lines.columns, 1)]
    now = next((i for i, one in enumerate(lines.columns, 1) if one.title == "now"), 1)
    chains, certificates = widgets.choice("Chain", names, now), widgets.listing("Certificate")
    shown = widgets.html(Markup())

    def pick(_: Any = None) -> None:
        chain = lines.columns[chains.value - 1].chain
        found = [(label(f"{i}: {role(i, c)}, {short_name(c)}", 100), i) for i, c in enumerate(chain[:20])]
        certificates.options = found
        certificates.value = 0 if found else None
        tell()

    def tell(_: Any = None) -> None:
        if certificates.value is not None:
            column = lines.columns[chains.value - 1]
            widgets.put(shown, _described(lines, column, column.chain[certificates.value], bool(evidence.releases)))

    chains.observe(pick, "value")
    certificates.observe(tell, "value")
    pick()
    return (chains, certificates, shown)


def _described(lines: Lineup, column: Column, certificate: Certificate, pins_known: bool) -> Markup:
    unread = "not known: no release's pins are read"

    def releases(wanted: Callable[[Any], bool]) -> str:
        found = ", ".join(release.name for release, found in column.accepted if wanted(found))
        return found or ("none known" if pins_known else unread)

    rows: list[tuple[object, object]] = [
        ("subject", certificate.subject or "unreadable"),
        ("issuer", certificate.issuer or "unreadable"),
        ("names", ", ".join(certificate.dns_names[:20]) or "none"),
        ("key", certificate.key),
        ("valid", f"{moment(certificate.not_before)} to {moment(certificate.not_after)}"),
        ("pin", certificate.pin or "none"),
        ("SHA-256", certificate.sha256),
        ("pinned by", ", ".join(lines.pinned_by(column, certificate)) or ("no release" if pins_known else unread)),
        ("releases that accept the chain", releases(lambda found: found.connects)),
        ("releases that refuse it", releases(lambda found: found.answer == "no")),
    ]
    buttons = [copy_button("Copy pin", certificate.pin)] if certificate.pin else []
    buttons += [copy_button("Copy SHA-256", certificate.sha256), copy_button("Copy PEM", certificate.pem())]
    return fragment(
        table(("field", "value"), rows, "The certificate"),
        paragraph(*buttons),
        details("The certificate in PEM", code(certificate.pem())),
    )
