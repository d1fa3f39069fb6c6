"""A small fleet on this machine, to look at many endpoints without any: real TLS, on loopback only."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from irkit.drill.pki import Credential, authority, new_key
from irkit.drill.server import Presenting, serving
from irkit.parameters import check_given
from irkit.target import Target, read_targets
from irkit.trust import TrustStore
from irkit.truststore import load_roots

__all__ = ["Fleet", "open_fleet"]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is to be looked at.

    Attributes:
        targets: The endpoints.
        trust: The roots that their chains should lead to.
        elsewhere: Of the rehearsal, the same hosts as an office behind an interception sees them; else empty.
    """

    targets: tuple[Target, ...]
    trust: TrustStore
    elsewhere: tuple[Target, ...] = ()


@contextmanager
def open_fleet(targets: str = "", roots: str = "mozilla") -> Iterator[Fleet]:
    """The endpoints of a list, or without one a rehearsal that is served until the block ends.

    Of its seven hosts two share a key, one is expired, one leaves out its intermediate, one is not there; and who looks
    from behind the interception sees another certificate of api.example.

    Args:
        targets: The list, as `read_targets` reads it; empty for the rehearsal.
        roots: `mozilla`, or a file or folder of roots; of the rehearsal, its own count.

    Raises:
        InputError: The list or the roots can't be used, or a notebook was given a parameter that it doesn't have.
    """
    check_given()
    if targets:
        yield Fleet(read_targets(targets), load_roots([roots]))
        return
    now = datetime.now(UTC)
    root = authority("Rehearsal Root", "Rehearsal", at=now - timedelta(days=400))
    ca = root.issue("Rehearsal CA", at=now - timedelta(days=300), days=900, ca=True)
    box = authority("Web Access CA", "Access Networks", at=now - timedelta(days=30))

    def leaf(host: str, days: int = 60, key: object = None, by: Credential = ca) -> Credential:
        return by.issue(host, at=now - timedelta(days=30), days=30 + days, key=key)

    shared = new_key()
    hosts = {
        "api.example": leaf("api.example"),
        "shop.example": leaf("shop.example", key=shared),
        "cart.example": leaf("cart.example", 20, key=shared),
        "www.example": leaf("www.example", 5),
        "old.example": leaf("old.example", -3),
        "half.example": replace(leaf("half.example"), above=()),
    }
    with ExitStack() as stack:
        places = {host: stack.enter_context(serving(Presenting(one))).address for host, one in hosts.items()}
        places["gone.example"] = stack.enter_context(_nobody())
        caught = stack.enter_context(serving(Presenting(leaf("api.example", by=box)))).address
        yield Fleet(
            tuple(Target(host, 443, place) for host, place in places.items()),
            TrustStore("the rehearsal's root", (root.certificate,)),
            tuple(Target(host, 443, caught if host == "api.example" else place) for host, place in places.items()),
        )


@contextmanager
def _nobody() -> Iterator[str]:
    """An address on which nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"
