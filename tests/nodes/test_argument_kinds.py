"""Every public constructor refuses every wrong kind of argument with the project's own error, at the user's line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args

import dlt
import ibis
import pytest
from ibis import _
from sklearn.linear_model import LogisticRegression

import mainstem as ms
from mainstem.errors import DefinitionError, MainstemError
from mainstem.nodes import clean, prepare, verbs
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

RIDES = ms.stream("rides", schema={"ride": "string", "fare": "float64"}, key="ride", time="at")
PLACE = ms.feature_view(RIDES, key="ride", windows="1h", n=_.count())
JOINED = ibis.table({"a": "string"}, name="joined")
FARE = ms.model(examples=RIDES, prediction_time=_.at, target=_.fare, features=[PLACE])


@dlt.resource(primary_key="id", write_disposition="merge")
def TICKETS() -> Iterator[dict[str, int]]:
    yield {"id": 1}


def legs(rides: Any) -> Any:
    return rides


ALGORITHMS = (
    *("catboost", "decision_tree", "elastic_net", "extra_trees", "hist_boosting", "knn", "lightgbm", "linear", "mlp"),
    *("linear_boosting", "naive", "naive_bayes", "random_forest", "xgboost"),
)

VALID: dict[str, dict[str, Any]] = {
    "accepted": {"column": "a", "values": ["x"]},
    "aggregate": {"name": "median", "argument": _.x},
    "among": {"low": 1, "high": 64, "log": True},
    "anomaly": {"measure": "nulls", "column": "a"},
    "api": {"url": "http://a"},
    "best": {"value": _.x},
    "api_key": {"name": "X-Key", "value": "k3y-for-this-test"},
    "basic": {"user": "me", "password": "p4ss-for-this-test"},
    "bearer": {"token": "t0ken-for-this-test"},
    "between": {"column": "a", "low": 1},
    "bottom_k": {"argument": _.x, "k": 1},
    "by": {"column": _.x, "levels": ["a"], "reduction": _.count()},
    "canary": {"share": 0.05, "by": "card"},
    "candidates": {"table": RIDES, "key": "ride"},
    "calibration": {},
    "challenger": {"model": FARE},
    "cheapest": {"options": {"a": _.x, "b": 5}},
    "cyclic": {"columns": "sold_on__month", "period": 12.0},
    "database": {"url": "sqlite:///a.db", "table": "t"},
    "dlt": {"resource": TICKETS},
    "drift": {},
    "endpoint": {"model": FARE},
    "epsilon": {"share": 0.1},
    "ewma": {"argument": _.x, "half_life": "1h"},
    "expression": {"condition": _.x > 0},
    "feature_view": {"source": RIDES, "columns": ["fare"]},
    "files": {"path": "a.csv"},
    "first_k": {"argument": _.x, "k": 1},
    "foreign_key": {"columns": "a", "to": RIDES},
    "fresh": {"column": "a", "within": "1d"},
    "neighbours": {"table": RIDES, "key": "ride", "by": "vector", "like": "other"},
    "grid": {"fields": {"price": ms.steps(1, 2, 0.5)}},
    "histogram": {"argument": _.x, "edges": [1, 2]},
    "join": {"left": JOINED, "right": JOINED, "on": "a"},
    "kafka": {"servers": "a:9092", "topic": "t"},
    "last_k": {"argument": _.x, "k": 1},
    "latency": {"within": "20ms", "otherwise": "review"},
    "limits": {},
    "load": {},
    "group_statistics": {"by": "a", "of": "b", "statistics": "mean", "most": 3},
    "holidays": {"column": "a", "country": "DE", "subdivision": "BY"},
    "interactions": {"columns": ("a", "b"), "most": 3},
    "metric": {"higher_is_better": True},
    "model": {"examples": RIDES, "prediction_time": _.at, "target": _.fare, "features": [PLACE]},
    "not_null": {"columns": ("a",)},
    "oauth2": {"token_url": "http://a", "client_id": "a", "client_secret": "s3cret-for-this-test"},
    "on_demand": {"features": {"a": _.x}},
    "outcome": {"happened": _.x > 0, "after": "45d"},
    "performance": {"floor": 0.5},
    "rate": {},
    "request": {"field": "movies"},
    "row_count": {"low": 1},
    "score": {"of": RIDES, "model": "m", "key": "a"},
    "share": {"condition": _.x},
    "onnx_model": {"path": "test_argument_kinds.py", "inputs": "a", "output": "y", "missing": 0.0},
    "pca": {"components": 2, "columns": "a"},
    "ratios": {"columns": ("a", "b"), "most": 3},
    "select": {"shadows": True, "drift": False, "correlated": 0.9},
    "similar": {"left": "a"},
    "sink": {"of": RIDES, "to": ms.files("a.csv")},
    "skew": {"argument": _.x},
    "slope": {"argument": _.x},
    "steps": {"low": 1, "high": _.x, "step": 0.5},
    "stream": {"name": "s", "schema": {"a": "string"}, "time": "at"},
    "table": {"function": legs},
    "truncated_svd": {"components": 2, "columns": "a"},
    "threshold": {"constraint": "recall >= 0.9"},
    "time_since_last": {},
    "top": {"count": 3, "by": _.x},
    "top_k": {"argument": _.x, "k": 1},
    "union": {"tables": (JOINED, JOINED)},
    "unique": {"columns": ("a",)},
    "value": {"floor": 0.0},
    "web": {"url": "http://a", "rows": "tr", "fields": {"a": "td"}},
    "windowed": {"reduction": _.count(), "windows": ("1h",)},
    "sklearn": {"estimator": LogisticRegression(), "inputs": "codes", "space": {"C": ms.among(0.1, 10.0)}},
    "tls": {},
    **{name: {} for name in ALGORITHMS},
}
"""Arguments that each constructor takes, by parameter: one of its own is made wrong at a time."""

WRONG: tuple[Any, ...] = (
    object(), None, True, 0, -1, 5, 2**70, 1.5, -0.5, float("nan"), float("inf"), 3j, b"a", "", " ", "x", "1h", "Error",
    (), [], [None], [5], [""], ["a", "a"], [float("nan")], [[]], {}, {"a": None}, {5: "a"}, {"": "a"},
    {"a": float("nan")}, {"a"}, range(0),
    _.x, _.x > 0, RIDES, PLACE, FARE, ms.not_null("a"), ms.drift(), ms.last_k(_.x, 3), int, len, ...,
)  # fmt: skip

FREE = {("aggregate", "parameters"), ("files", "options")}
"""What the aggregation, or the reader of files, looks at itself: their values are of any kind."""


def constructors() -> Iterator[str]:
    return (n for n in ms.__all__ if inspect.isfunction(getattr(ms, n)))


def call(name: str, arguments: dict[str, Any]) -> Any:
    """Call a constructor with arguments by parameter: those of `*columns` and `**features` are spread."""
    function: Callable[..., Any] = getattr(ms, name)
    positional, by_name = [], {}
    for parameter in parameters(name).values():
        if parameter.name not in arguments:
            continue
        value = arguments[parameter.name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional.extend(value if isinstance(value, (tuple, list)) else (value,))
        elif parameter.kind is parameter.VAR_KEYWORD:
            texts = isinstance(value, dict) and all(isinstance(key, str) for key in value)
            by_name.update(value if texts else {"unlikely": value})
        elif parameter.kind is parameter.KEYWORD_ONLY:
            by_name[parameter.name] = value
        else:
            positional.append(value)
    return function(*positional, **by_name)


def parameters(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(ms, name)).parameters)


def cases() -> list[tuple[str, str]]:
    return [(name, parameter) for name in constructors() for parameter in parameters(name)]


def test_every_public_constructor_is_tried() -> None:
    assert set(constructors()) == set(VALID)
    for name in set(VALID) - {"load"}:
        call(name, VALID[name])


@pytest.mark.parametrize(("name", "parameter"), cases())
def test_a_wrong_kind_is_the_projects_own_error_at_its_line(name: str, parameter: str) -> None:
    refused = 0
    for wrong in WRONG:
        try:
            call(name, {**VALID[name], parameter: wrong})
        except MainstemError as error:
            refused += 1
            if isinstance(error, DefinitionError):
                assert str(error.where).startswith("test_argument_kinds.py:"), (wrong, error)
    assert refused >= (10 if (name, parameter) not in FREE else 0)


@pytest.mark.parametrize(("name", "parameter"), [case for case in cases() if case not in FREE])
def test_an_object_of_no_use_is_refused_everywhere(name: str, parameter: str) -> None:
    for wrong in (object(), 3j, [object()]):
        with pytest.raises(MainstemError):
            call(name, {**VALID[name], parameter: wrong})


@pytest.mark.parametrize("name", sorted(set(VALID) - {"aggregate"}))  # which takes any parameter
def test_unknown_and_missing_arguments_are_refused(name: str) -> None:
    spread = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    given = {n: v for n, v in VALID[name].items() if parameters(name)[n].kind not in spread}
    with pytest.raises(DefinitionError, match="colunms"):
        getattr(ms, name)(**given, colunms=5)
    with pytest.raises(DefinitionError):
        getattr(ms, name)(*[5] * 20)


@pytest.mark.parametrize("wrong", [None, 5, "flights", [RIDES], {"a": 5}, {5: RIDES}])
def test_a_project_is_made_of_nodes(wrong: Any, tmp_path: Any) -> None:
    settings = Settings(tmp_path, ProjectSettings("test", ()), Profile(), "default", Serve())
    with pytest.raises(DefinitionError):
        ms.Project(settings, wrong)
    with pytest.raises(DefinitionError):
        ms.Project(wrong, {"rides": RIDES})
    with pytest.raises(DefinitionError):
        ms.Project(settings, {"rides": RIDES}, branch=5)  # type: ignore[arg-type]


VERBS: dict[str, dict[str, Any]] = {
    "case": {"column": "a", "to": "lower"},
    "cast": {"column": "a", "to": "int64"},
    "clip": {"column": "a", "low": 0.0},
    "convert": {"column": "a", "to": "kg"},
    "deduplicate": {"key": ("a",), "order_by": "b"},
    "extract": {"column": "a", "pattern": "a"},
    "fill": {"column": "a", "order_by": "b"},
    "hash": {"column": "a", "salt": "${env:SALT}"},
    "impute": {"column": "a", "constant": 0},
    "interpolate": {"column": "a", "order_by": "b"},
    "log": {"column": "a"},
    "map": {"column": "a", "values": {"x": "y"}},
    "mask": {"column": "a"},
    "match": {"column": "a", "file": "a.csv", "to": ("b",)},
    "must_match": {"column": "a", "pattern": "a"},
    "near_duplicates": {"on": "a", "block": "b", "order_by": "c"},
    "outliers": {"column": "a"},
    "parse_date": {"column": "a"},
    "parse_number": {"column": "a"},
    "replace": {"column": "a", "pattern": "a"},
    "rescale": {"column": "a", "factor": 2.0},
    "scale": {"column": "a", "method": "z"},
    "trim": {"column": "a"},
    "within": {"column": "a", "low": 0.0},
}
"""Arguments that each constructor of a verb takes."""


def test_every_verb_is_tried() -> None:
    assert set(VERBS) == set(clean.MAKERS)
    assert {type(clean.MAKERS[name](**VERBS[name])) for name in VERBS} <= set(verbs.VERBS.values())


def test_every_verb_has_a_constructor_and_says_what_it_does_to_nulls_and_whether_it_is_fitted() -> None:
    for name, verb in verbs.VERBS.items():
        text = " ".join(str(verb.__doc__).split())
        assert "null" in text.lower() and "statistics" in text, name


@pytest.mark.parametrize(
    ("name", "field"), [(n, f) for n in VERBS for f in inspect.signature(clean.MAKERS[n]).parameters]
)
def test_a_verb_refuses_a_wrong_kind(name: str, field: str) -> None:
    make, refused = clean.MAKERS[name], 0
    for wrong in WRONG:
        try:
            make(**{**VERBS[name], field: wrong})
        except DefinitionError as error:
            refused += 1
            assert str(error.where).startswith("test_argument_kinds.py:"), (wrong, error)
    assert refused >= 20
    with pytest.raises(DefinitionError, match=field):
        make(**{**VERBS[name], field: object()})


@pytest.mark.parametrize("name", sorted(VERBS))
def test_a_verb_refuses_unknown_and_missing_arguments(name: str) -> None:
    with pytest.raises(DefinitionError, match="colunm"):
        clean.MAKERS[name](**VERBS[name], colunm="a")
    with pytest.raises(DefinitionError):
        clean.MAKERS[name]()


STEPS: dict[str, dict[str, Any]] = {
    "hashed": {"buckets": 8},
    "hashed_words": {"buckets": 8, "terms": 100, "ngrams": 2, "rare": 3, "characters": True},
    "number": {"missing": 0.0, "scale": "log", "indicator": True},
    "one_hot": {"levels": 8, "rare": 2},
    "ordinal": {"levels": 8, "rare": 2},
    "target": {"smoothing": 1.0, "levels": 8, "rare": 2},
    "tfidf": {"components": 8, "score": False, "terms": 100, "ngrams": 2, "rare": 3, "characters": True},
}
"""Arguments that each constructor of a step takes."""


def test_every_step_is_tried() -> None:
    own = {n: f for n, f in vars(prepare).items() if inspect.isfunction(f) and f.__module__ == prepare.__name__}
    assert {n for n, f in own.items() if hasattr(f, "__wrapped__")} == set(STEPS)
    assert {type(getattr(prepare, name)(**STEPS[name])) for name in STEPS} == set(get_args(prepare.Step))


@pytest.mark.parametrize(("name", "parameter"), [(name, each) for name in STEPS for each in STEPS[name]])
def test_a_step_refuses_a_wrong_kind(name: str, parameter: str) -> None:
    make, refused = getattr(prepare, name), 0
    for wrong in WRONG:
        try:
            make(**{**STEPS[name], parameter: wrong})
        except DefinitionError as error:
            refused += 1
            assert str(error.where).startswith("test_argument_kinds.py:"), (wrong, error)
    assert refused >= 20
    with pytest.raises(DefinitionError, match="colunm"):
        make(**STEPS[name], colunm="a")
