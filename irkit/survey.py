"""Many captures on one page: what fails, what differs between vantages, who shares a key, what does not verify."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from irkit import render
from irkit.certificate import Pin
from irkit.chain import CaptureFailure, Chain
from irkit.fleet import Captured
from irkit.render import moment, text
from irkit.trust import TrustStore, mozilla, verify

__all__ = ["Part", "Seen", "Survey", "survey"]

_EXAMPLES = 5  # endpoints named of each kind


@dataclass(frozen=True, slots=True)
class Seen:
    """What one endpoint gave at one vantage.

    Attributes:
        endpoint: Host and port; where it was reached by is no part of it, so that vantages compare.
        vantage: Where it was asked from.
        leaf: The leaf's pin; None where there is no chain, or no key in it.
        chain: The chain's SHA-256; empty where there is none.
        expires: The leaf's notAfter, aware UTC.
        failure: Why there is no chain; empty where there is one.
        why: Why the chain does not verify for the host, as `Verification.why`; empty where it does.
        reason: The same in a sentence.
    """

    endpoint: str
    vantage: str
    leaf: Pin | None = None
    chain: str = ""
    expires: datetime | None = None
    failure: str = ""
    why: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """One question of a survey, as a table for a notebook or a terminal.

    Attributes:
        title: What is shown.
        headers, rows: The table.
        otherwise: What is said where it has no row.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    otherwise: str = ""

    def __repr__(self) -> str:
        if not self.rows:
            return self.otherwise
        more = [f"and {len(self.rows) - render.ROWS} more"] if len(self.rows) > render.ROWS else []
        return "\n".join([self.title, render.text_table(self.headers, self.rows[: render.ROWS]), *more])

    def _repr_html_(self) -> str:
        return self.markup._repr_html_()

    @property
    def markup(self) -> render.Markup:
        """As HTML."""
        return render.table(self.headers, self.rows, self.title) if self.rows else render.paragraph(self.otherwise)


@dataclass(frozen=True, slots=True, repr=False)
class Survey:
    """What many endpoints gave; each part is a table, and all of them are shown together.

    Attributes:
        seen: Each endpoint at each vantage, the last capture of it; in order of their names.
        at: When chains were verified, aware UTC.
        store: Against which roots.
    """

    seen: tuple[Seen, ...]
    at: datetime
    store: str

    @property
    def differing(self) -> Mapping[str, tuple[Seen, ...]]:
        """Endpoints that show one vantage another chain than the next, or none; each with all that it gave."""
        groups = self._by(lambda one: one.endpoint)
        return {str(name): group for name, group in groups.items() if len({one.chain for one in group}) > 1}

    @property
    def sharing(self) -> Mapping[Pin, tuple[str, ...]]:
        """Leaf keys that several endpoints hold, with them: the key that leaks here is lost there, too."""
        holders = {pin: _endpoints(group) for pin, group in self._by(lambda one: one.leaf).items()}
        shared = [(pin, names) for pin, names in holders.items() if isinstance(pin, Pin) and len(names) > 1]
        return dict(sorted(shared, key=lambda item: -len(item[1])))

    @property
    def overview(self) -> Part:
        """How many there are of each."""
        counts: dict[str, object] = {
            "endpoints": len(_endpoints(self.seen)),
            "vantages": ", ".join(sorted({text(one.vantage, 60) for one in self.seen})) or "none",
            "different chains": len({one.chain for one in self.seen if one.chain}),
            "different leaf keys": len({one.leaf for one in self.seen if one.leaf}),
            "without a chain": sum(bool(one.failure) for one in self.seen),
            "not verifying": sum(bool(one.why) for one in self.seen),
            "differing between vantages": len(self.differing),
        }
        title = f"At {moment(self.at)}, against the roots {text(self.store, 120)}"
        return Part(title, ("what", "how many"), tuple(counts.items()))

    def differences(self) -> Part:
        """What each vantage saw of the endpoints that do not look the same everywhere."""
        rows = tuple(
            (o.endpoint, o.vantage, o.leaf or "none", o.chain[:12] or "none", o.failure or o.reason or "verifies")
            for group in self.differing.values()
            for o in group
        )
        one = len({one.vantage for one in self.seen}) < 2
        otherwise = "There is one vantage, and nothing to compare it with." if one else "No endpoint differs."
        headers = ("endpoint", "seen from", "leaf key", "chain", "which")
        return Part("Not the same from everywhere", headers, rows, otherwise)

    def untrusted(self) -> Part:
        """What does not verify for its host, and why."""
        rows = tuple((one.endpoint, one.vantage, one.why, one.reason) for one in self.seen if one.why)
        otherwise = "Every chain verifies." if any(one.chain for one in self.seen) else "There is no chain to verify."
        return Part("Not verifying", ("endpoint", "seen from", "kind", "why"), rows, otherwise)

    def shared_keys(self) -> Part:
        """The leaf keys of several endpoints."""
        rows = tuple((pin, len(names), _some(names)) for pin, names in self.sharing.items())
        return Part("Keys that several share", ("leaf key", "endpoints", "which"), rows, "No key is shared.")

    def failures(self) -> Part:
        """Why there is no chain, the most frequent reason first."""
        groups = [(why, _endpoints(group)) for why, group in self._by(lambda one: one.failure).items() if why]
        rows = tuple((why, len(names), _some(names)) for why, names in sorted(groups, key=lambda one: -len(one[1])))
        headers = ("why there is no chain", "endpoints", "which")
        return Part("Without a chain", headers, rows, "Every endpoint gave a chain.")

    def expiring(self, most: int = 20) -> Part:
        """The leaves that end first.

        Args:
            most: How many to show.
        """
        ends = {(one.expires, one.endpoint) for one in self.seen if one.expires is not None}
        rows = tuple(
            (moment(end), f"{(end - self.at).days} days" if end > self.at else "EXPIRED", endpoint)
            for end, endpoint in sorted(ends)[:most]
        )
        return Part("The first to expire", ("leaf valid until", "left", "endpoint"), rows, "No certificate has an end.")

    def to_value(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "at": self.at.isoformat(), "roots": self.store, "differing": list(self.differing),
            "sharing": {str(pin): list(names) for pin, names in self.sharing.items()},
            "seen": [
                {"endpoint": o.endpoint, "vantage": o.vantage, "leaf": str(o.leaf) if o.leaf else None,
                 "chain": o.chain, "expires": o.expires.isoformat() if o.expires else None, "failure": o.failure,
                 "why": o.why, "reason": o.reason}
                for o in self.seen
            ],
        }  # fmt: skip

    def _by(self, key: Callable[[Seen], object]) -> dict[object, tuple[Seen, ...]]:
        groups: dict[object, list[Seen]] = {}
        for one in self.seen:
            groups.setdefault(key(one), []).append(one)
        return {name: tuple(group) for name, group in groups.items()}

    def _parts(self) -> tuple[Part, ...]:
        return (
            self.overview, self.differences(), self.untrusted(), self.shared_keys(), self.failures(), self.expiring(),
        )  # fmt: skip

    def __repr__(self) -> str:
        return "\n\n".join(repr(part) for part in self._parts())

    def _repr_html_(self) -> str:
        return render.fragment(*(part.markup for part in self._parts()))._repr_html_()


def _endpoints(group: Iterable[Seen]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.endpoint for one in group))


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
    return ", ".join(text(name, 80) for name in names[:_EXAMPLES]) + more


def survey(captures: Iterable[Captured], *, trust: TrustStore | None = None, at: datetime | None = None) -> Survey:
    """Sums up what `capture_many` or `load_captures` gives; chains themselves are not kept.

    Args:
        captures: Of one vantage or of several; an endpoint's last one at each vantage counts.
        trust: The roots to verify against; default: Mozilla's.
        at: When, aware; default: now.

    Raises:
        InputError: `at` is naive, or what `captures` raises.
    """
    store, when = trust or mozilla(), at or datetime.now(UTC)
    seen: dict[tuple[str, str], Seen] = {}
    for target, result in captures:
        endpoint = str(target.endpoint)
        if isinstance(result, CaptureFailure):
            one = Seen(endpoint, result.vantage, failure=result.reason)
        else:
            one = _seen(endpoint, target.host, result, store, when)
        seen[endpoint, one.vantage] = one
    return Survey(tuple(sorted(seen.values(), key=lambda one: (one.endpoint, one.vantage))), when, store.name)


def _seen(endpoint: str, host: str, chain: Chain, store: TrustStore, at: datetime) -> Seen:
    found, leaf = verify(chain, store, at=at, host=host), chain.leaf
    return Seen(
        endpoint, chain.obtained.vantage, leaf.pin, chain.sha256, leaf.not_after, why=found.why, reason=found.reason
    )
