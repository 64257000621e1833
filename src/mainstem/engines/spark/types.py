"""Conversions between Ibis types and Spark's. No other module has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from mainstem.errors import EngineError

if TYPE_CHECKING:
    from pyspark.sql.types import DataType

_WIDENED: dict[type[dt.DataType], dt.DataType] = {
    dt.UInt8: dt.int16,
    dt.UInt16: dt.int32,
    dt.UInt32: dt.int64,
    dt.UInt64: dt.Decimal(20, 0),
    dt.JSON: dt.string,
    dt.UUID: dt.string,
}
"""Spark has no unsigned integers. Such a column is computed with as the next wider type."""

_STORED: dict[type[dt.DataType], dt.DataType] = {**_WIDENED, dt.Int8: dt.int32, dt.Int16: dt.int32, dt.UInt8: dt.int32}
"""Types that Iceberg lacks are stored in the next wider type."""

_NAMES: dict[type[dt.DataType], str] = {
    dt.Boolean: "BOOLEAN",
    dt.Int8: "TINYINT",
    dt.Int16: "SMALLINT",
    dt.Int32: "INT",
    dt.Int64: "BIGINT",
    dt.Float32: "FLOAT",
    dt.Float64: "DOUBLE",
    dt.String: "STRING",
    dt.Binary: "BINARY",
    dt.Date: "DATE",
    dt.Time: "TIME",
}


def computed(dtype: dt.DataType) -> dt.DataType:
    """Return the Ibis type as which Spark computes with columns of `dtype`."""
    return _mapped(dtype, _WIDENED)


def stored(dtype: dt.DataType) -> dt.DataType:
    """Return the Ibis type of a column of `dtype` in the lake's files."""
    return _mapped(dtype, _STORED)


def to_sql(dtype: dt.DataType) -> str:
    """Return the SQL type of an Ibis type, such as `ARRAY<DOUBLE>`. Raises `EngineError`."""
    dtype = computed(dtype)
    match dtype:
        case dt.Decimal():
            precision = 38 if dtype.precision is None else dtype.precision
            scale = 18 if dtype.scale is None else dtype.scale
            return f"DECIMAL({precision}, {scale})"
        case dt.Timestamp():
            return "TIMESTAMP" if dtype.timezone else "TIMESTAMP_NTZ"
        case dt.Array():
            return f"ARRAY<{to_sql(dtype.value_type)}>"
        case dt.Map():
            return f"MAP<{to_sql(dtype.key_type)}, {to_sql(dtype.value_type)}>"
        case dt.Struct():
            fields = ", ".join(f"{identifier(name)}: {to_sql(each)}" for name, each in dtype.fields.items())
            return f"STRUCT<{fields}>"
        case dt.Null():
            return "VOID"
    if (name := _NAMES.get(type(dtype))) is None:
        raise EngineError(f"Spark has no type for {dtype}", hint="cast the column to another type")
    return name


def to_spark(dtype: dt.DataType) -> DataType:
    """Return Spark's type of an Ibis type. Raises `EngineError`."""
    import pyspark.sql.types as pt

    dtype = computed(dtype)
    match dtype:
        case dt.Decimal():
            precision = 38 if dtype.precision is None else dtype.precision
            return pt.DecimalType(precision, 18 if dtype.scale is None else dtype.scale)
        case dt.Timestamp():
            return pt.TimestampType() if dtype.timezone else pt.TimestampNTZType()
        case dt.Array():
            return pt.ArrayType(to_spark(dtype.value_type))
        case dt.Map():
            return pt.MapType(to_spark(dtype.key_type), to_spark(dtype.value_type))
        case dt.Struct():
            return pt.StructType([pt.StructField(name, to_spark(each)) for name, each in dtype.fields.items()])
    kind: type[DataType] | None = _kinds().get(type(dtype))
    if kind is None:
        raise EngineError(f"Spark has no type for {dtype}", hint="cast the column to another type")
    return kind()


def from_spark(found: DataType) -> dt.DataType:
    """Return the Ibis type of Spark's type. An instant (Spark's TIMESTAMP) is in UTC. Raises `EngineError`."""
    import pyspark.sql.types as pt

    match found:
        case pt.DecimalType():
            return dt.Decimal(found.precision, found.scale)
        case pt.TimestampType():
            return dt.Timestamp("UTC", 6)
        case pt.TimestampNTZType():
            return dt.Timestamp(scale=6)
        case pt.ArrayType():
            return dt.Array(from_spark(found.elementType))
        case pt.MapType():
            return dt.Map(from_spark(found.keyType), from_spark(found.valueType))
        case pt.StructType():
            return dt.Struct({each.name: from_spark(each.dataType) for each in found.fields})
        case pt.NullType():
            return dt.int32  # as DuckDB types a column of nulls
        case pt.StringType():
            return dt.string
    for ours, theirs in _kinds().items():
        if isinstance(found, theirs):
            return ours()
    raise EngineError(f"the query has a column of Spark's type {found.simpleString()}", hint="cast it to another type")


def identifier(name: str) -> str:
    """Return `name` quoted as one SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def _mapped(dtype: dt.DataType, to: dict[type[dt.DataType], dt.DataType]) -> dt.DataType:
    match dtype:
        case dt.Array():
            return dt.Array(_mapped(dtype.value_type, to))
        case dt.Map():
            return dt.Map(_mapped(dtype.key_type, to), _mapped(dtype.value_type, to))
        case dt.Struct():
            return dt.Struct({name: _mapped(each, to) for name, each in dtype.fields.items()})
    return to.get(type(dtype), dtype)


def _kinds() -> dict[type[dt.DataType], Any]:
    import pyspark.sql.types as pt

    return {
        dt.Boolean: pt.BooleanType,
        dt.Int8: pt.ByteType,
        dt.Int16: pt.ShortType,
        dt.Int32: pt.IntegerType,
        dt.Int64: pt.LongType,
        dt.Float32: pt.FloatType,
        dt.Float64: pt.DoubleType,
        dt.String: pt.StringType,
        dt.Binary: pt.BinaryType,
        dt.Date: pt.DateType,
        dt.Time: pt.TimeType,
    }
