"""SOURCE  From an alert to an incident: which host, since when, and whose series.

Read are the body that Alertmanager sends to a webhook (version 4; Grafana sends the same), the alerts of its API v2,
and those of Prometheus' own /api/v1/alerts. Whoever can fire an alert writes what is in it: every value is data, it
becomes a quoted value of the incident file, and no address in it is ever connected to.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import urlsplit

from irkit.errors import InputError
from irkit.files import read_file
from irkit.incident import Incident, MetricsSource, load_incident
from irkit.render import text

if TYPE_CHECKING:
    from irkit.transport import Access

__all__ = ["Alert", "incident_from_alerts", "load_alerts", "parse_alerts"]

LIMIT = 16 * 2**20  # bytes of a body: an Alertmanager can hold thousands of alerts
DEADLINE = 15.0  # seconds to get it
LOOKBACK = timedelta(hours=24)  # before the alert: it lags the onset, and the day before is the baseline
LONGEST = timedelta(days=7)

# Labels that name the host, the first that is there; one more comes from the incident file's [metrics] labels.
_HOSTS = ("domain", "host", "hostname", "server_name", "instance", "target")
# Labels that say whose series an alert is about. Those of releases and regions are no matchers: a triage compares the
# failing ones with the others. Nor is any other label: external labels aren't on the series that Prometheus keeps.
_MATCHERS = ("job", "namespace", "service")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.:-]*[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as it was sent. Every text in it is the sender's: show it through `irkit.render`.

    Attributes:
        labels: With `alertname`.
        annotations: Such as `summary` and `runbook_url`.
        start: When it began to fire, or for Prometheus when its condition was first met; aware UTC, None if unknown.
        end: When it was resolved, aware UTC; None while it fires.
        firing: Whether it fires, or is pending.
        source: The address of the expression, where one is given. It is never fetched.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    start: datetime | None = None
    end: datetime | None = None
    firing: bool = True
    source: str = ""

    @property
    def name(self) -> str:
        """Its `alertname`."""
        return self.labels.get("alertname", "")


def load_alerts(source: str | Path, *, deadline: float = DEADLINE, **access: Unpack[Access]) -> tuple[Alert, ...]:
    """Reads alerts from a file, from standard input, or from the address of an API.

    Args:
        source: A file; `-` for standard input; or a URL that a responder gives, such as
            `http://alertmanager:9093/api/v2/alerts` or `http://prometheus:9090/api/v1/alerts`.
        deadline: Seconds for a URL.
        access: How a URL's server lets one in; see `irkit.transport.Access`.

    Raises:
        InputError: There is no such file, it is larger than 16 MB, or it holds no alert.
        MetricsError: The URL gives no answer.
    """
    name = str(source)
    if name.startswith(("http://", "https://")):
        from irkit.transport import get

        address, mark, _ = name.partition("#")
        body = b"<" if mark else get(name, deadline=deadline, max_bytes=LIMIT, **access)
        if body.lstrip()[:1] == b"<":
            base = address.partition("?")[0].rstrip("/").removesuffix("/api/v2/alerts")
            raise InputError(
                f"{text(name)} is a page for people, not an API",
                f"give {text(base)}/api/v2/alerts for an Alertmanager, /api/v1/alerts for a Prometheus",
            )
        return parse_alerts(body, name)
    if name == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed", "pipe the webhook's body in, or give a file or a URL")
        return parse_alerts(sys.stdin.buffer.read(LIMIT + 1), "standard input")
    hint = "give a file, - for standard input, or a URL"
    return parse_alerts(read_file(name, hint, limit=LIMIT, what="alert"), name)


def parse_alerts(body: bytes | str, name: str = "the alert") -> tuple[Alert, ...]:
    """Reads the body of a webhook or of an API's answer; see `load_alerts`.

    Raises:
        InputError: It is too large, no JSON, or holds no alert.
    """
    if len(body) > LIMIT:
        raise InputError(f"{text(name)} is larger than {LIMIT >> 20} MB", "ask Alertmanager with ?filter=")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{text(name)} is no JSON: {text(error, 120)}", "give the body that Alertmanager sends to a webhook"
        ) from None
    found = tuple(_alert(item) for item in _items(document) if isinstance(item, dict) and _texts(item.get("labels")))
    if not found:
        raise InputError(
            f"{text(name)} holds no alert", "give a webhook's body, or the answer of /api/v2/alerts or /api/v1/alerts"
        )
    return found


def _items(document: Any) -> Sequence[Any]:
    if isinstance(document, dict) and isinstance(document.get("data"), dict):  # Prometheus
        document = document["data"]
    if isinstance(document, dict) and "alerts" in document:
        document = document["alerts"]
    return document if isinstance(document, list) else [document]


def _alert(item: Mapping[str, Any]) -> Alert:
    status = item.get("status", item.get("state", "firing"))
    state = status.get("state") if isinstance(status, dict) else status
    firing = state not in ("resolved", "inactive")
    return Alert(
        labels=_texts(item["labels"]),
        annotations=_texts(item.get("annotations")),
        start=_time(item.get("startsAt") or item.get("activeAt")),
        end=None if firing else _time(item.get("endsAt")),  # while it fires, endsAt is when Alertmanager gives it up
        firing=firing,
        source=item["generatorURL"] if isinstance(item.get("generatorURL"), str) else "",
    )


def _texts(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return MappingProxyType({})
    return MappingProxyType({name: item for name, item in value.items() if isinstance(item, str)})


def _time(value: Any) -> datetime | None:
    """A time as Go writes it, with up to nine digits of a second; its zero, year 1, is unknown."""
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC).replace(microsecond=0) if at.tzinfo and at.year > 1970 else None
    except (TypeError, ValueError, OverflowError):
        return None


def incident_from_alerts(
    alerts: Sequence[Alert],
    base: Incident | str | Path | None = None,
    *,
    host: str = "",
    prometheus: str = "",
    now: datetime | None = None,
) -> Incident:
    """The incident that alerts tell of: their host, from a day before the first of them until now, whose series.

    Args:
        alerts: As `load_alerts` gives them. Those of other hosts are left out.
        base: What else is known, such as metrics, releases and keys: an incident, an incident file, or a folder of
            them, from which the alert's host chooses. Its host must be the alert's.
        host: Which host, where the alerts tell of several.
        prometheus: Where failures are counted, if the base doesn't say: the alert's own address is not trusted.
        now: Aware; the clock's when left out.

    Raises:
        InputError: The alerts name no host, or several, or another one than the base; or the base can't be used.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    if base is not None and not isinstance(base, Incident) and not Path(base).is_dir():
        base = load_incident(base, now=now)
    label = base.metrics.labels.get("domain", "") if isinstance(base, Incident) and base.metrics else ""
    named = [(alert, _host_of(alert, label)) for alert in alerts]
    wanted = _wanted(named, host)
    chosen = [alert for alert, of in named if of == wanted]
    known = _base(base, wanted, now)
    began = min((alert.start for alert in chosen if alert.start is not None), default=now)
    start = min(began, now) - LOOKBACK
    resolved = [alert.end for alert in chosen if not alert.firing and alert.end is not None]
    end = now if len(resolved) < len(chosen) else min(now, max(resolved) + timedelta(hours=1))
    end = min(max(end, start + LOOKBACK), start + LONGEST)
    metrics = known.metrics or (MetricsSource(url=prometheus) if prometheus else None)
    if metrics is not None:
        metrics = replace(metrics, matchers={**_matchers(chosen), **metrics.matchers})
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", chosen[0].name)[:80] or "alert"
    return replace(
        known, id=f"{name}-{wanted}-{began:%Y%m%dT%H%MZ}", host=wanted, start=start, end=end, metrics=metrics
    )


def _matchers(alerts: Sequence[Alert]) -> dict[str, str]:
    """The labels that say whose series, where all alerts agree on them."""
    found = {}
    for label in _MATCHERS:
        values = {alert.labels.get(label) for alert in alerts}
        if len(values) == 1 and (value := values.pop()):
            found[label] = value
    return found


def _host_of(alert: Alert, label: str) -> str:
    """The host that an alert is about, from the first label that holds one; empty if none does."""
    for name in (label, *_HOSTS):
        value = alert.labels.get(name, "").strip().lower()
        try:
            split = urlsplit(value if "://" in value else f"//{value}")
            found = (split.hostname or "").rstrip(".")
        except ValueError:
            continue
        if _HOST.fullmatch(found):
            return found
    return ""


def _wanted(named: Sequence[tuple[Alert, str]], host: str) -> str:
    # An Alertmanager holds alerts on everything. Those that say "domain" are meant before those of an instance.
    ours = [item for item in named if "pin" in item[0].name.lower()] or named
    hosts = sorted({of for _, of in ours if of})
    asked = host.strip().rstrip(".").lower()
    if asked and asked not in {of for _, of in named}:
        raise InputError(f"no alert is about {text(asked)}", f"there are alerts about {_listed(hosts)}")
    if asked:
        return asked
    if len(hosts) > 1:
        raise InputError(f"the alerts are about {len(hosts)} hosts: {_listed(hosts)}", "choose one with --host")
    if not hosts:
        labels = sorted({name for alert, _ in named for name in alert.labels})
        raise InputError(
            f"no label of the alert names a host; it has {_listed(labels)}",
            f"keep the label domain in the alert's expression; looked at are {', '.join(_HOSTS)}",
        )
    return hosts[0]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(text(name, 80) for name in names[:8])
    return (shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")) or "none"


def _base(base: Incident | str | Path | None, host: str, now: datetime) -> Incident:
    if base is None:
        return Incident(host, now - LOOKBACK, now, folder=Path.cwd())
    found = base if isinstance(base, Incident) else _from_folder(Path(base), host, now)
    if found.host != host:
        raise InputError(
            f"the alert is about {text(host)}, the incident file about {text(found.host)}",
            "give the incident file of that host, or a folder that has one for each host",
        )
    return found


def _from_folder(path: Path, host: str, now: datetime) -> Incident:
    there = []
    for file in sorted(path.glob("*.toml")):
        try:
            found = load_incident(file, now=now)
        except InputError as error:  # keys.toml may lie beside them; a broken file must not be passed over in silence
            there.append(f"{text(file.name, 60)}: {error.message}")
            continue
        if found.host == host:
            return found
        there.append(f"{text(file.name, 60)}: about {text(found.host, 80)}")
    raise InputError(
        f"no incident file in {text(path)} is about {text(host)}",
        f"there are: {'; '.join(there[:8])}" if there else "there is no .toml file",
    )
