"""Answers of servers that misbehave: each is whole, or one clear error within the deadline."""

from __future__ import annotations

import gzip
import json
import re
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from forge import Identity, make_key, root
from prometheus_server import FaultServer, Reply, always, drip, half, never, send
from series import GOOD, SHORT, body, counter

from irkit import transport
from irkit.errors import MetricsError
from irkit.metrics import load_failures, query_failures

Fault = Callable[[Reply], FaultServer]


def half_gzip(handler: BaseHTTPRequestHandler) -> None:
    packed = gzip.compress(GOOD)
    send(handler, 200, packed[: len(packed) // 2], Content_Encoding="gzip")


def slam(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


ERROR = json.dumps({"status": "error", "errorType": "timeout", "error": "query timed out in expression"}).encode()
PROMETHEUS_PAGE = b'<a href="/login">Found</a>'


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (always(401, b"Unauthorized"), "HTTP 401: Unauthorized"),
        (always(403, b"<html>no</html>"), "HTTP 403"),
        (always(404, b"404 page not found"), "HTTP 404"),
        (always(500, b'{"status":"error","errorType":"internal","error":"disk"}'), "HTTP 500: disk"),
        (always(503, ERROR), "HTTP 503: query timed out"),
        (always(503, b"no backend", Retry_After="0"), "HTTP 503: no backend"),
        (always(302, PROMETHEUS_PAGE, Location="https://sso.example/login"), "redirects to https://sso.example/login"),
        (always(200, b"<!DOCTYPE html><title>Sign in</title>"), "is a web page, not JSON"),
        (always(200, b""), "is empty"),
        (always(200, b"ok"), "is no JSON: 'ok'"),
        (always(200, GOOD[:-9]), "is broken JSON"),
        (always(200, b"[" * 100_000), "is broken JSON"),
        (always(200, ERROR), "is an error: timeout: query timed out"),
        (always(200, b'{"status":"success"}'), "has no data.result"),
        (always(200, b"[1, 2]"), "not an answer of Prometheus"),
        (always(200, b'{"status":"success","data":{"resultType":"vector","result":[]}}'), "is a vector, not a matrix"),
        (always(200, GOOD.replace(b'"5"', b'"five"')), "samples can't be read"),
        (always(200, GOOD.replace(b'"5"', b'"5,6"', 1)), "samples can't be read"),
        (always(200, gzip.compress(bytes(2**26)), Content_Encoding="gzip"), "more than 1,000,000 bytes"),
        (always(200, bytes(2_000_000)), "more than 1,000,000 bytes"),
        (always(200, b"not gzip", Content_Encoding="gzip"), "is broken gzip"),
        (always(200, GOOD, Content_Encoding="br"), "in the encoding 'br'"),
        (half, "closed the connection before its answer was whole"),
        (half_gzip, "closed the connection before its answer was whole"),
        (slam, "closed the connection before its answer was whole"),
        (garbage, "closed the connection before its answer was whole"),
        (drip, "was too slow: no whole answer was read within 1.5 s"),
        (never, "was too slow: no whole answer was read within 1.5 s"),
    ],
)
def test_each_fault_is_one_clear_error_within_the_deadline(fault: Fault, reply: Reply, says: str) -> None:
    server = fault(reply)
    began = time.monotonic()
    with pytest.raises(MetricsError) as caught:
        query_failures(server.url, "h", **SHORT, deadline=1.5, max_bytes=1_000_000)
    assert says in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 15  # not a measurement: forever is what must not happen


def test_a_closed_port_is_refused(fault: Fault) -> None:
    server = fault(slam)
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(MetricsError, match="connection refused"):
        query_failures(url, "h", **SHORT, deadline=5)


def test_an_unknown_name_is_told_apart() -> None:
    with pytest.raises(MetricsError, match="can't be resolved"):
        query_failures("http://prometheus.invalid:9090", "h", **SHORT, deadline=5)


def test_a_hostile_error_message_stays_one_visible_line(fault: Fault) -> None:
    hostile = json.dumps({"status": "error", "errorType": "x", "error": "\x1b[2J\n<script>" + "a" * 9999}).encode()
    with pytest.raises(MetricsError) as caught:
        query_failures(fault(always(422, hostile)).url, "h", **SHORT, deadline=5)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("loss", [slam, half, always(502, b""), always(503, b"", Retry_After="0"), always(429, b"")])
def test_a_lost_answer_is_asked_for_again_with_a_bound(fault: Fault, loss: Reply) -> None:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        (loss if len(server.requests) < transport.TRIES else always(200, GOOD))(handler)

    server = fault(reply)
    assert query_failures(server.url, "h", **SHORT).reasons == {"failure": 0, "success": 99}
    assert len(server.requests) == transport.TRIES + 2  # how many series there are, lost; the window; the days before


def test_the_servers_own_query_timeout_is_not_asked_for_again(fault: Fault) -> None:
    server = fault(always(503, ERROR))
    with pytest.raises(MetricsError):
        query_failures(server.url, "h", **SHORT)
    assert len(server.requests) == 1


def test_the_query_goes_into_the_body_of_a_post(fault: Fault) -> None:
    server = fault(always(200, GOOD))
    query_failures(server.url + "/prefix/", "h", **SHORT)
    method, path, headers, content = server.requests[1]
    assert (method, path) == ("POST", "/prefix/api/v1/query_range")
    assert b"query=last_over_time" in content
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_warnings_and_partial_answers_are_findings(fault: Fault) -> None:
    answer = body([counter("success", range(100))], warnings=["store a\x1b is gone"], isPartial=True)
    found = query_failures(fault(always(200, answer)).url, "h", **SHORT)
    assert "Prometheus warns: store a\\u{1b} is gone" in found.findings
    assert any("partial" in finding for finding in found.findings)
    assert load_failures(found.raw, "h").findings == found.findings


def test_an_empty_answer_with_a_warning_says_so(fault: Fault) -> None:
    with pytest.raises(MetricsError, match=r"no samples .*store is gone"):
        query_failures(fault(always(200, body([], warnings=["store is gone"]))).url, "h", **SHORT)


def test_credentials_come_by_name_and_stay_out_of_everything_shown(
    fault: Fault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = fault(always(200, GOOD))
    monkeypatch.setenv("TOKEN", "s3cret\n")
    (tmp_path / "token").write_text("s4cret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login netrc password netrc\n")
    (tmp_path / ".netrc").chmod(0o600)
    found = query_failures(server.url, "h", **SHORT, token_env="TOKEN", tenant="shop")
    query_failures(server.url, "h", **SHORT, token_file=str(tmp_path / "token"))
    query_failures(server.url, "h", **SHORT, username_env="TOKEN", password_file=str(tmp_path / "token"))
    query_failures(server.url, "h", **SHORT)
    headers = [request[2] for request in server.requests[::3]]  # three a call
    assert headers[0]["X-Scope-OrgID"] == "shop"
    assert [h.get("Authorization") for h in headers] == [
        "Bearer s3cret", "Bearer s4cret", "Basic czNjcmV0OnM0Y3JldA==", None
    ]  # fmt: skip
    assert b"s3cret" not in found.raw
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    "access", [{"token_env": "NOT_SET"}, {"token_file": "/nowhere"}, {"ca_file": "/nowhere"}, {"client_cert": "/no"}]
)
def test_credentials_that_are_not_there_are_an_error(access: Any) -> None:
    with pytest.raises(MetricsError, match=r"not set|can't be read|no file"):
        query_failures("http://127.0.0.1:1", "h", **SHORT, **access)


def client_identity(authority: Identity) -> Identity:
    """A certificate for clients; the forge's are for servers."""
    key, now = make_key(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    builder = x509.CertificateBuilder(authority.x509.subject, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH])
    return Identity(builder.add_extension(usage, critical=False).sign(authority.key, hashes.SHA256()), key)


def test_tls_wants_a_known_root_and_gives_the_client_certificate(tls_server: Any, tmp_path: Path) -> None:
    authority = root(not_before=datetime.now(UTC) - timedelta(days=1))
    fresh = {"not_before": datetime.now(UTC) - timedelta(days=1)}
    server = authority.issue("localhost", **fresh)  # type: ignore[arg-type]  # of a mapping mypy knows too little
    certificate, key = client_identity(authority).write(tmp_path, "client")
    (tmp_path / "ca.pem").write_text(authority.certificate.pem())
    context = server.server_context()
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as roots:
        roots.write(authority.certificate.pem())
        roots.flush()
        context.load_verify_locations(roots.name)
    context.verify_mode = ssl.CERT_REQUIRED

    def answer(connection: ssl.SSLSocket) -> None:
        got = b""
        while not re.search(rb"step=\d+$", got):  # the end of the request's body
            got += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(GOOD) + GOOD)

    url = f"https://localhost:{tls_server(context, answer).port}"
    access: Any = {"client_cert": str(certificate), "client_key": str(key)}
    found = query_failures(url, "h", **SHORT, ca_file=str(tmp_path / "ca.pem"), **access)
    assert found.reasons["success"] == 99
    with pytest.raises(MetricsError, match=r"TLS with .* failed: .*CERTIFICATE_VERIFY_FAILED"):
        query_failures(url, "h", **SHORT, **access)
    with pytest.raises(MetricsError, match=r"closed the connection|TLS with"):  # TLS 1.3 refuses after the handshake
        query_failures(url, "h", **SHORT, ca_file=str(tmp_path / "ca.pem"))


def days_only(reply: Reply) -> Reply:
    """GOOD, but what is asked of the days before gets this reply."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.server.requests[-1][3]  # type: ignore[attr-defined]  # our FaultServer
        (reply if b"+offset+15m" in asked else always(200, GOOD))(handler)

    return answer


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (never, "could not be counted: .* was too slow: no whole answer was read within 1"),
        (always(500, b"disk"), "could not be counted: .* answers HTTP 500: disk"),
        (always(200, b"<html>"), "could not be counted: .* is a web page"),
        (always(422, ERROR), "could not be counted: .* query timed out"),
        (always(200, body([])), "what is usual at an hour is not known: no samples of the days before"),
        (always(200, body([], warnings=["store is gone"])), "the days before: Prometheus warns: store is gone"),
    ],
)
def test_days_before_that_cannot_be_had_are_a_finding_and_the_window_counts(
    fault: Fault, reply: Reply, says: str
) -> None:
    found = query_failures(fault(days_only(reply)).url, "h", **SHORT, deadline=2)
    assert found.reasons["success"] == 99
    assert found.before is None
    assert any(re.search(says, finding) for finding in found.findings)
    assert load_failures(found.raw, "h", source=found.source) == found


def test_calls_leave_no_thread_behind(fault: Fault) -> None:
    server = fault(always(200, GOOD))
    query_failures(server.url, "h", **SHORT)
    assert not [thread for thread in threading.enumerate() if thread.name == "irkit-prometheus" and thread.is_alive()]
