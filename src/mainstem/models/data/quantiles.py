"""Quantiles by name: `q10` is the level 0.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def label_of(level: float) -> str:
    """Return the name of a quantile: `q90` of 0.9, `q97_5` of 0.975."""
    return f"q{round(level * 100, 6):g}".replace(".", "_")


def level_of(label: str) -> float:
    """Return the level of a name."""
    return round(float(label.removeprefix("q").replace("_", ".")) / 100, 8)


def middle(labels: Sequence[str]) -> int:
    """Return the place of the quantile that is nearest to the median: the score where there is room for one."""
    return int(np.argmin([abs(level_of(label) - 0.5) for label in labels]))


def packed(y: NDArray[Any], levels: Sequence[float]) -> NDArray[np.float64]:
    """Return what the metrics of quantiles compare scores with: each target with the levels beside it."""
    found = np.asarray(y, float)
    return np.column_stack([found, np.broadcast_to(np.asarray(levels, float), (len(found), len(levels)))])


def empirical(
    y: NDArray[np.float64], levels: Sequence[float], weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the quantiles of values: the smallest ones that a share `level` of the weight is at or below."""
    order = np.argsort(y, kind="stable")
    reached = np.cumsum(np.ones(len(y)) if weights is None else weights[order])
    at = np.searchsorted(reached, np.asarray(levels) * reached[-1] * (1 - 1e-12))
    return np.asarray(y[order][np.minimum(at, len(y) - 1)], float)
