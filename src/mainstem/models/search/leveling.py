"""Calibration in time order. Rates drift from one period to the next, and the rate of the next one is unknown. So
only the spread of scores is learned, and the level stays that of the model.

Each period has a shift of its own beside one common slope (a logistic regression with fixed effects). The shifts are
taken out before a calibration is fitted, and the fitted function is moved until its mean is the mean of the scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.data.rows import Scores
from mainstem.models.search.calibration import KINDS, Calibrator, Isotonic, Sigmoid, Weights, odds_of, probabilities

FARTHEST = 12.0
"""The most by which log-odds are moved."""


def fitted(
    kind: str, y: NDArray[Any], scores: Scores, weights: Weights, periods: NDArray[np.intp] | None
) -> Calibrator | None:
    """Return what corrects scores; None if no rising function does, or none has the mean of the scores. `periods` are
    those of the rows, if the rows are in time order."""
    if periods is None or scores.ndim == 2:  # a temperature has no level
        return KINDS[kind](y, scores, weights)
    level = _levels(y, scores, weights, periods)
    found = None if level is None else KINDS[kind](y, probabilities(odds_of(scores) + level), weights)
    return _at_the_level_of(scores, found, weights) if isinstance(found, (Isotonic, Sigmoid)) else None


def _levels(y: NDArray[Any], scores: Scores, weights: Weights, periods: NDArray[np.intp]) -> Scores | None:
    """Return by how much the log-odds of each row's period are too low; None if the slope falls."""
    _, numbers = np.unique(periods, return_inverse=True)
    inputs = np.column_stack([odds_of(scores), np.eye(numbers.max() + 1)[numbers]])
    with libraries.one_thread():
        model = libraries.sklearn("linear_model").LogisticRegression(C=1e6, max_iter=300, fit_intercept=False)
        slope, *shifts = model.fit(inputs, y, sample_weight=weights).coef_[0]
    return np.asarray(shifts)[numbers].clip(-FARTHEST, FARTHEST) / slope if slope > 0 else None


def _at_the_level_of(scores: Scores, by: Isotonic | Sigmoid, weights: Weights) -> Calibrator | None:
    from scipy.optimize import brentq

    mean = float(np.average(scores, weights=weights))

    def off(shift: float) -> float:
        return float(np.average(by.moved(shift).scores(scores), weights=weights)) - mean

    if not off(-FARTHEST) < 0 < off(FARTHEST):
        return None
    return by.moved(float(brentq(off, -FARTHEST, FARTHEST)))
