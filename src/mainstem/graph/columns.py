"""What each column of a relation depends on, as one mark per column and one for which rows there are.

A column depends on what its value reads, through projections, joins and aggregations. All columns depend on what
decides which rows there are: filters, the conditions of joins, groups. What a mark is, the caller decides: with hashes,
equal marks mean equal definitions; with booleans, a mark says whether a change of the leaves reaches the column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import ibis.expr.operations as ops

from mainstem.graph.fingerprint import digest, of_expression, operation_text

if TYPE_CHECKING:
    import ibis

M = TypeVar("M")

Combine = Callable[[str, Sequence[M]], M]
"""Returns the mark of an operation. Its arguments are the text of the operation and the marks of its inputs."""

_SAME = (ops.SelfReference, ops.JoinReference, ops.AliasedRelation, ops.Sort)
_SHAPED = (ops.Project, ops.DropColumns, ops.FillNull)


@dataclass(frozen=True)
class Marks(Generic[M]):
    """The mark of which rows a relation has, and of each column's values in them."""

    rows: M
    columns: Mapping[str, M]

    @property
    def whole(self) -> tuple[M, ...]:
        return (self.rows, *self.columns.values())


Leaf = Callable[[str, Sequence[str]], Marks[M]]
"""Returns the marks of a stored relation, given its name and columns."""
Other = Callable[[Any, Callable[[Any], Marks[M]]], Marks[M] | None]
"""Returns the marks of an operation that is not one of Ibis', given those of its inputs; None if it has no rule."""


def hashed(text: str, parts: Sequence[str]) -> str:
    """Combine hashes."""
    return digest(text, *parts)


def reached(text: str, parts: Sequence[bool]) -> bool:
    """Combine whether a change reaches what is read."""
    return any(parts)


def marks(
    expression: ibis.Table, leaf: Leaf[M], combine: Combine[M], other: Other[M] = lambda op, of: None
) -> Marks[M]:
    """Return the marks of a relation, given those of its leaves. `other` has rules for operations that Ibis lacks."""
    try:
        return _Walk(leaf, combine, other).relation(expression.op())
    except RecursionError:  # more than about a hundred operations above each other
        read = expression.op().find(ops.UnboundTable)
        whole = combine(of_expression(expression), [m for op in read for m in leaf(op.name, tuple(op.schema)).whole])
        return Marks(whole, dict.fromkeys(expression.columns, whole))


class _Walk(Generic[M]):
    """One pass over an expression. Each relation and each value is visited once."""

    def __init__(self, leaf: Leaf[M], combine: Combine[M], other: Other[M]) -> None:
        self.leaf = leaf
        self.combine = combine
        self.other = other
        self.relation: Callable[[Any], Marks[M]] = cache(self._relation)
        self.value: Callable[[Any], M] = cache(self._value)

    def _relation(self, op: Any) -> Marks[M]:
        match op:
            case ops.UnboundTable():
                return self.leaf(op.name, tuple(op.schema))
            case ops.JoinChain():
                return self._join(op)
            case ops.Aggregate():
                groups = [self.value(group) for group in op.groups.values()]
                rows = self.combine("aggregate", [self.relation(op.parent).rows, *groups])
                return Marks(rows, self._values({**op.groups, **op.metrics}))
            case ops.Filter():
                return self._chosen(op, [self.value(each) for each in op.predicates])
            case _ if isinstance(op, _SAME):
                return self.relation(op.parent)
            case _ if isinstance(op, _SHAPED):
                return Marks(self.relation(op.parent).rows, self._values(op.values))
        return self.other(op, self.relation) or self._unknown(op)

    def _chosen(self, op: Any, condition: Sequence[M]) -> Marks[M]:
        before = self.relation(op.parent)
        return Marks(self.combine(type(op).__name__, [before.rows, *condition]), before.columns)

    def _join(self, chain: Any) -> Marks[M]:
        sides = [self.relation(each).rows for each in (chain.first, *(link.table for link in chain.rest))]
        conditions = [self.value(each) for link in chain.rest for each in link.predicates]
        how = ",".join(str(link.how) for link in chain.rest)
        return Marks(self.combine(f"join {how}", [*sides, *conditions]), self._values(chain.values))

    def _values(self, values: Mapping[str, Any]) -> dict[str, M]:
        return {name: self.value(value) for name, value in values.items()}

    def _unknown(self, op: Any) -> Marks[M]:
        """Return the marks of an operation without a rule: every column depends on all that it reads."""
        whole = self._operation(op)
        return Marks(whole, dict.fromkeys(op.schema, whole))

    def _value(self, op: Any) -> M:
        if isinstance(op, ops.Field):
            return self.relation(op.rel).columns[op.name]
        if isinstance(op, ops.CountStar) and op.where is None:
            return self.combine("count", [self.relation(op.arg).rows])
        return self._operation(op)

    def _operation(self, op: Any) -> M:
        parts: list[M] = []

        def visit(child: Any) -> int:
            parts.extend(self._parts(child))
            return len(parts)

        return self.combine(operation_text(op, visit), parts)

    def _parts(self, child: Any) -> Iterator[M]:
        if isinstance(child, ops.Relation):
            yield from self.relation(child).whole
        else:
            yield self.value(child)
