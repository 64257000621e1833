"""Metrics of rankings. The truth [n, 2] has the query beside each grade. A metric is a mean over queries.

Queries with one row, or without a row of a grade above 0, have no order to judge: they are left out. Rows with equal
scores share their places, as if their order was drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mainstem.models.metrics.base import Array, Floats, Weighted, dot, register


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Rows by query, the highest score first: `grade`, the number of the `query`, and the `place` in it from 0.

    `tie` numbers rows of one query with equal scores. `weighted` is each row's place among the given rows.
    """

    grade: Floats
    query: NDArray[np.intp]
    place: NDArray[np.intp]
    tie: NDArray[np.intp]
    weighted: NDArray[np.intp]

    @classmethod
    def of(cls, truth: Array, scores: Array) -> _Ranked:
        packs, guess = np.asarray(truth, float), np.asarray(scores, float)
        query = np.unique(packs[:, 1], return_inverse=True)[1]
        order = np.lexsort((-guess, query))
        query, guess = query[order], guess[order]
        starts = np.flatnonzero(np.append(True, query[1:] != query[:-1])) if len(query) else np.empty(0, np.intp)
        place = np.arange(len(query)) - np.repeat(starts, np.diff(np.append(starts, len(query))))
        new = (place == 0) | np.append(True, guess[1:] != guess[:-1])[: len(query)]
        return cls(packs[order, 0], query, place, np.cumsum(new) - 1, order)

    def by_query(self, values: Floats) -> Floats:
        return np.bincount(self.query, values).astype(float)

    def shared(self, values: Floats) -> Floats:
        """Return the mean of a value of places over the rows with equal scores."""
        return np.asarray((np.bincount(self.tie, values) / np.bincount(self.tie))[self.tie])

    @cached_property
    def positive(self) -> Floats:
        return (self.grade > 0).astype(float)

    @cached_property
    def judged(self) -> NDArray[np.bool_]:
        """Which queries have an order to judge."""
        return np.asarray((self.by_query(self.positive) > 0) & (self.by_query(np.ones(len(self.query))) > 1))

    def mean(self, of_query: Floats) -> Weighted:
        """Return the mean over the queries that are judged; the weight of a query is the mean of its rows'."""
        rows = self.by_query(np.ones(len(self.query)))
        values = np.where(self.judged, of_query, 0.0)

        def value(weights: Floats) -> float:
            each = np.where(self.judged, self.by_query(weights[self.weighted]) / rows, 0.0)
            total = float(each.sum())
            return dot(each, values) / total if total > 0 else float("nan")

        return value


def unjudged(truth: Array) -> tuple[int, int, int]:
    """Return how many queries there are, how many have one row, and how many others have no grade above 0."""
    ranked = _Ranked.of(truth, np.zeros(len(truth)))
    rows, positives = ranked.by_query(np.ones(len(truth))), ranked.by_query(ranked.positive)
    return len(rows), int((rows == 1).sum()), int(((positives == 0) & (rows > 1)).sum())


def _per_query(measure: Callable[[_Ranked], Floats]) -> Callable[[Array, Array], Weighted]:
    def bind(truth: Array, scores: Array) -> Weighted:
        ranked = _Ranked.of(truth, scores)
        return ranked.mean(measure(ranked))

    return bind


def _ndcg(depth: int | None) -> Callable[[_Ranked], Floats]:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002): a grade g is worth 2^g − 1."""

    def measure(ranked: _Ranked) -> Floats:
        discounts = 1 / np.log2(ranked.place + 2.0)
        if depth is not None:
            discounts = np.where(ranked.place < depth, discounts, 0.0)
        gains = np.exp2(ranked.grade) - 1
        best = gains[np.lexsort((-gains, ranked.query))]
        ideal = ranked.by_query(best * discounts)
        found = ranked.by_query(gains * ranked.shared(discounts))
        return np.divide(found, ideal, out=np.zeros(len(ideal)), where=ideal > 0)

    return measure


def _recall(depth: int) -> Callable[[_Ranked], Floats]:
    """The share of a query's positive rows that are among its first `depth`."""

    def measure(ranked: _Ranked) -> Floats:
        inside = ranked.shared((ranked.place < depth).astype(float))
        positives = ranked.by_query(ranked.positive)
        return ranked.by_query(ranked.positive * inside) / np.maximum(positives, 1)

    return measure


def _average_precision(ranked: _Ranked) -> Floats:
    """The mean precision at a query's positive rows, of all rows with at least their score."""
    total = np.cumsum(ranked.positive)
    before = (total - ranked.positive)[ranked.place == 0]
    last = np.append(ranked.tie[1:] != ranked.tie[:-1], True)[: len(ranked.tie)]
    ends = np.flatnonzero(last)[ranked.tie]
    precision = (total[ends] - before[ranked.query]) / (ranked.place[ends] + 1)
    return ranked.by_query(ranked.positive * precision) / np.maximum(ranked.by_query(ranked.positive), 1)


register("ndcg_10", "ranking", higher_is_better=True)(_per_query(_ndcg(10)))
register("ndcg", "ranking", higher_is_better=True)(_per_query(_ndcg(None)))
register("map", "ranking", higher_is_better=True)(_per_query(_average_precision))
register("recall_10", "ranking", higher_is_better=True)(_per_query(_recall(10)))
for _depth in (1, 3, 5, 20):
    register(f"ndcg_{_depth}", "ranking", higher_is_better=True, usual=False)(_per_query(_ndcg(_depth)))
    register(f"recall_{_depth}", "ranking", higher_is_better=True, usual=False)(_per_query(_recall(_depth)))
