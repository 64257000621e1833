"""Choose a calibration out of fold: by the log loss of rows that neither the model nor the calibration has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Scores
from mainstem.models.evaluation.comparison import Comparison, Outcome, mean_of
from mainstem.models.metrics import METRICS, Metric
from mainstem.models.search.calibration import OF_TASK, calibrated, losses
from mainstem.models.search.evidence import confidence
from mainstem.models.search.leveling import fitted
from mainstem.models.splits import is_timed
from mainstem.nodes.models import CLASSES, Calibrate

FEWEST_ROWS = 1_000
"""Rows out of fold below which nothing is calibrated unless it is declared."""

FEWEST_EACH = 100
"""The same for the rows of the rarest class."""

SURE = 0.95
"""The share of resamples in which the log loss must be better than without calibration."""


def calibrating(compared: Comparison, judge: Metric, asked: Calibrate) -> Comparison:
    """Return the comparison led by the calibrated candidate, if that is better out of fold or declared."""
    task = compared.folds[0].future.task
    kinds = OF_TASK[task] if asked == "auto" else (asked,)
    y = np.concatenate([fold.future.y for fold in compared.folds])
    if asked == "none" or task not in CLASSES or (asked == "auto" and not _has_enough(y)):
        return compared
    weights = _weights(compared)
    if asked == "auto" and weights is not None:
        return _told(compared, "none: rows have weights; calibrate= declares one")
    first = compared.ranked[0]
    own = [fold.scores[first.name] for fold in compared.folds]
    found = {kind: crossed for kind in kinds if (crossed := _crossed(kind, compared, own, weights)) is not None}
    if not found:
        return _told(compared, "none: no function that rises fits the rows out of fold")
    targets = [fold.future.y for fold in compared.folds]
    best = min(found, key=lambda kind: _loss(targets, found[kind], weights))
    before, after = _loss(targets, own, weights), _loss(targets, found[best], weights)
    said = f"log loss out of fold {before:.4f} without, {after:.4f} with {best}"
    if asked == "auto":
        sure = confidence(METRICS["log_loss"], compared.folds, found[best], own)
        if sure < SURE or _mean(judge, compared, found[best]) < _mean(judge, compared, own):
            return _told(compared, f"none: {said}, better in {sure:.0%} of resamples, needed {SURE:.0%}")
    by = fitted(best, y, np.concatenate(own), weights, _periods(compared))
    if by is None:
        return _told(compared, "none: no function that rises fits the rows out of fold")
    outcomes = [
        Outcome(judge.value(fold.future.y, scores), scores, {}, 0.0)
        for fold, scores in zip(compared.folds, found[best], strict=True)
    ]
    led = compared.led_by(calibrated(first, best, by), outcomes, {}, compared.settings[first.name])
    return _told(led, f"{best}: {said}")


def _told(compared: Comparison, said: str) -> Comparison:
    return replace(compared, said={**compared.said, "calibration": said})


def _has_enough(y: NDArray[Any]) -> bool:
    return len(y) >= FEWEST_ROWS and int(np.unique(y, return_counts=True)[1].min()) >= FEWEST_EACH


def _weights(compared: Comparison) -> NDArray[np.float64] | None:
    """Return how much each row out of fold counts; None if all count the same."""
    found = [fold.future.weights for fold in compared.folds]
    return None if any(each is None for each in found) else np.concatenate([each for each in found if each is not None])


def _crossed(
    kind: str, compared: Comparison, own: Sequence[Scores], weights: NDArray[np.float64] | None
) -> list[Scores] | None:
    """Return each fold's scores, corrected by what the other rows show: other folds, or the other half of one."""
    targets = [fold.future.y for fold in compared.folds]
    part = np.concatenate([np.full(len(each), number) for number, each in enumerate(targets)])
    if len(targets) == 1:
        part = np.arange(len(targets[0])) % 2
    y, scores, periods = np.concatenate(targets), np.concatenate(own), _periods(compared)
    found = np.empty_like(scores)
    for number in np.unique(part):
        others = part != number
        if len(np.unique(y[others])) < 2:
            return None
        counted, during = (None if each is None else each[others] for each in (weights, periods))
        by = fitted(kind, y[others], scores[others], counted, during)
        if by is None:
            return None
        found[~others] = by.scores(scores[~others])
    return np.split(found, np.cumsum([len(each) for each in targets])[:-1])


def _periods(compared: Comparison) -> NDArray[np.intp] | None:
    """Return the fold of each row out of fold if the folds follow each other in time."""
    futures = [fold.future for fold in compared.folds]
    if not all(is_timed(each.times) for each in futures):
        return None
    return np.repeat(np.arange(len(futures)), [len(each.y) for each in futures])


def _loss(targets: Sequence[NDArray[Any]], scores: Sequence[Scores], weights: NDArray[np.float64] | None) -> float:
    found = np.concatenate([losses(y, each) for y, each in zip(targets, scores, strict=True)])
    return float(np.average(found, weights=weights))


def _mean(judge: Metric, compared: Comparison, scores: Sequence[Scores]) -> float:
    values = [judge.value(fold.future.y, each) for fold, each in zip(compared.folds, scores, strict=True)]
    mean = mean_of(values, compared.folds)
    # Calibration keeps the order within a fold; a hundredth of a thousandth is rounding.
    return round(judge.sign * mean, 5) if mean == mean else 0.0
