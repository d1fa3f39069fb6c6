"""Every real file of the corpus is read: pins where it has live ones, a finding where they are off or broken."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from irkit.pins import PLATFORMS, check_pins, load_release, load_release_bytes

# A comment out, then everything that looks like a SHA-256 in base64.
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HASH = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}(?:=|(?![A-Za-z0-9+/=]))")


@pytest.fixture(scope="session")
def files(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "pin-configs" / "index.csv").open(encoding="utf-8") as index:
        return list(csv.DictReader(index))


def test_every_file_gives_the_pins_that_stand_outside_comments(corpus: Path, files: list[dict[str, str]]) -> None:
    assert len(files) >= 87
    for entry in files:
        path = corpus / "pin-configs" / entry["file"]
        release = load_release(path)
        assert release.pins or release.findings, entry
        if path.suffix == ".json":
            assert len(release.pins) == 2  # a report: its certificates are base64 too
            continue
        live = _COMMENT.sub("", path.read_text(encoding="utf-8"))
        wanted = {match.rstrip("=") for match in _HASH.findall(live)}
        entries = [pin for rule in release.rules for pin in rule.pins]
        got = {re.sub(r'pin-sha256=|["=]', "", pin.text) for pin in entries}
        broken = {finding.id for finding in release.findings if finding.severity == "error"}
        # What is written but not among the pins stands where the platform does not read it, and that is said.
        assert got <= wanted or broken, entry
        assert wanted <= got or broken & {"wrong-type", "misplaced-element", "misplaced-key"}, entry


def test_pins_that_the_index_says_are_commented_out_are_found(corpus: Path, files: list[dict[str, str]]) -> None:
    off = [entry["file"] for entry in files if "only inside an XML comment" in entry["note"]]
    assert len(off) >= 7
    for name in off:
        release = load_release(corpus / "pin-configs" / name)
        assert release.pins == ()
        assert ("commented-out-pin", "error") in {(finding.id, finding.severity) for finding in release.findings}


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("156_iosplist.plist", "empty-list"),
        ("157_iosplist.plist", "wrong-type"),
        ("158_iosplist.plist", "no-pins"),
        ("152_iosplist.plist", "misplaced-key"),
        ("243_androidnsc.xml", "pins-overridden"),
        ("080_androidnsc.xml", "misplaced-element"),
        ("110_androidnsc.xml", "placeholder-pin"),
    ],
)
def test_known_faults_have_their_finding(corpus: Path, name: str, slug: str) -> None:
    assert slug in {finding.id for finding in load_release(corpus / "pin-configs" / name).findings}


def test_nested_configurations_are_flattened(corpus: Path) -> None:
    outer, inner = load_release(corpus / "pin-configs" / "245_androidnsc.xml").rules
    assert (outer.pattern, outer.pins) == ("android.com", ())
    assert (inner.pattern, len(inner.pins), inner.anchors) == ("developer.android.com", 1, outer.anchors)


def test_every_file_is_read_again_from_what_is_kept_by_every_platform_and_linted(
    corpus: Path, files: list[dict[str, str]]
) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    for entry in files:
        release = load_release(corpus / "pin-configs" / entry["file"])
        again = load_release_bytes(
            release.raw, name=release.source, format=release.format, platform=release.platform, app=release.app,
            version=release.version,
        )  # fmt: skip
        assert again == release
        assert set(release.findings) <= set(check_pins(release, now=now))
        for platform in {"android": ("trustkit-android",), "ios": ("trustkit-ios",)}.get(release.platform, ()):
            assert platform in PLATFORMS
            load_release(corpus / "pin-configs" / entry["file"], platform=platform)
