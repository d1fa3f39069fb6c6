"""A requests session that checks pins: every TLS connection, after normal verification and before anything is sent.

A pin check in an adapter's `send`, on a connection of its own, or after the response came, protects nothing. This one
sits in the connection that carries the request: after its handshake, through proxies too, and again for every request
on a connection that is used again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.connection import HTTPSConnection

from irkit.accept import Acceptance, accepts
from irkit.certificate import Certificate
from irkit.errors import IrkitError, MissingExtraError
from irkit.pins.release import Release
from irkit.render import text
from irkit.strategy import Strategy

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["PinError", "PinMetrics", "pinned_session"]

Check = Callable[[str, tuple[Certificate, ...]], Acceptance]


class PinError(IrkitError, requests.exceptions.SSLError):
    """The release would refuse this connection; nothing was sent over it. Also a requests SSLError.

    Attributes:
        acceptance: The decision, with its reasons.
    """

    def __init__(self, message: str, hint: str = "", acceptance: Acceptance | None = None) -> None:
        super().__init__(message, hint)
        self.acceptance = acceptance


class _RefusedError(urllib3.exceptions.SSLError):
    """What the connection raises: urllib3 hands it on, the adapter makes a PinError of it."""

    def __init__(self, host: str, acceptance: Acceptance) -> None:
        super().__init__(f"pins of {host}")
        self.host = host
        self.acceptance = acceptance


class PinMetrics:
    """The counters of a service that checks pins, in a registry of prometheus_client.

    Args:
        registry: Where they are registered; prometheus_client's own by default.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise MissingExtraError("prometheus_client is not installed", 'pip install "irkit[metrics]"') from None
        where = prometheus_client.REGISTRY if registry is None else registry
        self.validations = prometheus_client.Counter(
            "cert_pin_validation", "Pin checks of TLS connections.", ["result", "domain"], registry=where
        )
        self.duration = prometheus_client.Histogram(
            "cert_pin_validation_duration_seconds", "Time that a pin check took.", registry=where,
            buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
        )  # fmt: skip
        self.expiry = prometheus_client.Gauge(
            "cert_pin_expiry_days", "Days until the certificate that a pin matched ends.", ["domain"], registry=where
        )

    def record(self, host: str, acceptance: Acceptance, seconds: float, now: datetime) -> None:
        """Counts one check: `success`, `failure`, or `unpinned` where no pin stood in its way."""
        result = {"yes": "success", "unpinned": "unpinned"}.get(acceptance.answer, "failure")
        self.validations.labels(result, host).inc()
        self.duration.observe(seconds)
        if acceptance.answer == "yes" and acceptance.certificate and acceptance.certificate.not_after:
            self.expiry.labels(host).set((acceptance.certificate.not_after - now).total_seconds() / 86400)


@lru_cache(maxsize=1)
def _own_metrics() -> PinMetrics | None:
    """One set of counters for the process's own registry, which refuses a second; None without prometheus_client."""
    try:
        return PinMetrics()
    except MissingExtraError:
        return None


def pinned_session(release: Release | Strategy, *, metrics: PinMetrics | None = None) -> requests.Session:
    """A session whose TLS connections must satisfy a release's pins besides being verified.

    The pins are held, by the rules of the release's platform, against the path that OpenSSL verified, root included.
    Only `yes` and `unpinned` pass; where it is `unknown` or depends on a device, the connection is refused.
    Plain http:// is refused too: a redirect to it would be a way round the pins. So is verify=False, for then there is
    no verified path.

    Args:
        release: The pins; `load_release` reads them, `irkit.strategy` makes them.
        metrics: Counters to count in; by default those of prometheus_client's own registry, if it is installed.

    Returns:
        A `requests.Session`. A connection that is refused raises PinError, and nothing has been sent over it.
    """
    counters = _own_metrics() if metrics is None else metrics

    def check(host: str, chain: tuple[Certificate, ...]) -> Acceptance:
        now, started = datetime.now(UTC), time.perf_counter()
        acceptance = accepts(release, chain, host=host, at=now)
        if counters is not None:
            counters.record(host, acceptance, time.perf_counter() - started, now)
        return acceptance

    session = requests.Session()
    session.mount("https://", _PinnedAdapter(check))
    session.mount("http://", _NoPlainText())
    return session


class _NoPlainText(BaseAdapter):
    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        raise PinError(f"{text(request.url, 200)} is not https: it has no certificate to pin", "use https://")

    def close(self) -> None:
        pass


class _PinnedAdapter(HTTPAdapter):
    """An adapter all of whose pools, proxied ones too, make connections that check."""

    def __init__(self, check: Check) -> None:
        self._check = check
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._pin(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        self._pin(manager)
        return manager

    def _pin(self, manager: urllib3.PoolManager) -> None:
        # What the manager has, SOCKS connections for one, keeps its way of connecting.
        pool: Any = manager.pool_classes_by_scheme["https"]
        if not issubclass(pool.ConnectionCls, _Checking):
            checking = {"check": staticmethod(self._check)}
            connection = type("PinnedConnection", (_Checking, pool.ConnectionCls), checking)
            pinned = type("PinnedPool", (pool,), {"ConnectionCls": connection})
            manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": pinned}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if not kwargs.get("verify", args[2] if len(args) > 2 else True):
            raise PinError(
                f"verify=False for {text(request.url, 200)}: pins are held against a verified path only",
                "give a file with the roots that are meant, as verify='roots.pem'",
            )
        try:
            return super().send(request, *args, **kwargs)
        except requests.exceptions.ConnectionError as error:
            reason = _refusal(error)
            if reason is None:
                raise
            why = "; ".join(reason.acceptance.reasons) or reason.acceptance.why
            raise PinError(
                f"the pins refuse the connection to {text(reason.host, 200)}: {text(why, 600)}",
                "capture the chain and diff it against the release before changing any pin",
                reason.acceptance,
            ) from None


def _refusal(error: BaseException) -> _RefusedError | None:
    """The refusal inside what requests and urllib3 wrapped around it: retries, and a proxy's own error."""
    inside: Any = error.args[0] if error.args else None
    for _ in range(4):
        if isinstance(inside, _RefusedError):
            return inside
        inside = getattr(inside, "reason", None) or getattr(inside, "original_error", None)
    return None


class _Checking(HTTPSConnection):
    """Checks after the handshake, and before each further request on the same connection."""

    check: Check
    _chain: tuple[Certificate, ...] = ()
    _fresh = False

    def connect(self) -> None:
        super().connect()
        self._chain = _verified(self.sock)
        self._refuse_or_go_on()
        self._fresh = True

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None and not self._fresh:
            self._refuse_or_go_on()
        self._fresh = False
        super().request(*args, **kwargs)

    def _refuse_or_go_on(self) -> None:
        host = getattr(self, "_tunnel_host", None) or self.host
        acceptance = type(self).check(host, self._chain)
        if not acceptance.connects:
            self.close()
            raise _RefusedError(host, acceptance)


def _verified(sock: Any) -> tuple[Certificate, ...]:
    """The path that OpenSSL verified, from the leaf to the root; none where the TLS library doesn't give it."""
    inner: Any = getattr(sock, "sslobj", sock)  # TLS within TLS, to a proxy
    get: Callable[[], list[Any] | None] | None = getattr(inner, "get_verified_chain", None)
    if get is None:  # public from Python 3.13 on
        get = getattr(getattr(inner, "_sslobj", None), "get_verified_chain", None)
    found = get() if get is not None else None
    return tuple(Certificate.from_der(_der(entry)) for entry in found or ())


def _der(entry: Any) -> bytes:
    import _ssl

    return bytes(entry) if isinstance(entry, bytes) else bytes(entry.public_bytes(_ssl.ENCODING_DER))
