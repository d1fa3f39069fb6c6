"""Every cause rehearsed and drawn by lot, with sources missing, forged reports, and real interceptors."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from programs import free_port, listening, mitmproxy

import irkit
from irkit.capture import capture
from irkit.classify import classify
from irkit.drill import KINDS, prepare, write
from irkit.drill.causes import BELONGS, SCENARIOS, build
from irkit.drill.chance import SOURCES, TURNS, draw
from irkit.drill.pki import authority, pin_of
from irkit.drill.scenario import HOST
from irkit.drill.twins import TWINS
from irkit.gather import gather
from irkit.verdict import CAUSES

FIRST = tuple(SCENARIOS)
END = datetime(2026, 11, 23, 12, tzinfo=UTC)
MITM = [seed for seed, turn in enumerate(TURNS) if CAUSES.get(turn) == "mitm"]


def drawn_and_judged(seed: int, folder: Path, without: str = "", forged: float = 0.0) -> tuple[Any, Any]:
    drawn = draw(seed, END).without(without)
    folder.mkdir()
    step = timedelta(minutes=10)
    incident = write(drawn.scenario, folder, END, seed=seed, lacking=drawn.lacking, step=step, forged=forged)
    return drawn, classify(gather(incident, now=END))


def test_there_is_a_rehearsal_for_every_cause() -> None:
    assert dict(BELONGS) == dict(CAUSES)
    assert set(KINDS) == {*FIRST, *CAUSES}


def written(drawn: Any, folder: Path, **more: Any) -> dict[Path, bytes]:
    """Every file of a drawn incident."""
    folder.mkdir()
    write(drawn.scenario, folder, END, seed=drawn.seed, step=timedelta(minutes=10), noise=True, **more)
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_seed_draws_the_same_incident_byte_for_byte(tmp_path: Path) -> None:
    """But for the one RSA key, which no seed gives."""
    for seed in [n for n in range(len(TURNS)) if TURNS[n] != "dual-certificate"]:
        both = [written(draw(seed, END), tmp_path / f"{name}-{seed}", lacking={"metrics"}) for name in ("one", "two")]
        assert both[0] == both[1], seed


def test_every_turn_is_drawn_and_no_mitm_is_called_harmless(tmp_path: Path) -> None:
    for seed in range(len(TURNS)):
        drawn, verdict = drawn_and_judged(seed, tmp_path / str(seed))
        assert drawn.turn == TURNS[seed]
        if drawn.scenario.verdict == "mitm":
            assert verdict.verdict in ("mitm", "inconclusive", "none"), (seed, verdict)
            assert verdict.verdict != "none" or "none" in drawn.verdicts, seed


@pytest.mark.parametrize("name", TWINS)
def test_two_truths_with_one_appearance_leave_the_same_files_and_are_inconclusive(tmp_path: Path, name: str) -> None:
    twin, seen, answers = TWINS[name], {}, set()
    assert {BELONGS.get(twin.harmless, "none"), BELONGS[twin.mitm]} > {"mitm"}
    turn = TURNS.index(name)
    for seed in range(turn, turn + 400 * len(TURNS), len(TURNS)):
        drawn = draw(seed, END)
        if drawn.scenario.cause in seen:
            continue
        seen[drawn.scenario.cause] = drawn
        files = written(drawn, tmp_path / drawn.scenario.verdict, lacking=set(twin.lacking))
        other = twin.mitm if drawn.scenario.cause == twin.harmless else twin.harmless
        told = replace(drawn, scenario=replace(drawn.scenario, cause=other, verdict=BELONGS.get(other, "none")))
        assert written(told, tmp_path / f"{drawn.scenario.verdict} as well", lacking=set(twin.lacking)) == files
        answers.add(classify(gather(tmp_path / drawn.scenario.verdict / "incident.toml", now=END)).verdict)
        if len(seen) == 2:
            break
    assert set(seen) == {twin.harmless, twin.mitm}
    assert answers == {"inconclusive"}


def test_of_two_incidents_at_once_both_are_found_and_the_graver_leads(tmp_path: Path) -> None:
    mixed = [d for d in (draw(n, END) for n in range(600)) if d.scenario.parts and not d.lacking][:8]
    assert {part.verdict for d in mixed for part in d.scenario.parts} == {"mitm", "rotation", "misconfiguration"}
    for drawn in mixed:
        _, verdict = drawn_and_judged(drawn.seed, tmp_path / str(drawn.seed))
        assert verdict.name == f"{drawn.scenario.verdict} / {drawn.scenario.cause}", drawn.seed
        found = {(c.verdict, c.cause) for c in verdict.cohorts}
        assert found >= {(part.verdict, part.cause) for part in drawn.scenario.parts}, drawn.seed


def test_the_generator_shares_no_code_that_decides() -> None:
    """What builds an incident and says what is right of it imports nothing that judges, nor anything that does."""
    judges = {"classify", "safety", "weights", "observations", "testimony", "cohorts", "facts", "clients", "verdict",
              "remedy", "explain", "accept", "trust", "diff", "onset", "changepoint", "tally"}  # fmt: skip
    parts = ("day", "causes", "rotations", "interceptions", "mistakes", "beside", "twins", "chance", "reports")
    for part in parts:
        source = (Path(irkit.__file__).parent / "drill" / f"{part}.py").read_text()
        named = set(re.findall(r"from irkit\.([a-z_]+)", source)) | set(re.findall(r"import irkit\.([a-z_]+)", source))
        assert named <= {"certificate", "drill"}, part
        assert not named & judges


@pytest.mark.parametrize("without", SOURCES)
def test_with_a_source_taken_away_no_mitm_is_called_harmless(tmp_path: Path, without: str) -> None:
    for seed in MITM:
        _, verdict = drawn_and_judged(seed, tmp_path / str(seed), without)
        assert verdict.verdict not in ("rotation", "misconfiguration"), (seed, verdict)


def test_labels_follow_from_what_was_built_and_what_is_missing() -> None:
    heard = next(d for d in (draw(n, END) for n in range(5, 2000, len(TURNS))) if not d.lacking)
    assert heard.verdicts == {"mitm"}
    assert heard.decided
    unheard = draw(5, END).without("client chains")
    assert unheard.verdicts == {"inconclusive"}  # counts alone can't tell
    assert draw(11, END).without("history").verdicts == {draw(11, END).scenario.verdict, "inconclusive"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_rehearsed_with_real_servers(tmp_path: Path, kind: str) -> None:
    """Captured over TLS, the answer is the one that it was built as, and that of the same incident in files."""
    with prepare(kind, tmp_path / "live", seed=5) as drill:
        assert classify(gather(drill.incident)).name == drill.expected
    if kind in CAUSES:
        (tmp_path / "files").mkdir()
        scenario = build(kind, END - timedelta(hours=24), END, 5)
        incident = write(scenario, tmp_path / "files", END, seed=5, step=timedelta(minutes=10))
        assert classify(gather(incident, now=END)).name == drill.expected


@pytest.mark.parametrize(
    ("seed", "answer", "right", "built"),
    [
        (11, "wrong-pin", "right", "built as: misconfiguration / wrong-pin\n"),
        (TURNS.index("a default certificate"), "mitm", "wrong", "does not decide it: inconclusive is right\n"),
    ],
)
def test_a_person_answers_before_irkit_does(tmp_path: Path, seed: int, answer: str, right: str, built: str) -> None:
    command = [sys.executable, "-m", "irkit.cli", "drill", "--random", "--seed", str(seed), "--quiz"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "new")], input=f"{answer}\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == (11 if right == "right" else 13), done.stderr
    asked = done.stdout.index("Verdict or cause")
    assert asked < done.stdout.index("Seen: ") < done.stdout.index("built as: ")  # irkit's evidence comes afterwards
    assert built in done.stdout
    assert not re.search("misconfiguration|inconclusive", done.stdout[:asked], re.IGNORECASE)
    assert f"you said: {answer}, which is {right}" in done.stdout


def test_neither_a_kind_nor_chance_is_a_wrong_call() -> None:
    done = subprocess.run([sys.executable, "-m", "irkit.cli", "drill"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--random" in done.stderr


def test_with_forged_reports_no_mitm_is_called_harmless(tmp_path: Path) -> None:
    for seed in MITM:
        _, verdict = drawn_and_judged(seed, tmp_path / str(seed), forged=0.2)
        assert verdict.verdict not in ("rotation", "misconfiguration", "not-a-pin-failure"), (seed, verdict)


def test_the_reports_are_read_and_as_many_are_forged_as_asked(tmp_path: Path) -> None:
    drawn = draw(5, END)
    write(drawn.scenario, tmp_path, END, forged=0.5)
    evidence = gather(tmp_path / "incident.toml", now=END)
    assert evidence.reports is not None
    assert evidence.reports.aside == 0
    counts = Counter(s.chain.leaf.pin for s in evidence.reports.sightings for _ in range(s.count))
    assert drawn.scenario.forged is not None
    true, genuine = counts.pop(pin_of(drawn.scenario.forged.key)), pin_of(drawn.scenario.now.key)
    assert counts.total() == true
    assert set(counts) - {genuine}  # a sign-in page's, which would make it harmless


# --- real interceptors


def sslsplit(program: str, address: str, folder: Path) -> Any:
    port, ca = free_port(), authority("Web Access CA 9", "Access Networks", at=datetime(2026, 1, 1, tzinfo=UTC))
    (folder / "ca.pem").write_bytes(ca.signed.public_bytes(Encoding.PEM))
    key = ca.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "ca.key").write_bytes(key)
    genuine = address.split(":")
    command = [
        program, "-D", "-k", str(folder / "ca.key"), "-c", str(folder / "ca.pem"), "ssl", "127.0.0.1", str(port),
        *genuine,
    ]  # fmt: skip
    return listening(command, port, folder / "sslsplit.log")


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("cause", "program"),
    [
        ("user-installed-ca", "mitmdump"), ("interception-untrusted-ca", "sslsplit"),
        ("leaf-key-rotated", ""), ("rollout-in-progress", ""), ("certificate-hash-pinned", ""),
    ],
)  # fmt: skip
def test_live_with_real_interceptors_and_prometheus_the_verdict_is_that_of_the_files(
    tmp_path: Path, tool: Callable[..., str], cause: str, program: str
) -> None:
    tool("prometheus")
    with ExitStack() as stack:
        drill = stack.enter_context(prepare(cause, tmp_path / "live", seed=1, prometheus=True))
        if program:
            starts = {"mitmdump": mitmproxy, "sslsplit": sslsplit}[program]
            address = stack.enter_context(starts(tool(program), drill.address, tmp_path))
            seen = capture(HOST, connect=address)
            assert seen.leaf.pin != capture(HOST, connect=drill.address).leaf.pin
            for phone in (drill.incident.parent / "clients").glob("*.pem"):
                phone.write_text(seen.pem())
        live = classify(gather(drill.incident))
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    (tmp_path / "files").mkdir()
    scenario = build(cause, end - timedelta(hours=24), end, 1)
    filed = classify(gather(write(scenario, tmp_path / "files", end, seed=1)))
    assert live.name == filed.name == drill.expected
