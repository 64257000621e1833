"""Tables written in SQL (DuckDB's dialect): their inputs, their schema, and their Ibis expression.

A query stays unchanged, as one Ibis operation over its inputs. `ibis.parse_sql` was rejected: it loses DISTINCT, adds
columns for HAVING, and supports neither CASE nor window functions (12.0).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import ibis
import sqlglot as sg
import sqlglot.expressions as sge

from mainstem.engines.queries import DIALECT, SqlQuery, read_by
from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.graph.traces import Traces
from mainstem.tables.memory import Memory, key_of
from mainstem.tables.reach import HINT, refuse_outside
from mainstem.tables.resolve import check_columns


def inputs(text: str) -> tuple[str, ...]:
    """Return the names that the FROM clauses read, in order, without those of WITH. Raises `SchemaError`."""
    return tuple(dict.fromkeys(table.name for table in read_by(_parse(text))))


def bind(
    text: str,
    inputs: Mapping[str, ibis.Table],
    where: str | None = None,
    memory: Memory | None = None,
    schema: Mapping[str, str] | None = None,
) -> ibis.Table:
    """Return the query as an unbound Ibis table over `inputs`. `memory` has what the engine reported before, unless
    the `schema` is given.

    Raises `UnknownName` or `SchemaError`.
    """
    parsed = _parse(text, where)
    for table in read_by(parsed):
        if table.name not in inputs:
            raise UnknownName.among("node", table.name, inputs, where=where)
    query = parsed.sql(dialect=DIALECT, comments=False)
    schemas = {name: {c: str(t) for c, t in table.schema().items()} for name, table in inputs.items()}
    if schema is None:
        key = key_of("types", query, {name: tuple(columns.items()) for name, columns in schemas.items()})
        schema = (memory or Memory()).of(key, dict[str, str], lambda: _described(text, query, inputs, where))
    node = SqlQuery([t.op() for t in inputs.values()], tuple(inputs), query, ibis.schema(dict(schema)))
    bound: ibis.Table = node.to_expr()
    return bound


def trace(text: str, inputs: Mapping[str, ibis.Table], leaf: Callable[[str], Traces], columns: Sequence[str]) -> Traces:
    """Return the trace of each of a query's `columns`. `leaf` gives the traces of an input's columns by its name."""
    from mainstem.tables import sql_lineage

    return sql_lineage.trace(_parse(text), {name: table.columns for name, table in inputs.items()}, leaf, columns)


# ── parsing ───────────────────────────────────────────────────────────────────────────────────────────


def _parse(text: str, where: str | None = None) -> sge.Query:
    try:
        return _parsed(text)
    except SchemaError as problem:
        raise problem.at(where) if where else problem from None


@lru_cache(maxsize=16_384)
def _parsed(text: str) -> sge.Query:
    """Return a query's tree. Do not change it: it is cached."""
    try:
        statements = [s for s in sg.parse(text, dialect=DIALECT) if s is not None]
    except sg.errors.SqlglotError as error:
        message = re.sub(r"\x1b\[\d+m", "", str(error)).splitlines()[0]
        raise SchemaError("the SQL cannot be parsed", got=message, expected="one SELECT") from error
    if len(statements) != 1 or not isinstance(statements[0], sge.Query):
        kinds = ", ".join(type(s).__name__.upper() for s in statements) or "nothing"
        hint = "SELECT * FROM (PIVOT …)" if kinds == "PIVOT" else f"for a file: {HINT}"
        raise SchemaError("a SQL table must be one SELECT", got=kinds, expected="SELECT …", hint=hint)
    refuse_outside(statements[0], SchemaError)
    return statements[0]


def _described(text: str, query: str, inputs: Mapping[str, ibis.Table], where: str | None) -> dict[str, str]:
    """Return the columns and types that DuckDB gives the query over empty tables. Raises `UnknownName` or
    `SchemaError`."""
    import duckdb

    from mainstem.engines.types import columns_of, identifier, to_duckdb

    with _nothing_in_reach().cursor() as connection:
        for name, table in inputs.items():
            columns = ", ".join(f"{identifier(c)} {to_duckdb(str(t))}" for c, t in table.schema().items())
            connection.execute(f"CREATE TEMP TABLE {identifier(name)} ({columns})")
        try:
            described = columns_of(connection, query)
        except duckdb.Error as error:
            message = _complaint(connection, text) or str(error)
            raise _refused(message, inputs, _place(text, message, where)) from error
    found = [(name, _kept(type)) for name, type in described]
    _check(found, where)
    return {name: str(type) for name, type in found}


@cache
def _nothing_in_reach() -> Any:
    """Return a database that reaches no file. Temporary tables of one cursor are not seen by another."""
    from mainstem.engines.sealed import connect, seal

    return seal(connect())


def _check(columns: Sequence[tuple[str, Any]], where: str | None) -> None:
    """Refuse duplicate column names and columns that no table may have. Raises `SchemaError`."""
    twice = [name for name, times in Counter(name.lower() for name, _ in columns).items() if times > 1]
    if twice:
        hint = "rename one of them with AS, or leave it out of a * with EXCLUDE (…)"
        raise SchemaError(f"two columns have the name {twice[0]!r}", where=where, hint=hint)
    check_columns(columns, where, "CAST({} AS TIMESTAMPTZ)")


def _complaint(connection: Any, text: str) -> str | None:
    """Return DuckDB's error for a query as its author wrote it, with line numbers."""
    import duckdb

    try:
        connection.execute(f"DESCRIBE {text.strip().rstrip(';')}")
    except duckdb.Error as error:
        return str(error)
    return None


def _place(text: str, message: str, where: str | None) -> str | None:
    """Return the place of a query, with the line that DuckDB reports."""
    if (found := re.search(r"^LINE (\d+):", message, re.MULTILINE)) is None:
        return where
    number = int(found[1]) + text[: len(text) - len(text.lstrip())].count("\n")
    line = f"line {number}: {text.splitlines()[number - 1].strip()}"
    return f"{where}, {line}" if where else line


def _kept(type: Any) -> Any:
    """Return a column's storable type. DuckDB's sum of integers is a HUGEINT, which Parquet lacks."""
    return ibis.dtype("int64") if type.is_decimal() and type.precision == 38 and type.scale == 0 else type


def _refused(message: str, inputs: Mapping[str, ibis.Table], where: str | None) -> DefinitionError:
    missing = re.search(r'column "(.+?)" not found|does not have a column named "(.+?)"', message)
    if missing:
        columns = {column for table in inputs.values() for column in table.columns}
        return UnknownName.among("column", missing[1] or missing[2], columns, where=where)
    return SchemaError("the SQL does not fit its inputs", where=where, got=message.split("\n")[0])
