"""The rank correlations of numbers with the target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.float64]


def ranked(columns: NDArray[np.float64]) -> Ranks:
    """Return the ranks of each column [n, C], ties at their mean, missing ones in the middle; mean 0 and length 1."""
    found = np.empty_like(columns)
    for j, column in enumerate(columns.T):
        gone = np.isnan(column)
        _, of_row, counts = np.unique(column[~gone], return_inverse=True, return_counts=True)
        found[~gone, j] = (np.cumsum(counts) - (counts + 1) / 2)[of_row] if len(counts) else 0.0
        found[gone, j] = found[~gone, j].mean() if (~gone).any() else 0.0
    return unit(found)


def unit(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns of mean 0 and length 1; a constant one is 0."""
    away = columns - columns.mean(0)
    lengths = np.sqrt((away**2).sum(0))
    return np.asarray(away / np.where(lengths <= 1e-12 * len(columns), np.inf, lengths))


def partial(column: Ranks, targets: Ranks, beside: Sequence[Ranks]) -> float:
    """Return the largest correlation [0, 1] of ranks with the targets, beside what other ranks explain."""
    if beside:
        others = np.hstack(beside)
        basis, _ = np.linalg.qr(others)
        column, targets = unit(column - basis @ (basis.T @ column)), unit(targets - basis @ (basis.T @ targets))
    return float(np.abs(column.T @ targets).max())


def strengths(floats: NDArray[np.float32], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest rank correlation of each number [F] with the targets [n, T]."""
    if not floats.shape[1]:
        return np.empty(0)
    return np.asarray(np.abs(ranked(floats.astype(np.float64)).T @ ranked(targets.astype(np.float64))).max(1))
