"""When a ratio of counts rose, and in which shape: a Poisson likelihood with exposure, corrected for overdispersion.

Failures in a bin are taken as Poisson around `ratio · validations`. So low traffic, diurnal traffic and gaps need no
special care: a bin without validations says nothing. Log-likelihood ratios are divided by the dispersion between
neighbours, so that noise beyond Poisson does not pass for a change. Bins here are indices, `irkit.onset` gives times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["THRESHOLD", "Change", "Episode", "Shape", "change", "dispersion", "episode", "when"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Shape = Literal["step", "ramp", "blip", "recurring", "drift"]

THRESHOLD = 16.0  # least corrected log-likelihood ratio; benchmarks/onset.py measures the false alarms it leaves
RISE = 2.0  # a ratio below twice its baseline is no incident: diurnal mixes of clients do that
LEAST = 4.0  # failures beyond the baseline
COARSE = 288  # bins of the first scan: 5 minutes over a day
RAMP = 15  # bins; a faster rise is a step
BLOCK, PROMISING = 8, 12  # edges that are bounded together, and blocks that are looked at first
CHANCE = 8.0  # what the best of a day's short stretches is worth by chance


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of bins, `first` to `last` (exclusive), whose ratio is above the others'; `score` says how surely."""

    first: int
    last: int
    score: float


@dataclass(frozen=True, slots=True)
class Change:
    """What rose, in bins.

    Attributes:
        at: The first bin that is above the baseline.
        earliest: Where it may have begun at the earliest (95 %).
        latest: And at the latest.
        end: The first bin back at the baseline; None if it lasts until the window's end.
        shape: How it rose.
        baseline: The ratio outside.
        score: The log-likelihood ratio against no change, corrected for overdispersion.
    """

    at: int
    earliest: int
    latest: int
    end: int | None
    shape: Shape
    baseline: float
    score: float


def dispersion(failures: Floats, validations: Floats, *, bursts: bool = False) -> float:
    """How much more than Poisson neighbouring bins differ; at least 1.

    Neighbours are compared, so that a step spoils one pair only: single bins by a trimmed mean of chi-squares (the
    lower 90 % of a chi-square with one degree of freedom hold 0.561 of its mean), longer bins, for noise that lasts, by
    the median (0.455), or where bursts may recur, so that half of the neighbours differ, by the third decile (0.148).
    """
    read = validations > 0
    k, n = failures[read], validations[read]
    found = [1.0]
    for width in (1, 5, 15):
        kept = len(k) // width * width
        a, m = k[:kept].reshape(-1, width).sum(axis=1), n[:kept].reshape(-1, width).sum(axis=1)
        both, share = a[:-1] + a[1:], m[:-1] / np.maximum(m[:-1] + m[1:], 1e-9)
        if len(both) < 10 or (width > 1 and both.mean() < 5):
            continue
        chi = (a[:-1] - both * share) ** 2 / np.maximum(both * share * (1 - share), 1e-9)
        if width == 1:
            chi = np.sort(chi[both > 0])
            found.append(float(chi[: int(len(chi) * 0.9)].sum() / (max(len(chi), 1) * 0.561)))
        else:
            found.append(float(np.quantile(chi, 0.3) / 0.1485 if bursts else np.median(chi) / 0.455))
    return max(found)


def _cumulative(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)])


def _gain(k_in: Floats, n_in: Floats, k: float, n: float) -> Floats:
    """Log-likelihood ratio of two ratios, inside and outside, against one; -inf where inside is no clear rise."""
    k_out, n_out, mean = k - k_in, n - n_in, k / n
    p_in, p_out = k_in / np.maximum(n_in, 1e-9), k_out / np.maximum(n_out, 1e-9)
    gain = k_in * np.log(np.maximum(p_in, 1e-12) / mean) + k_out * np.log(np.maximum(p_out, 1e-12) / mean)
    careful = (k_out + 0.5) / (n_out + 1.0)
    clear = (p_in > RISE * careful) & (k_in - careful * n_in >= LEAST) & (n_out > 0) & (n_in > 0)
    found: Floats = np.where(clear, gain, -np.inf)
    return found


def _gains(cum_k: Floats, cum_n: Floats, first: Places, last: Places) -> Floats:
    """The gain of each stretch from a first to a last edge; -inf where it is none, or no clear rise."""
    gain = _gain(cum_k[last] - cum_k[first], cum_n[last] - cum_n[first], cum_k[-1], cum_n[-1])
    # What began before the window and is over has no onset here, unless most of the window is its baseline.
    found: Floats = np.where((last > first) & ~((first == 0) & (last > len(cum_k) // 2)), gain, -np.inf)
    return found


def _best(cum_k: Floats, cum_n: Floats, firsts: Places, lasts: Places) -> tuple[int, int, float]:
    """The stretch with the largest gain among some first and last edges; of equals, the first.

    By branch and bound: in a block of edges no stretch can gain more than its longest's failures would in its
    shortest's validations, and none is clear if these are not. That leaves a twentieth of the stretches to look at.
    """
    size = len(cum_k) - 1
    heads, tails = (
        np.append(edges, np.repeat(edges[-1], -len(edges) % BLOCK)).reshape(-1, BLOCK) for edges in (firsts, lasts)
    )
    bins = np.diff(cum_n)
    least = bins[bins > 0].min(initial=np.inf)  # a stretch holds a bin with validations, or says nothing
    k = np.maximum(cum_k[tails[:, -1]] - cum_k[heads[:, :1]], 0.0)
    n = np.maximum(cum_n[tails[:, 0]] - cum_n[heads[:, -1:]], least)
    bound = np.where(tails[:, -1] > heads[:, :1], _gain(k, np.minimum(n, cum_n[-1]), cum_k[-1], cum_n[-1]), -np.inf)

    def look(blocks: NDArray[np.bool_]) -> tuple[int, int, float]:
        a, b = np.nonzero(blocks)
        first, last = np.broadcast_arrays(heads[a][:, :, None], tails[b][:, None, :])
        gain = _gains(cum_k, cum_n, first, last)
        best = gain.max(initial=-np.inf)
        if not np.isfinite(best):
            return 0, size, -np.inf
        i, j = divmod(int((first * (size + 1) + last)[gain == best].min()), size + 1)
        return i, j, float(best)

    _, _, floor = look(bound >= np.sort(bound, axis=None)[-min(PROMISING, bound.size)])
    return look(bound >= floor - 1e-9 * abs(floor)) if np.isfinite(floor) else look(np.isfinite(bound))


def episode(
    failures: Floats, validations: Floats, spread: float = 0.0, *, least: float = 0.0, floor: float = 1.0
) -> Episode | None:
    """The stretch that rises most surely above the rest; None if there is none, or its score is below the least.

    NaN is read as nothing known. The spread is found out where it is not given; it is the floor at least.
    """
    k, n = _known(failures, validations)
    if len(k) < 2 or k.sum() < LEAST:
        return None
    cum_k, cum_n = _cumulative(k), _cumulative(n)
    size, width = len(k), max(1, -(-len(k) // COARSE))
    edges = np.append(np.arange(0, size, width), size)
    first, last, gain = _best(cum_k, cum_n, edges, edges)
    if not np.isfinite(gain):
        return None
    firsts = np.arange(max(first - 2 * width, 0), min(first + 2 * width, size - 1) + 1)
    lasts = np.arange(max(last - 2 * width, 1), min(last + 2 * width, size) + 1) if last < size else edges[-1:]
    first, last, gain = _best(cum_k, cum_n, firsts, lasts)
    if gain < least:  # a dispersion is one at least
        return None
    found = Episode(first, last, gain / (spread or max(floor, dispersion(k, n))))
    return found if found.score >= least else None


def _known(failures: Floats, validations: Floats) -> tuple[Floats, Floats]:
    known = np.isfinite(failures) & np.isfinite(validations) & (validations > 0)
    return np.where(known, failures, 0.0), np.where(known, validations, 0.0)


def change(failures: Floats, validations: Floats, threshold: float = THRESHOLD) -> Change | None:
    """The rise of one series, or None if it stays at its baseline.

    Args:
        failures: Counts in evenly spaced bins; NaN where nothing was read.
        validations: All validations in these bins, the exposure.
        threshold: The least score.
    """
    k, n = _known(failures, validations)
    spread = dispersion(k, n, bursts=True)
    found = episode(k, n, spread)
    if found is None or found.score < threshold / 2:
        return None
    recurring = _recurring(k, n, found, spread)
    if recurring is not None and recurring.score >= threshold:
        return recurring
    return _shaped(k, n, found, spread) if found.score >= threshold else None


def _recurring(k: Floats, n: Floats, found: Episode, spread: float) -> Change | None:
    """Three stretches or more above the baseline; what each is worth beyond chance adds up."""
    runs = _stretches(k, n, found, spread)
    if len(runs) < 3:
        return None
    inside = np.zeros(len(k), dtype=bool)
    for first, last in runs:
        inside[first:last] = True
    base = float((k[~inside].sum() + 0.5) / (n[~inside].sum() + 1))
    high = k[inside].sum() / max(n[inside].sum(), 1e-9)
    if high <= RISE * base:
        return None
    gains = [k[a:b].sum() * np.log(high / base) - n[a:b].sum() * (high - base) for a, b in runs]
    score = float(sum(gain / spread - CHANCE for gain in gains))
    first, last = runs[0]
    at, earliest, latest = when((k[:last], n[:last]), first, last, base, spread)
    return Change(at, earliest, latest, runs[-1][1], "recurring", base, score)


def _stretches(k: Floats, n: Floats, found: Episode, spread: float) -> list[tuple[int, int]]:
    """The stretches above the baseline, if apart: the most likely path through two ratios (Viterbi)."""
    inside = np.zeros(len(k), dtype=bool)
    inside[found.first : found.last] = True
    runs: list[tuple[int, int]] = []
    for _ in range(3):
        low = (k[~inside].sum() + 0.5) / (n[~inside].sum() + 1)
        high = max(k[inside].sum() / max(n[inside].sum(), 1e-9), RISE * low)
        inside = _path((k * np.log(high / low) - n * (high - low)) / spread, CHANCE / 2 + 1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
        runs = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        if not runs:
            return []
    return runs if 2 * int(inside.sum()) <= runs[-1][1] - runs[0][0] else []  # a step with dips is one step


def _path(favour: Floats, penalty: float) -> NDArray[np.bool_]:
    """The best two-state path: `favour` is each bin's gain in the upper state, `penalty` the price of a switch."""
    came = np.zeros((len(favour), 2), dtype=bool)  # whether the best way here was from the upper state
    low, high = 0.0, -penalty
    for i, gain in enumerate(favour.tolist()):
        came[i, 0], came[i, 1] = high - penalty > low, high >= low - penalty
        low, high = max(low, high - penalty), max(high, low - penalty) + gain
    path = np.zeros(len(favour), dtype=bool)
    upper = high > low
    for i in range(len(favour) - 1, -1, -1):
        path[i] = upper
        upper = bool(came[i, int(upper)])
    return path


def _shaped(k: Floats, n: Floats, found: Episode, spread: float) -> Change:
    first, last, size = found.first, found.last, len(k)
    outside = np.ones(size, dtype=bool)
    outside[first:last] = False
    base = float((k[outside].sum() + 0.5) / (n[outside].sum() + 1))
    cum_k, cum_n = _cumulative(k), _cumulative(n)
    if last < size:  # is it over, or is it only the last few bins that are low by chance?
        still = _gain(cum_k[[size]] - cum_k[[first]], cum_n[[size]] - cum_n[[first]], cum_k[-1], cum_n[-1])[0]
        if (found.score * spread - still) / spread < 3:
            last = size
    at, earliest, latest = when((k[:last], n[:last]), first, last, base, spread)
    ramp = _ramp(k[:last], n[:last], base, first)
    if ramp is not None and ramp[1] - ramp[0] >= RAMP and ramp[2] / spread > 6:
        begin, full, _ = ramp
        outside[begin:first] = False  # the rise's foot is no baseline
        low = float((k[outside].sum() + 0.5) / (n[outside].sum() + 1))
        early, late = _when_ramp((k[:last], n[:last]), low, begin, full, spread)
        # A slow rise is seen to begin late: its foot is hardly above the baseline.
        shape: Shape = "drift" if begin <= size * 0.2 and full - begin >= size * 0.5 else "ramp"
        return Change(begin, early, late, last if last < size else None, shape, low, found.score)
    short = last < size and last - at <= max(120, size // 8)
    return Change(at, earliest, latest, last if last < size else None, "blip" if short else "step", base, found.score)


def when(counts: tuple[Floats, Floats], first: int, last: int, base: float, spread: float) -> tuple[int, int, int]:
    """The first bin of a step, with its 95 % interval: the likelihood of each bin, with both ratios known."""
    k, n = counts
    high = max(k[first:last].sum() / max(n[first:last].sum(), 1e-9), RISE * base)
    favour = (k * np.log(high / base) - n * (high - base)) / spread
    return _interval(_cumulative(favour[:last][::-1])[::-1][:-1])


def _interval(score: Floats) -> tuple[int, int, int]:
    weight = np.exp(score - score.max())
    below = np.cumsum(weight) / weight.sum()
    return (
        len(score) - 1 - int(np.argmax(score[::-1])),  # of bins that are alike, as in a gap, the last
        int(np.searchsorted(below, 0.025)),
        min(int(np.searchsorted(below, 0.975)), len(score) - 1),
    )


def _likelihood(k: Floats, n: Floats, base: float, begin: Floats, full: Floats) -> Floats:
    """Log-likelihoods of trapezoids: up from `begin` until `full`, both ratios fitted by Newton steps."""
    left, right = max(int(begin.min()), 0), int(np.ceil(full.max()))  # before and after, the bins are as one
    # Half a failure more at the baseline, as everywhere: with none at all its ratio and the height can't be told apart.
    k, n = (
        np.concatenate([[x[:left].sum() + more], x[left:right], [x[right:].sum()]]) for x, more in ((k, 0.5), (n, 1.0))
    )
    bins, rise = left + np.arange(len(k)) - 0.5, (full - begin)[:, None]
    part = np.clip((bins - begin[:, None]) / np.maximum(rise, 1e-9), 0, 1)
    seen, above = n.sum(), part @ n
    height = np.maximum((part @ k - base * above) / np.maximum(part**2 @ n, 1e-9), base)
    low = np.full_like(height, base)
    for _ in range(5):
        ratio = low[:, None] + height[:, None] * part
        each = k / ratio
        slopes = each.sum(axis=1) - seen, (each * part).sum(axis=1) - above
        each /= ratio
        aa, each = each.sum(axis=1), each * part
        ab, bb = each.sum(axis=1), (each * part).sum(axis=1)
        det = np.maximum(aa * bb - ab * ab, 1e-9 * aa * bb + 1e-300)
        low = np.clip(low + (bb * slopes[0] - ab * slopes[1]) / det, low / 4, low * 4)
        height = np.clip(height + (aa * slopes[1] - ab * slopes[0]) / det, height / 4, height * 4)
    found: Floats = np.log(low[:, None] + height[:, None] * part) @ k - low * seen - height * above
    return found


def _ramp(k: Floats, n: Floats, base: float, first: int) -> tuple[int, int, float] | None:
    """The best rise: its first bin, the bin it is complete in, and how much likelier it is than the best step."""
    size = len(k)
    width = max(1, size // COARSE)
    kept = size // width * width
    coarse_k, coarse_n = k[:kept].reshape(-1, width).sum(axis=1), n[:kept].reshape(-1, width).sum(axis=1)
    length = size - first
    begins = np.unique(np.linspace(max(0, first - 1.5 * length), first + 0.5 * length, 50) // width)
    rises = np.unique(np.geomspace(max(1, RAMP // 2), size, 14) // width)
    begins, rises = begins[begins < len(coarse_k) - 1], rises[rises > 0]
    if not begins.size or len(coarse_k) < 8:
        return None
    begin, rise = (grid.ravel() for grid in np.meshgrid(begins, rises, indexing="ij"))
    # A rise that goes on at the window's end is as if complete there: its height beyond is unknown.
    end = np.minimum(begin + rise, len(coarse_k))
    best = int(np.argmax(_likelihood(coarse_k, coarse_n, base, begin, end)))
    at, full = float(begin[best] * width), float(end[best] * width)
    reach = np.array([max(2.0, width * (begins[-1] - begins[0]) / len(begins)), max(2.0, 0.3 * (full - at))])
    for _ in range(16):  # finer and finer around the best
        ats = np.unique(np.clip(np.round(at + reach[0] * np.arange(-2, 3)), 0, size - 2))
        fulls = np.unique(np.minimum(np.round(full + reach[1] * np.arange(-2, 3)), size))
        begin, end = (grid.ravel() for grid in np.meshgrid(ats, fulls, indexing="ij"))
        likely = _likelihood(k, n, base, begin, np.maximum(end, begin + 1))
        best = int(np.argmax(likely))
        moved = (abs(begin[best] - at) > reach[0], abs(end[best] - full) > reach[1])
        at, full = float(begin[best]), max(float(end[best]), float(begin[best]) + 1)
        if (reach <= 1).all() and not any(moved):
            break
        reach = np.maximum(1.0, np.where(moved, reach, reach / 2))
    steps = np.clip(first + np.arange(-RAMP, RAMP + 1.0), 0, size - 2)
    step = _likelihood(k, n, base, steps, steps).max()
    return int(at), int(full), float(likely.max() - step)


def _when_ramp(counts: tuple[Floats, Floats], base: float, begin: int, full: int, spread: float) -> tuple[int, int]:
    """The 95 % interval of a rise's first bin, whenever it was complete."""
    k, n = counts
    for reach in (8, 32, 128, 512):  # as wide as it takes, and no coarser than it has to be
        begins = np.unique(np.clip(np.round(begin + reach * np.linspace(-1, 1, 33)), 0, len(k) - 2))
        fulls = np.unique(np.minimum(np.round(full + reach * np.linspace(-1, 1, 9)), len(k)))
        grid = [axis.ravel() for axis in np.meshgrid(begins, fulls, indexing="ij")]
        likely = _likelihood(k, n, base, grid[0], np.maximum(grid[1], grid[0] + 1)) / spread
        _, low, high = _interval(likely.reshape(len(begins), -1).max(axis=1))
        if low > 1 and high < len(begins) - 2:
            break
    return int(begins[max(low - 1, 0)]), int(begins[min(high + 1, len(begins) - 1)])
