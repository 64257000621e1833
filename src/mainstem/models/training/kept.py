"""What training keeps of a measurement: the threshold that a rule sets, pooled folds, and the evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mainstem.models.artifact.scorer import session
from mainstem.models.data.columns import split_inputs
from mainstem.models.data.rows import Examples, Scores
from mainstem.models.evaluation.comparison import Comparison, units
from mainstem.models.evaluation.evaluating import cost, evaluated
from mainstem.models.evaluation.leaderboard import leaderboard, timeline
from mainstem.models.evaluation.learning import learning_curve
from mainstem.models.evaluation.outofsample import OutOfSample
from mainstem.models.evaluation.thresholds import Settled, decisions, settled
from mainstem.models.metrics import Metric
from mainstem.models.training.blueprint import Blueprint
from mainstem.models.training.prepared import Prepared
from mainstem.nodes.evaluations import Evaluation
from mainstem.nodes.models import Model


def threshold_of(model: Model, compared: Comparison) -> Settled | None:
    """Return the threshold that the model's rule sets on the rows that candidates were compared on."""
    if model.threshold is None:
        return None
    y = np.concatenate([fold.future.y for fold in compared.folds])
    return settled(model.threshold, y, np.concatenate([fold.scores[compared.chosen] for fold in compared.folds]))


def held_out(test: Examples, scores: Scores, naive: Scores, loaded: Any) -> OutOfSample:
    """Return the scores of a test that one fit has not seen."""
    return OutOfSample(test, scores, naive, np.zeros(len(test), np.intp), [loaded])


def pooled(
    prepared: Prepared, scores: Sequence[Scores], naive: Sequence[Scores], sessions: Sequence[Any]
) -> OutOfSample:
    """Return the scores of all folds together, in the order of the rows.

    The naive score is one constant. Each fold's own constant is lower where its test rows are higher, so that rows of
    several folds together would be ranked worse than at random.
    """
    constant = np.mean([each[0] for each in naive], axis=0)
    order = in_order(prepared)
    return OutOfSample(
        prepared.test,
        np.concatenate(scores)[order],
        np.broadcast_to(constant, (len(order), *np.shape(constant))).copy(),
        np.repeat(np.arange(len(scores)), [len(each) for each in scores])[order],
        sessions,
    )


def in_order(prepared: Prepared) -> NDArray[np.intp]:
    """Return where each test row is in the folds' test rows, one fold after the other."""
    return np.argsort(np.concatenate([fold.test for fold in prepared.parts.folds]))


def evaluation_of(
    blueprint: Blueprint,
    judge: Metric,
    prepared: Prepared,
    compared: Comparison,
    measured: OutOfSample,
    decided: tuple[Settled, NDArray[np.bool_]] | None,
    shares: Mapping[str, float],
    onnx: bytes,
) -> Evaluation:
    """Return everything that is kept. `decided` are the threshold and the decisions on the test rows, `shares` the
    importances of the inputs, and `onnx` is the model that ships."""
    test = prepared.test
    floats, strings = split_inputs(blueprint.inputs)
    model = blueprint.model
    found = evaluated(measured, judge, shares, (*floats, *strings), prepared.classes, model.slices, model.horizons)
    return replace(
        found,
        timeline=timeline(_sides(prepared), compared),
        leaderboard=leaderboard(compared, judge),
        search=compared.search,
        learning=learning_curve(compared, judge),
        decisions=None if decided is None else decisions(decided[0], test, measured.scores, decided[1], units(test)),
        cost=cost(session(onnx), test.rows, len(onnx)),
    )


def _sides(prepared: Prepared) -> dict[Literal["train", "gap", "test"], Examples]:
    holdout = prepared.parts.holdout
    if holdout is None:
        return {"train": prepared.examples}
    gap = holdout.gap
    if holdout.cut is not None:  # rows that are left out for another reason are between those of the training
        gap = gap[prepared.examples.times[gap] > prepared.train.times.max()]
    return {"train": prepared.train, "gap": prepared.examples.take(gap), "test": prepared.test}
