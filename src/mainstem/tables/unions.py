"""`ms.union`: the rows of tables of unlike schemas, by the names of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.datatypes as dt

from mainstem.errors import SchemaError
from mainstem.graph.named import named
from mainstem.nodes.base import Origin, refused
from mainstem.nodes.declared import declared

WIDEST = 38
"""Digits of the widest decimal."""


def _tables(name: str, value: Any) -> None:
    for each in value:
        if not isinstance(each, ibis.Table):
            raise refused("`ms.union` takes tables", each, "Ibis tables: ms.union(january, february)")
    if len(value) < 2:
        raise refused("`ms.union` requires at least two tables", value, "ms.union(january, february)")


@declared(tables=_tables)
def union(*tables: ibis.Table) -> ibis.Table:
    """Return all rows of the tables. Columns are matched by name; a column that a table lacks is null in its rows.

    Numbers are reconciled: of integers the widest, of integers and decimals a decimal that holds both, of anything and
    a float a float64. Other columns of one name must have one type. Raises `SchemaError` with both types.
    """
    types = _types(tables, str(Origin.of_caller()))
    parts = [_aligned(table, types) for table in tables]
    return ibis.union(*parts, distinct=False)


def _types(tables: Sequence[ibis.Table], where: str) -> dict[str, dt.DataType]:
    types: dict[str, dt.DataType] = {}
    for table in tables:
        for column, type in table.schema().items():
            own = type.copy(nullable=True)
            found = wider(types[column], own) if column in types else own
            if found is None:
                raise SchemaError(
                    f"the column {column!r} has unlike types",
                    where=where,
                    got=f"{types[column]} and {own}",
                    expected="one type, or numbers",
                    hint="cast one of them before the union",
                )
            types[column] = found
    return types


def wider(one: dt.DataType, other: dt.DataType) -> dt.DataType | None:
    """Return the type that holds the values of both, or None for types of unlike kinds."""
    if one == other or other.is_null():
        return one
    if one.is_null():
        return other
    if one.is_timestamp() and other.is_timestamp() and one.timezone == other.timezone:
        return dt.Timestamp(timezone=one.timezone, scale=max(one.scale or 6, other.scale or 6))
    if not (one.is_numeric() and other.is_numeric()) or one.is_boolean() or other.is_boolean():
        return None
    if one.is_float32() and other.is_float32():
        return dt.float32
    if one.is_floating() or other.is_floating():
        return dt.float64
    if one.is_decimal() or other.is_decimal():
        return _decimal(one, other)
    return _integer(one, other)


def _integer(one: dt.DataType, other: dt.DataType) -> dt.DataType | None:
    for found in (dt.int8, dt.int16, dt.int32, dt.int64):
        if all(_holds(found, each) for each in (one, other)):
            return found
    unsigned = one.is_unsigned_integer() and other.is_unsigned_integer()
    return max(one, other, key=lambda each: each.nbytes) if unsigned else None


def _holds(signed: dt.DataType, integer: dt.DataType) -> bool:
    own: Any = signed
    return bool(own.bounds.lower <= integer.bounds.lower and integer.bounds.upper <= own.bounds.upper)


def _decimal(one: dt.DataType, other: dt.DataType) -> dt.DataType | None:
    whole, scale = map(max, zip(_digits(one), _digits(other), strict=True))
    return dt.Decimal(whole + scale, scale) if whole + scale <= WIDEST else None


def _digits(type: Any) -> tuple[int, int]:
    """Return the digits before and after the point."""
    if type.is_integer():
        return len(str(type.bounds.upper)), 0
    precision, scale = (type.precision, type.scale or 0) if type.precision is not None else (18, 3)
    return precision - scale, scale


def _aligned(table: ibis.Table, types: dict[str, dt.DataType]) -> ibis.Table:
    def column(name: str, type: dt.DataType) -> ibis.Value:
        if name not in table.columns:
            return ibis.null(type)
        return table[name] if table[name].type().copy(nullable=True) == type else table[name].cast(type)

    return table.select(*named({name: column(name, type) for name, type in types.items()}))
