"""The laws of the algebra: a partial of two stretches is the merge of their partials, whatever the order."""

from __future__ import annotations

import math
import statistics
from typing import Any, ClassVar

import ibis
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ibis import _

from mainstem.errors import SchemaError, UnknownName
from mainstem.features.algebra import AGGREGATIONS, Aggregation, Partial, Sum, aggregation, register
from mainstem.features.calculus import Calculus, Events, Scalars
from mainstem.features.packing import Layout
from mainstem.features.reductions import REDUCTIONS, read_reduction
from mainstem.features.sight import Seen
from mainstem.testing.features import example_view, expected, same

SCALARS = Scalars()
VIEW = example_view(windows=["1h"], whole=_.whole.sum(), number=_.number.sum())
WHOLE, NUMBER = (feature.argument for feature in VIEW.features)

values = st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), max_size=12)
numbers = st.lists(st.one_of(st.none(), st.floats(1e9, 1e9 + 1), st.floats(-1e3, 1e3)), max_size=12)


def seen(given: list[Any], argument: str | None, first: int = 0) -> Seen:
    """Events with these values, one after the other."""
    layout, empty = Layout.of(VIEW), [None] * len(given)
    order = list(range(first, first + len(given)))
    columns = {"_u": order, "_arrived": order, "_seq": order, WHOLE: empty, NUMBER: empty} | {argument: given}
    return Seen(VIEW, layout.unpack(layout.pack(columns)), slice(0, len(given)), argument)


def result(kind: Aggregation, partial: Partial) -> Any:
    return kind.finalize(SCALARS, partial, 0)


@pytest.mark.parametrize("name", AGGREGATIONS)
@given(left=values, right=values)
def test_integers_merge_exactly(name: str, left: list[Any], right: list[Any]) -> None:
    kind = aggregation(name)
    a, b = kind.lift(seen(left, WHOLE)), kind.lift(seen(right, WHOLE, first=len(left)))
    whole = result(kind, kind.lift(seen(left + right, WHOLE)))
    there, back = result(kind, kind.merge(SCALARS, a, b)), result(kind, kind.merge(SCALARS, b, a))
    for merged in (there, back):
        assert merged == pytest.approx(whole, rel=1e-12) if isinstance(whole, float) else merged == whole


@pytest.mark.parametrize("name", AGGREGATIONS)
@given(parts=st.lists(numbers, min_size=3, max_size=3))
def test_merging_is_associative(name: str, parts: list[list[Any]]) -> None:
    kind, at = aggregation(name), 0
    lifted = []
    for part in parts:
        lifted.append(kind.lift(seen(part, NUMBER, first=at)))
        at += len(part)
    a, b, c = lifted
    left = result(kind, kind.merge(SCALARS, kind.merge(SCALARS, a, b), c))
    right = result(kind, kind.merge(SCALARS, a, kind.merge(SCALARS, b, c)))
    scale = max((abs(x) for part in parts for x in part if x is not None), default=0.0)
    assert same(left, right, scale)


@given(st.lists(st.floats(1e9, 1e9 + 1), min_size=2, max_size=30))
def test_moments_keep_their_digits_far_from_zero(given: list[float]) -> None:
    exact = statistics.stdev(given)
    assume(exact > 1e-3)
    kind, half = aggregation("std"), len(given) // 2
    a, b = kind.lift(seen(given[:half], NUMBER)), kind.lift(seen(given[half:], NUMBER, first=half))
    assert math.isclose(result(kind, kind.merge(SCALARS, a, b)), exact, rel_tol=1e-9)


@given(st.floats(-1e12, 1e12), st.integers(2, 20))
def test_equal_values_have_no_variance(value: float, count: int) -> None:
    kind = aggregation("var")
    assert result(kind, kind.lift(seen([value] * count, NUMBER))) == 0.0


@pytest.mark.parametrize(
    ("name", "empty"), [("count", 0), ("sum", None), ("mean", None), ("std", None), ("last", None)]
)
def test_an_empty_window(name: str, empty: Any) -> None:
    kind = aggregation(name)
    assert kind.empty == empty
    assert result(kind, kind.lift(seen([], NUMBER))) == empty
    assert result(kind, kind.lift(seen([None, None], NUMBER))) == empty


# ── from Ibis ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reduction", "name"),
    [
        (_.count(), "count"),
        (_.x.count(), "count"),
        (_.x.sum(), "sum"),
        (_.x.mean(), "mean"),
        (_.x.min(), "min"),
        (_.x.max(), "max"),
        (_.x.std(), "std"),
        (_.x.std(how="pop"), "std_pop"),
        (_.x.var(), "var"),
        (_.x.last(), "last"),
    ],
)
def test_reductions_are_read(reduction: Any, name: str) -> None:
    rows = ibis.table({"x": "float64", "ok": "boolean"}, name="rows")
    assert read_reduction(rows, reduction, "here").aggregation.name == name


def test_a_condition_and_an_expression_belong_to_the_argument() -> None:
    rows = ibis.table({"x": "float64", "ok": "boolean"}, name="rows")
    read = read_reduction(rows, (_.x * 2).mean(where=_.ok), "here")
    assert read.argument is not None and read.argument.equals(rows.x * 2)
    assert read.where is not None and read.where.equals(rows.ok)


@pytest.mark.parametrize("value", [_.x.median(), _.x + 1, _.x.mean() + 1, _.x.last(order_by=_.x), "x"])
def test_anything_else_is_refused_with_what_there_is(value: Any) -> None:
    rows = ibis.table({"x": "float64"}, name="rows")
    with pytest.raises(SchemaError) as caught:
        read_reduction(rows, value, "view (flights.py:3)")
    assert caught.value.where == "view (flights.py:3)" and caught.value.hint


# ── one of one's own ──────────────────────────────────────────────────────────────────────────────────


class SumOfSquares(Sum):
    name: ClassVar[str] = "sum_of_squares"

    def lift(self, events: Events) -> Partial:
        return events.count(), events.sum(events.x * events.x)


def test_an_aggregation_of_one_s_own_is_a_class_and_a_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    from mainstem.engines.duckdb import DuckdbEngine
    from mainstem.testing.features import REDUCE
    from mainstem.testing.interpreters import offline

    monkeypatch.setitem(AGGREGATIONS, "sum_of_squares", register(SumOfSquares()))
    monkeypatch.setitem(REDUCTIONS, ibis.expr.operations.Mode, lambda op: "sum_of_squares")
    monkeypatch.setitem(REDUCE, "sum_of_squares", lambda values: sum(v * v for v in values) if values else None)
    view = example_view(windows=["1h"], squares=_.whole.mode())
    event = {"who": "a", "where": 1, "number": None, "flag": None, "text": None, "turn": None, "_arrived": None}
    events = [event | {"at": at, "whole": at, "_seq": at} for at in (1, 2, 3)]
    (found,) = offline(DuckdbEngine())(view, events, [(("a",), 4)])
    assert found == {"squares_1h": 14} == expected(view, events, (("a",), 4))
    assert result(SumOfSquares(), SumOfSquares().lift(seen([1, 2, 3], WHOLE))) == 14


def test_an_unknown_aggregation_names_the_near_ones() -> None:
    with pytest.raises(UnknownName, match="'men'") as caught:
        aggregation("men")
    assert caught.value.hint == "did you mean 'mean', 'min'?" or "mean" in str(caught.value.hint)


def test_the_calculus_has_the_same_words_for_both() -> None:
    words = {name for name in vars(Calculus) if not name.startswith("_")}
    assert words == {name for name in vars(Scalars) if not name.startswith("_")}
