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
from mainstem.models.preprocessing import OneHot, Scaled
from mainstem.nodes.kinds import number
from mainstem.nodes.models import Task

CAP = 100
"""Most levels of a text."""


@dataclass(frozen=True, eq=False)
class BayesScore:
    """The log-likelihood of each class is linear in known², known and the indicators: `weights` [2·F + F + L, T].

    `floats` standardises numbers; a missing number is left out. `strings` are indicators of levels.
    """

    task: Task
    floats: Scaled
    strings: OneHot
    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    settings: Settings = field(default_factory=dict)

    def scores(self, rows: Rows) -> Scores:
        with libraries.one_thread():
            return linked(_expanded(self.floats, self.strings, rows) @ self.weights + self.intercept, self.task)

    def onnx(self, builder: Builder) -> str:
        parts = []
        if len(self.floats.fill):
            known = builder.cast(builder.add("Not", builder.add("IsNaN", builder.floats)), "DOUBLE")
            values = builder.cast(self.floats.onnx(builder, builder.floats), "DOUBLE")
            shown = builder.add("Mul", values, known)
            parts += [builder.add("Mul", shown, shown), shown, known]
        parts += [builder.cast(part, "DOUBLE") for part in self.strings.onnx(builder, builder.strings)]
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
        rows = examples.rows
        scaled = Scaled.fit(rows.floats)
        floats = Scaled(scaled.fill, scaled.mean, scaled.inverse, np.empty(0, np.int64))
        strings = OneHot.fit(rows.strings, rows.floats.shape[1], cap=CAP)
        matrix = _expanded(floats, strings, rows)
        usable(matrix.astype(np.float32))
        counted = np.eye(2)[examples.y] if examples.task == "binary" else examples.targets
        if examples.weights is not None:
            counted = counted * examples.weights[:, None]
        weights, intercept = self._fitted(matrix, counted, rows.floats.shape[1], strings)
        if examples.task == "binary":
            weights, intercept = weights[:, 1:] - weights[:, :1], intercept[1:] - intercept[:1]
        return BayesScore(examples.task, floats, strings, weights, intercept)

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}

    def _fitted(
        self, matrix: NDArray[np.float64], counted: NDArray[np.float64], floats: int, strings: OneHot
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        totals = matrix.T @ counted
        squares, sums, known = totals[:floats], totals[floats : 2 * floats], totals[2 * floats : 3 * floats]
        # One row of the average is added, so that a class without rows has that.
        mean = sums / (known + 1)
        variance = np.maximum((squares + 1) / (known + 1) - mean**2, 0) + self.var_smoothing
        parts = [-0.5 / variance, mean / variance, -0.5 * (np.log(variance) + mean**2 / variance)]
        start = 3 * floats
        for level in strings.levels:
            rows = totals[start : start + level.other + 1] + self.alpha
            parts.append(np.log(rows / rows.sum(0)))
            start += level.other + 1
        classes = counted.sum(0) + 0.5
        return np.vstack(parts), np.log(classes / classes.sum())


def _expanded(floats: Scaled, strings: OneHot, rows: Rows) -> NDArray[np.float64]:
    known = ~np.isnan(rows.floats)
    values: Matrix = floats.transform(rows.floats)
    shown = values.astype(np.float64) * known
    return np.hstack([shown**2, shown, known, strings.transform(rows.strings)]).astype(np.float64)


naive_bayes = maker(NaiveBayes)
