"""Quantiles: one artifact with ascending quantiles, how often targets are below them, and decisions by them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ibis import _
from sklearn import metrics as oracle
from sklearn.linear_model import QuantileRegressor

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.models.algorithms import algorithm
from mainstem.models.algorithms.naive import Naive
from mainstem.models.data.quantiles import empirical, label_of, level_of, middle, packed
from mainstem.models.metrics import METRICS
from mainstem.models.versions import registry
from mainstem.models.versions.report import text
from mainstem.monitoring.performance import grade
from mainstem.nodes.endpoints import Performance
from mainstem.project.resolve import resolve
from mainstem.testing import learning

SCHEMA = {"id": "string", "distance": "float64", "city": "string", "minutes": "float64"}
LEVELS = (0.1, 0.5, 0.9)


def rides(n: int = 400, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        distance, city = float(rng.uniform(1, 20)), str(rng.choice(["Rome", "Oslo"]))
        minutes = 5 + 2 * distance + (city == "Rome") * 10 + float(rng.normal(0, 1 + distance / 4))
        rows.append({"id": f"r{i}", "distance": distance, "city": city, "minutes": minutes})
    return rows


def nodes_of(endpoint=None, **options):
    source = ms.files("rides.parquet", key="id", schema=SCHEMA)
    settings = {"quantiles": LEVELS, "features": ["distance", "city"], "candidates": ["linear"], "folds": 2}
    model = ms.model(source, target="minutes", **{**settings, **options})
    return {"rides": source, "arrival": model, "desk": ms.endpoint(model, **(endpoint or {}))}


def test_quantiles_are_learned_measured_and_served():
    decide = ms.cheapest(wait=_.scores.q90, go=_.score + _.distance)
    with mainstem.testing.project(nodes_of({"decide": decide}), data={"rides": rides()}) as project:
        (step,) = (step for step in project.plan().steps if step.kind == "train")
        assert step.details == ("the task is quantile, as `quantiles` declares",)
        project.run()
        version = registry.versions(project.adapters.state, "arrival")[-1]
        assert version.task == "quantile" and version.classes == ("q10", "q50", "q90")
        assert version.metric == "pinball"
        assert set(version.metrics) == {"pinball", "coverage_error", "coverage", "interval_width"}
        assert version.metrics["pinball"].high < version.baseline["pinball"].value / 2

        card = project.show("arrival").card
        between = card["evaluated"]["reached"][-1]
        assert between["label"] == "q10 to q90" and between["level"] == 0.8
        assert between["share"]["low"] < 0.8 < between["share"]["high"]
        shown = text(version, project.adapters.lake_root)
        assert "q10 to q90" in shown and "≤ q50" in shown

        project.promote("arrival")
        (answer,) = project.predict("desk", [{"distance": 10.0, "city": "Oslo"}])
        assert list(answer["scores"]) == ["q10", "q50", "q90"]
        low, mid, high = answer["scores"].values()
        assert 15 < low < mid < high < 35 and answer["score"] == mid and answer.get("label") is None
        assert answer["decision"] == "wait" and answer["values"] == pytest.approx({"wait": high, "go": mid + 10})


def test_a_search_finds_ascending_quantiles():
    """The quantiles of an ensemble do not cross."""
    options = {"tune": 16, "test": 0.25, "candidates": ["linear", "lightgbm"]}
    with mainstem.testing.project(nodes_of(**options), data={"rides": rides()}) as project:
        project.run()
        card = project.show("arrival").card
        search = card["evaluated"]["search"]
        assert len(search["trials"]) == 16 and not search["higher_is_better"]
        assert all(each["state"] != "failed" for each in search["trials"])
        assert any("engineer" in each["settings"] for each in search["trials"])
        assert card["algorithm"] == "ensemble" and card["gate"]["largest"] <= 1
        version = registry.versions(project.adapters.state, "arrival")[-1]
        assert version.metrics["pinball"].high < version.baseline["pinball"].value / 2
        project.promote("arrival")
        asked = [{"distance": float(d), "city": city} for d in range(-5, 60) for city in ("Oslo", "Rome", "Bonn")]
        found = [list(each["scores"].values()) for each in project.predict("desk", asked)]
    assert all(scores == sorted(scores) for scores in found)


@pytest.mark.parametrize("name", ["linear", "hist_boosting", "lightgbm"])
def test_a_share_of_the_targets_is_below_each_quantile(name):
    examples = learning.examples("quantile", 2_000)
    scores = algorithm(name).fit(examples).scores(learning.rows(2_000, seed=0))
    below = (examples.y[:, None] <= scores).mean(0)
    assert below == pytest.approx(LEVELS, abs=0.06)


def test_the_linear_quantiles_are_those_of_a_linear_program():
    examples = learning.examples("quantile", 300, floats=3, strings=0)
    found = algorithm("linear").fit(examples)
    matrix = found.fitted.transform(examples.rows.floats, examples.rows.strings)
    exact = np.column_stack(
        [QuantileRegressor(quantile=level, alpha=1e-9).fit(matrix, examples.y).predict(matrix) for level in LEVELS]
    )
    loss = METRICS["pinball"].value(examples.truth, found.scores(examples.rows))
    assert loss < 1.02 * METRICS["pinball"].value(examples.truth, exact)


def test_quantiles_that_cross_are_sorted():
    examples = learning.examples("quantile", 60, floats=2, strings=0)
    scores = algorithm("lightgbm").fit(examples).scores(learning.rows(500, seed=3, floats=2, strings=0))
    assert (np.diff(scores, axis=1) >= 0).all()


def test_naive_quantiles_are_those_of_the_rows_by_weight():
    examples = replace(learning.examples("quantile", 10), y=np.arange(10.0))
    assert Naive().fit(examples).scores(examples.rows)[0].tolist() == [0.0, 4.0, 8.0]
    heavy = replace(examples, weights=np.where(np.arange(10) == 9, 1_000.0, 1.0))
    assert Naive().fit(heavy).scores(examples.rows)[0].tolist() == [9.0, 9.0, 9.0]
    assert empirical(np.array([3.0, 1.0, 2.0]), [0.5, 0.99], None).tolist() == [2.0, 3.0]


def test_the_pinball_loss_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, scores = rng.normal(0, 1, 200), np.sort(rng.normal(0, 1, (200, 3)), axis=1)
    expected = np.mean([oracle.mean_pinball_loss(y, scores[:, k], alpha=level) for k, level in enumerate(LEVELS)])
    assert METRICS["pinball"].value(packed(y, LEVELS), scores) == pytest.approx(expected)
    inside = np.mean((scores[:, 0] <= y) & (y <= scores[:, 2]))
    assert METRICS["coverage"].value(packed(y, LEVELS), scores) == pytest.approx(inside)
    errors = [abs(np.mean(y <= scores[:, k]) - level) for k, level in enumerate(LEVELS)]
    assert METRICS["coverage_error"].value(packed(y, LEVELS), scores) == pytest.approx(np.mean(errors))


def test_names_and_levels():
    assert [label_of(level) for level in (0.025, 0.1, 0.5, 0.975)] == ["q2_5", "q10", "q50", "q97_5"]
    assert [level_of(label_of(level)) for level in (0.025, 0.1, 0.999)] == [0.025, 0.1, 0.999]
    assert middle(["q10", "q60", "q90"]) == 1


def refused(error, match, endpoint=None, **options):
    with pytest.raises(error, match=match) as found:
        resolve(nodes_of(endpoint, **options), {})
    return found.value


@pytest.mark.parametrize("quantiles", [[0.9, 0.1], [0.5, 0.5], [0.0, 0.5], [1.0], ["q10"]])
def test_levels_ascend_between_0_and_1(quantiles):
    assert "[0.1, 0.5, 0.9]" in str(refused(DefinitionError, "must be ascending levels", quantiles=quantiles))


@pytest.mark.parametrize("options", [{"task": "regression"}, {"task": "quantile", "quantiles": None}])
def test_the_task_and_the_levels_agree(options):
    refused(DefinitionError, "the task does not agree", **options)


def test_what_does_not_fit_quantiles_is_refused_when_the_project_loads():
    error = refused(DefinitionError, "xgboost does not learn the task 'quantile'", candidates=["xgboost"])
    assert error.expected == "candidates among linear, hist_boosting, lightgbm"
    refused(DefinitionError, "coverage cannot choose between candidates", metric="coverage")
    refused(UnknownName, "rmse", metric="rmse")
    wrong = ms.cheapest(wait=_.scores["q95"], go=_.score)
    refused(SchemaError, "q95", endpoint={"decide": wrong})


def test_the_performance_of_quantiles_is_judged_with_all_of_them():
    rng = np.random.default_rng(0)
    y, times = rng.normal(0, 1, 600), np.arange(600, dtype=np.int64) * 3_600_000_000
    scores = np.repeat([[-1.2816, 0.0, 1.2816]], 600, axis=0)
    rule = Performance(0.76, metric="coverage")
    assert grade(rule, packed(y, LEVELS), scores, times, task="quantile").judgement == "fine"
    assert grade(rule, packed(y, LEVELS), scores / 2, times, task="quantile").judgement == "failing"
