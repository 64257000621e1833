"""Logistic regression whose penalty leaves few weights, for tables with more columns than rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries

STEPS = 300
"""The most steps for one set of inputs."""

CHECKED = 10
"""After how many steps the solver looks whether it has converged."""

FEW, CLOSE = 50, 0.01
"""Rows and columns of a matrix from which its largest eigenvalue is approached alone, and how closely: a step may be a
few percent shorter, and all eigenvalues take twenty times as long."""

Wide = NDArray[np.float64]


@dataclass(eq=False)
class SparseLogistic:
    """Logistic regression of tables with more columns than rows, with the parameters of scikit-learn's.

    Of the penalty, `l1_ratio` is on absolute weights, the rest on half of squared ones; `strength` is the weight of the
    penalty beside the mean loss of a row. A fit starts from the weights of the fit before (Friedman, Hastie and
    Tibshirani 2010): from a strong penalty to a weak one, few weights change at a time. Only inputs that have a weight
    or violate the optimality conditions are solved, until no other does. A set of inputs is solved by accelerated
    proximal gradients with restarts (Beck and Teboulle 2009; O'Donoghue and Candès 2015).
    """

    strength: float
    l1_ratio: float
    tol: float
    coef_: Wide = field(init=False)
    intercept_: Wide = field(init=False)
    classes_: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._solved: _Solver | None = None

    def set_params(self, *, strength: float) -> None:
        self.strength = strength

    def fit(self, matrix: Wide, y: NDArray[np.int64], sample_weight: Wide | None = None) -> SparseLogistic:
        """Fit. The rows must be those of the fit before, if there was one."""
        if self._solved is None:
            self.classes_ = np.unique(y)
            targets = (y[:, None] == self.classes_).astype(float)
            shares = (np.ones(len(y)) if sample_weight is None else sample_weight) / len(y)
            targets = targets[:, 1:] if len(self.classes_) == 2 else targets
            self._solved = _Solver(matrix, targets, shares, self.l1_ratio, self.tol)
        self._solved.solve(self.strength)
        self.coef_, self.intercept_ = self._solved.weights.T.copy(), self._solved.intercept.copy()
        return self

    def predict_proba(self, matrix: Wide) -> Wide:
        chances = _chances(matrix @ self.coef_.T + self.intercept_)
        return np.hstack([1 - chances, chances]) if len(self.classes_) == 2 else chances


@dataclass(eq=False)
class _Solver:
    """`targets` are [n, T]: one column for two classes, else one for each class. A row's loss counts `shares` [n]."""

    matrix: Wide
    targets: Wide
    shares: Wide
    l1_ratio: float
    tolerance: float

    def __post_init__(self) -> None:
        self.weights = np.zeros((self.matrix.shape[1], self.targets.shape[1]))
        self.intercept = np.zeros(self.targets.shape[1])

    def solve(self, strength: float) -> None:
        lasso, ridge = strength * self.l1_ratio, strength * (1 - self.l1_ratio)
        used, missed = (self.weights != 0).any(1), self._missed(lasso, ridge)
        while True:
            used |= missed
            self._descend(np.flatnonzero(used), lasso, ridge)
            missed = ~used & self._missed(lasso, ridge)
            if not missed.any():
                break

    def _missed(self, lasso: float, ridge: float) -> NDArray[np.bool_]:
        """Return the inputs [d] that a weight of 0 is not the best of."""
        slope = self._slope(self.matrix, self.weights, self.intercept, ridge)
        return np.asarray((np.abs(slope) > lasso * (1 + self.tolerance)).any(1))

    def _slope(self, matrix: Wide, weights: Wide, intercept: Wide, ridge: float) -> Wide:
        return np.asarray(matrix.T @ self._away(matrix @ weights + intercept) + ridge * weights)

    def _away(self, raw: Wide) -> Wide:
        """Return how the loss changes with the raw scores."""
        return np.asarray(self.shares[:, None] * (_chances(raw) - self.targets))

    def _descend(self, used: NDArray[np.intp], lasso: float, ridge: float) -> None:
        """Fit the weights of the `used` inputs and the intercept. The others keep a weight of 0."""
        columns = np.column_stack([self.matrix[:, used], np.ones(len(self.matrix))])
        across = np.ascontiguousarray(columns.T)
        found = np.vstack([self.weights[used], self.intercept])
        penalty = np.append(np.full(len(used), lasso), 0)[:, None]
        shrink = np.append(np.full(len(used), ridge), 0)[:, None]
        step = 1 / (self._steepest(columns) + ridge)
        ahead, pace = found, 1.0
        for number in range(STEPS):
            slope = across @ self._away(columns @ ahead) + shrink * ahead
            moved = ahead - step * slope
            moved = np.sign(moved) * np.maximum(np.abs(moved) - step * penalty, 0)
            if number % CHECKED == 0 and np.abs(moved - ahead).max() <= step * self.tolerance * (lasso + ridge):
                found = moved
                break
            faster = (1 + (1 + 4 * pace**2) ** 0.5) / 2
            if np.vdot(ahead - moved, moved - found) > 0:  # past the bottom of the valley
                ahead, pace = moved, 1.0
            else:
                ahead, pace = moved + (pace - 1) / faster * (moved - found), faster
            found = moved
        self.weights[used], self.intercept = found[:-1], found[-1]

    def _steepest(self, columns: Wide) -> float:
        """Return a bound of the curvature: the largest eigenvalue, in the smaller of both spaces."""
        scaled = columns * np.sqrt(self.shares)[:, None]
        gram = scaled @ scaled.T if len(scaled) < scaled.shape[1] else scaled.T @ scaled
        return _largest(gram) * (0.25 if self.targets.shape[1] == 1 else 0.5)


def _largest(gram: Wide) -> float:
    """Return the largest eigenvalue of a positive matrix, or at most a few percent more."""
    if len(gram) < FEW or not gram.any():
        return float(np.linalg.eigvalsh(gram)[-1])
    start = np.random.default_rng(0).normal(size=len(gram))
    found = libraries.scipy("sparse.linalg").eigsh(gram, k=1, tol=CLOSE, v0=start, return_eigenvectors=False)
    return float(found[0]) * (1 + 2 * CLOSE)


def _chances(raw: Wide) -> Wide:
    if raw.shape[1] == 1:
        return np.asarray(1 / (1 + np.exp(-np.clip(raw, -500, 500))))
    chances = np.exp(raw - raw.max(1, keepdims=True))
    return np.asarray(chances / chances.sum(1, keepdims=True))
