"""The form's own rules: what it takes for HTML, how it names data, and the incident that its fields make."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from irkit.drill import prepare
from irkit.errors import InputError
from irkit.incident import load_incident, narrow
from irkit.render import label, paragraph
from irkit.widgets import FormDesk, _html, _set, explorer


def test_a_widget_shows_no_html_but_that_of_render() -> None:
    shown = _html(paragraph("<b>"))
    assert "&lt;b&gt;" in shown.value
    for give in (_html, lambda html: _set(shown, html)):
        with pytest.raises(TypeError):
            give("<p>made elsewhere</p>")


def test_the_text_of_a_widget_begins_no_mathematics() -> None:
    assert label("$\\text{ROTATION}$ \\(x\\) a\\b") == "\\u{24}\\text{ROTATION}\\u{24} \\u{5c}(x\\) a\\b"


def test_a_pasted_alert_names_the_incident_and_a_broken_one_is_an_error_with_a_hint() -> None:
    async def ask(pasted: str) -> str:
        desk = FormDesk()
        desk.source.value, desk.alert.value, desk.file.value = "Alert", pasted, ""
        return desk._asked().host

    alert = {"labels": {"alertname": "CertificatePinFailure", "domain": "api.example.com"}, "annotations": {},
             "startsAt": "2026-11-23T08:42:00Z", "status": "firing"}  # fmt: skip
    assert asyncio.run(ask(json.dumps({"version": "4", "alerts": [alert]}))) == "api.example.com"
    with pytest.raises(InputError) as caught:
        asyncio.run(ask("no JSON"))
    assert caught.value.hint


def test_the_fields_narrow_an_incident_and_an_unknown_name_is_answered_with_the_known(tmp_path: Path) -> None:
    with prepare("quiet", tmp_path / "drill") as drill:
        incident = load_incident(drill.incident)
    assert narrow(incident) == incident
    less = narrow(incident, host="Other.example", hours=6, vantages="office", releases="shop-ios 7.2, shop-ios 7.3")
    assert (less.host, [v.name for v in less.vantages]) == ("other.example", ["office"])
    assert [release.version for release in less.releases] == ["7.2", "7.3"]
    assert (less.end - less.start).total_seconds() == 6 * 3600
    with pytest.raises(InputError, match="no 'offcie'") as caught:
        narrow(incident, vantages="offcie")
    assert "office" in caught.value.hint


def test_the_explorer_shows_each_certificate_with_its_pin_and_who_pins_it(tmp_path: Path) -> None:
    import irkit

    with prepare("mitm", tmp_path / "drill") as drill:
        evidence = irkit.gather(drill.incident)
    chains, certificates, fields, _, pin, pem = explorer(evidence)
    now = next(value for name, value in chains.options if ". now" in name)
    chains.value = now
    leaf = evidence.captures[0].chain.leaf
    assert (pin.value, pem.value) == (str(leaf.pin), leaf.pem())
    assert "shop-android 4.2.0" in fields.value.split("pinned by")[1]
    certificates.value = 1
    assert pin.value == str(evidence.captures[0].chain[1].pin)
    chains.value = next(value for name, value in chains.options if "seen by clients" in name)
    assert "no release" in fields.value.split("pinned by")[1]
