"""Linear models: logistic, ridge, Poisson and quantile regression."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import Settings, linked, linked_onnx, shares, usable
from mainstem.models.algorithms.settings import USUAL, Declared, Range, maker, setting
from mainstem.models.data.quantiles import empirical
from mainstem.models.data.rows import Examples, Matrix, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing import LINEAR, Fitted, fit
from mainstem.nodes.kinds import number
from mainstem.nodes.models import Task

SMOOTHED = 0.05
"""The width of the kernel that smooths the pinball loss, in standard deviations of what a ridge regression leaves."""


@dataclass(frozen=True, eq=False)
class LinearScore:
    """`weights` [p, T] and `intercept` [T] over the matrix. float64 keeps a score near 0 exact despite large terms."""

    task: Task
    fitted: Fitted
    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    spread: NDArray[np.float64]
    settings: Settings = field(default_factory=dict)

    def scores(self, rows: Rows) -> Scores:
        matrix = self.fitted.transform(rows.floats, rows.strings)
        with libraries.one_thread():
            return linked(matrix.astype(np.float64) @ self.weights + self.intercept, self.task)

    def onnx(self, builder: Builder) -> str:
        matrix = builder.cast(self.fitted.onnx(builder, builder.floats, builder.strings), "DOUBLE")
        product = builder.add("MatMul", matrix, builder.constant(self.weights))
        return linked_onnx(
            builder, builder.add("Add", product, builder.constant(self.intercept)), self.task, len(self.intercept)
        )

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return shares(self.spread, self.fitted.origins, inputs)

    @property
    def work(self) -> float:
        """About how many multiplications a score takes."""
        return float(self.weights.size)

    @property
    def unlinked(self) -> LinearScore:
        """The same with the raw score of a single target as its score."""
        return replace(self, task="regression")


@dataclass(frozen=True)
class Linear(Declared):
    """Logistic regression, ridge regression for values, Poisson regression for counts, quantile regression, ridge
    regression of the grade for a ranking: standardised, one-hot, `penalty` on squared weights."""

    name = "linear"
    tasks = (*USUAL, "count", "quantile", "ranking")

    penalty: float = setting(1.0, number(0), Range(1e-3, 1e3, log=True))

    def fit(self, examples: Examples, settings: Settings | None = None) -> LinearScore:
        fitted, matrix = fit(examples, LINEAR)
        solve = {
            "regression": self._ridge,
            "ranking": self._ridge,
            "count": self._poisson,
            "quantile": self._quantiles,
        }.get(examples.task, self._logistic)
        weights, intercept = solve(usable(matrix), examples)
        return LinearScore(examples.task, fitted, weights, intercept, spread_of(matrix, weights))

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}

    def _ridge(self, matrix: Matrix, examples: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        linear_model = libraries.sklearn("linear_model")
        with libraries.one_thread():
            found = linear_model.Ridge(alpha=self.penalty, solver="cholesky").fit(matrix, examples.y, examples.weights)
        return np.asarray(found.coef_, float).reshape(-1, 1), np.asarray([found.intercept_], float).reshape(1)

    def _poisson(self, matrix: Matrix, examples: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        linear_model = libraries.sklearn("linear_model")
        # scikit-learn's loss is a mean over rows, not a sum.
        model = linear_model.PoissonRegressor(
            alpha=self.penalty / len(examples), solver="newton-cholesky", max_iter=300
        )
        with warnings.catch_warnings(), libraries.one_thread():
            warnings.simplefilter("ignore")  # a fit that did not converge is judged by its score
            found = model.fit(matrix.astype(np.float64), examples.y, examples.weights)
        return np.asarray(found.coef_, float).reshape(-1, 1), np.asarray([found.intercept_], float).reshape(1)

    def _quantiles(self, matrix: Matrix, examples: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        with libraries.one_thread():
            start, _ = self._ridge(matrix, examples)
            found = [
                quantile_weights(matrix, examples, level, start[:, 0], self.penalty) for level in examples.quantiles
            ]
        return np.column_stack([weights for weights, _ in found]), np.array([intercept for _, intercept in found])

    def _logistic(self, matrix: Matrix, examples: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        linear_model = libraries.sklearn("linear_model")
        width = matrix.shape[1] * max(1, examples.classes if examples.task == "multiclass" else 1)
        # Newton needs width² memory and few passes. lbfgs needs little memory and about a hundred passes.
        solver = "newton-cholesky" if width <= 1_500 else "lbfgs"
        model = linear_model.LogisticRegression(C=1 / self.penalty, solver=solver, max_iter=300)
        with warnings.catch_warnings(), libraries.one_thread():
            warnings.simplefilter("ignore")  # a fit that did not converge is judged by its score
            found = model.fit(matrix, examples.y, examples.weights)
        return logistic_weights(found, examples)


def quantile_weights(
    matrix: Matrix, examples: Examples, level: float, start: NDArray[np.float64], penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Return the weights [p] and the intercept of a quantile regression.

    The pinball loss is smoothed by a logistic kernel (He, Pan, Tan and Zhou 2023), so that its gradient is continuous:
    a linear program over many rows takes minutes. The intercept is the exact quantile of what is left.
    """
    optimize = libraries.scipy("optimize")
    columns, y = matrix.astype(np.float64), np.asarray(examples.y, float)
    share = np.full(len(y), 1 / len(y)) if examples.weights is None else examples.weights / examples.weights.sum()
    left = y - columns @ start
    width = max(SMOOTHED * float(left.std()), 1e-9)
    strength = penalty / len(y) / max(width, float(left.std()))

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        away = y - columns @ values[:-1] - values[-1]
        slope = share * (level - 1 / (1 + np.exp(np.clip(away / width, -500, 500))))
        found = (
            share @ (level * away + width * np.logaddexp(0, -away / width)) + strength / 2 * values[:-1] @ values[:-1]
        )
        return float(found), np.append(strength * values[:-1] - columns.T @ slope, -slope.sum())

    first = np.append(start, empirical(left, [level], examples.weights))
    weights = optimize.minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x[:-1]
    return weights, float(empirical(y - columns @ weights, [level], examples.weights)[0])


def logistic_weights(model: Any, examples: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights [p, T] and the intercept [T] of a fitted logistic regression."""
    coefficients, intercept = np.asarray(model.coef_, float), np.asarray(model.intercept_, float)
    if examples.task == "binary":
        return coefficients.T.copy(), intercept
    return _all_classes(coefficients, intercept, model.classes_, examples.classes)


def spread_of(matrix: Matrix, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the spread of each column's contribution to the score."""
    return np.asarray(matrix.std(0, dtype=np.float64) * np.abs(weights).max(1))


def _all_classes(
    coefficients: NDArray[np.float64], intercept: NDArray[np.float64], seen: NDArray[Any], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return one column per class. A class that these rows lack gets a very low score."""
    if len(seen) == 2:
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.append(-intercept, intercept) / 2
    weights, bias = np.zeros((coefficients.shape[1], classes)), np.full(classes, intercept.min() - 10)
    weights[:, seen], bias[seen] = coefficients.T, intercept
    return weights, bias


linear = maker(Linear)
