"""Metrics with intervals: the bootstrap, on rows or on groups of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mainstem.models.metrics.base import Array, Floats, Metric
from mainstem.models.metrics.decisions import confusion
from mainstem.models.metrics.ranking import ordering
from mainstem.nodes.records import Measure

INTERVAL = (2.5, 97.5)


def measure(
    of: Metric, y: Array, scores: Array, *, groups: Array | None = None, resamples: int = 200, seed: int = 0
) -> Measure:
    """Return the metric with its 95 % percentile-bootstrap interval.

    `groups` [n] (integers) are resampled as wholes. Rows of one day share its weather: resampling single rows would
    make the interval too narrow.
    """
    return measures([of], y, scores, groups=groups, resamples=resamples, seed=seed)[of.name]


def measures(
    of: Sequence[Metric],
    y: Array,
    scores: Array,
    *,
    groups: Array | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, Measure]:
    """Return several metrics on the same rows, by name, from the same resamples."""
    values = _together(of, np.asarray(y), np.asarray(scores))
    draws: dict[str, list[float]] = {m.name: [] for m in of}
    for weights in resampled(len(y), groups, resamples, seed):
        for name, value in values(weights).items():
            draws[name].append(value)
    whole = values(np.ones(len(y)))
    return {m.name: interval_of(whole[m.name], draws[m.name], len(y), biased=m.biased) for m in of}


def _together(of: Sequence[Metric], y: Array, scores: Array) -> Callable[[Floats], dict[str, float]]:
    """Bind several metrics. Those of the confusion matrix share it, and those of the order of the scores share that,
    because it is most of their work."""
    bound = {m.name: m.bind(y, scores) for m in of if m.confused is None and m.ordered is None}
    orders = {m.name: m.ordered for m in of if m.ordered is not None}
    above = ordering(y, scores) if orders else None
    decisions = {m.name: m.confused for m in of if m.confused is not None}
    matrix = confusion(y, scores) if decisions else None

    def values(weights: Floats) -> dict[str, float]:
        found = {name: value(weights) for name, value in bound.items()}
        if above is not None:
            hits, flagged = above(weights)
            found |= {name: value(hits, flagged) for name, value in orders.items()}
        confused = None if matrix is None else matrix(weights)
        found |= {name: value(confused) for name, value in decisions.items() if confused is not None}
        return {m.name: found[m.name] for m in of}

    return values


def difference(
    of: Metric,
    y: Array,
    scores: Array,
    other: Array,
    *,
    groups: Array | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> Measure:
    """Return how much better `scores` are than `other` on the same rows, with a paired 95 % bootstrap interval.

    Positive means better: the sign is inverted for metrics where lower is better.
    """
    truth = np.asarray(y)
    first, second = of.bind(truth, np.asarray(scores)), of.bind(truth, np.asarray(other))

    def gain(weights: Floats) -> float:
        return of.sign * (first(weights) - second(weights))

    draws = [gain(w) for w in resampled(len(truth), groups, resamples, seed)]
    return interval_of(gain(np.ones(len(truth))), draws, len(truth))


def unpaired(
    of: Metric,
    one: tuple[Array, Array],
    other: tuple[Array, Array],
    *,
    groups: tuple[Array | None, Array | None] = (None, None),
    resamples: int = 200,
    seed: int = 0,
) -> Measure:
    """Return how much better `one` is than `other`, each a pair of `y` and scores on rows of its own, with a 95 %
    bootstrap interval. Each side is resampled by its own groups. Positive means better, as in `difference`."""
    drawn, whole = [], []
    for number, ((y, scores), units) in enumerate(zip((one, other), groups, strict=True)):
        value, rows = of.bind(np.asarray(y), np.asarray(scores)), len(y)
        whole.append(value(np.ones(rows)))
        drawn.append([value(weights) for weights in resampled(rows, units, resamples, seed + number)])
    gains = [of.sign * (first - second) for first, second in zip(*drawn, strict=True)]
    return interval_of(of.sign * (whole[0] - whole[1]), gains, len(one[0]) + len(other[0]))


def resampled(rows: int, groups: Array | None, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield the row weights of each resample: how often the row, or its group, was drawn."""
    random = np.random.default_rng(seed)
    units, of_row = (rows, None) if groups is None else _numbered(groups)
    for _ in range(resamples if units else 0):
        drawn = np.bincount(random.integers(0, units, units), minlength=units).astype(float)
        yield drawn if of_row is None else drawn[of_row]


def _numbered(groups: Array) -> tuple[int, NDArray[np.intp]]:
    distinct, of_row = np.unique(np.asarray(groups), return_inverse=True)
    return len(distinct), of_row


def interval_of(value: float, draws: Sequence[float], rows: int, *, biased: bool = False) -> Measure:
    """Return a value with the interval of its resamples.

    A mean of distances, such as ECE, is larger in a resample than in its sample, so that its interval would lie beside
    the value. If `biased`, the resamples are moved by the distance of their mean from the value, but not below 0.
    """
    defined = np.array([d for d in draws if d == d])
    if not len(defined):
        return Measure(value, float("nan"), float("nan"), rows)
    low, high = np.percentile(np.maximum(defined + value - defined.mean(), 0) if biased else defined, INTERVAL)
    return Measure(value, float(low), float(high), rows)
