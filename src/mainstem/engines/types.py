"""The one place where Ibis types and DuckDB types meet."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt

from mainstem.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDENED: dict[type[dt.DataType], dt.DataType] = {
    dt.Int8: dt.int32,
    dt.Int16: dt.int32,
    dt.UInt8: dt.int32,
    dt.UInt16: dt.int32,
    dt.UInt32: dt.int64,
    dt.UInt64: dt.Decimal(20, 0),
    dt.JSON: dt.string,
}
"""What Iceberg has no type for is stored in the next wider type, and read back as what was declared."""


@lru_cache(maxsize=1024)
def to_duckdb(type: str) -> str:
    """The SQL type of an Ibis type, such as `TIMESTAMPTZ`. Raises `EngineError`."""
    return _to_sql(ibis.dtype(type))


@lru_cache(maxsize=1024)
def stored(type: str) -> str:
    """The SQL type that a column of Ibis `type` has in the lake's files. Raises `EngineError`."""
    declared = ibis.dtype(type)
    if isinstance(declared, dt.Array):
        return f"{stored(str(declared.value_type))}[]"
    if isinstance(declared, dt.Timestamp):
        return "TIMESTAMPTZ" if declared.timezone else "TIMESTAMP"
    return _to_sql(_WIDENED.get(declared.__class__, declared))


@lru_cache(maxsize=1024)
def from_duckdb(sql: str) -> dt.DataType:
    """The Ibis type of what DuckDB's `DESCRIBE` calls a column's type."""
    from ibis.backends.sql.datatypes import DuckDBType

    if sql in ("HUGEINT", "UHUGEINT"):
        return dt.Decimal(38, 0)
    return dt.int32 if sql == '"NULL"' else DuckDBType.from_string(sql)


def casts(columns: Mapping[str, dt.DataType]) -> str:
    """A select list that gives every column its Ibis type; types DuckDB cannot name stay as they are."""
    return ", ".join(_cast(name, dtype) for name, dtype in columns.items())


def identifier(name: str) -> str:
    """`name` quoted as one SQL identifier, dots and quotes included."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A Python value as a DuckDB literal: a scalar, or sequences and mappings of them."""
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
