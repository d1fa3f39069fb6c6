"""Pin-failure reports of the rehearsal's clients, as TrustKit sends them, and forged ones among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from irkit.drill.pki import Credential
from irkit.drill.scenario import ClientChain, Scenario

__all__ = ["ndjson"]

_EACH = 4  # reports of each client


def ndjson(scenario: Scenario, *, seed: int, forged: float = 0.0) -> str:
    """The reports, one JSON object a line.

    Args:
        scenario: What happened.
        seed: Of what is forged.
        forged: The part of all reports that is forged, 0 to below 1: the genuine chain where clients saw another, and
            chains that say the network only asked for a sign-in.
    """
    dice = Random(f"reports {seed}")  # noqa: S311 - reproducible, not secret
    lines = [_report(scenario, client, n) for client in scenario.clients for n in range(_EACH)]
    count = round(len(lines) * forged / (1 - forged))
    lines += list(_forged(scenario, dice, max(count, bool(forged and lines))))
    dice.shuffle(lines)
    return "".join(json.dumps(line) + "\n" for line in lines)


def _report(scenario: Scenario, client: ClientChain, number: int) -> dict[str, Any]:
    saw = client.saw or (scenario.forged if client.intercepted and scenario.forged else scenario.now)
    result = 2 if scenario.untrusting else 1
    return _line(scenario, client.release, saw, client.at + number * timedelta(minutes=3), result=result, device=number)


def _forged(scenario: Scenario, dice: Random, count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        client = dice.choice(scenario.clients)
        yield _line(scenario, client.release, scenario.now, client.at, result=dice.choice((1, 2)), device=90 + number)


def _line(scenario: Scenario, name: str, saw: Credential, at: datetime, *, result: int, device: int) -> dict[str, Any]:
    """TrustKit iOS leaves out the served chain, TrustKit Android the system's version."""
    release = next(r for r in scenario.releases if r.name == name)
    chain = [c.public_bytes(Encoding.PEM).decode().strip() for c in (saw.signed, *saw.above)]
    line = {
        "app-bundle-id": "com.example.shop",
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
