"""What a metric is, and metrics by name: a dict and `register`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import DefinitionError, UnknownName
from mainstem.nodes.models import Task

Floats = NDArray[np.float64]
Array = NDArray[Any]
Weighted = Callable[[Floats], float]
"""A bound metric: from row weights [n] to its value, NaN where it is undefined."""


@dataclass(frozen=True)
class Metric:
    """A metric: its name, its tasks, whether higher is better, and `bind(y, scores)`.

    `confused` is the metric as a function of a confusion matrix, if it is one, and `ordered` as a function of the
    weights of positives and of all rows at or above each distinct score. In tasks in which it is not `usual`, a metric
    is measured only where it is asked for. One that is `biased` is larger in resamples than in the rows that they are
    drawn from. One that does not judge cannot choose between candidates: it says what they are like. No value is above
    `most`. `code` is a hash of the function, if the user wrote it.
    """

    name: str
    tasks: frozenset[Task]
    higher_is_better: bool
    bind: Callable[[Array, Array], Weighted]
    confused: Callable[[Floats], float] | None = None
    usual: bool | Sequence[Task] = True
    biased: bool = False
    judges: bool = True
    most: float = inf
    ordered: Callable[[Floats, Floats], float] | None = None
    code: str = ""

    @property
    def sign(self) -> int:
        """+1 if higher is better, else −1."""
        return 1 if self.higher_is_better else -1

    def value(self, y: Array, scores: Array, weights: Array | None = None) -> float:
        """Return the metric on rows with optional weights; NaN if undefined, such as AUC of one class."""
        return self.bind(y, scores)(_weights(len(y), weights))


METRICS: dict[str, Metric] = {}


def register(
    name: str,
    *tasks: Task,
    higher_is_better: bool,
    usual: bool | Sequence[Task] = True,
    biased: bool = False,
    judges: bool = True,
) -> Callable[[Any], Any]:
    """Register the decorated `bind(y, scores) -> (weights -> value)` as a metric."""

    def add(bind: Callable[[Array, Array], Weighted]) -> Callable[[Array, Array], Weighted]:
        METRICS[name] = Metric(
            name,
            frozenset(tasks),
            higher_is_better,
            bind,
            usual=usual,
            biased=biased,
            judges=judges,
            most=1.0 if higher_is_better else inf,
        )
        return bind

    return add


def metric(name: str, task: Task | None = None) -> Metric:
    """Return the metric of a name. Raises `UnknownName` if it does not exist, or not for `task`."""
    if name not in METRICS or (task is not None and task not in METRICS[name].tasks):
        kind = f"{task} metric" if task else "metric"
        raise UnknownName.among(kind, name, for_task(task) if task else METRICS)
    return METRICS[name]


def of_version(name: str, task: Task) -> Metric | None:
    """Return the metric that a version or a monitor was declared with; None if the project no longer has it."""
    found = METRICS.get(name)
    return found if found is not None and task in found.tasks else None


def judge_of(name: str, task: Task) -> Metric:
    """Return the metric that candidates of a task are compared by. Raises `UnknownName`, and `DefinitionError` for one
    that is not better either way."""
    found = metric(name, task)
    if not found.judges:
        raise DefinitionError(
            f"{name} cannot choose between candidates",
            got=f"metric={name!r}",
            expected=", ".join(each for each in for_task(task) if METRICS[each].judges),
            hint="it is measured in any case",
        )
    return found


def for_task(task: Task) -> tuple[str, ...]:
    """Return the names of the metrics of a task, in the order of their registration."""
    return tuple(name for name, m in METRICS.items() if task in m.tasks)


def measured_for(task: Task, judge: str, also: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the metrics that a version of a task is measured by: the usual ones, `judge` and `also`."""
    asked = {judge, *also}
    return tuple(name for name in for_task(task) if _is_usual(METRICS[name], task) or name in asked)


def _is_usual(found: Metric, task: Task) -> bool:
    return found.usual if isinstance(found.usual, bool) else task in found.usual


def mean(rows: Array) -> Weighted:
    """Return the weighted mean of a value per row."""
    values = np.asarray(rows, float)

    def value(weights: Floats) -> float:
        total = weights.sum()
        return dot(weights, values) / float(total) if total > 0 else float("nan")

    return value


def dot(a: Floats, b: Floats) -> float:
    # Not `@`: BLAS wakes its threads for every vector of this size, at twenty times the cost on a busy machine.
    return float(np.einsum("i,i->", a, b))


def _weights(rows: int, weights: Array | None) -> Floats:
    return np.ones(rows) if weights is None else np.asarray(weights, float)
