"""Every endpoint of the zoo: what comes back is what is said there, and what `openssl s_client` shows where it can."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import zoo
from endpoints import ZOO, Endpoint
from zoo import ders, local, within

from irkit.capture import capture_all
from irkit.chain import CaptureFailure, Chain
from irkit.errors import CaptureError


def test_the_zoo_is_large_and_of_every_kind() -> None:
    assert len(ZOO) >= 60
    assert {endpoint.kind for endpoint in ZOO.values()} == {"python", "pyopenssl", "openssl", "nginx", "raw"}


PRESENTING = {name: endpoint for name, endpoint in ZOO.items() if endpoint.chain is not None}


@pytest.mark.parametrize("endpoint", PRESENTING.values(), ids=PRESENTING)
def test_an_endpoint_s_chain_comes_back_byte_for_byte(endpoint: Endpoint, tmp_path: Path) -> None:
    assert endpoint.chain is not None
    with endpoint.open(tmp_path) as port:
        chain: Chain = within(30, lambda: local(port, **endpoint.options))
        short: Chain = within(30, lambda: local(port, **{**endpoint.options, "sweep": True}))
        shown = zoo.s_client(port, *endpoint.s_client)
    assert ders(chain) == ders(short) == endpoint.chain
    if not endpoint.rewritten:
        assert shown == endpoint.chain
    obtained = chain.obtained
    assert (obtained.how, obtained.possession) == (endpoint.how, endpoint.possession)
    assert short.obtained.how == "hello"
    assert short.obtained.possession == (endpoint.possession_short or endpoint.possession)
    assert obtained.protocol == (endpoint.protocol or obtained.protocol)
    assert obtained.cipher == (endpoint.cipher or obtained.cipher) != ""
    assert bool(obtained.findings) == bool(endpoint.finding)
    assert any(re.search(endpoint.finding, finding) for finding in (*obtained.findings, ""))
    assert all(finding.isprintable() for finding in obtained.findings)
    assert obtained.address == f"127.0.0.1:{port}"
    for attempt in obtained.attempts:
        assert attempt.reason.isprintable()
        assert attempt.how


WITHOUT = {name: endpoint for name, endpoint in ZOO.items() if endpoint.chain is None}


@pytest.mark.parametrize("endpoint", WITHOUT.values(), ids=WITHOUT)
def test_an_endpoint_without_a_chain_is_one_line_of_reason(endpoint: Endpoint, tmp_path: Path) -> None:
    options: dict[str, Any] = {"deadline": 5, **endpoint.options}
    with endpoint.open(tmp_path) as port:
        for sweep in (False, True):
            with pytest.raises(CaptureError) as raised:
                within(20, lambda sweep=sweep: local(port, sweep=sweep, **options))  # type: ignore[misc]  # default
            assert raised.value.hint
        (failure,) = within(20, lambda: capture_all("127.0.0.1", port, vantage="office", **options))
    assert isinstance(failure, CaptureFailure)
    assert re.search(endpoint.reason, failure.reason)
    assert (failure.where, failure.vantage) == (f"127.0.0.1:{port}", "office")
    assert failure.attempts
    assert failure.at is not None
    assert failure.hint
    assert failure.reason.isprintable()
