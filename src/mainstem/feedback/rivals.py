"""Rivals: other explanations of a loss than one column, in the same unit: the loss per row that they would recover.

Each is measured on the batch, minus its value on the reference, where nothing is wrong. Days are the independent units,
as for gains.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import MissingExtra
from mainstem.feedback.attribution import Labelled, Score, by_cluster, sampled
from mainstem.models.algorithms.base import linked
from mainstem.models.metrics import Array, row_loss
from mainstem.monitoring.history import clusters
from mainstem.monitoring.statistics import student_quantile, welch
from mainstem.nodes.findings import Rival
from mainstem.nodes.models import Task

Floats = NDArray[np.float64]

LABELS = "the labels are wrong"
WORLD = "the world changed: retrain"
ROWS = 12_000


def rivals(
    batch: Labelled, reference: Labelled, score: Score, *, task: Task = "binary", seed: int = 0
) -> tuple[Rival, ...]:
    """Return how much wrong labels and a changed world explain. Labels are tested only for a binary task."""
    random = np.random.default_rng(seed)
    sides = [side.take(sampled(len(side), ROWS, random)) for side in (batch, reference)]
    scores = [score(side.inputs.columns) for side in sides]
    found = []
    if task == "binary":
        found.append(_compared(LABELS, sides, [_noise(s.outcomes, p) for s, p in zip(sides, scores, strict=True)]))
    if task != "multiclass":
        found.append(_compared(WORLD, sides, [_refit(s, p, task, seed) for s, p in zip(sides, scores, strict=True)]))
    return tuple(found)


def recovered(name: str, rows: Labelled, served: Array, repaired: Array, task: Task = "binary") -> Rival:
    """Return the recovery of a repair in loss per row, for comparison with rivals. The reference needs no repair."""
    loss = row_loss(task, rows.outcomes, served) - row_loss(task, rows.outcomes, repaired)
    daily = by_cluster(loss, clusters(rows.inputs.times))
    half = student_quantile(max(len(daily) - 1, 1)) * float(daily.std(ddof=1)) / len(daily) ** 0.5
    return Rival(name, float(daily.mean()), float(daily.mean()) - half, float(daily.mean()) + half)


def _compared(name: str, sides: list[Labelled], gained: list[Floats]) -> Rival:
    now, then = (by_cluster(g, clusters(s.inputs.times)) for g, s in zip(gained, sides, strict=True))
    difference, error, freedom, _ = welch(now, then)
    half = student_quantile(freedom) * error
    return Rival(name, difference, difference - half, difference + half)


def _noise(y: Floats, scores: Floats) -> Floats:
    """Return each row's gain if some labels were flipped: P(label) = flipped·(1 − p) + (1 − missed)·p."""
    p = np.clip(scores, 1e-6, 1 - 1e-6)
    missed, flipped = flips(y, p)
    return row_loss("binary", y, p) - row_loss("binary", y, flipped + (1 - missed - flipped) * p)


def flips(y: Floats, scores: Floats, steps: int = 60) -> tuple[float, float]:
    """Return the shares of true rows labelled false, and of false rows labelled true, fitted by EM; at most 0.5."""
    p = np.clip(scores, 1e-6, 1 - 1e-6)
    missed, flipped = 0.01, 0.01
    for _ in range(steps):
        true = np.where(y > 0.5, p * (1 - missed), p * missed)
        false = np.where(y > 0.5, (1 - p) * flipped, (1 - p) * (1 - flipped))
        share = true / (true + false)
        missed = float(np.clip((share * (y <= 0.5)).sum() / share.sum(), 0.0, 0.5))
        flipped = float(np.clip(((1 - share) * (y > 0.5)).sum() / (1 - share).sum(), 0.0, 0.5))
    return missed, flipped


def _refit(rows: Labelled, scores: Floats, task: Task, seed: int) -> Floats:
    """Return each row's gain from a model that is fitted on top of the scores, on the other half of the days."""
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra.named("learn", "lightgbm") from None
    matrix, y = _matrix(rows), rows.outcomes
    start = _raw(scores, task)
    half = clusters(rows.inputs.times) % 2
    corrected = np.array(start, float)
    settings = {
        "objective": {"binary": "binary", "count": "poisson"}.get(task, "regression"),
        "num_leaves": 15,
        "min_data_in_leaf": 100,
        "seed": seed,
        "deterministic": True,
        "num_threads": 1,
        "verbose": -1,
    }
    for side in (0, 1):
        fit, rest = half != side, half == side
        if not fit.any() or not rest.any():
            continue
        data = lightgbm.Dataset(matrix[fit], y[fit], init_score=start[fit], free_raw_data=True)
        booster = lightgbm.train(settings, data, num_boost_round=40)
        corrected[rest] += booster.predict(matrix[rest], raw_score=True, num_threads=1)
    return row_loss(task, y, scores) - row_loss(task, y, linked(corrected[:, None], task))


def _raw(scores: Floats, task: Task) -> Floats:
    """Return scores as a model adds to them: log-odds, logarithms of counts, or values."""
    if task == "binary":
        return np.asarray(np.log(np.clip(scores, 1e-6, 1 - 1e-6) / np.clip(1 - scores, 1e-6, 1)))
    return np.log(np.maximum(scores, 1e-6)) if task == "count" else scores


def _matrix(rows: Labelled) -> Floats:
    """Return inputs as numbers. Texts are replaced by their frequency."""
    return np.column_stack([_numbers(column) for column in rows.inputs.columns.values()])


def _numbers(column: Array) -> Floats:
    if column.dtype != object:
        return np.asarray(column, float)
    known = np.array(["" if value is None else value for value in column])
    _, code, counts = np.unique(known, return_inverse=True, return_counts=True)
    ranks = np.empty(len(counts))
    ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return ranks[code]
