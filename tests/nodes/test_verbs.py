"""Each verb on DuckDB against a plain Python oracle: values, nulls, NaN, and the type of the column."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.nodes.verbs import (
    VERBS,
    Case,
    Cast,
    Clip,
    ColumnVerb,
    Deduplicate,
    Impute,
    MapValues,
    Rescale,
    Trim,
    Verb,
)
from mainstem.tables.corrections import transformed

INTEGERS = st.lists(st.integers(-(10**6), 10**6) | st.none(), min_size=1, max_size=8)
FLOATS = st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=1, max_size=8)
TEXTS = st.lists(st.text("aAß İ\t\u00a0é", max_size=5) | st.none(), min_size=1, max_size=8)


def applied(verb: Verb, values: list[Any], kind: pa.DataType, where: bool = False) -> list[Any]:
    """The column `x` after the verb, in order; with `where` only rows of even number are for it."""
    numbers = list(range(len(values)))
    table = ibis.memtable(pa.table({"n": pa.array(numbers, pa.int64()), "x": pa.array(values, kind)}))
    chosen = table["n"] % 2 == 0 if where else None
    found = transformed(table, verb, chosen)
    assert not verb.keeps_type or found.schema() == table.schema()
    rows: list[Any] = found.order_by("n").to_pyarrow()["x"].to_pylist()
    return rows


def expected(values: list[Any], of: Callable[[Any], Any], where: bool) -> list[Any]:
    return [value if value is None or (where and n % 2) else of(value) for n, value in enumerate(values)]


@given(INTEGERS, st.sampled_from([1 / 60, 2.0, -0.5, 60.0]), st.sampled_from([0.0, 32.0]), st.booleans())
@settings(deadline=None, max_examples=60)
def test_rescale_rounds_integers(values: list[Any], factor: float, offset: float, where: bool) -> None:
    def of(value: int) -> int:
        return int(Decimal(value * factor + offset).quantize(Decimal(1), ROUND_HALF_UP))

    verb = Rescale("x", factor, offset)
    assert applied(verb, values, pa.int64(), where) == expected(values, of, where)


@given(FLOATS, st.booleans())
@settings(deadline=None, max_examples=40)
def test_rescale_of_floats(values: list[Any], where: bool) -> None:
    verb = Rescale("x", 1 / 1.8, -32 / 1.8)
    wanted = expected(values, lambda value: value * (1 / 1.8) + -32 / 1.8, where)
    assert applied(verb, values, pa.float64(), where) == pytest.approx(wanted, nan_ok=True)


@given(TEXTS, st.booleans())
@settings(deadline=None, max_examples=40)
def test_map_values(values: list[Any], where: bool) -> None:
    mapping = {"a": "A", " ": "", "ß": "ss"}
    verb = MapValues("x", mapping)  # type: ignore[arg-type]
    assert applied(verb, values, pa.string(), where) == expected(values, lambda text: mapping.get(text, text), where)


@given(FLOATS, st.sampled_from([(None, 5.0), (-5.0, None), (-5.0, 5.0)]), st.booleans())
@settings(deadline=None, max_examples=40)
def test_clip(values: list[Any], bounds: tuple[float | None, float | None], where: bool) -> None:
    low, high = (-math.inf if bounds[0] is None else bounds[0]), (math.inf if bounds[1] is None else bounds[1])
    verb = Clip("x", *bounds)
    assert applied(verb, values, pa.float64(), where) == expected(values, lambda x: min(max(x, low), high), where)


@given(st.lists(st.floats(-10, 10) | st.none() | st.just(math.nan), min_size=1, max_size=8))
@settings(deadline=None, max_examples=40)
def test_impute_takes_nan_for_missing(values: list[Any]) -> None:
    wanted = [-1.0 if value is None or math.isnan(value) else value for value in values]
    assert applied(Impute("x", -1.0), values, pa.float64()) == wanted


@given(TEXTS)
@settings(deadline=None, max_examples=40)
def test_impute_of_texts(values: list[Any]) -> None:
    assert applied(Impute("x", "?"), values, pa.string()) == ["?" if value is None else value for value in values]


@given(st.lists(st.text("aé \u00df", max_size=5) | st.none(), min_size=1, max_size=8), st.booleans())
@settings(deadline=None, max_examples=40)
def test_trim(values: list[Any], where: bool) -> None:
    assert applied(Trim("x"), values, pa.string(), where) == expected(values, lambda text: text.strip(" "), where)


@given(st.lists(st.text("aAéÉzZ1 ", max_size=5) | st.none(), min_size=1, max_size=8), st.booleans())
@settings(deadline=None, max_examples=40)
def test_case(values: list[Any], where: bool) -> None:
    assert applied(Case("x", "upper"), values, pa.string(), where) == expected(values, str.upper, where)
    assert applied(Case("x", "lower"), values, pa.string(), where) == expected(values, str.lower, where)


def test_cast_changes_the_type() -> None:
    assert applied(Cast("x", "int64"), ["7", None, "-1"], pa.string()) == [7, None, -1]
    others = [verb.__name__ for verb in VERBS.values() if not verb.keeps_type]
    assert not Cast.keeps_type and {"Trim", "Clip", "Rescale", "MapValues"}.isdisjoint(others)


@given(st.lists(st.tuples(st.integers(0, 2) | st.none(), st.integers(0, 10**6)), unique_by=lambda row: row[1]))
@settings(deadline=None, max_examples=40)
def test_deduplicate(rows: list[tuple[int | None, int]]) -> None:
    table = ibis.memtable(
        {"k": [k for k, _ in rows], "at": [at for _, at in rows]}, schema={"k": "int64", "at": "int64"}
    )
    for keep in ("first", "last"):
        found = transformed(table, Deduplicate(("k",), "at", keep))  # type: ignore[arg-type]
        wanted = {k: (min if keep == "first" else max)(at for other, at in rows if other == k) for k, _ in rows}
        kept = {(row["k"], row["at"]) for row in found.to_pyarrow().to_pylist()}
        assert kept == set(wanted.items()) and found.columns == table.columns


def test_deduplicate_leaves_the_rows_that_it_is_not_for() -> None:
    table = ibis.memtable(pa.table({"k": [1, 1, 1, 2], "at": [1, 2, 3, 4]}))
    found = transformed(table, Deduplicate(("k",), "at"), table["at"] >= 2)
    assert sorted(found.to_pyarrow()["at"].to_pylist()) == [1, 2, 4]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Rescale("x", 0.0), "must not be 0"),
        (lambda: Rescale("x", math.nan), "must be finite"),
        (lambda: Rescale("", 2.0), "needs a column"),
        (lambda: MapValues("x", ()), "map each text once"),
        (lambda: MapValues("x", (("a", "b"), ("a", "c"))), "map each text once"),
        (lambda: Clip("x"), "has no bound"),
        (lambda: Clip("x", 2.0, 1.0), "wrong order"),
        (lambda: Cast("x", "integr"), "unknown type 'integr'"),
        (lambda: Deduplicate((), "at"), "needs a key"),
    ],
)
def test_what_means_nothing_is_refused_when_it_is_made(make: Callable[[], Verb], what: str) -> None:
    with pytest.raises(DefinitionError, match=what):
        make()


@pytest.mark.parametrize(
    "verb",
    [Rescale("s", 2.0), MapValues("n", (("a", "b"),)), Clip("s", 1.0), Impute("n", "x"), Trim("n"), Case("n", "upper")],
)
def test_a_type_that_a_verb_does_not_take_is_refused(verb: ColumnVerb) -> None:
    table = ibis.table({"n": "int64", "s": "string"}, name="t")
    with pytest.raises(SchemaError, match=f"{verb.kind!r} cannot change {verb.column!r}") as caught:
        transformed(table, verb, place="here")
    assert caught.value.where == "here" and caught.value.expected == verb.takes


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(UnknownName, match="dela") as caught:
        transformed(ibis.table({"delay": "int64"}, name="t"), Rescale("dela", 2.0))
    assert "delay" in str(caught.value.hint)


def test_verbs_are_values_that_say_what_they_do() -> None:
    assert Rescale("x", 2.0) == Rescale("x", 2.0) and len({Trim("x"), Trim("x"), Trim("y")}) == 2
    said = [
        (Rescale("dep_delay", 1 / 60), "dep_delay × 0.0166667"),
        (Rescale("temp", 1.8, 32.0), "temp × 1.8 + 32"),
        (MapValues("carrier", (("UA ", "UA"),)), "carrier: 'UA ' → 'UA'"),
        (Clip("delay", high=300.0), "delay within … and 300"),
        (Impute("seats", 0), "seats is 0 where it is missing"),
        (Deduplicate(("id",), "at", "last"), "one row for each id: the last by at"),
    ]
    assert [verb.describe() for verb, _ in said] == [text for _, text in said]
    assert {verb.kind for verb, _ in said} < set(VERBS) and not Deduplicate.rowwise
