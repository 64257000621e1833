"""What the examples of a forecast have beside their inputs: how far ahead each is, and past values of its series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstem.graph.known import Moment
from mainstem.graph.units import DAY
from mainstem.nodes.forecasts import HORIZON
from mainstem.nodes.hidden import LAST, SEASON

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Ahead:
    """`horizons` [n] in µs. `last` [n] is the value of the series in the example's own row, `season` [n] that whole
    weeks before the time that is forecast; NaN where there is none."""

    horizons: NDArray[np.int64]
    last: NDArray[np.float64]
    season: NDArray[np.float64]

    @classmethod
    def of(cls, table: pa.Table) -> Ahead:
        """Return that of the rows of a dataset."""
        horizons = np.rint(np.asarray(table[HORIZON].to_numpy(), float) * DAY).astype(np.int64)
        return cls(horizons, _values(table[LAST]), _values(table[SEASON]))

    def take(self, rows: NDArray[np.intp]) -> Ahead:
        return Ahead(self.horizons[rows], self.last[rows], self.season[rows])


def grid_of(times: NDArray[np.int64]) -> tuple[int, int]:
    """Return the longest step (µs) that all times are a multiple of apart, and one of them: `(step, time)`."""
    first = int(times.min())
    return max(int(np.gcd.reduce(times - first)), 1), first


def step_of(times: NDArray[np.int64]) -> str:
    """Return the step of the grid in words: `1 d`."""
    return str(Moment("", grid_of(times)[0])).removeprefix(" + ")


def _values(column: Any) -> NDArray[np.float64]:
    return np.asarray(column.cast("float64").to_numpy(zero_copy_only=False), np.float64)
