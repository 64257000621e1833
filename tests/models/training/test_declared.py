"""What a declaration of a model or an endpoint cannot mean is refused when the project loads."""

from __future__ import annotations

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, MainstemError, SchemaError, UnknownName
from mainstem.project.resolve import resolve

SCHEMA = {"id": "string", "area": "float64", "city": "string", "price": "float64", "sold_on": "date"}


def refused(target, *, endpoint=None, **options) -> MainstemError:
    """Return the error of a project with this model."""
    houses = ms.files("houses.parquet", key="id", schema=SCHEMA)
    model = ms.model(houses, target=target, features=["area"], **options)
    nodes = {"houses": houses, "price": model} | ({"desk": ms.endpoint(model, **endpoint)} if endpoint else {})
    with pytest.raises(MainstemError) as error:
        resolve(nodes, {})
    return error.value


@pytest.mark.parametrize(
    ("target", "metric", "told"),
    [
        (_.price > 3, "rmse", "unknown binary metric 'rmse'"),
        ("price", "roc_auc", "unknown regression metric 'roc_auc'"),
        ("city", "macrof1", "unknown multiclass metric 'macrof1'"),
        ("price", "rsme", "unknown regression metric 'rsme'"),
    ],
)
def test_a_metric_of_another_task(target, metric, told):
    error = refused(target, metric=metric)
    assert isinstance(error, UnknownName) and error.what == told and "price" in str(error.where)


def test_a_misspelled_metric_has_a_hint():
    assert "did you mean 'macro_f1'" in str(refused("city", metric="macrof1").hint)


@pytest.mark.parametrize(
    ("options", "what", "got"),
    [
        ({"jobs": 4}, "`jobs` does nothing without `tune`", "jobs=4"),
        ({"ensemble": False}, "`ensemble` does nothing without `tune`", "ensemble=False"),
        (
            {"select": ms.select(shadows=False, correlated=None)},
            "`select` does nothing without `prediction_time`",
            "ms.select with `drift` alone",
        ),
        ({"split": _.city, "test": 0.3}, "`test` does nothing beside `split`", "test=0.3"),
    ],
)
def test_a_setting_that_changes_nothing_is_refused(options, what, got):
    error = refused("price", **options)
    assert isinstance(error, DefinitionError) and error.where
    assert (error.what, error.got) == (what, got) and error.expected


@pytest.mark.parametrize(
    "options",
    [
        {"jobs": 4, "tune": 5},
        {"ensemble": False, "tune": 5},
        {"select": ms.select(correlated=None)},
        {"select": ms.select(shadows=False)},
        {"split": _.city},
        {"assume_known": {"area": "an input that predicts the target almost perfectly is asked for a reason, too"}},
        {"engineer": [], "select": "none", "jobs": 1, "ensemble": True},
    ],
)
def test_a_setting_that_changes_something_is_accepted(options):
    houses = ms.files("houses.parquet", key="id", schema=SCHEMA)
    model = ms.model(houses, target="price", features=["area"], **options)
    assert resolve({"houses": houses, "price": model}, {})["price"].fingerprint


def test_a_misspelled_candidate():
    error = refused("price", candidates=["lightgmb"])
    assert isinstance(error, UnknownName) and "did you mean 'lightgbm'?" in str(error.hint)


def test_a_target_that_no_task_has():
    error = refused("sold_on")
    assert isinstance(error, SchemaError) and error.what == "unsupported type of target" and "price" in str(error.where)


@pytest.mark.parametrize("threshold", [30, 0, 1, -0.5, 1.5])
@pytest.mark.parametrize(("target", "task"), [(_.price > 3, "binary"), ("city", "multiclass")])
def test_a_threshold_that_no_probability_reaches(threshold, target, task):
    error = refused(target, endpoint={"threshold": threshold})
    assert isinstance(error, DefinitionError) and error.what == "`threshold` must be a probability"
    assert error.got == f"{threshold:g}, and 'price' is {task}"


def test_a_threshold_of_a_value_may_be_any_number():
    houses = ms.files("houses.parquet", key="id", schema=SCHEMA)
    model = ms.model(houses, target="price", features=["area"])
    assert not resolve({"houses": houses, "price": model, "desk": ms.endpoint(model, threshold=30)}, {}).broken


def test_a_monitor_with_a_metric_of_another_task():
    error = refused(_.price > 3, endpoint={"monitors": [ms.performance(0.5, metric="rmse")]})
    assert isinstance(error, UnknownName) and error.what == "unknown binary metric 'rmse'"


def test_what_is_planned_before_is_known_before():
    """`*` before the time of a row covers the time itself: it is a plan, even if outcomes are counted from it."""
    known = {"*": _.at - ibis.interval(days=30), "delay": _.at + ibis.interval(hours=9), "left": "left_at"}
    instant = "timestamp('UTC', 6)"
    schema = {"id": "string", "at": instant, "delay": "float64", "left": "float64", "left_at": instant}
    trips = ms.files("trips.parquet", key="id", time="at", known=known, schema=schema)
    found = resolve({"trips": trips}, {})["trips"].known
    assert {name: str(when) for name, when in found.items()} == {
        "id": "at − 30 d",
        "at": "at − 30 d",
        "delay": "at + 9 h",
        "left": "left_at",
        "left_at": "left_at",
    }
