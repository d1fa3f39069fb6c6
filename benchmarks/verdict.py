"""How often the verdict is right: generated incidents over all causes, whose answers follow from how they were built.

    python benchmarks/verdict.py [--count N] [--first SEED] [--without SOURCE|each] [--forged 0.2] [--processes N]
        [--picture PNG]

Prints accuracy, dangerous errors (a MITM called rotation or misconfiguration), abstentions, calibration, what was
answered wrongly, and seconds per incident; draws the confusion matrix. A fourth of the incidents are pairs of truths
that leave the same evidence, byte for byte: for those `inconclusive` is right. Of two incidents at once both have to be
found, each with its own cohort. Drawn incidents are kinder than real ones: the
same hands wrote both sides, though they share no code that decides.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from irkit.classify import classify
from irkit.drill import write
from irkit.drill.chance import SOURCES, draw
from irkit.drill.scenario import Part
from irkit.gather import gather
from irkit.verdict import VERDICTS, CohortVerdict

END = datetime(2026, 11, 23, 12, tzinfo=UTC)
BINS = 10
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where files cost no disk
STEP = timedelta(minutes=10)
UNDECIDED = ("undecided: a mitm", "undecided: harmless")
RELAXING = ("rotation", "misconfiguration")


@dataclass(frozen=True)
class Row:
    """One incident: as it was built, and what was answered."""

    seed: int
    turn: str
    lacking: tuple[str, ...]
    right: frozenset[str]
    built: tuple[str, str]
    answered: tuple[str, str]
    confidence: float
    parts: tuple[bool, ...]
    seconds: float

    @property
    def decided(self) -> bool:
        """Whether the evidence decides it."""
        return self.right == {self.built[0]}

    @property
    def dangerous(self) -> bool:
        """A MITM that was called harmless; one that left no trace beside another incident can't be."""
        return self.built[0] == "mitm" and self.answered[0] in RELAXING and self.answered[0] not in self.right


def judge(seed: int, variants: Sequence[tuple[str, float]]) -> list[Row]:
    """One incident, with each source taken away in turn: the counts stay the same, and are searched once."""
    rows, whole = [], draw(seed, END)
    for without, forged in variants:
        drawn = whole.without(without)
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            incident = write(
                drawn.scenario, Path(name), END, seed=seed, lacking=drawn.lacking, step=STEP, forged=forged, noise=True
            )
            evidence = gather(incident, now=END)
        began = time.process_time()
        verdict = classify(evidence)
        seconds = time.process_time() - began
        made = drawn.scenario
        built, answered = (made.verdict, made.cause), (verdict.verdict, verdict.cause)
        parts = tuple(met(part, verdict.cohorts) for part in made.parts) if not drawn.lacking else ()
        rows.append(
            Row(seed, drawn.turn, tuple(sorted(drawn.lacking)), drawn.verdicts, built, answered, verdict.confidence,
                parts, seconds)
        )  # fmt: skip
    return rows


def met(part: Part, cohorts: Sequence[CohortVerdict]) -> bool:
    """Whether one of the cohorts is that part of the incident, with its verdict and cause."""

    def shared(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
        return not mine or not theirs or bool(set(mine) & set(theirs))

    return any(
        (c.verdict, c.cause) == (part.verdict, part.cause)
        and shared(part.releases, c.cohort.releases)
        and shared(part.regions, c.cohort.regions)
        for c in cohorts
    )


def calibration(rows: Sequence[Row]) -> tuple[float, list[tuple[float, float, int]]]:
    """The expected calibration error of the verdicts given, and by bin: mean confidence, part that holds, count."""
    given = [row for row in rows if row.answered[0] != "inconclusive"]
    bins = []
    for n in range(BINS):
        mine = [row for row in given if n <= min(row.confidence * BINS, BINS - 1) < n + 1]
        if mine:
            holds = sum(row.answered[0] in row.right for row in mine) / len(mine)
            bins.append((sum(row.confidence for row in mine) / len(mine), holds, len(mine)))
    error = sum(abs(said - holds) * count for said, holds, count in bins) / max(1, len(given))
    return error, bins


def share(part: Sequence[Row], whole: Sequence[Row]) -> str:
    return f"{len(part)} of {len(whole)}, {len(part) / len(whole):.2%}" if whole else "none"


def report(rows: Sequence[Row]) -> None:
    decided = [row for row in rows if row.decided]
    open_ones = [row for row in rows if row.right == {"inconclusive"}]
    either = [row for row in rows if len(row.right) > 1]
    abstained = [row for row in rows if row.answered[0] == "inconclusive"]
    holds = [row for row in decided if row.answered[0] == row.built[0]]
    print(f"incidents                                {len(rows)}")
    print(f"dangerous errors                         {sum(row.dangerous for row in rows)}")
    print(f"verdict right where evidence decides     {share(holds, decided)}")
    print(f"cause right where evidence decides       {share([r for r in holds if r.answered == r.built], decided)}")
    print(f"inconclusive where evidence does not     {share([r for r in open_ones if r in abstained], open_ones)}")
    print(f"acceptable where a source is missing     {share([r for r in either if r.answered[0] in r.right], either)}")
    mixed = [row for row in rows if row.parts]
    print(f"of two at once, both found               {share([r for r in mixed if all(r.parts)], mixed)}")
    print(f"abstentions                              {share(abstained, rows)}")
    print(f"  of these where the evidence decides    {share([r for r in abstained if r.decided], abstained)}")
    error, bins = calibration(rows)
    print(f"expected calibration error               {error:.4f}")
    for said, held, count in bins:
        print(f"  said {said:.3f}, held {held:.3f}, {count} verdicts")
    print(f"classify, seconds of CPU per incident    {sum(row.seconds for row in rows) / len(rows):.4f}")
    wrong = [row for row in rows if row.answered[0] not in row.right or (row.decided and row.answered != row.built)]
    print("built as -> answered, seeds:")
    pairs = Counter((row.built, row.answered, row.turn) for row in wrong)
    for (built, answered, turn), count in pairs.most_common(40):
        seeds = [row.seed for row in wrong if (row.built, row.answered, row.turn) == (built, answered, turn)][:5]
        print(f"  {count:4} {turn}: {' / '.join(built)} -> {' / '.join(answered)}  {seeds}")
    for row in (row for row in mixed if not all(row.parts)):
        print(f"  one of two not found: seed {row.seed}, {row.turn}")


def line(row: Row) -> str:
    """The line of the matrix that an incident stands in."""
    return UNDECIDED[row.built[0] != "mitm"] if row.right == {"inconclusive"} else row.built[0]


def picture(rows: Sequence[Row], path: Path) -> None:
    """The confusion matrix: what was built by what was answered, apart where no evidence decides it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = Counter((line(row), row.answered[0]) for row in rows)
    built = [*(name for name in VERDICTS if name != "inconclusive"), *UNDECIDED]
    figure = Figure(figsize=(8.8, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    sums = {name: sum(counts[name, other] for other in VERDICTS) or 1 for name in built}
    axes.imshow([[counts[a, b] / sums[a] for b in VERDICTS] for a in built], cmap="Greys", vmin=0, vmax=1.6)
    for y, a in enumerate(built):
        for x, b in enumerate(VERDICTS):
            danger = a in ("mitm", UNDECIDED[0]) and b in RELAXING
            shown = f"{counts[a, b]}" + ("\ndangerous" if danger else "")
            axes.text(x, y, shown, ha="center", va="center", fontsize=8, color="#96101b" if danger else "#1b1e22")
    axes.set_xticks(range(len(VERDICTS)), VERDICTS, rotation=20, ha="right")
    axes.set_yticks(range(len(built)), built)
    axes.set_xlabel("answered")
    axes.set_ylabel("built as")
    axes.set_title(f"{len(rows)} generated incidents", loc="left")
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=72)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--without", choices=("", *SOURCES, "each"), default="")
    parser.add_argument("--forged", type=float, default=0.0, metavar="PART", help="of the clients' reports, as 0.2")
    parser.add_argument("--picture", type=Path, default=Path(tempfile.gettempdir()) / "irkit-verdicts.png")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    variants = [(source, options.forged) for source in (SOURCES if options.without == "each" else (options.without,))]
    seeds = range(options.first, options.first + options.count)
    began = time.perf_counter()
    with ProcessPoolExecutor(max_workers=options.processes) as pool:
        judged = []
        for rows in pool.map(partial(judge, variants=variants), seeds, chunksize=8):
            judged.append(rows)
            if len(judged) % 200 == 0:
                print(f"{len(judged)} of {len(seeds)} incidents", file=sys.stderr, flush=True)
    seconds = (time.perf_counter() - began) / max(1, len(seeds) * len(variants))
    dangerous = 0
    for (without, forged), rows in zip(variants, zip(*judged, strict=True), strict=True):
        print(f"== {f'without {without}' if without else 'with all that was drawn'}, {forged:.0%} of reports forged")
        report(rows)
        dangerous += sum(row.dangerous for row in rows)
    print(f"all in all, seconds per incident         {seconds:.3f}")
    picture([row for rows in judged for row in rows], options.picture)
    print(f"picture: {options.picture}")
    return 1 if dangerous else 0


if __name__ == "__main__":
    sys.exit(main())
