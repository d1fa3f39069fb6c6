"""Many endpoints: every one has a result, a chain is stored once, and an interrupted run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import zoo
from test_proxy import connect_proxy
from test_starttls import TALKS, then_tls
from zoo import EC, RSA

from irkit.chain import CaptureFailure, Chain
from irkit.cli import main
from irkit.errors import InputError, IrkitError, RunError
from irkit.fleet import Captured, capture_many
from irkit.fleetfile import keep_captures, load_captures
from irkit.target import Target, read_targets


def zoo_of(stack: ExitStack) -> dict[str, Any]:
    """Ports by what must come back: a chain's DER, or a word of the reason."""
    enter = stack.enter_context
    refused = zoo.socket.create_server(("127.0.0.1", 0))
    port = refused.getsockname()[1]
    refused.close()
    modern = EC.server_context()
    modern.minimum_version = zoo.ssl.TLSVersion.TLSv1_3
    return {
        f"127.0.0.1:{enter(zoo.python_tls(EC.server_context()))}": zoo.ders(EC.chain),
        f"127.0.0.1:{enter(zoo.python_tls(RSA.server_context()))}": zoo.ders(RSA.chain),
        f"127.0.0.1:{enter(zoo.python_tls(modern))}": zoo.ders(EC.chain),
        f"127.0.0.1:{enter(zoo.raw(zoo.tls12([b'junk', EC.certificate.der])))}": [b"junk", EC.certificate.der],
        f"127.0.0.1:{enter(zoo.raw(zoo.tls13([RSA.certificate.der])))}": [RSA.certificate.der],
        f"127.0.0.1:{enter(zoo.raw(zoo.answering(b'SSH-2.0-x' + bytes([13, 10]))))}": "SSH",
        f"127.0.0.1:{enter(zoo.raw(zoo.replying(zoo.records(bytes([2, 40]), 21))))}": "handshake_failure",
        f"127.0.0.1:{enter(zoo.raw(zoo.silent))}": "deadline",
        f"127.0.0.1:{enter(zoo.raw(zoo.dripping))}": "deadline",
        f"127.0.0.1:{enter(zoo.raw(zoo.resetting))}": "",
        f"127.0.0.1:{enter(zoo.raw(zoo.replying(b'')))}": "closed the connection",
        f"127.0.0.1:{port}": "refused the connection",
        "nowhere.invalid": "resolve",
    }


@pytest.mark.parametrize("sweep", [False, True])
def test_every_endpoint_gives_its_chain_or_a_reason(sweep: bool) -> None:
    with ExitStack() as stack:
        wanted = zoo_of(stack)
        found = list(capture_many([*wanted, "http://x/"], sweep=sweep, deadline=2, concurrency=20, vantage="v"))
    assert len(found) == len(wanted) + 1
    for target, result in found:
        expected = wanted.get(str(target), wanted.get(target.host, "not an endpoint"))
        if isinstance(result, Chain):
            assert zoo.ders(result) == expected
            assert (result.obtained.vantage, str(target)) == ("v", f"{result.obtained.host}:{result.obtained.port}")
            assert not sweep or (result.obtained.how, result.obtained.possession) == ("hello", "unproven")
        else:
            assert isinstance(expected, str), f"{target}: {result.reason}"
            assert expected in result.reason or "not a host" in result.reason


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_a_name_that_no_protocol_can_carry_is_one_failure(scheme: str) -> None:
    greeting = b"" if scheme == "http" else b"\5\0"
    with zoo.raw(zoo.answering(greeting)) as port, zoo.python_tls(EC.server_context()) as good:
        bad = Target("a.test", 443, "b\u200dc:443", proxy=f"{scheme}://127.0.0.1:{port}")
        found = dict(capture_many([bad, Target("x\ny"), f"127.0.0.1:{good}"], deadline=5))
    assert [type(result) for result in found.values()].count(Chain) == 1
    assert isinstance(found[bad], CaptureFailure)


def test_targets_are_taken_as_there_is_room() -> None:
    taken = []

    def targets() -> Any:
        for number in range(1000):
            taken.append(number)
            yield Target("127.0.0.1", 1)

    for _ in zip(capture_many(targets(), concurrency=4), range(10), strict=False):
        pass
    assert len(taken) < 40


def test_a_second_process_does_the_work() -> None:
    with zoo.python_tls(EC.server_context()) as port, ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found = list(capture_many([f"127.0.0.1:{port}"] * 70, executor=pool, sweep=True))
    assert [zoo.ders(result) for _, result in found if isinstance(result, Chain)] == [zoo.ders(EC.chain)] * 70


class Broken(Executor):
    """Loses its first task, and takes no second."""

    calls = 0

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("shut down")
        future: Future[Any] = Future()
        future.set_exception(OSError("the worker died"))
        return future


def test_a_broken_executor_loses_no_endpoint_silently() -> None:
    found: list[Captured] = []
    with pytest.raises(RunError, match="takes no more work"):
        found.extend(capture_many(["127.0.0.1:1"] * 100, executor=Broken()))
    assert len(found) == 64
    results = capture_many(["127.0.0.1:1"] * 64, executor=Broken())
    reasons = {result.reason for _, result in results if isinstance(result, CaptureFailure)}
    assert reasons == {"the executor lost it: the worker died"}


@pytest.mark.parametrize("ending", ["ndjson", "parquet"])
def test_what_was_kept_comes_back_each_chain_once(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"fleet.{ending}"
    with zoo.python_tls(EC.server_context()) as first, zoo.python_tls(EC.server_context()) as second:
        targets = [Target("127.0.0.1", port) for port in (first, second, 1)]
        tally = keep_captures(targets, out, sweep=True)
    assert tally == (2, 1, 1, 0)
    found = {str(target): result for target, result in load_captures(out)}
    assert [zoo.ders(r) for r in found.values() if isinstance(r, Chain)] == [zoo.ders(EC.chain)] * 2
    failure = found["127.0.0.1:1"]
    assert isinstance(failure, CaptureFailure)
    assert failure.reason == "refused the connection"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"fleet.{ending}"]


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "fleet.ndjson"
    with zoo.python_tls(EC.server_context()) as port:
        targets = [Target("127.0.0.1", 1), Target("127.0.0.1", port), Target("127.0.0.1", port, f"127.0.0.1:{port}")]
        keep_captures(targets[:2], out)
        with out.open("ab") as file:
            file.write(b'{"target": "half a li')  # killed as it wrote
        assert keep_captures(targets, out) == (1, 0, 1, 2)
    assert sorted(str(target) for target, _ in load_captures(out)) == sorted(map(str, targets))
    assert keep_captures(targets, out).before == 3
    with pytest.raises(InputError, match="not begun by the same call"):
        keep_captures(targets, out, sweep=True)


def test_a_killed_run_leaves_a_file_that_can_be_read_and_resumed(tmp_path: Path) -> None:
    out, hosts = tmp_path / "fleet.ndjson", tmp_path / "hosts.txt"
    with zoo.python_tls(EC.server_context()) as port:
        lines = [f"h{number}.test:443 127.0.0.1:{port}" for number in range(300)]
        hosts.write_text("# ours\n" + "\n".join(lines))
        command = [sys.executable, "-m", "irkit.cli", "capture", "--targets", str(hosts), "--out", str(out)]
        process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not out.exists() or out.stat().st_size < 20000):
            pass
        process.kill()
        process.wait()
        assert len(list(load_captures(out))) > 0
        assert main(command[3:]) == 0
    assert {str(target) for target, _ in load_captures(out)} == set(lines)
    assert sum(b'"certificates"' in line for line in out.read_bytes().splitlines()) == 1


def test_a_file_that_another_run_writes_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "fleet.ndjson"

    def targets() -> Any:
        yield Target("127.0.0.1", 1)
        with pytest.raises(RunError, match="another run"):
            keep_captures([], out)

    assert keep_captures(targets(), out).failures == 1


@pytest.mark.parametrize("name", ["fleet.csv", "x.ndjson"])
def test_files_of_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.ndjson").write_text("not json\n")
    with pytest.raises(InputError):
        keep_captures([], tmp_path / name)
    with pytest.raises(InputError):
        list(load_captures(tmp_path / "x.ndjson"))


def test_a_target_goes_through_its_own_proxy_and_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_LOGIN", "u:p")
    seen: list[bytes] = []
    with ExitStack() as stack:
        plain = stack.enter_context(zoo.python_tls(EC.server_context()))
        mail = stack.enter_context(zoo.raw(then_tls(TALKS["smtp"], RSA)))
        proxy = stack.enter_context(connect_proxy(plain, seen, b"dTpw"))
        lines = [
            f"a.test proxy=http://127.0.0.1:{proxy} proxy-auth-env=FLEET_LOGIN",
            f"127.0.0.1:{mail} starttls=smtp",
            f"127.0.0.1:{plain}",
            f"b.test:8443 127.0.0.1:{plain} starttls=imap proxy=http://127.0.0.1:1",
        ]
        for sweep in (False, True):
            found = {str(target): result for target, result in capture_many(lines, sweep=sweep, deadline=5)}
            chains = {name: zoo.ders(result) for name, result in found.items() if isinstance(result, Chain)}
            assert chains == {
                lines[0].replace("a.test", "a.test:443"): zoo.ders(EC.chain),
                lines[1]: zoo.ders(RSA.chain),
                lines[2]: zoo.ders(EC.chain),
            }
            failure = found[lines[3]]
            assert isinstance(failure, CaptureFailure)
            assert "refused" in failure.reason
    assert seen[0].startswith(b"CONNECT a.test:443")


def test_what_the_call_says_of_all_targets_counts_where_a_line_says_nothing(tmp_path: Path, capsys: Any) -> None:
    with zoo.raw(then_tls(TALKS["smtp"])) as mail, zoo.raw(then_tls(TALKS["pop3"], RSA)) as post:
        (tmp_path / "hosts.txt").write_text(f"127.0.0.1:{mail}\n127.0.0.1:{post} starttls=pop3\n")
        call = ["capture", "--targets", str(tmp_path / "hosts.txt"), "--out", str(tmp_path / "f.ndjson")]
        assert main([*call, "--starttls", "smtp"]) == 0
    assert "2 chains captured, 2 different" in capsys.readouterr().out
    assert main([*call, "--starttls", "gopher"]) == 2
    assert main([*call, "--proxy", "http://u:p@x"]) == 2


@pytest.mark.parametrize("ending", ["ndjson", "parquet"])
def test_failed_endpoints_are_asked_again_on_request(tmp_path: Path, ending: str) -> None:
    out, refused = tmp_path / f"fleet.{ending}", zoo.socket.create_server(("127.0.0.1", 0))
    port = refused.getsockname()[1]
    refused.close()
    with zoo.python_tls(EC.server_context()) as good:
        targets = [Target("127.0.0.1", place) for place in (good, port, 1)]
        gone = Target("127.0.0.1", 2)
        assert keep_captures([*targets, gone], out)[:2] == (1, 3)
        if ending == "ndjson":
            assert keep_captures(targets, out) == (0, 0, 1, 4)
        else:
            with pytest.raises(InputError, match="finished"):
                keep_captures(targets, out)
        with zoo.python_tls(RSA.server_context(), port=port):
            assert keep_captures(targets, out, retry_failed=True) == (1, 1, 2, 1)
    found = [(str(target), isinstance(result, Chain)) for target, result in load_captures(out)]
    assert sorted(found) == sorted(
        [(str(targets[0]), True), (str(targets[1]), True), (str(targets[2]), False), (str(gone), False)]
    )
    assert keep_captures(targets, out, retry_failed=True) == (0, 1, 2, 2)
    assert len(list(load_captures(out))) == 4


def test_a_retry_of_parquet_that_broke_off_loses_nothing(tmp_path: Path) -> None:
    out = tmp_path / "fleet.parquet"
    with zoo.python_tls(EC.server_context()) as good:
        targets = [Target("127.0.0.1", place) for place in (good, 1)]
        keep_captures(targets, out)

        def stop(_: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            keep_captures(targets, out, retry_failed=True, progress=stop)
        assert len(list(load_captures(out))) == 2
        assert keep_captures(targets, out, retry_failed=True) == (0, 1, 1, 1)
    assert len(list(load_captures(out))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.parquet"]


def test_a_list_of_hosts_names_the_line_that_is_wrong(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("a.test # first\n\na.test:443\n[::1]:8443\nb.test 127.0.0.1\n")
    assert [str(t) for t in read_targets(hosts)] == ["a.test:443", "[::1]:8443", "b.test:443 127.0.0.1:443"]
    for wrong in ("https://a.test/", "a b c", "a:0", "a.test:x", "\x1b[31m.test", "a.test starttls=gopher",
                  "a.test proxy=x", "a.test proxy=http://u:p@x", "a.test port=1", "starttls=smtp",
                  "starttls=smtp a.test", "a.test starttls=smtp starttls=smtp"):  # fmt: skip
        hosts.write_text(f"a.test\n{wrong}\n")
        with pytest.raises(IrkitError, match="line 2"):
            read_targets(hosts)


@pytest.mark.parametrize("arguments", [[], ["a", "--targets", "x"], ["--targets", "x"], ["--targets", "x", "--pem"]])
def test_calls_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capture", *arguments]) == 2
    assert "hint" in capsys.readouterr().err
