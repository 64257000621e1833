"""The input rows that some intervals of a table are made of.

An engine filters the rows of a table by their instant after it has read its inputs. Where each row is made only of
input rows of its own instant, and that is a column of the input or its date, the input is filtered by the column:
then only the parts of its files with these instants are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.graph.moments import AT, moments
from mainstem.nodes.spans import Span
from mainstem.tables.intervals import within
from mainstem.tables.sql_moments import of_sql


def needed(rows: ibis.Table, column: str, spans: Sequence[Span], *, nulls: bool) -> ibis.Table:
    """Return the expression over only the input rows that rows in the spans are made of, as far as that can be told."""
    exchange: dict[Any, Any] = {}
    for leaf in rows.op().find(ops.UnboundTable):
        columns = _instants(rows, leaf.name, column)
        if columns:
            table: Any = leaf.to_expr()
            wanted = [within(table, name, spans, nulls=nulls) for name in columns]
            exchange[leaf] = table.filter(ibis.or_(*wanted)).op()
    found: ibis.Table = rows.op().replace(exchange).to_expr() if exchange else rows
    return found


def _instants(rows: ibis.Table, leaf: str, column: str) -> set[str] | None:
    """Return the columns of a leaf that have the instants of a table's rows, or None."""
    local = moments(rows, leaf, column, lambda _: ibis.literal(0), of_sql)
    if not local:
        return None
    found = {_column(_over_leaf(each.op(), AT)) for each in local}
    return None if None in found else {name for name in found if name is not None}


def _over_leaf(op: Any, column: str) -> Any:
    """Return a column of nested selections as a value over the leaf, or None."""
    if not isinstance(op, ops.Project) or column not in op.values:
        return None
    value, parent = op.values[column], op.parent
    if isinstance(parent, ops.UnboundTable):
        return value
    names = (
        {field.name for field in value.find(ops.Field, filter=ops.Value)}
        if not isinstance(value, ops.Field)
        else {value.name}
    )
    below = {name: _over_leaf(parent, name) for name in names}
    if None in below.values():
        return None
    exchange = {ops.Field(parent, name): each for name, each in below.items()}
    return exchange[value] if value in exchange else value.replace(exchange)


def _column(value: Any) -> str | None:
    """Return the column that an instant is, or is the date of. A span of whole days has the same instants of both."""
    match value:
        case ops.Field():
            return str(value.name)
        case ops.Date(arg=ops.Field() as field) | ops.Cast(arg=ops.Field() as field) if value.dtype.is_date():
            is_utc = field.dtype.is_timestamp() and field.dtype.timezone in ("UTC", None)
            return str(field.name) if is_utc else None
        case _:
            return None
