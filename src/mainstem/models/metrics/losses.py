"""Metrics of the distance between scores and targets."""

from __future__ import annotations

import numpy as np

from mainstem.models.metrics.base import Array, Floats, Weighted, dot, mean, register
from mainstem.models.metrics.quantiles import pinballs
from mainstem.nodes.models import Task

TINY = 1e-15
BINS = 15


def row_loss(task: Task, y: Array, scores: Array) -> Floats:
    """Return the loss of each row: logarithmic for classes, squared for values, deviance of counts, pinball of
    quantiles."""
    if task == "regression":
        return np.asarray(np.square(np.asarray(y, float) - np.asarray(scores, float)))
    if task == "quantile":
        return pinballs(y, scores)
    if task == "count":
        return _deviances(np.asarray(y, float), np.maximum(np.asarray(scores, float), TINY))
    chosen = np.asarray(scores, float)
    if task == "multiclass":
        chosen = np.take_along_axis(chosen, np.asarray(y, int)[:, None], axis=1)[:, 0]
    else:
        chosen = np.where(np.asarray(y, float) > 0.5, chosen, 1 - chosen)
    return np.asarray(-np.log(np.clip(chosen, TINY, 1.0)))


@register("log_loss", "binary", "multiclass", higher_is_better=False)
def _log_loss(y: Array, scores: Array) -> Weighted:
    return mean(row_loss("binary" if np.ndim(scores) == 1 else "multiclass", y, scores))


@register("brier", "binary", "multiclass", higher_is_better=False)
def _brier(y: Array, scores: Array) -> Weighted:
    """The squared error of the probability; of several classes, summed over the classes (0 to 2)."""
    if np.ndim(scores) == 1:
        return mean(np.square(np.asarray(y, float) - scores))
    truth = np.eye(np.shape(scores)[1])[np.asarray(y, int)]
    return mean(np.square(truth - scores).sum(1))


@register("ece", "binary", "multiclass", higher_is_better=False, biased=True)
def _ece(y: Array, scores: Array) -> Weighted:
    """The expected calibration error: how far probabilities are from frequencies, in `BINS` bins of equal width.

    Of several classes, the probability of the likeliest class is compared with how often it is right.
    """
    given, right = np.asarray(scores, float), np.asarray(y, float)
    if given.ndim == 2:
        given, right = given.max(1), (given.argmax(1) == np.asarray(y, int)).astype(float)
    bins = np.clip((given * BINS).astype(int), 0, BINS - 1)

    def value(weights: Floats) -> float:
        away = np.bincount(bins, weights * (given - right), minlength=BINS)
        total = float(weights.sum())
        return float(np.abs(away).sum()) / total if total > 0 else float("nan")

    return value


@register("mae", "regression", "count", higher_is_better=False)
def _mae(y: Array, scores: Array) -> Weighted:
    return mean(np.abs(np.asarray(y, float) - scores))


@register("rmse", "regression", "count", higher_is_better=False)
def _rmse(y: Array, scores: Array) -> Weighted:
    squared = mean(row_loss("regression", y, scores))
    return lambda weights: float(np.sqrt(squared(weights)))


@register("mse", "regression", "count", higher_is_better=False)
def _mse(y: Array, scores: Array) -> Weighted:
    return mean(row_loss("regression", y, scores))


@register("mape", "regression", higher_is_better=False)
def _mape(y: Array, scores: Array) -> Weighted:
    """The mean absolute error as a share of the target. A target of 0 makes it undefined."""
    truth = np.asarray(y, float)
    if not truth.all():
        return _undefined
    return mean(np.abs(truth - scores) / np.abs(truth))


@register("poisson_deviance", "regression", "count", higher_is_better=False, usual=("count",))
def _poisson(y: Array, scores: Array) -> Weighted:
    """Twice the logarithmic loss beside the best, for counts. A negative target or a score of 0 makes it undefined."""
    truth, guess = np.asarray(y, float), np.asarray(scores, float)
    if (truth < 0).any() or (guess <= 0).any():
        return _undefined
    return mean(_deviances(truth, guess))


def _deviances(truth: Floats, guess: Floats) -> Floats:
    ratio = np.divide(truth, guess, out=np.ones(len(truth)), where=truth > 0)
    return np.asarray(2 * (truth * np.log(ratio) - truth + guess))


@register("gamma_deviance", "regression", higher_is_better=False, usual=False)
def _gamma(y: Array, scores: Array) -> Weighted:
    """The same for amounts above 0, where the error grows with the amount."""
    truth, guess = np.asarray(y, float), np.asarray(scores, float)
    if (truth <= 0).any() or (guess <= 0).any():
        return _undefined
    return mean(2 * (np.log(guess / truth) + truth / guess - 1))


def _pinball(share: float) -> None:
    @register(f"pinball_{share:.0%}".removesuffix("%"), "regression", higher_is_better=False, usual=False)
    def pinball(y: Array, scores: Array) -> Weighted:
        """The loss of a quantile (Koenker and Bassett 1978): too low a score costs `share`, too high a one the rest."""
        away = np.asarray(y, float) - np.asarray(scores, float)
        return mean(np.maximum(share * away, (share - 1) * away))


for _share in (0.1, 0.5, 0.9):
    _pinball(_share)


def _undefined(weights: Floats) -> float:
    return float("nan")


@register("r2", "regression", "count", higher_is_better=True)
def _r2(y: Array, scores: Array) -> Weighted:
    truth = np.asarray(y, float)
    centred = truth - (truth.mean() if len(truth) else 0.0)
    squares = row_loss("regression", truth, scores)

    def value(weights: Floats) -> float:
        total = weights.sum()
        spread = dot(weights, centred**2) - dot(weights, centred) ** 2 / total if total > 0 else 0.0
        return float(1 - dot(weights, squares) / spread) if spread > 0 else float("nan")

    return value
