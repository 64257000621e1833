"""`tune=` in a project: the plan, the card, the report, and the artifact."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ibis import _
from sklearn.linear_model import Ridge

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, MissingExtra
from mainstem.models.data.ahead import Ahead
from mainstem.models.evaluation.comparison import Outcome
from mainstem.models.search import trials
from mainstem.models.training import train
from mainstem.models.training.choosing import content, remembered
from mainstem.project.resolve import resolve
from mainstem.testing import learning

SCHEMA = {"id": "string", "area": "float64", "city": "string", "price": "float64", "rooms": "float64", "age": "float64"}


def houses(n: int) -> list[dict]:
    random = np.random.default_rng(0)
    rows = []
    for i in range(n):
        area, city = float(random.uniform(30, 200)), str(random.choice(["Berlin", "Paris", "Rome"]))
        price = 3_000 * area + 60_000 * np.sin(area / 9) + float(random.normal(0, 20_000))
        rows.append({"id": f"h{i}", "area": area, "city": city, "price": price})
    return rows


def nodes(**options):
    source = ms.files("houses.parquet", key="id", schema=SCHEMA)
    usual = {"target": "price", "features": ["area", "city"], "folds": 2, "candidates": ["knn", "linear"]}
    return {"houses": source, "price": ms.model(source, **{**usual, **options})}


def fingerprint(**options) -> str:
    return resolve(nodes(**options), {})["price"].fingerprint


def test_a_search_is_part_of_the_plan():
    found = {fingerprint(), fingerprint(tune=5), fingerprint(tune="5s"), fingerprint(tune=5, ensemble=False)}
    assert len(found) == 4
    sold = {"candidates": ["linear"], "target": _.price > 300_000}
    assert fingerprint(**sold) != fingerprint(**sold, calibrate="none")
    assert fingerprint() == fingerprint(tune=None, ensemble=True, calibrate="auto")


def test_a_space_is_part_of_the_plan():
    spaces = [ms.among(2, 30), ms.among(2, 31), ms.among(2, 30, log=True), 15]
    assert len({fingerprint(tune=5, candidates=[ms.knn(n_neighbors=each)]) for each in spaces}) == 4
    of_ridge = [ms.sklearn(Ridge(), space={"alpha": ms.among(0.1, each)}) for each in (10.0, 20.0)]
    assert len({fingerprint(tune=5, candidates=[each]) for each in (Ridge(), *of_ridge)}) == 3


@pytest.mark.parametrize(
    ("made", "got"),
    [
        (ms.knn(n_neighbors=ms.among(2, 30)), "n_neighbors=2 to 30 of knn(n_neighbors=2 to 30)"),
        (ms.sklearn(Ridge(), space={"alpha": ms.among([1.0, 2.0])}), "alpha=1.0 or 2.0 of Ridge(alpha=1.0 or 2.0)"),
    ],
)
def test_a_space_without_a_search_is_refused(made, got):
    with pytest.raises(DefinitionError) as error:
        resolve(nodes(candidates=["linear", made]), {})
    assert error.value.what == "a candidate has a space, and the model has no search" and error.value.got == got


def test_a_tuned_estimator_is_on_the_card_and_is_made_again():
    made = ms.sklearn(Ridge(alpha=1e5), space={"alpha": ms.among(1e-3, 1e5, log=True)})
    options = {"candidates": [made], "tune": 8, "test": 0.25, "ensemble": False}
    with mainstem.testing.project(nodes(**options), data={"houses": houses(240)}) as project:
        project.run()
        card = project.show("price").card
        name = "Ridge(alpha=0.001 to 100000)"
        assert card["algorithm"].startswith(f"{name} #") and name in card["folds"]
        (trial,) = [each for each in card["evaluated"]["search"]["trials"] if each["name"] == card["algorithm"]]
        assert card["settings"]["alpha"] == trial["settings"]["alpha"] < 1e4
        assert project.reproduce("price-1").equal


@pytest.mark.parametrize("tune", [0, -1, True, 2.5, "10", "soon", "0s", [5]])
def test_an_invalid_budget_is_refused(tune):
    with pytest.raises(DefinitionError):
        nodes(tune=tune)


def test_a_search_needs_optuna(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "optuna" else find(name, *more)
    )
    with pytest.raises(MissingExtra) as error:
        resolve(nodes(tune=5), {})
    assert "mainstem[tune]" in str(error.value)


def test_what_was_found_is_on_the_card_and_in_the_report():
    with mainstem.testing.project(nodes(tune=8, test=0.25), data={"houses": houses(240)}) as project:
        project.run()
        card = project.show("price").card
        found = card["evaluated"]["search"]
        assert len(found["trials"]) == 8 and found["budget"] == "8 trials" and not found["higher_is_better"]
        assert card["evaluation"]["search"].startswith("8 trials (")
        assert "ensemble" in card["evaluation"] or card["algorithm"] in card["folds"]
        assert card["gate"]["largest"] <= 1
        made = project.report("price")
        assert "## Search" in made.markdown() and "knn #3" in made.markdown() and "knn #3" in made.html()
        first = _sha(project)
        assert not list((Path(project.settings.root) / ".mainstem/search").rglob("*.npz"))
    with mainstem.testing.project(nodes(tune=8, test=0.25), data={"houses": houses(240)}) as project:
        project.run()
        assert _sha(project) == first


def _sha(project) -> str:
    found = Path(project.settings.root) / ".mainstem/lake/models/price/1/manifest.json"
    return json.loads(found.read_text())["sha256"]


def test_a_search_makes_features_for_an_estimator_of_scikit_learn():
    options = {"tune": 20, "test": 0.25, "features": ["area", "rooms", "age", "city"], "candidates": [Ridge()]}
    rows = [{**row, "rooms": float(n % 5 + 1), "age": float(n % 31)} for n, row in enumerate(houses(240))]
    rows = [{**row, "price": row["area"] * row["rooms"] - row["age"]} for row in rows]
    with mainstem.testing.project(nodes(**options), data={"houses": rows}) as project:
        project.run()
        card = project.show("price").card
        tried = card["evaluated"]["search"]
        assert "interactions" in {each["settings"].get("engineer") for each in tried["trials"]}
        assert tried["ended"] == "no candidate has settings to search for"
        assert card["settings"].get("engineer") == "interactions" and card["gate"]["largest"] <= 1


def test_a_cross_validated_model_searches_in_each_fold():
    with mainstem.testing.project(nodes(tune=4, candidates=["knn"]), data={"houses": houses(90)}) as project:
        project.run()
        assert "cross-validation" in project.show("price").card["evaluation"]["measured by"]


def test_a_calibration_of_another_task_is_refused():
    with pytest.raises(DefinitionError) as error:
        resolve(nodes(calibrate="isotonic"), {})
    assert "regression" in str(error.value)
    with pytest.raises(DefinitionError):
        nodes(calibrate="platt")


def test_a_declared_calibration_is_on_the_card_and_passes_the_gate():
    options = {"candidates": ["linear"], "target": _.price > 300_000, "test": 0.25, "calibrate": "isotonic"}
    with mainstem.testing.project(nodes(**options), data={"houses": houses(300)}) as project:
        project.run()
        card = project.show("price").card
        assert card["algorithm"] == "linear, isotonic" and card["gate"]["largest"] <= 1
        assert card["evaluation"]["calibration"].startswith("isotonic: log loss out of fold")
        assert {"linear", "linear, isotonic"} == set(card["folds"])


def ending(monkeypatch, at: str, problem: BaseException) -> None:
    """Raise a problem when the training reports `at`, once."""
    learn, left = train.learn, [problem]

    def report(told: str) -> None:
        if told.startswith(at) and left:
            raise left.pop()

    monkeypatch.setattr(train, "learn", lambda *args: learn(*args[:-1], report))


def test_an_interrupted_search_trains_the_best_so_far(monkeypatch):
    with mainstem.testing.project(nodes(tune=40, test=0.25), data={"houses": houses(240)}) as project:
        ending(monkeypatch, "trial 6/40", KeyboardInterrupt())
        project.run()
        found = project.show("price").card["evaluated"]["search"]
        assert len(found["trials"]) == 5 and found["ended"] == "it was interrupted"


def test_what_changes_folds_or_outcomes_is_another_search():
    examples = learning.examples("ranking", 60)
    hours = np.arange(60)
    ahead = Ahead(hours, hours.astype(float), hours.astype(float))
    found = [
        examples,
        replace(examples, queries=examples.queries[::-1] + 1),
        replace(examples, queries=None),
        replace(examples, groups=hours),
        replace(examples, validation=hours > 40),
        replace(examples, validation=hours > 41),
        replace(examples, known=hours),
        replace(examples, ahead=ahead),
        replace(examples, ahead=replace(ahead, horizons=hours + 1)),
        replace(examples, ahead=replace(ahead, last=ahead.last + 1)),
        replace(examples, ahead=replace(ahead, season=ahead.season + 1)),
    ]
    assert len({content(each) for each in found}) == len(found)
    assert content(examples) == content(learning.examples("ranking", 60))


def test_a_killed_search_does_not_go_on_with_other_queries(tmp_path):
    """The definition is the same: only a value of the column that groups the rows has changed."""
    found = nodes(tune=3, target="city", features=["area"], query="price", candidates=["lightgbm"])["price"]
    examples = learning.examples("ranking", 240)
    killed = remembered(found, tmp_path, "definition", examples)
    killed.keep(("lightgbm", "1"), Outcome(0.5, np.ones(3), {}, 1.0))
    again = remembered(found, tmp_path, "definition", learning.examples("ranking", 240))
    assert again.recall(("lightgbm", "1")) is not None
    queries = examples.queries.copy()
    queries[0] = queries[-1]
    assert (
        remembered(found, tmp_path, "definition", replace(examples, queries=queries)).recall(("lightgbm", "1")) is None
    )


def test_a_killed_run_goes_on(monkeypatch):
    with mainstem.testing.project(nodes(tune=7, test=0.25), data={"houses": houses(240)}) as project:
        ending(monkeypatch, "trial 6/7", SystemExit())
        with pytest.raises(SystemExit):
            project.run()
        kept = list((Path(project.settings.root) / ".mainstem/search").rglob("*.npz"))
        assert len(kept) >= 5 * 2 - 2
        fitted: list[str] = []
        outcome = trials.outcome
        monkeypatch.setattr(trials, "outcome", lambda each, *more: fitted.append(each.name) or outcome(each, *more))
        project.run()
        assert {name.partition("#")[2] for name in fitted} <= {"6", "7"}
        assert len(project.show("price").card["evaluated"]["search"]["trials"]) == 7
        assert not list((Path(project.settings.root) / ".mainstem/search").rglob("*.npz"))
