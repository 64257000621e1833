"""Is one candidate better than another by more than noise? Both are judged on the same resamples of the folds' rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Scores
from mainstem.models.evaluation.comparison import Fold, units
from mainstem.models.metrics import Metric
from mainstem.models.metrics.intervals import resampled

DRAWS = 100

FEWEST_DRAWS = 20
"""The fewest draws that decide. If the time ends before, the result is NaN."""

LEADERS = 10
"""The best trials that each resample chooses among."""

MOST_ROWS = 20_000
"""Rows of a fold that are resampled at most. More rows cost time, and decide nothing that these do not."""

Weights = NDArray[np.float64]
Bound = Callable[[Weights], float]


def always() -> bool:
    """Say that there is time: a number of trials has no end in time."""
    return True


def confidence(
    judge: Metric,
    folds: Sequence[Fold],
    ours: Sequence[Scores],
    theirs: Sequence[Scores],
    has_time: Callable[[], bool] = always,
) -> float:
    """Return in what share of the resamples our mean over the folds is better than theirs. An undefined draw is not.

    NaN if the time does not suffice for `FEWEST_DRAWS`.
    """
    found = _values(_bound(judge, folds, [ours, theirs]), _drawn(folds), has_time)
    if len(found) < FEWEST_DRAWS:
        return float("nan")
    values = judge.sign * np.array(found, float)
    gains = (values[:, :, 0] - values[:, :, 1]).T
    defined = [number for number, each in enumerate(gains) if not np.isnan(each).all()]
    weights = [folds[number].weight for number in defined]
    if not defined:
        return 0.0
    return float((np.average([gains[number] for number in defined], axis=0, weights=weights) > 0).mean())


def lead(
    judge: Metric,
    folds: Sequence[Fold],
    tried: Sequence[Sequence[Scores]],
    usual: Sequence[Scores],
    has_time: Callable[[], bool] = always,
) -> float:
    """Return in what share of the resamples the best of `tried` on the drawn rows is better than `usual` on the others.

    The best of many is the luckiest, too. Rows that did not choose it do not know its luck. The more were tried alike,
    the less often the same one leads twice. Method: Tsamardinos, Greasidou and Borboudakis, "Bootstrapping the
    out-of-sample predictions for efficient and accurate cross-validation" (Machine Learning 107, 2018). NaN if the
    time does not suffice for `FEWEST_DRAWS`.
    """
    bound = _bound(judge, folds, [*tried, usual])
    found = _values([*bound, *bound], ((*drawn, *map(_others, drawn)) for drawn in _drawn(folds)), has_time)
    if len(found) < FEWEST_DRAWS:
        return float("nan")
    weights, both = [fold.weight for fold in folds], np.array(found, float).swapaxes(0, 1)
    within, beyond = (judge.sign * _averaged(each, weights) for each in np.split(both, 2))
    chosen = np.argmax(np.nan_to_num(within[:, :-1], nan=-np.inf), axis=1)
    return float((beyond[np.arange(len(chosen)), chosen] > beyond[:, -1]).mean())


def seconds_of(judge: Metric, folds: Sequence[Fold], scores: Sequence[Scores], clock: Callable[[], float]) -> float:
    """Return how long the fewest draws of `lead` take, from one evaluation of the metric in each fold."""
    total = 0.0
    for (bound,), drawn in zip(_bound(judge, folds, [scores]), next(_drawn(folds)), strict=True):
        began = clock()
        bound(drawn)
        total += clock() - began
    return total * FEWEST_DRAWS * 2 * (LEADERS + 1)


def _bound(judge: Metric, folds: Sequence[Fold], scores: Sequence[Sequence[Scores]]) -> list[list[Bound]]:
    """Return the metric of each scores, bound to the rows of each fold that are resampled."""
    found = []
    for number, fold in enumerate(folds):
        some = _some(fold, number)
        truth = fold.future.take(some).truth
        found.append([judge.bind(truth, each[number][some]) for each in scores])
    return found


def _drawn(folds: Sequence[Fold]) -> Iterator[tuple[Weights, ...]]:
    """Yield the weights of each fold's rows in each draw."""
    draws = []
    for number, fold in enumerate(folds):
        future = fold.future.take(_some(fold, number))
        draws.append(resampled(len(future), units(future), DRAWS, future.seed + number))
    return zip(*draws, strict=True)


def _others(weights: Weights) -> Weights:
    """Return the weights of the rows that were not drawn."""
    return np.asarray(weights == 0, float)


def _values(
    bound: Sequence[Sequence[Bound]], draws: Iterable[tuple[Weights, ...]], has_time: Callable[[], bool]
) -> list[list[list[float]]]:
    """Return the values of each draw: of `bound`, each with its weights. A draw that time ends is left out."""
    found: list[list[list[float]]] = []
    for drawn in draws:
        values: list[list[float]] = []
        for every, weights in zip(bound, drawn, strict=True):
            values.append([])
            for each in every:
                if not has_time():
                    return found
                values[-1].append(float(each(weights)) if weights.any() else float("nan"))
        found.append(values)
    return found


def _averaged(values: NDArray[np.float64], weights: Sequence[float]) -> NDArray[np.float64]:
    """Return the means over the first axis, the folds, where values are defined."""
    each = np.reshape(weights, (-1, 1, 1)) * ~np.isnan(values)
    total = each.sum(axis=0)
    return np.asarray(
        np.where(total > 0, (np.nan_to_num(values) * each).sum(axis=0) / np.maximum(total, 1e-12), np.nan)
    )


def _some(fold: Fold, number: int) -> NDArray[np.intp]:
    rows = len(fold.future)
    if rows <= MOST_ROWS:
        return np.arange(rows)
    return fold.future.some(MOST_ROWS, fold.future.seed + number)
