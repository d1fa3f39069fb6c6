"""Pin-failure reports of the rehearsal's clients, as TrustKit and OkHttp tell them, with forged ones and faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from irkit.certificate import Certificate
from irkit.drill.pki import Credential, authority, new_key
from irkit.drill.scenario import ClientChain, Scenario, Shipped

__all__ = ["ndjson"]

_EACH = 4  # reports of each client
_MINUTE = timedelta(minutes=1)


def ndjson(scenario: Scenario, *, seed: int, forged: float = 0.0, noise: bool = False) -> str:
    """The reports, one JSON object a line.

    Args:
        scenario: What happened.
        seed: Of what is forged, and of the noise.
        forged: The part of all reports that is forged, 0 to below 1: the chain that the server presents where clients
            saw another and, where somebody intercepts, a sign-in page's, as if that were all.
        noise: Clocks that are off, reports sent twice, those of other hosts and of connections that succeeded, log
            lines, and lines that are no reports.
    """
    dice = Random(f"reports {seed}")  # noqa: S311 - reproducible, not secret
    lines = [_report(scenario, client, n) for client in scenario.clients for n in range(_EACH)]
    count = round(len(lines) * forged / (1 - forged))
    if forged and lines:
        lines += list(_forged(scenario, dice, max(count, 1)))
    written = [json.dumps(line) for line in lines]
    if noise and lines:
        written = [json.dumps(_skewed(line, dice)) for line in lines]
        written += dice.sample(written, len(written) // 3)
        written += [json.dumps(line) for line in _others(scenario, dice)]
        written += dice.sample(_NO_REPORTS, 3)
    dice.shuffle(written)
    return "".join(f"{line}\n" for line in written)


_NO_REPORTS = ("", "null", "{", '{"hostname": ', "GET /health 200", '{"level": "info", "message": "started"}', "[1, 2]")


def _report(scenario: Scenario, client: ClientChain, number: int) -> dict[str, Any]:
    saw = client.saw or (scenario.forged if client.intercepted and scenario.forged else scenario.now)
    result = 2 if scenario.untrusting else 1
    return _line(
        scenario, client.release, saw, client.at + number * 3 * _MINUTE, result=result, device=number % client.devices
    )


def _forged(scenario: Scenario, dice: Random, count: int) -> Iterator[dict[str, Any]]:
    gateway = authority("Hotel Gateway", "Hotel", at=scenario.clients[0].at - timedelta(days=300), key=new_key(dice))
    page = gateway.issue("login.hotel.example", at=scenario.clients[0].at - _MINUTE, days=30, key=new_key(dice))
    for number in range(count):
        client, shown = dice.choice(scenario.clients), scenario.now
        if scenario.verdict == "mitm" and dice.random() < 0.5:
            shown = page
        yield _line(scenario, client.release, shown, client.at, result=dice.choice((1, 2)), device=90 + number)


def _skewed(line: dict[str, Any], dice: Random) -> dict[str, Any]:
    """The report of a device whose clock is some minutes off; one in eight is off by hours."""
    off = dice.randint(-9, 9) * (30 if dice.random() < 0.12 else 1) * _MINUTE
    at = datetime.strptime(line["date-time"], "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007 - UTC, and written as UTC again
    return line | {"date-time": f"{at + off:%Y-%m-%dT%H:%M:%SZ}"}


def _others(scenario: Scenario, dice: Random) -> Iterator[dict[str, Any]]:
    """What else comes in: of connections that succeeded, of another host, and a log line of OkHttp."""
    client, at = scenario.clients[0], scenario.clients[0].at
    release = _named(scenario, client.release)
    yield _line(scenario, client.release, scenario.before, at - dice.randint(60, 400) * _MINUTE, result=0, device=71)
    other = _line(scenario, client.release, scenario.before, at, result=1, device=72)
    yield other | {"hostname": "cdn.example.net", "noted-hostname": "cdn.example.net"}
    if release.family == "android" and not scenario.untrusting:
        saw = client.saw or scenario.now
        message = _okhttp(scenario.host, saw, release)
        yield {"@timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}", "app_version": release.version, "message": message}


def _okhttp(host: str, saw: Credential, release: Shipped) -> str:
    """As CertificatePinner.check words it."""
    shown = [Certificate.from_der(c.public_bytes(Encoding.DER)) for c in (saw.signed, *saw.above)]
    chain = [f"    {certificate.pin}: {certificate.subject}" for certificate in shown]
    pinned = [f"    sha256/{pin if isinstance(pin, str) else pin.base64}" for pin in release.pins]
    head = "javax.net.ssl.SSLPeerUnverifiedException: Certificate pinning failure!"
    return "\n".join([head, "  Peer certificate chain:", *chain, f"  Pinned certificates for {host}:", *pinned])


def _named(scenario: Scenario, name: str) -> Shipped:
    return next(r for r in scenario.releases if r.name == name)


def _line(scenario: Scenario, name: str, saw: Credential, at: datetime, *, result: int, device: int) -> dict[str, Any]:
    """TrustKit iOS leaves out the served chain, TrustKit Android the system's version."""
    release = _named(scenario, name)
    chain = [c.public_bytes(Encoding.PEM).decode().strip() for c in (saw.signed, *saw.above)]
    line = {
        "app-bundle-id": f"com.example.{release.brand}",
        "app-version": release.version,
        "app-vendor-id": f"00000000-0000-4000-8000-{device:012d}",
        "app-platform": release.family.upper(),
        "trustkit-version": "3.0.0",
        "hostname": scenario.host,
        "port": 0,
        "noted-hostname": scenario.host,
        "include-subdomains": False,
        "enforce-pinning": True,
        "validated-certificate-chain": chain,
        "known-pins": [f'pin-sha256="{pin if isinstance(pin, str) else pin.base64}"' for pin in release.pins],
        "validation-result": result,
        "date-time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
    }
    if release.family == "ios":
        return line | {"app-platform-version": "17.5"}
    return line | {"served-certificate-chain": chain}
