"""Everything that is kept of a version's out-of-sample scores, made at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from mainstem.models.artifact.scorer import run
from mainstem.models.data.rows import Rows
from mainstem.models.evaluation import comparison
from mainstem.models.evaluation.curves import calibration, curves, histograms, residuals
from mainstem.models.evaluation.effects import PERMUTED, dependence, importances
from mainstem.models.evaluation.horizons import horizons
from mainstem.models.evaluation.outofsample import OutOfSample
from mainstem.models.evaluation.reached import reached
from mainstem.models.evaluation.slices import slices
from mainstem.models.evaluation.stability import stability
from mainstem.models.metrics import Metric
from mainstem.nodes.evaluations import Cost, Evaluation

SINGLES, BATCH = 100, 1_000
"""How often a single row is scored to time it, and the most rows of a timed batch."""


def evaluated(
    measured: OutOfSample,
    judge: Metric,
    shares: Mapping[str, float],
    inputs: Sequence[str],
    classes: Sequence[str],
    declared: Sequence[tuple[str, ...]] = (),
    ahead: Sequence[str] = (),
) -> Evaluation:
    """Return the evaluation on test rows.

    `inputs` names the inputs: floats, then strings. `shares` are their importances; those with the largest ones are
    looked at. `ahead` are the horizons of a forecast.
    """
    examples, scores = measured.examples, measured.scores
    units = comparison.units(examples)
    number = {name: place for place, name in enumerate(inputs)}
    ordered = [(name, number[name]) for name in sorted(inputs, key=lambda name: -shares.get(name, 0.0))]
    important = importances(measured, judge, ordered, units)
    first = [(each.input, number[each.input]) for each in important]
    return Evaluation(
        rows=len(examples),
        resampled=comparison.resampled(examples),
        curves=curves(examples, scores, classes),
        calibration=calibration(examples, scores, classes),
        histograms=histograms(examples, scores, classes),
        residuals=residuals(examples, scores),
        reached=reached(examples, scores, units),
        horizons=horizons(examples, scores, judge, ahead, units),
        inputs=len(inputs),
        permuted=min(PERMUTED, len(examples)),
        importances=important,
        dependence=dependence(measured, first or ordered, classes),
        stability=stability(measured, judge, units),
        slices=slices(measured, judge, ordered, declared, units),
    )


def cost(session: Any, rows: Rows, size: int) -> Cost:
    """Return the time of a prediction by a loaded model of `size` bytes: the median of single rows, and of a batch."""
    one, many = rows.take(np.array([0])), rows.take(np.arange(min(len(rows), BATCH)))
    single = sorted(_seconds(session, one) for _ in range(SINGLES))[SINGLES // 2]
    batch = min(_seconds(session, many) for _ in range(3)) / len(many)
    return Cost(round(single * 1e6, 1), round(batch * 1e6, 2), size)


def _seconds(session: Any, rows: Rows) -> float:
    began = perf_counter()
    run(session, rows)
    return perf_counter() - began
