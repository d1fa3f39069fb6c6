"""The history of captures: what is added comes back, and nothing in the folder can break the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import forge
import pytest
import zoo
from hypothesis import given
from hypothesis import strategies as st

from irkit.capture import capture
from irkit.certificate import Certificate
from irkit.chain import Chain, Obtained
from irkit.errors import InputError, RunError
from irkit.history import PastCapture, add_capture, read_history, timeline

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CA = forge.root().issue(cn="CA", ca=True)
OLD, NEW = CA.issue("a.test"), CA.issue("a.test")
RENEWED = CA.issue("a.test", key=OLD.key, serial=7)


def at(chain: Chain, when: datetime, host: str = "a.test") -> Chain:
    return Chain(chain.certificates, Obtained("handshake", host, at=when, host=host, port=443, possession="proven"))


def test_captures_come_back_oldest_first(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    second, first = at(NEW.chain, NOON), at(OLD.chain, NOON - timedelta(days=1))
    add_capture(folder, second, vantage="office", trusted=True)
    add_capture(folder, first, vantage="café", trusted=False)
    history = read_history(folder, "a.test").captures
    assert history == (
        PastCapture(first, "café", False, NOON - timedelta(days=1)),
        PastCapture(second, "office", True, NOON),
    )
    assert [item.chain.obtained for item in history] == [first.obtained, second.obtained]
    assert read_history(folder, "a.test", 8443).captures == ()
    assert read_history(folder, "b.test").captures == ()
    assert read_history(folder, "A.TEST.").captures == history


def test_a_real_capture_comes_back_whole(tmp_path: Path) -> None:
    with zoo.python_tls(OLD.server_context()) as port:
        chain = capture("127.0.0.1", port)
    add_capture(tmp_path, chain, vantage="local", trusted=True)
    (past,) = read_history(tmp_path, "127.0.0.1", port).captures
    assert (past.chain, past.chain.obtained, past.at) == (chain, chain.obtained, chain.obtained.at)


def test_a_certificate_is_kept_once_and_exactly(tmp_path: Path) -> None:
    odd = Certificate.from_der(b"no certificate at all")
    chain = Chain((*OLD.chain, odd, odd), at(OLD.chain, NOON).obtained)
    for hours in range(3):
        add_capture(tmp_path, at(chain, NOON + timedelta(hours=hours)), vantage="v", trusted=True)
    kept = {file.name: file.read_bytes() for file in (tmp_path / "certificates").iterdir()}
    assert kept == {f"{certificate.sha256}.der": certificate.der for certificate in chain}
    assert [past.chain for past in read_history(tmp_path, "a.test").captures] == [chain] * 3


def test_the_same_capture_twice_is_one(tmp_path: Path) -> None:
    files = {add_capture(tmp_path, at(OLD.chain, NOON), vantage="v", trusted=True) for _ in range(2)}
    assert len(files) == 1
    assert len(read_history(tmp_path, "a.test").captures) == 1
    add_capture(tmp_path, at(OLD.chain, NOON), vantage="another", trusted=True)
    assert len(read_history(tmp_path, "a.test").captures) == 2


def test_a_chain_from_a_file_needs_host_and_time(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="whose it is"):
        add_capture(tmp_path, OLD.chain, vantage="v", trusted=True)
    with pytest.raises(InputError, match="time"):
        add_capture(tmp_path, OLD.chain, vantage="v", trusted=True, host="a.test")
    with pytest.raises(InputError, match="time"):
        add_capture(tmp_path, OLD.chain, vantage="v", trusted=True, host="a.test", at=NOON.replace(tzinfo=None))
    add_capture(tmp_path, OLD.chain, vantage="v", trusted=True, host="a.test", port=8443, at=NOON)
    assert read_history(tmp_path, "a.test", 8443).captures[0].at == NOON


HOSTS = [
    "../../etc/passwd",
    "..",
    ".",
    "a/b",
    "a\\b",
    "con",
    "-rf",
    "::1",
    "\0",
    "x" * 4000,
    "\x1b[2J",
    "ü.test",
    "\ud800",
    " ",
]


@pytest.mark.parametrize("host", HOSTS, ids=ascii)
def test_a_hostile_host_stays_inside_the_folder(tmp_path: Path, host: str) -> None:
    folder = tmp_path / "history"
    written = add_capture(folder, at(OLD.chain, NOON, host), vantage=host, trusted=True)
    assert written.resolve().parent.parent == (folder / "captures").resolve()
    assert written.parent.name.isascii()
    assert not set(written.parent.name) & set('/\\:*?"<>|\0 \x1b')
    assert [path.name for path in tmp_path.iterdir()] == ["history"]
    assert read_history(folder, host).captures[0].vantage == host


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_two_hosts_never_share_a_folder_by_accident(one: str, other: str) -> None:
    from irkit.history import _slug

    if one.lower().rstrip(".") != other.lower().rstrip("."):
        assert _slug(one, 443) != _slug(other, 443)


def broken(folder: Path) -> dict[str, Any]:
    """Ways to break the newest of two entries."""
    file = max((folder / "captures" / "a.test_443").iterdir())
    entry = json.loads(file.read_text())

    def change(**fields: Any) -> None:
        file.write_text(json.dumps({**entry, **fields}))

    leaf = folder / "certificates" / f"{NEW.certificate.sha256}.der"
    return {
        "truncated": lambda: file.write_text(file.read_text()[:-20]),
        "binary": lambda: file.write_bytes(bytes(range(256))),
        "deep": lambda: file.write_text("[" * 100_000),
        "a list": lambda: file.write_text("[]"),
        "another schema": lambda: change(schema="irkit.capture/9"),
        "another host": lambda: change(host="b.test"),
        "no zone": lambda: change(at="2026-11-23T12:00:00"),
        "no time": lambda: change(at=5),
        "no chain": lambda: change(chain=None),
        "odd trust": lambda: change(trusted="yes"),
        "a path for a certificate": lambda: change(chain={**entry["chain"], "certificates": ["../../x"]}),
        "certificate gone": leaf.unlink,
        "certificate changed": lambda: leaf.write_bytes(leaf.read_bytes()[:-1] + b"\0"),
        "certificate a folder": lambda: (leaf.unlink(), leaf.mkdir()),
        "entry a folder": lambda: (file.unlink(), file.mkdir()),
        "dangling link": lambda: (file.unlink(), file.symlink_to("nowhere")),
        "huge": lambda: os.truncate(file, 2**25 + 1),
    }


@pytest.fixture
def two(tmp_path: Path) -> Path:
    add_capture(tmp_path, at(OLD.chain, NOON - timedelta(days=1)), vantage="v", trusted=True)
    add_capture(tmp_path, at(NEW.chain, NOON), vantage="v", trusted=True)
    return tmp_path


BREAKS = [
    "truncated", "binary", "deep", "a list", "another schema", "another host", "no zone", "no time", "no chain",
    "odd trust", "a path for a certificate", "certificate gone", "certificate changed", "certificate a folder",
    "entry a folder", "dangling link", "huge",
]  # fmt: skip


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_entry_is_a_finding_and_the_others_stay(two: Path, how: str) -> None:
    broken(two)[how]()
    history = read_history(two, "a.test")
    assert [past.chain for past in history.captures] == [OLD.chain]
    (finding,) = history.findings
    assert "can't be read" in finding
    assert finding.isprintable()


def test_all_ways_to_break_are_tried(two: Path) -> None:
    assert set(broken(two)) == set(BREAKS)


def test_an_entry_half_written_by_a_dead_run_does_not_count(two: Path) -> None:
    (two / "captures" / "a.test_443" / ".new-x1").write_text("{")
    assert read_history(two, "a.test").findings == ()


def test_a_changed_certificate_is_repaired_by_the_next_capture(two: Path) -> None:
    broken(two)["certificate changed"]()
    add_capture(two, at(NEW.chain, NOON + timedelta(hours=1)), vantage="v", trusted=True)
    assert len(read_history(two, "a.test").captures) == 3


def test_no_folder_and_no_rights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no history folder"):
        read_history(tmp_path / "absent", "a.test")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="can't write the history") as raised:
        add_capture(tmp_path / "file", at(OLD.chain, NOON), vantage="v", trusted=True)
    assert raised.value.hint


def test_the_timeline_says_when_each_chain_and_key_was_seen() -> None:
    days = [NOON + timedelta(days=n) for n in range(4)]
    chains = [OLD.chain, OLD.chain, RENEWED.chain, NEW.chain]
    vantages = [("a", True), ("b", False), ("a", True), ("b", False)]
    captures = [
        PastCapture(at(chain, day), *vantage, day) for chain, vantage, day in zip(chains, vantages, days, strict=True)
    ]
    sightings = timeline(reversed(captures))
    shown = [(s.kind, s.id) for s in sightings]
    assert shown == [
        ("chain", OLD.chain.sha256), ("chain", RENEWED.chain.sha256), ("chain", NEW.chain.sha256),
        ("key", str(OLD.certificate.pin)), ("key", str(CA.certificate.pin)), ("key", str(NEW.certificate.pin)),
    ]  # fmt: skip
    old, renewed, new, key, ca, newest = sightings
    assert (old.first, old.last, old.captures, old.vantages, old.trusted) == (days[0], days[1], 2, ("a", "b"), True)
    assert (renewed.first, renewed.last) == (days[2], days[2])
    assert (new.trusted, newest.trusted) == (False, False)
    assert (key.first, key.last, key.captures, key.positions) == (days[0], days[2], 3, (0,))
    assert (ca.first, ca.last, ca.captures, ca.positions) == (days[0], days[3], 4, (1,))
    assert old.subject == "CN=a.test"
    assert timeline([]) == ()


def test_a_key_twice_in_a_chain_is_one_capture() -> None:
    double = Chain((OLD.certificate, RENEWED.certificate), OLD.chain.obtained)
    (_, key) = timeline([PastCapture(double, "v", True, NOON)])
    assert (key.captures, key.positions) == (1, (0, 1))


def test_times_are_kept_in_utc(tmp_path: Path) -> None:
    from datetime import timezone

    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    chain = at(OLD.chain, NOON)
    add_capture(tmp_path, Chain(chain.certificates, replace(chain.obtained, at=local)), vantage="v", trusted=True)
    (past,) = read_history(tmp_path, "a.test").captures
    assert past.at == NOON
    assert past.at.tzinfo is UTC


def run(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Python in a process of its own, with `add(folder, hour)` at hand."""
    head = (
        "import sys; from datetime import *; from irkit.history import *; from irkit.chain import *; "
        "from irkit.certificate import *; from irkit.errors import *\n"
        "def add(folder, hour):\n"
        "    when = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour)\n"
        "    obtained = Obtained('hello', 'x', at=when, host='a.test')\n"
        "    chain = Chain((Certificate.from_der(b'%d' % hour * 999),), obtained)\n"
        "    add_capture(folder, chain, vantage='v', trusted=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.Popen([sys.executable, "-c", head + code, *arguments], env=environment, stdout=subprocess.PIPE)


def test_a_killed_run_leaves_the_history_whole(tmp_path: Path) -> None:
    for _ in range(3):
        process = run("for hour in range(100000): add(sys.argv[1], hour); print(hour, flush=True)", str(tmp_path))
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
        history = read_history(tmp_path, "a.test")
        assert history.findings == ()
        assert len(history.captures) >= 19


def test_a_full_disk_is_an_error_and_leaves_the_history_whole(tmp_path: Path) -> None:
    add_capture(tmp_path, at(OLD.chain, NOON), vantage="v", trusted=True)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    process = run(
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "try: add(sys.argv[1], 5)\n"
        "except RunError as error: print(error)",
        str(tmp_path),
    )
    said, _ = process.communicate(timeout=60)
    assert b"can't write the history" in said
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert len(read_history(tmp_path, "a.test").captures) == 1
