"""HTTP to Prometheus that always ends: with an answer that is whole, or with an error that says in words why not.

prometheus-api-client's own session waits forever, follows redirects, unpacks gigabytes, puts a POST's query into the
URL and drops warnings. `Transport` stands in for it: one deadline over all, a cap on bytes, a bound on retries.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NoReturn, TypedDict, Unpack
from urllib.parse import parse_qsl, urlsplit

from irkit.counters import parse, read_matrix
from irkit.errors import InputError, MetricsError, MissingExtraError
from irkit.render import text

try:
    import requests
    import urllib3
except ImportError:
    raise MissingExtraError("requests is not installed", 'pip install "irkit[workbench]"') from None

__all__ = ["Access", "Transport", "get"]

TRIES = 3
_Params = Mapping[str, Any] | Sequence[tuple[str, str]] | None
_AGAIN = {429, 502, 503, 504}


class Access(TypedDict, total=False):
    """How to be let in. Secrets only by the name of an environment variable or a file, never themselves.

    Attributes:
        token_env, token_file: A bearer token.
        username_env, password_env, password_file: Basic authentication.
        ca_file: Trusted roots in PEM instead of the system's.
        client_cert, client_key: The client's certificate and key in PEM; the key may be in the certificate's file.
        tenant: The X-Scope-OrgID header of Mimir, Cortex and Loki.
    """

    token_env: str
    token_file: str
    username_env: str
    password_env: str
    password_file: str
    ca_file: str
    client_cert: str
    client_key: str
    tenant: str


class Transport:
    """One call's way to Prometheus. Plays the session of prometheus-api-client.

    Attributes:
        url: The base URL.
        body: The last range answer, as it came.
        findings: What the server warned of.
        skew: How far its clock is ahead of ours, to the second, by the Date header of its last answer; None without.
    """

    verify = cert = None  # what PrometheusConnect reads off a session

    def __init__(self, source: str, deadline: float, max_bytes: int, access: Access) -> None:
        self.url = _checked(source)
        self.shown = text(self.url, 200)
        self.until = time.monotonic() + deadline
        self.deadline = deadline
        self.bytes_left = self.max_bytes = max_bytes
        self.findings: list[str] = []
        self.body = b""
        self.skew: timedelta | None = None
        self.session = _session(**access)

    @contextlib.contextmanager
    def hurried(self, share: float = 0.5, most: float = 10.0) -> Iterator[None]:
        """A while in which a question may only take a share of the time that is left: what it asks is a courtesy."""
        whole = self.until, self.deadline
        self.deadline = round(min(most, share * max(0.0, self.until - time.monotonic())), 1)
        self.until = time.monotonic() + self.deadline
        try:
            yield
        finally:
            self.until, self.deadline = whole

    def mount(self, prefix: str, adapter: Any) -> None:
        """Ignored: the adapter of prometheus-api-client would retry by its own rules."""

    def request(self, *, method: str, url: str, params: Mapping[str, Any] | None = None, **_: Any) -> _Answer:
        """Asks Prometheus, and reads its answer."""
        return self._answer(self.ask(method, url, params))

    def ask(self, method: str, url: str, params: _Params = None) -> bytes:
        """Asks, again after a loss or a 429, 502, 503 or 504, but never beyond the deadline."""
        for attempt in range(1, TRIES + 1):
            wait = 0.2 * 2**attempt
            try:
                status, headers, body = self._within_deadline(lambda: self._fetch(method, url, params))
            except (requests.ConnectionError, urllib3.exceptions.HTTPError, OSError) as error:
                if attempt == TRIES or isinstance(error, requests.exceptions.SSLError):
                    raise _lost(error, self.shown) from None
            except (requests.RequestException, ValueError, UnicodeError) as error:
                raise MetricsError(f"{self.shown} can't be asked: {text(error, 160)}", "check the address") from None
            else:
                self.skew = _skew(headers.get("Date"))
                if status == 200:
                    return bytes(body)
                # Prometheus' own 503 is a query that took too long: the same query would again.
                if attempt == TRIES or status not in _AGAIN or b'"errorType"' in body:
                    raise _refused(status, headers, body, self.shown)
                after = headers.get("Retry-After", "")
                wait = min(float(after), 10.0) if after.isdigit() else wait
            time.sleep(max(0.0, min(wait, self.until - time.monotonic())))
        raise AssertionError("each attempt returns, raises or is followed by another")

    def _answer(self, body: bytes) -> _Answer:
        document, lists = parse(body, f"the answer of {self.shown}", self._check)
        if (
            isinstance(document, dict)
            and document.get("status") == "success"
            and isinstance(document.get("data"), list)
        ):
            return _Answer(document)  # names
        series, findings = read_matrix(document, lists, f"the answer of {self.shown}", self._check)
        self.findings += [finding for finding in findings if finding not in self.findings]
        self.body = body
        return _Answer({"data": {"result": series}})

    def _within_deadline(self, ask: Callable[[], Any]) -> Any:
        """In a thread of its own: a resolver, a handshake or a byte a second can't be stopped by a socket's timeout."""
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def run() -> None:
            try:
                done.put((True, ask()))
            except BaseException as error:  # noqa: BLE001 - handed over and raised there
                done.put((False, error))

        threading.Thread(target=run, name="irkit-prometheus", daemon=True).start()
        try:
            good, found = done.get(timeout=max(0.0, self.until - time.monotonic()))
        except queue.Empty:
            self._late()
        if not good:
            if isinstance(found, requests.Timeout) and time.monotonic() >= self.until - 0.05:
                self._late()
            raise found
        return found

    def _check(self) -> None:
        if time.monotonic() > self.until:
            self._late()

    def _late(self) -> NoReturn:
        raise MetricsError(
            f"{self.shown} was too slow: no whole answer was read within {self.deadline:g} s",
            "ask for a shorter window or a longer step, or raise the deadline",
        ) from None

    def _fetch(self, method: str, url: str, params: _Params) -> tuple[int, Mapping[str, str], bytes]:
        left = max(0.05, self.until - time.monotonic())
        where = {"data" if method == "POST" else "params": params or {}}
        answer = self.session.request(
            method, url, timeout=(min(left, 10.0), left), stream=True, allow_redirects=False, **where
        )
        with answer:
            return answer.status_code, answer.headers, self._read(answer)

    def _read(self, answer: Any) -> bytes:
        """The body, unpacked by a decoder that stops at the cap: 4 MB of gzip can hold gigabytes."""
        encoding = answer.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise MetricsError(
                f"{self.shown} answers in the encoding {text(encoding, 20)!r}", "gzip or none was asked for"
            )
        unpack = zlib.decompressobj(31) if encoding == "gzip" else None
        parts = []
        for packed in answer.raw.stream(2**16, decode_content=False):
            try:
                part = unpack.decompress(packed, self.bytes_left + 1) if unpack else packed
            except zlib.error:
                raise MetricsError(f"the answer of {self.shown} is broken gzip", "ask again") from None
            self.bytes_left -= len(part)
            if self.bytes_left < 0:
                raise MetricsError(
                    f"{self.shown} answers more than {self.max_bytes:,} bytes",
                    "ask for a shorter window or a longer step, add matchers, or raise max_bytes",
                )
            if time.monotonic() > self.until:  # nobody waits any more
                raise TimeoutError
            parts.append(part)
        if unpack and not unpack.eof:
            raise ConnectionResetError("the answer broke off")
        return b"".join(parts)


def _skew(date: str | None) -> timedelta | None:
    try:
        return None if date is None else parsedate_to_datetime(date).astimezone(UTC) - datetime.now(UTC)
    except ValueError:
        return None


def get(url: str, *, deadline: float, max_bytes: int, **access: Unpack[Access]) -> bytes:
    """What an address answers: whole, within the deadline, and not beyond so many bytes.

    Raises:
        MetricsError: It can't be reached, refuses, is slow, or answers too much.
        InputError: It is no http or https URL, or holds a password.
    """
    base, _, query = url.partition("?")
    transport = Transport(base, deadline, max_bytes, access)
    return transport.ask("GET", transport.url, parse_qsl(query, keep_blank_values=True))


class _Answer:
    """What prometheus-api-client needs of a response; it is whole, checked and read already."""

    status_code = 200

    def __init__(self, document: Any) -> None:
        self.document = document

    def json(self) -> Any:
        return self.document


def _checked(source: str) -> str:
    parts = urlsplit(source) if isinstance(source, str) else urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"{text(source, 100)!r} is no URL of a Prometheus",
            'write "http://prometheus:9090"; for a file: load_failures',
        )
    if parts.username or parts.password:
        raise InputError("the URL holds a user name or password", "name variables: username_env and password_env")
    if parts.query or parts.fragment:
        raise InputError(f"the URL {text(source, 100)!r} holds a query or fragment", "give the base URL alone")
    return source.rstrip("/")


def _session(
    *,
    token_env: str = "",
    token_file: str = "",
    username_env: str = "",
    password_env: str = "",
    password_file: str = "",
    ca_file: str = "",
    client_cert: str = "",
    client_key: str = "",
    tenant: str = "",
) -> Any:
    session = requests.Session()
    session.headers.update({"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "irkit"})
    if tenant:
        session.headers["X-Scope-OrgID"] = tenant
    token = _secret(token_env, token_file, "token")
    username, password = _secret(username_env, "", "user name"), _secret(password_env, password_file, "password")
    if token and username:
        raise InputError("both a token and a user name are given", "give one of the two")
    # Always set: where it is not, requests would take credentials from ~/.netrc, even in place of the token.
    session.auth = (username, password) if username else _Bearer(token)
    for path in (ca_file, client_cert, client_key):
        if path and not Path(path).is_file():
            raise MetricsError(f"there is no file {text(path, 200)}", "check ca_file, client_cert and client_key")
    if ca_file:
        session.trust_env = False  # REQUESTS_CA_BUNDLE would win over it
        session.proxies.update(urllib.request.getproxies())
        session.verify = ca_file
    if client_cert:
        session.cert = (client_cert, client_key) if client_key else client_cert
    return session


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: Any) -> Any:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _secret(variable: str, path: str, what: str) -> str:
    if variable:
        if not (found := os.environ.get(variable, "").strip()):
            raise MetricsError(
                f"the variable {text(variable, 60)} for the {what} is not set", f"export {text(variable, 60)}"
            )
        return found
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise MetricsError(f"the file {text(path, 200)} for the {what} can't be read", text(error, 120)) from None
    return ""


def _lost(error: Exception, shown: str) -> MetricsError:
    said = text(error, 2000)
    if isinstance(error, requests.exceptions.SSLError) or "CERTIFICATE_VERIFY" in said or "SSLError" in said:
        reason = said[said.find("SSL") :][:160]
        hint = "name the roots that signed its certificate: ca_file"
        if "ALERT" in said.upper():
            hint = "the server ended it: does it want another client certificate (client_cert, client_key)?"
        return MetricsError(f"TLS with {shown} failed: {reason}", hint)
    if isinstance(error, requests.exceptions.ProxyError):
        return MetricsError(f"the proxy to {shown} failed: {said[-160:]}", "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY")
    if "resolve" in said or "Name or service" in said:
        return MetricsError(f"the name of {shown} can't be resolved", "check the address, and DNS")
    if "refused" in said:
        return MetricsError(f"nothing listens at {shown}: connection refused", "is it up? check address and port")
    if isinstance(error, requests.Timeout) or "timed out" in said:
        return MetricsError(f"{shown} can't be reached: timed out", "check the address and the network")
    return MetricsError(
        f"{shown} closed the connection before its answer was whole, {TRIES} times",
        "see Prometheus' log, or ask for less",
    )


def _refused(status: int, headers: Mapping[str, str], body: bytes, shown: str) -> MetricsError:
    said = ""
    try:
        document = json.loads(body)
        said = f": {text(document['error'], 300)}"
    except (ValueError, KeyError, TypeError, RecursionError):
        head = body[:120].decode(errors="replace").strip()
        said = f": {text(head, 120)}" if head and not head.startswith("<") else ""
    if "org id" in said:  # Mimir, Cortex
        hint = "name the tenant (tenant), which goes into the header X-Scope-OrgID"
    elif status in (401, 403):
        hint = "name a token (token_env) or user name and password (username_env, password_env) that may read"
    elif 300 <= status < 400:
        said = f", it redirects to {text(headers.get('Location', 'nowhere'), 200)}"
        hint = "redirects are not followed: give the final address; if it is a sign-in page, a token is missing"
    elif status == 404:
        hint = "the address has no Prometheus API: is a path prefix missing?"
    elif status in (400, 422):
        hint = "run the query in Prometheus' own page; ask for a shorter window if it is too large"
    elif "timeout" in said.lower() or "timed out" in said:
        hint = "the query took Prometheus too long: ask for a shorter window or a longer step"
    else:
        hint = "see Prometheus' log, or try again later"
    return MetricsError(f"{shown} answers HTTP {status}{said}", hint)
