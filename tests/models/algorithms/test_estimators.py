"""Estimators of scikit-learn as candidates: offered where the conversion scores alike, else compared only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC

import mainstem as ms
from mainstem.errors import DefinitionError
from mainstem.models.algorithms import candidate, check, plain
from mainstem.models.evaluation.comparison import compare
from mainstem.models.metrics import metric
from mainstem.models.training.offer import Kept, offered


def offer(worlds, task, *asked, **widths):
    """Return what is offered of candidates, and which are not offered."""
    examples = worlds.examples(task, 400, **widths)
    judge = metric({"regression": "rmse"}.get(task, "log_loss"))
    compared = compare(examples, asked, judge, folds=2, gap="0s", report=lambda told: None)
    kept = Kept()
    return offered(examples, compared, worlds.rows(200, seed=9, **widths), kept), kept.reasons


def by_name():
    numbers = [f"number_{j}" for j in range(5)]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    both = ColumnTransformer([("n", StandardScaler(), numbers[::2]), ("t", encoder, ["text_0"])])
    return make_pipeline(both, LogisticRegression())


@pytest.mark.parametrize(
    ("task", "make"),
    [
        ("binary", lambda: make_pipeline(PolynomialFeatures(2), LogisticRegression(max_iter=500))),
        ("multiclass", LogisticRegression),
        ("regression", Ridge),
        ("regression", KNeighborsRegressor),
        ("regression", lambda: AdaBoostRegressor(n_estimators=10)),
        ("multiclass", lambda: GradientBoostingClassifier(n_estimators=10)),
        ("binary", lambda: ms.sklearn(RandomForestClassifier(10, min_samples_leaf=5))),
        ("binary", by_name),
        ("multiclass", by_name),
    ],
)
def test_what_converts_is_offered(worlds, task, make):
    found, reasons = offer(worlds, task, make())
    assert not reasons and found.agreement.largest <= 1


def test_what_does_not_convert_is_compared_and_not_offered(worlds):
    found, reasons = offer(worlds, "binary", "naive", ms.sklearn(HistGradientBoostingClassifier(), inputs="codes"))
    assert found.compared.chosen == "naive" and list(reasons) == ["HistGradientBoostingClassifier"]
    assert set(found.compared.scores) == {"naive", "HistGradientBoostingClassifier"}


def test_what_refuses_unknown_levels_is_not_offered(worlds):
    strict = make_pipeline(ColumnTransformer([("t", OneHotEncoder(), ["text_0"])]), LogisticRegression())
    _, reasons = offer(worlds, "binary", "naive", strict)
    assert "unknown categories" in next(iter(reasons.values()))


def test_each_fit_is_of_a_clone_and_the_seed_is_the_models(worlds):
    own = RandomForestClassifier(5)
    examples = worlds.examples("binary", 200)
    first, second = (candidate(own).algorithm.fit(examples).scores(examples.rows) for _ in range(2))
    other = candidate(own).algorithm.fit(replace(examples, seed=1)).scores(examples.rows)
    assert (first == second).all() and (first != other).any()
    assert not hasattr(own, "estimators_") and own.random_state is None


def test_weights_reach_the_last_step(worlds):
    examples = worlds.examples("binary", 300)
    heavy = replace(examples, weights=np.where(examples.y == 1, 50.0, 1.0))
    for asked in (GaussianNB(), make_pipeline(StandardScaler(), LogisticRegression())):
        plainly, weighed = (candidate(asked).algorithm.fit(each).scores(examples.rows) for each in (examples, heavy))
        assert weighed.mean() > plainly.mean()


@pytest.mark.parametrize("weighed", ["weight", "class_weight", "half_life"])
@pytest.mark.parametrize(
    ("asked", "label", "last"),
    [
        (KNeighborsClassifier(), "KNeighborsClassifier", "KNeighborsClassifier"),
        (LinearDiscriminantAnalysis(), "LinearDiscriminantAnalysis", "LinearDiscriminantAnalysis"),
        (make_pipeline(StandardScaler(), KNeighborsClassifier()), "Pipeline(StandardScaler, KNeighborsClassifier)", ""),
        (make_pipeline(make_pipeline(KNeighborsClassifier())), "Pipeline(Pipeline)", ""),
    ],
)
def test_an_estimator_that_takes_no_weights_is_refused_where_rows_have_some(asked, label, last, weighed):
    check(asked, "binary")
    with pytest.raises(DefinitionError) as error:
        check(asked, "binary", weighed=weighed)
    assert error.value.what == f"{label} takes no weights of rows"
    assert error.value.got == f"`{weighed}`, and a `fit` of {last or 'KNeighborsClassifier'} without `sample_weight`"
    assert error.value.expected and error.value.hint


def test_an_estimator_that_takes_weights_by_its_parts_is_a_candidate(worlds):
    examples = worlds.examples("binary", 300)
    heavy = replace(examples, weights=np.where(examples.y == 1, 50.0, 1.0))
    nested = make_pipeline(StandardScaler(), make_pipeline(LogisticRegression()))
    for asked in (GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2), nested):
        check(asked, "binary", weighed="weight")
        plainly, weighed = (candidate(asked).algorithm.fit(each).scores(examples.rows) for each in (examples, heavy))
        assert weighed.mean() > plainly.mean()


@pytest.mark.parametrize(
    ("asked", "task", "what"),
    [
        (Ridge(), "binary", "Ridge does not learn the task 'binary'"),
        (Ridge(), "quantile", "Ridge does not learn the task 'quantile'"),
        (LogisticRegression(), "regression", "LogisticRegression does not learn the task 'regression'"),
        (LinearSVC(), "binary", "LinearSVC gives no probabilities"),
        (SVC(), "multiclass", "SVC gives no probabilities"),
        (ms.naive_bayes(), "regression", "naive_bayes does not learn the task 'regression'"),
    ],
)
def test_an_estimator_of_another_task_is_refused(asked, task, what):
    with pytest.raises(DefinitionError) as error:
        check(asked, task)
    assert error.value.what == what


def test_what_is_not_an_estimator_is_refused():
    with pytest.raises(DefinitionError, match="is not an estimator") as error:
        ms.sklearn(Ridge)
    assert error.value.hint == "an object, not its class: Ridge()"
    with pytest.raises(DefinitionError, match="`inputs` has an invalid value"):
        ms.sklearn(Ridge(), inputs="raw")


class Shifted(RegressorMixin, BaseEstimator):
    """An estimator of one's own, without a converter."""

    def __init__(self, by: float = 1.0) -> None:
        self.by = by

    def fit(self, x, y):
        self.mean_ = y.mean()
        return self

    def predict(self, x):
        return np.full(len(x), self.mean_ + self.by)


class Changed(TransformerMixin, BaseEstimator):
    def transform(self, x):
        return x


def test_an_estimator_of_ones_own_is_compared(worlds):
    found, reasons = offer(worlds, "regression", Shifted(9.0), "naive")
    assert found.compared.chosen == "naive" and not reasons
    found, reasons = offer(worlds, "regression", Shifted(0.0), ms.sklearn(Shifted(5.0)), "naive")
    assert set(found.compared.scores) == {"Shifted", "Shifted 2", "naive"}


def test_no_candidate_that_can_be_deployed(worlds):
    from mainstem.errors import ModelError

    with pytest.raises(ModelError, match="no candidate can be deployed") as error:
        offer(worlds, "regression", Shifted())
    assert "Shifted" in str(error.value.got) and "lightgbm" in str(error.value.hint)


def test_the_identity_of_an_estimator_is_its_class_and_parameters():
    assert plain(Ridge()) == plain(Ridge(alpha=1.0)) != plain(Ridge(alpha=2.0))
    assert plain(make_pipeline(StandardScaler(), Ridge())) != plain(make_pipeline(StandardScaler(), Ridge(alpha=3)))
    assert plain(ms.sklearn(Ridge(), inputs="codes")) != plain(Ridge()) == plain(ms.sklearn(Ridge()))
    one, two = (make_pipeline(FunctionTransformer(f), Ridge()) for f in (lambda x: x + 1, lambda x: x + 2))
    assert plain(one) != plain(two)
    assert plain(Shifted()) != plain(Shifted(2.0))


def test_the_code_of_ones_own_class_is_part_of_its_identity():
    first = plain(Changed())

    def transform(self, x):
        return x * 2

    Changed.transform = transform
    assert plain(Changed()) != first


def test_what_shows_no_identity_is_refused():
    class Own:
        def fit(self, examples, settings=None): ...
        def settle(self, found): ...

    with pytest.raises(DefinitionError, match="cannot be told from a changed one"):
        plain(Own())
