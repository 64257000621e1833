"""Calibration: out of fold, rising, and the same in the graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mainstem.models.algorithms import candidates
from mainstem.models.artifact import export, gate
from mainstem.models.evaluation.comparison import Fold, Outcome, compared
from mainstem.models.metrics import metric
from mainstem.models.search.calibrating import calibrating
from mainstem.models.search.calibration import KINDS, Calibrated, Isotonic, calibrated, losses
from mainstem.testing import learning


def overconfident(n: int, seed: int = 0):
    """Return labels, and scores whose log-odds are three times too large."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 1, n)
    y = (random.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return y, 1 / (1 + np.exp(-3 * odds)), 1 / (1 + np.exp(-odds))


def comparison_of(n: int, *, honest: bool = False, folds: int = 3):
    rows, found, parts = learning.examples("binary", n), [], []
    for number in range(folds):
        y, scores, right = overconfident(n, number)
        parts.append(Fold(rows, replace(rows, y=y), {}))
        scores = right if honest else scores
        found.append(Outcome(metric("log_loss").value(y, scores), scores, {}, 1.0))
    return compared([(candidates(["linear"])[0], found)], rows, parts, metric("log_loss"))


@pytest.mark.parametrize("kind", ["isotonic", "sigmoid"])
def test_overconfident_scores_are_corrected(kind):
    y, scores, right = overconfident(4_000)
    by = KINDS[kind](y, scores)
    later, given, truth = overconfident(4_000, 7)
    assert losses(later, by.scores(given)).mean() < losses(later, given).mean() - 0.05
    assert losses(later, by.scores(given)).mean() < losses(later, truth).mean() + 0.01
    assert abs(by.scores(scores) - right).max() < 0.12
    assert (np.diff(by.scores(np.linspace(0, 1, 500))) >= 0).all()


@pytest.mark.parametrize("kind", ["isotonic", "sigmoid", "temperature"])
def test_the_graph_of_a_calibrated_estimator_scores_like_it(kind):
    task = "multiclass" if kind == "temperature" else "binary"
    rows = learning.examples(task, 400)
    found = candidates(["lightgbm"])[0]
    by = KINDS[kind](rows.y, found.algorithm.fit(rows, {"rounds": 5.0}).scores(rows.rows))
    made = calibrated(found, kind, by)
    assert made.name == f"lightgbm, {kind}"
    estimator = made.algorithm.fit(rows, {"rounds": 5.0})
    onnx = export.graph(estimator, rows.rows.floats.shape[1], rows.rows.strings.shape[1], task, rows.classes)
    assert gate.check(estimator, onnx, learning.rows(100, seed=5)).largest <= 1


def test_probabilities_of_classes_are_made_softer():
    random = np.random.default_rng(0)
    raw = random.normal(0, 1.5, (3_000, 3))
    right = np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    y = np.array([random.choice(3, p=each) for each in right])
    sharp = right**3 / (right**3).sum(1, keepdims=True)
    by = KINDS["temperature"](y, sharp)
    assert 2.5 < by.degrees < 3.5
    np.testing.assert_allclose(by.scores(sharp).sum(1), 1)


def test_it_is_used_where_it_is_better_out_of_fold():
    found = calibrating(comparison_of(600), metric("log_loss"), "auto")
    assert isinstance(found.ranked[0].algorithm, Calibrated) and found.said["calibration"].startswith(
        "sigmoid: log loss"
    )
    assert np.mean(found.scores[found.chosen]) < np.mean(found.scores["linear"])
    assert set(found.folds[0].scores) == {"linear", found.chosen}


def test_it_is_not_used_where_it_is_not_better():
    found = calibrating(comparison_of(600, honest=True), metric("log_loss"), "auto")
    assert found.chosen == "linear" and found.said["calibration"].startswith("none: log loss")


def test_few_rows_are_calibrated_only_if_it_is_declared():
    few = comparison_of(100)
    assert calibrating(few, metric("log_loss"), "auto") is few
    assert calibrating(few, metric("log_loss"), "isotonic").chosen == "linear, isotonic"
    assert calibrating(comparison_of(600), metric("log_loss"), "none").chosen == "linear"


def test_one_fold_is_judged_by_its_halves():
    assert calibrating(comparison_of(1_500, folds=1), metric("log_loss"), "auto").chosen == "linear, sigmoid"


def drifting(n: int, *, timed: bool):
    """Return folds whose rates drift by one log-odds up and down. Scores are three times too sure otherwise."""
    rows, found, parts = learning.examples("binary", n), [], []
    for number, drift in enumerate((1.0, 1.0, -1.0, 1.0)):
        random = np.random.default_rng(number)
        odds = random.normal(0, 1, n)
        y = (random.random(n) < 1 / (1 + np.exp(-odds - drift))).astype(np.int64)
        times = np.arange(n) + number * n if timed else np.zeros(n, np.int64)
        parts.append(Fold(rows, replace(rows, y=y, times=times.astype(rows.times.dtype)), {}))
        scores = 1 / (1 + np.exp(-3 * odds))
        found.append(Outcome(metric("log_loss").value(y, scores), scores, {}, 1.0))
    return compared([(candidates(["linear"])[0], found)], rows, parts, metric("log_loss"))


@pytest.mark.parametrize("kind", ["isotonic", "sigmoid"])
def test_a_drift_of_rates_is_not_learned_but_what_is_overconfident_is(kind):
    in_time, at_once = (
        calibrating(drifting(1_500, timed=each), metric("log_loss"), kind).ranked[0].algorithm.by
        for each in (True, False)
    )
    given = np.array([0.05, 0.5, 0.95])
    right = 1 / (1 + (1 / given - 1) ** (1 / 3))
    np.testing.assert_allclose(in_time.scores(given), right, atol=0.06)
    assert at_once.scores(given)[1] > 0.57  # the mean rate of the folds


def test_a_function_of_scores_that_were_moved_is_the_same_function():
    knots = np.array([0.0, 1e-9, 1e-7, 0.3, 0.9, 1 - 1e-9, 1.0])
    by = KINDS["isotonic"](*overconfident(2_000)[:2])
    odds = np.linspace(-3, 3, 50)
    np.testing.assert_allclose(
        by.moved(0.7).scores(1 / (1 + np.exp(0.7 - odds))), by.scores(1 / (1 + np.exp(-odds))), atol=0.01
    )
    by = Isotonic(knots, np.linspace(0.1, 0.9, 7))
    for shift in (-12.0, 12.0):
        moved = by.moved(shift)
        assert (np.diff(moved.knots) > 0).all()
        assert (np.diff(moved.scores(np.linspace(0, 1, 100))) >= 0).all()
    np.testing.assert_allclose(by.moved(2.0).moved(-2.0).knots, knots, atol=1e-9)


def test_a_score_that_falls_with_the_target_is_not_turned_round():
    y, scores, _ = overconfident(500)
    assert KINDS["sigmoid"](y, 1 - scores) is None


@pytest.mark.parametrize("kind", ["isotonic", "sigmoid"])
def test_a_calibration_counts_rows_by_their_weight(kind):
    y, scores, _ = overconfident(4_000)
    weights = np.where(y == 0, 10.0, 1.0)  # nine of ten negatives were left out
    rate = np.average(y, weights=weights)
    assert np.average(KINDS[kind](y, scores, weights).scores(scores), weights=weights) == pytest.approx(rate, abs=0.01)
    assert np.average(KINDS[kind](y, scores).scores(scores), weights=weights) > 2 * rate


def test_rows_with_weights_are_calibrated_only_if_that_is_declared():
    plain = comparison_of(2_000)
    folds = tuple(replace(f, future=replace(f.future, weights=np.ones(len(f.future.y)))) for f in plain.folds)
    weighted = replace(plain, folds=folds)
    judge = metric("log_loss")
    assert calibrating(plain, judge, "auto").chosen != plain.chosen
    left = calibrating(weighted, judge, "auto")
    assert left.chosen == plain.chosen and "weights" in left.said["calibration"]
    assert calibrating(weighted, judge, "sigmoid").chosen == f"{plain.chosen}, sigmoid"


def test_rows_of_weight_0_are_no_rows_of_a_calibration():
    chance = np.random.default_rng(0)
    scores = chance.uniform(size=1_200)
    y = (chance.uniform(size=1_200) < scores**2).astype(np.int64)
    counts = np.arange(1_200) % 2 == 0
    found = Isotonic.fit(y, scores, np.where(counts, 2.0, 0.0))
    alone = Isotonic.fit(y[counts], scores[counts])
    assert found is not None and alone is not None
    assert np.allclose(found.knots, alone.knots) and np.allclose(found.values, alone.values)
