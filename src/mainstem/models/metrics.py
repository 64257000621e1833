"""Metrics: one definition each, for a value, a weighted value and a bootstrap interval.

A metric is bound to `y` and scores once (this sorts the rows). The result is a function of row weights, because a
resample changes only weights. Scores are P(true) [n] for binary, probabilities [n, K] for multiclass, values [n] for
regression. `y` is 0/1, a class index, or a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import UnknownName
from mainstem.nodes.models import Task
from mainstem.nodes.records import Measure

Floats = NDArray[np.float64]
Array = NDArray[Any]
Weighted = Callable[[Floats], float]
"""A bound metric: from row weights [n] to its value, NaN where it is undefined."""

TINY = 1e-15
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Metric:
    """A metric: its name, its tasks, whether higher is better, and `bind(y, scores)`."""

    name: str
    tasks: frozenset[Task]
    higher_is_better: bool
    bind: Callable[[Array, Array], Weighted]

    @property
    def sign(self) -> int:
        """+1 if higher is better, else −1."""
        return 1 if self.higher_is_better else -1

    def value(self, y: Array, scores: Array, weights: Array | None = None) -> float:
        """Return the metric on rows with optional weights; NaN if undefined, such as AUC of one class."""
        return self.bind(y, scores)(_weights(len(y), weights))


METRICS: dict[str, Metric] = {}


def register(name: str, *tasks: Task, higher_is_better: bool) -> Callable[[Any], Any]:
    """Register the decorated `bind(y, scores) -> (weights -> value)` as a metric."""

    def add(bind: Callable[[Array, Array], Weighted]) -> Callable[[Array, Array], Weighted]:
        METRICS[name] = Metric(name, frozenset(tasks), higher_is_better, bind)
        return bind

    return add


def metric(name: str, task: Task | None = None) -> Metric:
    """Return the metric of a name. Raises `UnknownName` if it does not exist, or not for `task`."""
    if name not in METRICS or (task is not None and task not in METRICS[name].tasks):
        kind = f"{task} metric" if task else "metric"
        raise UnknownName.among(kind, name, for_task(task) if task else METRICS)
    return METRICS[name]


def for_task(task: Task) -> tuple[str, ...]:
    """Return the names of the metrics of a task, in the order of their registration."""
    return tuple(name for name, m in METRICS.items() if task in m.tasks)


# ── ranking ───────────────────────────────────────────────────────────────────────────────────────────


@register("average_precision", "binary", higher_is_better=True)
def _average_precision(y: Array, scores: Array) -> Weighted:
    ranked = _ranked(y, scores)

    def value(weights: Floats) -> float:
        hits, flagged = ranked(weights)
        if not len(hits) or hits[-1] <= 0 or flagged[-1] <= hits[-1]:
            return float("nan")
        precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
        return _dot(np.diff(hits, prepend=0.0), precision) / float(hits[-1])

    return value


@register("roc_auc", "binary", higher_is_better=True)
def _roc_auc(y: Array, scores: Array) -> Weighted:
    ranked = _ranked(y, scores)

    def value(weights: Floats) -> float:
        hits, flagged = ranked(weights)
        if not len(hits) or hits[-1] <= 0 or flagged[-1] <= hits[-1]:
            return float("nan")
        misses = flagged - hits
        below = misses[-1] - (misses + np.concatenate(([0.0], misses[:-1]))) / 2
        return _dot(np.diff(hits, prepend=0.0), below) / float(hits[-1] * misses[-1])

    return value


def average_precision(y: Array, scores: Array, weights: Array | None = None) -> float:
    """Return the sum over thresholds of the gain in recall times the precision there; NaN for rows of one class."""
    return METRICS["average_precision"].value(y, scores, weights)


def _ranked(y: Array, scores: Array) -> Callable[[Floats], tuple[Floats, Floats]]:
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


# ── means of a loss per row ───────────────────────────────────────────────────────────────────────────


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


def _mean(rows: Array) -> Weighted:
    values = np.asarray(rows, float)

    def value(weights: Floats) -> float:
        total = weights.sum()
        return _dot(weights, values) / float(total) if total > 0 else float("nan")

    return value


@register("log_loss", "binary", "multiclass", higher_is_better=False)
def _log_loss(y: Array, scores: Array) -> Weighted:
    return _mean(row_loss("binary" if np.ndim(scores) == 1 else "multiclass", y, scores))


@register("brier", "binary", higher_is_better=False)
def _brier(y: Array, scores: Array) -> Weighted:
    return _mean(np.square(np.asarray(y, float) - scores))


@register("accuracy", "binary", "multiclass", higher_is_better=True)
def _accuracy(y: Array, scores: Array) -> Weighted:
    return _mean(decided(scores) == np.asarray(y, int))


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


@register("mae", "regression", higher_is_better=False)
def _mae(y: Array, scores: Array) -> Weighted:
    return _mean(np.abs(np.asarray(y, float) - scores))


@register("rmse", "regression", higher_is_better=False)
def _rmse(y: Array, scores: Array) -> Weighted:
    mean = _mean(row_loss("regression", y, scores))
    return lambda weights: float(np.sqrt(mean(weights)))


@register("r2", "regression", higher_is_better=True)
def _r2(y: Array, scores: Array) -> Weighted:
    truth = np.asarray(y, float)
    centred = truth - (truth.mean() if len(truth) else 0.0)
    squares = row_loss("regression", truth, scores)

    def value(weights: Floats) -> float:
        total = weights.sum()
        spread = _dot(weights, centred**2) - _dot(weights, centred) ** 2 / total if total > 0 else 0.0
        return float(1 - _dot(weights, squares) / spread) if spread > 0 else float("nan")

    return value


def decided(scores: Array) -> NDArray[np.int64]:
    """Return the class of each score: the likeliest, or P(true) ≥ ½."""
    probabilities = np.asarray(scores, float)
    return np.asarray(probabilities.argmax(1) if probabilities.ndim == 2 else probabilities >= 0.5, np.int64)


# ── intervals ─────────────────────────────────────────────────────────────────────────────────────────


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
    bound = {m.name: m.bind(np.asarray(y), np.asarray(scores)) for m in of}
    draws: dict[str, list[float]] = {name: [] for name in bound}
    for weights in _resamples(len(y), groups, resamples, seed):
        for name, value in bound.items():
            draws[name].append(value(weights))
    ones = np.ones(len(y))
    return {name: _interval(value(ones), draws[name], len(y)) for name, value in bound.items()}


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

    draws = [gain(w) for w in _resamples(len(truth), groups, resamples, seed)]
    return _interval(gain(np.ones(len(truth))), draws, len(truth))


def _resamples(rows: int, groups: Array | None, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield the row weights of each resample: how often the row, or its group, was drawn."""
    random = np.random.default_rng(seed)
    units, of_row = (rows, None) if groups is None else _numbered(groups)
    for _ in range(resamples if units else 0):
        drawn = np.bincount(random.integers(0, units, units), minlength=units).astype(float)
        yield drawn if of_row is None else drawn[of_row]


def _numbered(groups: Array) -> tuple[int, NDArray[np.intp]]:
    distinct, of_row = np.unique(np.asarray(groups), return_inverse=True)
    return len(distinct), of_row


def _interval(value: float, draws: list[float], rows: int) -> Measure:
    defined = [d for d in draws if d == d]
    if not defined:
        return Measure(value, float("nan"), float("nan"), rows)
    low, high = np.percentile(defined, INTERVAL)
    return Measure(value, float(low), float(high), rows)


def _dot(a: Floats, b: Floats) -> float:
    # Not `@`: BLAS wakes its threads for every vector of this size, at twenty times the cost on a busy machine.
    return float(np.einsum("i,i->", a, b))


def _weights(rows: int, weights: Array | None) -> Floats:
    return np.ones(rows) if weights is None else np.asarray(weights, float)
