"""A metric of one's own is tried when the project loads, and is then a metric like the others."""

from __future__ import annotations

import numpy as np
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, ModelError
from mainstem.models.metrics import METRICS, alone, difference, measure, own


@pytest.fixture(autouse=True)
def metrics_as_before():
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)


def test_it_has_a_value_an_interval_and_differences():
    @ms.metric(higher_is_better=False)
    def worst_error(y, scores):
        return np.quantile(np.abs(y - scores), 0.9)

    found = own(worst_error, "regression")
    rng = np.random.default_rng(0)
    y = rng.normal(0, 1, 300)
    scores = y + rng.normal(0, 0.5, 300)
    value = measure(found, y, scores)
    assert value.value == worst_error(y, scores) and value.low < value.value < value.high
    assert difference(found, y, scores, np.zeros(300)).low > 0
    weights = np.zeros(300)
    weights[:10] = 2
    assert found.value(y, scores, weights) == worst_error(np.repeat(y[:10], 2), np.repeat(scores[:10], 2))


def raises(y, scores):
    return y / "0"


def text(y, scores):
    return "good"


def nothing(y, scores):
    return float("nan")


def backwards(y, scores):
    return ((y - scores) ** 2).mean()


def constant(y, scores):
    return 1.0


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raises, "fails on binary rows"),
        (text, "fails on binary rows"),
        (nothing, "is not finite"),
        (backwards, "does not prefer good scores"),
        (constant, "does not prefer good scores"),
    ],
)
def test_what_does_not_fit_is_refused(function, said):
    with pytest.raises(DefinitionError, match=said) as error:
        own(ms.metric(higher_is_better=True)(function), "binary")
    assert "test_own.py" in error.value.where and function.__name__ not in METRICS


def test_a_function_of_other_arguments_or_without_a_name():
    with pytest.raises(DefinitionError, match="too many positional arguments"):
        ms.metric(higher_is_better=True)(one_argument)
    with pytest.raises(DefinitionError, match="function with a name"):
        ms.metric(higher_is_better=True)(lambda y, s: 1.0)


def one_argument(y):
    return 1.0


def test_a_name_of_mainstem_is_taken():
    def rmse(y, scores):
        return float(np.sqrt(((y - scores) ** 2).mean()))

    with pytest.raises(DefinitionError, match="has the name of a metric of Mainstem"):
        own(ms.metric(higher_is_better=False)(rmse), "regression")


def test_a_bare_function_does_not_say_its_direction():
    with pytest.raises(DefinitionError) as error:
        ms.model("rows", target="y", features="all", metric=backwards)
    assert "higher_is_better" in str(error.value)


def test_two_metrics_of_one_name_are_refused_and_one_may_have_two_tasks():
    def made(factor):
        @ms.metric(higher_is_better=False)
        def loss(y, scores):
            return factor * np.abs(y - scores).mean()

        return loss

    first, second = made(1.0), made(2.0)
    others = {}
    alone(first, others)
    alone(first, others)
    with pytest.raises(DefinitionError, match="two metrics are called 'loss'"):
        alone(second, others)
    own(first, "binary")
    assert own(first, "regression").tasks == {"binary", "regression"}
    assert own(second, "binary").tasks == {"binary"}


def test_quantiles_have_their_levels_beside_each_target():
    @ms.metric(higher_is_better=False)
    def widest_miss(y, scores):
        return np.maximum(y[:, :1] - scores, scores - y[:, :1]).max()

    found = own(widest_miss, "quantile", (0.2, 0.5, 0.7, 0.9))
    y = np.array([[1.0, 0.1, 0.9], [5.0, 0.1, 0.9]])
    assert found.value(y, np.array([[0.0, 2.0], [4.5, 9.0]])) == 4.0


def test_a_query_that_is_drawn_twice_is_two_queries():
    @ms.metric(higher_is_better=True)
    def first_is_best(y, scores):
        each = [y[rows][np.argmax(scores[rows]), 0] == y[rows][:, 0].max() for rows in _queries(y)]
        return float(np.mean(each))

    found = own(first_is_best, "ranking")
    y = np.array([[1, 7], [0, 7], [0, 9], [1, 9]], float)
    scores = np.array([0.9, 0.1, 0.8, 0.2])
    assert found.value(y, scores) == 0.5
    assert found.value(y, scores, np.array([2, 2, 1, 1])) == pytest.approx(2 / 3)
    assert found.value(y, scores, np.array([0, 0, 1, 1])) == 0.0


def _queries(y):
    return [y[:, 1] == number for number in np.unique(y[:, 1])]


def test_a_metric_that_fails_on_some_rows_is_named():
    @ms.metric(higher_is_better=True)
    def share_of_both(y, scores):
        return 1 / (1 + float(np.abs(y - scores).sum())) / int(0 < y.mean() < 1)

    found = own(share_of_both, "binary")
    with pytest.raises(ModelError, match="the metric 'share_of_both' fails") as error:
        measure(found, np.array([1, 1, 1]), np.array([0.9, 0.8, 0.7]))
    assert "ZeroDivisionError" in error.value.got and "test_own.py" in error.value.where


def test_another_body_has_another_code():
    def one(y, scores):
        return np.abs(y - scores).mean()

    def other(y, scores):
        return np.abs(y - scores).max()

    other.__name__ = "one"
    declare = ms.metric(higher_is_better=False)
    first, again, second = (own(declare(each), "regression").code for each in (one, one, other))
    assert first == again != second and METRICS["rmse"].code == ""
