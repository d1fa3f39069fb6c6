"""The incident file: what the responder knows and where the evidence is. TOML; all but the host may be left out."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from irkit.errors import InputError
from irkit.pins import PLATFORMS
from irkit.render import text

__all__ = [
    "Annotation",
    "Incident",
    "MetricsSource",
    "ObservedSource",
    "ReleaseSource",
    "Vantage",
    "load_incident",
    "narrow",
    "parse_incident",
]

WINDOW = timedelta(hours=24)
_T = TypeVar("_T")


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
    success: tuple[str, ...] = ("success",)
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
        id: Names the incident and its folder; the host and the start when the file gives none.
        start, end: The window looked at, aware UTC.
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
    folder: Path = Path()

    def path(self, name: str) -> Path:
        """A path of the file, relative to the folder of the file."""
        return self.folder / name


_TABLES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "incident": {"id": str, "host": str, "port": int, "start": datetime, "end": datetime},
    "metrics": {
        "url": str, "file": str, "metric": str, "labels": dict, "matchers": dict, "success": list, "kind": str,
        "token_env": str, "token_file": str, "username_env": str, "password_env": str, "password_file": str,
        "tenant": str, "ca_file": str, "client_cert": str, "client_key": str,
    },
    "annotation": {"what": str, "at": datetime, "metric": str, "matchers": dict},
    "capture": {
        "vantage": str, "trusted": bool, "connect": str, "server_name": str, "proxy": str, "starttls": str,
        "file": str, "at": datetime,
    },
    "observed": {"file": str, "at": datetime, "release": str, "network": str, "region": str},
    "release": {
        "app": str, "library": str, "platform": str, "version": str, "pins": str, "released": datetime,
        "share": (int, float),
    },
    "inventory": {"file": str},
    "history": {"folder": str},
    "reports": {"files": list},
    "trust": {"roots": list},
}  # fmt: skip
_LISTS = frozenset({"annotation", "capture", "observed", "release"})
_ROLES = ("domain", "result", "version", "platform", "region", "network")


def load_incident(path: str | Path, *, now: datetime | None = None) -> Incident:
    """Reads an incident file.

    Args:
        path: The TOML file.
        now: What "now" is for the defaults, aware; the clock's when left out.

    Raises:
        InputError: The file can't be read, is not TOML, has an unknown key or a value of the wrong kind.
    """
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"no incident file at {text(path)}", 'make one with two lines: [incident] and host = "api.example.com"'
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {text(path)}: {text(error, 120)}", "give a UTF-8 TOML file") from None
    return parse_incident(content, name=str(path), folder=path.parent, now=now)


def parse_incident(
    content: str, *, name: str = "the incident file", folder: Path = Path(), now: datetime | None = None
) -> Incident:
    """Reads the text of an incident file; see `load_incident`."""
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{text(name)} is not TOML: {text(error, 160)}", "mend that line and run it again") from None
    tables = {key: _table(document, key, name) for key in _TABLES if key not in _LISTS}
    lists = {key: _tables(document, key, name) for key in _LISTS}
    _refuse_unknown(document, tuple(_TABLES), name, "table")
    head = tables["incident"]
    host = head.get("host", "").strip().rstrip(".").lower()
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.:-]*[a-z0-9_])?", host):
        raise InputError(
            f"{text(name)} names no usable host: {text(head.get('host', ''), 80)!r}",
            'write host = "api.example.com" under [incident]: a name or an address, without https:// and port',
        )
    end = head.get("end", now or datetime.now(UTC)).replace(microsecond=0)
    start = head.get("start", end - WINDOW)
    if start >= end:
        raise InputError(f"{text(name)}: start {start} is not before end {end}", "swap them, or leave one out")
    return Incident(
        host=host,
        start=start,
        end=end,
        id=head.get("id") or f"{host}-{start:%Y%m%dT%H%MZ}",
        port=_port(head.get("port", 443), name),
        metrics=_metrics(tables["metrics"], name),
        vantages=tuple(_vantage(item, name) for item in lists["capture"]) or (Vantage(),),
        observed=tuple(ObservedSource(**_need(item, "file", "observed", name)) for item in lists["observed"]),
        releases=tuple(_release(item, name) for item in lists["release"]),
        annotations=tuple(_annotation(item, name) for item in lists["annotation"]),
        inventory=tables["inventory"].get("file", ""),
        history=tables["history"].get("folder", "captures"),
        reports=_texts(tables["reports"].get("files", []), "reports.files", name),
        roots=_texts(tables["trust"].get("roots", ["mozilla"]), "trust.roots", name),
        folder=folder,
    )


def _port(port: int, name: str) -> int:
    if not 0 < port < 65536:
        raise InputError(f"{text(name)}: port {port} is none", "a port is 1 to 65535")
    return port


def _metrics(item: dict[str, Any], name: str) -> MetricsSource | None:
    if not item:
        return None
    if bool(item.get("url")) == bool(item.get("file")):
        raise InputError(
            f"{text(name)}: [metrics] needs one of url and file",
            'write url = "http://prometheus:9090", or file = "failures.json"',
        )
    _refuse_unknown(item.get("labels", {}), _ROLES, name, "metrics.labels")
    if not all(isinstance(value, str) for value in item.get("labels", {}).values()):
        raise InputError(f"{text(name)}: metrics.labels holds a value that is not text", "put it in quotes")
    if item.get("kind", "counter") not in ("counter", "gauge", "rate"):
        raise InputError(f"{text(name)}: no kind {text(item['kind'], 40)!r}", "it is one of counter, gauge, rate")
    item["matchers"] = _matchers(item.get("matchers", {}), "metrics.matchers", name)
    return MetricsSource(**item | {"success": _texts(item.get("success", ["success"]), "metrics.success", name)})


def _matchers(item: dict[str, Any], key: str, name: str) -> dict[str, str | tuple[str, ...]]:
    found: dict[str, str | tuple[str, ...]] = {}
    for label, value in item.items():
        if not isinstance(value, str) and not (isinstance(value, list) and value):
            raise InputError(f"{text(name)}: {key} holds a value that is not text", "put it in quotes")
        found[label] = value if isinstance(value, str) else _texts(value, key, name)
    return found


def _annotation(item: dict[str, Any], name: str) -> Annotation:
    known, asked = item.get("at") is not None, bool(item.get("metric"))
    if known == asked or (known and not item.get("what")):
        raise InputError(
            f"{text(name)}: an [[annotation]] needs at and what, or a metric",
            'write at = 2026-11-23T09:00:00Z and what = "gateway deployed", or metric = "app_release_info"',
        )
    return Annotation(**item | {"matchers": _matchers(item.get("matchers", {}), "annotation.matchers", name)})


def _vantage(item: dict[str, Any], name: str) -> Vantage:
    if item.get("file") and item.get("connect"):
        raise InputError(f"{text(name)}: [[capture]] has both file and connect", "keep one; the other in its own table")
    item["name"] = item.pop("vantage", "local")
    return Vantage(**item)


def _release(item: dict[str, Any], name: str) -> ReleaseSource:
    _need(item, "pins", "release", name)
    if item.get("platform", "") not in ("", *PLATFORMS):
        raise InputError(
            f"{text(name)}: no platform {text(item['platform'], 40)!r}", "it is one of " + ", ".join(PLATFORMS)
        )
    if not 0 <= item.get("share", 0) <= 1:
        raise InputError(f"{text(name)}: share {item['share']} is not a share", "write 0.62 for 62 %")
    return ReleaseSource(**item)


def _need(item: dict[str, Any], key: str, table: str, name: str) -> dict[str, Any]:
    if not item.get(key):
        raise InputError(f"{text(name)}: a [[{table}]] has no {key}", f'add {key} = "…", or remove the table')
    return item


def _texts(values: list[Any], key: str, name: str) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise InputError(f"{text(name)}: {key} holds something that is not text", "put each entry in quotes")
    return tuple(values)


def _tables(document: Mapping[str, Any], key: str, name: str) -> list[dict[str, Any]]:
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InputError(f"{text(name)}: {key} is not a list of tables", f"write [[{key}]] with two brackets")
    return [_table({key: item}, key, name) for item in found]


def _table(document: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    item = document.get(key, {})
    if not isinstance(item, dict):
        raise InputError(f"{text(name)}: {key} is not a table", f"write [{key}] on a line of its own")
    _refuse_unknown(item, tuple(_TABLES[key]), name, key)
    checked = {}
    for field_name, value in item.items():
        wanted = _TABLES[key][field_name]
        checked[field_name] = _time(value, f"{key}.{field_name}", name) if wanted is datetime else value
        if wanted is not datetime and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
            kind = {str: "text in quotes", int: "a whole number", bool: "true or false", list: "a list"}
            raise InputError(
                f"{text(name)}: {key}.{field_name} is {text(value, 60)}",
                f"it must be {kind.get(wanted, 'a table') if isinstance(wanted, type) else 'a number'}",
            )
    return checked


def _time(value: object, where: str, name: str) -> datetime:
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC)
    if isinstance(value, datetime | date):
        raise InputError(
            f"{text(name)}: {where} = {value} has no time zone", "write it as 2026-11-23T09:00:00Z, in UTC"
        )
    raise InputError(f"{text(name)}: {where} is not a time", "write it as 2026-11-23T09:00:00Z, without quotes")


def _refuse_unknown(item: Mapping[str, Any], known: tuple[str, ...], name: str, where: str) -> None:
    for key in item:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            raise InputError(
                f"{text(name)}: unknown key {text(key, 60)!r} in {where}",
                f"did you mean {near[0]!r}?" if near else "it knows " + ", ".join(known),
            )


def narrow(incident: Incident, host: str = "", hours: float = 0, vantages: str = "", releases: str = "") -> Incident:
    """An incident with another host, a window of its last hours, or only some of its vantages and releases.

    Args:
        incident: Where to start from.
        host: Another host; empty keeps it.
        hours: Before the end; 0 keeps the start.
        vantages: Names, with commas between; empty keeps all.
        releases: Names as `shop 4.2.0`, with commas between; empty keeps all.

    Raises:
        InputError: A name is not in the incident.
    """
    return replace(
        incident,
        host=host.lower() or incident.host,
        start=incident.end - timedelta(hours=hours) if hours else incident.start,
        vantages=_some(incident.vantages, vantages, lambda item: item.name),
        releases=_some(incident.releases, releases, lambda item: f"{item.app} {item.version}".strip()),
    )


def _some(items: tuple[_T, ...], wanted: str, name: Callable[[_T], str]) -> tuple[_T, ...]:
    names = {part.strip() for part in wanted.split(",") if part.strip()}
    if unknown := names - {name(item) for item in items}:
        there = ", ".join(text(name(item), 60) for item in items) or "none"
        raise InputError(f"the incident has no {text(min(unknown), 60)!r}", f"it has: {there}")
    return tuple(item for item in items if not names or name(item) in names)
