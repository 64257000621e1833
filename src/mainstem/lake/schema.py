"""Ibis types as Iceberg types, and the name of the physical table of a schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt

from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.storable import unstorable
from mainstem.ports import Field, Partition, Target

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType

_HASH = 8


def fields_of(schema: Mapping[str, str]) -> tuple[Field, ...]:
    """Return the columns of a stored table: ids from 1 on, instants in microseconds. Raises `SchemaError`."""
    return tuple(Field(id, name, _normal(name, type)) for id, (name, type) in enumerate(schema.items(), start=1))


def physical_name(table: str, fields: tuple[Field, ...], partition: Sequence[Partition] = ()) -> str:
    """Return the physical table's name: `legs` → `legs__3f9a2c1b`. Another schema or partition gives another table."""
    columns = canonical([(field.name, field.type) for field in fields])
    parts = [f"{part.unit} of {part.column}" for part in partition]
    return f"{readable_name(table)}__{digest(table, columns, *parts)[:_HASH]}"


def readable_name(table: str) -> str:
    """Return how the names of all physical tables of a table begin, before `__` and the hash."""
    return re.sub(r"\W", "_", table.replace(".", "__"))


def iceberg_schema(fields: tuple[Field, ...]) -> Schema:
    """Return the Iceberg schema. Every column is optional: checks test for nulls."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    items = Target("", fields).items
    return Schema(*(NestedField(f.id, f.name, _column(f, items.get(f.name)), required=False) for f in fields))


def iceberg_partition(fields: Sequence[Field], partition: Sequence[Partition]) -> PartitionSpec:
    """Return the Iceberg partition spec. Iceberg numbers its fields from 1000 on."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import parse_transform

    ids = {field.name: field.id for field in fields}
    made = []
    for number, (column, unit) in enumerate(partition, start=1_000):
        transform, name = ("identity", column) if unit == "value" else (unit, f"{column}_{unit}")
        made.append(PartitionField(ids[column], number, parse_transform(transform), name))
    return PartitionSpec(*made)


def _column(field: Field, items: int | None) -> IcebergType:
    from pyiceberg.types import ListType

    dtype = ibis.dtype(field.type)
    if items is None:
        return _iceberg(field.name, dtype)
    return ListType(items, _iceberg(field.name, dtype.value_type), element_required=False)


def _normal(column: str, type: str) -> str:
    """Return the type as it is stored: instants are in UTC and microseconds."""
    dtype = ibis.dtype(type)
    if isinstance(dtype, dt.Array):
        return f"array<{_normal(column, str(dtype.value_type))}>"
    _iceberg(column, dtype)
    if isinstance(dtype, dt.Timestamp):
        return str(dt.Timestamp(timezone="UTC" if dtype.timezone else None, scale=6))
    return str(dtype)


def _iceberg(column: str, dtype: dt.DataType) -> IcebergType:
    from pyiceberg import types

    match dtype:
        case dt.Boolean():
            return types.BooleanType()
        case dt.Int64() | dt.UInt32():
            return types.LongType()
        case dt.UInt64():
            return types.DecimalType(20, 0)
        case dt.Integer():
            return types.IntegerType()
        case dt.Float64():
            return types.DoubleType()
        case dt.Float32():
            return types.FloatType()
        case dt.Decimal():
            precision, scale = (dtype.precision, dtype.scale) if dtype.precision is not None else (18, 3)
            return types.DecimalType(precision, scale or 0)
        case dt.String() | dt.JSON():
            return types.StringType()
        case dt.Binary():
            return types.BinaryType()
        case dt.UUID():
            return types.UUIDType()
        case dt.Date():
            return types.DateType()
        case dt.Time():
            return types.TimeType()
        case dt.Timestamp():
            return types.TimestamptzType() if dtype.timezone else types.TimestampType()
        case _:
            raise unstorable(column, dtype)
