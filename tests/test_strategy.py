from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from forge import EPOCH, root
from pinned import AT, CA, CHAIN, HOST, LEAF, ROOT, STORE

from irkit.accept import accepts
from irkit.certificate import Pin
from irkit.errors import InputError
from irkit.strategy import (
    Mode,
    PinnedKey,
    Strategy,
    ca_pins,
    certificate_pins,
    due,
    levels_of,
    spki_pins,
)

FULL = (*CHAIN, ROOT.certificate)
LEAF_KEY, CA_KEY, ROOT_KEY = spki_pins(FULL)
NEXT = PinnedKey(Pin(b"\x01" * 32), name="next")
WRONG = {level: PinnedKey(Pin(b"\x02" * 32), level) for level in ("leaf", "intermediate", "root")}  # type: ignore[arg-type]  # these are the levels


def answer(strategy: Strategy, chain: Any = CHAIN, **more: Any) -> str:
    return accepts(strategy, chain, **({"host": HOST, "at": AT, "trust": STORE} | more)).answer


def test_a_chain_gives_pins_at_each_level() -> None:
    assert [(key.level, key.pin) for key in (LEAF_KEY, CA_KEY, ROOT_KEY)] == [
        ("leaf", LEAF.certificate.pin),
        ("intermediate", CA.certificate.pin),
        ("root", ROOT.certificate.pin),
    ]
    assert ca_pins(FULL) == (CA_KEY, ROOT_KEY)
    assert spki_pins(FULL, ["leaf"]) == (LEAF_KEY,)
    assert levels_of(CHAIN) == ("leaf", "intermediate")


def test_what_signed_nothing_gives_no_pins() -> None:
    evil = root("Evil").issue(HOST)
    assert ca_pins((evil.certificate, CA.certificate)) == ()


@pytest.mark.parametrize(
    ("mode", "keys", "wanted"),
    [
        ("flexible", (LEAF_KEY,), "yes"),
        ("flexible", (WRONG["leaf"], ROOT_KEY), "yes"),
        ("flexible", (WRONG["leaf"], WRONG["root"]), "no"),
        ("strict", (LEAF_KEY, CA_KEY), "yes"),
        ("strict", (LEAF_KEY, WRONG["intermediate"], ROOT_KEY), "yes"),
        ("strict", (LEAF_KEY, WRONG["intermediate"]), "no"),
        ("strict", (WRONG["leaf"], CA_KEY, ROOT_KEY), "no"),
        ("balanced", (WRONG["leaf"], CA_KEY, ROOT_KEY), "yes"),
        ("balanced", (LEAF_KEY, WRONG["intermediate"], ROOT_KEY), "yes"),
        ("balanced", (LEAF_KEY, WRONG["intermediate"], WRONG["root"]), "no"),
    ],
)
def test_a_mode_says_how_many_levels_must_match(mode: Mode, keys: tuple[PinnedKey, ...], wanted: str) -> None:
    assert answer(Strategy(keys, mode)) == wanted


def test_a_pin_counts_at_its_level_only() -> None:
    assert answer(Strategy((PinnedKey(LEAF_KEY.pin, "root"),))) == "no"


def test_the_current_key_and_the_next_are_alternatives() -> None:
    strategy = Strategy((LEAF_KEY, CA_KEY), "strict").with_keys(NEXT)
    assert answer(strategy) == "yes"
    rotated = CA.issue(HOST)
    assert answer(strategy, rotated.chain) == "no"
    assert answer(strategy.with_keys(*spki_pins(rotated.chain, ["leaf"])), rotated.chain) == "yes"


def test_a_pinned_certificate_is_broken_by_a_renewal_that_keeps_the_key() -> None:
    strategy, renewed = Strategy(certificate_pins(CHAIN)), CA.issue(HOST, key=LEAF.key)
    assert (answer(strategy), answer(strategy, renewed.chain)) == ("yes", "no")
    assert answer(Strategy((LEAF_KEY,)), renewed.chain) == "yes"
    assert strategy.keys[0].until == LEAF.certificate.not_after


def test_an_interceptor_with_the_genuine_ca_appended_is_refused() -> None:
    evil = root("Evil").issue(HOST)
    chain = (evil.certificate, CA.certificate, ROOT.certificate)
    assert answer(Strategy(ca_pins(FULL)), chain, trust=None) == "no"
    assert answer(Strategy(ca_pins(FULL), "balanced"), chain) == "no"


END = EPOCH + timedelta(days=10)
ENDING = Strategy((PinnedKey(LEAF_KEY.pin, since=EPOCH, until=END),), grace=timedelta(days=3))


@pytest.mark.parametrize(
    ("days", "wanted"), [(-0.5, "no"), (0, "yes"), (10, "yes"), (12.9, "yes"), (13, "yes"), (13.1, "no")]
)
def test_a_pin_counts_from_its_beginning_to_the_end_of_its_grace(days: float, wanted: str) -> None:
    assert answer(ENDING, at=EPOCH + timedelta(days=days), trust=None) == wanted


def test_a_pin_in_its_grace_is_said_and_due() -> None:
    found = accepts(ENDING, CHAIN, host=HOST, at=END + timedelta(days=1))
    assert "counts by grace only" in found.reasons[1]
    assert due(ENDING, EPOCH) == ENDING.keys
    assert due(ENDING, END + timedelta(days=1)) == ENDING.keys
    assert due(ENDING, EPOCH, within=timedelta(days=9)) == ()
    late = accepts(ENDING, CHAIN, host=HOST, at=END + timedelta(days=9))
    assert late.reasons[-1] == "1 of 1 pins don't count at this time"


def test_enforcement_begins_and_ends_on_its_dates() -> None:
    dated = Strategy((NEXT,), enforce_from=EPOCH + timedelta(days=2), enforce_until=EPOCH + timedelta(days=8))
    for days, wanted in ((1, "unpinned"), (2, "no"), (7, "no"), (8, "unpinned")):
        found = accepts(dated, CHAIN, host=HOST, at=EPOCH + timedelta(days=days))
        assert found.answer == wanted
        assert found.why == ("not-enforced" if wanted == "unpinned" else "pin")
    stranger = root("Stranger").issue(HOST)
    assert answer(dated, stranger.chain, at=EPOCH + timedelta(days=1)) == "no"


def test_hosts_limit_a_strategy() -> None:
    limited = Strategy((NEXT,), hosts=("*.example.com", "Example.org."))
    assert [limited.covers(host) for host in (HOST, "example.com", "a.b.example.com", "example.org")] == [
        True, False, False, True,
    ]  # fmt: skip
    assert answer(limited, CA.issue("example.net").chain, host="example.net") == "unpinned"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"keys": ()}, "without pins"),
        ({"keys": (LEAF_KEY,), "mode": "strict"}, "strict needs"),
        ({"keys": (CA_KEY, ROOT_KEY), "mode": "strict"}, "strict needs"),
        ({"keys": (LEAF_KEY, NEXT), "mode": "balanced"}, "two levels"),
        ({"keys": (LEAF_KEY,), "mode": "lax"}, "no mode"),
        ({"keys": (LEAF_KEY,), "grace": timedelta(days=-1)}, "negative"),
        ({"keys": (LEAF_KEY,), "enforce_from": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 - the point
    ],
)
def test_a_strategy_that_can_t_work_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Strategy(**arguments)


def test_a_pin_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InputError, match="before it begins"):
        PinnedKey(LEAF_KEY.pin, since=datetime(2026, 2, 1, tzinfo=UTC), until=datetime(2026, 1, 1, tzinfo=UTC))


def test_a_strategy_is_shown_harmless() -> None:
    shown = Strategy((PinnedKey(LEAF_KEY.pin, name="<script>\x1b[2J"),), name="<b>\x1b")
    assert "\x1b" not in repr(shown) + shown._repr_html_()
    assert "<script>" not in shown._repr_html_()
