"""The incident file: what the responder knows and where the evidence is. TOML; all but the host may be left out."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from irkit.errors import InputError
from irkit.files import read_file
from irkit.link import Endpoint
from irkit.pins import PLATFORMS
from irkit.render import text
from irkit.tomlfile import (
    FLAG,
    TEXT,
    WHOLE,
    Table,
    moment,
    one_of,
    parse_toml,
    refuse_unknown,
    share,
    texts,
)  # fmt: skip

__all__ = [
    "Annotation",
    "Incident",
    "MetricsSource",
    "ObservedSource",
    "ReleaseSource",
    "Vantage",
    "load_incident",
    "parse_incident",
    "usable_host",
]

WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class MetricsSource:
    """Where failures are counted: a Prometheus URL or a saved answer, with what its metric and labels are called.

    Attributes:
        url: Prometheus' base URL; empty when `file` is given.
        file: What `irkit metrics save` wrote, a saved body of /api/v1/query_range, a Grafana CSV, Parquet or an
            OpenMetrics dump; empty when `url` is given.
        kind: What the values are: `counter`, `gauge` of counts, or `rate` per second; empty for what a file says,
            else `counter`.
        labels: From irkit's roles (domain, result, version, platform, region, network) to the labels' names.
        matchers: Further conditions: label to value, or to several values of which one must be.
        success: The values of the result label that are no failure; every other is one.
        token_env, username_env, password_env: Names of environment variables; never the secrets themselves.
        token_file, password_file, ca_file, client_cert, client_key: Files, relative to the incident file.
    """

    url: str = ""
    file: str = ""
    metric: str = "cert_pin_validation_total"
    labels: Mapping[str, str] = field(default_factory=dict)
    matchers: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    success: tuple[str, ...] = ("success", "unpinned")
    kind: Literal["", "counter", "gauge", "rate"] = ""
    token_env: str = ""
    token_file: str = ""
    username_env: str = ""
    password_env: str = ""
    password_file: str = ""
    tenant: str = ""
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """Something that changed on the server's side: known (`at` and `what`), or to be dated by a metric.

    Attributes:
        what: In words.
        at: When; None when a metric says.
        metric: In the Prometheus of `[metrics]`: an `…_info` metric changes by its labels, every other by its value.
        matchers: Label to value, or to several values of which one must be.
    """

    what: str = ""
    at: datetime | None = None
    metric: str = ""
    matchers: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vantage:
    """A place to capture from, or a chain that was captured there.

    Attributes:
        name: What the vantage is called.
        trusted: Whether the owner holds the path from there to the server for free of interception.
        connect: "address:port" to connect to; empty for every address of the host.
        server_name: SNI; empty for the host.
        file: A chain in a file instead of a connection, seen at `at`.
    """

    name: str = "local"
    trusted: bool = True
    connect: str = ""
    server_name: str = ""
    proxy: str = ""
    starttls: str = ""
    file: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObservedSource:
    """A file with a chain that a failing client saw; never trusted."""

    file: str
    at: datetime | None = None
    release: str = ""
    network: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseSource:
    """A release and the file with the pins it ships."""

    pins: str
    app: str = ""
    version: str = ""
    platform: str = ""
    library: str = ""
    released: datetime | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """What is asked: the host, the window, and where the evidence is.

    Attributes:
        host: A name or an address, in lower case.
        start, end: The window looked at, aware UTC.
        id: Names the incident and its folder; the host and the start when the file gives none.
        port: Of the endpoint.
        metrics: Where failures are counted; None when nowhere.
        vantages: Places to capture from.
        observed: Files with what failing clients saw.
        releases: Files with the pins that each ships.
        annotations: What changed on the server's side.
        inventory, history, reports, roots, crls: The other sections of the file, paths relative to `folder`.
        runbooks: A folder with the team's own runbooks; empty for those that ship with irkit alone.
        folder: What relative paths are relative to.
    """

    host: str
    start: datetime
    end: datetime
    id: str = ""
    port: int = 443
    metrics: MetricsSource | None = None
    vantages: tuple[Vantage, ...] = (Vantage(),)
    observed: tuple[ObservedSource, ...] = ()
    releases: tuple[ReleaseSource, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    inventory: str = ""
    history: str = "captures"
    reports: tuple[str, ...] = ()
    roots: tuple[str, ...] = ("mozilla",)
    crls: tuple[str, ...] = ()
    runbooks: str = ""
    folder: Path = Path()

    def path(self, name: str) -> Path:
        """A path of the file, relative to the folder of the file."""
        return self.folder / name


def _port(value: Any, where: str) -> int:
    if not 0 < WHOLE(value, where) < 65536:
        raise InputError(f"{where}: port {value} is none", "a port is 1 to 65535")
    return int(value)


def usable_host(value: Any, where: str) -> str:
    """A host as it is looked up; `where` says who names it.

    Raises:
        InputError: It is no name and no address.
    """
    host: str = TEXT(value, where).strip().rstrip(".").lower()
    if re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", host) or (":" in host and Endpoint(host, 443).is_address):
        return host
    hint = "write a name or an address, without https:// and port"
    with contextlib.suppress(UnicodeError):
        if not host.isascii():
            hint = f"write it as certificates do: {text(host.encode('idna').decode(), 300)}"
    raise InputError(f"{where} is no usable host: {text(value, 80)!r}", hint)


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where} is {text(value, 60)}", 'it must be a table, as { job = "gateway" }')
    return value


def _labels(value: Any, where: str) -> dict[str, str]:
    refuse_unknown(_table(value, where), ("domain", "result", "version", "platform", "region", "network"), where)
    return {role: TEXT(label, f"{where}.{role}") for role, label in value.items()}


def _matchers(value: Any, where: str) -> dict[str, str | tuple[str, ...]]:
    found: dict[str, str | tuple[str, ...]] = {}
    for label, item in _table(value, where).items():
        found[label] = texts(item, where) if isinstance(item, list) and item else TEXT(item, where)
    return found


_TABLES: dict[str, Table] = {
    "incident": Table(
        {"id": TEXT, "host": usable_host, "port": _port, "start": moment, "end": moment}, needed=("host",)
    ),
    "metrics": Table({
        "url": TEXT, "file": TEXT, "metric": TEXT, "labels": _labels, "matchers": _matchers, "success": texts,
        "kind": one_of("counter", "gauge", "rate"), "token_env": TEXT, "token_file": TEXT, "username_env": TEXT,
        "password_env": TEXT, "password_file": TEXT, "tenant": TEXT, "ca_file": TEXT, "client_cert": TEXT,
        "client_key": TEXT,
    }),
    "annotation": Table({"what": TEXT, "at": moment, "metric": TEXT, "matchers": _matchers}, many=True),
    "capture": Table({
        "vantage": TEXT, "trusted": FLAG, "connect": TEXT, "server_name": TEXT, "proxy": TEXT, "starttls": TEXT,
        "file": TEXT, "at": moment,
    }, many=True),
    "observed": Table(
        {"file": TEXT, "at": moment, "release": TEXT, "network": TEXT, "region": TEXT}, needed=("file",), many=True
    ),
    "release": Table({
        "app": TEXT, "library": TEXT, "platform": one_of("", *PLATFORMS), "version": TEXT, "pins": TEXT,
        "released": moment, "share": share,
    }, needed=("pins",), many=True),
    "inventory": Table({"file": TEXT}),
    "history": Table({"folder": TEXT}),
    "reports": Table({"files": texts}),
    "trust": Table({"roots": texts, "crls": texts}),
    "runbooks": Table({"folder": TEXT}),
}  # fmt: skip


def load_incident(path: str | Path, *, now: datetime | None = None) -> Incident:
    """Reads an incident file.

    Args:
        path: The TOML file.
        now: What "now" is for the defaults, aware; the clock's when left out.

    Raises:
        InputError: The file can't be read, is not TOML, has an unknown key or a value of the wrong kind.
    """
    path = Path(path)
    hint = 'make one with two lines: [incident] and host = "api.example.com"'
    content = read_file(path, hint, what="incident file")
    return parse_incident(content, name=str(path), folder=path.parent, now=now)


def parse_incident(
    content: str | bytes, *, name: str = "the incident file", folder: Path = Path(), now: datetime | None = None
) -> Incident:
    """Reads the text of an incident file; see `load_incident`."""
    found = parse_toml(content, _TABLES, name)
    head = found["incident"]
    end = head.get("end", now or datetime.now(UTC)).replace(microsecond=0)
    start = head.get("start", end - WINDOW)
    if start >= end:
        raise InputError(f"{text(name)}: start {start} is not before end {end}", "swap them, or leave one out")
    return Incident(
        host=head["host"],
        start=start,
        end=end,
        id=head.get("id") or f"{head['host']}-{start:%Y%m%dT%H%MZ}",
        port=head.get("port", 443),
        metrics=_metrics(found["metrics"], name),
        vantages=tuple(_vantage(item, name) for item in found["capture"]) or (Vantage(),),
        observed=tuple(ObservedSource(**item) for item in found["observed"]),
        releases=tuple(ReleaseSource(**item) for item in found["release"]),
        annotations=tuple(_annotation(item, name) for item in found["annotation"]),
        inventory=found["inventory"].get("file", ""),
        history=found["history"].get("folder", "captures"),
        reports=found["reports"].get("files", ()),
        roots=found["trust"].get("roots", ("mozilla",)),
        crls=found["trust"].get("crls", ()),
        runbooks=found["runbooks"].get("folder", ""),
        folder=folder,
    )


def _metrics(item: dict[str, Any], name: str) -> MetricsSource | None:
    if item and bool(item.get("url")) == bool(item.get("file")):
        raise InputError(
            f"{text(name)}: [metrics] needs one of url and file",
            'write url = "http://prometheus:9090", or file = "failures.json"',
        )
    return MetricsSource(**item) if item else None


def _annotation(item: dict[str, Any], name: str) -> Annotation:
    known, asked = item.get("at") is not None, bool(item.get("metric"))
    if known == asked or (known and not item.get("what")):
        raise InputError(
            f"{text(name)}: an [[annotation]] needs at and what, or a metric",
            'write at = 2026-11-23T09:00:00Z and what = "gateway deployed", or metric = "app_release_info"',
        )
    return Annotation(**item)


def _vantage(item: dict[str, Any], name: str) -> Vantage:
    if item.get("file") and item.get("connect"):
        raise InputError(f"{text(name)}: [[capture]] has both file and connect", "keep one; the other in its own table")
    return Vantage(item.pop("vantage", "local"), **item)
