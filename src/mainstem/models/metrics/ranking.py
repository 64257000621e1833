"""Metrics of the order of the scores of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mainstem.models.metrics.base import METRICS, Array, Floats, Metric, Weighted, dot, register

Ordered = Callable[[Floats, Floats], float]


def _average_precision(hits: Floats, flagged: Floats) -> float:
    precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
    return dot(np.diff(hits, prepend=0.0), precision) / float(hits[-1])


def _roc_auc(hits: Floats, flagged: Floats) -> float:
    misses = flagged - hits
    below = misses[-1] - (misses + np.concatenate(([0.0], misses[:-1]))) / 2
    return dot(np.diff(hits, prepend=0.0), below) / float(hits[-1] * misses[-1])


def _register(name: str, of: Ordered) -> None:
    """Register a function of the weights of positives and of all rows at or above each distinct score."""

    def ordered(hits: Floats, flagged: Floats) -> float:
        return of(hits, flagged) if len(hits) and 0 < hits[-1] < flagged[-1] else float("nan")

    def bind(y: Array, scores: Array) -> Weighted:
        above = ordering(y, scores)
        return lambda weights: ordered(*above(weights))

    METRICS[name] = Metric(name, frozenset(("binary",)), True, bind, most=1.0, ordered=ordered)


_register("average_precision", _average_precision)
_register("roc_auc", _roc_auc)


@register("macro_roc_auc", "multiclass", higher_is_better=True, usual=False)
def _macro_roc_auc(y: Array, scores: Array) -> Weighted:
    """The mean over classes of the area of one class against the rest. A class without rows makes it undefined."""
    truth = np.asarray(y, int)
    each = [METRICS["roc_auc"].bind(truth == k, scores[:, k]) for k in range(np.shape(scores)[1])]
    return lambda weights: float(np.mean([value(weights) for value in each]))


def average_precision(y: Array, scores: Array, weights: Array | None = None) -> float:
    """Return the sum over thresholds of the gain in recall times the precision there; NaN for rows of one class."""
    return METRICS["average_precision"].value(y, scores, weights)


def ordering(y: Array, scores: Array) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Sort once. Return a function from row weights to the weights of positives and of all rows per distinct score.

    Weights are cumulative: of rows at or above each distinct score.
    """
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    positive, ranked = np.asarray(y, float)[order], np.asarray(scores, float)[order]
    last = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, bool)
    ends: Any = slice(None) if last.all() else np.flatnonzero(last)

    def at(weights: Floats) -> tuple[Floats, Floats]:
        w = weights[order]
        return np.cumsum(w * positive)[ends], np.cumsum(w)[ends]

    return at
