"""How the candidates compare: a mean over folds with an interval, and where the folds are in time."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mainstem.models import splits
from mainstem.models.data.rows import Examples
from mainstem.models.evaluation.comparison import Comparison, mean_of, units
from mainstem.models.metrics import Metric
from mainstem.models.metrics.intervals import interval_of, resampled
from mainstem.nodes.evaluations import Span, Standing
from mainstem.nodes.instants import instant_of

DRAWS = 100


def leaderboard(compared: Comparison, judge: Metric) -> tuple[Standing, ...]:
    """Return the candidates, best first; those that did not run on all folds last. An interval resamples the rows
    within each fold."""
    found = [_standing(name, compared, judge) for name in compared.scores]
    last = float("inf")
    return tuple(
        sorted(
            found,
            key=lambda each: (_missing(each.candidate, compared), -judge.sign * each.mean.value if each.mean else last),
        )
    )


def _missing(name: str, compared: Comparison) -> int:
    """Return how many folds a candidate did not run on."""
    return sum(name not in fold.scores for fold in compared.folds)


def _standing(name: str, compared: Comparison, judge: Metric) -> Standing:
    scored = [fold for fold in compared.folds if name in fold.scores]
    defined = [fold for fold in scored if _value(judge, fold.future, fold.scores[name]) is not None]
    folds, seconds = compared.scores[name], compared.seconds.get(name, 0.0)
    if not defined:
        return Standing(name, None, folds, seconds)
    draws = [_draws(judge, fold.future, fold.scores[name], number) for number, fold in enumerate(defined)]
    with np.errstate(invalid="ignore"):
        means = np.average(draws, axis=0, weights=[fold.weight for fold in defined])
    rows = sum(len(fold.future) for fold in defined)
    mean = interval_of(mean_of(folds, defined), [float(each) for each in means], rows, biased=judge.biased)
    return Standing(name, mean if np.isfinite([mean.low, mean.high]).all() else None, folds, seconds)


def _value(judge: Metric, future: Examples, scores: Any) -> float | None:
    found = judge.value(future.truth, scores)
    return found if found == found else None


def _draws(judge: Metric, future: Examples, scores: Any, number: int) -> list[float]:
    bound = judge.bind(future.truth, scores)
    return [bound(weights) for weights in resampled(len(future), units(future), DRAWS, future.seed + number)]


def timeline(parts: dict[Literal["train", "gap", "test"], Examples], compared: Comparison) -> tuple[Span, ...]:
    """Return the parts of the version and of each fold on the time axis; nothing without time."""
    if not any(splits.is_timed(rows.times) for rows in parts.values()):
        return ()
    found = [_span("version", part, rows) for part, rows in parts.items() if len(rows)]
    for number, fold in enumerate(compared.folds, 1):
        found += [_span(f"fold {number}", "train", fold.past), _span(f"fold {number}", "test", fold.future)]
    return tuple(found)


def _span(line: str, part: Literal["train", "gap", "test"], rows: Examples) -> Span:
    return Span(line, part, instant_of(int(rows.times.min())), instant_of(int(rows.times.max())), len(rows))
