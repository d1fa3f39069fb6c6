"""The incident file: what it may say, and what is said of what it may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.errors import InputError, IrkitError
from irkit.incident import Vantage, load_incident, parse_incident
from irkit.tomlfile import parse_toml

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_host_alone_is_an_incident_of_the_last_day_seen_from_here() -> None:
    incident = parse_incident('[incident]\nhost = "API.Example.com."', now=NOW)
    assert (incident.host, incident.port, incident.vantages) == ("api.example.com", 443, (Vantage("local"),))
    assert (incident.start, incident.end) == (NOW - timedelta(hours=24), NOW)
    assert incident.id == "api.example.com-20261122T1200Z"
    assert incident.roots == ("mozilla",)


def test_every_table_of_the_format_is_read() -> None:
    incident = parse_incident(
        """
        [incident]
        id = "INC-2041"
        host = "api.example.com"
        port = 8443
        start = 2026-11-23T06:00:00+02:00
        end = 2026-11-23T12:00:00Z
        [metrics]
        url = "http://prometheus:9090"
        labels = { version = "app_version" }
        matchers = { job = "mobile-gateway" }
        success = ["success", "ok"]
        token_env = "PROMETHEUS_TOKEN"
        [[capture]]
        vantage = "office"
        trusted = false
        connect = "192.0.2.7:443"
        [[capture]]
        vantage = "lab"
        file = "lab.pem"
        at = 2026-11-23T09:00:00Z
        [[observed]]
        file = "phone.pem"
        release = "shop-android 4.2.0"
        network = "AS64500"
        [[release]]
        app = "shop-android"
        platform = "android"
        version = "4.2.0"
        pins = "nsc.xml"
        share = 0.62
        [inventory]
        file = "keys.toml"
        [history]
        folder = "earlier/"
        [reports]
        files = ["reports/*.ndjson.gz"]
        [trust]
        roots = ["corp-root.pem"]
        crls = ["corp.crl"]
        """,
        folder=Path("case"),
    )
    assert incident.start == datetime(2026, 11, 23, 4, tzinfo=UTC)
    assert incident.metrics is not None
    assert incident.metrics.success == ("success", "ok")
    assert incident.metrics.matchers == {"job": "mobile-gateway"}
    assert [(v.name, v.trusted) for v in incident.vantages] == [("office", False), ("lab", True)]
    assert incident.observed[0].network == "AS64500"
    assert incident.releases[0].share == 0.62
    assert incident.path(incident.inventory) == Path("case/keys.toml")


@pytest.mark.parametrize(
    ("content", "says", "hint"),
    [
        ('[incident]\nhots = "a.example"', "unknown key 'hots'", "did you mean 'host'?"),
        ('[incidents]\nhost = "a.example"', "unknown key 'incidents'", "did you mean 'incident'?"),
        ('[incident]\nhost = "a.example"\n[metric]\nurl = "x"', "unknown key 'metric'", "did you mean 'metrics'?"),
        ('[incident]\nhost = "https://a.example/x"', "no usable host", "without https://"),
        ('[incident]\nhost = "a.example:8443"', "no usable host", "without https:// and port"),
        ('[incident]\nhost = "b\u00fccher.example"', "no usable host", "xn--bcher-kva.example"),
        ('[incident]\nhost = "a.example"\nport = "443"', "incident.port is '443'", "a whole number"),
        ('[incident]\nhost = "a.example"\nport = 99999', "port 99999", "1 to 65535"),
        ('[incident]\nhost = "a.example"\nstart = 2026-11-23T06:00:00', "no time zone", "UTC"),
        ('[incident]\nhost = "a.example"\nstart = "yesterday"', "not a time", "without quotes"),
        (
            '[incident]\nhost = "a.example"\nstart = 2026-11-23T06:00:00Z\nend = 2026-11-22T06:00:00Z',
            "is not before",
            "swap",
        ),
        ('[incident]\nhost = "a.example"\n[release]\npins = "x"', "not a list of tables", "[[release]]"),
        ('[incident]\nhost = "a.example"\n[[release]]\napp = "x"', "[[release]] number 1 has no pins", "pins ="),
        (
            '[incident]\nhost = "a.example"\n[[release]]\npins = "x"\nplatform = "symbian"',
            "platform: 'symbian' is not known",
            "android",
        ),
        ('[incident]\nhost = "a.example"\n[[release]]\npins = "x"\nshare = 62', "share = 62", "0.62"),
        ('[incident]\nhost = "a.example"\n[metrics]\nmetric = "x"', "one of url and file", "url ="),
        ('[incident]\nhost = "a.example"\n[metrics]\nurl="x"\nlabels={versoin="v"}', "'versoin'", "'version'"),
        ('[incident]\nhost = "a.example"\n[[capture]]\nfile="a"\nconnect="b:1"', "both file and connect", "keep one"),
        ('[incident]\nhost = "a.example"\n[trust]\nroots = [1]', "trust.roots", "quotes"),
        ("[incident\n", "is not TOML", "mend"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_remedy(content: str, says: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_incident(content, now=NOW)
    assert says in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there_or_not_text_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read the incident file"):
        load_incident(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not TOML"):
        load_incident(tmp_path / "binary.toml")


@given(st.text(max_size=60))
def test_any_text_is_an_incident_or_an_irkit_error(content: str) -> None:
    for candidate in (content, f'[incident]\nhost = "a.example"\n{content}'):
        try:
            parse_incident(candidate, now=NOW)
        except IrkitError as error:
            assert error.hint


def test_an_address_of_six_is_a_host_and_a_file_of_other_letters_says_so() -> None:
    assert parse_incident('[incident]\nhost = "2001:DB8::1"', now=NOW).host == "2001:db8::1"
    with pytest.raises(InputError, match="not UTF-8"):
        parse_toml(b"\xff\xfe[", {}, "a.toml")
