"""Whether rows go on beyond what was learned from: there trees stay at the last value, and linear models go on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models import splits
from mainstem.models.data.rows import Examples
from mainstem.models.engineering.base import aside

LATE = 0.2
"""The share of the rows that are compared with those before them."""

OUTSIDE = 0.2
"""The share of late rows outside of the earlier range from which a number grows or falls over time."""


def growing(examples: Examples) -> bool:
    """Return whether a number of the late rows is often outside of its range in the earlier ones, as prices and years
    are. Rows without time do not grow."""
    if not splits.is_timed(examples.times):
        return False
    late = examples.times >= splits.cut_of(examples.times, LATE)
    columns = np.delete(examples.rows.floats, aside(examples), axis=1)
    return any(_outside(column[~late], column[late]) >= OUTSIDE for column in columns.T)


def _outside(early: NDArray[Any], late: NDArray[Any]) -> float:
    """Return the share of late numbers below or above all early ones; 0 if these are few or constant."""
    known = early[np.isfinite(early)]
    if not len(known) or known.min() == known.max():
        return 0.0
    return float(((late < known.min()) | (late > known.max())).mean())
