"""Metrics: one definition each, for a value, a weighted value and a bootstrap interval.

A metric is bound to `y` and scores once (this sorts the rows). The result is a function of row weights, because a
resample changes only weights. Scores are P(true) [n] for binary, probabilities [n, K] for multiclass, values [n] for
regression and count, ascending quantiles [n, Q]. `y` is 0/1, a class index, or a number; that of quantiles has their
levels beside it.
"""

from mainstem.models.metrics.base import (
    METRICS,
    Array,
    Floats,
    Metric,
    Weighted,
    for_task,
    judge_of,
    measured_for,
    metric,
    of_version,
    register,
)
from mainstem.models.metrics.decisions import confusion, decided
from mainstem.models.metrics.intervals import difference, measure, measures, unpaired
from mainstem.models.metrics.losses import row_loss
from mainstem.models.metrics.own import alone, own
from mainstem.models.metrics.quantiles import pinballs
from mainstem.models.metrics.queries import unjudged
from mainstem.models.metrics.ranking import average_precision

__all__ = [
    "METRICS",
    "Array",
    "Floats",
    "Metric",
    "Weighted",
    "alone",
    "average_precision",
    "confusion",
    "decided",
    "difference",
    "for_task",
    "judge_of",
    "measure",
    "measured_for",
    "measures",
    "metric",
    "of_version",
    "own",
    "pinballs",
    "register",
    "row_loss",
    "unjudged",
    "unpaired",
]
