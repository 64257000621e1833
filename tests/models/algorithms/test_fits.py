"""What the algorithms of our own graphs compute is what scikit-learn computes."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import mainstem as ms
from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import TREE_STEP, work
from mainstem.models.algorithms.sampled import Corrected
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.engineering import Engineered
from mainstem.models.preprocessing import LINEAR, fit
from mainstem.nodes.engineering import Interactions
from mainstem.nodes.sampling import Sampling

BOOSTED = ["lightgbm", "hist_boosting", "xgboost", "catboost"]


def matrix_of(examples):
    return fit(examples, LINEAR)[1]


def wide(task: str, rows: int = 240, inputs: int = 240) -> Examples:
    """Examples of more inputs than rows can tell apart, of which five matter."""
    random = np.random.default_rng(0)
    floats = random.normal(size=(rows, inputs)).astype(np.float32)
    signal = floats[:, :5] @ np.array([3, -2, 2, 1, -1]) + random.normal(0, 1, rows)
    y = signal if task == "regression" else (signal > 0).astype(np.int64)
    return Examples(Rows(floats, np.empty((rows, 0), object)), y, np.zeros(rows, np.int64), task)


def test_neighbours_are_scikit_learns(worlds):
    from sklearn.neighbors import KNeighborsRegressor

    examples, others = worlds.examples("regression", 500), worlds.examples("regression", 100, seed=4)
    estimator = ms.knn(n_neighbors=7).fit(examples)
    model = KNeighborsRegressor(7).fit(matrix_of(examples), examples.y)
    asked = estimator.fitted.transform(others.rows.floats, others.rows.strings)
    assert np.mean(np.isclose(estimator.scores(others.rows), model.predict(asked))) > 0.95


def test_neighbours_are_the_earlier_of_equally_near_rows():
    rows = Rows(np.zeros((50, 1), np.float32), np.empty((50, 0), object))
    rows.floats[0] = 1
    examples = Examples(rows, np.arange(50.0), np.zeros(50, np.int64), "regression")
    estimator = ms.knn(n_neighbors=3).fit(examples)
    assert estimator.scores(rows)[1:].tolist() == [2.0] * 49


def test_naive_bayes_is_scikit_learns(worlds):
    from sklearn.naive_bayes import GaussianNB

    examples = worlds.examples("multiclass", 900, floats=1, strings=0)
    model = GaussianNB().fit(examples.rows.floats, examples.y)
    estimator = ms.naive_bayes(var_smoothing=1e-4).fit(examples)
    assert estimator.scores(examples.rows) == pytest.approx(model.predict_proba(examples.rows.floats), abs=0.02)


def test_a_missing_number_says_nothing_to_naive_bayes(worlds):
    examples = worlds.examples("binary", 900, floats=2, strings=0)
    estimator = ms.naive_bayes().fit(examples)
    blank = Rows(np.full((1, 2), np.nan, np.float32), np.empty((1, 0), object))
    assert estimator.scores(blank) == pytest.approx([examples.y.mean()], abs=0.01)


def networks(examples, epochs, **options):
    """Return the probabilities of a network of scikit-learn after so many epochs."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((16,), alpha=1e-2, learning_rate_init=3e-3, max_iter=epochs, random_state=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(matrix_of(examples).astype(float), examples.y).predict_proba(matrix_of(examples))


def test_a_network_is_scikit_learns(worlds):
    small, large = worlds.examples("multiclass", 400), worlds.examples("multiclass", 700)
    network = ms.mlp(hidden_layer_sizes=(16,), max_iter=30)
    found = network.fit(small)
    assert found.scores(small.rows) == pytest.approx(networks(small, 30), abs=1e-5)
    assert found.settings == {"epochs": 30.0}
    again = network.fit(large, {"epochs": 7.0})
    assert again.scores(large.rows) == pytest.approx(networks(large, 7, n_iter_no_change=7), abs=1e-5)
    assert again.settings == {"epochs": 7.0}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_network_stops_where_the_latest_rows_are_predicted_best(worlds, task):
    """Of rows whose latest tenth follows another rule, learning more makes it worse: the first epochs are the best."""
    examples = worlds.examples(task, 1_200)
    y = examples.y.copy()
    late = slice(1_080, None)
    y[late] = y[late].max() + y[late].min() - y[late]
    turned = replace(examples, y=y)
    usual, few = ms.mlp().fit(examples), ms.mlp().fit(turned)
    assert few.settings["epochs"] < 4 < usual.settings["epochs"] <= 100
    assert ms.mlp().fit(turned).scores(examples.rows).tolist() == few.scores(examples.rows).tolist()
    random = np.random.default_rng(3)
    # The number of epochs is that of the latest rows. The order of the earlier ones does not say it.
    apart = replace(turned, times=random.permutation(turned.times))
    assert ms.mlp().fit(apart).settings["epochs"] > few.settings["epochs"]


def test_a_network_does_not_watch_copies_of_the_rows_that_it_learns_from(worlds):
    from mainstem.models.algorithms.sampled import sampled
    from mainstem.models.algorithms.stopping import watching
    from mainstem.nodes.sampling import Sampling

    examples = worlds.examples("binary", 2_000)
    kept = np.flatnonzero((examples.y == 0) | (np.arange(2_000) % 10 == 0))
    untimed = replace(examples.take(kept), times=np.zeros(len(kept), np.int64), sampling=Sampling(resample="over"))
    early, late = watching(sampled(untimed)[0], 0.1, 50)
    assert len(np.unique(early.copied)) < len(early)
    assert not set(early.copied) & set(late.copied)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_sparse_model_learns_a_wide_table(task):
    """Of 240 inputs, five matter. A ridge spreads its weights over all; an elastic net finds the five."""
    examples = wide(task)
    train, test = examples.take(np.arange(160)), examples.take(np.arange(160, 240))
    sparse, dense = ms.elastic_net().fit(train), ms.linear().fit(train)
    assert set(np.argsort(-sparse.importances(240))[:3]) == {0, 1, 2}
    assert (sparse.weights == 0).sum() > 100

    def loss(estimator) -> float:
        return float(np.mean((estimator.scores(test.rows) - test.y) ** 2))

    assert loss(sparse) < 0.75 * loss(dense)


def test_wide_tables_try_a_sparse_model():
    from mainstem.models.algorithms import usual

    assert usual(300, 300, monotone=False) == ("linear", "elastic_net", "lightgbm")
    assert usual(3000, 10, monotone=False) == ("linear", "lightgbm")
    assert usual(3000, 10, monotone=True) == ("lightgbm",)
    for task in ("count", "quantile", "ranking"):
        assert usual(100, 25, monotone=False, task=task) == ("linear", "lightgbm")


@pytest.mark.parametrize("name", BOOSTED)
def test_early_stopping_leaves_small_tables_alone(worlds, name):
    small = worlds.examples("binary", 150)
    assert getattr(ms, name)().fit(small).settings == {"rounds": 50.0}


def rare(positives, n=200, late=0):
    """Return timed rows with so many positives, `late` of them among the latest 30."""
    random = np.random.default_rng(1)
    y = np.zeros(n, np.int64)
    y[random.permutation(n - 30)[: positives - late]] = 1
    y[n - 30 + random.permutation(30)[:late]] = 1
    floats = (random.normal(size=(n, 3)) + 2 * y[:, None]).astype(np.float32)
    return Examples(Rows(floats, np.empty((n, 0), object)), y, np.arange(n) * 3_600_000_000, "binary")


@pytest.mark.parametrize("name", BOOSTED)
@pytest.mark.parametrize("late", [0, 4])
def test_early_stopping_needs_rows_of_each_class(name, late):
    """Without positives to watch, or with a few, trees that say less and less to any row look best."""
    assert getattr(ms, name)().fit(rare(12, late=late)).settings == {"rounds": 50.0}
    assert getattr(ms, name)().fit(rare(60, late=15)).settings != {"rounds": 50.0}


def test_early_stopping_tells_by_the_rows_that_are_watched():
    from mainstem.models.algorithms.sampled import sampled
    from mainstem.models.algorithms.stopping import watching
    from mainstem.nodes.sampling import Sampling

    assert watching(rare(12, late=5), 0.15) and not watching(rare(12, late=4), 0.15)
    over = sampled(replace(rare(12, late=4), sampling=Sampling(resample="over")))[0]
    assert over.y[over.times >= 170 * 3_600_000_000].sum() > 30
    assert not watching(over, 0.15)  # copies of four rows

    counts = replace(rare(12, late=4), task="count", y=rare(12, late=4).y * 3.0)
    assert not watching(counts, 0.15) and watching(replace(counts, y=counts.y + 1), 0.15)
    queries = replace(counts, task="ranking", queries=np.arange(200) // 3)
    assert not watching(queries, 0.15) and watching(replace(queries, y=queries.y + 1), 0.15)

    def of_classes(*counts):
        """Rows of classes in turn, and of the last one only early ones."""
        y = np.concatenate([np.full(counts[-1], len(counts) - 1), np.arange(sum(counts[:-1])) % (len(counts) - 1)])
        return replace(rare(12, n=len(y)), y=y, task="multiclass", classes=len(counts))

    assert watching(of_classes(300, 300, 20), 0.15)  # a rare class that is not watched
    assert not watching(of_classes(300, 300, 60), 0.15)  # one that many rows have


@pytest.mark.parametrize("name", BOOSTED)
def test_early_stopping_watches_the_latest_rows_whole_groups_of_untimed_ones(worlds, name):
    from mainstem.models.algorithms.stopping import latest_part

    examples = worlds.examples("binary", 600)
    early, late = latest_part(examples, 0.15)
    assert early.times.max() < late.times.min()
    groups = np.arange(600) % 30
    early, late = latest_part(replace(examples, times=np.zeros(600, np.int64), groups=groups), 0.15)
    assert not set(early.groups) & set(late.groups)
    assert 1 <= getattr(ms, name)().fit(examples).settings["rounds"] < 600


def test_early_stopping_leaves_a_gap_as_long_as_labels_take(worlds):
    from mainstem.models.algorithms.stopping import latest_part

    examples = worlds.examples("binary", 600)
    examples = replace(examples, times=np.arange(600, dtype=np.int64), gap=100)
    early, late = latest_part(examples, 0.15)
    assert (early.times.max(), late.times.min()) == (409, 510)
    known = examples.times + np.where(np.arange(600) % 2 == 0, 300, 0)
    early, _ = latest_part(replace(examples, known=known), 0.15)
    assert early.times[early.times % 2 == 0].max() == 208 and early.times.max() == 409
    early, _ = latest_part(replace(examples, gap=300), 0.15)
    assert early.times.max() == 509, "a gap that takes more than half of the rows is left out"


def test_the_strength_is_found_on_folds_with_a_gap(worlds):
    from mainstem.models.algorithms.elastic_net import _folds

    examples = replace(worlds.examples("regression", 600), times=np.arange(600, dtype=np.int64), gap=100)
    folds = _folds(examples)
    assert [(int(fold.train.max()), int(fold.test.min())) for fold in folds] == [(49, 150), (199, 300), (349, 450)]
    assert [len(fold.gap) for fold in _folds(replace(examples, gap=10_000))] == [0, 0, 0]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_sparse_solver_finds_the_optimum_that_scikit_learn_finds(classes):
    """Both minimise one loss, so that the weights of both are equal within the steps that either takes."""
    from sklearn.linear_model import LogisticRegression

    from mainstem.models.algorithms.sparse import SparseLogistic

    random = np.random.default_rng(5)
    matrix = random.normal(0, 1, (60, 90)) + random.normal(0, 1, (60, 1))
    y = np.digitize(matrix[:, 0] - matrix[:, 1] + random.normal(0, 0.3, 60), [-1, 1][: classes - 1])
    weights = random.uniform(0.5, 2, 60)
    ours = SparseLogistic(0.2, 0.7, 1e-7)
    for strength in (0.2, 0.1, 0.05):  # as a path: each fit starts from the one before
        ours.set_params(strength=strength)
        ours.fit(matrix, y, weights)
        theirs = LogisticRegression(
            C=1 / (strength * 60), l1_ratio=0.7, solver="saga", tol=1e-9, max_iter=30_000, random_state=0
        ).fit(matrix, y, weights)
        assert np.allclose(ours.coef_, theirs.coef_, atol=1e-3)
        assert ours.predict_proba(matrix) == pytest.approx(theirs.predict_proba(matrix), abs=1e-3)


@pytest.mark.parametrize("shape", [(30, 200), (80, 60), (80, 300), (300, 80)])
def test_the_step_of_the_sparse_solver_has_a_bound_close_to_the_curvature(shape):
    from mainstem.models.algorithms import sparse

    matrix = np.random.default_rng(2).normal(0, 1, shape) + 1
    gram = matrix @ matrix.T if shape[0] < shape[1] else matrix.T @ matrix
    largest = np.linalg.eigvalsh(gram)[-1]
    assert 0.999999 * largest <= sparse._largest(gram) <= 1.03 * largest
    assert sparse._largest(np.zeros((60, 60))) == 0


def test_a_wide_sparse_model_is_nearer_to_its_optimum_and_repeats():
    """scikit-learn's solver for classes stops at 300 passes, far from the optimum, when columns outnumber rows."""
    from sklearn.linear_model import LogisticRegression

    from mainstem.models.algorithms.sparse import SparseLogistic

    random = np.random.default_rng(0)
    matrix = random.normal(0, 1, (120, 600))
    y = (matrix[:, :5].sum(1) + random.normal(0, 1, 120) > 0).astype(int)

    def loss(model) -> float:
        raw = matrix @ model.coef_[0] + model.intercept_
        penalty = 0.9 * np.abs(model.coef_).sum() + 0.05 * (model.coef_**2).sum()
        return float(np.mean(np.logaddexp(0, raw) - y * raw) + 0.01 * penalty)

    ours = SparseLogistic(0.01, 0.9, 1e-3).fit(matrix, y)
    theirs = LogisticRegression(C=1 / 1.2, l1_ratio=0.9, solver="saga", tol=1e-3, max_iter=300, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says itself that it did not converge
        theirs.fit(matrix, y)
    assert loss(ours) < 0.99 * loss(theirs)
    assert (SparseLogistic(0.01, 0.9, 1e-3).fit(matrix, y).coef_ == ours.coef_).all()


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_trees_of_a_wide_table_look_at_related_inputs_and_are_no_worse(task, monkeypatch):
    from mainstem.models.algorithms import lightgbm as module

    examples = wide(task, rows=400, inputs=900)
    train, test = examples.take(np.arange(200)), examples.take(np.arange(200, 400))

    def loss(estimator) -> float:
        return float(np.mean((estimator.scores(test.rows) - test.y) ** 2))

    few = ms.lightgbm().fit(train)
    monkeypatch.setattr(module, "OF_ROWS", 1_000)
    every = ms.lightgbm().fit(train)
    assert loss(few) < 1.03 * loss(every)
    assert set(np.argsort(-few.importances(900))[:2]) <= {0, 1, 2, 3, 4}


def test_the_inputs_that_trees_look_at_are_those_whose_ranks_follow_the_target():
    from mainstem.models.algorithms.lightgbm import related

    examples = wide("regression", rows=60, inputs=400)
    matrix = matrix_of(examples)
    matrix[::7, 3] = np.nan  # in the middle of the ranks
    found = related(matrix, examples)
    varying = np.flatnonzero(np.ptp(np.nan_to_num(found), axis=0))
    assert len(varying) == 120
    assert {0, 1} <= set(varying)
    np.testing.assert_array_equal(found[:, varying], matrix[:, varying])
    narrow = matrix[:, :120]
    assert related(narrow, examples) is narrow


def test_the_work_of_a_score_is_counted_from_what_was_fitted(worlds):
    examples = worlds.examples("regression", 300, floats=3, strings=0)
    columns = matrix_of(examples).shape[1]
    assert work(ms.linear().fit(examples)) == columns
    assert work(ms.knn(remember=200).fit(examples)) == 200 * columns
    assert work(ms.mlp(hidden_layer_sizes=(8, 4)).fit(examples)) == columns * 8 + 8 * 4 + 4
    assert work(ms.decision_tree(max_depth=2).fit(examples)) == 2 * TREE_STEP
    assert work(ms.random_forest(n_estimators=5, max_depth=1).fit(examples)) == 5 * TREE_STEP
    boosted = ms.lightgbm(rounds=20).fit(examples)
    assert work(boosted) == boosted.settings["rounds"] * 8 * TREE_STEP > 0
    assert work(ms.naive().fit(examples)) == 0 == work(object())
    line = ms.linear_boosting(rounds=20).fit(examples)
    assert work(line) == columns + line.settings["rounds"] * 8 * TREE_STEP


def test_the_work_of_quantiles_and_of_what_is_around_a_fit_is_theirs(worlds):
    examples = replace(worlds.examples("regression", 300, floats=3, strings=0), task="quantile", quantiles=(0.1, 0.9))
    found = ms.lightgbm(rounds=20).fit(examples)
    assert work(found) == sum(found.settings.values()) * 8 * TREE_STEP > 0
    binary = worlds.examples("binary", 300, floats=3, strings=0)
    weighed = replace(binary, sampling=Sampling(class_weight="balanced"))
    made = Engineered(ms.linear(), (Interactions(),)).fit(weighed)
    assert isinstance(made.of, Corrected) and work(made) == made.of.of.weights.size > matrix_of(binary).shape[1]


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost", "random_forest", "extra_trees"])
def test_the_number_of_threads_does_not_change_the_model(worlds, monkeypatch, name):
    monkeypatch.setattr(libraries, "MANY_ROWS", 1_000)
    monkeypatch.setattr(libraries, "MANY_CELLS", 1_000)
    examples = worlds.examples("binary", 20_000, floats=6, strings=1)

    def scores(cores):
        monkeypatch.setattr(libraries, "cores", lambda: cores)
        assert libraries.threads(len(examples)) == libraries.lightgbm_threads(len(examples), 7) == cores
        return getattr(ms, name)().fit(examples, {"rounds": 40.0}).scores(examples.rows)

    alone = scores(1)
    for cores in (2, 3, 5):
        assert np.array_equal(scores(cores), alone)
