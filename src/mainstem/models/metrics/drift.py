"""How far a metric of the next period may be from that of the last one, by how it changed from period to period.

The metric of a period is `level + gain / rows learned from + noise`. The level is a random walk in time. The noise is
that of the period's rows, whose spread the bootstrap tells. The gain is what more rows to learn from bring: the error
of a learning curve falls by a power of their number (Cortes and others, "Learning curves", 1993). It is estimated by
least squares, and is not negative for an error. The variance of the walk is what differences of following periods show
beyond their noise, by moments (DerSimonian and Laird, "Meta-analysis in clinical trials", 1986). The next period's
interval uses Student's t, because few periods estimate it (Higgins, Thompson and Spiegelhalter, "A re-evaluation of
random-effects meta-analysis", 2009). Where differences are no larger than noise, it adds nothing.

Rejected: the trend of the scores, continued. Three folds and a test do not tell a trend from a walk, and errors of a
model that is fitted again do not grow for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mainstem.models.metrics.base import Floats
from mainstem.nodes.records import Measure

FEWEST = 3
"""Periods from which drift is estimated."""

# Student's t at 97.5 %, by the degrees of freedom. SciPy takes half a second to import.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Period:
    """A metric with its standard error on the rows of one period. `learned` rows were before it, and its middle is
    `at`, in any unit of time."""

    value: float
    error: float
    learned: int
    at: float


def drift(periods: Sequence[Period], following: float, *, sign: int = -1) -> float:
    """Return the half of the 95 % interval of how much the level changes from the last period to `following`.

    The periods are in order. `sign` is +1 for a metric of which higher is better. Fewer than `FEWEST` periods tell
    nothing: 0.
    """
    if len(periods) < FEWEST:
        return 0.0
    values = np.array([each.value for each in periods])
    noise = np.array([each.error for each in periods]) ** 2
    values = values - _gained(values, noise, np.array([each.learned for each in periods], float), sign)
    times = np.array([each.at for each in periods])
    walked = (np.diff(values) ** 2).sum() - (noise[1:] + noise[:-1]).sum()
    rate = max(float(walked), 0.0) / max(float(times[-1] - times[0]), 1e-300)
    return _t(len(periods) - 1) * float(np.sqrt(rate * max(following - times[-1], 0.0)))


def widened(measure: Measure, periods: Sequence[Period], following: float, *, sign: int, most: float) -> Measure:
    """Return a measure of the last of the periods with an interval that holds for `following` too.

    Positive values change by factors, others by differences. No value is above `most`.
    """
    positive = min(measure.low, *(each.value for each in periods)) > 0
    if positive:
        periods = [replace(each, value=float(np.log(each.value)), error=each.error / each.value) for each in periods]
    more = drift(periods, following, sign=sign)
    if not more:
        return measure
    value, low, high = (float(np.log(x)) if positive else x for x in (measure.value, measure.low, measure.high))
    ends = value - float(np.hypot(value - low, more)), value + float(np.hypot(high - value, more))
    low, high = (float(np.exp(end)) for end in ends) if positive else ends
    if measure.low >= 0 and sign < 0:
        low = max(low, 0.0)
    return replace(measure, low=low, high=max(measure.high, min(high, most)))


def _gained(values: Floats, noise: Floats, learned: Floats, sign: int) -> Floats:
    """Return what few rows to learn from cost each period."""
    few = 1 / np.maximum(learned, 1)
    most = float(noise.max())
    weights = 1 / np.maximum(noise / most, 1e-6) if most > 0 else np.ones(len(values))
    away = few - np.average(few, weights=weights)
    square = float((weights * away**2).sum())
    slope = float((weights * away * values).sum()) / square if square > 0 else 0.0
    return (min(slope, 0.0) if sign > 0 else max(slope, 0.0)) * few


def _t(freedom: int) -> float:
    return _T[freedom - 1] if freedom <= len(_T) else 2.1
