"""Metrics of the class that is decided for: functions of the confusion matrix.

Where no row has a class, or none is decided for it, its precision and recall are 0, as in scikit-learn. Precision,
recall and F1 of a binary task are those of `true`; without a row that is true they are undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mainstem.models.metrics.base import METRICS, Array, Floats, Metric, Weighted
from mainstem.nodes.models import Task

Average = Literal["true", "macro", "weighted", "micro"]
Confused = Callable[[Floats], float]
"""A function of a confusion matrix [K, K] of row weights: truth by decision."""

BOTH: Sequence[Task] = ("binary", "multiclass")


def decided(scores: Array) -> NDArray[np.int64]:
    """Return the class of each score: the likeliest, or P(true) ≥ ½."""
    probabilities = np.asarray(scores, float)
    return np.asarray(probabilities.argmax(1) if probabilities.ndim == 2 else probabilities >= 0.5, np.int64)


def confusion(y: Array, scores: Array) -> Callable[[Floats], Floats]:
    """Return a function from row weights to the matrix [K, K] of truth by decision."""
    truth, guess = np.asarray(y, int), decided(scores)
    known = np.shape(scores)[1] if np.ndim(scores) == 2 else 2
    classes = max(known, int(max(truth.max(initial=0), guess.max(initial=0))) + 1)
    cells = truth * classes + guess

    def matrix(weights: Floats) -> Floats:
        return np.asarray(np.bincount(cells, weights, minlength=classes**2).reshape(classes, classes), float)

    return matrix


def register(name: str, tasks: Sequence[Task], confused: Confused, *, usual: bool | Sequence[Task] = True) -> None:
    """Register a function of the confusion matrix as a metric. Higher is better."""

    def bind(y: Array, scores: Array) -> Weighted:
        matrix = confusion(y, scores)
        return lambda weights: confused(matrix(weights))

    METRICS[name] = Metric(name, frozenset(tasks), True, bind, confused, usual, most=1.0)


def _accuracy(matrix: Floats) -> float:
    return _ratio(float(matrix.trace()), float(matrix.sum()))


def _balanced_accuracy(matrix: Floats) -> float:
    """Return the mean recall of the classes that rows have."""
    rows = matrix.sum(1)
    return float(np.mean(matrix.diagonal()[rows > 0] / rows[rows > 0])) if rows.any() else float("nan")


def _mcc(matrix: Floats) -> float:
    """Return Matthews' correlation coefficient, of several classes after Gorodkin (2004); 0 for a single decision."""
    total, hits = float(matrix.sum()), float(matrix.trace())
    if total <= 0:
        return float("nan")
    truth, guess = matrix.sum(1) / total, matrix.sum(0) / total
    spread = np.sqrt((1 - (truth**2).sum()) * (1 - (guess**2).sum()))
    return float((hits / total - (truth * guess).sum()) / spread) if spread > 1e-12 else 0.0


def _averaged(average: Average, score: Callable[[Floats, Floats, Floats], Floats], matrix: Floats) -> float:
    """Return a score per class, from hits, rows and decisions, of `true` or as a mean over classes."""
    hits, rows, guesses = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    if average == "micro":
        total = np.array([matrix.sum()])
        return float(score(np.array([hits.sum()]), total, total)[0]) if total[0] > 0 else float("nan")
    found = score(hits, rows, guesses)
    if average == "true":
        return float(found[1]) if rows[1] > 0 else float("nan")
    if average == "weighted":
        return _ratio(float((found * rows).sum()), float(rows.sum()))
    present = rows + guesses > 0
    return float(found[present].mean()) if present.any() else float("nan")


def _precision(hits: Floats, rows: Floats, guesses: Floats) -> Floats:
    return np.divide(hits, guesses, out=np.zeros(len(hits)), where=guesses > 0)


def _recall(hits: Floats, rows: Floats, guesses: Floats) -> Floats:
    return np.divide(hits, rows, out=np.zeros(len(hits)), where=rows > 0)


def _f1(hits: Floats, rows: Floats, guesses: Floats) -> Floats:
    return np.divide(2 * hits, rows + guesses, out=np.zeros(len(hits)), where=rows + guesses > 0)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


register("accuracy", BOTH, _accuracy)
register("balanced_accuracy", BOTH, _balanced_accuracy)
for _name, _score in (("precision", _precision), ("recall", _recall), ("f1", _f1)):
    register(_name, ["binary"], partial(_averaged, "true", _score))
    register(
        f"macro_{_name}", BOTH, partial(_averaged, "macro", _score), usual=BOTH if _name == "f1" else ["multiclass"]
    )
    register(f"weighted_{_name}", BOTH, partial(_averaged, "weighted", _score), usual=False)
    register(f"micro_{_name}", BOTH, partial(_averaged, "micro", _score), usual=False)
register("mcc", BOTH, _mcc)
