"""What a responder asks: the fields of the notebook's form, which are its parameters, and the incident they make."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from irkit.alert import incident_from_alerts, load_alerts, parse_alerts
from irkit.errors import InputError
from irkit.incident import Incident, MetricsSource, load_incident, usable_host
from irkit.incidentfile import with_absolute_paths
from irkit.render import text

__all__ = ["Question", "ask", "narrow", "parse_filter", "parse_window"]

_T = TypeVar("_T")
ROLES = ("version", "platform", "region", "network")
_UNITS = {"min": "minutes", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Question:
    """A field each of the form, as text; an empty one asks for nothing.

    Attributes:
        incident: An incident file, or with an alert a folder of them.
        alert: An alert: its JSON, a file, or the address of an API.
        token_env: The name of the variable with the token for the alert's address; never the token itself.
        rehearse: The kind of a rehearsal, which then takes place on this machine.
        host: Another host than the incident file's; which host of several alerts; or all that is known.
        window: `6h` before the end, or `START/END`.
        vantages: Names, with commas between; empty for all.
        releases: Names, with commas between; empty for all.
        prometheus: Where failures are counted, if the incident file does not say it.
        only: What section 1 shows, as `region=ap-south`; everything is judged.
    """

    incident: str = ""
    alert: str = ""
    token_env: str = ""
    rehearse: str = ""
    host: str = ""
    window: str = ""
    vantages: str = ""
    releases: str = ""
    prometheus: str = ""
    only: str = ""

    def __post_init__(self) -> None:
        parse_filter(self.only)
        parse_window(self.window)

    @property
    def asks(self) -> bool:
        """Whether it names something to look into."""
        return bool(self.incident or self.alert or self.rehearse or self.host)


def ask(question: Question, stay: contextlib.ExitStack, *, now: datetime | None = None) -> Incident:
    """The incident that a question is about.

    Args:
        question: What is asked.
        stay: Keeps a rehearsal's servers and its folder until it is closed.
        now: Aware; the clock's when left out.

    Raises:
        InputError: The question names nothing, something that can't be read, or what the incident has not.
        MetricsError: The alert's address gives no answer.
    """
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    if question.rehearse:
        from irkit.drill import prepare

        folder = Path(
            stay.enter_context(tempfile.TemporaryDirectory(prefix="irkit-drill-", ignore_cleanup_errors=True))
        )
        incident = load_incident(stay.enter_context(prepare(question.rehearse, folder / "incident")).incident, now=now)
    elif question.alert:
        pasted = question.alert.lstrip().startswith(("{", "["))
        alerts = (
            parse_alerts(question.alert, "the pasted alert")
            if pasted
            else load_alerts(question.alert.strip(), token_env=question.token_env)
        )
        base = question.incident or None
        incident = incident_from_alerts(alerts, base, host=question.host, prometheus=question.prometheus, now=now)
        incident = with_absolute_paths(incident)
    elif question.incident:
        incident = load_incident(question.incident, now=now)
    elif question.host:
        host = usable_host(question.host, "the host")
        incident = Incident(host, now - timedelta(hours=24), now, id=_default_id(host, now - timedelta(hours=24)))
    else:
        raise InputError(
            "no incident given", 'name an incident file, an alert or a host, as incident = "incident.toml"'
        )
    return narrow(incident, question)


def narrow(incident: Incident, question: Question) -> Incident:
    """An incident as a question's other fields want it: another host or window, some of its vantages and releases.

    Raises:
        InputError: A name is not in the incident, or the window is empty.
    """
    host = usable_host(question.host, "the host") if question.host else incident.host
    start, end = incident.start, incident.end
    wanted = parse_window(question.window)
    if isinstance(wanted, timedelta):
        start = end - wanted
    elif wanted is not None:
        start, end = wanted
    metrics = incident.metrics or (MetricsSource(url=question.prometheus) if question.prometheus else None)
    made = incident.id == _default_id(incident.host, incident.start)
    return replace(
        incident,
        id=_default_id(host, start) if made else incident.id,
        host=host,
        start=start,
        end=end,
        metrics=metrics,
        vantages=_some(incident.vantages, question.vantages, lambda item: item.name),
        releases=_some(incident.releases, question.releases, lambda item: f"{item.app} {item.version}".strip()),
    )


def _default_id(host: str, start: datetime) -> str:
    return f"{host}-{start:%Y%m%dT%H%MZ}"


def _some(items: tuple[_T, ...], wanted: str, name: Callable[[_T], str]) -> tuple[_T, ...]:
    names = {part.strip() for part in wanted.split(",") if part.strip()}
    if unknown := names - {name(item) for item in items}:
        there = ", ".join(text(name(item), 60) for item in items) or "none"
        raise InputError(f"the incident has no {text(min(unknown), 60)!r}", f"it has: {there}")
    return tuple(item for item in items if not names or name(item) in names)


def parse_window(value: str) -> timedelta | tuple[datetime, datetime] | None:
    """`6h`, `90min` or `2d` before the end; or `START/END`, times with a zone; None for nothing.

    Raises:
        InputError: It is none of these.
    """
    if not value.strip():
        return None
    hint = "write 6h, 90min or 2d, or 2026-11-23T06:00Z/2026-11-23T12:00Z"
    if match := re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?) ?([a-z]+)", value.strip()):
        span = timedelta(**{_UNITS[match[2]]: float(match[1])}) if match[2] in _UNITS else timedelta()
        if not timedelta() < span <= LONGEST:
            raise InputError(f"a window of {text(value, 60)!r} is none, or longer than {LONGEST.days} days", hint)
        return span
    times = [_time(part) for part in re.split(r"\s*/\s*|\s+to\s+", value.strip())]
    if len(times) != 2 or times[0] is None or times[1] is None:
        raise InputError(f"{text(value, 80)!r} is no window", hint)
    start, end = times[0], times[1]
    if not timedelta() < end - start <= LONGEST:
        raise InputError(f"the window {text(value, 80)} is empty, or longer than {LONGEST.days} days", hint)
    return start, end


def _time(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value.replace(" UTC", "Z"))
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def parse_filter(value: str) -> Mapping[str, tuple[str, ...]]:
    """`region=ap-south, version=4.2.0` as role to values; a role that is named twice has both values.

    Raises:
        InputError: A part is no role with a value.
    """
    found: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        role, sign, wanted = (piece.strip() for piece in part.partition("="))
        if role not in ROLES or not sign or not wanted:
            raise InputError(
                f"{text(part, 80)!r} chooses nothing", f"write region=ap-south; the roles are {', '.join(ROLES)}"
            )
        found[role] = (*found.get(role, ()), wanted)
    return found
