"""`prepare=` in a project: the plan, what is refused at load, the card, the report, and the artifact."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ibis import _
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, MainstemError, ModelError, UnknownName
from mainstem.models.algorithms import algorithm
from mainstem.models.algorithms.naive import Naive
from mainstem.models.artifact import export, gate
from mainstem.models.evaluation.comparison import compare
from mainstem.models.metrics import metric
from mainstem.models.search.ensemble import EnsembleScore
from mainstem.models.training.preparation import preparation
from mainstem.nodes.prepare import Hashed, Number, OneHot, Ordinal, Target
from mainstem.nodes.records import InputColumn
from mainstem.project.live import service
from mainstem.project.resolve import resolve
from mainstem.testing import learning

SCHEMA = {
    "id": "string",
    "area": "float64",
    "rooms": "int64",
    "city": "string",
    "zip": "string",
    "country": "string",
    "note": "string",
    "lift": "boolean",
    "sold_on": "date",
    "price": "float64",
}

STEPS = {
    "area": "log",
    "city": "target",
    "zip": ms.prepare.hashed(16),
    "rooms": ms.prepare.number(missing="median", scale="robust", indicator=True),
}


def houses(n: int = 240) -> list[dict]:
    import datetime as dt

    random = np.random.default_rng(0)
    rows = []
    for i in range(n):
        area, city = float(random.lognormal(4, 1)), str(random.choice(["Berlin", "Paris", "Rome"]))
        price = 50_000 * np.log(area) * (1.5 if city == "Paris" else 1) + float(random.normal(0, 5_000))
        rows.append(
            {
                "id": f"h{i}",
                "area": area,
                "rooms": int(area // 20) if i % 9 else None,
                "city": city if i % 20 else None,
                "zip": f"z{i % 40}",
                "country": "EU",
                "note": f"note {i}",
                "lift": bool(i % 2),
                "sold_on": dt.date(2010 + i % 10, 1 + i % 12, 1 + i % 28),
                "price": float(price),
            }
        )
    return rows


def nodes(**options):
    source = ms.files("houses.parquet", key="id", schema=SCHEMA)
    usual = {"target": "price", "features": "all", "folds": 2, "candidates": ["linear"]}
    return {"houses": source, "price": ms.model(source, **{**usual, **options})}


def refused(**options) -> MainstemError:
    with pytest.raises(MainstemError) as error:
        resolve(nodes(**options), {})
    return error.value


def fingerprint(**options) -> str:
    return resolve(nodes(**options), {})["price"].fingerprint


def trained(**options):
    return mainstem.testing.project(nodes(**options), data={"houses": houses()})


def card_of(project):
    return project.report("price").to_dict()


# ── what is declared ──────────────────────────────────────────────────────────────────────────────────


def test_words_are_steps():
    assert ms.model("houses", target="price", features=["a"], prepare=STEPS).prepare == {
        "area": Number(scale="log"),
        "city": Target(),
        "zip": Hashed(16),
        "rooms": Number("median", "robust", True),
    }
    assert ms.prepare.number(missing=0) == Number(0.0)
    assert ms.prepare.one_hot(10, rare=3) == OneHot(10, 3) and ms.prepare.ordinal() == Ordinal()


def test_a_change_of_a_step_is_a_change_of_the_plan():
    found = [
        {},
        {"area": "log"},
        {"area": "robust"},
        {"rooms": "log"},
        {"area": ms.prepare.number(missing=0.0)},
        {"zip": ms.prepare.hashed(16)},
        {"zip": ms.prepare.hashed(17)},
        {"zip": ms.prepare.one_hot(16)},
        {"zip": ms.prepare.ordinal(16)},
    ]
    assert len({fingerprint(prepare=each) for each in found}) == len(found)
    assert fingerprint() == fingerprint(prepare=None) == fingerprint(prepare={})
    assert fingerprint(prepare={"area": "log"}) == fingerprint(prepare={"area": ms.prepare.number(scale="log")})


def test_an_unknown_column():
    error = refused(prepare={"aera": "log"})
    assert isinstance(error, UnknownName) and "did you mean 'area'" in str(error.hint) and "price" in str(error.where)


def test_a_date_is_prepared_by_its_parts():
    assert isinstance(refused(prepare={"sold_on": "log"}), UnknownName)
    assert fingerprint(prepare={"sold_on__year": "min-max"})


def test_an_unknown_step():
    error = refused(prepare={"area": "logg"})
    assert error.what == "unknown step 'logg' of the column 'area'"
    assert "did you mean 'log'" in str(error.hint)
    assert str(error.where).startswith("test_preparation.py:")


@pytest.mark.parametrize(
    ("column", "step", "told"),
    [
        ("city", "log", "`prepare` gives 'city' a step for a number"),
        ("area", "target", "`prepare` gives 'area' a step for a text"),
        ("lift", ms.prepare.hashed(8), "`prepare` gives 'lift' a step for a text"),
        ("sold_on__month", "one-hot", "`prepare` gives 'sold_on__month' a step for a text"),
    ],
)
def test_a_step_of_another_type(column, step, told):
    error = refused(prepare={column: step})
    assert isinstance(error, DefinitionError) and error.what == told and "price" in str(error.where)
    assert ("one-hot" if column == "city" else "min-max") in str(error.expected)


def test_a_pipeline_that_gets_columns_by_name():
    own = make_pipeline(ColumnTransformer([("n", StandardScaler(), ["area"])]), Ridge())
    assert refused(prepare={"area": "log"}, candidates=[own]).what.startswith("`prepare` does not reach Pipeline")
    assert fingerprint(prepare={"area": "log"}, candidates=[Ridge()])


def test_an_algorithm_that_prepares_its_inputs_itself_is_refused_when_it_is_fitted():
    class Mine:
        fit, settle = Naive().fit, Naive().settle

    with pytest.raises(ModelError, match="`prepare` does not reach the algorithm 'Mine'"):
        examples = _with(learning.examples("binary", 400), {0: Number(scale="log")})
        compare(examples, [Mine()], metric("log_loss"), folds=3, gap="1h", report=lambda told: None)


# ── what is learned ───────────────────────────────────────────────────────────────────────────────────


def _with(examples, steps):
    inputs = examples.rows.floats.shape[1] + examples.rows.strings.shape[1]
    return replace(examples, prepare=tuple(steps.get(number) for number in range(inputs)))


EVERY = {
    "scales": {0: Number(scale="log"), 1: Number("mean", "min-max", True), 2: Number(scale="quantile"), 5: Target()},
    "fills": {1: Number(7.0, "robust", True), 3: Number("mode", "as-is"), 5: Hashed(8), 6: OneHot(3, 1)},
    "codes": {0: Number("mean", "quantile", True), 5: Ordinal(4, 2), 6: Target(5.0)},
}
TRIED = [
    *("linear", "elastic_net", "knn", "naive_bayes", "decision_tree", "random_forest", "hist_boosting", "lightgbm"),
    *("xgboost", "catboost", "mlp"),
]


@pytest.mark.parametrize("steps", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("name", TRIED)
def test_every_algorithm_scores_alike_as_an_artifact(name, steps):
    """With nulls, unknown levels and extremes, for values or classes."""
    for task in ("multiclass", "regression"):
        made = algorithm(name)
        if task not in made.tasks:
            continue
        examples = _with(learning.examples(task, 400), steps)
        estimator = made.fit(examples)
        model = export.graph(estimator, 5, 2, task, examples.classes)
        assert gate.check(estimator, model, learning.rows(200, seed=9)).largest <= 1


def test_a_monotone_constraint_holds_through_a_step():
    examples = _with(
        learning.examples("regression", 800), {1: Number("mean", "quantile", True), 0: Number(scale="log")}
    )
    examples = replace(examples, monotone=(-1, 1, 0, 0, 0, 0, 0))
    rows = learning.rows(40, seed=3)
    for name in ("lightgbm", "xgboost", "hist_boosting", "catboost", "random_forest"):
        made = algorithm(name).fit(examples)
        for number, direction in ((0, -1), (1, 1)):
            floats = np.repeat(rows.floats, 15, axis=0)
            floats[:, number] = np.tile(np.linspace(-60, 60, 15), 40)
            scores = made.scores(replace(rows, floats=floats, strings=np.repeat(rows.strings, 15, axis=0)))
            steps = np.diff(scores.reshape(40, 15), axis=1) * direction
            assert (steps >= -1e-9).all(), name
        assert np.ptp(scores) > 0, name


def test_the_card_and_the_report_tell_what_was_done():
    with trained(prepare=STEPS) as project:
        project.run()
        card = card_of(project)
        found = {each["input"]: each for each in card["preparation"]}
        assert list(found) == [*("area", "rooms", "city", "zip", "country", "note", "lift"), *_dates()]
        assert found["area"]["done"].startswith("logarithm, standardised, median ")
        assert found["rooms"]["done"].startswith("by median and quartiles, median ")
        assert found["rooms"]["done"].endswith(" for a missing one, indicator")
        assert found["city"]["done"] == "mean target out of fold, 4 levels"
        assert found["zip"]["done"] == "hashed to 16 columns, 40 levels"
        assert found["country"] | {"type": ""} == {
            "input": "country",
            "type": "",
            "done": "left out: 'EU' in all training rows",
            "left_out": True,
            "declared": False,
        }
        assert found["note"]["done"] == "left out: rare everywhere, no level has 2 of 240 rows"
        assert [name for name, each in found.items() if each["declared"]] == list(_declared(found))
        assert {each["type"] for each in found.values()} == {"number", "text"}
        assert found["lift"]["type"] == "number" and found["zip"]["type"] == "text"
        for text in (project.report("price").html(), project.report("price").markdown()):
            assert "Preparation" in text and "hashed to 16 columns, 40 levels (declared)" in text
        assert "prepared" in _text(project) and "rare everywhere" in _text(project)
        _forget(project)
        assert "prepared" not in _text(project)
        assert "Preparation" not in project.report("price").html()


def _forget(project) -> None:
    """Leave the version as one that was trained before preparation was noted."""
    (file,) = project.settings.lake.rglob("models/price/*/manifest.json")
    manifest = json.loads(file.read_text())
    del manifest["preparation"]
    file.write_text(json.dumps(manifest))


def _dates():
    return [f"sold_on__{part}" for part in ("year", "month", "day", "weekday")]


def _declared(found):
    return [name for name in found if name in STEPS]


def _text(project) -> str:
    from mainstem.models.versions.report import lines

    return "\n".join(lines(card_of(project)))


def test_the_members_of_an_ensemble_are_told_apart():
    examples = learning.examples("regression", 400, floats=1, strings=1)
    names = ("linear", "lightgbm")
    made = EnsembleScore(tuple((0.5, algorithm(name).fit(examples)) for name in names), names)
    number, text = preparation(made, [InputColumn("text_0", "string"), InputColumn("number_0", "float")], ["text_0"])[
        ::-1
    ]
    assert number.done.startswith("linear: standardised, median ") and "; lightgbm: as it is, median " in number.done
    assert text.done == "linear: one-hot, 9 levels; lightgbm: codes by mean target, 9 levels" and text.declared


def test_an_algorithm_that_does_not_tell():
    examples = learning.examples("regression", 100, floats=1, strings=1)
    assert preparation(Naive().fit(examples), [InputColumn("number_0", "float")], ()) == ()


def test_a_step_helps_where_it_should():
    """A linear model of the logarithm of a price that is one."""
    with trained(prepare={"area": "log", "note": "hashed"}, features=["area", "city", "note"]) as project:
        project.run()
        better = card_of(project)["metrics"]["rmse"]["value"]
    with trained(features=["area", "city", "note"]) as project:
        project.run()
        assert better < card_of(project)["metrics"]["rmse"]["value"]


def test_probabilities_are_prepared_too():
    with trained(target=_.price > 200_000, features=["area", "city"], prepare={"city": "target"}) as project:
        project.run()
        found = {each["input"]: each["done"] for each in card_of(project)["preparation"]}
        assert found["city"] == "mean target out of fold, 4 levels"


def test_the_words_of_a_free_text_reach_every_door():
    """Training, the card, `predict`, and the predictor of a server, all by the same graph."""
    random = np.random.default_rng(0)
    rows = houses(300)
    for each in rows:
        kind = str(random.choice(["sunny", "quiet", "ruined"]))
        about = [*random.choice(["house", "near", "the", "station", "with", "garden", "old", "street"], 8), kind]
        each["note"] = " ".join(map(str, random.permutation(about)))
        each["price"] = {"sunny": 900.0, "quiet": 500.0, "ruined": 100.0}[kind] + float(random.normal(0, 20))
    found = nodes(features=["note", "lift"])
    found["offers"] = ms.endpoint(found["price"])
    with mainstem.testing.project(found, data={"houses": rows}) as project:
        project.run()
        (note, *_) = card_of(project)["preparation"]
        assert note["done"].startswith("TF-IDF of ") and not note["declared"]
        assert card_of(project)["metrics"]["rmse"]["value"] < 60  # 320 without the text
        project.promote("price")
        asked = [{"note": each["note"], "lift": each["lift"]} for each in rows[:40]]
        answers = [each["score"] for each in project.predict("offers", asked)]
        running = service(project)
        running.start()
        answered = running.live.predictor("offers").predict([dict(row) for row in asked])
        running.close()
        assert [each.score for each in answered] == pytest.approx(answers)
        assert np.corrcoef(answers, [each["price"] for each in rows[:40]])[0, 1] > 0.95


def test_what_is_done_with_all_inputs_is_told_once(monkeypatch):
    """Of 2,000 inputs, telling all of them for each of them took longer than all fits."""
    from mainstem.models.preprocessing import Composed

    found = algorithm("linear").fit(learning.examples("regression", 60, floats=6, strings=0))
    calls, told = [], Composed.told
    monkeypatch.setattr(Composed, "told", lambda self: calls.append(self) or told(self))
    columns = [InputColumn(f"x{n}", "float") for n in range(6)]
    assert len(preparation(found, columns, ())) == 6
    assert len(calls) == 1
