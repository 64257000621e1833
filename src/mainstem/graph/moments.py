"""From the rows of an input to the instants of the rows that are made from them.

A relation is local in an input if each of its rows is made only from input rows of its own instant: selections, joins
from the side that has the instant, aggregations and windows by it. Then changed rows of the input change only rows of
the same instants. (The pushdown of a selection below an operation, read from the other end.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from mainstem.graph.purity import is_pure

if TYPE_CHECKING:
    import ibis

AT, ROW = "_at", "_row"
"""The columns of the result: the instant, and a hash of the input's row."""

Finder = Callable[[Any, str], Any]
"""Returns the relation of the instants of a relation's column. Raises `NotLocal`."""

OfOther = Callable[[Any, str, str, Finder], "list[ibis.Table]"]
"""Does for an operation that is not one of Ibis' what `moments` does, given it, the column and the input's name."""

_SAME_ROWS = (ops.SelfReference, ops.JoinReference, ops.AliasedRelation)
_DRAWN = (ops.Impure, ops.TimestampNow, ops.DateNow)
_LEFT = frozenset({"inner", "left", "any_inner", "any_left", "semi", "anti", "asof", "cross"})
_RIGHT = frozenset({"inner", "right", "cross"})


class NotLocal(Exception):
    """Rows are made from input rows of other instants too, or it cannot be told."""


def _unknown(op: Any, column: str, leaf: str, find: Finder) -> list[ibis.Table]:
    raise NotLocal


def moments(
    expression: ibis.Table, leaf: str, column: str, row: Callable[[ibis.Table], Any], of_other: OfOther = _unknown
) -> list[ibis.Table] | None:
    """Return relations over the leaf with the instant `AT` that each of its rows has in `column`, and `ROW`.

    `row` makes the value of `ROW`. There are several relations if the leaf occurs several times. Returns None if the
    expression is not local in the leaf.
    """
    try:
        return _Finder(leaf, row, of_other).find(expression.op(), column)
    except NotLocal:
        return None


def has(relation: Any, leaf: str) -> bool:
    """Return whether a relation reads the leaf."""
    return any(each.name == leaf for each in relation.find(ops.UnboundTable))


def selected(before: list[ibis.Table], column: Any, value: Any) -> list[ibis.Table]:
    """Return the relations with a value that is computed from the instant, which stands for the field `column`."""
    return [
        rows.select(**{AT: value.replace({column: rows[AT].op()}).to_expr(), ROW: rows[ROW]}) if column else rows
        for rows in before
    ]


class _Finder:
    def __init__(self, leaf: str, row: Callable[[ibis.Table], Any], of_other: OfOther) -> None:
        self.leaf, self.row, self.of_other = leaf, row, of_other

    def find(self, op: Any, column: str) -> list[ibis.Table]:
        match op:
            case ops.UnboundTable():
                rows = op.to_expr()
                return [rows.select(**{AT: rows[column], ROW: self.row(rows)})]
            case ops.JoinChain():
                return self._of_join(op, column)
            case ops.Union():
                sides = [side for side in (op.left, op.right) if has(side, self.leaf)]
                return [rows for side in sides for rows in self.find(side, column)]
            case ops.Aggregate():
                return self._computed(op, op.groups.get(column), [*op.groups.values(), *op.metrics.values()], any_=True)
            case ops.Project():
                return self._computed(op, op.values[column], list(op.values.values()))
            case ops.Filter():
                return self._computed(op, ops.Field(op.parent, column), list(op.predicates))
            case ops.FillNull() if not isinstance(op.replacements, ops.Value) and column not in dict(op.replacements):
                return self.find(op.parent, column)
            case ops.DropColumns() | ops.DropNull() | ops.Distinct() | ops.Sort():
                return self.find(op.parent, column)
            case _ if isinstance(op, _SAME_ROWS):
                return self.find(op.parent, column)
            case _:
                return self.of_other(op, column, self.leaf, self.find)

    def _computed(self, op: Any, value: Any, values: list[Any], *, any_: bool = False) -> list[ibis.Table]:
        """Return the instants of values over the parent of `op`, where `value` is the instant."""
        if value is None:
            raise NotLocal
        field = _only_field(value)
        for each in values:
            self._check(each, by=(value, field), reduces=any_)
        return selected(self.find(op.parent, field.name), field, value)

    def _of_join(self, chain: Any, column: str) -> list[ibis.Table]:
        value = chain.values[column]
        sides = [chain.first, *(link.table for link in chain.rest)]
        ours = [number for number, side in enumerate(sides) if has(side, self.leaf)]
        field = _only_field(value)
        if len(ours) != 1 or field.rel != sides[ours[0]]:
            raise NotLocal
        place = ours[0]
        if place and chain.rest[place - 1].how not in _RIGHT:
            raise NotLocal
        if any(link.how not in _LEFT for link in chain.rest[place:]):
            raise NotLocal
        for each in (*chain.values.values(), *(p for link in chain.rest for p in link.predicates)):
            self._check(each)
        return selected(self.find(sides[place], field.name), field, value)

    def _check(self, value: Any, by: tuple[Any, ...] = (), *, reduces: bool = False) -> None:
        """Raise `NotLocal` for a value that reads rows of other instants."""
        for each in value.find((ops.Subquery, ops.WindowFunction, ops.Reduction, *_DRAWN), filter=ops.Value):
            match each:
                case _ if is_pure(each):
                    continue
                case ops.Subquery() if not has(each.rel, self.leaf):
                    continue
                case ops.WindowFunction() if any(group in by for group in each.group_by):
                    continue
                case ops.Reduction() if reduces or _in_window(value, each):
                    continue
            raise NotLocal


def _in_window(value: Any, reduction: Any) -> bool:
    return any(window.func == reduction for window in value.find(ops.WindowFunction, filter=ops.Value))


def _only_field(value: Any) -> Any:
    """Return the field that a value is computed from. Raises `NotLocal` if it is not one, or not that alone."""
    others = value.find((ops.Subquery, ops.WindowFunction, ops.Reduction, *_DRAWN), filter=ops.Value)
    if not all(map(is_pure, others)):
        raise NotLocal
    fields = set(_fields(value))
    if len(fields) != 1:
        raise NotLocal
    return fields.pop()


def _fields(value: Any) -> Iterator[Any]:
    if isinstance(value, ops.Field):
        yield value
        return
    yield from value.find(ops.Field, filter=ops.Value)
