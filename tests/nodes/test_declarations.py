"""What is refused where it is written: a declaration that means nothing is no declaration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError

RIDES = ms.stream("rides", schema={"ride": "string", "fare": "float64"}, key="ride", time="at")
PLACE = ms.feature_view(RIDES, key="ride", windows="1h", n=_.count())


def view(**settings: Any) -> Any:
    return ms.feature_view(RIDES, **{"key": "ride", "windows": "1h", "n": _.count(), **settings})


def model(**settings: Any) -> Any:
    given = {"examples": RIDES, "prediction_time": _.at, "target": _.fare, "features": [PLACE]}
    return ms.model(**{**given, **settings})


REFUSED: dict[str, tuple[Callable[[], Any], str, str | None]] = {
    "ttl of windows": (lambda: view(ttl="1h"), "`ttl` requires latest columns", "'1h'"),
    "closed": (lambda: view(closed="right"), "`closed` has an invalid value", "'right'"),
    "key": (lambda: view(key=_.x), "columns must be given by name", "_.x"),
    "a source for a key": (lambda: view(key=RIDES), "columns must be given by name", "stream: "),
    "columns": (lambda: ms.feature_view(RIDES, columns=[_.x]), "columns must be given by name", "_.x"),
    "order_by": (lambda: view(order_by=_.x), "a column must be given by name", "_.x"),
    "time": (lambda: ms.files("a.csv", time=_.at), "a column must be given by name", "_.at"),  # type: ignore[arg-type]
    "a window that is a number": (lambda: view(windows=[3600]), "3600 is not a duration", "of type int"),
    "windows that are a number": (lambda: view(windows=3600), "3600 is not a duration", "of type int"),
    "a window without end": (lambda: view(windows="900000000d"), "is too long", "900000000d"),
    "using": (lambda: view(using="place"), "`using` must be feature views", "'place'"),
    "using a source": (lambda: view(using=[RIDES]), "`using` must be feature views", "stream: "),
    "on": (lambda: PLACE.on(_.x), "columns must be given by name", "_.x"),
    "a list of windows": (
        lambda: ms.windowed(_.count(), ["1h", "2h"]),
        "takes each window as a separate argument",
        "['1h', '2h']",
    ),  # type: ignore[arg-type]
    "levels that are a text": (lambda: ms.by(_.x, "UA", _.count()), "a list of levels", "'UA'"),
    "no levels": (lambda: ms.by(_.x, [], _.count()), "a list of levels", "[]"),
    "levels of a column": (lambda: ms.by(_.x, _.y, _.count()), "a list of levels", "_.y"),
    "edges that are texts": (lambda: ms.histogram(_.x, ["a", "b"]), "must be a number", "'a'"),  # type: ignore[list-item]
    "an edge": (lambda: ms.histogram(_.x, 3), "a list of edges", "3"),  # type: ignore[arg-type]
    "features that are a text": (lambda: model(features="place"), "`features` must be a list", "'place'"),
    "features that are a view": (lambda: model(features=PLACE), "`features` must be a list", "feature view: "),
    "a source in features": (lambda: model(features=[RIDES]), "this is not a feature", "stream: "),
    "task": (lambda: model(task="sorting"), "`task` has an invalid value", "'sorting'"),
    "retrain": (lambda: model(retrain="daily"), "`retrain` has an invalid value", "'daily'"),
    "no reason": (lambda: model(assume_known={"ride": " "}), "has no reason for 'ride'", "' '"),
    "no reasons": (lambda: model(assume_known=["ride"]), "must map columns to reasons", "['ride']"),
    "no reason in a table": (lambda: ms.table(assume_known={"x": ""}), "has no reason for 'x'", "''"),
    "promote": (lambda: ms.endpoint(model(), promote="ever"), "`promote` has an invalid value", "'ever'"),  # type: ignore[arg-type]
    "an endpoint of a source": (lambda: ms.endpoint(RIDES), "requires a model", "stream: "),  # type: ignore[arg-type]
    "latency zero": (lambda: ms.endpoint(model(), latency="0s"), "`latency` must be positive", "'0s'"),
    "severity": (
        lambda: ms.not_null("a", severity="Error"),  # type: ignore[arg-type]
        "`severity` has an invalid value",
        "'Error'",
    ),
    "not_null of no column": (lambda: ms.not_null(), "`columns` is empty", "()"),
    "unique of no column": (lambda: ms.unique(), "`columns` is empty", "()"),
    "unique of a list": (lambda: ms.unique(["a", "b"]), "columns must be given by name", "['a', 'b']"),  # type: ignore[arg-type]
    "a column twice": (lambda: ms.unique("a", "a"), "`columns` repeats 'a'", "('a', 'a')"),
    "between without a bound": (lambda: ms.between("x"), "has no bound", "None"),
    "between nothing": (lambda: ms.between("x", 5, 1), "in the wrong order", "(5, 1)"),
    "between NaN": (lambda: ms.between("x", float("nan")), "`low` must be a constant", "nan"),
    "between columns": (lambda: ms.between("x", _.y), "`low` must be a constant", "_.y"),
    "accepted text": (lambda: ms.accepted("g", "ab"), "`values` must be a list", "'ab'"),
    "accepted nothing": (lambda: ms.accepted("g", []), "`values` is empty", "[]"),
    "accepted null": (lambda: ms.accepted("g", [None]), "`values` is empty", "[None]"),
    "accepted NaN": (lambda: ms.accepted("g", [1.0, float("nan")]), "`values` must be a constant", "nan"),
    "accepted twice": (lambda: ms.accepted("g", ["a", "a"]), "`values` repeats 'a'", "('a', 'a')"),
    "row_count in quarantine": (
        lambda: ms.row_count(1, severity="quarantine"),  # type: ignore[arg-type]
        "a check of a whole table has no rows to set aside",
        "'quarantine'",
    ),
    "fresh in quarantine": (
        lambda: ms.fresh("at", "1d", severity="quarantine"),  # type: ignore[arg-type]
        "a check of a whole table has no rows to set aside",
        "'quarantine'",
    ),
    "row_count without a bound": (lambda: ms.row_count(), "has no bound", "None"),
    "row_count below zero": (lambda: ms.row_count(-1), "`low` has an invalid value", "-1"),
    "row_count of True": (lambda: ms.row_count(True), "`low` has an invalid value", "True"),
    "fresh within nothing": (lambda: ms.fresh("at", "0d"), "`within` must be positive", "'0d'"),
    "a foreign key of unlike lengths": (
        lambda: ms.foreign_key(["a", "b"], "t", "a"),
        "`to_columns` does not match `columns`",
        "('a',)",
    ),
    "an expression by name": (lambda: ms.expression("x > 0"), "`condition` must be an expression", "'x > 0'"),
    "a check that is no list": (
        lambda: ms.files("a.csv", checks=ms.not_null("a")),  # type: ignore[arg-type]
        "`checks` must be a list",
        "NotNull(",
    ),
    "a check that is a text": (
        lambda: ms.files("a.csv", checks=["not_null"]),  # type: ignore[list-item]
        "`checks` has an invalid value",
        "'not_null'",
    ),
    "a path": (lambda: ms.files(5), "`path` must be a text", "5"),  # type: ignore[arg-type]
    "a suffix": (lambda: ms.files("a.dat"), "the format of the files is unknown", "'a.dat'"),
    "a format": (lambda: ms.files("a", format="xls"), "`format` has an invalid value", "'xls'"),  # type: ignore[arg-type]
    "a schema": (lambda: ms.files("a.csv", schema={"a": 5}), "`schema['a']` must be a text", "5"),  # type: ignore[dict-item]
    "key twice": (lambda: ms.files("a.csv", key=["a", "a"]), "`key` repeats 'a'", "('a', 'a')"),
    "an unknown parameter": (lambda: ms.files("a.csv", tiem="at"), "files has no parameter 'tiem'", "tiem=…"),
    "known": (lambda: ms.files("a.csv", known=5), "`known` must be an expression", "5"),
    "no table": (lambda: ms.database("sqlite:///a.db"), "requires a table or a query", "[None, None]"),
    "paging": (lambda: ms.api("http://a", paging="all"), "`paging` has an invalid value", "'all'"),  # type: ignore[arg-type]
    "headers": (lambda: ms.api("http://a", headers={"a": 1}), "`headers['a']` must be a text", "1"),  # type: ignore[dict-item]
    "fields": (lambda: ms.web("http://a", rows="tr", fields={}), "`fields` is empty", "{}"),
    "changes": (
        lambda: ms.stream("s", schema={"a": "string"}, time="at", changes=1),  # type: ignore[arg-type]
        "`changes` must be True or False",
        "1",
    ),
    "a table of a text": (lambda: ms.table("legs"), "a table requires a function", "'legs'"),
    "a table's inputs": (lambda: ms.table(inputs={"a": 5}), "`inputs['a']` must be a node", "5"),
    "windows twice": (lambda: view(windows=["1h", "1h"]), "`windows` repeats '1h'", "('1h', '1h')"),
    "a feature that is a text": (lambda: view(mean="fare"), "`features['mean']` must be an expression", "'fare'"),
    "folds": (lambda: model(folds=0), "`folds` has an invalid value", "0"),
    "folds of True": (lambda: model(folds=True), "`folds` has an invalid value", "True"),
    "a test of all": (lambda: model(test=1), "`test` has an invalid value", "1"),
    "a test of less than nothing": (lambda: model(test=-0.2), "`test` has an invalid value", "-0.2"),
    "a gap": (lambda: model(gap="soon"), "'soon' is not a duration", None),
    "a seed": (lambda: model(seed=-1), "`seed` has an invalid value", "-1"),
    "no candidates": (lambda: model(candidates=[]), "`candidates` is empty", "[]"),
    "a threshold": (lambda: ms.endpoint(model(), threshold=float("nan")), "`threshold` has an invalid", "nan"),
    "a monitor": (lambda: ms.endpoint(model(), monitors=["drift"]), "`monitors` has an invalid", "'drift'"),  # type: ignore[list-item]
    "a floor": (lambda: ms.performance("high"), "`floor` has an invalid value", "'high'"),  # type: ignore[arg-type]
    "alpha": (lambda: ms.drift(alpha=1.5), "`alpha` has an invalid value", "1.5"),
    "k": (lambda: ms.top_k(_.x, 0), "`k` has an invalid value", "0"),
    "k of True": (lambda: ms.top_k(_.x, True), "`k` has an invalid value", "True"),
    "an argument": (lambda: ms.last_k(5, 3), "`argument` must be an expression", "5"),
    "a level twice": (lambda: ms.by(_.x, ["a", "a"], _.count()), "`levels` repeats 'a'", "('a', 'a')"),
    "edges that fall": (lambda: ms.histogram(_.x, [2, 1]), "not in rising order", "[2, 1]"),
    "an edge without place": (lambda: ms.histogram(_.x, [float("nan")]), "not in rising order", "[nan]"),
    "half life": (lambda: ms.ewma(_.x, 3600), "3600 is not a duration", "of type int"),  # type: ignore[arg-type]
    "how": (lambda: ms.skew(_.x, how="both"), "`how` has an invalid value", "'both'"),  # type: ignore[arg-type]
    "no feature on demand": (lambda: ms.on_demand(), "`features` is empty", "{}"),
    "latency": (lambda: ms.endpoint(model(), latency=5), "5 is not a duration", "of type int"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_means_nothing_is_refused_at_its_line(case: str) -> None:
    declare, what, got = REFUSED[case]
    with pytest.raises(DefinitionError) as caught:
        declare()
    error = caught.value
    assert what in error.what
    assert got is None or str(error.got).startswith(got)
    assert error.expected
    assert str(error.where).startswith("test_declarations.py:")


def test_one_column_needs_no_list() -> None:
    assert ms.feature_view(RIDES, key="ride", columns="fare").columns == ("fare",)
    assert model(candidates="linear").candidates == ("linear",)


def test_parameters_are_pythons_own() -> None:
    """Of numpy's the engine refuses some, and JSON all."""
    edges = ms.histogram(_.x, np.array([0.5, 2])).parameters["edges"]
    assert edges == (0.5, 2.0) and [type(edge) for edge in edges] == [float, float]
    assert type(ms.top_k(_.x, np.int64(3)).parameters["k"]) is int  # type: ignore[arg-type]
    assert [type(level) for level in ms.by(_.x, np.array([1, 2]), _.count()).levels] == [int, int]


def test_a_budget_without_a_unit_names_both_forms() -> None:
    rows = ms.files("a.csv", key="id", known="always")
    with pytest.raises(DefinitionError) as refused:
        ms.model(rows, target="y", features="all", tune="10")
    assert 'tune=10 trials, or a time, tune="10min"' in str(refused.value)
