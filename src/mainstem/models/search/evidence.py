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


def lead(judge: Metric, folds: Sequence[Fold], tried: Sequence[Sequence[Scores]], usual: Sequence[Scores]) -> float:
    """Return in what share of the resamples the best of `tried` on the drawn rows is better than `usual` on the others.

    The best of many is the luckiest, too. Rows that did not choose it do not know its luck. The more were tried alike,
    the less often the same one leads twice. Method: Tsamardinos, Greasidou and Borboudakis, "Bootstrapping the
    out-of-sample predictions for efficient and accurate cross-validation" (Machine Learning 107, 2018).
    """
    inside, outside = [], []
    for number, fold in enumerate(folds):
        some = _some(fold, number)
        future = fold.future.take(some)
        bound = [judge.bind(future.truth, each[number][some]) for each in (*tried, usual)]
        drawn = list(resampled(len(future), units(future), DRAWS, future.seed + number))
        inside.append([[_valued(each, weights) for each in bound] for weights in drawn])
        outside.append([[_valued(each, (weights == 0).astype(float)) for each in bound] for weights in drawn])
    weights = [fold.weight for fold in folds]
    within, beyond = (judge.sign * _averaged(np.array(each, float), weights) for each in (inside, outside))
    chosen = np.argmax(np.nan_to_num(within[:, :-1], nan=-np.inf), axis=1)
    return float((beyond[np.arange(len(chosen)), chosen] > beyond[:, -1]).mean())


def _valued(bound: Any, weights: NDArray[np.float64]) -> float:
    return float(bound(weights)) if weights.any() else float("nan")


def _averaged(values: NDArray[np.float64], weights: Sequence[float]) -> NDArray[np.float64]:
    """Return the means over the first axis, the folds, where values are defined."""
    each = np.reshape(weights, (-1, 1, 1)) * ~np.isnan(values)
    total = each.sum(axis=0)
    return np.asarray(
        np.where(total > 0, (np.nan_to_num(values) * each).sum(axis=0) / np.maximum(total, 1e-12), np.nan)
    )


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
