"""Conditions in SQL over the columns of one table, as of the check `expression("amount >= refund")` of a SQL file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import ibis
import sqlglot as sg
import sqlglot.expressions as sge
from sqlglot.errors import SqlglotError

from mainstem.engines.queries import DIALECT, SqlValue
from mainstem.errors import SchemaError, UnknownName
from mainstem.tables.reach import refuse_outside

_OF_MANY_ROWS = (sge.AggFunc, sge.Window, sge.Query, sge.Unnest, sge.Explode)


@dataclass(frozen=True)
class SqlCondition:
    """A function from a table to a boolean column, written in SQL (DuckDB's dialect)."""

    text: str

    @cached_property
    def names(self) -> frozenset[str]:
        """The columns that the condition reads."""
        return frozenset(column.name for column in _parsed(self.text).find_all(sge.Column))

    def __call__(self, table: ibis.Table) -> ibis.Value:
        """Return the condition as a value of the table. Raises `UnknownName` and `SchemaError`."""
        parsed = _parsed(self.text)
        by_name = {column.lower(): column for column in table.columns}
        used: dict[str, str] = {}
        for column in parsed.find_all(sge.Column):
            if column.name.lower() not in by_name:
                raise UnknownName.among("column", column.name, table.columns)
            used[column.name] = by_name[column.name.lower()]
        kinds = tuple((said, str(table[name].type())) for said, name in used.items())
        if (kind := _type_of(self.text, kinds)) != "BOOLEAN":
            raise SchemaError(f"{self.text!r} is not a condition", got=kind, expected="BOOLEAN")
        value = SqlValue([table[name] for name in used.values()], tuple(used), parsed.sql(DIALECT, comments=False))
        return value.to_expr()


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """Return the tree of a condition on one row. Do not change it: it is cached."""
    try:
        query: Any = sg.parse_one(f"SELECT ({text}\n)", dialect=DIALECT)
    except SqlglotError as problem:
        raise _unparsed(str(problem).splitlines()[0]) from None
    if len(query.selects) != 1 or not isinstance(query.selects[0], sge.Paren):
        raise _unparsed(text)
    tree = query.selects[0].this
    refuse_outside(tree, SchemaError)
    if refused := tree.find(*_OF_MANY_ROWS):
        got, expected = refused.sql(DIALECT), "a condition on the columns of one row"
        raise SchemaError("a condition reads one row", got=got, expected=expected)
    return tree


def _unparsed(got: str) -> SchemaError:
    return SchemaError("the condition cannot be parsed", got=got, expected="one condition in SQL")


@lru_cache(maxsize=256)
def _type_of(text: str, columns: tuple[tuple[str, str], ...]) -> str:
    """Return the SQL type of an expression. Raises `SchemaError` if the engine refuses it."""
    import duckdb

    from mainstem.engines.sealed import connect, seal
    from mainstem.engines.types import identifier, to_duckdb

    listed = ", ".join(f"NULL::{to_duckdb(type)} AS {identifier(name)}" for name, type in columns) or "1 AS one"
    with connect() as connection:
        seal(connection)
        try:
            return str(connection.sql(f"SELECT ({text}\n) FROM (SELECT {listed})").types[0])
        except duckdb.Error as problem:
            got = str(problem).split("\n")[0]
            raise SchemaError("the condition does not fit the table", got=got) from None
