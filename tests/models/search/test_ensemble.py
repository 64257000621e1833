"""Ensembles: which members are chosen, and that their graph scores like them."""

from __future__ import annotations

import numpy as np

from mainstem.models.algorithms import candidates
from mainstem.models.artifact import export, gate
from mainstem.models.evaluation.comparison import Fold, Outcome
from mainstem.models.metrics import metric
from mainstem.models.search import ensemble
from mainstem.testing import learning


def fold_of(n: int = 200) -> Fold:
    rows = learning.examples("regression", n)
    return Fold(rows, rows, {})


def outcome(fold: Fold, noise: float, seed: int) -> tuple[Outcome, ...]:
    scores = fold.future.y + np.random.default_rng(seed).normal(0, noise, len(fold.future))
    return (Outcome(metric("rmse").value(fold.future.y, scores), scores, {}, 1.0),)


def test_members_that_err_apart_are_combined():
    fold, judge = fold_of(), metric("rmse")
    pool = [("a", outcome(fold, 5, 1)), ("b", outcome(fold, 5, 2)), ("c", outcome(fold, 80, 3))]
    weights = ensemble.selected(pool, [fold], judge)
    assert {"a", "b"} == set(weights) and sum(weights.values()) == 1
    (combined,) = ensemble.combined(weights, pool, [fold], judge)
    assert combined.value < min(each[0].value for _, each in pool)


def test_one_that_is_best_alone_is_no_ensemble():
    fold, judge = fold_of(), metric("rmse")
    pool = [("a", outcome(fold, 1, 1)), ("b", outcome(fold, 200, 2))]
    assert ensemble.selected(pool, [fold], judge) == {"a": 1.0}


def test_the_incumbent_keeps_its_share():
    fold, judge = fold_of(), metric("rmse")
    pool = [("a", outcome(fold, 1, 1)), ("b", outcome(fold, 200, 2))]
    assert ensemble.selected(pool, [fold], judge, incumbent="b") == {"a": 0.8, "b": 0.2}
    assert ensemble.selected(pool, [fold], judge, incumbent="b", share=0.5) == {"a": 0.5, "b": 0.5}
    assert ensemble.selected(pool, [fold], judge, incumbent="a") == {"a": 1.0}


def test_an_ensemble_has_few_members():
    fold, judge = fold_of(), metric("rmse")
    pool = [(f"{n}", outcome(fold, 20, n)) for n in range(12)]
    assert 2 <= len(ensemble.selected(pool, [fold], judge)) <= ensemble.MEMBERS
    with_one_more = ensemble.selected([*pool, ("usual", outcome(fold, 80, 12))], [fold], judge, incumbent="usual")
    assert 2 <= len(with_one_more) <= ensemble.MEMBERS
    assert with_one_more["usual"] == ensemble.SHARE and abs(sum(with_one_more.values()) - 1) < 1e-12


def test_the_graph_of_an_ensemble_scores_like_it(task):
    rows = learning.examples(task, 300)
    linear, trees = candidates(["linear", "lightgbm"])
    made = ensemble.Ensemble((ensemble.Member(0.7, linear, {}), ensemble.Member(0.3, trees, {"rounds": 8.0})))
    found = made.fit(rows)
    onnx = export.graph(found, rows.rows.floats.shape[1], rows.rows.strings.shape[1], task, rows.classes)
    assert gate.check(found, onnx, learning.rows(100, seed=5)).largest <= 1
    parts = [linear.algorithm.fit(rows), trees.algorithm.fit(rows, {"rounds": 8.0})]
    mean = 0.7 * parts[0].scores(rows.rows) + 0.3 * parts[1].scores(rows.rows)
    np.testing.assert_allclose(found.scores(rows.rows), mean)
    assert abs(found.importances(7).sum() - 1) < 1e-9
    assert made.chosen["lightgbm"] == {"weight": 0.3, "algorithm": "lightgbm", "rounds": 8.0}
