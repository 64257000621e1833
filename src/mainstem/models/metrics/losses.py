"""Metrics of the distance between scores and targets."""

from __future__ import annotations

import numpy as np

from mainstem.models.metrics.base import Array, Floats, Weighted, dot, mean, register
from mainstem.nodes.models import Task

TINY = 1e-15


def row_loss(task: Task, y: Array, scores: Array) -> Floats:
    """Return the loss of each row: logarithmic for binary and multiclass, squared error for regression."""
    if task == "regression":
        return np.asarray(np.square(np.asarray(y, float) - np.asarray(scores, float)))
    chosen = np.asarray(scores, float)
    if task == "multiclass":
        chosen = np.take_along_axis(chosen, np.asarray(y, int)[:, None], axis=1)[:, 0]
    else:
        chosen = np.where(np.asarray(y, float) > 0.5, chosen, 1 - chosen)
    return np.asarray(-np.log(np.clip(chosen, TINY, 1.0)))


@register("log_loss", "binary", "multiclass", higher_is_better=False)
def _log_loss(y: Array, scores: Array) -> Weighted:
    return mean(row_loss("binary" if np.ndim(scores) == 1 else "multiclass", y, scores))


@register("brier", "binary", higher_is_better=False)
def _brier(y: Array, scores: Array) -> Weighted:
    return mean(np.square(np.asarray(y, float) - scores))


@register("mae", "regression", higher_is_better=False)
def _mae(y: Array, scores: Array) -> Weighted:
    return mean(np.abs(np.asarray(y, float) - scores))


@register("rmse", "regression", higher_is_better=False)
def _rmse(y: Array, scores: Array) -> Weighted:
    squared = mean(row_loss("regression", y, scores))
    return lambda weights: float(np.sqrt(squared(weights)))


@register("r2", "regression", higher_is_better=True)
def _r2(y: Array, scores: Array) -> Weighted:
    truth = np.asarray(y, float)
    centred = truth - (truth.mean() if len(truth) else 0.0)
    squares = row_loss("regression", truth, scores)

    def value(weights: Floats) -> float:
        total = weights.sum()
        spread = dot(weights, centred**2) - dot(weights, centred) ** 2 / total if total > 0 else 0.0
        return float(1 - dot(weights, squares) / spread) if spread > 0 else float("nan")

    return value
