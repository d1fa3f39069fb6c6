from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pinned import AT, CHAIN, HOST, LEAF, STORE

from irkit.accept import accepts
from irkit.certificate import Pin
from irkit.errors import InputError
from irkit.update import PinUpdate, check_update, sign_update

KEY = Ed25519PrivateKey.generate()
CURRENT = LEAF.certificate.pin or Pin(b"\x00" * 32)
NEXT, LATER = Pin(b"\x01" * 32), Pin(b"\x02" * 32)
UPDATE = PinUpdate(HOST, 7, AT - timedelta(hours=1), AT + timedelta(days=30), (CURRENT, NEXT))
DOCUMENT = sign_update(UPDATE, KEY)


def check(document: bytes = DOCUMENT, **more: Any) -> PinUpdate:
    usual = {"key": KEY.public_key(), "host": HOST, "at": AT, "current": [CURRENT], "last": None}
    return check_update(document, **(usual | more))


def changed(**more: Any) -> bytes:
    """An update signed with the right key that says something else."""
    payload = json.loads(base64.b64decode(json.loads(DOCUMENT)["payload"])) | more
    raw = json.dumps(payload).encode()
    signature = KEY.sign(b"irkit.pin-update/1\n" + raw)
    return json.dumps({"payload": b64(raw), "signature": b64(signature)}).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_good_update_is_taken_and_pins() -> None:
    assert check() == UPDATE
    assert check(host="API.example.com.") == UPDATE
    assert accepts(UPDATE.release(), CHAIN, host=HOST, at=AT, trust=STORE).answer == "yes"
    assert accepts(UPDATE, CHAIN, host=HOST, at=AT, trust=STORE).answer == "yes"


def test_an_update_that_ended_is_not_taken_for_pins() -> None:
    over = accepts(UPDATE, CHAIN, host=HOST, at=UPDATE.expires, trust=STORE)
    assert (over.answer, "ended at" in over.reasons[0]) == ("unknown", True)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"key": Ed25519PrivateKey.generate().public_key()}, "signature is not from the key"),
        ({"host": "www.example.com"}, "it is for api.example.com"),
        ({"at": AT - timedelta(days=1)}, "still to come"),
        ({"at": AT + timedelta(days=30)}, "it ended at"),
        ({"current": [LATER]}, "lock every client out"),
        ({"current": []}, "lock every client out"),
        ({"last": UPDATE}, "not newer"),
        ({"at": datetime(2026, 11, 7)}, "no time zone"),  # noqa: DTZ001 - the point
    ],
)
def test_an_update_is_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check(**more)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"pins": []}, "2 to 32 distinct pins"),
        ({"pins": [str(CURRENT)]}, "2 to 32 distinct pins"),
        ({"pins": [str(CURRENT), str(CURRENT)]}, "2 to 32 distinct pins"),
        ({"pins": [str(CURRENT), "sha1/" + b64(b"x" * 20)]}, "not SHA-256"),
        ({"pins": [str(CURRENT), "REPLACE_ME"]}, "not a pin"),
        ({"pins": None}, "no pin update"),
        ({"number": -1}, "negative"),
        ({"number": True}, "no pin update"),
        ({"number": "8"}, "no pin update"),
        ({"issued": "2026-11-05T00:00:00"}, "no time zone"),
        ({"issued": "yesterday"}, "no pin update"),
        ({"expires": "2020-01-01T00:00:00+00:00"}, "ends before it begins"),
        ({"host": "API.example.com"}, "not a host"),
    ],
)
def test_even_the_right_key_can_t_sign_a_harmful_update(more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check(changed(**more))


def test_an_older_update_is_not_played_back() -> None:
    newer = PinUpdate(HOST, 8, AT, AT + timedelta(days=30), (CURRENT, LATER))
    assert check(sign_update(newer, KEY), last=UPDATE) == newer
    with pytest.raises(InputError, match="not newer"):
        check(DOCUMENT, last=newer)
    backdated = PinUpdate(HOST, 9, AT - timedelta(days=2), AT + timedelta(days=1), (CURRENT, LATER))
    with pytest.raises(InputError, match="not newer"):
        check(sign_update(backdated, KEY), last=newer)


def test_a_signature_over_the_bare_payload_is_not_taken() -> None:
    payload = base64.b64decode(json.loads(DOCUMENT)["payload"])
    bare = json.dumps({"payload": b64(payload), "signature": b64(KEY.sign(payload))}).encode()
    with pytest.raises(InputError, match="signature is not from the key"):
        check(bare)


@given(
    st.binary(max_size=200) | st.integers(0, len(DOCUMENT) - 1).map(lambda i: DOCUMENT[:i] + b"A" + DOCUMENT[i + 1 :])
)
def test_no_document_of_anyone_else_is_taken(document: bytes) -> None:
    try:
        taken = check(document)
    except InputError:
        return
    assert taken == UPDATE  # a change that JSON or base64 doesn't see


def test_a_large_document_is_not_read() -> None:
    with pytest.raises(InputError, match="more than"):
        check(DOCUMENT + b" " * (64 << 10))


def test_a_rotation_goes_through_two_updates() -> None:
    first = check()
    second = PinUpdate(HOST, 8, AT, AT + timedelta(days=60), (NEXT, LATER))
    # Before the switch the next key is not in use yet: dropping the current one is refused.
    with pytest.raises(InputError, match="lock every client out"):
        check(sign_update(second, KEY), last=first)
    assert check(sign_update(second, KEY), last=first, current=[NEXT]) == second
    assert second.issued.tzinfo == UTC
