"""Conversions between Ibis types and DuckDB types. No other module has them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt

from mainstem.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

_WIDENED: dict[type[dt.DataType], dt.DataType] = {
    dt.Int8: dt.int32,
    dt.Int16: dt.int32,
    dt.UInt8: dt.int32,
    dt.UInt16: dt.int32,
    dt.UInt32: dt.int64,
    dt.UInt64: dt.Decimal(20, 0),
    dt.JSON: dt.string,
}
"""Types that Iceberg lacks are stored in the next wider type and read back as the declared type."""


@lru_cache(maxsize=1024)
def to_duckdb(type: str) -> str:
    """Return the SQL type of an Ibis type, such as `TIMESTAMPTZ`. Raises `EngineError`."""
    return _to_sql(ibis.dtype(type))


@lru_cache(maxsize=1024)
def stored(type: str) -> str:
    """Return the SQL type of a column of Ibis `type` in the lake's files. Raises `EngineError`."""
    declared = ibis.dtype(type)
    if isinstance(declared, dt.Array):
        return f"{stored(str(declared.value_type))}[]"
    if isinstance(declared, dt.Timestamp):
        return "TIMESTAMPTZ" if declared.timezone else "TIMESTAMP"
    return _to_sql(_WIDENED.get(declared.__class__, declared))


@lru_cache(maxsize=1024)
def from_duckdb(sql: str) -> dt.DataType:
    """Return the Ibis type for the name of a DuckDB type."""
    from ibis.backends.sql.datatypes import DuckDBType

    if sql in ("HUGEINT", "UHUGEINT"):
        return dt.Decimal(38, 0)
    return dt.int32 if sql == '"NULL"' else DuckDBType.from_string(sql)


def columns_of(connection: DuckDBPyConnection, query: str) -> list[tuple[str, dt.DataType]]:
    """Return the columns of a query with their Ibis types, without running it.

    `DESCRIBE` is not used: it reports the column's own name for `Age AS age` (DuckDB 2.0), the result has `age`.
    """
    relation = connection.sql(query)
    return [(name, from_duckdb(str(type))) for name, type in zip(relation.columns, relation.types, strict=True)]


_GLOB = re.compile(r"[\[\]*?]")


def casts(columns: Mapping[str, dt.DataType]) -> str:
    """Return a select list that casts every column to its Ibis type. Types without a DuckDB name stay as they are."""
    return ", ".join(_cast(name, dtype) for name, dtype in columns.items())


def identifier(name: str) -> str:
    """Return `name` quoted as one SQL identifier, dots and quotes included."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Return a Python value as a DuckDB literal: a scalar, or sequences and mappings of scalars."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case dict():
            return "{" + ", ".join(f"{literal(str(k))}: {literal(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(literal, value)) + "]"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def pattern(path: str) -> str:
    """Return the glob that matches a path only: a directory's name may have characters of a glob."""
    return _GLOB.sub(r"[\g<0>]", path)


def literals(values: Sequence[str]) -> str:
    return literal(list(values))


def _cast(name: str, dtype: dt.DataType) -> str:
    if isinstance(dtype, (dt.Null, dt.Interval, dt.Unknown, dt.GeoSpatial)):
        return identifier(name)
    return f"CAST({identifier(name)} AS {_to_sql(dtype)}) AS {identifier(name)}"


def _to_sql(dtype: dt.DataType) -> str:
    from ibis.backends.sql.datatypes import DuckDBType

    try:
        return str(DuckDBType.to_string(dtype))
    except Exception as error:
        raise EngineError(f"DuckDB has no type for {dtype}", hint="cast the column to another type") from error
