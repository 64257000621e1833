"""Metrics of quantiles. The truth [n, 1 + Q] has the levels beside each target; scores are [n, Q]."""

from __future__ import annotations

import numpy as np

from mainstem.models.metrics.base import Array, Floats, Weighted, mean, register


def pinballs(truth: Array, scores: Array) -> Floats:
    """Return the mean pinball loss of each row's quantiles (Koenker and Bassett 1978)."""
    packs = np.asarray(truth, float)
    away, levels = packs[:, :1] - np.asarray(scores, float), packs[:, 1:]
    return np.asarray(np.maximum(levels * away, (levels - 1) * away).mean(1))


@register("pinball", "quantile", higher_is_better=False)
def _pinball(truth: Array, scores: Array) -> Weighted:
    """The loss of a quantile, as a mean over quantiles: too low a score costs its level, too high a one the rest."""
    return mean(pinballs(truth, scores))


@register("coverage_error", "quantile", higher_is_better=False, biased=True)
def _coverage_error(truth: Array, scores: Array) -> Weighted:
    """How far the share of targets at or below each quantile is from its level, as a mean over quantiles."""
    packs = np.asarray(truth, float)
    at_most = (packs[:, :1] <= np.asarray(scores, float)).astype(float)
    levels = packs[0, 1:] if len(packs) else np.zeros(np.shape(scores)[1])

    def value(weights: Floats) -> float:
        total = float(weights.sum())
        return float(np.abs(weights @ at_most / total - levels).mean()) if total > 0 else float("nan")

    return value


@register("coverage", "quantile", higher_is_better=True, judges=False)
def _coverage(truth: Array, scores: Array) -> Weighted:
    """The share of targets from the lowest to the highest quantile."""
    y, guess = np.asarray(truth, float)[:, 0], np.asarray(scores, float)
    return mean((guess[:, 0] <= y) & (y <= guess[:, -1]))


@register("interval_width", "quantile", higher_is_better=False, judges=False)
def _width(truth: Array, scores: Array) -> Weighted:
    """The mean distance from the lowest to the highest quantile."""
    guess = np.asarray(scores, float)
    return mean(guess[:, -1] - guess[:, 0])
