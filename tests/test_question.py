"""What the notebook's fields and parameters ask, and the incident that this makes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.drill import prepare
from irkit.errors import InputError
from irkit.incident import Incident, load_incident
from irkit.question import Question, ask, narrow, parse_filter, parse_window

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ALERT = {"labels": {"alertname": "CertificatePinFailure", "domain": "api.example.com"}, "annotations": {},
         "startsAt": "2026-11-23T08:42:00Z", "status": "firing"}  # fmt: skip


@pytest.fixture
def stay() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    with prepare("quiet", tmp_path_factory.mktemp("drill") / "quiet") as drill:
        return load_incident(drill.incident)


def test_the_fields_narrow_an_incident_and_an_unknown_name_is_answered_with_the_known(incident: Incident) -> None:
    assert narrow(incident, Question()) == incident
    asked = Question(host="Other.example", window="6h", vantages="office", releases="shop-ios 7.2, shop-ios 7.3")
    less = narrow(incident, asked)
    assert (less.host, [v.name for v in less.vantages]) == ("other.example", ["office"])
    assert [release.version for release in less.releases] == ["7.2", "7.3"]
    assert (less.end, less.end - less.start) == (incident.end, timedelta(hours=6))
    with pytest.raises(InputError, match="no 'offcie'") as caught:
        narrow(incident, Question(vantages="offcie"))
    assert "office" in caught.value.hint
    with pytest.raises(InputError, match="no usable host"):
        narrow(incident, Question(host="https://api.example.com/"))


def test_an_id_that_was_made_of_host_and_window_follows_them_and_one_that_was_given_stays(incident: Incident) -> None:
    start = incident.start
    made = Incident("a.example", start, incident.end, id=f"a.example-{start:%Y%m%dT%H%MZ}")
    assert narrow(made, Question(host="b.example")).id == f"b.example-{start:%Y%m%dT%H%MZ}"
    assert narrow(incident, Question(host="b.example", window="2h")).id == incident.id


@pytest.mark.parametrize(
    ("value", "window"),
    [
        ("", None), ("6h", timedelta(hours=6)), ("90 min", timedelta(minutes=90)), ("1.5d", timedelta(hours=36)),
        ("2026-11-23T06:00Z/2026-11-23T12:00Z", (NOW - timedelta(hours=6), NOW)),
        ("2026-11-23 06:00 UTC to 2026-11-23 12:00 UTC", (NOW - timedelta(hours=6), NOW)),
        ("2026-11-23T07:00+01:00 / 2026-11-23T12:00Z", (NOW - timedelta(hours=6), NOW)),
    ],
)  # fmt: skip
def test_a_window_is_a_span_before_the_end_or_two_times(value: str, window: object) -> None:
    assert parse_window(value) == window


@pytest.mark.parametrize(
    "value",
    ["0h", "6", "six hours", "100d", "6y", "2026-11-23T06:00/2026-11-23T12:00", "2026-11-23T06:00Z",
     "2026-11-23T12:00Z/2026-11-23T06:00Z", "2020-01-01T00:00Z/2026-11-23T06:00Z", "/", "a/b/c"],
)  # fmt: skip
def test_what_is_no_window_is_an_error_with_an_example(value: str) -> None:
    with pytest.raises(InputError) as caught:
        Question(window=value)
    assert "write 6h" in caught.value.hint


def test_a_filter_has_a_role_and_a_value_in_each_part() -> None:
    assert parse_filter("") == {}
    assert parse_filter("region=ap-south, version = 4.2.0,version=4.1.0") == {
        "region": ("ap-south",), "version": ("4.2.0", "4.1.0"),
    }  # fmt: skip
    for wrong in ("regoin=ap-south", "region", "region=", "ap-south"):
        with pytest.raises(InputError, match="chooses nothing") as caught:
            Question(only=wrong)
        assert "version, platform, region, network" in caught.value.hint


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_a_window_and_a_filter_or_an_error_with_a_hint(window: str, only: str) -> None:
    for parse, value in ((parse_window, window), (parse_filter, only)):
        try:
            parse(value)
        except InputError as error:
            assert error.hint


def test_a_host_alone_an_alert_alone_and_an_alert_with_a_file_make_an_incident(
    tmp_path: Path, stay: contextlib.ExitStack
) -> None:
    found = ask(Question(host="API.example.com", prometheus="http://127.0.0.1:9090"), stay, now=NOW)
    assert (found.host, found.end - found.start, found.id) == (
        "api.example.com", timedelta(hours=24), "api.example.com-20261122T1200Z",
    )  # fmt: skip
    assert found.metrics is not None
    assert found.metrics.url == "http://127.0.0.1:9090"
    pasted = json.dumps(
        {"version": "4", "alerts": [ALERT, ALERT | {"labels": ALERT["labels"] | {"domain": "b.example"}}]}
    )
    with pytest.raises(InputError, match="2 hosts"):
        ask(Question(alert=pasted), stay, now=NOW)
    assert ask(Question(alert=pasted, host="b.example"), stay, now=NOW).host == "b.example"
    (tmp_path / "alert.json").write_text(json.dumps([ALERT]))
    (tmp_path / "api.toml").write_text('[incident]\nhost = "api.example.com"\n[[release]]\npins = "p.xml"\n')
    asked = Question(alert=str(tmp_path / "alert.json"), incident=str(tmp_path), window="2h")
    both = ask(asked, stay, now=NOW)
    assert both.releases[0].pins == str(tmp_path / "p.xml")
    assert both.end - both.start == timedelta(hours=2)
    with pytest.raises(InputError, match="no JSON"):
        ask(Question(alert="{no JSON"), stay, now=NOW)
    with pytest.raises(InputError, match="no incident given"):
        ask(Question(), stay, now=NOW)


def test_a_rehearsal_goes_on_until_it_is_closed_and_leaves_nothing() -> None:
    stay = contextlib.ExitStack()
    with stay:
        folder = ask(Question(rehearse="quiet"), stay).folder
        assert (folder / "incident.toml").exists()
    assert not folder.parent.exists()
    with pytest.raises(InputError, match="no rehearsal"):
        ask(Question(rehearse="mtim"), contextlib.ExitStack())
