"""A metric of one's own is tried when the project loads, and is then a metric like the others."""

from __future__ import annotations

import numpy as np
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError
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
