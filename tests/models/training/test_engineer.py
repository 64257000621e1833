"""`engineer=` and `select=` in a project: the plan, what is refused at load, the card, the artifact, and a search."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, MainstemError, UnknownName
from mainstem.project.resolve import resolve

SCHEMA = {
    "id": "string",
    "price": "float64",
    "area": "float64",
    "noise": "float64",
    "city": "string",
    "on": "date",
    "cheap": "float64",
}


def homes(n=400):
    random = np.random.default_rng(0)
    found = []
    for i in range(n):
        price, area = float(random.lognormal(1, 0.6)), float(random.lognormal(1, 0.6))
        city = str(random.choice(["Rome", "Oslo", "Paris"]))
        cheap = price / area * (2 if city == "Rome" else 1) + float(random.normal(0, 0.05))
        day = dt.date(2023, 1, 1) + dt.timedelta(days=i)
        row = {"id": f"h{i}", "price": price, "area": area, "noise": float(random.normal()), "city": city}
        found.append({**row, "on": day, "cheap": cheap})
    return found


def nodes(**options):
    source = ms.files("homes.parquet", key="id", schema=SCHEMA)
    usual = {"target": "cheap", "features": "all", "folds": 2, "candidates": ["linear"]}
    return {"homes": source, "cheap": ms.model(source, **{**usual, **options})}


def fingerprint(**options):
    return resolve(nodes(**options), {})["cheap"].fingerprint


def refused(**options) -> MainstemError:
    with pytest.raises(MainstemError) as error:
        resolve(nodes(**options), {})
    return error.value


def trained(**options):
    return mainstem.testing.project(nodes(**options), data={"homes": homes()})


def test_a_change_is_a_change_of_the_plan():
    found = [
        {},
        {"engineer": []},
        {"engineer": ms.ratios()},
        {"engineer": [ms.ratios(most=3)]},
        {"engineer": [ms.interactions()]},
        {"select": "none"},
        {"select": "auto"},
        {"select": ms.select(drift=False)},
    ]
    assert len({fingerprint(**each) for each in found}) == len(found)
    assert fingerprint() == fingerprint(engineer=None, select=None)
    assert fingerprint(select="auto") == fingerprint(select=ms.select())


@pytest.mark.parametrize(
    ("engineer", "kind", "what"),
    [
        (ms.ratios(["price", "aera"]), UnknownName, "unknown input 'aera' in `engineer` (ratios)"),
        (ms.ratios(["price", "city"]), DefinitionError, "`engineer` (ratios) requires a number, and 'city' is not"),
        (ms.group_statistics("area"), DefinitionError, "requires a text, and 'area' is not"),
        (ms.group_statistics("city", of="on"), UnknownName, "unknown input 'on'"),
    ],
)
def test_unfitting_columns_are_refused_at_load(engineer, kind, what):
    error = refused(engineer=engineer)
    assert isinstance(error, kind) and what in error.what and error.where


@pytest.mark.parametrize(
    ("engineer", "column"),
    [
        (ms.ratios(["price", "area"]), "area"),
        (ms.interactions(["area", "noise"]), "area"),
        (ms.group_statistics("city", of=["price", "area"]), "area"),
        (ms.pca(1, ["area", "noise"]), "area"),
        (ms.cyclic("on__month"), "on__month"),
    ],
    ids=lambda each: getattr(each, "word", ""),
)
def test_features_of_an_input_with_a_constraint_are_refused_at_load(engineer, column):
    error = refused(engineer=engineer, monotone={column: 1}, candidates=["lightgbm"])
    assert isinstance(error, DefinitionError) and error.where
    assert error.what == f"`engineer` ({engineer.word}) uses {column!r}, which has a monotone constraint"
    assert error.hint == f"leave {column!r} out of `engineer` or of `monotone`"
    assert fingerprint(engineer=engineer, monotone={"noise": 1} if column == "on__month" else {}, candidates="lightgbm")


def test_holidays_of_a_date_with_a_constraint_are_refused_at_load():
    pytest.importorskip("holidays")
    engineer = ms.holidays("on", country="DE")
    error = refused(engineer=engineer, monotone={"on__month": 1}, candidates="lightgbm")
    assert error.what == "`engineer` (holidays) uses 'on__month', which has a monotone constraint"


@pytest.mark.parametrize("by", ["area", "on__weekday"])
def test_groups_by_a_number_have_the_hint_to_cast_it(by):
    assert refused(engineer=ms.group_statistics(by)).hint == (
        "a number whose values are names: cast it to string in a table"
    )
    assert refused(engineer=ms.ratios(["price", "city"])).hint is None


@pytest.mark.parametrize("value", ["ratios", [1], {"a": 1}])
def test_what_makes_no_features_is_refused(value):
    with pytest.raises(DefinitionError, match="`engineer`"):
        nodes(engineer=value)
    with pytest.raises(DefinitionError, match="`select` has an invalid value"):
        nodes(select=value)


def test_holidays_require_a_date():
    pytest.importorskip("holidays")
    assert "unknown date among the inputs 'city'" in refused(engineer=ms.holidays("city", country="DE")).what
    assert fingerprint(engineer=ms.holidays("on", country="DE"))


def test_the_card_tells_what_was_made_and_predictions_use_it():
    with trained() as project:
        project.run()
        plain = project.report("cheap").to_dict()["metrics"]["rmse"]["value"]
    options = {"engineer": [ms.ratios(["price", "area"]), ms.cyclic("on__month")], "select": "auto"}
    with trained(**options) as project:
        project.run()
        card = project.report("cheap").to_dict()
        assert card["metrics"]["rmse"]["value"] < plain / 2
        table = {each["input"]: each for each in card["preparation"]}
        made = table["price / area"]
        assert made["type"] == "made" and made["done"].startswith("quotient, declared;")
        assert {"sine on__month", "cosine on__month"} <= set(table)
        assert table["noise"]["left_out"] and "shuffled copies" in table["noise"]["done"]
        assert "price / area" in project.report("cheap").html() and "price / area" in project.report("cheap").markdown()
        (answer,) = project.predict("cheap", [{"price": 4.0, "area": 2.0, "noise": 0.0, "city": "Oslo", "on": None}])
        assert answer["score"] == pytest.approx(2, abs=0.6)


def test_a_search_tries_features_and_keeps_what_wins():
    with trained(tune=16, test=0.25, features=["price", "area", "city", "noise"]) as project:
        project.run()
        card = project.report("cheap").to_dict()
        trials = card["evaluated"]["search"]["trials"]
        tried = [each["settings"].get("engineer") for each in trials]
        assert {"ratios", "interactions", "group statistics"} <= set(tried)
        assert any(each["settings"].get("select") == "auto" for each in trials)
        assert card["settings"].get("engineer") == "ratios" or "ratios" in str(card["settings"])
        assert any(each["type"] == "made" for each in card["preparation"])


@pytest.mark.parametrize("ensemble", [True, False])
def test_what_a_search_finds_keeps_a_monotone_constraint(ensemble):
    """The target is price / area, so the quotient helps much, and breaks the constraint."""
    options = {"features": ["price", "area", "noise", "city"], "monotone": {"area": 1}, "candidates": None}
    with trained(tune=22, test=0.25, ensemble=ensemble, **options) as project:
        project.run()
        card = project.report("cheap").to_dict()
        made = {each["settings"].get("engineer") for each in card["evaluated"]["search"]["trials"]}
        assert {"ratios", "interactions", "group statistics"} <= made
        assert {each["name"].partition(" #")[0] for each in card["evaluated"]["search"]["trials"]} == {"lightgbm"}
        assert (card["algorithm"] == "ensemble") == ensemble
        homes = [{"price": price, "noise": 0.3, "city": city} for price in (1.0, 3.0, 8.0) for city in ("Rome", "Oslo")]
        areas = np.linspace(0.3, 12, 60)
        asked = [{**home, "area": float(area)} for home in homes for area in areas]
        scores = np.array([each["score"] for each in project.predict("cheap", asked)]).reshape(len(homes), -1)
    assert (np.diff(scores) >= 0).all() and len(np.unique(scores)) > 3


@pytest.mark.parametrize("more", [{"engineer": []}, {"select": "none"}])
def test_a_search_does_not_try_what_is_forbidden(more):
    with trained(tune=16, test=0.25, features=["price", "area", "city", "noise"], **more) as project:
        project.run()
        trials = project.report("cheap").to_dict()["evaluated"]["search"]["trials"]
        assert not any({"engineer", "select"} & set(each["settings"]) for each in trials)
