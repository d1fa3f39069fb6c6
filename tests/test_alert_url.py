"""`irkit triage --alert URL`: a real Alertmanager and its webhook, one alert alone, and servers that mean no good."""

from __future__ import annotations

import contextlib
import gzip
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_server import send
from test_alert import LABELS, alertmanager

from irkit.alert import load_alerts
from irkit.drill import prepare
from irkit.errors import InputError, IrkitError, MetricsError
from irkit.question import Question, ask

ONE = {"labels": LABELS, "annotations": {}, "startsAt": "2026-11-23T08:44:00Z"}


def irkit(*arguments: object, cwd: Path, body: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "irkit.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, input=body, capture_output=True, check=False, timeout=120)


@pytest.mark.prometheus
def test_an_alert_of_a_real_alertmanager_is_triaged_by_its_url_and_by_what_its_webhook_sends(
    tmp_path: Path, tool: Callable[..., str], fault: Callable[..., Any]
) -> None:
    receiver = fault(lambda handler: send(handler, 200, b""))
    began = datetime.now(UTC) - timedelta(hours=2)
    fired = [{"labels": LABELS, "startsAt": f"{began:%Y-%m-%dT%H:%M:%SZ}"}]
    other = [{"labels": LABELS | {"alertname": "DiskFull", "domain": "", "instance": "node1:9100"}}]
    with (
        prepare("mitm", tmp_path / "drill") as drill,
        alertmanager(tool("prometheus-alertmanager", "alertmanager"), tmp_path, f"{receiver.url}/hook") as url,
    ):
        request = urllib.request.Request(
            f"{url}/api/v2/alerts", json.dumps(fired + other).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()
        done = irkit("triage", drill.incident, "--alert", f"{url}/api/v2/alerts", "--json", cwd=tmp_path)
        assert done.returncode == 12, done.stderr
        result = json.loads(done.stdout)
        assert (result["status"], result["verdict"]) == ("complete", "mitm")
        assert result["incident"] == f"CertificatePinFailure-api.example.com-{began:%Y%m%dT%H%MZ}"
        for address in (url, f"{url}/#/alerts?filter=%7Bdomain%3D%22api.example.com%22%7D"):
            page = irkit("triage", drill.incident, "--alert", address, cwd=tmp_path)
            assert page.returncode == 2
            assert f"give {url}/api/v2/alerts" in page.stderr.decode()
        until = time.monotonic() + 30
        while not (bodies := [body for _, _, _, body in receiver.requests if b"CertificatePin" in body]):
            assert time.monotonic() < until, "Alertmanager did not call"
            time.sleep(0.1)
        told = irkit("incident", "from-alert", "-", "--json", cwd=tmp_path, body=bodies[0])
        assert json.loads(told.stdout)["incident"]["host"] == "api.example.com"
        done = irkit("triage", drill.incident, "--alert", "-", "--json", cwd=tmp_path, body=bodies[0])
        assert done.returncode == 12, done.stderr
        result = json.loads(done.stdout)
    assert (result["status"], result["verdict"]) == ("complete", "mitm")
    assert result["incident"] == f"CertificatePinFailure-api.example.com-{began:%Y%m%dT%H%MZ}"


def test_what_comes_on_standard_input_and_is_no_alert_is_an_error_in_words(tmp_path: Path) -> None:
    for body in (b"", b"<html>", b"{}"):
        done = irkit("triage", "--alert", "-", cwd=tmp_path, body=body)
        assert done.returncode == 2
        assert "standard input" in done.stderr.decode()
        assert "Traceback" not in done.stderr.decode()


def test_the_form_names_the_variable_with_the_token_of_an_address(
    fault: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def protected(handler: Any) -> None:
        there = handler.headers.get("Authorization") == "Bearer of-the-responder"
        send(handler, 200 if there else 401, json.dumps([ONE]).encode() if there else b"")

    monkeypatch.setenv("ALERT_TOKEN", "of-the-responder")
    url = f"{fault(protected).url}/api/v2/alerts"
    with contextlib.ExitStack() as stay:
        found = ask(Question(alert=url, token_env="ALERT_TOKEN"), stay)
        assert found.host == "api.example.com"
        assert "of-the-responder" not in repr(found)
        with pytest.raises(MetricsError, match="401"):
            ask(Question(alert=url), stay)
        with pytest.raises(IrkitError, match="NO_SUCH_TOKEN"):
            ask(Question(alert=url, token_env="NO_SUCH_TOKEN"), stay)


@pytest.mark.parametrize("body", [ONE, [ONE], {"alerts": [ONE]}, {"data": {"alerts": [ONE]}}])
def test_one_alert_alone_or_in_a_list_is_read_from_an_address(fault: Callable[..., Any], body: Any) -> None:
    server = fault(lambda handler: send(handler, 200, json.dumps(body).encode()))
    (alert,) = load_alerts(f"{server.url}/alert?id=7&x=")
    assert alert.labels["domain"] == "api.example.com"
    ((_, path, _, _),) = server.requests
    assert path == "/alert?id=7&x="


def drip(handler: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.stop.wait(0.1):
        handler.wfile.write(b" ")


HOSTILE: dict[str, tuple[Callable[[Any], None], type[IrkitError], str]] = {
    "refuses": (lambda h: send(h, 401, b"no"), MetricsError, "HTTP 401"),
    "redirects": (lambda h: send(h, 302, b"", Location="http://127.0.0.1:9/"), MetricsError, "it redirects to"),
    "is endless": (lambda h: send(h, 200, b" " * (17 * 2**20)), MetricsError, "more than"),
    "is a bomb": (
        lambda h: send(h, 200, gzip.compress(b" " * (64 * 2**20)), Content_Encoding="gzip"), MetricsError, "more than",
    ),
    "drips": (drip, MetricsError, "too slow"),
    "breaks off": (lambda h: send(h, 200, b"[{", Content_Encoding="br"), MetricsError, "encoding"),
    "is a page": (lambda h: send(h, 200, b"\n<html>sign in"), InputError, "a page for people"),
    "is deep": (lambda h: send(h, 200, b"[" * 10**6), InputError, "no JSON"),
    "is empty": (lambda h: send(h, 200, b"[]"), InputError, "holds no alert"),
    "names nothing": (lambda h: send(h, 200, b'[{"labels": {"domain": 7}}]'), InputError, "holds no alert"),
}  # fmt: skip


@pytest.mark.parametrize("how", HOSTILE)
def test_an_address_that_gives_no_alert_says_why(fault: Callable[..., Any], how: str) -> None:
    answer, kind, says = HOSTILE[how]
    server = fault(answer)
    with pytest.raises(kind, match=says) as caught:
        load_alerts(f"{server.url}/api/v2/alerts", deadline=2 if how == "drips" else 30)
    assert caught.value.hint


def test_an_address_with_a_password_or_where_nobody_listens_is_an_error() -> None:
    with pytest.raises(InputError, match="user name or password"):
        load_alerts("http://me:secret@127.0.0.1:9/api/v2/alerts")
    with pytest.raises(MetricsError, match="nothing listens"):
        load_alerts("http://127.0.0.1:9/api/v2/alerts")
