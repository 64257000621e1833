"""Grids: the distinct values that a measured column takes again and again, such as whole minutes, or knots in mph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOLERANCES = (0.001, 0.1)
"""Shares of a mesh that count as on the grid: exact, and rounded after a conversion."""
RECURRING = 0.95


@dataclass(frozen=True)
class Grid:
    """Distinct values in order, and how close to one, in shares of the mesh there, a value must lie to be on it."""

    values: Floats
    tolerance: float = TOLERANCES[-1]

    @classmethod
    def of(cls, past: Floats, parts: Sequence[Floats] = ()) -> Grid | None:
        """The grid of `past`; None unless nearly all values of an unseen part are values that the others had too."""
        several = parts if len(parts) > 1 else (past[::2], past[1::2])
        unseen = cls(np.unique(np.concatenate(several[:-1])), TOLERANCES[0]).share(several[-1])
        return cls(np.unique(np.concatenate([past, *parts]))) if unseen >= RECURRING else None

    def near(self, values: Floats) -> NDArray[np.bool_]:
        """Which values lie on the grid."""
        if len(self.values) < 2:
            return np.isin(values, self.values)
        above = np.clip(np.searchsorted(self.values, values), 1, len(self.values) - 1)
        low, high = self.values[above - 1], self.values[above]
        return np.minimum(np.abs(values - low), np.abs(values - high)) <= self.tolerance * (high - low)

    def share(self, values: Floats) -> float:
        """The share of values on the grid; 0 is left out, since it is on the grid of every unit."""
        telling = values[values != 0]
        return float(self.near(telling).mean()) if len(telling) else 1.0
