"""The evidence on show: sections 2 and 3 of the report. Each says in words what is not there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from irkit import plots
from irkit.appraisal import appraise
from irkit.chain import Chain
from irkit.errors import IrkitError
from irkit.evidence import Evidence
from irkit.facts import Facts, establish
from irkit.lineup import Lineup, lineup, role, short_name
from irkit.render import (
    Markup,
    aside,
    bullets,
    details,
    fragment,
    heading,
    html,
    moment,
    paragraph,
    strong,
    table,
    text,
)
from irkit.verdict import Verdict

if TYPE_CHECKING:
    from irkit.plots import Picture

__all__ = ["captures", "comparison", "missing", "picture_of"]


# --- 2. Capture


def captures(evidence: Evidence) -> Markup:
    """The chains that trusted vantages see now, and those that failing clients saw."""
    parts = [paragraph(_agreement(establish(evidence)))]
    if evidence.captures:
        captured: list[tuple[object, ...]] = [
            (
                fragment(capture.vantage, "" if capture.trusted else " (not trusted)"),
                fragment(moment(capture.at), ", ", capture.chain.obtained.where or "memory"),
                f"{_leaf(capture.chain)}, {len(capture.chain)} certificates",
                _pin(capture.chain),
                {"proven": "yes", "disproven": "NO"}.get(capture.chain.obtained.possession, "not shown"),
            )
            for capture in evidence.captures
        ]
        headers: tuple[str, ...] = ("vantage", "when and where", "leaf", "leaf pin", "holds its key")
        parts.append(table(headers, captured, "Captured in this run"))
    if evidence.observed:
        observed: list[tuple[object, ...]] = [
            (
                item.source,
                moment(item.at),
                ", ".join(part for part in (item.release, item.network, item.region) if part) or "unknown",
                _leaf(item.chain),
                item.chain.certificates[-1].issuer or "unreadable" if len(item.chain) else "no certificate",
                _pin(item.chain),
            )
            for item in evidence.observed
        ]
        headers = ("file", "when", "whose", "leaf", "ends at the issuer", "leaf pin")
        parts.append(
            table(headers, observed, "Seen by failing clients (anyone can send these: they prove nothing good)")
        )
    if evidence.reports is not None:
        parts.append(evidence.reports.shown())
    elif not evidence.observed:
        parts.append(paragraph("No chain that a failing client saw is at hand."))
    parts.append(picture_of(lambda: plots.key_timeline(evidence)))
    parts += [missing(evidence, "capture", "client chain", "history"), _odd_captures(evidence)]
    chains = [*((capture.chain, capture.at, "") for capture in evidence.captures)]
    chains += [(item.chain, item.at, item.network) for item in evidence.observed]
    seen = {chain: (at, network) for chain, at, network in reversed(chains) if len(chain)}
    parts += [_certificates(evidence, chain, *seen[chain]) for chain in list(reversed(seen))[:6]]
    return fragment(*parts)


def _agreement(facts: Facts) -> str:
    if facts.chain is None:
        return "No trusted vantage saw a chain: what the server presents is not known."
    pin = facts.chain.leaf.pin or "unreadable"
    names = ", ".join(text(name, 60) for name in facts.witnesses)
    if facts.dissent:
        others = ", ".join(sorted({text(capture.vantage, 60) for capture in facts.dissent}))
        return f"Trusted vantages disagree: {names} see the leaf key {pin}, but {others} another one."
    one = len(facts.witnesses) == 1
    return f"{'One trusted vantage sees' if one else 'All trusted vantages see the same'} leaf key {pin}: {names}." + (
        " A second one, on another network, would tell what one path alone can't." if one else ""
    )


def _leaf(chain: Chain) -> str:
    return short_name(chain.leaf) if len(chain) else "no certificate"


def _pin(chain: Chain) -> object:
    return (chain.leaf.pin or "none") if len(chain) else "none"


def _odd_captures(evidence: Evidence) -> Markup:
    odd = [
        f"{text(capture.vantage)}: {text(line, 600)}"
        for capture in evidence.captures
        for line in (
            *capture.chain.remarks,
            *(f"{a.how} at {a.where} failed: {a.reason}" for a in capture.chain.obtained.attempts),
        )
    ]
    return fragment(heading("Odd about the captures"), bullets(odd[:30])) if odd else Markup()


def _certificates(evidence: Evidence, chain: Chain, at: datetime | None, network: str) -> Markup:
    shown = chain[:4]
    rows: list[list[object]] = [
        ["subject", *(c.subject or "unreadable" for c in shown)],
        ["issuer", *(c.issuer or "unreadable" for c in shown)],
        ["names", *(", ".join(c.dns_names) or "none" for c in shown)],
        ["valid from", *(moment(c.not_before) for c in shown)],
        ["valid until", *(moment(c.not_after) for c in shown)],
        ["key", *(c.key for c in shown)],
        ["pin", *(c.pin or "none" for c in shown)],
        ["SHA-256", *(c.sha256 for c in shown)],
        ["unreadable in it", *("; ".join(c.problems) or "nothing" for c in shown)],
    ]
    headers = ("", *(f"{i}: {role(i, c)}" for i, c in enumerate(shown)))
    title = fragment("Certificates of ", _leaf(chain), ", from ", chain.obtained.where or "a file")
    more = f"and {len(chain) - 4} more" if len(chain) > 4 else ""
    trust = ""
    if evidence.trust is not None:
        found = appraise(
            chain, evidence.incident.host, trust=evidence.trust, at=at or evidence.now, inventory=evidence.inventory,
            crls=evidence.crls,
            network=network,
        )  # fmt: skip
        trust = found.table("What it is worth")
    return details(title, table(headers, rows), more, trust)


# --- 3. Compare


# Findings that a comparison of chains and pins gave.
_COMPARED = frozenset({"acceptance-changed", "never-accepted", "pin-explained", "pins-match-nothing", "rejected-now"})


def comparison(evidence: Evidence, verdict: Verdict | None = None) -> Markup:
    """Chains against each other and against the releases' pins.

    Args:
        evidence: What was gathered.
        verdict: For what it found in the comparison.
    """
    facts = establish(evidence)
    chains = lineup(evidence, facts)
    if not chains.columns:
        return fragment(paragraph("There is no chain to compare."), _releases(evidence))
    told = [] if verdict is None else [f.says for f in verdict.findings if f.id in _COMPARED]
    parts = [paragraph(_changed(facts)), bullets(html(says, 1000) for says in told)]
    parts.append(picture_of(lambda: plots.chain_comparison(evidence, chains=chains)))
    parts.append(_positions(chains))
    if evidence.releases:
        parts += [_acceptance(chains), _reasons(chains)]
    parts += [_releases(evidence), missing(evidence, "release", "inventory", "trust")]
    return fragment(*parts)


def _changed(facts: Facts) -> str:
    if facts.chain is None:
        return "What the server presents now is not known; only what clients saw can be shown."
    if facts.previous is None:
        return "No trusted capture from before the failures is at hand, so what changed is not known."
    now, before = facts.chain, facts.previous.chain
    kept = [pin for pin in now.pins if pin in before.pins]
    if now.leaf.pin == before.leaf.pin:
        same = "the same chain" if now == before else "another chain, with the same leaf key,"
        return f"The server presents {same} as before the failures."
    return "The server presents another leaf key than before the failures" + (
        f"; {len(kept)} of its {len(now)} keys are as before." if kept else ", and no key of the chain is as before."
    )


def _positions(chains: Lineup) -> Markup:
    depth = max(len(column.chain) for column in chains.columns)
    rows = []
    for i in range(min(depth, 20)):
        row: list[object] = [i]
        for column in chains.columns:
            if i >= len(column.chain):
                row.append("")
                continue
            certificate = column.chain[i]
            pinned = chains.pinned_by(column, certificate)
            row.append(
                fragment(
                    strong(f"{role(i, certificate)}, key {chains.letters[certificate.pin]}"),
                    f": {text(short_name(certificate), 80)}, {certificate.pin or 'no pin'}",
                    "; pinned by " + ", ".join(pinned) if pinned else "",
                    "" if column.on_path(certificate) else "; signs nothing in this chain",
                )
            )
        rows.append(row)
    headers = ["position", *(fragment(column.title, " (", column.note, ")") for column in chains.columns)]
    return table(headers, rows, "Position by position: the same letter is the same key")


def _acceptance(chains: Lineup) -> Markup:
    answers = [{release.name: found.answer for release, found in column.accepted} for column in chains.columns]
    rows = [
        (release.name, release.platform, *(found.get(release.name, "not asked") for found in answers))
        for release in chains.releases
    ]
    headers = ("release", "platform", *(fragment(column.title, " (", column.note, ")") for column in chains.columns))
    return table(headers, rows, "Would the release accept the chain, by its own pins and its platform's rules?")


def _reasons(chains: Lineup) -> Markup:
    rows = [
        (release.name, column.title, found.answer, "; ".join(text(reason, 400) for reason in found.reasons[:3]))
        for column in chains.columns
        for release, found in column.accepted
    ]
    rows = [(*row[:3], html(row[3], 1300)) for row in rows]
    return details("Why", table(("release", "chain", "accepts", "because"), rows, limit=40))


def _releases(evidence: Evidence) -> Markup:
    if not evidence.releases:
        return paragraph("No release with its pins is at hand, so what the apps accept is not known.")
    rows = [
        (
            release.name,
            rule.pattern + (" and subdomains" if rule.subdomains else ""),
            entry.text,
            entry.scope,
            entry.problem or "none",
        )
        for release in evidence.releases
        for rule in release.rules
        for entry in rule.pins
    ]
    notes = [
        f"{text(release.name, 80)}: {text(line, 400)}"
        for release in evidence.releases
        for line in (
            *([f"the platform refuses this configuration: {release.rejected}"] if release.rejected else []),
            *(finding.says for finding in release.findings),
        )
    ]
    headers = ("release", "host", "pin as written", "where in the path", "problem")
    return fragment(details("Pins of the releases", table(headers, rows)), bullets(notes[:20]))


def missing(evidence: Evidence, *sources: str) -> Markup:
    """What is missing of some sources, of all when none is named; nothing where nothing is."""
    found = [item for item in evidence.missing if item.source.startswith(sources or "")]
    rows = [(item.source, html(item.reason, 600), html(item.hint, 600)) for item in found]
    return (
        table(("missing", "why", "how to have it"), rows, "" if not sources else "Missing here") if rows else Markup()
    )


def picture_of(draw: Callable[[], Picture | None]) -> Markup:
    """A picture, or in words why there is none: the report goes on without it."""
    try:
        picture = draw()
    except IrkitError as error:
        return aside(f"No picture: {error}.")
    except Exception as error:  # noqa: BLE001 - a report without a picture is better than none
        return aside(f"A picture could not be drawn: {type(error).__name__}: {text(error, 200)}.")
    return Markup() if picture is None else picture.markup
