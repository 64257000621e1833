"""How good a forecast is at each horizon, beside the last value of the series and that of weeks before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.quantiles import label_of, middle
from mainstem.models.data.rows import Examples, Scores
from mainstem.models.metrics import Metric, measure
from mainstem.models.metrics.base import mean
from mainstem.nodes.durations import microseconds
from mainstem.nodes.evaluations import Horizon, Past

_ERROR = Metric("mae", frozenset(), False, lambda truth, errors: mean(errors))


def horizons(
    examples: Examples, scores: Scores, judge: Metric, names: Sequence[str], units: NDArray[np.int64] | None
) -> tuple[Horizon, ...]:
    """Return the measures of each of the horizons `names` that the test has rows of. Other models have none.

    The error is that of the score, of quantiles of the one nearest to the median. The interval is a bootstrap of rows,
    or of the `units` [n] that they belong to.
    """
    ahead = examples.ahead
    if ahead is None:
        return ()
    found = []
    for name in names:
        at = np.flatnonzero(ahead.horizons == microseconds(name))
        if len(at):
            found.append(_horizon(name, examples.take(at), scores[at], judge, None if units is None else units[at]))
    return tuple(found)


def _horizon(name: str, examples: Examples, scores: Scores, judge: Metric, units: NDArray[np.int64] | None) -> Horizon:
    assert examples.ahead is not None
    y, past = np.asarray(examples.y, float), examples.ahead
    errors = np.abs(y - _point(examples, scores))
    error = measure(_ERROR, errors, errors, groups=units, seed=examples.seed)
    judged = measure(judge, examples.truth, scores, groups=units, seed=examples.seed)
    defined = bool(np.isfinite([judged.value, judged.low, judged.high]).all())
    return Horizon(
        name, len(y), judged if defined else None, error, _past(y, past.last, errors), _past(y, past.season, errors)
    )


def _past(y: NDArray[np.float64], values: NDArray[np.float64], errors: NDArray[np.float64]) -> Past | None:
    """Return how good past values are as forecasts, on the rows that have one."""
    at = np.flatnonzero(np.isfinite(values))
    if not len(at):
        return None
    error = float(np.abs(y[at] - values[at]).mean())
    return Past(len(at), error, float(1 - errors[at].mean() / error) if error > 0 else None)


def _point(examples: Examples, scores: Scores) -> NDArray[np.float64]:
    """Return one number for each row: the score, or the quantile nearest to the median."""
    return scores if scores.ndim == 1 else scores[:, middle([label_of(level) for level in examples.quantiles])]
