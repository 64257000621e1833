"""k nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms.base import Settings, usable
from mainstem.models.algorithms.naive import rates
from mainstem.models.algorithms.settings import Declared, Range, maker, setting
from mainstem.models.data.rows import Examples, Matrix, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing import LINEAR, Fitted, fit
from mainstem.nodes.kinds import integer
from mainstem.nodes.models import Task

GRID = 1024
"""Standardised values are rounded to 1/1024. Squared distances are then whole numbers, exact in float64, so that the
artifact finds the same neighbours."""

MOST = 512.0
"""Where values are clipped that are not standardised: keys of whole numbers then fit in int64."""

CELLS = 5_000_000
"""Most values of remembered rows. With more columns, fewer rows are remembered."""


@dataclass(frozen=True, eq=False)
class NearestScore:
    """The mean target of the `k` nearest of the remembered rows [m, p]. Of equally near rows, the earlier counts.

    `targets` [m, T + 1] are weighted, with the weights last. Of classes, the naive prediction counts as one more
    neighbour, so that no probability is 0.
    """

    task: Task
    fitted: Fitted
    remembered: NDArray[np.int64]
    targets: NDArray[np.float64]
    prior: NDArray[np.float64]
    k: int
    settings: Settings = field(default_factory=dict)

    def scores(self, rows: Rows) -> Scores:
        matrix = _on_grid(self.fitted.transform(rows.floats, rows.strings))
        step = max(1, 20_000_000 // max(len(self.remembered), 1))
        parts = [self._mean(matrix[start : start + step]) for start in range(0, len(matrix), step)]
        found = np.concatenate(parts) if parts else np.empty((0, len(self.prior)))
        return found if self.task == "multiclass" else found[:, 0]

    def _mean(self, matrix: NDArray[np.int64]) -> NDArray[np.float64]:
        remembered = self.remembered.astype(float)
        products = matrix.astype(float) @ remembered.T
        distance = ((remembered**2).sum(1) - 2 * products).astype(np.int64)
        # The place of a row breaks ties, so that every key is different and the nearest are well defined.
        keys = distance * len(remembered) + np.arange(len(remembered))
        nearest = np.argpartition(keys, self.k - 1, axis=1)[:, : self.k]
        total = self.targets[nearest].sum(1) + self._one_more
        return np.asarray(total[:, :-1] / total[:, -1:])

    @property
    def _one_more(self) -> NDArray[np.float64]:
        """What is added to the sums of the neighbours."""
        return np.zeros(2) if self.task == "regression" else np.append(self.prior, 1.0)

    def onnx(self, builder: Builder) -> str:
        matrix = builder.cast(self.fitted.onnx(builder, builder.floats, builder.strings), "DOUBLE")
        near = builder.add("Clip", matrix, *(builder.constant(np.array(end)) for end in (-MOST, MOST)))
        scaled = builder.add("Round", builder.add("Mul", near, builder.constant(np.array(float(GRID)))))
        remembered = builder.cast(builder.constant(self.remembered.astype(np.float32)), "DOUBLE")
        squares = builder.constant((self.remembered.astype(float) ** 2).sum(1))
        products = builder.add("MatMul", scaled, builder.add("Transpose", remembered))
        distance = builder.add("Sub", squares, builder.add("Mul", products, builder.constant(np.array(2.0))))
        nearest = builder.top(distance, self.k)
        total = builder.add(
            "ReduceSum",
            builder.add("Gather", builder.constant(self.targets), nearest),
            builder.constant(np.array([1], np.int64)),
            keepdims=0,
        )
        total = builder.add("Add", total, builder.constant(self._one_more))
        targets = np.arange(len(self.prior))
        sums = builder.add("Gather", total, builder.constant(targets), axis=1)
        weights = builder.add("Gather", total, builder.constant(targets[-1:] + 1), axis=1)
        mean = builder.add("Div", sums, weights)
        if self.task == "multiclass":
            return mean
        return builder.add("Reshape", mean, builder.constant(np.array([-1], np.int64)))

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return np.zeros(inputs)

    @property
    def work(self) -> float:
        """About how many multiplications a score takes."""
        return float(self.remembered.size)


@dataclass(frozen=True)
class NearestNeighbors(Declared):
    """The mean target of the nearest training rows, standardised and one-hot.

    At most `remember` rows are kept, drawn at random: they are in the artifact.
    """

    name = "knn"

    n_neighbors: int = setting(15, integer(1), Range(1, 100, log=True, whole=True))
    remember: int = setting(10_000, integer(1))

    def fit(self, examples: Examples, settings: Settings | None = None) -> NearestScore:
        fitted, found = fit(examples, LINEAR)
        width = usable(found).shape[1]
        limit = min(self.remember, max(1, CELLS // width))
        counting = np.arange(len(examples)) if examples.weights is None else np.flatnonzero(examples.weights > 0)
        some = _some(counting, limit, examples.seed)
        kept, remembered = examples.take(some), _on_grid(found[some])
        k = min(self.n_neighbors, len(kept))
        weights = np.ones(len(kept)) if kept.weights is None else kept.weights
        targets = np.column_stack([kept.targets * weights[:, None], weights])
        return NearestScore(examples.task, fitted, remembered, targets, rates(examples), k)

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}


def _on_grid(matrix: Matrix) -> NDArray[np.int64]:
    return np.asarray(np.round(np.clip(matrix.astype(float), -MOST, MOST) * GRID), np.int64)


def _some(rows: NDArray[np.intp], limit: int, seed: int) -> NDArray[np.intp]:
    if len(rows) <= limit:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:limit])


knn = maker(NearestNeighbors)
