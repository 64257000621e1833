"""Equal marks mean equal definitions, and a mark tells what a change reaches."""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import pytest
from ibis import _

from mainstem.graph.columns import Marks, hashed, marks, reached

T = ibis.table({"id": "int64", "a": "int64", "b": "int64"}, name="t")
S = ibis.table({"id": "int64", "c": "int64"}, name="s")


def of(*touched: str, rows: bool = False):
    def leaf(name: str, columns: Sequence[str]) -> Marks[bool]:
        return Marks(rows and name == "t", {c: f"{name}.{c}" in touched for c in columns})

    return leaf


def reach(expression: ibis.Table, *touched: str, rows: bool = False) -> set[str]:
    found = marks(expression, of(*touched, rows=rows), reached)
    return {"rows"} if found.rows else {name for name, mark in found.columns.items() if mark}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (T.mutate(x=T.a + 1, y=T.b), {"a", "x"}),
        (T.filter(T.a > 1), {"rows"}),
        (T.filter(T.b > 1).select("id", "b"), set()),
        (T.order_by("a").select("id"), set()),
        (T.order_by("a").limit(3), {"rows"}),
        (T.group_by("id").aggregate(n=T.count(), m=T.a.max()), {"m"}),
        (T.group_by("a").aggregate(n=T.count()), {"rows"}),
        (T.aggregate(n=T.count(), m=T.a.nunique()), {"m"}),
        (T.mutate(r=ibis.row_number().over(ibis.window(order_by=T.a))).drop("a"), {"r"}),
        (T.join(S, "id").select("id", "c"), set()),
        (T.join(S, "id").mutate(z=_.a + _.c).select("id", "z"), {"z"}),
        (T.join(S, T.a == S.c).select(S.c), {"rows"}),
        (T.select("id", "a").distinct(), {"rows"}),
        (T.select("id").distinct(), set()),
        (T.mutate(z=T.id.isin(T.a)).select("id", "z"), {"z"}),
        (T.rename(q="a").mutate(w=_.q * 2)[["id", "w"]], {"w"}),
    ],
)
def test_a_changed_column_reaches_what_reads_it(expression: ibis.Table, expected: set[str]) -> None:
    assert reach(expression, "t.a") == expected
    assert reach(expression, rows=True) == {"rows"} and reach(expression) == set()


def hashes(expression: ibis.Table) -> Marks[str]:
    return marks(expression, lambda name, columns: Marks(name, {c: f"{name}.{c}" for c in columns}), hashed)


def test_only_the_edited_column_has_another_hash() -> None:
    one = hashes(T.mutate(x=T.a > 15).mutate(y=_.b + 1))
    other = hashes(T.mutate(x=T.a > 20).mutate(y=_.b + 1))
    assert one.rows == other.rows and one.columns["x"] != other.columns["x"]
    assert {name for name in one.columns if one.columns[name] == other.columns[name]} == {"id", "a", "b", "y"}


def test_other_rows_have_another_hash() -> None:
    assert hashes(T.filter(T.a > 1)).rows != hashes(T.filter(T.a > 2)).rows
    assert hashes(T.join(S, "id")).rows != hashes(T.left_join(S, "id")).rows


def test_a_very_deep_expression_is_marked_as_a_whole() -> None:
    deep = T
    for number in range(100):
        deep = deep.filter(deep.b > number).mutate(a=deep.a + number)
    assert reach(deep, "t.a") == {"rows"} and reach(deep, "s.c") == set()
    assert hashes(deep).rows == hashes(deep).rows != hashes(deep.drop("a")).rows
