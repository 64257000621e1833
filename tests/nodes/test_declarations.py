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


REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
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
    "task": (lambda: model(task="ranking"), "`task` has an invalid value", "'ranking'"),
    "retrain": (lambda: model(retrain="daily"), "`retrain` has an invalid value", "'daily'"),
    "no reason": (lambda: model(assume_known={"ride": " "}), "has no reason for 'ride'", "' '"),
    "no reasons": (lambda: model(assume_known=["ride"]), "must map columns to reasons", "['ride']"),
    "no reason in a table": (lambda: ms.table(assume_known={"x": ""}), "has no reason for 'x'", "''"),
    "promote": (lambda: ms.endpoint(model(), promote="ever"), "`promote` has an invalid value", "'ever'"),  # type: ignore[arg-type]
    "an endpoint of a source": (lambda: ms.endpoint(RIDES), "requires a model", "stream: "),  # type: ignore[arg-type]
    "latency": (lambda: ms.endpoint(model(), latency=5), "5 is not a duration", "of type int"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_means_nothing_is_refused_at_its_line(case: str) -> None:
    declare, what, got = REFUSED[case]
    with pytest.raises(DefinitionError) as caught:
        declare()
    error = caught.value
    assert what in error.what
    assert str(error.got).startswith(got)
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
