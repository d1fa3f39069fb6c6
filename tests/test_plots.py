from __future__ import annotations

import io
import re
import warnings
from dataclasses import replace
from datetime import timedelta

import examples
import matplotlib as mpl
import numpy as np
import pytest
from examples import ONSET

from irkit import cohortplots, plots
from irkit.lineup import lineup
from irkit.trend import trend


def pixels(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(png), format="png"))[..., :3]


@pytest.fixture(scope="module")
def mitm() -> examples.Example:
    return examples.mitm()


def test_the_failure_picture_says_in_numbers_what_it_shows(mitm: examples.Example) -> None:
    picture = plots.failure_ratio(mitm.evidence, mitm.verdict)
    assert picture is not None
    assert "by region" in picture.alt
    assert re.search(r"ap-south: 0\.1\d % before the onset, 9[34] % after, highest 9\d % at \d\d:\d\d\.", picture.alt)
    assert re.search(r"eu-west: 0\.1\d % before the onset, 0\.1\d % after", picture.alt)
    assert "Marked: failures begin, 2026-11-23 08:42 UTC." in picture.alt
    assert "shop-android 4.2.0 released, 2026-11-22 20:00 UTC" in picture.alt
    assert "UTC" in picture.caption
    assert pixels(picture.png).shape[0] > 400


def test_failures_alone_can_be_drawn_too(mitm: examples.Example) -> None:
    assert mitm.evidence.failures is not None
    picture = mitm.evidence.failures.plot(by="version")
    assert "by version" in picture.alt
    assert "over the whole window" in picture.alt
    assert repr(picture).startswith("Picture: Line chart")
    assert '<img alt="Line chart' in picture._repr_html_()


def test_times_without_data_stay_gaps(mitm: examples.Example) -> None:
    shown = trend(mitm.evidence, mitm.verdict)
    assert shown is not None
    gap = (shown.starts >= np.datetime64("2026-11-22T17:00")) & (shown.starts < np.datetime64("2026-11-22T17:28"))
    for line in shown.lines:
        assert np.isnan(line.ratio[gap]).all()
        assert np.isnan(line.validations[gap]).all()
        assert not np.isnan(line.ratio[~gap]).any()


def test_many_releases_become_the_gravest_and_the_others() -> None:
    evidence, verdict, _ = examples.rotation(releases=30, regions=1)
    shown = trend(evidence, verdict)
    assert shown is not None
    assert len(shown.lines) == 5
    assert shown.lines[-1].name == "26 others"
    assert evidence.failures is not None
    together = np.nansum([np.nansum(line.failures) for line in shown.lines])
    assert together == pytest.approx(evidence.failures.by().iloc[0].failures)


def test_a_line_with_more_failures_but_no_rise_is_not_the_gravest() -> None:
    ratios = {("1", "a"): (0.3, 0.3), ("2", "a"): (0.001, 0.2)}
    shown = trend(examples.failures(ratios, onset=ONSET))
    assert shown is not None
    assert [line.name for line in shown.lines] == ["2", "1"]


def test_what_tells_the_failing_apart_is_drawn(mitm: examples.Example) -> None:
    for example, role in ((mitm, "region"), (examples.rotation(), "version")):
        shown = trend(example.evidence)
        assert shown is not None
        assert shown.by == role


def test_a_new_release_that_fails_from_its_first_user_on_is_the_gravest() -> None:
    counted = examples.failures({("1", "a"): (0.001, 0.001), ("2", "a"): (1.0, 1.0)}, gap=None)
    validations = counted.validations.copy()
    validations[1, :900] = 0
    shown = trend(replace(counted, validations=validations, failures=np.minimum(counted.failures, validations)))
    assert shown is not None
    assert [line.name for line in shown.lines] == ["2", "1"]


def test_the_pictures_need_no_colour(mitm: examples.Example) -> None:
    styles = [(str(dash), marker) for _, dash, marker in plots.STYLES]
    assert len(set(styles)) == len(styles)
    assert len(set(plots._HATCHES)) == len(plots._HATCHES)
    chains = lineup(mitm.evidence)
    assert chains.letters[mitm.evidence.captures[0].chain.leaf.pin] == "A"


def _contrast(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def test_text_in_pictures_has_enough_contrast() -> None:
    colours = [plots.INK, plots.MUTED, *(colour for colour, *_ in plots.STYLES)]
    assert min(_contrast(colour) for colour in colours) >= 4.5
    darkest_box = min(plots._SHADES, key=lambda shade: -_contrast(shade))
    assert _contrast(plots.INK) / _contrast(darkest_box) >= 4.5


def test_chains_side_by_side_say_which_key_is_where_and_who_pins_it(mitm: examples.Example) -> None:
    picture = plots.chain_comparison(mitm.evidence)
    assert picture is not None
    before, now, seen = (part for part in re.split(r"(?=before \(|now \(|seen by clients \()", picture.alt)[1:])
    assert "leaf api.example.com, key A, pinned by shop-android 4.1.0, shop-ios 3.9" in before
    assert "key A" in now
    assert "seen from cloud-us, office" in now
    assert "leaf api.example.com, key C;" in seen
    # The genuine intermediate that the interceptor appended counts for nothing.
    assert "intermediate Example Trust Issuing CA 3, key B, which signs nothing here" in seen
    assert "pinned by" not in seen


def test_a_chain_of_hundreds_is_cut_and_counted(mitm: examples.Example) -> None:
    chain = mitm.evidence.captures[0].chain
    long = replace(chain, certificates=chain.certificates * 150)
    capture = replace(mitm.evidence.captures[0], chain=long)
    picture = plots.chain_comparison(replace(mitm.evidence, captures=(capture,), history=(), observed=()))
    assert picture is not None
    assert "and 295 more" in picture.alt
    assert len(picture.alt) < 2000


def test_where_there_is_nothing_to_draw_there_is_no_picture() -> None:
    evidence = examples.bare().evidence
    assert plots.failure_ratio(evidence) is None
    assert plots.chain_comparison(evidence) is None
    assert cohortplots.cohorts_over_time(None) is None
    one = examples.failures({("1", "a"): (0.0, 0.0)})
    assert cohortplots.cohorts_over_time(one) is None
    empty = replace(one, cohorts=(), failures=one.failures[:0], validations=one.validations[:0])
    assert plots.failure_ratio(empty) is None


def test_failures_that_are_all_unread_or_zero_are_drawn() -> None:
    counted = examples.failures({("1", "a"): (0.0, 0.0), ("2", "b"): (0.0, 0.0)}, minutes=90, gap=(0, 90))
    for shown in (counted, replace(counted, failures=np.zeros_like(counted.failures))):
        picture = plots.failure_ratio(shown)
        assert picture is not None
        assert "nan" not in picture.alt
    zero = replace(counted, failures=np.zeros((2, 90)), validations=np.zeros((2, 90)))
    assert plots.failure_ratio(zero) is not None
    assert cohortplots.cohorts_over_time(zero) is None
    assert cohortplots.worst(zero, by="region") is None


def test_hostile_names_are_drawn_as_they_stand() -> None:
    example = examples.mitm(hostile=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph, a broken formula
        pictures = (
            plots.failure_ratio(example.evidence, example.verdict),
            plots.chain_comparison(example.evidence),
            cohortplots.cohorts_over_time(example.evidence.failures, example.verdict),
            cohortplots.worst(example.evidence.failures, since=ONSET),
        )
    for picture in pictures:
        assert picture is not None
        assert not re.search(r"[\x00-\x1f\x7f\u202e\u200b]", picture.alt)
        assert "<script" not in picture._repr_html_().replace("<style>", "")


def test_drawing_leaves_matplotlib_as_it_was_and_ignores_its_settings(mitm: examples.Example) -> None:
    plain = cohortplots.worst(mitm.evidence.failures)
    with mpl.rc_context({"text.usetex": True, "axes.facecolor": "black", "font.size": 3}):
        before = dict(mpl.rcParams)
        odd = cohortplots.worst(mitm.evidence.failures)
        assert dict(mpl.rcParams) == before
    assert plain is not None
    assert odd is not None
    assert odd.png == plain.png


def test_the_same_evidence_gives_the_same_bytes(mitm: examples.Example) -> None:
    first, second = (plots.failure_ratio(mitm.evidence, mitm.verdict) for _ in range(2))
    assert first == second


def test_pyplot_is_never_loaded(mitm: examples.Example) -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, 'tests'); import examples; from irkit import plots; e = examples.mitm();"
        "plots.failure_ratio(e.evidence, e.verdict); plots.chain_comparison(e.evidence);"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    del mitm
    root = examples.__file__.rsplit("/tests/", 1)[0]
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert made.stdout.strip() == "False"


def test_an_onset_outside_the_window_marks_nothing(mitm: examples.Example) -> None:
    verdict = replace(mitm.verdict, onset=ONSET - timedelta(days=9), cohorts=())
    shown = trend(mitm.evidence, verdict)
    assert shown is not None
    assert "failures begin" not in [mark.what for mark in shown.marks]
    assert plots.failure_ratio(mitm.evidence, verdict) is not None


def test_the_key_timeline_says_which_leaf_key_was_seen_when_and_by_whom() -> None:
    evidence, _, _ = examples.mitm()
    picture = plots.key_timeline(evidence)
    assert picture is not None
    trusted, foreign = evidence.captures[0].chain.leaf.pin, evidence.observed[0].chain.leaf.pin
    assert f"{str(trusted)[:18]}...: captured earlier" in picture.alt
    assert f"{str(foreign)[:18]}...: seen by clients" in picture.alt
    bare = examples.bare()
    assert plots.key_timeline(bare[0] if isinstance(bare, tuple) else bare) is None


def test_cohorts_over_time_and_the_worst_say_their_numbers(mitm: examples.Example) -> None:
    failures = mitm.evidence.failures
    over = cohortplots.cohorts_over_time(failures, mitm.verdict)
    assert over is not None
    assert over.alt.startswith("Heat map: ")
    assert re.search(r"4\.2\.0, ap-south: 0\.1\d % before the onset, 9\d % after, highest 9\d(\.\d)? %", over.alt)
    assert "by version and region over time" in over.caption
    assert "UTC" in over.caption
    regions = cohortplots.cohorts_over_time(failures, by="region")
    assert regions is not None
    assert re.search(r"ap-south: .* highest 9\d %", regions.alt)
    worst = cohortplots.worst(failures, by="region", since=ONSET)
    assert worst is not None
    assert re.search(r"on: ap-south 9\d % \(9\d % to 9\d %\), [\d,]+ of [\d,]+;", worst.alt)
    assert cohortplots.worst(failures, by="network") is cohortplots.cohorts_over_time(failures, by="network") is None


def test_the_heat_map_shows_the_worst_cohorts_and_the_others_together() -> None:
    evidence, verdict, _ = examples.rotation(releases=30, regions=2)
    picture = cohortplots.cohorts_over_time(evidence.failures, verdict)
    assert picture is not None
    assert "49 others: " in picture.alt
