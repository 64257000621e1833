"""The onset: the range of a column's rows to which a conversion applies, and whether it begins with a jump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.feedback.grid import Grid
from mainstem.feedback.units import CONVERSIONS, FEWEST, OFF_GRID, Conversion, Match
from mainstem.monitoring.statistics import kolmogorov_p, kolmogorov_smirnov

Floats = NDArray[np.float64]

CERTAIN = 3.0
"""The maximum log likelihood ratio of one row, so that a few unusual rows do not move the date."""
ENDED = 10 * CERTAIN
"""The least sum of evidence with which a range has begun or ended."""
LOOKED_AT = 50_000
"""The maximum number of rows, evenly spaced, that are searched for ranges."""
SURELY = 0.001


@dataclass(frozen=True)
class Onset:
    """The rows `first` to `last` are converted. `last` is None if the range extends to the end."""

    first: int
    last: int | None


def onset(reference: Floats, values: Floats, match: Match) -> Onset:
    """Return the range of `values` (in order of time) with the most evidence for the conversion of `match`.

    The evidence of a row is how much more likely its reversed value is than its value, under `reference` (clean rows).
    The range with the largest sum is found as in Page's CUSUM.
    """
    return _stretch(_evidence(reference, values, match.conversion, match.grid))[0]


def likeliest(
    reference: Floats, values: Floats, grid: Grid | None, conversions: Sequence[Conversion] = CONVERSIONS, most: int = 5
) -> list[Onset]:
    """Return the ranges of `values` with evidence for any conversion, the clearest first.

    A fault of a small part of the values hardly changes their distribution. It changes that of its own range.
    """
    step = -(-len(values) // LOOKED_AT) or 1
    thinned = values[::step]
    found = []
    for conversion in conversions:
        stretch, weight = _stretch(_evidence(reference, thinned, conversion, grid))
        if weight >= ENDED:
            found.append((weight, stretch))
    found.sort(key=lambda each: -each[0])
    return [Onset(o.first * step, None if o.last is None else o.last * step) for _, o in found[:most]]


def jumps(before: Floats, after: Floats, match: Match) -> bool:
    """Return whether values jump by the conversion of `match` between `before` and `after`. Growth is no jump."""
    before, after = before[np.isfinite(before)], after[np.isfinite(after)]
    if min(len(before), len(after)) < FEWEST:
        return False
    if match.grid is not None:
        return match.grid.share(before) > OFF_GRID >= match.grid.share(after)
    moved = kolmogorov_smirnov(before, after)
    undone = kolmogorov_smirnov(before, match.conversion.undo(after))
    return kolmogorov_p(moved, len(before), len(after)) <= SURELY and undone <= moved / 2


def _stretch(evidence: Floats) -> tuple[Onset, float]:
    """Return the range with the largest sum of evidence, and that sum."""
    total = np.concatenate([[0.0], np.cumsum(evidence)])
    lowest = np.minimum.accumulate(total)
    last = int(np.argmax(total - lowest))
    # The latest start among equals: rows without evidence count as not converted.
    first = int(np.flatnonzero(total[: last + 1] == lowest[last])[-1])
    ended = total[last] - total[-1] > ENDED
    return Onset(first, last - 1 if ended else None), float(total[last] - lowest[last])


def _evidence(reference: Floats, values: Floats, conversion: Conversion, grid: Grid | None) -> Floats:
    undone, clean = conversion.undo(values), reference[np.isfinite(reference)]
    with np.errstate(invalid="ignore"):
        density = _Density.of(clean)
        ratio = density.log(undone) - np.log(abs(conversion.factor)) - density.log(values)
        if grid is not None:
            fits, fitted = grid.near(undone).astype(float), grid.near(values).astype(float)
            ratio = np.where(fits == fitted, ratio, CERTAIN * (fits - fitted))
    silent = ~np.isfinite(values) | (conversion.undo(values) == values)
    return np.where(silent, 0.0, np.clip(ratio, -CERTAIN, CERTAIN))


@dataclass(frozen=True)
class _Density:
    """A histogram between quantiles, with thin tails beyond."""

    edges: Floats
    logs: Floats

    @classmethod
    def of(cls, sample: Floats) -> _Density:
        edges = np.unique(np.quantile(sample, np.linspace(0, 1, 65)))
        if len(edges) < 2:
            edges = np.array([edges[0] - 0.5, edges[0] + 0.5])
        counts, _ = np.histogram(sample, edges)
        rows = counts.sum() + len(counts)
        inside = np.log((counts + 0.5) / rows / np.diff(edges))
        outside = np.log(0.5 / rows / (edges[-1] - edges[0]))
        return cls(edges, np.concatenate([[outside], inside, [outside]]))

    def log(self, values: Floats) -> Floats:
        at = np.searchsorted(self.edges, values, "right")
        at = np.where(values == self.edges[-1], len(self.edges) - 1, at)
        return self.logs[at]
