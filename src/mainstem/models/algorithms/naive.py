"""The naive baseline that every model is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms.base import Settings
from mainstem.models.algorithms.settings import ALL, Declared, maker
from mainstem.models.data.quantiles import empirical
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.nodes.models import WIDE, Task

FEWEST = 0.5
"""The rows that a class counts at least, when its rate becomes a logarithm."""


@dataclass(frozen=True, eq=False)
class Constant:
    """The same score for every row."""

    task: Task
    values: NDArray[np.float64]
    strings_only: bool
    settings: Settings = field(default_factory=dict)

    def scores(self, rows: Rows) -> Scores:
        repeated = np.repeat(self.values[None], len(rows), axis=0)
        return repeated if self.task in WIDE else repeated[:, 0]

    def onnx(self, builder: Builder) -> str:
        given = builder.strings if self.strings_only else builder.floats
        rows = builder.add("Shape", given, start=0, end=1)
        if self.task in WIDE:
            rows = builder.add("Concat", rows, builder.constant(np.array([len(self.values)], np.int64)), axis=0)
        return builder.add("Expand", builder.constant(self.values), rows)

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return np.zeros(inputs)


@dataclass(frozen=True)
class Naive(Declared):
    """A constant prediction from the past: the rate, the rates of the classes, the mean, or the quantiles."""

    name = "naive"
    tasks = ALL
    monotone = ALL

    def fit(self, examples: Examples, settings: Settings | None = None) -> Constant:
        return Constant(examples.task, rates(examples), not examples.rows.floats.shape[1])

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}


def rates(examples: Examples) -> NDArray[np.float64]:
    """Return the rate, the rates of the classes, the mean or the quantiles."""
    if examples.task == "quantile":
        return empirical(np.asarray(examples.y, float), examples.quantiles, examples.weights)
    return np.asarray(np.average(examples.targets, axis=0, weights=examples.weights))


def prior(examples: Examples) -> NDArray[np.float64]:
    """Return the raw scores of the naive prediction, from which a boosted ensemble starts."""
    found = rates(examples)
    if examples.task in ("regression", "ranking"):
        return found
    least = FEWEST / len(examples)
    if examples.task == "binary":
        rate = np.clip(found, least, 1 - least)
        return np.asarray(np.log(rate / (1 - rate)))
    return np.asarray(np.log(np.maximum(found, least)))  # of classes, and of a count


naive = maker(Naive)
