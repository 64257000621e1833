"""A view's normal form: what each event is, when it is usable, and what changes the fingerprint."""

from __future__ import annotations

from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import DefinitionError, SchemaError
from mainstem.features.algebra import AGGREGATIONS
from mainstem.features.algebra.sums import Sum
from mainstem.features.instants import ALWAYS
from mainstem.features.online.arrivals import arrivals
from mainstem.features.online.packing import encode_key
from mainstem.features.views.compile import compile_view
from mainstem.features.views.view import CompiledView
from mainstem.graph.known import ALWAYS as ALWAYS_KNOWN
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition
from mainstem.nodes.features import feature_view
from mainstem.nodes.files import files
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.sources import stream
from mainstem.testing.features import example_view
from mainstem.testing.interpreters import _arrow

SCHEMA = {"k": "string", "x": "float64", "y": "float64", "a": INSTANT, "b": INSTANT}


def source_of(known: dict[str, Known]) -> Definition:
    node = stream("source", schema=SCHEMA, time="a")
    read = ibis.table({**SCHEMA, "_seq": "int64", "_arrived": INSTANT}, name="source")
    return Definition("source", node, (), "-", schema=SCHEMA, read=read, known=known)


KNOWN = dict.fromkeys(SCHEMA, Known.at("a")) | {"x": Known.at("b", -5), "y": ALWAYS_KNOWN}


def compiled(known: dict[str, Known] = KNOWN, **settings: Any) -> CompiledView:
    source = source_of(known)
    return compile_view(feature_view(source.node, **{"key": "k", **settings}), "view", source)


def test_an_event_is_usable_when_the_last_of_its_columns_is_known() -> None:
    """And never while the instant of one is null, in the lake and as it comes in alike."""
    view = compiled(columns=["x"])
    assert str(view.known) == "the latest of a, b − 5 µs"
    rows = [
        {"k": "p", "x": 1.0, "y": None, "a": 10, "b": 12, "_seq": 0, "_arrived": None},
        {"k": "p", "x": 2.0, "y": None, "a": 10, "b": 20, "_seq": 1, "_arrived": 30},
        {"k": "p", "x": 3.0, "y": None, "a": None, "b": 20, "_seq": 2, "_arrived": 30},
        {"k": "p", "x": 4.0, "y": None, "a": 10, "b": None, "_seq": 3, "_arrived": 30},
        {"k": None, "x": 5.0, "y": None, "a": 10, "b": 20, "_seq": 4, "_arrived": 30},
    ]
    table = _arrow(rows, {**SCHEMA, "_seq": "int64", "_arrived": INSTANT})
    with DuckdbEngine().session({"source": table}) as session:
        stored = session.fetch(view.events.order_by("_seq")).to_pydict()
    live = arrivals(view, {name: [row[name] for row in rows] for name in rows[0]})
    assert stored["_u"] == [10, 15] and stored["_arrived"] == [10, 30]
    ((key, columns),) = live.by_key()
    assert key == encode_key(("p",))
    assert {name: column.tolist() for name, column in columns.items()} == {c: stored[c] for c in columns}
    assert (live.total, live.newest) == (2, {key: 15})


def test_only_the_columns_a_view_reads_hold_it_back() -> None:
    assert str(compiled(columns=["y"]).known) == "a"
    known = KNOWN | {"k": ALWAYS_KNOWN}
    view = compiled(known, columns=["y"])
    assert str(view.known) == "always"
    rows = {"k": ["p"], "x": [1.0], "y": [2.0], "a": [None], "b": [None], "_seq": [0], "_arrived": [0]}
    assert arrivals(view, rows).columns["_u"].tolist() == [ALWAYS]


def test_what_a_view_assumes_known_counts_as_known() -> None:
    source = source_of(KNOWN)
    node = feature_view(source.node, key="k", columns=["x", "y"], assume_known={"x": "why"})
    assert str(compile_view(node, "view", source).known) == "a"


def test_a_window_needs_a_time() -> None:
    with pytest.raises(DefinitionError, match="a window requires a time"):
        compiled(dict.fromkeys(SCHEMA, ALWAYS_KNOWN), windows="1h", n=_.count())


def test_a_type_that_features_do_not_know() -> None:
    schema = {"k": "string", "day": "date", "naive": "timestamp"}
    node = files("x.csv", known="always")
    source = Definition(
        "x", node, (), "-", None, schema, None, ibis.table(schema, name="x"), dict.fromkeys(schema, ALWAYS_KNOWN)
    )
    for column, hint in (("day", """cast("timestamp('UTC', 6)")"""), ("naive", "a naive timestamp has no time zone")):
        with pytest.raises(SchemaError, match="unsupported type of a feature column") as caught:
            compile_view(feature_view(node, key="k", columns=[column]), "view", source)
        assert hint in str(caught.value.hint)


def test_equal_arguments_are_one_column() -> None:
    view = example_view(windows=["1h", "2h"], a=_.number.mean(), b=_.number.std(), c=(_.number * 2).max())
    assert list(view.arguments) == ["_a0", "_a1"]
    assert [f.name for f in view.features] == ["a_1h", "b_1h", "c_1h", "a_2h", "b_2h", "c_2h"]


def test_the_fingerprint_is_of_what_is_meant() -> None:
    base = {"windows": ["1h"], "x": _.number.mean()}
    same = example_view(**base, description="written otherwise", owner="somebody")
    assert same.fingerprint == example_view(**base).fingerprint
    changes: list[dict[str, Any]] = [
        {"windows": ["2h"]},
        {"x": _.number.sum()},
        {"x": (_.number + 1).mean()},
        {"x": _.number.mean(where=_.flag)},
        {"x": ms.last_k(_.number, 2)},
        {"x": ms.last_k(_.number, 3)},
        {"x": _.number.argmax(_.whole)},
        {"x": _.number.argmax(_.turn)},
        {"resolution": "5min"},
        {"closed": "both"},
        {"grace": "2d"},
        {"order_by": "turn"},
        {"key": "where"},
    ]
    prints = {example_view(**(base | change)).fingerprint for change in changes}
    assert len(prints | {same.fingerprint}) == len(changes) + 1


def test_the_fingerprint_tells_what_an_aggregation_of_ones_own_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint(finalize: Any) -> str:
        monkeypatch.setitem(AGGREGATIONS, "own", type("Own", (Sum,), {"name": "own", "finalize": finalize}))
        return example_view(windows=["1h"], x=ms.aggregate("own", _.number)).fingerprint

    def once(self: Any, c: Any, partial: Any, span: Any) -> Any:
        return partial[1]

    def again(self: Any, c: Any, partial: Any, span: Any) -> Any:
        "The same, with something said of it."
        return partial[1]

    assert fingerprint(once) == fingerprint(again) != fingerprint(lambda self, c, partial, span: partial[0])
