"""Every algorithm, for every task: it learns, it exports through the gate, it is the same twice."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, ModelError, UnknownName
from mainstem.models.algorithms import ALGORITHMS, algorithm, register
from mainstem.models.algorithms.base import linked
from mainstem.models.algorithms.linear import Linear
from mainstem.models.algorithms.naive import Naive
from mainstem.models.evaluation.comparison import compare
from mainstem.models.metrics import metric
from mainstem.models.preprocessing import LINEAR, fit
from mainstem.testing.contracts.algorithm import AlgorithmContract

SMALL = {
    "random_forest": ms.random_forest(n_estimators=25),
    "extra_trees": ms.extra_trees(n_estimators=25),
    "hist_boosting": ms.hist_boosting(rounds=60, few_rounds=30),
    "catboost": ms.catboost(rounds=60, few_rounds=30),
    "xgboost": ms.xgboost(rounds=100, few_rounds=30),
}
"""Algorithms with fewer trees, so that the suite is quick."""


@pytest.mark.parametrize(
    "algorithm", [SMALL.get(n, a) for n, a in ALGORITHMS.items() if n != "naive"], ids=lambda a: a.name
)
class TestAlgorithms(AlgorithmContract):
    """Every algorithm that learns."""


class TestNaive(AlgorithmContract):
    learns = False

    @pytest.fixture
    def algorithm(self):
        return Naive()


@pytest.mark.parametrize("name", ["linear", "lightgbm"])
def test_importances_find_the_signal(name, worlds):
    examples = worlds.examples("binary", 3000)
    shares = algorithm(name).fit(examples).importances(7)
    assert shares.sum() == pytest.approx(1) and set(np.argsort(-shares)[:2]) == {0, 5}


def test_naive_says_the_past(worlds):
    examples = worlds.examples("binary")
    assert Naive().fit(examples).scores(examples.rows) == pytest.approx(np.full(1500, examples.y.mean()))


def test_linear_is_scikit_learns(worlds):
    from sklearn.linear_model import LogisticRegression

    for task in ("binary", "multiclass"):
        examples = worlds.examples(task)
        matrix = fit(examples, LINEAR)[1].astype(np.float64)
        expected = LogisticRegression(C=1.0, max_iter=5000, tol=1e-8).fit(matrix, examples.y).predict_proba(matrix)
        scores = Linear().fit(examples).scores(examples.rows)
        assert scores == pytest.approx(expected[:, 1] if task == "binary" else expected, abs=2e-3)


def test_early_stopping_settles_the_rounds(worlds):
    lightgbm = algorithm("lightgbm")
    found = lightgbm.fit(worlds.examples("binary", 2000))
    assert 1 <= found.settings["rounds"] < 600
    settled = lightgbm.settle([{"rounds": 10.0}, {"rounds": 30.0}])
    assert settled == {"rounds": 20.0}
    final = lightgbm.fit(worlds.examples("binary", 2000), settled)
    assert len(final.trees()) == 20 and final.settings == settled


def test_inputs_that_say_nothing_are_refused(worlds):
    examples = worlds.examples("binary", 200, floats=0, strings=1)
    examples.rows.strings[:, 0] = [f"id {i}" for i in range(200)]
    for name in ("linear", "lightgbm"):
        with pytest.raises(ModelError, match="no usable input"):
            algorithm(name).fit(examples)


def test_links_do_not_overflow():
    assert linked(np.array([[-1e4], [1e4]]), "binary").tolist() == [0, 1]
    assert linked(np.array([[1e4, -1e4, 0]]), "multiclass").tolist() == [[1, 0, 0]]


def test_a_text_that_few_rows_share_is_enough_for_a_small_table(worlds):
    examples = worlds.examples("binary", 60, floats=0, strings=1)
    examples.rows.strings[:, 0] = [f"level {i % 6}" for i in range(60)]
    for name in ("linear", "lightgbm"):
        assert algorithm(name).fit(examples).scores(examples.rows).shape == (60,)


def test_the_reason_for_no_usable_input_is_the_number_of_rows(worlds):
    examples = worlds.examples("binary", 100, floats=0, strings=1)
    examples.rows.strings[:, 0] = [f"level {i % 50}" for i in range(100)]
    with pytest.raises(ModelError, match="no usable input") as error:
        algorithm("lightgbm").fit(examples)
    assert error.value.got == "100 rows to learn from, in which every text is rare"
    assert error.value.expected == "a number, or a text that 4 of these rows share (2 for the mean target)"
    assert algorithm("linear").fit(examples).scores(examples.rows).shape == (100,), "by the mean target"


@pytest.mark.parametrize("offered", [object(), Naive, SimpleNamespace(fit=len)])
def test_what_is_not_an_algorithm_is_refused_when_it_is_registered(offered):
    with pytest.raises(DefinitionError, match="'mine' is not an algorithm"):
        register("mine", offered)
    assert "mine" not in ALGORITHMS


@pytest.mark.parametrize(
    ("made", "what", "got"),
    [
        (lambda examples: examples.nothing, "cannot be fitted", "AttributeError: 'Examples' object has no attribute"),
        (lambda examples: object(), "does not give an estimator", "object without 'scores'"),
        (lambda examples: estimator(lambda rows: rows.nothing), "cannot score", "AttributeError: 'Rows' object has no"),
        (lambda examples: estimator(lambda rows: np.zeros((len(rows), 2))), "have the wrong shape", "(100, 2)"),
        (lambda examples: estimator(lambda rows: np.full(len(rows), 0.5)), "cannot settle", "AttributeError: 'list'"),
    ],
)
def test_an_algorithm_that_fails_is_named(worlds, made, what, got):
    register(
        "mine", SimpleNamespace(fit=lambda examples, settings=None: made(examples), settle=lambda found: found.none)
    )
    try:
        examples = worlds.examples("binary", 400)
        with pytest.raises(ModelError, match="'mine'") as error:
            compare(examples, ["mine"], metric("log_loss"), folds=3, gap="1h", report=lambda told: None)
        assert what in error.value.what and error.value.got.startswith(got)
    finally:
        del ALGORITHMS["mine"]


def estimator(scores):
    return SimpleNamespace(scores=scores, onnx=None, importances=None, settings={})


def test_registering_ones_own():
    class Coin(Naive):
        pass

    register("coin", Coin())
    try:
        assert isinstance(algorithm("coin"), Coin)
    finally:
        del ALGORITHMS["coin"]
    with pytest.raises(UnknownName, match="did you mean 'lightgbm'"):
        algorithm("lightgmb")
