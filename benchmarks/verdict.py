"""How often the verdict is right: generated incidents over all causes, whose answers follow from how they were built.

    python benchmarks/verdict.py [--count N] [--first SEED] [--without SOURCE|each] [--forged 0.2]
        [--picture PNG]

Prints accuracy, dangerous errors (a MITM called rotation or misconfiguration), abstentions, calibration, what was
answered wrongly, and seconds per incident; draws the confusion matrix. Drawn incidents are kinder than real ones: the
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
from irkit.gather import gather
from irkit.verdict import VERDICTS

END = datetime(2026, 11, 23, 12, tzinfo=UTC)
BINS = 10


@dataclass(frozen=True)
class Row:
    """One incident: as it was built, and what was answered."""

    seed: int
    lacking: tuple[str, ...]
    right: frozenset[str]
    built: tuple[str, str]
    answered: tuple[str, str]
    confidence: float
    seconds: float

    @property
    def decided(self) -> bool:
        """Whether the evidence decides it."""
        return self.right == {self.built[0]}

    @property
    def dangerous(self) -> bool:
        """A MITM that was called harmless."""
        return self.built[0] == "mitm" and self.answered[0] in ("rotation", "misconfiguration")


def judge(seed: int, without: str = "", forged: float = 0.0) -> Row:
    drawn = draw(seed, END, without=without)
    with tempfile.TemporaryDirectory() as name:
        incident = write(
            drawn.scenario, Path(name), END, seed=seed, lacking=drawn.lacking, step=timedelta(minutes=5), forged=forged
        )
        evidence = gather(incident, now=END)
    began = time.perf_counter()
    verdict = classify(evidence)
    seconds = time.perf_counter() - began
    built = (drawn.scenario.verdict, drawn.scenario.cause)
    answered = (verdict.verdict, verdict.cause)
    return Row(seed, tuple(sorted(drawn.lacking)), drawn.verdicts, built, answered, verdict.confidence, seconds)


def calibration(rows: Sequence[Row]) -> tuple[float, list[tuple[float, float, int]]]:
    """The expected calibration error of the verdicts given, and by bin: mean confidence, part that holds, count."""
    given = [row for row in rows if row.answered[0] != "inconclusive"]
    bins = []
    for n in range(BINS):
        mine = [row for row in given if n <= min(row.confidence * BINS, BINS - 1) < n + 1]
        if mine:
            holds = sum(row.answered[0] == row.built[0] for row in mine) / len(mine)
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
    print(f"abstentions                              {share(abstained, rows)}")
    print(f"  of these where the evidence decides    {share([r for r in abstained if r.decided], abstained)}")
    error, bins = calibration(rows)
    print(f"expected calibration error               {error:.4f}")
    for said, held, count in bins:
        print(f"  said {said:.3f}, held {held:.3f}, {count} verdicts")
    print(f"classify, seconds per incident           {sum(row.seconds for row in rows) / len(rows):.3f}")
    wrong = [row for row in rows if row.answered[0] not in row.right or (row.decided and row.answered != row.built)]
    print("built as -> answered, seeds:")
    for pair, count in Counter((row.built, row.answered) for row in wrong).most_common(40):
        seeds = [row.seed for row in wrong if (row.built, row.answered) == pair][:5]
        print(f"  {count:4} {' / '.join(pair[0])} -> {' / '.join(pair[1])}  {seeds}")


def picture(rows: Sequence[Row], path: Path) -> None:
    """The confusion matrix: what was built by what was answered."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = Counter((row.built[0], row.answered[0]) for row in rows)
    built = [name for name in VERDICTS if name != "inconclusive"]
    figure = Figure(figsize=(8.4, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    sums = {name: sum(counts[name, other] for other in VERDICTS) or 1 for name in built}
    axes.imshow([[counts[a, b] / sums[a] for b in VERDICTS] for a in built], cmap="Greys", vmin=0, vmax=1.6)
    for y, a in enumerate(built):
        for x, b in enumerate(VERDICTS):
            danger = a == "mitm" and b in ("rotation", "misconfiguration")
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
    options = parser.parse_args(arguments)
    dangerous = 0
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for without in SOURCES if options.without == "each" else (options.without,):
            print(f"== without {without}" if without else "== with all that was drawn", flush=True)
            seeds = range(options.first, options.first + options.count)
            rows = list(pool.map(partial(judge, without=without, forged=options.forged), seeds, chunksize=8))
            report(rows)
            dangerous += sum(row.dangerous for row in rows)
            picture(rows, options.picture)
            print(f"picture: {options.picture}", flush=True)
    return 1 if dangerous else 0


if __name__ == "__main__":
    sys.exit(main())
