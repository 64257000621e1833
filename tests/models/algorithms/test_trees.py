"""Trees of every library are written exactly: at thresholds next to each other, and where values are missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mainstem as ms
from mainstem.models.algorithms import lightgbm
from mainstem.models.artifact import export, gate
from mainstem.models.artifact.scorer import run, session

MAKERS = {
    "decision_tree": ms.decision_tree(min_samples_leaf=1),
    "random_forest": ms.random_forest(n_estimators=20, min_samples_leaf=1),
    "extra_trees": ms.extra_trees(n_estimators=20, min_samples_leaf=1),
    "hist_boosting": ms.hist_boosting(),
    "lightgbm": ms.lightgbm(),
    "xgboost": ms.xgboost(),
    "catboost": ms.catboost(),
}
ROUNDS = {"rounds": 60.0}


@pytest.fixture(params=MAKERS)
def trees(request):
    return MAKERS[request.param]


def test_thresholds_between_neighbours_of_float32(trees, worlds):
    random = np.random.default_rng(0)
    examples = worlds.examples("regression", 3000, floats=4, strings=0)
    steps = np.nextafter(np.float32(1000), np.float32(2000)) - np.float32(1000)
    examples.rows.floats[:, 0] = np.float32(1000) + steps * random.integers(0, 50, 3000).astype(np.float32)
    above = examples.rows.floats[:, 0] > np.median(examples.rows.floats[:, 0])
    examples = replace(examples, y=examples.y + 1000 * above)
    estimator = trees.fit(examples, ROUNDS)
    model = export.graph(estimator, 4, 0, "regression")
    assert gate.check(estimator, model, examples.rows, rows=3000).largest < 1


def test_missing_values_go_where_they_went_in_training(trees, worlds):
    """The target is whether a value is missing, so a wrong turn is a wrong answer."""
    examples = worlds.examples("binary", 1000, floats=3, strings=0)
    floats = examples.rows.floats.copy()
    floats[::2, 2] = np.nan
    examples = replace(examples, rows=replace(examples.rows, floats=floats), y=(np.arange(1000) % 2).astype(np.int64))
    estimator = trees.fit(examples, ROUNDS)
    scores = run(session(export.graph(estimator, 3, 0, "binary")), examples.rows)
    assert ((scores > 0.5) == examples.y).mean() > 0.99
    assert scores == pytest.approx(estimator.scores(examples.rows), abs=1e-6)


def test_large_values_around_zero(trees, worlds):
    """Sums of leaves cancel here: in float32 they would lose the digits that the gate asks for."""
    examples = worlds.examples("regression", 1000)
    examples = replace(examples, y=(examples.y - examples.y.mean()) * 1e6)
    estimator = trees.fit(examples, ROUNDS)
    model = export.graph(estimator, 5, 2, "regression")
    assert gate.check(estimator, model, examples.rows).largest < 1


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_monotone_constraints_are_kept(trees, worlds, task):
    """Scores rise with an input that the target does not follow."""
    examples = replace(worlds.examples(task, 800, floats=3, strings=1), monotone=(0, 0, 1, 0))
    examples = replace(examples, y=examples.y[np.argsort(np.argsort(-examples.rows.floats[:, 2]))])
    estimator = trees.fit(examples, ROUNDS)
    rows = worlds.rows(200, seed=3, floats=3, strings=1)
    scores = []
    for value in np.linspace(-40, 40, 60, dtype=np.float32):
        rows.floats[:, 2] = value
        scores.append(np.asarray(estimator.scores(rows)))
    assert (np.diff(scores, axis=0) >= -1e-9).all()


def test_xgboosts_sum_is_its_own(worlds):
    """XGBoost sums leaves in float32. Ours, in float64, differs by no more than that."""
    import xgboost

    examples = worlds.examples("binary", 1000)
    estimator = ms.xgboost().fit(examples, ROUNDS)
    matrix = estimator.fitted.transform(examples.rows.floats, examples.rows.strings)
    booster, base = estimator.raw.args[1], estimator.raw.args[3]
    margin = np.full(len(matrix), base[0], np.float32)
    own = booster.predict(xgboost.DMatrix(matrix, base_margin=margin))
    assert estimator.scores(examples.rows) == pytest.approx(own, abs=1e-5)


def test_a_rare_missing_value_is_seen_though_some_rows_make_the_bins(worlds, monkeypatch):
    """LightGBM reads NaN as 0 if no row of the bins has one. Here 0 is frequent, and NaN is always true."""
    monkeypatch.setattr(lightgbm, "BINNED", 100)
    examples = worlds.examples("binary", 3000, floats=2, strings=0)
    others = np.setdiff1d(np.arange(3000), np.linspace(0, 2999, 100).astype(int))
    floats, gone = examples.rows.floats.copy(), np.isin(np.arange(3000), others[::30])
    floats[:, 1] = np.where(gone, np.nan, np.random.default_rng(0).normal(0, 1, 3000).round())
    y = np.where(gone, 1, np.random.default_rng(1).random(3000) < 0.2).astype(np.int64)
    examples = replace(examples, rows=replace(examples.rows, floats=floats), y=y)
    estimator = ms.lightgbm().fit(examples, ROUNDS)
    scores = run(session(export.graph(estimator, 2, 0, "binary")), examples.rows)
    assert scores[gone].min() > 0.8 > scores[~gone].mean()
    assert scores == pytest.approx(estimator.scores(examples.rows), abs=1e-6)


def test_bins_of_some_rows_are_no_worse_and_repeat(worlds, monkeypatch):
    examples, fresh = (worlds.examples("regression", 4000, seed, floats=5, strings=1) for seed in (0, 1))

    def error() -> float:
        return float(np.sqrt(np.mean((ms.lightgbm().fit(examples, ROUNDS).scores(fresh.rows) - fresh.y) ** 2)))

    whole = error()
    monkeypatch.setattr(lightgbm, "BINNED", 1000)
    assert error() == error() < 1.03 * whole


def test_a_long_fit_has_half_the_trees_and_is_hardly_worse(worlds, monkeypatch):
    examples, fresh = (worlds.examples("regression", 6000, seed, floats=5, strings=1) for seed in (0, 1))

    def learned(algorithm):
        found = algorithm.fit(examples, {"rounds": 101.0})
        error = float(np.sqrt(np.mean((found.scores(fresh.rows) - fresh.y) ** 2)))
        return len(found.trees()), error, found.settings

    trees, error, settings = learned(ms.lightgbm())
    monkeypatch.setattr(lightgbm, "LONG", 5000)
    fewer, other, same = learned(ms.lightgbm())
    assert (trees, fewer) == (101, 51) and settings == same == {"rounds": 101.0}
    assert other < 1.02 * error
    assert learned(ms.lightgbm(learning_rate=0.1)) == (trees, error, settings)
