"""What a version uses: permutation importance (Breiman 2001) and partial dependence (Friedman 2001).

Both score changed copies of test rows with the artifact that was measured. Nothing is fitted or chosen by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import NULL, Rows
from mainstem.models.evaluation.outofsample import OutOfSample, column, with_column
from mainstem.models.metrics import Metric
from mainstem.models.metrics.intervals import interval_of, resampled
from mainstem.nodes.evaluations import Dependence, DependenceLine, Importance

PERMUTED = 1_000
"""The most rows that are shuffled."""

REPEATS, DRAWS = 3, 100
MOST_INPUTS = 15
SCORED, FEWEST = 200_000, 100
"""Rows that are scored in all, and the fewest of an input, to rank the inputs of an algorithm that does not."""

SHOWN, GRID, LEVELS, ROWS = 6, 15, 8, 200
MOST_LINES = 4


def importances(
    measured: OutOfSample, judge: Metric, inputs: Sequence[tuple[str, int]], units: NDArray[np.int64] | None
) -> tuple[Importance, ...]:
    """Return the permutation importance of the first `MOST_INPUTS` of `inputs` (name and number), largest first.

    The interval is a bootstrap of rows, or of the `units` [n] that they belong to.
    """
    at = measured.sample(PERMUTED)
    some = measured.examples.take(at)
    groups = None if units is None else units[at]
    whole = judge.bind(some.truth, measured.scores[at])
    weights = list(resampled(len(some), groups, DRAWS, some.seed))
    found = []
    for name, number in inputs[:MOST_INPUTS]:
        shuffled = [judge.bind(some.truth, scores) for scores in _shuffled(measured, some.rows, at, number)]

        def loss(w: Any, shuffled: Any = shuffled) -> float:
            return judge.sign * (whole(w) - float(np.mean([each(w) for each in shuffled])))

        value = interval_of(loss(np.ones(len(some))), [loss(w) for w in weights], len(some))
        if np.isfinite([value.value, value.low, value.high]).all():
            found.append(Importance(name, value))
    return tuple(sorted(found, key=lambda each: -each.loss.value))


def shares(measured: OutOfSample, judge: Metric, inputs: Sequence[str]) -> dict[str, float]:
    """Return each input's share of the losses that shuffling one at a time causes, zeros if no input causes any.

    It ranks inputs for an algorithm that tells no importance: each is shuffled once, and an interval is not made.
    """
    at = measured.sample(min(PERMUTED, max(FEWEST, SCORED // max(len(inputs), 1))))
    some = measured.examples.take(at)
    whole = judge.value(some.truth, measured.scores[at])
    lost = np.zeros(len(inputs))
    for number in range(len(inputs)):
        (scores,) = _shuffled(measured, some.rows, at, number, 1)
        loss = judge.sign * (whole - judge.value(some.truth, scores))
        lost[number] = max(loss, 0.0) if np.isfinite(loss) else 0.0
    return dict(zip(inputs, (lost / (lost.sum() or 1.0)).tolist(), strict=True))


def _shuffled(
    measured: OutOfSample, rows: Rows, at: NDArray[np.intp], number: int, repeats: int = REPEATS
) -> list[Any]:
    random = np.random.default_rng([measured.examples.seed, number])
    values = column(rows, number)
    return [
        measured.rescored(with_column(rows, number, values[random.permutation(len(values))]), at)
        for _ in range(repeats)
    ]


def dependence(
    measured: OutOfSample, inputs: Sequence[tuple[str, int]], classes: Sequence[str]
) -> tuple[Dependence, ...]:
    """Return the partial dependence of the score on the first `SHOWN` of `inputs`, over a sample of rows."""
    at = measured.sample(ROWS)
    rows = measured.examples.take(at).rows
    found = []
    for name, number in inputs[:SHOWN]:
        grid = _grid(column(measured.examples.rows, number))
        if len(grid) < 2:
            continue
        copies = [measured.rescored(with_column(rows, number, value), at) for value in grid]
        values = tuple(value if isinstance(value, str) else float(f"{value:.6g}") for value in grid)
        found.append(Dependence(name, values, _lines(np.stack(copies), measured, classes)))
    return tuple(found)


def _grid(values: NDArray[Any]) -> list[Any]:
    """Return the values that are tried: the most frequent texts, or quantiles of the numbers from 5 % to 95 %."""
    if values.dtype == object:
        levels, counts = np.unique(values[values != NULL].astype(str), return_counts=True)
        return [str(levels[i]) for i in np.argsort(-counts, kind="stable")[:LEVELS]]
    finite = values[np.isfinite(values)]
    distinct = np.unique(finite)
    if len(distinct) <= GRID:
        return [float(value) for value in distinct]
    return [float(v) for v in np.unique(np.quantile(finite, np.linspace(0.05, 0.95, GRID)).astype(np.float32))]


def _lines(scores: NDArray[np.float64], measured: OutOfSample, classes: Sequence[str]) -> tuple[DependenceLine, ...]:
    if scores.ndim == 2:
        return (_line("", scores),)
    if measured.examples.task == "quantile":
        return tuple(_line(label, scores[:, :, place]) for place, label in list(enumerate(classes))[:MOST_LINES])
    counts = np.bincount(measured.examples.y, minlength=len(classes))
    often = np.sort(np.argsort(-counts, kind="stable")[:MOST_LINES])
    return tuple(_line(classes[number], scores[:, :, number]) for number in often)


def _line(label: str, scores: NDArray[np.float64]) -> DependenceLine:
    low, high = np.percentile(scores, (10, 90), axis=1)
    mean, low, high = (tuple(float(f"{v:.6g}") for v in each) for each in (scores.mean(1), low, high))
    return DependenceLine(label, mean, low, high)
