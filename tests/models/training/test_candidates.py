"""Candidates in a project: with settings, of scikit-learn, of one's own; constraints, weights, and the plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from ibis import _
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, MainstemError, RunFailed, SchemaError, UnknownName
from mainstem.models.algorithms.naive import Constant
from mainstem.project.resolve import resolve

SCHEMA = {"id": "string", "area": "float64", "city": "string", "paid": "float64", "price": "float64"}


def houses(n: int = 160) -> list[dict]:
    random = np.random.default_rng(0)
    rows = []
    for i in range(n):
        area, city = float(random.uniform(30, 200)), str(random.choice(["Berlin", "Paris", "Rome"]))
        price = area * (4_500 if city == "Paris" else 3_000) + float(random.normal(0, 20_000))
        rows.append({"id": f"h{i}", "area": area, "city": city, "paid": float(i % 3), "price": price})
    return rows


def nodes(**options):
    source = ms.files("houses.parquet", key="id", schema=SCHEMA)
    model = ms.model(source, **{"target": "price", "features": ["area", "city"], "folds": 2, **options})
    return {"houses": source, "price": model}


def trained(rows=None, **options):
    """Return the card of a version."""
    with mainstem.testing.project(nodes(**options), data={"houses": rows or houses()}) as project:
        project.run()
        return project.show("price").card


def refused(**options) -> MainstemError:
    with pytest.raises(MainstemError) as error:
        resolve(nodes(**options), {})
    return error.value


def fingerprint(**options) -> str:
    return resolve(nodes(**options), {})["price"].fingerprint


def test_settings_are_on_the_card():
    card = trained(candidates=[ms.linear(penalty=10.0), "naive"])
    assert card["algorithm"] == "linear(penalty=10.0)" and card["settings"] == {"penalty": 10.0}
    assert set(card["folds"]) == {"linear(penalty=10.0)", "naive"}


def test_a_pipeline_is_deployed_if_it_converts():
    card = trained(candidates=[make_pipeline(StandardScaler(), Ridge()), "naive"])
    assert card["algorithm"] == "Pipeline(StandardScaler, Ridge)"
    assert not [name for name in card["evaluation"] if name.startswith("not deployable")]


def test_an_estimator_that_does_not_convert_is_on_the_leaderboard_and_the_card_says_why():
    own = ms.sklearn(HistGradientBoostingRegressor(max_iter=20), inputs="codes")
    card = trained(candidates=["naive", own])
    assert card["algorithm"] == "naive"
    assert set(card["folds"]) == {"naive", "HistGradientBoostingRegressor"}
    assert card["evaluation"]["not deployable: HistGradientBoostingRegressor"]


def test_a_model_whose_candidates_cannot_be_deployed_has_no_version():
    own = ms.sklearn(HistGradientBoostingRegressor(max_iter=20), inputs="codes")
    with pytest.raises(RunFailed) as error:
        trained(candidates=[own])
    assert "no candidate can be deployed" in str(error.value)


def test_a_change_of_settings_is_a_change_of_the_plan():
    usual = fingerprint()
    declared = fingerprint(candidates=["linear", "lightgbm"])
    assert usual != declared == fingerprint(candidates=["linear", ms.lightgbm()])  # the usual ones may be more
    assert fingerprint(candidates=["linear", ms.lightgbm(num_leaves=63)]) != usual
    assert (
        fingerprint(candidates=[Ridge(1.0)]) == fingerprint(candidates=Ridge()) != fingerprint(candidates=[Ridge(2.0)])
    )
    assert fingerprint(monotone={"area": 1}, candidates=["lightgbm"]) != fingerprint(candidates=["lightgbm"])
    assert fingerprint(weight=_.paid) != usual


@dataclass(frozen=True)
class Highest:
    """An algorithm of one's own: the highest value of the past."""

    times: float = 1.0

    def fit(self, examples, settings=None):
        return Constant(examples.task, np.array([examples.y.max() * self.times]), not examples.rows.floats.shape[1])

    def settle(self, found):
        return {}


def test_an_algorithm_of_ones_own_is_a_candidate():
    card = trained(candidates=[Highest(), "naive"])
    assert set(card["folds"]) == {"Highest", "naive"}
    assert fingerprint(candidates=[Highest()]) != fingerprint(candidates=[Highest(0.5)])


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ("onnx", "the algorithm 'Lacking' does not give an estimator"),
        ("importances", "the algorithm 'Lacking' does not give an estimator"),
        ("broken onnx", "the algorithm 'Lacking' cannot be exported"),
        ("broken importances", "the importances of the algorithm 'Lacking' have the wrong shape"),
    ],
)
def test_what_an_algorithm_of_ones_own_lacks_is_told(lacking, told):
    class Score:
        settings = {}  # noqa: RUF012

        def __init__(self, inner):
            self.scores = inner.scores
            if lacking != "onnx":
                self.onnx = inner.onnx if "onnx" not in lacking else lambda builder: builder.nothing
            if lacking != "importances":
                self.importances = inner.importances if "importances" not in lacking else lambda inputs: [1.0]

    @dataclass(frozen=True)
    class Lacking(Highest):
        def fit(self, examples, settings=None):
            return Score(super().fit(examples, settings))

    with pytest.raises(RunFailed) as error:
        trained(candidates=[Lacking()])
    assert told in str(error.value)


def test_monotone_constraints_reach_the_champion():
    rows = [{**row, "price": row["price"] - 900 * row["area"] * (row["area"] > 120)} for row in houses(400)]
    with mainstem.testing.project(nodes(monotone={"area": 1}), data={"houses": rows}) as project:
        project.run()
        assert project.show("price").card["algorithm"] == "lightgbm"
        asked = [{"area": float(area), "city": "Rome"} for area in range(30, 200, 2)]
        scores = [answer["score"] for answer in project.predict("price", asked)]
    assert (np.diff(scores) >= 0).all() and len(set(scores)) > 5


def test_an_algorithm_of_a_package_must_keep_the_constraint(monkeypatch):
    """Loading the project does not import the package. So the run refuses it."""
    from mainstem.models.algorithms import registry

    monkeypatch.setattr(registry, "ALGORITHMS", dict(registry.ALGORITHMS))
    monkeypatch.setattr(registry.plugins, "offered", lambda *more: ["highest"])
    monkeypatch.setattr(registry.plugins, "load", lambda group, name, checked: Highest() if name == "highest" else None)
    with pytest.raises(RunFailed, match="highest keeps no monotone constraint"):
        trained(candidates=["highest"], monotone={"area": 1})
    assert trained(candidates=["highest"])["algorithm"] == "highest"


@pytest.mark.parametrize(
    ("options", "kind", "what"),
    [
        ({"monotone": {"aera": 1}}, UnknownName, "unknown input 'aera' in `monotone`"),
        ({"monotone": {"city": 1}}, DefinitionError, "`monotone` requires a number, and 'city' is a text"),
        ({"monotone": {"area": 2}}, DefinitionError, "`monotone['area']` has an invalid value"),
        ({"monotone": {"area": 1}, "candidates": "mlp"}, DefinitionError, "mlp keeps no monotone constraint"),
        (
            {"monotone": {"area": 1}, "target": "city", "features": ["area"]},
            DefinitionError,
            "lightgbm keeps no monotone",
        ),
        ({"candidates": "naive_bayes"}, DefinitionError, "naive_bayes does not learn the task 'regression'"),
        ({"candidates": Ridge}, DefinitionError, "a candidate is an object, not a class"),
        ({"candidates": [3]}, DefinitionError, "unsupported kind of candidate"),
        (
            {"weight": _.paid, "candidates": KNeighborsRegressor()},
            DefinitionError,
            "KNeighborsRegressor takes no weights of rows",
        ),
        ({"weight": _.city}, SchemaError, "`weight` is not a number"),
    ],
)
def test_what_no_algorithm_can_keep_is_refused_at_load(options, kind, what):
    error = refused(**options)
    assert isinstance(error, kind) and what in error.what and error.where


def test_rows_count_by_their_weight():
    """Rows of weight 0 say nothing: the model learns the others."""
    rows = [{**row, "price": row["price"] if row["paid"] else 0.0} for row in houses(300)]
    with mainstem.testing.project(nodes(weight=_.paid, candidates="linear"), data={"houses": rows}) as project:
        project.run()
        (answer,) = project.predict("price", [{"area": 100.0, "city": "Rome"}])
    assert answer["score"] == pytest.approx(300_000, rel=0.1)


def test_a_weight_that_is_missing_or_negative_is_refused():
    rows = [{**row, "paid": -1.0 if row["id"] == "h3" else row["paid"]} for row in houses()]
    with pytest.raises(RunFailed) as error:
        trained(rows, weight=_.paid)
    assert "`weight` must be a number of at least 0" in str(error.value)
    assert "1 of 160 rows are null, negative or infinite" in str(error.value)


def test_a_candidate_that_cannot_be_deployed_takes_its_calibration_along():
    boosted = HistGradientBoostingClassifier(max_iter=30, min_samples_leaf=5)
    card = trained(houses(240), target=_.price > 400_000, candidates=[boosted, "naive"], calibrate="sigmoid")
    assert "not deployable: HistGradientBoostingClassifier, sigmoid" in card["evaluation"]
    assert card["algorithm"] == "naive"
    assert card["evaluation"]["calibration"].startswith("none: HistGradientBoostingClassifier, sigmoid")
