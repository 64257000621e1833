"""What an expression uses twice."""

from __future__ import annotations

import ibis

from mainstem.engines.sharing import shared

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
    both = above.union(above).union(below).union(T.mutate(y=T.x))
    assert shared(both) == [below.op(), above.op()]
