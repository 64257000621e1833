"""Sparse linear models: an elastic net, for values or for classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models import splits
from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import Settings, usable
from mainstem.models.algorithms.linear import LinearScore, logistic_weights, spread_of
from mainstem.models.algorithms.settings import Declared, Range, maker, setting
from mainstem.models.algorithms.sparse import SparseLogistic
from mainstem.models.data.rows import Examples
from mainstem.models.preprocessing import LINEAR, fit
from mainstem.nodes.kinds import fraction, number, optional

STRENGTHS = 12
"""How many strengths are tried, from the one that leaves no weight down to a thousandth of it."""

SEARCHED = 5_000
"""The most rows that the strength is found on."""

FOLDS = 3

Wide = NDArray[np.float64]


@dataclass(frozen=True)
class ElasticNet(Declared):
    """Linear or logistic regression whose penalty leaves few inputs: `l1_ratio` of it is on absolute weights.

    Without `alpha`, the strength is found by cross-validation inside the rows. It suits tables with more columns than
    rows can tell apart.
    """

    name = "elastic_net"

    l1_ratio: float = setting(0.9, fraction, Range(0.1, 1.0))
    alpha: float | None = setting(None, optional(number(0)))

    def fit(self, examples: Examples, settings: Settings | None = None) -> LinearScore:
        fitted, found = fit(examples, LINEAR)
        matrix = usable(found).astype(np.float64)
        known = self.alpha or (settings or {}).get("alpha")
        with warnings.catch_warnings(), libraries.one_thread():
            warnings.simplefilter("ignore")  # a fit that did not converge is judged by its score
            alpha = float(known) if known else self._strength(matrix, examples)
            model = _fitted(self._model(examples, alpha, 1e-3, matrix.shape[1]), matrix, examples)
        if examples.task == "regression":
            weights = np.asarray(model.coef_, float).reshape(-1, 1)
            intercept = np.asarray([model.intercept_], float).reshape(1)
        else:
            weights, intercept = logistic_weights(model, examples)
        return LinearScore(examples.task, fitted, weights, intercept, spread_of(found, weights), {"alpha": alpha})

    def settle(self, found: Sequence[Settings]) -> Settings:
        alphas = [each["alpha"] for each in found]
        return {"alpha": float(np.exp(np.mean(np.log(alphas))))} if alphas else {}

    def _strength(self, matrix: Wide, examples: Examples) -> float:
        """Return the strength with the least loss on rows that were left out."""
        some = splits.latest(examples.times, SEARCHED, examples.seed)
        matrix, examples = matrix[some], examples.take(some)
        strengths = _largest(matrix, examples) / self.l1_ratio * np.geomspace(1, 1e-3, STRENGTHS)
        folds = _folds(examples)
        losses = np.array([self._losses(matrix, examples, fold, strengths) for fold in folds])
        return float(strengths[int(losses.mean(0).argmin())]) if len(folds) else float(strengths[STRENGTHS // 2])

    def _losses(self, matrix: Wide, examples: Examples, fold: splits.Split, strengths: Wide) -> list[float]:
        past, future = examples.take(fold.train), examples.take(fold.test)
        model = self._model(past, float(strengths[0]), 1e-2, matrix.shape[1])
        losses: list[float] = []
        for strength in strengths:
            # Each fit starts from the weights of the one before.
            model.set_params(**_strong(past, float(strength), matrix.shape[1]))
            _fitted(model, matrix[fold.train], past)
            losses.append(_loss(model, matrix[fold.test], future))
            if len(losses) > 3 and losses[-1] > losses[-2] > losses[-3]:
                break
        return losses + [np.inf] * (len(strengths) - len(losses))

    def _model(self, examples: Examples, alpha: float, tolerance: float, columns: int) -> Any:
        if _is_wide(examples, columns):
            return SparseLogistic(alpha, self.l1_ratio, tolerance)
        library = libraries.sklearn("linear_model")
        shared = {**_strong(examples, alpha, columns), "l1_ratio": self.l1_ratio, "tol": tolerance, "warm_start": True}
        if examples.task == "regression":
            return library.ElasticNet(max_iter=3_000, **shared)
        return library.LogisticRegression(solver="saga", max_iter=300, random_state=examples.seed, **shared)


def _is_wide(examples: Examples, columns: int) -> bool:
    """Return whether rows are few, so that scikit-learn's solver for classes takes long and does not converge."""
    return examples.task != "regression" and len(examples) < columns


def _strong(examples: Examples, alpha: float, columns: int) -> dict[str, float]:
    """Return the strength as the parameter of the task's model: a mean loss has `alpha`, a sum of losses 1/C."""
    if _is_wide(examples, columns):
        return {"strength": alpha}
    return {"alpha": alpha} if examples.task == "regression" else {"C": 1 / (alpha * len(examples))}


def _fitted(model: Any, matrix: Wide, examples: Examples) -> Any:
    return model.fit(matrix, examples.y, sample_weight=examples.weights)


def _largest(matrix: Wide, examples: Examples) -> float:
    """Return the strength on absolute weights from which all weights are 0."""
    away = examples.targets - examples.targets.mean(0)
    return max(float(np.abs((matrix - matrix.mean(0)).T @ away).max()) / len(matrix), 1e-9)


def _folds(examples: Examples) -> list[splits.Split]:
    """Return folds with the gap of labels that take time; without it if it leaves too few rows."""
    times, y, groups = examples.times, examples.y, examples.groups
    folds: list[splits.Split] = []
    for gap, known in ((f"{examples.gap}us", examples.known), ("0s", None)):
        with suppress(ModelError):  # too few rows to leave some out
            folds = splits.folds(times, y, count=FOLDS, gap=gap, seed=examples.seed, groups=groups, known=known)
            break
    if examples.task == "regression":
        return folds
    return [fold for fold in folds if len(np.unique(examples.y[fold.train])) > 1]


def _loss(model: Any, matrix: Wide, examples: Examples) -> float:
    if examples.task == "regression":
        return float(np.average((model.predict(matrix) - examples.y) ** 2, weights=examples.weights))
    place = np.searchsorted(model.classes_, examples.y)
    seen = np.isin(examples.y, model.classes_)
    chances = model.predict_proba(matrix)[np.flatnonzero(seen), place[seen]]
    weights = None if examples.weights is None else examples.weights[seen]
    if not len(chances) or (weights is not None and not weights.any()):
        return 0.0
    return float(np.average(-np.log(np.maximum(chances, 1e-12)), weights=weights))


elastic_net = maker(ElasticNet)
