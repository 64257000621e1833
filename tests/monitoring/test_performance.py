"""Performance against a floor: judged by the end of the interval that is kind to the model."""

import numpy as np

from mainstem.monitoring.history import DAY
from mainstem.monitoring.performance import grade
from mainstem.nodes.endpoints import Performance


def served(rows=4000, skill=1.5, seed=0):
    random = np.random.default_rng(seed)
    y = (random.random(rows) < 0.3).astype(float)
    scores = 1 / (1 + np.exp(-(random.normal(size=rows) + skill * y)))
    return y, scores, np.sort(random.integers(0, 30 * DAY, rows))


def test_above_the_floor():
    found = grade(Performance(0.4), *served())
    assert found.judgement == "fine" and "above the floor of 0.4" in found.text
    assert found.measure.low < found.measure.value < found.measure.high


def test_below_the_floor():
    found = grade(Performance(0.9), *served())
    assert found.judgement == "failing" and found.text.endswith("below the floor of 0.9")


def test_below_but_within_the_noise_is_no_alarm():
    y, scores, times = served(rows=600)
    floor = grade(Performance(0), y, scores, times).measure.value + 0.005
    found = grade(Performance(floor), y, scores, times)
    assert found.judgement == "fine" and "not significantly below the floor" in found.text


def test_where_lower_is_better_the_floor_is_a_ceiling():
    assert grade(Performance(0.1, metric="brier"), *served()).text.endswith("above the ceiling of 0.1")
    assert grade(Performance(0.9, metric="brier"), *served()).judgement == "fine"


def test_too_few_or_one_sided_outcomes_are_not_judged():
    y, scores, times = served(rows=100)
    few = grade(Performance(0.4), y, scores, times)
    assert few.judgement == "not enough rows" and few.text.endswith("100 outcomes, 500 are needed")
    alike = grade(Performance(0.4), np.zeros(600), np.linspace(0, 1, 600), np.arange(600))
    assert alike.judgement == "not enough rows" and "all outcomes are equal" in alike.text


def test_regression():
    random = np.random.default_rng(0)
    y = random.normal(size=1000)
    found = grade(
        Performance(0.5),
        y,
        y + random.normal(0, 1, 1000),
        np.arange(1000) * DAY // 50,
        task="regression",
        default="rmse",
    )
    assert found.judgement == "failing" and "above the ceiling of 0.5" in found.text


def test_a_metric_that_is_undefined_on_the_outcomes_is_not_judged():
    truth = np.column_stack([np.zeros(600), np.arange(600) // 10])  # nobody bought anything
    found = grade(Performance(0.4), truth, np.arange(600.0), np.arange(600), task="ranking", default="ndcg_10")
    assert (found.judgement, found.measure) == ("not enough rows", None)
    assert found.text == "ndcg 10 not judged: it is undefined on these outcomes"
