"""An algorithm: the median of the past."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mainstem.models.algorithms.base import Settings
from mainstem.models.algorithms.naive import Constant
from mainstem.models.data.rows import Examples


class Median:
    """The same score for every row."""

    tasks = ("regression",)

    def fit(self, examples: Examples, settings: Settings | None = None) -> Constant:
        middle = np.median(examples.targets, axis=0)
        return Constant(examples.task, middle, not examples.rows.floats.shape[1])

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}
