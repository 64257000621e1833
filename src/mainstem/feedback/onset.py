"""The onset: the range of a column's rows to which a conversion applies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.feedback.units import Match

Floats = NDArray[np.float64]

CERTAIN = 3.0
"""The maximum log likelihood ratio of one row, so that a few unusual rows do not move the date."""
ENDED = 10 * CERTAIN


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
    total = np.concatenate([[0.0], np.cumsum(_evidence(reference, values, match))])
    lowest = np.minimum.accumulate(total)
    last = int(np.argmax(total - lowest))
    # The latest start among equals: rows without evidence count as not converted.
    first = int(np.flatnonzero(total[: last + 1] == lowest[last])[-1])
    return Onset(first, last - 1 if total[last] - total[-1] > ENDED else None)


def _evidence(reference: Floats, values: Floats, match: Match) -> Floats:
    conversion = match.conversion
    undone, clean = conversion.undo(values), reference[np.isfinite(reference)]
    with np.errstate(invalid="ignore"):
        density = _Density.of(clean)
        ratio = density.log(undone) - np.log(abs(conversion.factor)) - density.log(values)
        if match.grid is not None:
            fits, fitted = match.grid.near(undone).astype(float), match.grid.near(values).astype(float)
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
