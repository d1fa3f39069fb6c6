"""Dating what changed on the server's side from what is monitored anyway.

blackbox_exporter's `probe_ssl_last_chain_info` is the best witness: the fingerprint as served, at every probe
(prober/tls.go). It is missing while the handshake fails, and it names the certificate, not its key.
`probe_ssl_earliest_cert_expiry` shows a change by its value only; ssl_exporter and ingress-nginx by a serial number;
x509-certificate-exporter and cert-manager show what was issued, served or not. A label is evidence of a date and never
of a key: nothing here is read as a pin.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from irkit.changes import ServerChange
from irkit.counters import TARGET, Series, parse, read_matrix
from irkit.incident import Annotation
from irkit.promql import Matcher, Selector
from irkit.render import text

__all__ = ["ServerChanges", "changes_of", "in_order", "load_changes", "noted", "of_host", "selectors", "server_entry"]

MOST = 40  # changes of one kind of series that are told; a metric that changes more often dates nothing

_PROBE = ("fingerprint_sha256", "subject", "issuer", "subjectalternative", "serialnumber")


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a metric tells one thing from the next.

    Attributes:
        kind: Of the change.
        labels: That change with it. Without any, the value is what changes.
        says: `{}` is replaced by the first of these labels, or by the value.
        dated: The value is a time: when the certificate becomes valid, or is to be renewed.
    """

    kind: str
    labels: tuple[str, ...]
    says: str
    dated: bool = False


_KNOWN = {
    "probe_ssl_last_chain_info": _Reading("served", _PROBE, "certificate {} served"),
    "probe_ssl_earliest_cert_expiry": _Reading("served", (), "the chain's earliest expiry became {}", dated=True),
    "ssl_cert_not_before": _Reading(
        "served", ("serial_no", "issuer_cn", "cn", "dnsnames", "ips", "emails", "ou", "chain_no"),
        "certificate with serial number {} served",
    ),
    "nginx_ingress_controller_ssl_certificate_info": _Reading(
        "served", ("serial_number", "identifier", "issuer_common_name", "issuer_organization", "public_key_algorithm"),
        "certificate with serial number {} loaded",
    ),
    "x509_cert_not_after": _Reading(
        "issued", ("serial_number", "issuer_CN", "issuer_C", "issuer_O", "issuer_OU", "subject_CN"),
        "certificate with serial number {} on disk",
    ),
    "certmanager_certificate_not_before_timestamp_seconds": _Reading(
        "issued", (), "certificate valid from {} issued", dated=True
    ),
    "certmanager_certificate_expiration_timestamp_seconds": _Reading(
        "issued", (), "certificate valid until {} issued", dated=True
    ),
    "certmanager_certificate_renewal_timestamp_seconds": _Reading("planned", (), "renewal, perhaps with a new key"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServerChanges:
    """What was asked of Prometheus about the server, and what it showed.

    Attributes:
        changes: In order of time.
        findings: What the reader should know, as sentences.
        entries: The answers, as JSON; `load_changes` reads a list of them.
    """

    changes: tuple[ServerChange, ...]
    findings: tuple[str, ...]
    entries: tuple[bytes, ...] = ()


def in_order(changes: Iterable[ServerChange]) -> tuple[ServerChange, ...]:
    """Changes in order of time, each once."""
    return tuple(sorted(dict.fromkeys(changes), key=lambda one: (one.at, one.source, one.where, one.what)))


def noted(annotations: Iterable[Annotation]) -> list[ServerChange]:
    """The annotations whose time is known."""
    return [ServerChange(one.at, one.what) for one in annotations if one.at is not None]


def server_entry(query: str, at: datetime, what: str, body: bytes) -> bytes:
    """One answer with what was asked, as JSON."""
    head = {"about": "server", "query": query, "time": at.timestamp(), "what": what}
    return json.dumps(head)[:-1].encode() + b', "body": ' + body.strip() + b"}"


def load_changes(data: bytes, host: str, what: str = "the saved answers") -> ServerChanges:
    """The changes in what `irkit metrics save` wrote; none where it holds no answers about the server.

    Raises:
        MetricsError: The file is damaged.
    """
    if data.lstrip()[:1] != b"[":
        return ServerChanges((), ())
    document, lists = parse(data, what)
    found, findings = list[ServerChange](), list[str]()
    for item in document if isinstance(document, list) else []:
        if isinstance(item, dict) and item.get("about") == "server":
            series, said = read_matrix(item.get("body"), lists, what)
            changes, more = changes_of(series, host, str(item.get("what", "")))
            found += changes
            findings += [*said, *more]
    return ServerChanges(in_order(found), tuple(findings))


def selectors(host: str) -> tuple[Selector, ...]:
    """The series of the known metrics that name this host: as the probed instance, an ingress' host, or a subject.

    cert-manager's name none; the incident file has to say which they are.
    """
    wildcard = "*." + host.partition(".")[2]
    address = rf"([A-Za-z]+://)?(?i:{re.escape(host)})(:[0-9]+)?(/.*)?"
    probes = "probe_ssl_last_chain_info|probe_ssl_earliest_cert_expiry|ssl_cert_not_before"
    return (
        Selector("", (Matcher("__name__", probes, "=~"), Matcher("instance", address, "=~"))),
        Selector("nginx_ingress_controller_ssl_certificate_info", (Matcher.one_of("host", (host, wildcard)),)),
        Selector("x509_cert_not_after", (Matcher.one_of("subject_CN", (host, wildcard)),)),
    )


def of_host(series: Iterable[Series], host: str) -> list[Series]:
    """Of a dump's series, those of the known metrics that name this host, as `selectors` asks for them."""
    wildcard = "*." + host.partition(".")[2]
    address = re.compile(rf"([A-Za-z]+://)?(?i:{re.escape(host)})(:[0-9]+)?(/.*)?")
    return [
        item
        for item in series
        if item.labels.get("__name__") in _KNOWN
        and any(
            value == wildcard or address.fullmatch(value)
            for value in (item.labels.get(label, "") for label in ("instance", "target", "host", "subject_CN"))
        )
    ]


def changes_of(series: Sequence[Series], host: str, what: str = "") -> tuple[tuple[ServerChange, ...], tuple[str, ...]]:
    """The changes that raw samples show, in order of time.

    Args:
        series: With their names; samples at the times they were taken.
        host: Of a chain's several certificates, the one for this host counts where labels tell.
        what: Instead of the words for this kind of metric.

    Returns:
        The changes; and findings: where several certificates alternate, and what changes too often to date anything.
    """
    changes, findings = list[ServerChange](), list[str]()
    named: dict[str, list[Series]] = {}
    for item in series:
        named.setdefault(item.labels.get("__name__", ""), []).append(item)
    for name, items in sorted(named.items()):
        reading = _KNOWN.get(name) or _unknown(name)
        if name == "ssl_cert_not_before":
            items = [item for item in items if _is_leaf(item.labels, host)] or items  # noqa: PLW2901 - fewer of them
        for place, group in _places(items, reading, known=name in _KNOWN):
            found, said = _changes(group, name, reading, place, what)
            if len(found) > MOST:
                findings.append(f"{text(name, 80)}{place and ' of ' + place} changes {len(found)} times; none is told")
            else:
                changes += found
                findings += said
    # A fingerprint says all that an expiry says, of the same probe.
    fingerprinted = {item.where for item in changes if item.fingerprint}
    changes = [c for c in changes if c.source != "probe_ssl_earliest_cert_expiry" or c.where not in fingerprinted]
    return tuple(sorted(changes, key=lambda one: (one.at, one.source, one.where))), tuple(findings)


def _unknown(name: str) -> _Reading:
    """A metric that only the incident file names: `…_info` by its labels, every other by its value."""
    release = "release" in name or "version" in name or "build" in name
    return _Reading("release" if release else "deployment", ("*",) if name.endswith("_info") else (), "{}")


def _is_leaf(labels: Mapping[str, str], host: str) -> bool:
    names = {labels.get("cn", ""), *labels.get("dnsnames", "").split(",")}
    return bool({host, "*." + host.partition(".")[2]} & {name.lower() for name in names})


def _places(series: Sequence[Series], reading: _Reading, *, known: bool) -> Iterator[tuple[str, list[Series]]]:
    """The series of each place, where one thing follows another; with the place in words."""
    groups: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for item in series:
        if reading.labels == ("*",):
            place: tuple[tuple[str, str], ...] = ()  # releases live side by side, and pods come and go
        else:
            apart = {"__name__", *reading.labels}
            place = tuple(sorted((k, v) for k, v in item.labels.items() if k not in apart))
        groups.setdefault(place, []).append(item)
    for place, group in sorted(groups.items()):
        told = [value for key, value in place if key != "job" and not (key in TARGET[1:] and not known)]
        yield ", ".join(text(value, 60) for value in told[:4]), group


def _changes(
    group: Sequence[Series], name: str, reading: _Reading, place: str, what: str
) -> tuple[list[ServerChange], list[str]]:
    seen: dict[tuple[object, ...], list[float]] = {}  # what it was, and its first and last time
    serial: dict[tuple[object, ...], Mapping[str, str]] = {}
    times: set[float] = set()
    for item in group:
        key = _identity(item.labels, reading)
        for at, value in zip(item.times.tolist(), item.values.tolist(), strict=True):
            if value != value:  # noqa: PLR0124 - NaN, the mark of a series that ended
                continue
            times.add(at)
            one = key or (value,)
            span = seen.setdefault(one, [at, at])
            span[0], span[1] = min(span[0], at), max(span[1], at)
            serial.setdefault(one, item.labels)
    if not times:
        return [], []
    if reading.kind == "planned":
        return _planned(seen, max(times), name, place, what), []
    moments, ordered = sorted(times), sorted(seen.items(), key=lambda pair: pair[1])
    begin, end = moments[0], moments[-1]
    found, said = [], []
    for one, (first, last) in ordered:
        labels = serial[one]
        if first == begin:
            continue
        before = moments[bisect_left(moments, first) - 1]
        until = None if reading.labels in ((), ("*",)) or last == end else _time(last)
        found.append(
            ServerChange(
                at=_time(first),
                what=_words(one, reading, labels, place, what),
                kind=reading.kind,  # type: ignore[arg-type]  # of KINDS
                earliest=_time(before),
                until=until,
                source=name,
                where=place,
                fingerprint=labels.get("fingerprint_sha256", "").replace(":", "").lower()[:64],
                serial=next((labels[k] for k in ("serialnumber", "serial_no", "serial_number") if labels.get(k)), ""),
            )
        )
    if reading.kind == "served" and reading.labels:
        for (_, (_, left)), (_, (right, _)) in pairwise(ordered):
            if left > right:
                said.append(
                    f"{text(name, 80)} of {place}: certificates alternate from {_time(right):%Y-%m-%d %H:%M} to "
                    f"{_time(left):%Y-%m-%d %H:%M} UTC: not every server had the same one"
                )
    return found, said[:5]


def _identity(labels: Mapping[str, str], reading: _Reading) -> tuple[object, ...]:
    if reading.labels == ("*",):
        return tuple(sorted((k, v) for k, v in labels.items() if k not in (*TARGET, "__name__"))) or (("", ""),)
    return tuple(labels.get(label, "") for label in reading.labels)


def _planned(
    seen: Mapping[tuple[object, ...], Sequence[float]], end: float, name: str, place: str, what: str
) -> list[ServerChange]:
    """The newest plan, where it still lies ahead."""
    value = max(seen, key=lambda one: seen[one][1])[0]
    if not isinstance(value, float) or not end < value < end + 20 * 366 * 86400:
        return []
    words = what or f"{_KNOWN[name].says} ({place})"
    return [ServerChange(_time(value), words, "planned", source=name, where=place)]


def _words(one: tuple[object, ...], reading: _Reading, labels: Mapping[str, str], place: str, what: str) -> str:
    if reading.labels == ("*",):
        pairs = " ".join(text(pair[1], 60) for pair in one if isinstance(pair, tuple) and pair[1])
        return f"{what}: {pairs}" if what else pairs or text(labels.get("__name__", ""), 80)
    if what:
        return what
    if reading.labels:
        value = text(one[0], 80)
        return reading.says.format(f"{value[:16]}…" if reading.labels is _PROBE else value)
    if reading.dated and isinstance(one[0], float) and 0 < one[0] < 32503680000:
        return reading.says.format(f"{_time(one[0]):%Y-%m-%d %H:%M} UTC")
    return f"{text(labels.get('__name__', ''), 80)} of {place} changed" if place else text(labels.get("__name__", ""))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
