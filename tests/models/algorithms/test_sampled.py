"""Sampling inside each fit: which rows are learned from, and probabilities that are corrected back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, RunFailed, UnknownName
from mainstem.models.algorithms import algorithm, candidate
from mainstem.models.algorithms.sampled import Corrected, fit, sampled
from mainstem.models.artifact import export, gate
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.evaluation.comparison import compare
from mainstem.models.metrics import METRICS, metric
from mainstem.models.search.calibration import Calibrated
from mainstem.models.search.ensemble import Ensemble, Member
from mainstem.nodes.sampling import Sampling
from mainstem.project.resolve import resolve
from mainstem.testing import learning

DAY = 86_400_000_000


def rare(task="binary", n=3_000, **options):
    """Return examples in which `true` or the last class is rare."""
    examples = learning.examples(task, n)
    random = np.random.default_rng(0)
    top = examples.y.max()
    kept = np.flatnonzero((examples.y < top) | (random.random(n) < 0.1))
    return replace(examples.take(kept), sampling=Sampling(**options))


@pytest.mark.parametrize(
    "options", [{"class_weight": "balanced"}, {"resample": "under"}, {"resample": "over"}], ids=str
)
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_probabilities_are_corrected_back_inside_the_graph(task, options):
    examples = rare(task, **options)
    found = fit(algorithm("linear"), examples)
    raw, scores = np.asarray(found.of.scores(examples.rows)), np.asarray(found.scores(examples.rows))
    rates = examples.targets.mean(0)
    truth = rates if task == "multiclass" else rates[0]
    assert np.abs(raw.mean(0) - truth).max() > 0.05  # what a model of equal classes says
    assert scores.mean(0) == pytest.approx(truth, abs=0.02)
    assert METRICS["log_loss"].value(examples.y, scores) < 0.9 * METRICS["log_loss"].value(examples.y, raw)
    onnx = export.graph(found, 5, 2, task, examples.classes)
    assert gate.check(found, onnx, learning.rows(200, seed=4)).largest <= 1


@pytest.mark.parametrize("name", ["lightgbm", "random_forest", "hist_boosting"])
def test_trees_on_few_rows_pass_the_gate(name):
    examples = rare(n=1_500, resample="under")
    found = fit(algorithm(name), examples)
    assert isinstance(found, Corrected) and found.settings == found.of.settings
    onnx = export.graph(found, 5, 2, "binary")
    assert gate.check(found, onnx, learning.rows(200, seed=4)).largest <= 1


def test_resampling_draws_equally_many_of_each_class():
    examples = rare()
    rows = np.bincount(examples.y)
    under, factors = sampled(replace(examples, sampling=Sampling(resample="under")))
    assert np.bincount(under.y).tolist() == [rows.min()] * 2
    assert factors[1] / factors[0] == pytest.approx(rows[0] / rows[1])
    over, again = sampled(replace(examples, sampling=Sampling(resample="over")))
    assert np.bincount(over.y).tolist() == [rows.max()] * 2 and again == pytest.approx(factors)
    for number in np.unique(over.groups)[:50]:  # the copies of a row stay together
        assert len(np.unique(over.rows.floats[over.groups == number, 0])) == 1


def test_weights_of_classes_multiply_those_of_rows():
    examples = replace(rare(), weights=np.full(len(rare()), 2.0), class_weights=(1.0, 5.0))
    found, factors = sampled(replace(examples, sampling=Sampling(class_weight=(("true", 5.0),))))
    assert found.weights[found.y == 1][0] / found.weights[found.y == 0][0] == pytest.approx(5)
    assert found.weights.mean() == pytest.approx(1) and factors[1] / factors[0] == pytest.approx(5)


def test_older_rows_count_less():
    examples = learning.examples("regression", 100)
    times = np.arange(100) * DAY
    found, factors = sampled(replace(examples, times=times, sampling=Sampling(half_life="10d")))
    assert factors is None
    assert found.weights[-1] / found.weights[-11] == pytest.approx(2)
    assert found.weights[-1] / found.weights[0] == pytest.approx(2**9.9)


def test_a_budget_keeps_the_shares_of_the_classes():
    examples = rare(max_rows=500)
    found, _ = sampled(examples)
    assert 499 <= len(found) <= 501
    assert found.y.mean() == pytest.approx(examples.y.mean(), abs=0.003)
    ranked = replace(learning.examples("ranking", 600), sampling=Sampling(max_rows=100))
    counts = np.bincount(sampled(ranked)[0].queries)
    assert set(counts[counts > 0]) == {learning.RANKED}


def test_what_is_made_of_others_samples_and_corrects_once():
    examples = rare(resample="under")
    one = candidate("linear")
    whole = Ensemble((Member(1.0, one, {}),))
    expected = fit(one.algorithm, examples).scores(examples.rows)
    assert fit(whole, examples).scores(examples.rows) == pytest.approx(expected)

    class Same:
        scores = staticmethod(lambda scores: scores)

    assert fit(Calibrated(one.algorithm, Same()), examples).scores(examples.rows) == pytest.approx(expected)


def test_each_fold_is_sampled_and_judged_on_all_of_its_rows():
    examples = rare(n=1_200, resample="under")
    found = compare(examples, ["linear"], metric("log_loss"), folds=2, gap="1h", report=lambda told: None)
    for fold in found.folds:
        assert fold.scores["linear"].mean() == pytest.approx(fold.future.y.mean(), abs=0.05)


SCHEMA = {"id": "string", "amount": "float64", "fraud": "boolean", "kind": "string"}


def nodes_of(target="fraud", **options):
    source = ms.files("payments.parquet", key="id", schema=SCHEMA)
    settings = {"features": ["amount"], "candidates": ["linear"], "folds": 2}
    return {"payments": source, "risk": ms.model(source, target=target, **{**settings, **options})}


def payments(n=300):
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0, 100, n)
    return [
        {"id": f"p{i}", "amount": float(a), "fraud": bool(a + rng.normal(0, 10) > 90), "kind": "xyz"[i % 3]}
        for i, a in enumerate(amounts)
    ]


def test_a_model_says_what_it_learned_from():
    with mainstem.testing.project(
        nodes_of(class_weight={True: 5}, max_rows=200), data={"payments": payments()}
    ) as project:
        project.run()
        told = project.show("risk").card["evaluation"]["learned from"]
        assert told == (
            "at most 200 rows, a stratified sample; classes count by weight (true 5); probabilities are corrected back"
        )
        (answer,) = project.predict("risk", [{"amount": 10.0}])
        assert answer["score"] < 0.1


@pytest.mark.parametrize(
    ("weight", "told"),
    [("amount", "amount"), (_.amount + 1, "(_.amount + 1)"), (lambda rows: rows.amount, "a function")],
    ids=["column", "expression", "function"],
)
def test_the_card_says_by_what_rows_count(weight, told):
    with mainstem.testing.project(nodes_of(weight=weight), data={"payments": payments(80)}) as project:
        project.run()
        assert project.show("risk").card["evaluation"]["learned from"] == f"rows count by {told}"


def test_rows_that_count_may_be_drawn_too():
    nodes = nodes_of(weight=_.amount, max_rows=50)
    with mainstem.testing.project(nodes, data={"payments": payments(80)}) as project:
        project.run()
        told = project.show("risk").card["evaluation"]["learned from"]
        assert told == "rows count by _.amount; at most 50 rows, a stratified sample"


def test_a_class_that_is_not_one_is_refused():
    nodes = nodes_of("kind", class_weight={"w": 2.0})
    wrong = pytest.raises(RunFailed, match="unknown class 'w'")
    with mainstem.testing.project(nodes, data={"payments": payments(60)}) as project, wrong:
        project.run()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"target": "amount", "features": ["kind"], "resample": "under"},
            DefinitionError,
            "`resample` requires classes",
        ),
        ({"class_weight": "balanced", "resample": "over"}, DefinitionError, "do the same"),
        ({"half_life": "90d"}, DefinitionError, "`half_life` requires `prediction_time`"),
        ({"class_weight": {"fraud": 5}}, UnknownName, "unknown class 'fraud'"),
        ({"class_weight": {True: -1}}, DefinitionError, "a weight of class_weight"),
        ({"class_weight": "equal"}, DefinitionError, "`class_weight` has an invalid value"),
        ({"resample": "both"}, DefinitionError, "resample"),
        ({"max_rows": 3}, DefinitionError, "max_rows"),
    ],
)
def test_a_sampling_that_does_not_fit_is_refused_when_the_project_loads(options, error, match):
    with pytest.raises(error, match=match):
        resolve(nodes_of(**options), {})


def test_a_change_of_the_sampling_is_a_change_of_the_model_and_none_keeps_its_fingerprint():
    made = [resolve(nodes_of(**each), {})["risk"].fingerprint for each in ({}, {"max_rows": 50}, {"max_rows": None})]
    assert made[0] == made[2] != made[1]


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "hist_boosting"])
def test_boosted_trees_do_not_stop_at_once_where_the_latest_rows_count_most(name):
    """All but the latest rows have weights near 0, and a fit takes its settings to be for weights of mean 1."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=(4_000, 3))
    y = x[:, 0] * 2 + np.abs(x[:, 1]) + chance.normal(0, 0.3, 4_000)
    times = np.arange(4_000, dtype=np.int64) * DAY // 2
    rows = Rows(x, np.empty((4_000, 0), object))
    recent = Examples(rows, y, times, "regression", sampling=Sampling(half_life="14d"))
    plain = Examples(rows, y, times, "regression")
    found, usual = (fit(algorithm(name), each) for each in (recent, plain))
    late = Rows(x[-200:], np.empty((200, 0), object))
    assert found.settings["rounds"] > 20
    errors = [float(np.sqrt(np.mean((each.scores(late) - y[-200:]) ** 2))) for each in (found, usual)]
    assert errors[0] < 2 * errors[1]


def test_a_budget_keeps_a_row_of_each_class():
    y = np.zeros(4_000, np.int64)
    y[[7, 1_900]] = 1
    rows = Rows(np.zeros((4_000, 1)), np.empty((4_000, 0), object))
    given = Examples(rows, y, np.arange(4_000), "binary", sampling=Sampling(max_rows=100))
    assert 1 in sampled(given)[0].y


def test_rows_of_weight_0_do_not_choose_a_strength():
    chance = np.random.default_rng(0)
    x = chance.normal(size=(1_000, 3))
    y = (x[:, 0] + 0.5 * x[:, 1] + chance.logistic(0, 0.5, 1_000) > 0).astype(np.int64)
    counts = np.arange(1_000) % 4 == 0
    y[~counts] = chance.integers(0, 2, int((~counts).sum()))
    none = np.empty((1_000, 0), object)
    weighed = Examples(Rows(x, none), y, np.zeros(1_000, np.int64), "binary", weights=4.0 * counts)
    assert fit(algorithm("elastic_net"), weighed).settings["alpha"] < 0.05
