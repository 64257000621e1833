"""Naive Bayes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import Settings, linked, linked_onnx, usable
from mainstem.models.algorithms.settings import Declared, Range, maker, setting
from mainstem.models.data.rows import Examples, Matrix, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing import BAYES, Composed, Indicators, Levels, fit
from mainstem.nodes.kinds import number
from mainstem.nodes.models import Task


@dataclass(frozen=True, eq=False)
class BayesScore:
    """The log-likelihood of each class is linear in known², known and the indicators: `weights` [2·C + C + L, T].

    `fitted` gives C standardised columns, NaN for a missing number, which is left out, and L indicators of levels.
    """

    task: Task
    fitted: Composed
    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    settings: Settings = field(default_factory=dict)

    def scores(self, rows: Rows) -> Scores:
        with libraries.one_thread():
            matrix = _expanded(self.fitted, self.fitted.transform(rows.floats, rows.strings))
            return linked(matrix @ self.weights + self.intercept, self.task)

    def onnx(self, builder: Builder) -> str:
        matrix = self.fitted.onnx(builder, builder.floats, builder.strings)
        normal, levels = _columns(self.fitted)
        parts = []
        if len(normal):
            values = builder.add("Gather", matrix, builder.constant(normal), axis=1)
            missing = builder.add("IsNaN", values)
            known = builder.cast(builder.add("Not", missing), "DOUBLE")
            zero = builder.constant(np.array(0, np.float32))
            shown = builder.cast(builder.add("Where", missing, zero, values), "DOUBLE")
            parts += [builder.add("Mul", shown, shown), shown, known]
        if len(levels):
            parts.append(builder.cast(builder.add("Gather", matrix, builder.constant(levels), axis=1), "DOUBLE"))
        product = builder.add("MatMul", builder.concat(parts), builder.constant(self.weights))
        raw = builder.add("Add", product, builder.constant(self.intercept))
        return linked_onnx(builder, raw, self.task)

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return np.zeros(inputs)


@dataclass(frozen=True)
class NaiveBayes(Declared):
    """Naive Bayes for classes: a normal distribution of each number, rates of each text's levels.

    A missing number is left out. `var_smoothing` is added to the variance of standardised numbers, `alpha` to the rows
    of each level.
    """

    name = "naive_bayes"
    tasks = ("binary", "multiclass")

    var_smoothing: float = setting(1e-3, number(0), Range(1e-4, 1.0, log=True))
    alpha: float = setting(1.0, number(0), Range(0.1, 20, log=True))

    def fit(self, examples: Examples, settings: Settings | None = None) -> BayesScore:
        fitted, found = fit(examples, BAYES)
        matrix = _expanded(fitted, usable(found))
        counted = np.eye(2)[examples.y] if examples.task == "binary" else examples.targets
        if examples.weights is not None:
            counted = counted * examples.weights[:, None]
        weights, intercept = self._fitted(matrix, counted, fitted)
        if examples.task == "binary":
            weights, intercept = weights[:, 1:] - weights[:, :1], intercept[1:] - intercept[:1]
        return BayesScore(examples.task, fitted, weights, intercept)

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}

    def _fitted(
        self, matrix: NDArray[np.float64], counted: NDArray[np.float64], fitted: Composed
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        floats = len(_columns(fitted)[0])
        totals = matrix.T @ counted
        squares, sums, known = totals[:floats], totals[floats : 2 * floats], totals[2 * floats : 3 * floats]
        # One row of the average is added, so that a class without rows has that.
        mean = sums / (known + 1)
        variance = np.maximum((squares + 1) / (known + 1) - mean**2, 0) + self.var_smoothing
        parts = [-0.5 / variance, mean / variance, -0.5 * (np.log(variance) + mean**2 / variance)]
        start = 3 * floats
        for level in _levels(fitted):
            rows = totals[start : start + level.other + 1] + self.alpha
            parts.append(np.log(rows / rows.sum(0)))
            start += level.other + 1
        classes = counted.sum(0) + 0.5
        return np.vstack(parts), np.log(classes / classes.sum())


def _levels(fitted: Composed) -> list[Levels]:
    return [level for part in fitted.parts if isinstance(part, Indicators) for level in part.levels]


def _columns(fitted: Composed) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the columns that get a normal distribution, and those that are indicators of levels."""
    of_levels = [isinstance(part, Indicators) for part in fitted.parts for _ in part.origins]
    found = np.array(of_levels, bool)
    return np.flatnonzero(~found), np.flatnonzero(found)


def _expanded(fitted: Composed, matrix: Matrix) -> NDArray[np.float64]:
    normal, levels = _columns(fitted)
    known = ~np.isnan(matrix[:, normal])
    shown = np.where(known, matrix[:, normal], 0).astype(np.float64)
    return np.hstack([shown**2, shown, known, matrix[:, levels]]).astype(np.float64)


naive_bayes = maker(NaiveBayes)
