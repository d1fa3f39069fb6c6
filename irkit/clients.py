"""What failing clients saw: sent chains and reports, sorted by whose key it is and what kind of stranger it is not.

Anyone can send either. A stranger's chain raises suspicion; that a client saw the owner's own lowers none. Chains that
share their issuer, release, place and failure are one client group: an interceptor mints a leaf for every device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from irkit.certificate import Pin
from irkit.chain import Chain
from irkit.evidence import Evidence
from irkit.interception import authorised, portal, recognise
from irkit.reportline import Kind
from irkit.reports import Sighting
from irkit.trust import covers, linked_path, verify

__all__ = ["Client", "Nature", "clients"]

# `ours`: a key that the owner or a trusted vantage knows. The rest are strangers, by what the chain shows:
# `authorised`: signed by an inspection CA of the inventory. `product`: an issuer named like an antivirus or a
# middlebox. `debug`: like a debugging proxy, on a device or two. `elsewhere`: for other names than the host, as a
# sign-in page's. `public`: leads to the trusted roots. `private`: does not. `untold`: a log without certificates.
Nature = Literal["ours", "authorised", "product", "debug", "elsewhere", "public", "private", "untold"]

EXAMINED = 16  # groups whose signatures are checked for themselves; those of other issuers count as the worst
FEW = 3  # devices that a debugging proxy may be on


@dataclass(frozen=True, slots=True)
class Client:
    """A group of failing clients that saw chains of one issuer.

    Attributes:
        chain: One of those chains; empty for `untold`.
        leaf: Its leaf key.
        nature: See `Nature`.
        kind: What failed, as the clients have it; a chain that someone sent counts as `pin`.
        name: Of the inspection CA, the product, or the known sign-in page; empty for the others.
        count: How many say so: a floor. `devices`: 0 if unknown.
        source: The file.
        reason: Why the chain does not verify; empty where it does, or was not examined.
    """

    chain: Chain
    leaf: Pin | None
    nature: Nature
    kind: Kind = "pin"
    name: str = ""
    count: int = 1
    devices: int = 0
    source: str = ""
    at: datetime | None = None
    release: str = ""
    platform: str = ""
    network: str = ""
    region: str = ""
    reason: str = ""

    @property
    def stranger(self) -> bool:
        """Whether it saw a leaf key that nobody knows."""
        return self.nature not in ("ours", "untold")


class _Shown(NamedTuple):
    """What a chain shows: whose it is, what its maker is called, and why it does not verify."""

    nature: Nature
    name: str = ""
    reason: str = ""

    def on(self, devices: int) -> _Shown:
        """The same for so many devices: a debugging proxy on many is none."""
        return self._replace(nature="private") if self.nature == "debug" and devices > FEW else self


@dataclass(slots=True)
class _Group:
    """Sightings alike: the first of them, and all of them counted."""

    sighting: Sighting
    chain: Chain
    count: int = 0
    devices: int = 0


_PINS_ONLY = _Shown("private", "", "the log names pins only")
_UNEXAMINED = _Shown("private", "", "too many different chains to examine each")


def clients(evidence: Evidence, known: Mapping[Pin, str] | frozenset[Pin]) -> tuple[Client, ...]:
    """Sorts what clients saw, the most told of first; chains that were sent by hand come before reports.

    Args:
        evidence: With its observed chains and reports.
        known: Leaf keys that the owner or a trusted vantage knows.
    """
    found = list[Client]()
    for item in (sent for sent in evidence.observed if len(sent.chain)):
        pin = item.chain.leaf.pin
        shown = _Shown("ours") if pin in known else _examined(evidence, item.chain, item.at, item.network).on(1)
        found.append(
            Client(item.chain, pin, shown.nature, "pin", shown.name, source=item.source, at=item.at,
                   release=item.release, network=item.network, region=item.region, reason=shown.reason)
        )  # fmt: skip
    of_leaf: dict[Pin | None, _Shown] = {c.leaf: _Shown(c.nature, c.name, c.reason) for c in found}
    of_issuer: dict[tuple[object, str], _Shown] = {}
    left = EXAMINED
    groups = _groups(evidence, known).items()
    for key, group in sorted(groups, key=lambda pair: (not len(pair[1].chain), -pair[1].count)):
        leaf, chain, report = group.sighting.leaf, group.chain, group.sighting.report
        issuer = key[1], report.network
        if key[0]:
            shown = _Shown("ours")
        elif not len(chain):  # a log without certificates: as a chain with that leaf key that somebody else sent
            shown = _Shown("untold") if leaf is None else of_leaf.get(leaf, _PINS_ONLY)
        elif issuer in of_issuer and of_issuer[issuer].nature != "elsewhere":
            shown = of_issuer[issuer]  # one issuer's leaves are of one nature, but for the names they are for
        elif left > 0:
            at = None if report.local else report.at  # local time is off by hours
            shown = of_issuer[issuer] = _examined(evidence, chain, at, report.network)
            left -= 1
        else:
            shown = _UNEXAMINED
        if len(chain) and shown is not _UNEXAMINED:
            of_leaf[leaf] = shown
        found.append(_client(group, shown.on(group.devices or group.count)))
    return tuple(found)


def _groups(evidence: Evidence, known: Mapping[Pin, str] | frozenset[Pin]) -> dict[tuple[object, ...], _Group]:
    groups: dict[tuple[object, ...], _Group] = {}
    hashes = {pin.digest for pin in known}  # bytes keep their hash, and there may be ten thousand leaves
    for sighting in _told(evidence):
        report, leaf = sighting.report, sighting.leaf
        ours = leaf is not None and leaf.digest in hashes
        certificates = report.served or report.validated
        # What signed the leaf: the certificates above it, or for a bare leaf nothing but itself.
        above: object = None
        if not ours and len(certificates) == 2:  # by far the most: a leaf and what signed it
            above = certificates[1].der
        elif not ours:
            above = tuple(c.der for c in certificates[1:]) or (certificates[:1] and certificates[0].issuer)
        key = ours, above, report.version, report.platform, report.app, report.region, report.network, report.kind
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(sighting, sighting.chain)
        group.count += sighting.count
        group.devices += sighting.devices
    return groups


def _told(evidence: Evidence) -> Iterable[Sighting]:
    """Reports of failures of the host."""
    if evidence.reports is None:
        return ()
    return (s for s in evidence.reports.of(evidence.incident.host) if s.report.kind not in ("success", "other"))


def _client(group: _Group, shown: _Shown) -> Client:
    sighting, report = group.sighting, group.sighting.report
    release = " ".join(part for part in (report.app, report.version) if part)
    return Client(
        group.chain, sighting.leaf, shown.nature, report.kind, shown.name, group.count, group.devices,
        sighting.source, sighting.first, release, report.platform, report.network, report.region, shown.reason,
    )  # fmt: skip


def _examined(evidence: Evidence, chain: Chain, at: datetime | None, network: str) -> _Shown:
    """What kind of stranger a chain is, the name of its maker, and why it does not verify."""
    path = linked_path(chain)
    inspections = () if evidence.inventory is None else evidence.inventory.inspections
    if allowed := authorised(path, inspections, network):
        return _Shown("authorised", allowed)
    host = evidence.incident.host
    if evidence.trust is not None:
        verified = verify(chain, evidence.trust, at=at or evidence.now, host=host)
        if verified.ok:
            return _Shown("public")
        reason = verified.reason
    else:
        reason = "no roots were given to verify it with"
    if not covers(chain.leaf, host):
        return _Shown("elsewhere", portal(chain.leaf), reason)
    if product := recognise(path):
        return _Shown("debug" if product.kind == "debugger" else "product", product.name, reason)
    began, seen = chain.leaf.not_before, at or evidence.now
    if began is not None and timedelta(0) <= seen - began < timedelta(minutes=30):
        return _Shown("debug", "", reason)  # minted while the client waited
    return _Shown("private", "", reason)
