"""Which cohorts explain the failures, ranked, and tables of the worst: drawn counts and a real Prometheus."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from prometheus_server import MINUTES, START
from test_onset import SCOPES, Ratio, after, drawn

from irkit.errors import InputError
from irkit.metrics import query_failures
from irkit.onset import onsets
from irkit.scope import in_words, scope, top

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(("ratio", "cohort"), [scope[1:] for scope in SCOPES[1:]], ids=[s[0] for s in SCOPES[1:]])
@pytest.mark.parametrize("level", [2000, 100_000])
def test_the_smallest_set_that_holds_the_excess_comes_first(ratio: Ratio, cohort: dict[str, Any], level: float) -> None:
    begin = 787 if ratio in (SCOPES[1][1], SCOPES[2][1]) else 700 if ratio is SCOPES[5][1] else 600
    first, *_ = scope(drawn(ratio, level=level), since=START + begin * MINUTE)
    assert first.explains
    assert first.share >= 0.95
    assert first.outside < 0.25 * first.ratio
    found: dict[str, set[str]] = {}
    for one in first.cohorts:
        for role, value in one.items():
            found.setdefault(role, set()).add(value)
    assert found == {role: {value} if isinstance(value, str) else set(value) for role, value in cohort.items()}


@pytest.mark.parametrize("level", [10, 2000])
@pytest.mark.parametrize("seed", range(5))
def test_noise_is_explained_by_nothing(level: float, seed: int) -> None:
    failures = drawn(lambda *_: 0.0, level=level, seed=seed)
    assert not any(one.explains for one in scope(failures, since=START + 600 * MINUTE))


def test_two_that_overlap_are_not_one_of_everyone() -> None:
    """Each begins as a step; together they look like a ramp that no single set of cohorts explains."""

    def share(release: str, _platform: str, region: str) -> float:
        return (0.13 if release == "5.4.0" else 0.435) * (0.34 if region == "ap-south" else 0.22) / 2

    failures = drawn(
        lambda v, _, r: np.maximum(after(655, 0.9) * (v == "5.4.0"), after(950, 0.4) * (r == "ap-south")), share
    )
    assert {tuple(one.cohort.items()) for one in onsets(failures)} == {
        (("version", "5.4.0"),), (("region", "ap-south"),)
    }  # fmt: skip
    ranked = scope(failures, since=START + 655 * MINUTE)
    assert not any(one.explains for one in ranked if len(one.roles) == 1)
    assert in_words(ranked).endswith(
        "pairs of version and region to hold the failures: they may be more than one incident."
    )


def test_the_platform_of_the_failing_release_is_no_second_explanation() -> None:
    """A release of one platform only: that its platform fails says the same once more, and is no paradox."""
    quiet = drawn(
        lambda v, *_: after(700, 0.9) * (v == "5.4.0"), lambda v, p, _: (1 / 12) * (v != "5.4.0" or p == "ios")
    )
    first, *others = ranked = scope(quiet, since=START + 700 * MINUTE)
    assert first.cohorts == ({"version": "5.4.0"},)
    assert [one.through for one in others if one.roles == ("platform",)] == [("version",)]
    assert "Simpson" not in in_words(ranked)


def test_where_everyone_fails_no_cohort_explains_it() -> None:
    found = scope(drawn(lambda *_: after(787, 0.9)), since=START + 787 * MINUTE)
    assert not any(one.explains for one in found)
    assert in_words(found) == "No label, nor two together, tells those that fail from the others."


def test_what_fails_only_through_the_failing_region_is_told_apart() -> None:
    """Simpson's trap: nine in ten of 5.4.0's users are in the failing region."""

    def share(release: str, _platform: str, region: str) -> float:
        if release == "5.4.0":
            return 0.25 * (0.9 if region == "ap-south" else 0.1 / 3)
        return 0.125 * (0.1 if region == "ap-south" else 0.9 / 3)

    failures = drawn(lambda _, __, r: after(700, 0.3) * (r == "ap-south"), share)
    first, *others = scope(failures, since=START + 700 * MINUTE)
    assert first.cohorts == ({"region": "ap-south"},)
    assert first.through == ()
    (release,) = (one for one in others if one.roles == ("version",))
    assert release.cohorts[0] == {"version": "5.4.0"}
    assert release.through == ("region",)
    assert "only through region" in str(release)
    said = in_words((first, *others))
    assert said.startswith("Region ap-south has ")
    assert said.endswith(
        "Version 5.4.0 stands out too, but only through the region: outside it works (Simpson's paradox)."
    )


def test_the_table_of_the_worst_counts_lift_and_the_first_failure(history: str) -> None:
    end = START + (MINUTES - 1) * MINUTE
    failures = query_failures(history, "step.example", start=START + 15 * MINUTE, end=end)
    table = top(failures, "version", since=START + 199 * MINUTE)
    assert list(table.index) == ["5.3.0", "5.4.0"]
    worst = table.iloc[0]
    assert worst["low"] < worst["ratio"] < worst["high"]
    assert worst["share"] > 0.99
    assert worst["lift"] == pytest.approx(worst["ratio"] / table.iloc[1]["ratio"])
    assert worst["first"] == START + 199 * MINUTE
    pairs = top(failures, "app_version", "region", limit=2, since=START + 199 * MINUTE)
    assert pairs.index.names == ["app_version", "region"]
    assert len(pairs) == 2


def test_quiet_counts_have_no_explanation_and_no_first_failure() -> None:
    quiet = drawn(lambda *_: 0.0)
    none = type(quiet)(**{f: getattr(quiet, f) for f in quiet.__slots__} | {"failures": np.zeros_like(quiet.failures)})
    assert scope(none, since=START + 600 * MINUTE) == ()
    assert in_words(()) == ""
    assert top(none, "region")["first"].isna().all()


@pytest.mark.parametrize("since", [datetime(2026, 11, 20), START + timedelta(days=9)])  # noqa: DTZ001 - on purpose
def test_a_time_that_cannot_be_is_refused(since: datetime) -> None:
    with pytest.raises(InputError):
        scope(drawn(lambda *_: 0.0), since=since)
