"""Inputs by name, for pipelines that do their own preprocessing: numbers kept within what training could tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mainstem.models.data.rows import Matrix
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing.numbers import KEEP, Numbers
from mainstem.nodes.prepare import Number

BEYOND = 10.0
"""How many times the range of training a number may be outside of it."""

LIMIT = 1e30
"""The largest number: its square overflows float32, but no sum of some of them does."""


@dataclass(frozen=True, eq=False)
class Bounded:
    """Floats as they are. Beyond ten times the range of training they are clipped, so that nothing overflows. NaN stays
    in columns that had NaN in training, else it becomes the median."""

    filled: Numbers
    low: Matrix
    high: Matrix

    @classmethod
    def fit(cls, floats: Matrix) -> Bounded:
        low, high = np.empty(floats.shape[1], np.float32), np.empty(floats.shape[1], np.float32)
        for j, column in enumerate(floats.T):
            known = column[np.isfinite(column)].astype(np.float64)
            least, most = (known.min(), known.max()) if len(known) else (0.0, 0.0)
            reach = BEYOND * max(most - least, abs(most), abs(least), 1.0)
            with np.errstate(over="ignore"):
                low[j], high[j] = np.clip([least - reach, most + reach], -LIMIT, LIMIT)
        return cls(Numbers.fit(floats, Number(KEEP, "as-is", False)), low, high)

    def transform(self, floats: Matrix) -> Matrix:
        return np.clip(self.filled.transform(floats), self.low, self.high)

    def onnx(self, builder: Builder, floats: str) -> str:
        filled = self.filled.onnx(builder, floats)
        low, high = builder.constant(self.low), builder.constant(self.high)
        # Comparisons with NaN are false, so NaN stays. `Clip` does not promise that.
        above = builder.add("Where", builder.add("Less", filled, low), low, filled)
        return builder.add("Where", builder.add("Greater", above, high), high, above)
