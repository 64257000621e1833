"""Pictures of scores beside targets: curves by threshold, calibration, histograms, residuals. All of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.quantiles import label_of, middle
from mainstem.models.data.rows import Examples, Scores
from mainstem.nodes.descriptions import Histogram
from mainstem.nodes.evaluations import Calibration, CalibrationBin, Curve, ResidualBin, Residuals, ScoreHistogram
from mainstem.nodes.models import CLASSES

POINTS = 100
"""The most thresholds of a curve."""

BINS = 10
"""Bins of calibration and residuals. Fewer rows have fewer bins: each has at least `FEWEST`."""

FEWEST = 20
BARS = 30
MOST_CLASSES = 12
"""Classes beyond which only the most frequent ones have curves."""

Floats = NDArray[np.float64]


def curves(examples: Examples, scores: Scores, classes: Sequence[str]) -> tuple[Curve, ...]:
    """Return the threshold curve of each class; of `true` for a binary task. A class with all or no rows has none."""
    found = (_curve(label, truth, given) for label, truth, given in _each(examples, scores, classes))
    return tuple(curve for curve in found if curve is not None)


def calibration(examples: Examples, scores: Scores, classes: Sequence[str]) -> tuple[Calibration, ...]:
    """Return the calibration of each class; of `true` for a binary task."""
    each = _each(examples, scores, classes)
    return tuple(Calibration(label, tuple(_calibrated(truth, given))) for label, truth, given in each)


def histograms(examples: Examples, scores: Scores, classes: Sequence[str]) -> tuple[ScoreHistogram, ...]:
    """Return histograms of scores: of a binary task by the true class, of several classes each class's probability
    where it is true, of a regression the predicted values."""
    if examples.task not in CLASSES:
        if examples.task == "quantile":
            each = zip(classes, scores.T, strict=True)
            return tuple(ScoreHistogram(label, len(given), histogram(given)) for label, given in each)
        return (ScoreHistogram("predicted", len(scores), histogram(scores)),)
    if examples.task == "binary":
        sides = [(label, scores[examples.y == number]) for number, label in enumerate(("false", "true"))]
    else:
        sides = [(label, given[truth]) for label, truth, given in _each(examples, scores, classes)]
    return tuple(ScoreHistogram(label, len(each), histogram(each, 0.0, 1.0)) for label, each in sides if len(each))


def residuals(examples: Examples, scores: Scores) -> Residuals | None:
    """Return the residuals of numbers; of quantiles, those of the one that is nearest to the median."""
    if examples.task in CLASSES or examples.task == "ranking":
        return None
    if examples.task == "quantile":
        scores = scores[:, middle([label_of(level) for level in examples.quantiles])]
    away = np.asarray(examples.y, float) - scores
    bins = []
    for rows in _similar(scores):
        low, half, high = (float(each) for each in np.percentile(away[rows], (10, 50, 90)))
        bins.append(ResidualBin(float(scores[rows].mean()), low, half, high, len(rows)))
    return Residuals(histogram(away), tuple(bins))


def histogram(values: Floats, low: float | None = None, high: float | None = None) -> Histogram:
    """Return a histogram; without bounds, of the middle 99 % of the values."""
    if low is None or high is None:
        low, high = (float(each) for each in np.percentile(values, (0.5, 99.5)))
        if low == high:
            low, high = low - 0.5, high + 0.5
    inside = values[(values >= low) & (values <= high)]
    bins = np.histogram(inside, BARS, (low, high))[0]
    return Histogram(low, high, tuple(int(n) for n in bins), int((values < low).sum()), int((values > high).sum()))


def _each(
    examples: Examples, scores: Scores, classes: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.bool_], Floats]]:
    """Yield each class with its truth and its probability, the most frequent classes only."""
    if examples.task == "binary":
        yield "true", examples.y > 0.5, scores
    if examples.task == "multiclass":
        counts = np.bincount(examples.y, minlength=len(classes))
        for number in np.sort(np.argsort(-counts, kind="stable")[:MOST_CLASSES]):
            yield classes[number], examples.y == number, scores[:, number]


def _curve(label: str, truth: NDArray[np.bool_], given: Floats) -> Curve | None:
    positives, rows = int(truth.sum()), len(truth)
    if not 0 < positives < rows:
        return None
    order = np.argsort(-given, kind="stable")
    ranked = given[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits, flagged = np.cumsum(truth[order])[ends], ends + 1
    recall, fallout = hits / positives, (flagged - hits) / (rows - positives)
    kept = _spaced(recall + fallout)
    return Curve(
        label,
        rows,
        positives,
        thresholds=tuple(ranked[ends][kept].tolist()),
        recall=_rounded(recall[kept]),
        precision=_rounded((hits / flagged)[kept]),
        fallout=_rounded(fallout[kept]),
    )


def _spaced(along: Floats) -> NDArray[np.intp]:
    """Return at most `POINTS` places that are evenly spaced along a curve of increasing length, with both ends."""
    if len(along) <= POINTS:
        return np.arange(len(along))
    aims = np.linspace(along[0], along[-1], POINTS)
    return np.unique(np.searchsorted(along, aims).clip(0, len(along) - 1))


def _calibrated(truth: NDArray[np.bool_], given: Floats) -> Iterator[CalibrationBin]:
    for rows in _similar(given):
        rate, count = float(truth[rows].mean()), len(rows)
        low, high = wilson(rate, count)
        yield CalibrationBin(float(given[rows].mean()), rate, low, high, count)


def wilson(rate: float, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate, after Wilson (1927): it stays within 0 and 1."""
    z2 = 1.959964**2
    centre, spread = rate + z2 / (2 * rows), np.sqrt(z2 * (rate * (1 - rate) / rows + z2 / (4 * rows**2)))
    return float(max(0.0, (centre - spread) / (1 + z2 / rows))), float(min(1.0, (centre + spread) / (1 + z2 / rows)))


def _similar(values: Floats) -> list[NDArray[np.intp]]:
    """Return row numbers in bins of about equally many rows by value. Equal values share a bin."""
    count = max(1, min(BINS, len(values) // FEWEST))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
    place = np.searchsorted(edges, values, side="right")
    return [rows for number in range(len(edges) + 1) if len(rows := np.flatnonzero(place == number))]


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)
