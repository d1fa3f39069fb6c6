"""Many captures on one page, in the library, on the command line and in the notebook."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from forge import EPOCH, Identity, make_key, root

from irkit.chain import CaptureFailure, Chain, Obtained
from irkit.cli import main
from irkit.drill.fleet import open_fleet
from irkit.files import workbench_file
from irkit.fleet import Captured, capture_many
from irkit.fleetfile import keep_captures
from irkit.notebook import declared_parameters, execute_notebook
from irkit.survey import survey
from irkit.target import Target
from irkit.trust import TrustStore

AT = EPOCH + timedelta(days=5)
CA = root("Survey Root")
STORE = TrustStore("own", (CA.certificate,))
KEY = make_key()


def cells(shown: object) -> list[list[str]]:
    """The cells of the tables in a text, a list a line."""
    return [re.split(r" {2,}", line) for line in str(shown).splitlines()]


def got(identity: Identity, name: str, vantage: str = "local", connect: str = "") -> Captured:
    obtained = Obtained("handshake", name, at=AT, host=name, vantage=vantage)
    return Captured(Target(name, 443, connect), Chain(identity.chain.certificates, obtained))


def lost(name: str, reason: str, vantage: str = "local") -> Captured:
    return Captured(Target(name), CaptureFailure(name, reason, vantage=vantage))


def test_vantages_that_see_another_chain_or_none_are_told_apart() -> None:
    one, other, same = CA.issue("a.test"), CA.issue("a.test"), CA.issue("b.test")
    found = survey(
        [got(one, "a.test", "eu"), got(other, "a.test", "ap", "192.0.2.1:443"), got(same, "b.test", "eu"),
         got(same, "b.test", "ap"), got(same, "c.test", "eu"), lost("c.test", "it is silent", "ap")],
        trust=STORE, at=AT,
    )  # fmt: skip
    assert list(found.differing) == ["a.test:443", "c.test:443"]
    assert {one.vantage: one.leaf for one in found.differing["a.test:443"]} == {
        "eu": one.certificate.pin, "ap": other.certificate.pin}  # fmt: skip
    assert "it is silent" in repr(found.differences())
    alone = survey([got(one, "a.test")], trust=STORE, at=AT)
    assert "nothing to compare it with" in repr(alone.differences())
    both = survey([got(same, "b.test", "eu"), got(same, "b.test", "ap")], trust=STORE, at=AT)
    assert "No endpoint differs" in repr(both.differences())


def test_shared_keys_failures_and_ends_are_counted() -> None:
    first, second = CA.issue("a.test", key=KEY), CA.issue("b.test", key=KEY, days=10)
    wrong = CA.issue("d.test")
    found = survey(
        [got(first, "a.test"), got(second, "b.test"), got(wrong, "c.test"), lost("e.test", "refused the connection"),
         lost("f.test", "refused the connection"), lost("g.test", "<b>odd")], trust=STORE, at=AT,
    )  # fmt: skip
    assert found.sharing == {first.certificate.pin: ("a.test:443", "b.test:443")}
    assert [one.why for one in found.seen if one.why] == ["name"]
    assert ["refused the connection", "2", "e.test:443, f.test:443"] in cells(found.failures())
    assert cells(found.expiring(1))[-1] == ["2026-11-11 00:00 UTC", "5 days", "b.test:443"]
    assert ["without a chain", "3"] in cells(found)
    assert "<b>odd" not in found._repr_html_()


def test_nothing_is_called_good_where_there_is_nothing() -> None:
    shown = repr(survey([lost("a.test", "silent")], trust=STORE, at=AT))
    assert "There is no chain to verify." in shown
    assert "No certificate has an end." in shown
    assert "vantages" in repr(survey([], trust=STORE, at=AT))


def test_a_later_capture_of_the_same_endpoint_counts() -> None:
    again = [lost("a.test", "silent"), got(CA.issue("a.test"), "a.test")]
    assert [bool(one.failure) for one in survey(again, trust=STORE, at=AT).seen] == [False]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rehearsal as two vantages captured it, and its root."""
    folder = tmp_path_factory.mktemp("fleet")
    with open_fleet() as fleet:
        keep_captures(fleet.targets, folder / "here.ndjson", vantage="here")
        keep_captures(fleet.elsewhere, folder / "office.parquet", vantage="office", sweep=True)
        (folder / "root.pem").write_text(fleet.trust.roots[0].pem())
    return folder


def test_the_command_sums_up_files_of_several_vantages(files: Path, capsys: Any) -> None:
    call = ["survey", str(files / "here.ndjson"), str(files / "office.parquet"), "--roots", str(files / "root.pem")]
    assert main(call) == 0
    printed = capsys.readouterr().out
    shown = cells(printed)
    assert ["differing between vantages", "1"] in shown
    assert ["old.example:443", "here", "expired"] in [line[:3] for line in shown]
    assert ["refused the connection", "1", "gone.example:443"] in shown
    assert ["EXPIRED", "old.example:443"] in [line[1:] for line in shown]
    assert "cart.example:443, shop.example:443" in printed
    assert main([*call, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["differing"] == ["api.example:443"]
    assert {one["vantage"] for one in value["seen"]} == {"here", "office"}
    assert main(["survey", str(files / "root.pem")]) == 2


def test_a_list_of_one_s_own_takes_the_place_of_the_rehearsal(tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("127.0.0.1:1\n")
    (tmp_path / "root.pem").write_text(CA.certificate.pem())
    with open_fleet(str(tmp_path / "hosts.txt"), str(tmp_path / "root.pem")) as fleet:
        assert (fleet.targets, fleet.elsewhere, fleet.trust.roots) == (
            (Target("127.0.0.1", 1),), (), (CA.certificate,))  # fmt: skip
        assert len(list(capture_many(fleet.targets))) == 1


def run_fleet_notebook(folder: Path, **parameters: Any) -> list[str]:
    """What its cells show, as text."""
    execute_notebook(workbench_file("notebooks/fleet.ipynb"), folder / "out.ipynb", parameters, deadline=240)
    code = [cell for cell in nbformat.read(folder / "out.ipynb", 4).cells if cell.cell_type == "code"]
    return [output.data["text/plain"] for cell in code for output in cell.outputs if "data" in output]


def test_the_notebook_runs_from_top_to_bottom_and_shows_what_the_rehearsal_holds(tmp_path: Path) -> None:
    defaults = {"targets": "", "scheduler": "", "roots": "mozilla", "sweep": False}
    assert declared_parameters(workbench_file("notebooks/fleet.ipynb")) == defaults
    overview, differences, untrusted, shared, failures, expiring = run_fleet_notebook(tmp_path)
    assert ["vantages", "an office, local"] in cells(overview)
    assert [line[:2] for line in cells(differences)[2:]] == [
        ["api.example:443", "an office"], ["api.example:443", "local"]
    ]  # fmt: skip
    assert "CN=Web Access CA" in untrusted
    wrong = [line[:3] for line in cells(untrusted)]
    assert ["old.example:443", "local", "expired"] in wrong
    assert ["half.example:443", "local", "missing-issuer"] in wrong
    assert "cart.example:443, shop.example:443" in shared
    assert "gone.example:443" in failures
    assert cells(expiring)[2][1:] == ["EXPIRED", "old.example:443"]
