"""What a chain is worth, said plainly: does it lead to roots, is it logged, is it revoked, who is known to make such?

Of a captured chain, or of one from a file. Nothing is fetched here, and nothing here is a verdict: a chain that
verifies may still be one that no release accepts, and a name proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from irkit import render
from irkit.aia import Fetch, issuer_urls
from irkit.certificate import Certificate
from irkit.chain import Chain
from irkit.interception import Product, authorised, portal, recognise
from irkit.pins.keys import Inventory
from irkit.render import moment, text
from irkit.revocation import Revocation, check_revocation
from irkit.transparency import LogList, SctCheck, check_scts
from irkit.trust import TrustStore, Verification, linked_path, mozilla, verify

__all__ = ["Appraisal", "appraise"]


class _Line(NamedTuple):
    """One question, its answer, and what explains it."""

    name: str
    answer: str
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Appraisal:
    """What is known of a chain besides its bytes.

    Attributes:
        host: Which host it was to be for; empty where that was not asked.
        at: At which time, aware UTC.
        verification: To the roots.
        scts: Of the leaf.
        revocation: Of the leaf.
        product: Which interception product it looks like, by names that anyone can copy or by a known key; or None.
        portal: Whose sign-in page has this key; empty where it is none that is known.
        authorised: What the inventory calls the inspection that signed it; empty where it allows none such.
        fetched: What was asked for the issuers that the server left out.
        completed: To the roots, if the server sent those, too; None where nothing was fetched.
    """

    host: str
    at: datetime
    verification: Verification
    scts: tuple[SctCheck, ...]
    revocation: Revocation
    product: Product | None = None
    portal: str = ""
    authorised: str = ""
    fetched: tuple[Fetch, ...] = ()
    completed: Verification | None = None

    @property
    def left_out(self) -> tuple[Certificate, ...]:
        """The fetched certificates that make the chain verify; empty where it does without, or doesn't with them."""
        if self.verification.ok or self.completed is None or not self.completed.ok:
            return ()
        given = {certificate for fetch in self.fetched for certificate in fetch.certificates}
        return tuple(certificate for certificate in self.completed.paths[0] if certificate in given)

    def answers(self) -> list[_Line]:
        """The questions with their answers, as text that is safe to show."""
        return [self._trust(), *self._aia(), self._scts(), self._revocation(), self._interception()]

    def _trust(self) -> _Line:
        found = self.verification
        asked = f"{f'for {text(self.host, 100)} ' if self.host else ''}at {moment(self.at)} against the roots "
        asked += text(found.store, 120)
        if found.ok:
            return _Line("trust", f"verifies {asked}, by {_count(len(found.paths), 'path')}", tuple(found.lines()))
        word = "incomplete chain" if self.left_out else _WORDS.get(found.why, found.why)
        lines = found.lines()
        if found.why == "missing-issuer" and found.certificate is not None and not self.fetched:
            lines += [f"by its own word it can be had at {text(url, 200)} (not fetched)"
                      for url in issuer_urls(found.certificate)[:2]]  # fmt: skip
        return _Line("trust", f"DOES NOT VERIFY {asked}: {word}", tuple(lines))

    def _aia(self) -> list[_Line]:
        if not self.fetched:
            return []
        answer = "what was fetched does not make it verify"
        if self.left_out:
            names = ", ".join(text(one.subject or "unreadable", 120) for one in self.left_out)
            answer = f"would verify if the server sent {names}"
        elif not any(fetch.certificates for fetch in self.fetched):
            answer = "nothing could be fetched"
        return [_Line("left out", answer, tuple(f"from {fetch}" for fetch in self.fetched))]

    def _scts(self) -> _Line:
        if not self.scts:
            return _Line("SCTs", "none; browsers and iOS want them of a public CA's certificate")
        valid = [check for check in self.scts if check.answer == "valid"]
        operators = ", ".join(dict.fromkeys(text(check.operator, 60) for check in valid if check.operator))
        answer = f"{len(valid)} of {len(self.scts)} valid" + (f", by logs of {operators}" if operators else "")
        places = {"certificate": "in the certificate", "tls": "by TLS", "ocsp": "in the OCSP staple"}
        return _Line("SCTs", answer, tuple(
            f"{check.answer}: {text(check.log, 80)}, {moment(check.at) if check.at else 'no time'}, "
            f"{places[check.delivered]}" + (f": {text(check.reason, 200)}" if check.reason else "")
            for check in self.scts
        ))  # fmt: skip

    def _revocation(self) -> _Line:
        answer = "REVOKED" if self.revocation.answer == "revoked" else self.revocation.answer
        return _Line("revocation", f"{answer}: {text(self.revocation.reason, 300)}")

    def _interception(self) -> _Line:
        if self.authorised:
            return _Line("interception", f"by {text(self.authorised, 100)}, which the inventory allows")
        if self.product is not None:
            by = "a key that is public" if self.product.pin else "its issuer's names, which anyone can copy"
            kind = {"debugger": "a debugging proxy", "inspection": "an inspection product"}[self.product.kind]
            return _Line("interception", f"looks like {text(self.product.name, 80)}, {kind}, by {by}")
        if self.portal:
            return _Line("interception", f"the sign-in page of {text(self.portal, 80)}, by its key")
        return _Line("interception", "like no product that is known")

    def __repr__(self) -> str:
        lines = []
        for name, answer, why in self.answers():
            lines += [f"{name + ':':14}{answer}", *(f"{'':14}{line}" for line in why)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.table()

    def table(self, caption: object = "Trust") -> render.Markup:
        """As a table, for a notebook or a report."""
        rows = [
            (name, render.fragment(answer, render.bullets(why)) if why else answer)
            for name, answer, why in self.answers()
        ]
        return render.table(("asked", "answer"), rows, caption)

    def to_value(self) -> dict[str, Any]:
        """As JSON has it."""
        found = self.verification
        return {
            "host": self.host, "at": self.at.isoformat(), "roots": found.store, "verifies": found.ok,
            "why": found.why, "reason": found.reason, "also": list(found.also),
            "paths": [[_named(certificate) for certificate in path] for path in found.paths],
            "left_out": [certificate.sha256 for certificate in self.left_out],
            "fetched": [
                {"url": f.url, "of": f.of.sha256, "problem": f.problem,
                 "certificates": [_named(c) | {"pem": c.pem()} for c in f.certificates]}
                for f in self.fetched
            ],
            "scts": [
                {"log": c.log, "operator": c.operator, "at": c.at.isoformat() if c.at else None,
                 "delivered": c.delivered, "answer": c.answer, "reason": c.reason}
                for c in self.scts
            ],
            "revocation": {
                "answer": self.revocation.answer, "reason": self.revocation.reason,
                "at": self.revocation.at.isoformat() if self.revocation.at else None,
            },
            "interception": {
                "product": self.product.name if self.product else "", "kind": self.product.kind if self.product else "",
                "portal": self.portal, "authorised": self.authorised,
            },
        }  # fmt: skip


_WORDS = {
    "expired": "expired", "not-yet-valid": "not yet valid", "name": "another name", "unknown-root": "unknown root",
    "missing-issuer": "incomplete chain, or an unknown CA", "bad-signature": "signed by another key",
    "weak-signature": "weak signature", "weak-key": "weak key", "unchecked": "a signature that can't be checked",
    "not-a-ca": "signed by what is no CA", "path-length": "too many CAs below one", "usage": "not for servers",
    "name-constraints": "a CA that may not issue for this name", "policy": "the rules for public certificates",
    "critical-extension": "an unknown critical extension", "malformed": "a malformed certificate",
    "too-many": "too many CAs of one name",
    "empty": "no certificate", "unreadable": "an unreadable leaf",
}  # fmt: skip


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _named(certificate: Certificate) -> dict[str, Any]:
    pin = certificate.pin
    return {"subject": certificate.subject, "sha256": certificate.sha256, "pin": str(pin) if pin else None}


def appraise(
    chain: Chain,
    host: str | None = None,
    *,
    trust: TrustStore | None = None,
    at: datetime | None = None,
    crls: Iterable[bytes] = (),
    logs: LogList | None = None,
    inventory: Inventory | None = None,
    network: str = "",
    fetched: Iterable[Fetch] = (),
) -> Appraisal:
    """Says of a chain whether it verifies, is logged, is revoked, and whose work it looks like.

    Args:
        chain: As captured, or from a file.
        host: Which host it is to be for; default: whom the capture asked for; empty: names are not compared.
        trust: The roots; default: Mozilla's, as the installed certifi has them.
        at: When, aware; default: when it was captured, else now.
        crls: DER or PEM, for `check_revocation`.
        logs: For `check_scts`; default: the list that ships with irkit.
        inventory: Whose inspections are allowed.
        network: Where the chain was seen, for inspections that are allowed on some networks only.
        fetched: What `fetch_issuers` gave.

    Raises:
        InputError: `at` is naive.
    """
    asked = (chain.obtained.server_name or chain.obtained.host) if host is None else host
    when, store = at or chain.obtained.at or datetime.now(UTC), trust or mozilla()
    got = tuple(fetched)
    extra = [certificate for fetch in got for certificate in fetch.certificates]
    found = verify(chain, store, at=when, host=asked or None)
    path = linked_path([*chain, *extra])
    known = (*extra, *store.roots)  # a root that issued the leaf itself is seldom presented
    return Appraisal(
        host=asked,
        at=when.astimezone(UTC),
        verification=found,
        scts=check_scts(chain, logs, at=when, extra=known) if len(chain) else (),
        revocation=check_revocation(chain, crls=crls, at=when, extra=known) if len(chain) else _NOTHING,
        product=recognise(path),
        portal=portal(chain.leaf) if len(chain) else "",
        authorised=authorised(path, () if inventory is None else inventory.inspections, network),
        fetched=got,
        completed=verify(chain, store, at=when, host=asked or None, extra=extra) if got else None,
    )  # fmt: skip


_NOTHING = Revocation("unknown", "no certificate was presented")
