"""From an alert to an incident: real Alertmanager and Prometheus answers, and hostile ones."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import free_port, listening

import irkit
from irkit.alert import Alert, incident_from_alerts, load_alerts, parse_alerts
from irkit.cli import main
from irkit.errors import InputError
from irkit.incident import Annotation, Incident, MetricsSource, ObservedSource, ReleaseSource, Vantage, parse_incident
from irkit.incidentfile import incident_toml, with_absolute_paths

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIRED = datetime(2026, 11, 23, 8, 44, tzinfo=UTC)
LABELS = {
    "alertname": "CertificatePinFailure", "domain": "api.example.com", "region": "ap-south", "severity": "page",
    "view": "region", "job": "mobile-gateway",
}  # fmt: skip
HOSTILE = '"]\nhost = "evil.example"\n[metrics]\nurl = "http://evil/" # \x1b[2J \u202e \ud800 \x7f <script>'


def webhook(**changes: Any) -> dict[str, Any]:
    """What Alertmanager 0.25 sends."""
    alert = {
        "status": "firing", "labels": LABELS, "annotations": {"summary": "8 % fail"},
        "startsAt": "2026-11-23T08:44:00.123456789Z", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=x", "fingerprint": "5b1f2f1a",
    }  # fmt: skip
    return {
        "receiver": "irkit", "status": "firing", "alerts": [alert | changes], "groupLabels": {}, "commonLabels": LABELS,
        "commonAnnotations": {}, "externalURL": "http://alertmanager:9093", "version": "4", "groupKey": "{}:{}",
        "truncatedAlerts": 0,
    }  # fmt: skip


def read(document: Any) -> tuple[Alert, ...]:
    return parse_alerts(json.dumps(document))


@pytest.mark.parametrize(
    "document",
    [
        webhook(),
        webhook()["alerts"],
        [
            {"labels": LABELS, "annotations": {}, "startsAt": "2026-11-23T08:44:00.000Z", "receivers": [],
             "endsAt": "2026-11-23T12:04:00.000Z", "status": {"state": "active", "silencedBy": [], "inhibitedBy": []}}
        ],
        {"labels": LABELS, "status": {"state": "suppressed"}, "startsAt": "2026-11-23T09:44:00+01:00"},
        {"status": "success", "data": {"alerts": [
            {"labels": LABELS, "annotations": {}, "state": "firing", "activeAt": "2026-11-23T08:44:00.5Z"}
        ]}},
    ],
    ids=["webhook", "its alerts", "api v2", "one alert", "prometheus"],
)  # fmt: skip
def test_every_form_of_the_alert_gives_the_same_incident(document: Any) -> None:
    incident = incident_from_alerts(read(document), now=NOW, prometheus="http://127.0.0.1:9090")
    assert incident.host == "api.example.com"
    assert (incident.start, incident.end) == (FIRED - timedelta(hours=24), NOW)
    assert incident.id == "CertificatePinFailure-api.example.com-20261123T0844Z"
    assert incident.metrics is not None
    assert incident.metrics.matchers == {"job": "mobile-gateway"}, "releases and regions are compared, not left out"


def test_a_resolved_alert_ends_the_window_an_hour_after_it() -> None:
    resolved = webhook(status="resolved", endsAt="2026-11-23T10:00:00Z")
    assert incident_from_alerts(read(resolved), now=NOW).end == datetime(2026, 11, 23, 11, tzinfo=UTC)


@pytest.mark.parametrize("started", ["0001-01-01T00:00:00Z", "", None, 7, "soon", "2027-01-01T00:00:00Z"])
def test_an_alert_without_a_usable_start_is_taken_as_of_now(started: Any) -> None:
    incident = incident_from_alerts(read(webhook(startsAt=started)), now=NOW)
    assert (incident.start, incident.end) == (NOW - timedelta(hours=24), NOW)


def test_an_alert_of_weeks_ago_has_a_window_that_prometheus_can_answer() -> None:
    incident = incident_from_alerts(read(webhook(startsAt="2026-10-01T00:00:00Z")), now=NOW)
    assert incident.start == datetime(2026, 9, 30, tzinfo=UTC)
    assert incident.end - incident.start == timedelta(days=7)


@pytest.mark.parametrize(
    ("labels", "host"),
    [
        ({"domain": "API.example.com."}, "api.example.com"),
        ({"instance": "https://api.example.com:8443/health"}, "api.example.com"),
        ({"instance": "[2001:db8::1]:443"}, "2001:db8::1"),
        ({"domain": "", "host": "api.example.com"}, "api.example.com"),
        ({"domain": "not a host", "target": "api.example.com:443"}, "api.example.com"),
    ],
)
def test_the_host_is_found_in_the_label_that_holds_one(labels: dict[str, str], host: str) -> None:
    assert incident_from_alerts((Alert(labels),), now=NOW).host == host


def test_the_incident_file_says_which_label_names_the_host() -> None:
    base = Incident(
        "shop.example", NOW - timedelta(1), NOW, metrics=MetricsSource("http://p", labels={"domain": "sni"})
    )
    alert = Alert({"alertname": "X", "sni": "shop.example", "instance": "10.0.0.1:9100"})
    assert incident_from_alerts((alert,), base, now=NOW).host == "shop.example"


def test_alerts_on_other_things_are_left_out_and_several_hosts_are_asked_about() -> None:
    disk = Alert({"alertname": "DiskFull", "instance": "node1:9100"})
    ours, other = Alert(LABELS), Alert(LABELS | {"domain": "pay.example.com", "job": "other"})
    assert incident_from_alerts((disk, ours), now=NOW).host == "api.example.com"
    with pytest.raises(InputError, match=r"2 hosts: api\.example\.com, pay\.example\.com"):
        incident_from_alerts((disk, ours, other), now=NOW)
    assert incident_from_alerts((ours, other), host="pay.example.com", now=NOW).host == "pay.example.com"
    with pytest.raises(InputError, match="no alert is about"):
        incident_from_alerts((ours,), host="else.example", now=NOW)


def test_an_alert_that_names_no_host_is_refused_with_its_labels() -> None:
    with pytest.raises(InputError, match="it has alertname, cluster"):
        incident_from_alerts((Alert({"alertname": "X", "cluster": "a b"}),), now=NOW)


def test_the_base_keeps_what_it_knows_and_a_folder_of_them_is_chosen_from(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text('[[key]]\npin = "sha256/x"\n')
    (tmp_path / "other.toml").write_text('[incident]\nhost = "other.example"\n')
    (tmp_path / "api.toml").write_text(
        '[incident]\nhost = "api.example.com"\nport = 8443\n[metrics]\nurl = "http://127.0.0.1:9"\n'
        'matchers = { job = "edge", tenant = "shop" }\n[[release]]\npins = "pins.xml"\n'
        '[inventory]\nfile = "keys.toml"\n'
    )
    found = incident_from_alerts(read(webhook()), tmp_path, now=NOW)
    assert (found.port, found.inventory, found.releases[0].pins) == (8443, "keys.toml", "pins.xml")
    assert found.metrics is not None
    assert found.metrics.matchers == {"job": "edge", "tenant": "shop"}, "the file knows better than the alert"
    with pytest.raises(InputError, match=r"about api\.example\.com, the incident file about other\.example"):
        incident_from_alerts(read(webhook()), tmp_path / "other.toml", now=NOW)
    (tmp_path / "api.toml").write_text("[incident]\nhots = 1\n")
    with pytest.raises(InputError) as caught:
        incident_from_alerts(read(webhook()), tmp_path, now=NOW)
    assert "hots" in caught.value.hint, "a broken file is named"


def test_hostile_labels_stay_values_of_the_incident_file() -> None:
    labels = dict.fromkeys(("alertname", "region", "namespace", HOSTILE), HOSTILE) | {"domain": "api.example.com"}
    alerts = read([{"labels": labels, "generatorURL": "http://127.0.0.1:9/"}])
    incident = incident_from_alerts(alerts, now=NOW, prometheus="http://prometheus:9090")
    from irkit.incident_command import alert_notes

    written = incident_toml(incident, alert_notes(alerts))
    document = tomllib.loads(written)
    assert set(document) == {"incident", "metrics", "history", "trust"}
    assert document["incident"]["host"] == "api.example.com"
    assert document["metrics"]["url"] == "http://prometheus:9090"
    assert document["metrics"]["matchers"]["namespace"] == HOSTILE.replace("\ud800", "\\ud800")
    assert not set(written) & set("\x1b\u202e\x7f")
    assert "/" not in incident.id
    with pytest.raises(InputError):
        incident_from_alerts((Alert({"domain": HOSTILE}),), now=NOW)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"<html>", b'{"alerts": 3}', b'[{"labels": 1}]', b"[" * 100_000, b"\xff\xfe", b"null"]
)
def test_what_is_no_alert_is_an_input_error(body: bytes) -> None:
    with pytest.raises(InputError) as caught:
        parse_alerts(body)
    assert caught.value.hint


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("resolved"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["labels", "status", "alerts", "data", "startsAt", "endsAt", "domain", "x"]), inner
    ),
    max_leaves=12,
))  # fmt: skip
def test_any_json_is_an_incident_or_an_input_error(document: Any) -> None:
    with contextlib.suppress(InputError):
        incident = incident_from_alerts(read(document), now=NOW)
        assert incident.start < incident.end
        assert parse_incident(incident_toml(incident), now=NOW).host == incident.host


def test_a_file_standard_input_and_a_file_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps(webhook()).encode()
    (tmp_path / "alert.json").write_bytes(body)
    assert load_alerts(tmp_path / "alert.json")[0].labels["region"] == "ap-south"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
    assert load_alerts("-")[0].start == FIRED
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(InputError, match="larger than 16 MB"):
        load_alerts(tmp_path / "huge")
    with pytest.raises(InputError, match="can't read"):
        load_alerts(tmp_path / "none")


# --- the incident file that is written


_text = st.text(max_size=12)
_times = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it
_secret_free = {"token_env": st.just("TOKEN"), "tenant": _text, "ca_file": st.just("a b.pem")}


@given(
    st.builds(
        Incident,
        host=st.just("api.example.com"), start=st.just(NOW - timedelta(hours=3)), end=st.just(NOW),
        id=st.text(min_size=1, max_size=20), port=st.integers(1, 65535),
        metrics=st.none() | st.builds(
            MetricsSource, url=st.just("http://p:9090"), metric=_text, success=st.just(("ok", "fine")),
            labels=st.just({"domain": "d", "region": 'r"'}), matchers=st.dictionaries(_text, _text, max_size=3),
            **_secret_free,
        ),
        vantages=st.lists(st.builds(
            Vantage, name=_text, trusted=st.booleans(), connect=_text, at=st.none() | _times), min_size=1, max_size=2
        ).map(tuple),
        observed=st.lists(st.builds(ObservedSource, file=st.just("x.pem"), release=_text, network=_text)).map(tuple),
        releases=st.lists(st.builds(
            ReleaseSource, pins=st.just("p"), version=_text, share=st.none() | st.floats(0, 1))).map(tuple),
        annotations=st.lists(
            st.builds(Annotation, what=st.text(min_size=1, max_size=12), at=_times)
            | st.builds(Annotation, metric=st.just("app_info"), matchers=st.dictionaries(_text, _text, max_size=2)),
            max_size=2,
        ).map(tuple),
        inventory=_text, reports=st.lists(_text, max_size=2).map(tuple), roots=st.just(("mozilla", "corp root.pem")),
        runbooks=_text,
    )
)  # fmt: skip
def test_what_is_written_is_read_back(incident: Incident) -> None:
    assert parse_incident(incident_toml(incident, ["a\nb = 1", "\x00"])) == incident


def test_paths_are_made_absolute_so_that_the_file_can_stand_anywhere(tmp_path: Path) -> None:
    base = parse_incident(
        '[incident]\nhost = "a.example"\n[metrics]\nfile = "m.json"\n[[capture]]\nfile = "c.pem"\n[[observed]]\n'
        'file = "/o.pem"\n[[release]]\npins = "p.xml"\n[inventory]\nfile = "k.toml"\n'
        '[trust]\nroots = ["mozilla", "r.pem"]\n',
        folder=tmp_path,
    )
    moved = with_absolute_paths(base)
    assert moved.metrics is not None
    assert moved.metrics.file == str(tmp_path / "m.json")
    assert moved.vantages[0].file == str(tmp_path / "c.pem")
    assert moved.observed[0].file == "/o.pem"
    assert moved.releases[0].pins == str(tmp_path / "p.xml")
    assert (moved.inventory, moved.history) == (str(tmp_path / "k.toml"), str(tmp_path / "captures"))
    assert moved.roots == ("mozilla", str(tmp_path / "r.pem"))


# --- the command line, and the real programs


def test_the_command_prints_the_file_writes_it_or_prints_json(tmp_path: Path, capsys: Any) -> None:
    alert = tmp_path / "alert.json"
    alert.write_text(json.dumps(webhook()))
    assert main(["incident", "from-alert", str(alert), "--prometheus", "http://127.0.0.1:9090"]) == 0
    printed = capsys.readouterr().out
    assert parse_incident(printed).host == "api.example.com"
    assert "region=ap-south" in printed, "what the alert says stands at the top"
    assert main(["incident", "from-alert", str(alert), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["incident"]["host"] == "api.example.com"
    assert main(["incident", "from-alert", str(alert), "--out", str(tmp_path / "new.toml")]) == 0
    assert irkit.load_incident(tmp_path / "new.toml").id.startswith("CertificatePinFailure-api")
    assert main(["triage", "--alert", str(alert), "--replay", "x"]) == 2


def alertmanager(program: str, folder: Path, webhook_url: str) -> contextlib.AbstractContextManager[str]:
    """A real Alertmanager that sends everything to a webhook; gives its address."""
    (folder / "alertmanager.yml").write_text(
        "route: { receiver: irkit, group_wait: 0s, group_by: [alertname, domain] }\n"
        f"receivers:\n  - name: irkit\n    webhook_configs: [{{ url: '{webhook_url}' }}]\n"
    )
    port = free_port()
    command = [
        program, f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    return listening(command, port, folder / "alertmanager.log", "/-/ready")


@pytest.mark.prometheus
def test_a_real_alertmanager_answers_and_calls_with_what_becomes_an_incident(
    tmp_path: Path, tool: Callable[..., str], fault: Callable[..., Any]
) -> None:
    from prometheus_server import send

    receiver = fault(lambda handler: send(handler, 200, b""))
    sent = [{"labels": LABELS, "annotations": {"summary": HOSTILE}, "startsAt": "2026-11-23T08:44:00Z"}]
    with alertmanager(tool("prometheus-alertmanager", "alertmanager"), tmp_path, f"{receiver.url}/hook") as url:
        request = urllib.request.Request(
            f"{url}/api/v2/alerts", json.dumps(sent).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10)
        filtered = f"{url}/api/v2/alerts?filter=domain%3D%22api.example.com%22&filter=view%3Dregion"
        asked = load_alerts(filtered)
        with pytest.raises(InputError, match="holds no alert"):
            load_alerts(f"{url}/api/v2/alerts?filter=domain%3D%22api.example.com%22&filter=view%3Drelease")
        for _ in range(200):
            if receiver.requests:
                break
            time.sleep(0.1)
    (called,) = receiver.requests[:1]
    for alerts in (asked, parse_alerts(called[3])):
        incident = incident_from_alerts(alerts, now=NOW)
        assert (incident.host, incident.start) == ("api.example.com", FIRED - timedelta(hours=24))
        assert alerts[0].firing


@pytest.mark.prometheus
def test_prometheus_own_alerts_become_an_incident_and_a_triage(tmp_path: Path, tool: Callable[..., str]) -> None:
    from prometheus_server import alerting

    from irkit.drill import prepare

    with prepare("mitm", tmp_path / "drill") as drill, alerting(tool("prometheus"), tmp_path) as url:
        for _ in range(200):
            with contextlib.suppress(InputError):
                if load_alerts(f"{url}/api/v1/alerts"):
                    break
            time.sleep(0.1)
        command = (
            f"{shlex.quote(sys.executable)} -m irkit.cli triage {drill.incident} --alert {url}/api/v1/alerts --out runs"
        )
        done = subprocess.run(shlex.split(command), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 12, done.stdout + done.stderr
    (folder,) = (tmp_path / "runs").glob("*/*")
    assert folder.parent.name.startswith("CertificatePinFailure-api.example.com-")
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["verdict"]) == ("complete", "mitm")
    left = (folder / "incident.toml").read_text()
    assert "# CertificatePinFailure, firing, since" in left
    assert irkit.load_incident(folder / "incident.toml").releases == tuple(
        irkit.incidentfile.with_absolute_paths(irkit.load_incident(drill.incident)).releases
    )
