"""The timeline of an endpoint: chains, keys, and what probers date from before the first capture."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import forge
import pytest
from matplotlib.image import imread

import irkit
from irkit.chain import Chain, Obtained
from irkit.changes import ServerChange
from irkit.cli import main
from irkit.errors import InputError
from irkit.history import add_capture
from irkit.servermetrics import server_entry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CA = forge.root().issue(cn="CA", ca=True)
OLD, NEW = CA.issue("a.test"), CA.issue("a.test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for identity, at in ((OLD, NOON), (OLD, NOON + DAY), (NEW, NOON + 3 * DAY)):
        chain = Chain(identity.chain.certificates, Obtained("handshake", "a.test", at=at, host="a.test", port=443))
        add_capture(tmp_path, chain, vantage="office", trusted=True)
    return tmp_path


def served(fingerprint: str, days: float, until: float | None = None) -> ServerChange:
    end = None if until is None else NOON + until * DAY
    source = "probe_ssl_last_chain_info" if fingerprint else "probe_ssl_earliest_cert_expiry"
    return ServerChange(NOON + days * DAY, "served", "served", until=end, source=source, fingerprint=fingerprint)


def test_the_history_of_a_host_gives_its_chains_and_keys_and_a_picture_of_them(folder: Path) -> None:
    past = irkit.history("a.test", folder)
    assert [(s.kind, s.first, s.last) for s in past.sightings[:2]] == [
        ("chain", NOON, NOON + DAY), ("chain", NOON + 3 * DAY, NOON + 3 * DAY),
    ]  # fmt: skip
    picture = past.picture
    assert picture is not None
    assert f"{str(OLD.certificate.pin)[:18]}...: captured 2026-11-23 12:00 UTC to 2026-11-24 12:00 UTC" in picture.alt
    assert str(CA.certificate.pin)[:18] not in picture.alt  # leaf keys only
    assert imread(io.BytesIO(picture.png)).shape[1] > 800
    assert "<img" in past._repr_html_()
    assert "2 chains and 3 keys" in repr(past)


def test_a_prober_s_fingerprint_dates_a_key_from_before_the_first_capture(folder: Path) -> None:
    strange = "ab" * 32
    changes = (served(NEW.certificate.sha256, 1.5), served(OLD.certificate.sha256, -9, 1.4), served(strange, -20, -9.1),
               served("", -30), ServerChange(NOON, "a deployment", "deployment"))  # fmt: skip
    past = irkit.history("a.test", folder, changes=changes)
    assert [(one.change.at, one.pin) for one in past.probed] == [
        (NOON - 20 * DAY, None), (NOON - 9 * DAY, OLD.certificate.pin), (NOON + 1.5 * DAY, NEW.certificate.pin),
    ]  # fmt: skip
    assert [one.at for one in past.changes] == [NOON - 30 * DAY]
    picture = past.picture
    assert picture is not None
    assert (
        f"{str(OLD.certificate.pin)[:18]}...: captured 2026-11-23 12:00 UTC to 2026-11-24 12:00 UTC, probed from "
        in (picture.alt)
    )
    assert f"probed {strange[:12]}: probed from 2026-11-03 12:00 UTC" in picture.alt


def series(name: str, spans: list[tuple[float, float, float]], **labels: str) -> dict[str, Any]:
    """One series of a query_range body: a value from a day to the next, a sample an hour."""
    values = [
        [(NOON + day * DAY / 24).timestamp(), str(value)]
        for first, last, value in spans
        for day in range(int(first * 24), int(last * 24))
    ]
    return {"metric": {"__name__": name, "instance": "https://a.test:443", **labels}, "values": values}


def matrix(*found: dict[str, Any]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(found)}}).encode()


EXPIRY = matrix(series("probe_ssl_earliest_cert_expiry", [(-20, -12, 1.8e9), (-12, 2, 1.81e9)]),
                series("probe_ssl_earliest_cert_expiry", [(-20, 2, 1.7e9), (2, 3, 1.75e9)],
                       instance="https://other.test"))  # fmt: skip


def test_saved_metrics_date_changes_and_the_earliest_expiry_is_drawn_too(folder: Path) -> None:
    (folder / "metrics.json").write_bytes(EXPIRY)
    past = irkit.history("a.test", folder, metrics=folder / "metrics.json")
    assert [(one.at, one.what) for one in past.changes] == [
        (NOON - 12 * DAY, "the chain's earliest expiry became 2027-05-11 01:46 UTC")
    ]
    picture = past.picture
    assert picture is not None
    assert "earliest expiry: changed 2026-11-11 11:00 UTC to 2026-11-11 12:00 UTC" in picture.alt
    plain = irkit.history("a.test", folder).picture
    assert plain is not None
    assert imread(io.BytesIO(picture.png)).shape[0] > imread(io.BytesIO(plain.png)).shape[0]


def test_metrics_of_every_form_date_the_same_change(folder: Path) -> None:
    fingerprint = NEW.certificate.sha256
    probes = [("ab" * 32, -3, -1), (fingerprint, -1, 2)]
    body = matrix(*(series("probe_ssl_last_chain_info", [(first, last, 1.0)], fingerprint_sha256=name)
                    for name, first, last in probes))  # fmt: skip
    lines = ["# TYPE probe_ssl_last_chain_info gauge"] + [
        f'probe_ssl_last_chain_info{{instance="https://a.test:443",fingerprint_sha256="{name}"}} 1 '
        f"{(NOON + hour * DAY / 24).timestamp()}"
        for name, first, last in probes
        for hour in range(first * 24, last * 24)
    ]
    saved = b"[" + server_entry("probe", NOON, "", body) + b"]"
    for metrics in (body, "\n".join([*lines, "# EOF"]).encode(), saved):
        past = irkit.history("a.test", folder, metrics=metrics)
        assert [(one.change.at, one.pin) for one in past.probed] == [(NOON - DAY, NEW.certificate.pin)]


def test_metrics_date_an_endpoint_that_was_never_captured(tmp_path: Path) -> None:
    past = irkit.history("a.test", tmp_path / "none", metrics=EXPIRY)
    assert len(past.changes) == 1
    assert past.picture is not None
    assert "no history folder" in past.findings[0]
    assert "none of the known metrics" in irkit.history("b.test", tmp_path / "none", metrics=EXPIRY).findings[1]
    with pytest.raises(InputError, match="can't read"):
        irkit.history("a.test", tmp_path, metrics=tmp_path / "absent.json")
    with pytest.raises(irkit.IrkitError):
        irkit.history("a.test", tmp_path, metrics=EXPIRY[:-9])


def test_the_command_shows_the_timeline_and_draws_it(folder: Path, capsys: Any) -> None:
    (folder / "m.json").write_bytes(EXPIRY)
    call = ["history", "a.test", "--folder", str(folder), "--metrics", str(folder / "m.json")]
    assert main([*call, "--picture", str(folder / "h.png")]) == 0
    printed = capsys.readouterr().out
    assert "2 chains and 3 keys captured, 0 certificates and 1 other changes" in printed
    assert str(OLD.certificate.pin) in printed
    assert "the chain's earliest expiry became" in printed
    assert imread(folder / "h.png").shape[1] > 800
    assert main([*call, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in value["sightings"]] == ["chain", "chain", "key", "key", "key"]
    assert value["changes"][0]["source"] == "probe_ssl_earliest_cert_expiry"
    assert main(["history", "b.test", "--folder", str(folder), "--picture", str(folder / "b.png")]) == 2
    assert "nothing to draw" in capsys.readouterr().err


def test_hostile_words_of_metrics_and_unreadable_entries_are_shown_escaped(folder: Path) -> None:
    (folder / "captures" / "a.test_443" / "bad.json").write_text("{")
    change = ServerChange(NOON, "<script>x", "served", where="<b>y")
    past = irkit.history("a.test", folder, changes=[change])
    assert len(past.findings) == 1
    assert past.findings[0] in repr(past)
    shown = past._repr_html_()
    assert "bad.json" in shown
    assert "<script" not in shown
    assert "<b>y" not in shown


def test_an_unknown_host_has_an_empty_history_and_an_absent_folder_is_said(folder: Path) -> None:
    past = irkit.history("b.test", folder)
    assert (past.sightings, past.picture) == ((), None)
    assert "0 chains" in repr(past)
    with pytest.raises(InputError, match="no history folder"):
        irkit.history("a.test", folder / "absent")


def test_the_name_stays_the_function_after_the_module_is_imported() -> None:
    import irkit.history

    assert callable(irkit.history)
