"""A SQL query as an operation of an Ibis expression, and its registration with Ibis' compilers."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.datashape as ds
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.common.collections import FrozenOrderedDict
from ibis.common.typing import VarTuple
from ibis.expr.schema import Schema
from sqlglot.optimizer.scope import traverse_scope

DIALECT = "duckdb"


class SqlQuery(ops.Relation):  # type: ignore[misc]
    """The rows of a SELECT over `inputs`, which the query refers to by `names`."""

    inputs: VarTuple[ops.Relation]
    names: VarTuple[str]
    query: str
    schema: Schema
    values = FrozenOrderedDict()


class SqlValue(ops.Value):  # type: ignore[misc]
    """A boolean expression in SQL on values that it refers to by `names`."""

    columns: VarTuple[ops.Value]
    names: VarTuple[str]
    text: str
    dtype = dt.boolean
    shape = ds.columnar


def teach() -> None:
    """Let Ibis' compilers write a `SqlQuery` and a `SqlValue`. This happens at the first compilation, because their
    import takes 0.15 s.

    Ibis has no public way to add an operation. Its compilers look up a method by the operation's name.
    """
    from ibis.backends.sql.compilers.base import SQLGlotCompiler

    SQLGlotCompiler.visit_SqlQuery = _visit
    SQLGlotCompiler.visit_SqlValue = _visit_value
    # Ibis takes long to merge selects; DuckDB merges them quickly.
    ibis.options.sql.fuse_selects = False


def read_by(query: Any) -> list[sge.Table]:
    """Return the tables that a query reads, without names that a visible WITH defines."""
    found = [
        source for scope in traverse_scope(query) for source in scope.sources.values() if isinstance(source, sge.Table)
    ]
    # SQLGlot's scopes leave out what PIVOT reads.
    local = {cte.alias for cte in query.find_all(sge.CTE)}
    pivoted = (pivot.this for pivot in query.find_all(sge.Pivot) if isinstance(pivot.this, sge.Table))
    found += [table for table in pivoted if table.name not in local]
    order = {id(table): place for place, table in enumerate(query.find_all(sge.Table))}
    once = {id(table): table for table in found}  # a table in a WITH of a WITH is in two scopes
    return sorted(once.values(), key=lambda table: order.get(id(table), 0))


def _visit(self: Any, op: SqlQuery, *, inputs: Any, names: Any, query: str, schema: Any) -> Any:
    """Return the query with each input in the place of its name. Ibis' compilers call this for a `SqlQuery`."""
    return with_inputs(sg.parse_one(query, read=DIALECT), names, inputs)


def with_inputs(parsed: Any, names: Any, inputs: Any) -> Any:
    """Return a query with each input in the place of its name."""
    given = dict(zip(names, inputs, strict=True))
    for table in read_by(parsed):
        alias = sg.to_identifier(table.alias or table.name, quoted=True)
        source = given[table.name].copy()
        source.set("alias", sge.TableAlias(this=alias))
        for clause in ("joins", "pivots"):
            for each in table.args.get(clause) or ():
                source.append(clause, each)
        table.replace(source)
    # Ibis takes the WITH of the outermost query apart, and puts it together without RECURSIVE.
    return sg.select("*").from_(parsed.subquery("recursive")) if _is_recursive(parsed) else parsed


def _is_recursive(query: Any) -> bool:
    return any(each.recursive for each in query.args.values() if isinstance(each, sge.With))


def _visit_value(self: Any, op: SqlValue, *, columns: Any, names: Any, text: str) -> Any:
    """Return the expression with each value in the place of its name. Ibis' compilers call this for a `SqlValue`."""
    return with_values(sg.parse_one(text, read=DIALECT), names, columns)


def with_values(parsed: Any, names: Any, columns: Any) -> Any:
    """Return an expression with each value in the place of its name."""
    given = dict(zip(names, columns, strict=True))
    return sge.paren(parsed.transform(lambda node: given[node.name] if isinstance(node, sge.Column) else node))
