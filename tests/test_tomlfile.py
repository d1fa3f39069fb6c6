"""TOML that people write: what its checks take and refuse. And files that are named, made and left."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.errors import InputError
from irkit.files import read_file, run_folder, write_whole
from irkit.tomlfile import FLAG, NUMBER, TEXT, WHOLE, Table, moment, one_of, parse_toml, share, texts

TABLES = {
    "head": Table(
        {"word": TEXT, "flag": FLAG, "whole": WHOLE, "number": NUMBER, "part": share, "at": moment, "list": texts,
         "kind": one_of("red", "green")}
    ),
    "item": Table({"name": TEXT}, needed=("name",), many=True),
}  # fmt: skip


def test_what_is_right_comes_back_with_its_times_in_utc() -> None:
    found = parse_toml(
        '[head]\nflag = true\nwhole = 3\nnumber = 2\nat = 2026-11-23T10:00:00+01:00\nlist = ["a"]\nkind = "red"\n'
        '[[item]]\nname = "one"\n[[item]]\nname = "two"\n', TABLES, "x.toml",
    )  # fmt: skip
    assert found["head"] == {
        "flag": True, "whole": 3, "number": 2, "at": datetime(2026, 11, 23, 9, tzinfo=UTC), "list": ("a",),
        "kind": "red",
    }  # fmt: skip
    assert [item["name"] for item in found["item"]] == ["one", "two"]
    assert parse_toml(b"", TABLES, "x.toml") == {"head": {}, "item": []}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("word = 3", "[head] word is 3"), ("flag = 1", "flag is 1"), ("whole = true", "whole is True"),
        ("number = true", "number is True"), ("whole = 1.5", "whole is 1.5"), ("part = 1.1", "no share"),
        ("part = nan", "no share"), ("at = 2026-11-23", "no time zone"), ("at = 2026-11-23T10:00:00", "no time zone"),
        ("at = 0001-01-01T00:00:00+14:00", "not a time"), ('at = "now"', "not a time"), ("list = [1]", "not text"),
        ('list = "a"', "list is 'a'"), ('kind = "gren"', "did you mean 'green'?"), ("wrod = 1", "did you mean 'word'?"),
        ("[[item]]\nname = ''", "[[item]] number 1 has no name"), ("[item]", "not a list of tables"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_place_and_remedy(line: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_toml(f"[head]\n{line}\n", TABLES, "x.toml")
    assert says.replace("[head] ", "head.") in str(caught.value)
    assert caught.value.message.startswith("x.toml")
    assert caught.value.hint


@given(st.binary(max_size=80) | st.text(max_size=80))
def test_anything_is_read_or_refused_with_a_hint(content: bytes | str) -> None:
    try:
        parse_toml(content, TABLES, "x.toml")
    except InputError as error:
        assert error.hint


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    assert read_file(tmp_path / "file", "", limit=4) == b"1234"
    for path, limit, says in (("file", 3, "larger"), ("none", 9, "No such file"), ("a\0b", 9, "can't read")):
        with pytest.raises(InputError, match=says):
            read_file(tmp_path / path, "name another", limit=limit)


def test_runs_of_one_second_have_a_folder_each(tmp_path: Path) -> None:
    started = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert [run_folder(tmp_path / "runs", started).name for _ in range(3)] == [
        "20261123T090000Z", "20261123T090000Z-1", "20261123T090000Z-2",
    ]  # fmt: skip


def test_a_file_that_can_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(OSError, match="there"):
        write_whole(tmp_path / "there", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
