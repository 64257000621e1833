"""Find the relations that an expression uses more than once, so that each is computed once.

Ibis expressions are graphs, but SQL is a tree: a relation with two users is written twice, or as a CTE, which DuckDB
inlines. In a chain of joins, each of which uses the previous one twice, the SQL doubles with every join.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.graph.purity import is_pure

_SLOW = (ops.WindowFunction, ops.Subquery, ops.Unnest, ops.Impure)

_ALIASES = (ops.UnboundTable, ops.InMemoryTable, ops.DatabaseTable, ops.JoinReference, ops.SelfReference)


def shared(expression: ibis.Expr) -> list[Any]:
    """Return the relations with more than one user below an expression, inputs first, without tables."""
    users: Counter[Any] = Counter()
    order: list[Any] = []
    seen: set[Any] = set()

    def visit(relation: Any) -> None:
        seen.add(relation)
        for below in map(_aliased, dict.fromkeys(_read_by(relation))):
            users[below] += 1
            if below not in seen:
                visit(below)
        order.append(relation)

    visit(expression.op())
    return [relation for relation in order if users[relation] > 1 and not isinstance(relation, _ALIASES)]


def is_quick(relation: Any) -> bool:
    """Return whether rows are cheap to compute again: rows of a table, or row-wise selections and
    expressions of them."""
    if not isinstance(relation, (ops.Project, ops.Filter)):
        return isinstance(relation, _ALIASES)
    values = (child for child in relation.__children__ if isinstance(child, ops.Value))
    slow = (op for value in values for op in value.find(_SLOW, filter=ops.Value))
    return all(is_pure(op) or _is_of_constants(op) for op in slow) and is_quick(relation.parent)


def _is_of_constants(op: Any) -> bool:
    """Return whether rows are repeated for each of some constants."""
    return isinstance(op, ops.Unnest) and not op.find(ops.Field)


def _read_by(relation: Any) -> Iterator[Any]:
    """Yield the relations that a relation reads, directly or in its values."""
    waiting = list(relation.__children__)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ops.Relation):
            yield node
        else:
            waiting.extend(node.__children__)


def _aliased(relation: Any) -> Any:
    """Return the relation that a join renames. Two names count as two users; the renaming itself does not count."""
    while isinstance(relation, (ops.JoinReference, ops.SelfReference)):
        relation = relation.parent
    return relation
