"""The timeline of an endpoint: chains, keys, and what probers date from before the first capture."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import forge
import pytest
from matplotlib.image import imread

import irkit
from irkit.chain import Chain, Obtained
from irkit.changes import ServerChange
from irkit.errors import InputError
from irkit.history import add_capture

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
