"""Which rows of a relation new rows of one input add, without a look at the rows that were there before.

A relation is additive in an input if new rows of the input only add rows: selections, row by row computations, unions,
and joins whose other side stays as it is and does not decide which rows that side has. It is not additive where rows
are compared with others: aggregations, windows, DISTINCT, LIMIT, and the side of a join that may stay unmatched.
(The idea is that of incremental view maintenance: Gupta and Mumick, 1995; here only the linear operators.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from mainstem.graph.purity import is_pure

if TYPE_CHECKING:
    import ibis

OnlyAdds = Callable[[Any, str], bool]
"""Returns whether an operation that is not one of Ibis' is additive in the input of the given name."""

_ROW_BY_ROW = (ops.Project, ops.Filter, ops.DropColumns, ops.DropNull, ops.FillNull, ops.TableUnnest, ops.Sort)
_SAME_ROWS = (ops.SelfReference, ops.JoinReference, ops.AliasedRelation)
_OF_OTHER_ROWS = (
    *(ops.Reduction, ops.Analytic, ops.WindowFunction, ops.Subquery),
    *(ops.Impure, ops.TimestampNow, ops.DateNow),
)
_LEFT = frozenset({"inner", "left", "any_inner", "any_left", "semi", "anti", "asof", "cross"})
"""Joins that treat each row of their left side by itself."""
_RIGHT = frozenset({"inner", "right", "cross"})
"""Joins that treat each row of their right side by itself."""


class _Refused(Exception):
    """The relation is not additive."""


def added(expression: ibis.Table, name: str, only_adds: OnlyAdds = lambda op, name: False) -> ibis.Table | None:
    """Return the rows that new rows of the leaf `name` add: the expression to read with that leaf as only its new rows.

    Returns None if the expression is not additive in the leaf. `only_adds` decides on operations other than Ibis' own.
    """
    try:
        part = _Additive(name, only_adds)
        part.check(expression.op())
    except _Refused:
        return None
    kept = part.kept

    def exchange(op: Any, arguments: dict[str, Any] | None) -> Any:
        remade = op.__recreate__(arguments) if arguments else op
        return getattr(remade, kept[op]) if op in kept else remade

    rows: ibis.Table = expression.op().replace(exchange).to_expr()
    return rows


class _Additive:
    """One check of an expression. `kept` maps each union to the only side of it that has the leaf."""

    def __init__(self, name: str, only_adds: OnlyAdds) -> None:
        self.name = name
        self.only_adds = only_adds
        self.kept: dict[Any, str] = {}

    def check(self, op: Any) -> None:
        """Raise `_Refused` if a relation that has the leaf is not additive in it."""
        match op:
            case ops.UnboundTable():
                return
            case ops.JoinChain():
                self._check_join(op)
            case ops.Union(distinct=False):
                self._check_union(op)
            case _ if isinstance(op, _SAME_ROWS):
                self.check(op.parent)
            case _ if isinstance(op, _ROW_BY_ROW):
                self._check_values(op)
                self.check(op.parent)
            case _ if self.only_adds(op, self.name):
                for each in _relations_of(op):
                    if self._has(each):
                        self.check(each)
            case _:
                raise _Refused

    def _check_union(self, op: Any) -> None:
        sides = [side for side in ("left", "right") if self._has(getattr(op, side))]
        if len(sides) == 1:
            self.kept[op] = sides[0]
        for side in sides:
            self.check(getattr(op, side))

    def _check_join(self, chain: Any) -> None:
        self._check_values(chain)
        sides = [chain.first, *(link.table for link in chain.rest)]
        ours = [number for number, side in enumerate(sides) if self._has(side)]
        if len(ours) != 1:
            raise _Refused
        place = ours[0]
        if place and chain.rest[place - 1].how not in _RIGHT:
            raise _Refused
        if any(link.how not in _LEFT for link in chain.rest[place:]):
            raise _Refused
        self.check(sides[place])

    def _check_values(self, op: Any) -> None:
        for value in _values_of(op):
            for each in value.find(_OF_OTHER_ROWS, filter=ops.Value):
                if not is_pure(each) and (not isinstance(each, ops.Subquery) or self._has(each.rel)):
                    raise _Refused

    def _has(self, relation: Any) -> bool:
        return any(leaf.name == self.name for leaf in relation.find(ops.UnboundTable))


def _values_of(op: Any) -> Iterator[Any]:
    """Yield the values that a relation computes, without those of its inputs."""
    for argument in _flat(op.__args__):
        if isinstance(argument, ops.Value):
            yield argument
        elif isinstance(argument, ops.Node) and not isinstance(argument, ops.Relation):
            yield from _values_of(argument)


def _relations_of(op: Any) -> Iterator[Any]:
    return (argument for argument in _flat(op.__args__) if isinstance(argument, ops.Relation))


def _flat(arguments: Any) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from _flat(argument)
        elif isinstance(argument, Mapping):
            yield from _flat(tuple(argument.values()))
        else:
            yield argument
