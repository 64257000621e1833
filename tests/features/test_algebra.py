"""The algebra's laws, what users write for it, and what is refused."""

from __future__ import annotations

import math
import statistics
from typing import Any

import ibis
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.features.algebra import AGGREGATIONS, Aggregation, aggregation, register
from mainstem.features.algebra.calculus import Calculus, Events
from mainstem.features.offline.columns import Columns
from mainstem.features.offline.events import Rows
from mainstem.features.online.events import Seen
from mainstem.features.online.few import Few
from mainstem.features.online.many import Many
from mainstem.features.online.packing import Layout
from mainstem.features.online.scalars import Scalars
from mainstem.features.online.sight import SCALARS
from mainstem.features.views.reductions import REDUCTIONS, read_reductions
from mainstem.testing.contracts.features import AlgebraLaws
from mainstem.testing.features import example_view
from mainstem.testing.reduce import REDUCE
from mainstem.testing.views import EVERY

ROWS = ibis.table({"x": "float64", "y": "int64", "text": "string", "ok": "boolean", "schema": "float64"}, name="rows")


def read(value: Any, windows: tuple[str, ...] = ("1h",)) -> list[Any]:
    return list(read_reductions(ROWS, "feature", value, windows, "view (flights.py:3)"))


# ── the laws ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [name for own in EVERY.values() for name in own])
class TestBuiltIn(AlgebraLaws):
    @pytest.fixture
    def reduction(self, name: str) -> Any:
        return next(own[name] for own in EVERY.values() if name in own)


def test_every_aggregation_is_tried() -> None:
    views = [example_view(windows=["1h"], **own) for own in EVERY.values()]
    tried = {feature.kind.name for view in views for feature in view.features}
    assert tried == set(AGGREGATIONS) == set(REDUCE)


VIEW = example_view(windows=["1h"], number=_.number.std(), text=_.text.last())


def seen(kind: type[Few | Many], values: list[Any]) -> Few | Many:
    """Events with these numbers, one after the other."""
    layout, order = Layout.of(VIEW), list(range(len(values)))
    columns: dict[str, list[Any]] = dict.fromkeys(layout.kinds, [None] * len(values))
    columns |= {"_u": order, "_arrived": order, "_seq": order, str(VIEW.features[0].argument): values}
    return kind(VIEW, layout.unpack(layout.pack(columns)), range(len(values)), VIEW.features[0])


def value(of: type[Few | Many], name: str, *parts: list[Any], **parameters: Any) -> Any:
    """The value of some stretches of numbers, merged."""
    kind = aggregation(name, **parameters)
    partial, *rest = (kind.lift(seen(of, part)) for part in parts)
    for other in rest:
        partial = kind.merge(SCALARS, partial, other)
    return kind.finalize(SCALARS, partial, VIEW.features[0].window.span(0))


@pytest.mark.parametrize("of", [Few, Many])
@given(given=st.lists(st.floats(1e9, 1e9 + 1), min_size=2, max_size=30))
def test_moments_keep_their_digits_far_from_zero(of: type[Few | Many], given: list[float]) -> None:
    exact = statistics.stdev(given)
    assume(exact > 1e-3)
    half = len(given) // 2
    assert math.isclose(value(of, "std", given[:half], given[half:]), exact, rel_tol=1e-9)


@pytest.mark.parametrize("of", [Few, Many])
@given(given=st.floats(-1e12, 1e12), count=st.integers(2, 20))
def test_equal_values_have_no_variance(of: type[Few | Many], given: float, count: int) -> None:
    assert value(of, "var", [given] * count) == 0.0
    assert value(of, "var", [given] * count, [given]) == 0.0


def test_an_old_half_life_rescales_without_overflow() -> None:
    kind = aggregation("ewma", half_life="1us")
    parts = [(1.0, 0, 3.0), (1.0, 2_000, 5.0)]  # 2⁻²⁰⁰⁰ is 0
    assert kind.finalize(SCALARS, kind.merge(SCALARS, *parts), None) == 5.0
    assert kind.merge(SCALARS, (0.0, 0, 0.0), parts[0]) == parts[0]


def test_the_words_are_the_same_for_all() -> None:
    def words(*classes: type) -> set[str]:
        return {name for each in classes for name in vars(each) if not name.startswith("_")}

    assert words(Calculus) == words(Scalars) == words(Columns)
    assert words(Calculus, Events) == words(Columns, Rows) - {"doubts"}
    for kind in (Few, Many):
        assert words(Calculus, Events) == words(Scalars, Seen, kind) - {"visible", "times"} | {"x"}


# ── what users write ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reduction", "meant"),
    [
        (_.count(), aggregation("count")),
        (_.x.count(), aggregation("count")),
        (_.x.sum(), aggregation("sum")),
        (_.x.mean(), aggregation("mean")),
        (_.x.min(), aggregation("min")),
        (_.x.max(), aggregation("max")),
        (_.ok.any(), aggregation("max")),
        (_.ok.all(), aggregation("min")),
        (_.x.std(), aggregation("std")),
        (_.x.std(how="pop"), aggregation("std", how="pop")),
        (_.x.var(), aggregation("var")),
        (_.x.kurtosis(), aggregation("kurtosis")),
        (_.x.first(), aggregation("first")),
        (_.x.last(), aggregation("last")),
        (_.x.argmin(_.y), aggregation("arg_min")),
        (_.x.argmax(_.y), aggregation("arg_max")),
        (_.x.nunique(), aggregation("n_unique")),
        (_.x.approx_nunique(), aggregation("n_unique")),
        (_.x.median(), aggregation("quantile", q=0.5)),
        (_.x.approx_median(), aggregation("quantile", q=0.5)),
        (_.x.quantile(0.9), aggregation("quantile", q=0.9)),
        (_.x.approx_quantile(0.9), aggregation("quantile", q=0.9)),
        (_.x.mode(), aggregation("mode")),
        (ms.first_k(_.x, 3), aggregation("first_k", k=3)),
        (ms.last_k(_.x, 3), aggregation("last_k", k=3)),
        (ms.top_k(_.x, 3), aggregation("top_k", k=3)),
        (ms.bottom_k(_.x, 3), aggregation("bottom_k", k=3)),
        (ms.histogram(_.x, [0, 1]), aggregation("histogram", edges=(0, 1))),
        (ms.share(_.ok), aggregation("share")),
        (ms.skew(_.x), aggregation("skew")),
        (ms.ewma(_.x, "1h"), aggregation("ewma", half_life="1h")),
        (ms.slope(_.x), aggregation("slope", per="1h")),
        (ms.time_since_last(), aggregation("time_since_last")),
        (ms.rate(per="1d"), aggregation("rate", per="1d")),
        (ms.aggregate("mean", _.x), aggregation("mean")),
    ],
)
def test_reductions_are_read(reduction: Any, meant: Any) -> None:
    (found,) = read(reduction)
    assert (found.name, found.aggregation, found.windows) == ("feature", meant, ("1h",))


def test_a_condition_and_an_expression_belong_to_the_argument() -> None:
    for reduction in ((_.x * 2).mean(where=_.ok), ms.first_k(_.x * 2, 1, where=_.ok)):
        (found,) = read(reduction)
        assert found.argument.equals(ROWS.x * 2) and found.where.equals(ROWS.ok)


def test_a_second_argument() -> None:
    for reduction in (_.x.argmax(_.y + 1), ms.aggregate("arg_max", _.x, by=_.y + 1)):
        (found,) = read(reduction)
        assert found.argument.equals(ROWS.x) and found.by.equals(ROWS.y + 1)


def test_levels_and_windows_of_its_own() -> None:
    found = read(ms.by(_.text, ["a b", "c"], ms.windowed(_.x.mean(where=_.ok), "2h", "3h")))
    assert [r.name for r in found] == ["feature_a_b", "feature_c"]
    assert all(r.windows == ("2h", "3h") for r in found)
    assert found[0].where.equals(ROWS.ok & (ROWS.text == "a b"))
    view = example_view(windows=["1h"], n=_.count(), m=ms.windowed(ms.by(_.whole, [1, 2], _.count()), "2h", "1h"))
    assert list(view.schema) == ["n_1h", "m_1_1h", "m_2_1h", "m_1_2h", "m_2_2h"]
    assert list(example_view(n=ms.windowed(_.count(), "1h")).schema) == ["n_1h"]


@pytest.mark.parametrize(
    "value",
    [
        _.x + 1,
        _.x.mean() + 1,
        _.x.last(order_by=_.x),
        _.x.last(include_null=True),
        _.x.collect(),
        _.nunique(),
        _.x.quantile([0.1, 0.9]),
        _.schema.mean(),
        ms.first_k(_.schema, 3),
        ms.last_k(_.z, 3),
        ms.first_k(_.x, 3, where=_.y),
        ms.aggregate("men", _.x),
        ms.aggregate("quantile", _.x, q=2),
        ms.aggregate("quantile", _.x, p=0.5),
        _.x.quantile(_.y),
        "x",
    ],
)
def test_anything_else_is_refused_where_it_stands(value: Any) -> None:
    with pytest.raises((DefinitionError, SchemaError, UnknownName)) as caught:
        read(value)
    assert str(caught.value.where).startswith("view (flights.py:3)")


def test_a_refusal_names_what_there_is() -> None:
    with pytest.raises(SchemaError) as caught:
        read(_.x.collect())
    assert caught.value.got == "ArrayCollect" and caught.value.hint
    words = str(caught.value.expected)
    assert all(word in words for word in ("argmax", "nunique", "quantile", "mode", "last_k", "ewma", "time_since_last"))
    with pytest.raises(SchemaError) as caught:
        read(ms.first_k(_.schema, 3))
    assert caught.value.hint == '_["schema"] reads the column'
    assert read(ms.first_k(_["schema"], 3))


@pytest.mark.parametrize(
    ("features", "what"),
    [
        ({"f": _.text.mean()}, "f"),
        ({"f": ms.aggregate("sum")}, "sum requires an argument"),
        ({"f": ms.aggregate("arg_max", _.whole)}, "arg_max needs by="),
        ({"f": ms.aggregate("sum", _.whole, by=_.number)}, "sum takes no by="),
        ({"f": ms.share(_.whole)}, "share does not support int64"),
        ({"f": ms.last_k(_.at, 3)}, "last_k does not support timestamp"),
        ({"f_x": _.count(), "f": ms.by(_.text, ["x"], _.count())}, "two features have the name 'f_x_1h'"),
    ],
)
def test_what_does_not_fit_a_view(features: dict[str, Any], what: str) -> None:
    with pytest.raises(DefinitionError, match=what) as caught:
        example_view(windows=["1h"], **features)
    assert "view (" in str(caught.value.where)


@pytest.mark.parametrize(
    ("level", "got"), [(1, "1, of type int"), (True, "True, of type bool"), (None, "None")], ids=["int", "bool", "null"]
)
def test_a_level_is_a_value_of_its_column(level: Any, got: str) -> None:
    with pytest.raises(SchemaError) as caught:
        example_view(windows=["1h"], f=ms.by(_.text, ["x", level], _.count()))
    assert caught.value.got == got and "feature 'f'" in str(caught.value.where)


def test_a_built_in_aggregation_keeps_its_name() -> None:
    mean = AGGREGATIONS["mean"]

    class Mine(Aggregation):
        name = "mean"

    class Nameless(Aggregation):
        pass

    for own, what in ((Mine, "'mean' is taken by a built-in"), (Nameless, "requires a name")):
        with pytest.raises(DefinitionError, match=what) as caught:
            register(own)
        assert own.__name__ in str(caught.value.where)
    assert AGGREGATIONS["mean"] is mean


def test_a_project_that_is_loaded_again_registers_its_own_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> type[Aggregation]:
        class Mine(Aggregation):
            name = "mine_again"

        return register(Mine)

    monkeypatch.delitem(AGGREGATIONS, "mine_again", raising=False)
    first, second = load(), load()
    assert first is not second and AGGREGATIONS.pop("mine_again") is second


def test_windows_are_needed_somewhere() -> None:
    for settings in ({"windows": ["1h"]}, {"n": _.count()}, {"n": ms.by(_.text, ["x"], _.count())}):
        with pytest.raises(DefinitionError):
            example_view(**settings)
    with pytest.raises(DefinitionError, match=r"ms\.windowed requires a window"):
        ms.windowed(_.count())


def test_an_unknown_aggregation_names_the_near_ones() -> None:
    with pytest.raises(UnknownName, match="'men'") as caught:
        aggregation("men")
    assert "mean" in str(caught.value.hint)


def test_an_operation_of_ibis_is_mapped_by_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REDUCTIONS, ibis.expr.operations.BitAnd, lambda op: aggregation("min"))
    (found,) = read(_.y.bit_and())
    assert found.aggregation == aggregation("min")
