"""Metrics of the class that is decided for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstem.models.metrics.base import Array, Floats, Weighted, mean, register


@register("accuracy", "binary", "multiclass", higher_is_better=True)
def _accuracy(y: Array, scores: Array) -> Weighted:
    return mean(decided(scores) == np.asarray(y, int))


@register("macro_f1", "binary", "multiclass", higher_is_better=True)
def _macro_f1(y: Array, scores: Array) -> Weighted:
    truth, guess = np.asarray(y, int), decided(scores)
    classes = int(max(truth.max(initial=0), guess.max(initial=0))) + 1
    cells = truth * classes + guess

    def value(weights: Floats) -> float:
        confusion = np.bincount(cells, weights, minlength=classes**2).reshape(classes, classes)
        seen = confusion.sum(0) + confusion.sum(1)
        present = seen > 0
        return float(np.mean(2 * confusion.diagonal()[present] / seen[present])) if present.any() else float("nan")

    return value


def decided(scores: Array) -> NDArray[np.int64]:
    """Return the class of each score: the likeliest, or P(true) ≥ ½."""
    probabilities = np.asarray(scores, float)
    return np.asarray(probabilities.argmax(1) if probabilities.ndim == 2 else probabilities >= 0.5, np.int64)
