"""Every endpoint of the zoo: what comes back is what is said there, and what `openssl s_client` shows where it can."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import zoo
from endpoints import ZOO, Endpoint
from zoo import ders, local, within

from irkit.capture import capture_all
from irkit.chain import CaptureFailure, Chain
from irkit.errors import CaptureError
from irkit.fleet import capture_many
from irkit.target import Target


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
        shown, complaint = zoo.s_client_says(port, *endpoint.s_client)
    assert ders(chain) == ders(short) == endpoint.chain
    assert shown == (endpoint.chain if endpoint.shown is None else endpoint.shown)
    assert re.search(endpoint.refusal, complaint)
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
    for certificate in chain:  # shown as far as it can be read, and nothing of it acts on who looks
        assert certificate.subject is not None or certificate.problems
        assert all(problem.isprintable() for problem in certificate.problems)
    assert all(line.isprintable() for line in repr(chain).split("\n"))
    assert "\x1b" not in chain._repr_html_()


PLAIN = {name: endpoint for name, endpoint in ZOO.items() if not endpoint.options.keys() - {"deadline", "starttls"}}


@pytest.mark.parametrize("sweep", [False, True])
def test_many_at_once_are_each_as_when_asked_alone(sweep: bool, tmp_path: Path) -> None:
    """All that a target can say what they need, from one thread that asks them together."""
    wanted: dict[Target, Endpoint] = {}
    with ExitStack() as stack:
        for number, endpoint in enumerate(PLAIN.values()):
            folder = tmp_path / str(number)
            folder.mkdir()
            port = stack.enter_context(endpoint.open(folder))
            wanted[Target("127.0.0.1", port, starttls=endpoint.options.get("starttls", ""))] = endpoint
        found = list(capture_many(wanted, sweep=sweep, deadline=8, concurrency=16))
    assert len(found) == len(wanted)
    for target, result in found:
        endpoint = wanted[target]
        if endpoint.chain is None:
            assert isinstance(result, CaptureFailure)
            assert re.search(endpoint.reason, result.reason)
            continue
        assert isinstance(result, Chain), (target, result)
        assert ders(result) == endpoint.chain
        if not sweep:
            assert (result.obtained.how, result.obtained.possession) == (endpoint.how, endpoint.possession)
            assert bool(result.obtained.findings) == bool(endpoint.finding)


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
