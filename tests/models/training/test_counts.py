"""Counts: a Poisson model whose score is the expected number, from the declaration to the answer and the verdict."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, RunFailed, SchemaError
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.data.labels import labels
from mainstem.models.metrics import METRICS
from mainstem.models.versions import registry
from mainstem.monitoring.performance import grade
from mainstem.nodes.endpoints import Performance

SCHEMA = {"id": "string", "hour": "int64", "street": "string", "n": "float64", "weight": "float64"}


def visits(n: int = 300, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        hour, street = int(rng.integers(0, 24)), str(rng.choice(["North", "South"]))
        mean = np.exp(0.1 * hour - 0.5 + (street == "South"))
        rows.append({"id": f"v{i}", "hour": hour, "street": street, "n": float(rng.poisson(mean)), "weight": 1.0})
    return rows


def project_of(data, schema=SCHEMA, **options):
    source = ms.files("visits.parquet", key="id", schema=schema)
    settings = {"task": "count", "features": ["hour", "street"], "candidates": ["linear"], "folds": 2, **options}
    model = ms.model(source, target="n", **settings)
    return mainstem.testing.project(
        {"visits": source, "busy": model, "door": ms.endpoint(model)}, data={"visits": data}
    )


def test_a_count_is_learned_served_and_judged():
    with project_of(visits()) as project:
        project.run()
        version = registry.versions(project.adapters.state, "busy")[-1]
        assert version.task == "count" and version.metric == "poisson_deviance"
        assert set(version.metrics) == {"poisson_deviance", "mae", "rmse", "mse", "r2"}
        measured = version.metrics["poisson_deviance"]
        assert measured.low < measured.value < measured.high < version.baseline["poisson_deviance"].value / 2
        assert project.show("busy").card["evaluated"]["residuals"]["bins"]

        project.promote("busy")
        quiet, loud = project.predict("door", [{"hour": 0, "street": "North"}, {"hour": 23, "street": "South"}])
        assert 0 < quiet["score"] < 2 and 10 < loud["score"] < 25
        scorer = Scorer.load(project.adapters.lake_root / version.artifact)
        assert scorer.score({"hour": [23.0], "street": ["South"]})[0] == pytest.approx(loud["score"])


def test_the_plan_states_the_task_and_why():
    with project_of(visits()) as project:
        (step,) = (step for step in project.plan().steps if step.kind == "train")
        assert step.details == ("the task is count, as declared",)
    with project_of(visits(), schema={**SCHEMA, "n": "int64"}, task=None) as project:
        (step,) = (step for step in project.plan().steps if step.kind == "train")
        assert step.details == (
            "the task is regression, from the type of the target (int64); a comparison such as target=_.n == 1 is "
            'binary; task="multiclass" learns classes, task="count" whole numbers from 0 on',
        )


@pytest.mark.parametrize("wrong", [-1.0, 2.5])
def test_a_negative_or_fractional_count_is_refused(wrong):
    data = visits(60)
    data[7]["n"] = wrong
    with project_of(data) as project, pytest.raises(RunFailed, match="a count must be a whole number") as error:
        project.run()
    assert f"{wrong:g}, and 1 of 60 labelled rows are not one" in str(error.value)


def test_missing_counts_are_unlabelled():
    import pyarrow as pa

    found = labels(pa.array([1.0, None, float("nan"), 3.0]), "count")
    assert found.y.tolist() == [1.0, 3.0] and found.known.tolist() == [True, False, False, True]


def test_a_candidate_that_learns_no_counts_is_refused_with_those_that_do():
    wrong = pytest.raises(DefinitionError, match="knn does not learn the task 'count'")
    with project_of(visits(), candidates=["knn"]) as project, wrong as error:
        project.graph["busy"]
    able = "linear, hist_boosting, lightgbm, linear_boosting, xgboost, catboost"
    assert error.value.expected == f"candidates among {able}"


def test_a_count_of_texts_is_refused_when_the_project_loads():
    data = [{**row, "n": str(row["n"])} for row in visits(20)]
    wrong = pytest.raises(SchemaError, match="requires a target that is a number")
    with project_of(data, schema={**SCHEMA, "n": "string"}) as project, wrong:
        project.graph["busy"]


def test_weights_move_the_expected_count():
    heavy = [{**row, "weight": 50.0 if row["n"] > 3 else 1.0} for row in visits()]
    asked = [{"hour": 12, "street": "North"}]
    scores = []
    for data in (visits(), heavy):
        with project_of(data, weight="weight") as project:
            project.run()
            scores.append(project.predict("busy", asked)[0]["score"])
    assert scores[1] > scores[0] * 1.3


def test_the_deviance_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, scores = rng.poisson(2.0, 200).astype(float), rng.uniform(0.5, 4, 200)
    assert METRICS["poisson_deviance"].value(y, scores) == pytest.approx(oracle.mean_poisson_deviance(y, scores))


def test_the_performance_of_counts_is_judged_by_their_deviance():
    rng = np.random.default_rng(0)
    mean = rng.uniform(0.5, 4, 500)
    y, times = rng.poisson(mean).astype(float), np.arange(500, dtype=np.int64) * 3_600_000_000
    rule = Performance(1.5, metric="poisson_deviance")
    assert grade(rule, y, mean, times, task="count").judgement == "fine"
    assert grade(rule, y, mean[::-1] * 3, times, task="count").judgement == "failing"


def test_the_world_can_be_the_rival_of_a_count():
    from mainstem.feedback.rivals import _raw
    from mainstem.models.algorithms.base import linked

    scores = np.array([0.5, 2.0, 30.0])
    assert linked(_raw(scores, "count")[:, None], "count") == pytest.approx(scores)
