"""What an expression uses twice."""

from __future__ import annotations

import ibis

from mainstem.engines.sharing import is_quick, shared

T = ibis.table({"k": "int64", "x": "float64"}, name="t")


def test_what_is_joined_once_is_used_once() -> None:
    left = T.filter(T.x > 1)
    right = T.group_by("k").aggregate(n=T.count())
    joined = left.join(right, "k")
    assert shared(joined.select(joined.k, joined.n)) == []


def test_what_is_joined_with_itself_is_used_twice() -> None:
    once = T.filter(T.x > 1)
    assert shared(once.join(once.view(), "k")) == [once.op()]


def test_inputs_come_first_and_tables_are_left_out() -> None:
    below = T.mutate(y=T.x + 1)
    above = below.filter(below.y > 2)
    both = above.union(above.filter(above.y > 3)).union(below).union(T.mutate(y=T.x))
    assert shared(both) == [below.op(), above.op()]


def test_what_is_chosen_and_computed_row_by_row_is_quick() -> None:
    chosen = T.filter(T.x > 1).mutate(y=T.x + 1)
    assert is_quick(T.op()) and is_quick(chosen.op())
    assert not is_quick(T.mutate(n=ibis.row_number()).filter(T.x > 1).op())
    assert not is_quick(T.group_by("k").aggregate(n=T.count()).filter(lambda rows: rows.n > 1).op())
    assert not is_quick(T.distinct().op())


def test_rows_for_each_of_some_constants_are_quick_and_those_of_a_list_are_not() -> None:
    assert is_quick(T.mutate(n=ibis.array([1, 2]).unnest()).op())
    assert not is_quick(T.mutate(n=ibis.array([T.k, T.k]).unnest()).op())
