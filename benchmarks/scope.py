"""Whose the failures are: how often the right cohorts are named, in a seeded study of drawn cubes.

Usage: python benchmarks/scope.py [--seeds N]

What it holds irkit to, and ends with 1 where one does not hold: of 720 cubes (eight kinds, three levels of traffic,
30 seeds) each has the right set first, or none where none is right; so have cubes with a release in a region, with a
release that fails only because the failing region uses it (Simpson's paradox), and at ten validations a minute; two
incidents at once are told apart by `irkit.onsets`.

A cube is a day in steps of five minutes, by four releases, two platforms, four regions and three networks, with shares
of traffic drawn anew for each, diurnal waves and a baseline of 0.05 to 1 %. Beside irkit stands what a dashboard sorts
by: the one value with the highest failure ratio. Drawn cubes are kinder than real ones: one hand wrote cubes and rule.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
from numpy.typing import NDArray

from irkit.failures import Failures
from irkit.onset import onsets
from irkit.scope import scope, top

VALUES: Mapping[str, tuple[str, ...]] = {
    "version": ("5.1.0", "5.2.0", "5.3.0", "5.4.0"),
    "platform": ("android", "ios"),
    "region": ("ap-south", "eu-west", "sa-east", "us-east"),
    "network": ("AS64500", "AS64501", "AS64502"),
}
CELLS = tuple(dict(zip(VALUES, values, strict=True)) for values in product(*VALUES.values()))
BINS = 288
START = datetime(2026, 11, 20, tzinfo=UTC)
LEVELS = (200, 2_000, 100_000)  # validations a minute of everyone

Cell = Mapping[str, str]
Fails = Callable[[Cell], float]
Expected = Mapping[str, frozenset[str]]


def of(role: str, *values: str, ratio: float = 0.9) -> tuple[Fails, Expected]:
    """What some values of a role alone do."""
    return lambda cell: ratio * (cell[role] in values), {role: frozenset(values)}


# What fails, by the cells' values, and which set is right; none where everyone fails or nobody does.
KINDS: Mapping[str, tuple[Fails, Expected]] = {
    "everyone": (lambda _: 0.9, {}),
    "nobody": (lambda _: 0.0, {}),
    "old releases": of("version", "5.1.0", "5.2.0", "5.3.0", ratio=1.0),
    "a new release": of("version", "5.4.0", ratio=1.0),
    "a platform": of("platform", "ios"),
    "a region in part": of("region", "ap-south", ratio=0.1),
    "two regions": of("region", "ap-south", "sa-east", ratio=0.5),
    "a network": of("network", "AS64502", ratio=0.45),
}
PAIRS: Mapping[str, tuple[Fails, Expected]] = {
    "a release in a region": (
        lambda c: 0.5 * (c["version"] == "5.3.0" and c["region"] == "ap-south"),
        {"version": frozenset({"5.3.0"}), "region": frozenset({"ap-south"})},
    ),
    "a platform on a network": (
        lambda c: 0.9 * (c["platform"] == "ios" and c["network"] == "AS64501"),
        {"platform": frozenset({"ios"}), "network": frozenset({"AS64501"})},
    ),
}


def shares(rng: np.random.Generator) -> NDArray[np.float64]:
    """Of everyone's traffic by cell: each value's own share, no value below a twentieth of its role's."""
    found = np.ones(len(CELLS))
    for role, values in VALUES.items():
        drawn = dict(zip(values, 0.05 + rng.dirichlet(np.full(len(values), 3.0)), strict=True))
        found *= [drawn[cell[role]] for cell in CELLS]
    return found / found.sum()


def leaning(rng: np.random.Generator) -> NDArray[np.float64]:
    """The same, but nine in ten of 5.4.0's users are in ap-south, and nine in ten of the others' elsewhere."""
    found = shares(rng)
    for version in VALUES["version"]:
        for there in (True, False):
            mask = np.array([c["version"] == version and (c["region"] == "ap-south") == there for c in CELLS])
            wanted = 0.9 if there == (version == "5.4.0") else 0.1
            found[mask] *= wanted / found[mask].sum() * (0.3 if version == "5.4.0" else 0.7 / 3)
    return found / found.sum()


def cube(
    rng: np.random.Generator, level: float, fails: Fails, begin: int, share: NDArray[np.float64] | None = None
) -> Failures:
    """A day in which some cells fail from a bin on."""
    wave = 1 + 0.6 * np.sin(2 * np.pi * np.arange(BINS) / BINS + rng.uniform(0, 2 * np.pi, (len(CELLS), 1)))
    n = rng.poisson(5 * level * (shares(rng) if share is None else share)[:, None] * wave)
    base = 10 ** rng.uniform(np.log10(0.0005), -2)
    extra = np.array([fails(cell) for cell in CELLS])[:, None] * (np.arange(BINS) >= begin)
    k = rng.binomial(n, np.clip(base + extra, 0, 1))
    times = np.datetime64("2026-11-20", "s") + np.arange(BINS) * np.timedelta64(300, "s")
    return Failures("h", times, timedelta(minutes=5), CELLS, k.astype(float), n.astype(float), {}, "", b"", (), "")


def at(begin: int) -> datetime:
    return START + begin * timedelta(minutes=5)


def named(failures: Failures, begin: int) -> Expected:
    """The set that irkit says explains the failures; empty where it says of none."""
    found: dict[str, set[str]] = {}
    ranked = scope(failures, since=at(begin))
    if ranked and ranked[0].explains and any(len(one.roles) == 1 and not one.through for one in ranked[1:]):
        return {"more": frozenset()}  # a second label is blamed as well
    for cohort in ranked[0].cohorts if ranked and ranked[0].explains else ():
        for role, value in cohort.items():
            found.setdefault(role, set()).add(value)
    return {role: frozenset(values) for role, values in found.items()}


def highest(failures: Failures, begin: int) -> Expected:
    """The one value with the highest ratio, as a dashboard sorts."""
    tables = {role: top(failures, role, since=at(begin), limit=99) for role in VALUES}
    _, role, value = max((float(t["ratio"].max()), role, str(t["ratio"].idxmax())) for role, t in tables.items())
    return {role: frozenset({value})}


def study(name: str, level: int, seeds: int, fails: Fails, right: Expected, *, lean: bool = False) -> tuple[int, int]:
    """How many of the cubes irkit, and the highest ratio, get right; a line of the table."""
    ours = others = 0
    took = 0.0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, level, *name.encode()])
        begin = int(rng.uniform(60, 240))
        failures = cube(rng, level, fails, begin, leaning(rng) if lean else None)
        began = time.process_time()
        found = named(failures, begin)
        took += time.process_time() - began
        ours += found == right
        others += highest(failures, begin) == right
    print(
        f"{name:24s}{level:8,d}  irkit {ours:3d} of {seeds}, highest ratio {others:3d}; {1000 * took / seeds:3.0f} ms"
    )
    return ours, seeds


def two_at_once(level: int, seeds: int) -> tuple[int, int]:
    """A new release and, elsewhere in time, a region: how many days `onsets` tells both apart."""
    right = 0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, level, 2])
        first, second = (int(begin) for begin in rng.permutation([rng.uniform(60, 140), rng.uniform(160, 240)]))
        a = cube(rng, level, lambda c: 0.9 * (c["version"] == "5.4.0"), first)
        extra = rng.binomial(
            (a.validations - a.failures).astype(int),
            np.array([0.4 * (c["region"] == "ap-south") for c in CELLS])[:, None] * (np.arange(BINS) >= second),
        )
        both = Failures(
            "h", a.times, a.step, CELLS, a.failures + extra, a.validations, {}, "", b"", (), ""
        )  # fmt: skip
        right += {tuple(one.cohort.items()) for one in onsets(both)} == {
            (("version", "5.4.0"),), (("region", "ap-south"),)
        }  # fmt: skip
    print(f"{'two at once':24s}{level:8,d}  irkit {right:3d} of {seeds}")
    return right, seeds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=30, help="cubes of each kind and level")
    seeds = parser.parse_args().seeds
    print(f"seeded; {seeds} cubes of each kind and level: how many have the right set first, or none where none is\n")
    criteria = list[tuple[str, float, float]]()

    def hold(said: str, least: float, counts: list[tuple[int, int]]) -> None:
        right, whole = (sum(column) for column in zip(*counts, strict=True))
        criteria.append((f"{right} of {whole} {said} ({least:.0%})", right / whole, least))

    hold("cubes of eight kinds", 1.0, [study(n, v, seeds, *kind) for n, kind in KINDS.items() for v in LEVELS])
    hold("cubes of two labels", 1.0, [study(n, v, seeds, *kind) for n, kind in PAIRS.items() for v in LEVELS])
    simpson = of("region", "ap-south", ratio=0.3)
    hold("cubes with Simpson's trap", 1.0, [study("Simpson's trap", v, seeds, *simpson, lean=True) for v in LEVELS])
    hold("cubes at 10 a minute", 0.95, [study(n, 10, seeds, *kind) for n, kind in KINDS.items()])
    hold("days of two at once", 0.95, [two_at_once(v, seeds) for v in LEVELS])
    print("\ncriteria")
    for said, share, least in criteria:
        print(f"{'holds' if share >= least else 'DOES NOT HOLD':14s}{said}")
    sys.exit(not all(share >= least for _, share, least in criteria))


if __name__ == "__main__":
    main()
