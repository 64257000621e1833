"""Is one candidate better than another by more than noise? Both are judged on the same resamples of the folds' rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Scores
from mainstem.models.evaluation.comparison import Fold, units
from mainstem.models.metrics import Metric
from mainstem.models.metrics.intervals import resampled

DRAWS = 100
MOST_ROWS = 20_000
"""Rows of a fold that are resampled at most. More rows cost time, and decide nothing that these do not."""


def confidence(judge: Metric, folds: Sequence[Fold], ours: Sequence[Scores], theirs: Sequence[Scores]) -> float:
    """Return in what share of the resamples our mean over the folds is better than theirs. An undefined draw is not."""
    both = zip(folds, ours, theirs, strict=True)
    gains = [_gains(judge, fold, one, other, number) for number, (fold, one, other) in enumerate(both)]
    defined = [number for number, each in enumerate(gains) if not np.isnan(each).all()]
    weights = [folds[number].weight for number in defined]
    if not defined:
        return 0.0
    return float((np.average([gains[number] for number in defined], axis=0, weights=weights) > 0).mean())


def _gains(judge: Metric, fold: Fold, ours: Scores, theirs: Scores, number: int) -> NDArray[np.float64]:
    some = _some(fold, number)
    future = fold.future.take(some)
    first, second = judge.bind(future.truth, ours[some]), judge.bind(future.truth, theirs[some])
    drawn = resampled(len(future), units(future), DRAWS, future.seed + number)
    return np.array(list(_differences(judge, first, second, drawn)), float)


def _differences(judge: Metric, first: Any, second: Any, drawn: Any) -> Iterator[float]:
    for weights in drawn:
        yield judge.sign * (first(weights) - second(weights))


def _some(fold: Fold, number: int) -> NDArray[np.intp]:
    rows = len(fold.future)
    if rows <= MOST_ROWS:
        return np.arange(rows)
    return fold.future.some(MOST_ROWS, fold.future.seed + number)
