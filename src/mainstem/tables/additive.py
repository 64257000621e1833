"""Whether a table that is written in SQL is additive in an input: new rows of it only add rows."""

from __future__ import annotations

from typing import Any

import sqlglot as sg
import sqlglot.expressions as sge

from mainstem.engines.queries import DIALECT, SqlQuery, read_by
from mainstem.graph.lineage import leaves
from mainstem.tables.sql_values import is_drawn

_CLAUSES = (
    *("with", "with_", "group", "having", "qualify", "distinct"),
    *("limit", "offset", "windows", "sample", "pivots"),
)
"""Parts of a SELECT that compare rows."""

_OF_OTHER_ROWS = (
    *(sge.AggFunc, sge.Window, sge.Subquery, sge.Query, sge.Exists),
    *(sge.Anonymous, sge.Explode, sge.Unnest, sge.Pivot, sge.TableSample),
)
"""Values and clauses that read other rows, or that may."""

_METHODS = ("", "ASOF", "NATURAL")
_SIDES = ("", "LEFT")
_KINDS = ("", "INNER", "OUTER", "CROSS", "SEMI", "ANTI")


def only_adds(op: Any, leaf: str) -> bool:
    """Return whether the query of a `SqlQuery` is one SELECT, row by row, FROM the input that has the leaf."""
    if not isinstance(op, SqlQuery):
        return False
    ours = [name for name, relation in zip(op.names, op.inputs, strict=True) if leaf in leaves(relation.to_expr())]
    query = sg.parse_one(op.query, read=DIALECT)
    return len(ours) == 1 and isinstance(query, sge.Select) and _is_plain(query, ours[0])


def _is_plain(query: sge.Select, name: str) -> bool:
    tables = read_by(query)
    begin = query.args.get("from_") or query.args.get("from")
    return (
        begin is not None
        and begin.this is next((table for table in tables if table.name == name), None)
        and [table.name for table in tables].count(name) == 1
        and not any(query.args.get(clause) for clause in _CLAUSES)
        and not query.args.get("laterals")
        and all(_is_additive(join) for join in query.args.get("joins") or ())
        and not any(_reads_other_rows(node, query) for node in query.walk())
    )


def _is_additive(join: sge.Join) -> bool:
    return is_by_rows(join) and isinstance(join.this, sge.Table)


def is_by_rows(join: sge.Join) -> bool:
    """Return whether a join relates each left row by its values, and not by its place."""
    by_values = join.method.upper() in _METHODS
    return by_values and join.side.upper() in _SIDES and join.kind.upper() in _KINDS


def _reads_other_rows(node: Any, query: sge.Select) -> bool:
    return node is not query and (isinstance(node, _OF_OTHER_ROWS) or is_drawn(node))
