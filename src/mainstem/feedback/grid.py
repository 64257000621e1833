"""Grids: the distinct values that a measured column repeats, such as whole minutes, or knots in mph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOLERANCES = (0.001, 0.1)
"""The tolerance of a grid in shares of its mesh: for exact values, and for values rounded after a conversion."""
RECURRING = 0.95


@dataclass(frozen=True)
class Grid:
    """Distinct values in order, and the tolerance of a value on the grid, in shares of the local mesh."""

    values: Floats
    tolerance: float = TOLERANCES[-1]

    @classmethod
    def of(cls, past: Floats, parts: Sequence[Floats] = ()) -> Grid | None:
        """Return the grid of `past`; None unless nearly all values of a held-out part occur in the other part."""
        several = parts if len(parts) > 1 else (past[::2], past[1::2])
        unseen = cls(np.unique(np.concatenate(several[:-1])), TOLERANCES[0]).share(several[-1])
        return cls(np.unique(np.concatenate([past, *parts]))) if unseen >= RECURRING else None

    def near(self, values: Floats) -> NDArray[np.bool_]:
        """Return which values are on the grid."""
        if len(self.values) < 2:
            return np.isin(values, self.values)
        above = np.clip(np.searchsorted(self.values, values), 1, len(self.values) - 1)
        low, high = self.values[above - 1], self.values[above]
        return np.minimum(np.abs(values - low), np.abs(values - high)) <= self.tolerance * (high - low)

    def share(self, values: Floats) -> float:
        """Return the share of values on the grid. 0 is ignored, since it is on the grid of every unit."""
        telling = values[values != 0]
        return float(self.near(telling).mean()) if len(telling) else 1.0
