"""The instants of the input rows of a table that is written in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import sqlglot as sg
import sqlglot.expressions as sge

from mainstem.engines.queries import DIALECT, SqlQuery, read_by
from mainstem.graph.moments import AT, ROW, Finder, NotLocal, has
from mainstem.tables.additive import is_by_rows
from mainstem.tables.sql_values import is_drawn

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLAUSES = ("with", "with_", "limit", "offset", "windows", "sample", "pivots", "laterals")
_OTHER = (sge.Subquery, sge.Query, sge.Exists, sge.Anonymous, sge.Explode, sge.Unnest, sge.Pivot, sge.TableSample)


def of_sql(op: Any, column: str, leaf: str, find: Finder) -> list[ibis.Table]:
    """Return the instants of the rows of the input that has the leaf. Raises `NotLocal`.

    The query is one SELECT FROM that input; its groups and windows have the column.
    """
    if not isinstance(op, SqlQuery):
        raise NotLocal
    ours = [(name, each) for name, each in zip(op.names, op.inputs, strict=True) if has(each, leaf)]
    query = sg.parse_one(op.query, read=DIALECT)
    if len(ours) != 1 or not isinstance(query, sge.Select):
        raise NotLocal
    name, own = ours[0]
    others = {c for n, each in zip(op.names, op.inputs, strict=True) if n != name for c in each.schema}
    value = _value(query, column, name)
    field = _only_column(value, query, name, own.schema.names, others)
    _check(query, value, field, None if column in others else column, name)
    read = value.transform(lambda node: sge.column(AT, quoted=True) if isinstance(node, sge.Column) else node)
    text = f'SELECT {read.sql(dialect=DIALECT)} AS "{AT}", "{ROW}" FROM given'
    found = []
    for rows in find(own, field.name):
        schema = ibis.schema({AT: op.schema[column], ROW: rows.schema()[ROW]})
        found.append(SqlQuery([rows.op()], ("given",), text, schema).to_expr())
    return found


def _value(query: sge.Select, column: str, name: str) -> Any:
    """Return the expression of an output column."""
    for each in query.expressions:
        if each.alias_or_name == column and not isinstance(each, sge.Star):
            return each.unalias()
    if any(isinstance(each, sge.Star) for each in query.expressions) and len(read_by(query)) == 1:
        return sge.column(column, quoted=True)
    raise NotLocal


def _only_column(value: Any, query: sge.Select, name: str, own: Iterable[str], others: set[str]) -> Any:
    """Return the column of the input `name` that a value is computed from, alone."""
    columns = list(value.find_all(sge.Column))
    if not columns or len({(c.table, c.name) for c in columns}) != 1:
        raise NotLocal
    if any(isinstance(node, (*_OTHER, sge.AggFunc, sge.Window)) or is_drawn(node) for node in value.walk()):
        raise NotLocal
    table = next(each for each in read_by(query) if each.name == name)
    first = columns[0]
    mine = first.table == table.alias_or_name if first.table else first.name not in others
    if not mine or first.name not in own:
        raise NotLocal
    return first


def _check(query: sge.Select, value: Any, field: Any, column: str | None, name: str) -> None:
    """Refuse a query whose rows are made from rows of other instants."""
    tables = read_by(query)
    begin = query.args.get("from_") or query.args.get("from")
    ours = [table for table in tables if table is getattr(begin, "this", None)]
    if [table.name for table in ours] != [name] or [table.name for table in tables].count(name) != 1:
        raise NotLocal
    if any(query.args.get(clause) for clause in _CLAUSES):
        raise NotLocal
    for join in query.args.get("joins") or ():
        if not isinstance(join.this, sge.Table) or not is_by_rows(join):
            raise NotLocal
    for node in query.walk():
        if node is not query and (isinstance(node, _OTHER) or is_drawn(node)):
            raise NotLocal
        if isinstance(node, sge.Window) and not _by(node.args.get("partition_by") or [], value, field, column):
            raise NotLocal
    group = query.args.get("group")
    if group is not None and not group.args.get("all"):
        if any(group.args.get(more) for more in ("cube", "rollup", "grouping_sets")):
            raise NotLocal
        place = next((n for n, each in enumerate(query.expressions, 1) if each.alias_or_name == column), 0)
        if not _by(group.expressions, value, field, column, place):
            raise NotLocal
    elif group is None and any(isinstance(node, sge.AggFunc) and not _windowed(node) for node in query.walk()):
        raise NotLocal


def _by(keys: Iterable[Any], value: Any, field: Any, column: str | None, place: int = 0) -> bool:
    """Return whether one of the keys of a group or window is the instant."""

    def is_instant(key: Any) -> bool:
        if isinstance(key, sge.Literal):
            return bool(place) and not key.is_string and key.name == str(place)
        named = isinstance(key, sge.Column) and key.table in ("", field.table) and key.name in (column, field.name)
        return named or key == value

    return any(map(is_instant, keys))


def _windowed(aggregate: Any) -> bool:
    parent = aggregate.parent
    while isinstance(parent, (sge.Filter, sge.IgnoreNulls, sge.RespectNulls)):
        parent = parent.parent
    return isinstance(parent, sge.Window)
