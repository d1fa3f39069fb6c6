"""`irkit incident from-alert`."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from irkit.render import moment, text

if TYPE_CHECKING:
    from irkit.alert import Alert
    from irkit.incident import Incident

__all__ = ["add_alert_options", "alert_incident", "alert_notes", "register"]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `incident` to a command line."""
    incident = commands.add_parser(
        "incident",
        help="make an incident file",
        description="Makes incident files: `from-alert` from an alert.",
        epilog="example:\n  irkit incident from-alert alert.json > incident.toml",
    )
    inner = incident.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = inner.add_parser(
        "from-alert",
        help="make an incident file from an alert",
        description="Prints the incident file of an alert: its host, a window from a day before it, and whose series. "
        "ALERT is a webhook's body or the answer of Alertmanager's /api/v2/alerts or Prometheus' /api/v1/alerts.",
        epilog="examples:\n  irkit incident from-alert alert.json > incident.toml\n"
        "  irkit incident from-alert http://alertmanager:9093/api/v2/alerts --base api.toml --out incident.toml",
    )
    command.add_argument("alert", metavar="ALERT", help="a file, - for standard input, or a URL")
    command.add_argument(
        "--base", default="", metavar="FILE", help="an incident file with what else is known, or a folder of them"
    )
    command.add_argument("--out", default="", metavar="FILE", help="write it there instead of printing it")
    command.add_argument("--json", action="store_true", help="print JSON instead of TOML")
    add_alert_options(command)
    command.set_defaults(handler=_run)


def add_alert_options(command: argparse.ArgumentParser) -> None:
    """The options by which an alert becomes an incident."""
    command.add_argument("--host", default="", help="which host, where the alerts are about several")
    command.add_argument(
        "--prometheus", default="", metavar="URL", help="where failures are counted, if no incident file says it"
    )
    command.add_argument(
        "--alert-token-env", default="", metavar="NAME", help="the variable with the token for the alert's URL"
    )


def alert_incident(arguments: argparse.Namespace, base: str) -> tuple[Incident, tuple[Alert, ...]]:
    """The incident that the options ask for, and the alerts that it comes from.

    Raises:
        InputError: The alert or the base can't be used.
        MetricsError: The alert's URL gives no answer.
    """
    from irkit.alert import incident_from_alerts, load_alerts
    from irkit.incidentfile import with_absolute_paths

    alerts = load_alerts(arguments.alert, token_env=arguments.alert_token_env)
    incident = incident_from_alerts(alerts, base or None, host=arguments.host, prometheus=arguments.prometheus)
    return with_absolute_paths(incident), alerts


def alert_notes(alerts: tuple[Alert, ...]) -> list[str]:
    """What the alerts say, a line each."""
    return [
        f"{text(alert.name, 80)}, {'firing' if alert.firing else 'resolved'}, since {moment(alert.start)}: "
        + ", ".join(f"{text(k, 40)}={text(v, 60)}" for k, v in alert.labels.items() if k != "alertname")
        for alert in alerts[:20]
    ] + ([f"and {len(alerts) - 20} more alerts"] if len(alerts) > 20 else [])


def _run(arguments: argparse.Namespace) -> int:
    from irkit.files import write_atomically
    from irkit.incidentfile import incident_toml

    incident, alerts = alert_incident(arguments, arguments.base)
    written = incident_toml(incident, ["From the alert:", *alert_notes(alerts)])
    if arguments.json:
        written = json.dumps(tomllib.loads(written), indent=1, default=lambda at: at.isoformat()) + "\n"
    if arguments.out:
        write_atomically(Path(arguments.out), written)
    else:
        print(written, end="")
    return 0
