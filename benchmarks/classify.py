"""How classify() grows with releases, cohorts and the different chains that clients report.

    python benchmarks/classify.py

CPU time, so that a busy machine doesn't count: of the first call on evidence never seen, and of the best of five after
it. Beside it stands the search for onsets in the same counts, which gathering does and keeps: a triage pays both once
(`in all`). The peer is the least that any judge of such evidence has to do: one X.509 parse (cryptography) of each
chain's leaf.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import forge
from incidents import HOST, World, failures, release, since_onset

from irkit.certificate import Certificate
from irkit.classify import classify
from irkit.evidence import Evidence
from irkit.onset import found_onsets, onsets
from irkit.reportline import Report
from irkit.reports import Reports, Sighting

SIZES = ((1, 10, 10), (5, 50, 100), (10, 100, 1_000), (50, 500, 1_000), (50, 500, 10_000))
CAS = 50


def evidence(world: World, releases: int, cohorts: int, chains: int) -> Evidence:
    """An interception in one region; every client saw a leaf of its own, from one of fifty CAs."""
    versions = [f"4.{i}.0" for i in range(releases)]
    regions = [f"r{i}" for i in range(cohorts // releases)]
    own = world.leaf.certificate.pin
    shipped = tuple(
        release(f"shop-android {v}", own if i % 3 else world.backup, world.backup) for i, v in enumerate(versions)
    )
    cas = [forge.root(f"CA {i}") for i in range(CAS)]
    leaves = [ca.issue(HOST).certificate for ca in cas]

    def minted(i: int) -> Certificate:
        """A leaf with another key: what an interceptor mints for each device."""
        der = bytearray(leaves[i % CAS].der)
        spki = leaves[i % CAS].spki or b""
        at = der.find(spki) + len(spki) - 20
        der[at : at + 8] = i.to_bytes(8, "big")
        return Certificate(bytes(der))

    sightings = []
    for i in range(chains):
        leaf = minted(i)
        report = Report(
            "trustkit-ios", "pin", HOST, app="com.example.shop", version=versions[i % releases], platform="ios",
            region=regions[i % len(regions)], served=(leaf, cas[i % CAS].certificate),
        )  # fmt: skip
        sightings.append(Sighting(report, "reports", 1, 1, None, None, leaf.pin))
    counts = failures(since_onset(0.6, region=regions[-1]), versions=versions, regions=regions)
    return world.evidence(failures=counts, releases=shipped, reports=Reports(tuple(sightings), chains))


def cpu(call: Callable[[], Any]) -> float:
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1000


def measure(given: Evidence) -> tuple[float, float, float, float]:
    """Milliseconds: the search for onsets, the first and the best later call, the peer."""
    counts, reports = given.failures, given.reports
    assert counts is not None
    assert reports is not None
    leaves = [sighting.report.served[0].der for sighting in reports.sightings]
    searched = cpu(lambda: onsets(counts))
    found_onsets(counts)
    first = cpu(lambda: classify(given))
    again = min(cpu(lambda: classify(given)) for _ in range(5))
    return searched, first, again, cpu(lambda: [x509.load_der_x509_certificate(der) for der in leaves])


def main() -> None:
    world = World()
    classify(world.evidence())  # numpy and cryptography are loaded
    print(
        "releases cohorts  chains   onsets    first   in all    again  parsing the leaves  (ms of CPU)  again / parsing"
    )
    for releases, cohorts, chains in SIZES:
        searched, first, again, peer = measure(evidence(world, releases, cohorts, chains))
        print(
            f"{releases:8} {cohorts:7} {chains:7} {searched:8.1f} {first:8.1f} {searched + first:8.1f} {again:8.1f} "
            f"{peer:19.1f} {again / max(peer, 0.01):28.2f}"
        )


if __name__ == "__main__":
    main()
