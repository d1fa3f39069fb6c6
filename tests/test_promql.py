"""Queries are data: a hostile label value is looked for, never run."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.errors import InputError
from irkit.promql import Matcher, Selector, chunks, duration, matchers_of, quote

_GO_ESCAPES = {"\\": "\\", '"': '"', "n": "\n", "r": "\r", "t": "\t"}


def unquote(literal: str) -> str:
    """A double-quoted PromQL string read as Go's strconv.Unquote reads it; fails where the literal ends early."""
    assert literal[0] == literal[-1] == '"'
    found, rest = [], literal[1:-1]
    while rest:
        assert rest[0] not in '"\n', "the literal ends before its end"
        if rest[0] != "\\":
            found.append(rest[0])
            rest = rest[1:]
        elif rest[1] in "uU":
            digits = 4 if rest[1] == "u" else 8
            found.append(chr(int(rest[2 : 2 + digits], 16)))
            rest = rest[2 + digits :]
        else:
            found.append(_GO_ESCAPES[rest[1]])
            rest = rest[2:]
    return "".join(found)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_value_reads_back_as_itself_and_shows_nothing_invisible(value: str) -> None:
    literal = quote(value)
    assert unquote(literal) == value
    assert literal.isprintable()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_one_of_matches_its_values_and_no_other(values: list[str]) -> None:
    pattern = unquote(str(Matcher.one_of("region", values)).removeprefix("region=~"))
    for value in values:
        assert re.fullmatch(pattern, value)
    assert bool(re.fullmatch(pattern, "elsewhere")) == ("elsewhere" in values)


@pytest.mark.parametrize(
    ("metric", "matchers", "shown"),
    [
        ("up", (), "up{}"),
        ("a:b", (Matcher("job", "x"),), 'a:b{job="x"}'),
        ("up", (Matcher("job", "x", "!="), Matcher("r", "a|b", "=~")), 'up{job!="x", r=~"a|b"}'),
        ("pin.failures", (Matcher("app.version", "5"),), '{"pin.failures", "app.version"="5"}'),
        ("up} or vector(1", (), '{"up} or vector(1"}'),
    ],
)
def test_a_selector_shows_its_promql(metric: str, matchers: tuple[Matcher, ...], shown: str) -> None:
    assert str(Selector(metric, matchers)) == shown


def test_a_step_takes_its_own_newest_sample_and_not_one_on_the_edge_before() -> None:
    assert Selector("up").last_in(timedelta(minutes=1)) == "last_over_time(up{}[59999ms])"


def test_a_mapping_becomes_matchers() -> None:
    found = matchers_of({"job": "gateway", "region": ["eu", "a.b"]})
    assert [str(matcher) for matcher in found] == ['job="gateway"', 'region=~"eu|a\\\\.b"']


@pytest.mark.parametrize("conditions", [{"": "x"}, {"job": 3}, {"job": []}, {"job": [1]}, {"job": None}])
def test_a_matcher_of_another_type_is_an_error(conditions: Any) -> None:
    with pytest.raises(InputError):
        matchers_of(conditions)


def test_a_lone_surrogate_is_an_error() -> None:
    with pytest.raises(InputError, match="no Unicode text"):
        quote("\ud800")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (timedelta(minutes=1), "1m"),
        (timedelta(days=2), "2d"),
        (timedelta(seconds=90), "90s"),
        (timedelta(milliseconds=5), "5ms"),
    ],
)
def test_durations_are_written_in_the_largest_unit_that_fits(value: timedelta, shown: str) -> None:
    assert duration(value) == shown


@given(st.integers(0, 10**6), st.integers(1, 400), st.integers(1, 3600), st.integers(1, 50))
def test_chunks_share_no_edge_and_leave_nothing_out(first: int, count: int, step: int, points: int) -> None:
    last = first + (count - 1) * step
    parts = [range(a, b + 1, step) for a, b in chunks(first, last, step, points)]
    assert [at for part in parts for at in part] == list(range(first, last + 1, step))
    assert all(len(part) <= points for part in parts)
