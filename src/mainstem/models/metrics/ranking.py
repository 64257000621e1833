"""Metrics of the order of the scores of classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, eq=False)
class _Against:
    """One class against the rest, sorted once by its score, the highest first.

    `positive` are the places of its rows. The rows with the score of the i-th of them are at `first[i]` to
    `end[i]` − 1, of which those of the class are its `first_of[i]`-th to `end_of[i]` − 1-th. So a resample costs one
    sum over all rows, and the rest is of those of the class.
    """

    order: NDArray[np.intp]
    positive: NDArray[np.intp]
    first: NDArray[np.intp]
    end: NDArray[np.intp]
    first_of: NDArray[np.intp]
    end_of: NDArray[np.intp]

    @classmethod
    def of(cls, truth: NDArray[np.bool_], scores: Floats) -> _Against:
        order = np.argsort(-scores, kind="stable")
        descending = -scores[order]
        positive = np.flatnonzero(truth[order])
        first = np.searchsorted(descending, descending[positive], side="left")
        end = np.searchsorted(descending, descending[positive], side="right")
        return cls(order, positive, first, end, np.searchsorted(positive, first), np.searchsorted(positive, end))

    def above(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the weight of each row of the class, and the weights of all rows and of those of the class at or above
        each place."""
        sorted_ = weights[self.order]
        own = sorted_[self.positive]
        return own, np.concatenate(([0.0], np.cumsum(sorted_))), np.concatenate(([0.0], np.cumsum(own)))

    def roc_auc(self, weights: Floats) -> float:
        own, every, hits = self.above(weights)
        negatives = every[-1] - hits[-1]
        if not (hits[-1] > 0 and negatives > 0):
            return float("nan")
        misses = every[self.first] - hits[self.first_of] + every[self.end] - hits[self.end_of]
        return dot(own, negatives - misses / 2) / float(hits[-1] * negatives)

    def average_precision(self, weights: Floats) -> float:
        own, every, hits = self.above(weights)
        if not 0 < hits[-1] < every[-1]:
            return float("nan")
        flagged = every[self.end]
        precision = np.divide(hits[self.end_of], flagged, out=np.zeros(len(own)), where=flagged > 0)
        return dot(own, precision) / float(hits[-1])


def _register_macro(name: str, value: Callable[[_Against, Floats], float], *, usual: bool) -> None:
    """Register the mean over classes of a metric of one class against the rest. A class without rows makes it
    undefined."""

    @register(f"macro_{name}", "multiclass", higher_is_better=True, usual=usual)
    def bind(y: Array, scores: Array) -> Weighted:
        truth, given = np.asarray(y, int), np.asarray(scores, float)
        each = [_Against.of(truth == k, given[:, k]) for k in range(given.shape[1])]
        return lambda weights: float(np.mean([value(one, weights) for one in each]))


_register_macro("roc_auc", _Against.roc_auc, usual=True)
_register_macro("average_precision", _Against.average_precision, usual=False)


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
