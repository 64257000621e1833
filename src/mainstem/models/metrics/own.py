"""Metrics of one's own: tried on a few rows when the project loads, then used like the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstem.errors import DefinitionError
from mainstem.models.metrics.base import METRICS, Array, Floats, Metric, Weighted, for_task
from mainstem.nodes.metrics import OwnMetric
from mainstem.nodes.models import Task

ROWS, CLASSES = 60, 3


def own(of: OwnMetric, task: Task) -> Metric:
    """Register a metric of one's own for a task, and return it. Raises `DefinitionError` if it does not fit the task.

    On rows of the task, good scores must have a better value than bad ones, and both must be finite numbers.
    """
    if of.name in METRICS and not isinstance(METRICS[of.name].bind, _Bind):
        raise DefinitionError(
            f"the metric {of.name!r} has the name of a metric of Mainstem", where=of.where, hint="another name"
        )
    if task in ("quantile", "ranking"):
        what = f"the metric {of.name!r} cannot judge the task {task!r}"
        raise DefinitionError(what, where=of.where, expected=f"a metric of Mainstem, such as {for_task(task)[0]}")
    y, good, bad = _probe(task)
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
    METRICS[of.name] = Metric(of.name, frozenset([task, *tasks]), of.higher_is_better, _Bind(of), usual=False)
    return METRICS[of.name]


def alone(of: OwnMetric, others: dict[str, OwnMetric]) -> None:
    """Refuse two metrics of one name in a project: a version is known by the name. Raises `DefinitionError`."""
    other = others.setdefault(of.name, of)
    if other is not of:
        what = f"two metrics are called {of.name!r}"
        raise DefinitionError(what, where=of.where, got=f"another one at {other.where}", hint="another name")


class _Bind:
    """Binds a function without weights: a row of weight 2 is there twice."""

    def __init__(self, of: OwnMetric) -> None:
        self.of = of

    def __call__(self, y: Array, scores: Array) -> Weighted:
        def value(weights: Floats) -> float:
            rows = np.repeat(np.arange(len(y)), weights.astype(int))
            return self.of(np.asarray(y)[rows], np.asarray(scores)[rows]) if len(rows) else float("nan")

        return value


def _probe(task: Task) -> tuple[Array, Array, Array]:
    """Return targets with good and with bad scores."""
    random = np.random.default_rng(0)
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
