"""The labelled set in tests/cases: tricky incidents written by hand, and drawn ones by their seeds.

A hand-written case is one file: why it is as it is, the answer, what fails, and the files that a responder would have.
In them `{pin:leaf}` is a key's pin, `{base64:leaf}` the same without its prefix, `{hash:leaf}` the hash of the whole
certificate, `{pem:leaf}` a chain and `{json:leaf}` the same as a JSON list. Keys are made anew for every run.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import forge
import pytest

from irkit.chain import Chain
from irkit.classify import classify
from irkit.drill import write
from irkit.drill.chance import draw
from irkit.drill.traffic import Group, count, matrix
from irkit.gather import gather
from irkit.history import add_capture
from irkit.verdict import CAUSES, Verdict

FOLDER = Path(__file__).parent / "cases"
END = datetime(2026, 11, 23, 12, tzinfo=UTC)
START, ONSET = END - timedelta(hours=24), END - timedelta(hours=3)
HOST = "api.example.com"
HEAD = f"""\
[incident]
id = "CASE"
host = "{HOST}"
start = 2026-11-22T12:00:00Z
end = 2026-11-23T12:00:00Z
[trust]
roots = ["roots.pem"]
"""

WRITTEN = {path.stem: tomllib.loads(path.read_text()) for path in sorted(FOLDER.glob("*.toml"))}
DRAWN = WRITTEN.pop("drawn")["case"]


@lru_cache(maxsize=1)
def cast() -> Mapping[str, forge.Identity]:
    """Who there is: the owner's keys, and others'."""
    root = forge.root("Case Root", not_before=START - timedelta(days=900))
    ca = root.issue(cn="Case CA", ca=True, not_before=START - timedelta(days=300), days=900)
    young = START - timedelta(days=1)
    return {
        "root": root,
        "leaf": ca.issue(HOST, not_before=START - timedelta(days=20)),
        "next": ca.issue(HOST, not_before=young),
        "backup": ca.issue(HOST, not_before=young),
        "hijacker": ca.issue(HOST, not_before=young),
        "www": ca.issue("www.example.com", not_before=young),
        "stranger": forge.root("Web Access CA").issue(HOST),
        "proxy": forge.root("mitmproxy").issue(HOST),
        "default": forge.self_signed("Kubernetes Ingress Controller Fake Certificate"),
    }


def filled(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        kind, who = found[1], cast()[found[2]]
        pin = who.certificate.pin
        assert pin is not None
        return {
            "pin": str(pin),
            "base64": pin.base64,
            "hash": base64.b64encode(bytes.fromhex(who.certificate.sha256)).decode(),
            "pem": who.chain.pem(),
            "json": json.dumps([certificate.pem() for certificate in who.chain]),
        }[kind]

    return re.sub(r"\{(pin|base64|hash|pem|json):(\w+)\}", one, text)


def counted(case: Mapping[str, Any]) -> str:
    """The case's counts: each version, failing in part from the onset on; `new` ones begin there."""
    begin = (ONSET - START) / timedelta(minutes=1)

    def group(version: str, platform: str, share: float, new: bool) -> Group:
        def failing(region: str, minutes: Any) -> Any:
            parts = [
                item.get("part", 1.0)
                for item in case.get("fails", ())
                if item.get("version", version) == version and item.get("region", region) == region
            ]
            return max(parts, default=0.0) * (minutes > begin)

        return Group(platform, version, lambda minutes: share * (minutes > (begin if new else 0)), failing)

    groups = [
        group(item["version"], item.get("platform", "android"), item.get("share", 0.5), item.get("new", False))
        for item in case["traffic"]
    ]
    return matrix(count(groups, HOST, start=START, end=END, seed=1, step=timedelta(minutes=5)))


def judged(case: Mapping[str, Any], folder: Path) -> Verdict:
    for name, text in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(HEAD + text if name == "incident.toml" else text))
    (folder / "roots.pem").write_text(cast()["root"].certificate.pem())
    if "traffic" in case:
        (folder / "failures.json").write_text(counted(case))
    for who in case.get("history", ()):
        chain = cast()[who].chain
        seen = replace(chain.obtained, at=ONSET - timedelta(hours=5), host=HOST, port=443)
        add_capture(folder / "captures", Chain(chain.certificates, seen), vantage="office", trusted=True)
    return classify(gather(folder / "incident.toml", now=END))


def named(verdict: Verdict) -> list[str]:
    return [f"{c.verdict} / {c.cause}" if c.cause else c.verdict for c in verdict.cohorts]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_case_written_by_hand_is_judged_as_labelled(tmp_path: Path, name: str) -> None:
    case = WRITTEN[name]
    verdict = judged(case, tmp_path)
    assert verdict.name == case["verdict"], (case["why"], verdict.findings[:4])
    assert named(verdict) == case.get("cohorts", [case["verdict"]]), case["why"]
    said = " ".join([*(finding.says for finding in verdict.findings), *verdict.would_change_it])
    for part in case.get("says", ()):
        assert filled(part) in said, said


@pytest.mark.parametrize("case", DRAWN, ids=lambda case: str(case["seed"]))
def test_a_drawn_case_is_judged_as_labelled(tmp_path: Path, case: Mapping[str, Any]) -> None:
    drawn = draw(case["seed"], END)
    assert drawn.turn == case["turn"]
    assert sorted(drawn.lacking) == case.get("lacking", [])
    incident = write(
        drawn.scenario, tmp_path, END, seed=drawn.seed, lacking=drawn.lacking, step=timedelta(minutes=10), noise=True
    )
    verdict = classify(gather(incident, now=END))
    assert verdict.name == case["verdict"], verdict.findings[:4]
    assert sorted(named(verdict)) == sorted(case.get("cohorts", [case["verdict"]]))


def test_the_labelled_set_has_every_verdict_and_most_causes() -> None:
    labels = {case["verdict"] for case in (*WRITTEN.values(), *DRAWN)}
    assert {label.partition(" / ")[0] for label in labels} == {
        "none", "mitm", "rotation", "misconfiguration", "not-a-pin-failure", "inconclusive",
    }  # fmt: skip
    assert {label.partition(" / ")[2] for label in labels} >= set(CAUSES)
