"""Metrics of one's own: tried on a few rows when the project loads, then used like the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstem.errors import DefinitionError, ModelError
from mainstem.graph.fingerprint import of_function
from mainstem.models.metrics.base import METRICS, Array, Floats, Metric, Weighted
from mainstem.nodes.metrics import OwnMetric
from mainstem.nodes.models import Task

ROWS, CLASSES = 60, 3
OF_QUERY = 6
"""Rows of a query on which a metric of rankings is tried."""

LEVELS = (0.1, 0.5, 0.9)


def own(of: OwnMetric, task: Task, levels: Sequence[float] = ()) -> Metric:
    """Register a metric of one's own for a task, and return it. Raises `DefinitionError` if it does not fit the task.

    On rows of the task, good scores must have a better value than bad ones, and both must be finite numbers. `levels`
    are those of the model's quantiles.
    """
    if of.name in METRICS and not isinstance(METRICS[of.name].bind, _Bind):
        raise DefinitionError(
            f"the metric {of.name!r} has the name of a metric of Mainstem", where=of.where, hint="another name"
        )
    y, good, bad = _probe(task, levels or LEVELS)
    best, worst = (_tried(of, task, y, scores) for scores in (good, bad))
    if (best > worst) != of.higher_is_better or best == worst:
        raise DefinitionError(
            f"the metric {of.name!r} does not prefer good scores",
            where=of.where,
            got=f"{best:g} for good scores, {worst:g} for bad ones, higher_is_better={of.higher_is_better}",
            expected="a better value for scores near the targets",
        )
    before = METRICS.get(of.name)
    tasks = before.tasks if before is not None and isinstance(before.bind, _Bind) and before.bind.of is of else ()
    code = of_function(of.function)
    METRICS[of.name] = Metric(
        of.name, frozenset([task, *tasks]), of.higher_is_better, _Bind(of), usual=False, code=code
    )
    return METRICS[of.name]


def alone(of: OwnMetric, others: dict[str, OwnMetric]) -> None:
    """Refuse two metrics of one name in a project: a version is known by the name. Raises `DefinitionError`."""
    other = others.setdefault(of.name, of)
    if other is not of:
        what = f"two metrics are called {of.name!r}"
        raise DefinitionError(what, where=of.where, got=f"another one at {other.where}", hint="another name")


@dataclass(frozen=True)
class _Bind:
    """Binds a function without weights: a row of weight 2 is there twice. A query of weight 2 is two queries."""

    of: OwnMetric

    def __call__(self, y: Array, scores: Array) -> Weighted:
        truth, given = np.asarray(y), np.asarray(scores)
        is_ranking = truth.ndim == 2 and given.ndim == 1

        def value(weights: Floats) -> float:
            times = weights.astype(int)
            rows = np.repeat(np.arange(len(truth)), times)
            if not len(rows):
                return float("nan")
            return self._of(_apart(truth[rows], times) if is_ranking else truth[rows], given[rows])

        return value

    def _of(self, y: Array, scores: Array) -> float:
        try:
            return self.of(y, scores)
        except Exception as problem:
            raise ModelError(
                f"the metric {self.of.name!r} fails",
                where=self.of.where,
                got=f"{type(problem).__name__}: {problem}",
                expected=f"a number from targets {y.shape} and scores {scores.shape}",
                hint='float("nan") where it is undefined, as in a resample with one class; the traceback is the cause',
            ) from problem


def _apart(truth: Array, times: Array) -> Array:
    """Return grades and queries of repeated rows [n, 2] with a number of its own for each copy of a query."""
    copy = np.arange(len(truth)) - np.repeat(np.cumsum(times) - times, times)
    return np.column_stack([truth[:, 0], truth[:, 1] + copy * (truth[:, 1].max() + 1)])


def _probe(task: Task, levels: Sequence[float]) -> tuple[Array, Array, Array]:
    """Return targets with good and with bad scores."""
    random = np.random.default_rng(0)
    y: Array
    if task == "quantile":
        y = random.normal(10, 1, ROWS)
        near = 10 + np.linspace(-1, 1, len(levels)) if len(levels) > 1 else np.full(1, 10.0)
        good = np.tile(near, (ROWS, 1))
        return np.column_stack([y, np.tile(levels, (ROWS, 1))]), good, 3 * good + 20
    if task == "ranking":
        grades = random.permuted(np.tile(np.arange(OF_QUERY) % 4.0, (ROWS // OF_QUERY, 1)), axis=1).ravel()
        return np.column_stack([grades, np.arange(ROWS) // OF_QUERY]), grades + random.random(ROWS) * 0.1, -grades
    if task == "binary":
        y = np.arange(ROWS) % 2
        return y, np.where(y == 1, 0.9, 0.1) - random.random(ROWS) * 0.09, np.where(y == 1, 0.2, 0.8)
    if task == "multiclass":
        y = np.arange(ROWS) % CLASSES
        return y, np.eye(CLASSES)[y] * 0.7 + 0.1, np.eye(CLASSES)[(y + 1) % CLASSES] * 0.7 + 0.1
    if task == "count":
        counts = 1.0 + np.arange(ROWS) % 9
        return counts, counts + 0.1, counts[::-1] + 5.0
    values = 1.0 + random.random(ROWS) * 9
    return values, values + random.normal(0, 0.01, ROWS), values[::-1] + 5.0


def _tried(of: OwnMetric, task: Task, y: Array, scores: Array) -> float:
    try:
        found: Any = of.function(y.copy(), scores.copy())
        value = float(found)
    except Exception as problem:
        raise DefinitionError(
            f"the metric {of.name!r} fails on {task} rows",
            where=of.where,
            got=f"{type(problem).__name__}: {problem}",
            expected=f"a number from targets {y.shape} and scores {scores.shape}",
        ) from problem
    if not np.isfinite(value):
        raise DefinitionError(f"the metric {of.name!r} is not finite on {task} rows", where=of.where, got=str(value))
    return value
