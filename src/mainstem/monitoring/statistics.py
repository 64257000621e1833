"""Two-sample statistics: the distance of two samples, and its significance.

Numbers are float64 with NaN for null; texts are object arrays with None for null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import MissingExtra

Array = NDArray[Any]
Floats = NDArray[np.float64]
Share = NDArray[np.float64]

BINS = 10
SMOOTHING = 0.5


def kolmogorov_smirnov(first: Floats, second: Floats) -> float:
    """Return the largest distance between two empirical distribution functions; NaN if a sample is empty."""
    if not len(first) or not len(second):
        return float("nan")
    a, b = np.sort(first), np.sort(second)
    at = np.concatenate([a, b])
    gap = np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)
    return float(np.abs(gap).max())


def kolmogorov_p(statistic: float, rows: int, others: int) -> float:
    """Return the asymptotic p-value of a two-sample KS statistic; ties make it conservative."""
    if not rows or not others or statistic != statistic:
        return 1.0
    root = np.sqrt(rows * others / (rows + others))
    scaled = (root + 0.12 + 0.11 / root) * statistic  # Stephens (1970)
    if scaled < 0.3:
        return 1.0
    k = np.arange(1, 101)
    series = 2 * np.sum((-1.0) ** (k - 1) * np.exp(-2 * k**2 * scaled**2))
    return float(np.clip(series, 0.0, 1.0))


def chi_square_p(reference: Share, current: Share) -> tuple[float, float]:
    """Return Pearson's statistic of two rows of counts, and its p-value."""
    special = _scipy_special()
    table = np.stack([reference, current])
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2 or (table.sum(1) == 0).any():
        return 0.0, 1.0
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic, float(special.chdtrc(table.shape[1] - 1, statistic))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values. Rejecting those at most α keeps the expected false discovery rate at most α."""
    p = np.asarray(p_values, float)
    if not len(p):
        return []
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    out = np.empty_like(p)
    out[order] = adjusted
    return [float(value) for value in out]


@dataclass(frozen=True)
class Bins:
    """The bins of a reference sample: deciles for numbers, levels for texts, and null.

    A number that several deciles share, such as that of hours without rain, has a bin of its own, and so has a common
    minimum: a column that was constant may fall as well as rise. Levels that the reference lacks share one bin.
    """

    edges: Array
    text: bool

    @classmethod
    def of(cls, reference: Array, text: bool) -> Bins:
        if text:
            return cls(np.unique([v for v in reference if v is not None]).astype(object), True)
        known = reference[~np.isnan(reference)]
        inner = np.linspace(0, 1, BINS + 1)[1:-1]
        if not len(known):
            return cls(np.empty(0), False)
        deciles, shared = np.unique(np.quantile(known, inner), return_counts=True)
        alone = (shared > 1) | (deciles == known.min())
        return cls(np.unique(np.concatenate([deciles, np.nextafter(deciles[alone], -np.inf)])), False)

    @property
    def size(self) -> int:
        """The number of cells, with those for null and for unknown levels."""
        return len(self.edges) + 2

    def cells(self, sample: Array) -> NDArray[np.int64]:
        """Return the cell of each row. The last cell is null."""
        if self.text:
            number = {level: i for i, level in enumerate(self.edges)}
            null, other = self.size - 1, self.size - 2
            return np.array([null if v is None else number.get(v, other) for v in sample], np.int64)
        found = np.searchsorted(self.edges, sample, "left")
        return np.where(np.isnan(sample), self.size - 1, found).astype(np.int64)

    def counts(self, cells: NDArray[np.int64]) -> Share:
        """Return the number of rows per cell."""
        return np.bincount(cells, minlength=self.size).astype(float)


def population_stability(reference: Share, current: Share) -> float:
    """Return the population stability index of two rows of counts, smoothed by half a row per cell."""
    used = (reference + current) > 0
    p, q = reference[used] + SMOOTHING, current[used] + SMOOTHING
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def welch(first: Floats, second: Floats) -> tuple[float, float, float, float]:
    """Return the difference of means, its standard error, Welch's degrees of freedom, and the one-sided p that it is >
    0."""
    n, m = len(first), len(second)
    difference = float(first.mean() - second.mean()) if n and m else 0.0
    if n < 2 or m < 2:
        return difference, float("inf"), 1.0, 1.0
    a, b = first.var(ddof=1) / n, second.var(ddof=1) / m
    error = float(np.sqrt(a + b))
    if error == 0:
        return difference, 0.0, float(n + m - 2), 0.0 if difference > 0 else 1.0
    freedom = float((a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1)))
    p = float(_scipy_special().stdtr(freedom, -difference / error))
    return difference, error, freedom, p


def student_quantile(freedom: float, probability: float = 0.975) -> float:
    """Return the quantile of Student's t."""
    return float(_scipy_special().stdtrit(freedom, probability))


def _scipy_special() -> Any:
    try:
        from scipy import special
    except ImportError:
        raise MissingExtra.named("learn", "scipy") from None
    return special
