"""Intervals of a version that is measured in time: they include the drift that was seen between folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mainstem.models.data.rows import Examples, Scores
from mainstem.models.evaluation.comparison import Comparison, units
from mainstem.models.metrics import METRICS, measures
from mainstem.models.metrics.drift import FEWEST, Period, widened
from mainstem.nodes.records import Measure

DRAWS, MOST_ROWS = 50, 10_000
"""How often, and how many rows of a fold are resampled for the standard error of a metric."""


def drifted(
    metrics: Mapping[str, Measure], compared: Comparison, train: Examples, test: Examples
) -> dict[str, Measure]:
    """Return the metrics of rows in time with intervals that hold for the next period too. It is as far after the test
    as the test is after the last fold.

    The periods are the folds of the chosen candidate, and the test. A metric that too few of them define stays. So does
    one that is biased: its resamples do not tell the noise of a period.
    """
    folds = compared.folds
    if len(folds) + 1 < FEWEST:
        return dict(metrics)
    before = [_measured(fold.future, fold.scores[compared.chosen], list(metrics)) for fold in folds]
    found = {}
    for name, last in metrics.items():
        metric = METRICS[name]
        if metric.biased:
            found[name] = last
            continue
        periods = [
            Period(*told[name], len(fold.past), _middle(fold.future))
            for told, fold in zip(before, folds, strict=True)
            if np.isfinite(told[name]).all()
        ]
        periods.append(Period(last.value, (last.high - last.low) / WIDTH, len(train), _middle(test)))
        following = 2 * _middle(test) - _middle(folds[-1].future)
        found[name] = widened(last, periods, following, sign=metric.sign, most=metric.most)
    return found


WIDTH = 3.92
"""Standard errors between the ends of a 95 % interval."""


def _measured(rows: Examples, scores: Scores, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the value and the standard error of each metric."""
    some = rows.some(MOST_ROWS, rows.seed)
    part = rows.take(some)
    judges = [METRICS[name] for name in names]
    drawn = measures(judges, part.truth, scores[some], groups=units(part), resamples=DRAWS, seed=rows.seed)
    less = float(np.sqrt(len(part) / len(rows)))
    return {
        name: (METRICS[name].value(rows.truth, scores), (found.high - found.low) / WIDTH * less)
        for name, found in drawn.items()
    }


def _middle(rows: Examples) -> float:
    return float(rows.times.mean())
