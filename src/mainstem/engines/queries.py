"""A query in SQL as one operation of an Ibis expression, and how Ibis' compilers are taught to write it."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.common.collections import FrozenOrderedDict
from ibis.common.typing import VarTuple
from ibis.expr.schema import Schema
from sqlglot.optimizer.scope import traverse_scope

DIALECT = "duckdb"


class SqlQuery(ops.Relation):  # type: ignore[misc]
    """The rows of a SELECT over `inputs`, which it calls by `names`."""

    inputs: VarTuple[ops.Relation]
    names: VarTuple[str]
    query: str
    schema: Schema
    values = FrozenOrderedDict()


def teach() -> None:
    """Let Ibis' compilers write a `SqlQuery`. They are 0.15 s to import, so it is done when something is compiled.

    Ibis has no public way to add an operation; its compilers look a method up by the operation's name.
    """
    from ibis.backends.sql.compilers.base import SQLGlotCompiler

    SQLGlotCompiler.visit_SqlQuery = _visit
    # Ibis looks long for selects to write as one; DuckDB does it in no time.
    ibis.options.sql.fuse_selects = False


def read_by(query: Any) -> list[sge.Table]:
    """The tables a query reads that are not its own: a name defined by WITH is, where that is in sight."""
    found = [
        source for scope in traverse_scope(query) for source in scope.sources.values() if isinstance(source, sge.Table)
    ]
    order = {id(table): place for place, table in enumerate(query.find_all(sge.Table))}
    return sorted(found, key=lambda table: order.get(id(table), 0))


def _visit(self: Any, op: SqlQuery, *, inputs: Any, names: Any, query: str, schema: Any) -> Any:
    """The query with each input in the place of its name: what Ibis' compilers call for a `SqlQuery`."""
    parsed = sg.parse_one(query, read=DIALECT)
    given = dict(zip(names, inputs, strict=True))
    for table in read_by(parsed):
        alias = sg.to_identifier(table.alias or table.name, quoted=True)
        source = given[table.name].copy()
        source.set("alias", sge.TableAlias(this=alias))
        for join in table.args.get("joins") or ():
            source.append("joins", join)
        table.replace(source)
    return parsed
