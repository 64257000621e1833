"""The learning curve: what the chosen candidate scores when it learns from fewer rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models import splits
from mainstem.models.data.rows import Examples
from mainstem.models.evaluation.comparison import Comparison, units
from mainstem.models.evaluation.fitting import fitted, scored
from mainstem.models.metrics import Metric, measure
from mainstem.nodes.evaluations import LearningPoint
from mainstem.nodes.records import Measure

MOST_CELLS, FEWEST_ROWS = 250_000, 40
"""The most cells (rows times inputs) that are fitted again, unless they are of twice the fewest rows."""

POINTS = 3
DRAWS = 100


def learning_curve(compared: Comparison, judge: Metric) -> tuple[LearningPoint, ...]:
    """Return the metric on the validation rows of the last fold, by the number of rows that were learned from.

    Of rows in time the latest are learned from, of others a random part. The test rows are not used. Each point has
    twice the rows of the one before; on a large fold they end far from the last one, which has all rows and is fitted
    already.
    """
    fold = compared.folds[-1]
    found = []
    for rows in sizes(len(fold.past), fold.past.rows.width):
        some = fold.past.take(_part(fold.past, rows))
        try:
            estimator = fitted(compared.ranked[0], some)
            scores = scored(compared.chosen, estimator, fold.future.rows, some)
        except ModelError:  # too few rows of a class, or of a text
            continue
        found.append((len(some), scores))
    found.append((len(fold.past), fold.scores[compared.chosen]))
    points = [LearningPoint(rows, _measured(fold.future, scores, judge)) for rows, scores in found]
    defined = [p for p in points if np.isfinite([p.measure.value, p.measure.low, p.measure.high]).all()]
    return tuple(defined) if len(defined) > 1 else ()


def sizes(rows: int, inputs: int) -> list[int]:
    """Return how many of a fold's rows are learned from at each point but the last, ascending."""
    most = min(rows // 2, max(MOST_CELLS // max(inputs, 1), 2 * FEWEST_ROWS))
    found = [most // 2**halved for halved in reversed(range(POINTS))]
    return [each for each in found if each >= FEWEST_ROWS]


def _part(past: Examples, rows: int) -> NDArray[np.intp]:
    if splits.is_timed(past.times):
        return np.sort(np.argsort(past.times, kind="stable")[len(past) - rows :])
    return past.some(rows, past.seed)


def _measured(future: Examples, scores: NDArray[np.float64], judge: Metric) -> Measure:
    return measure(judge, future.truth, scores, groups=units(future), resamples=DRAWS, seed=future.seed)
