"""Columns, literals and casts."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from mainstem.features.rowwise.core import (
    Compute,
    Unsupported,
    by_engine,
    compile_value,
    kind,
    lift1,
    register,
    unit_of,
)
from mainstem.nodes.instants import micros_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@register(ops.Field)
def _field(op: Any) -> Compute:
    kind(op)
    return operator.itemgetter(op.name)


@register(ops.Alias)
def _alias(op: Any) -> Compute:
    return compile_value(op.arg)


@register(ops.Literal)
def _literal(op: Any) -> Compute:
    value = _constant(op)
    return lambda row: value


def _constant(op: Any) -> Any:
    if op.value is None:
        return None
    match kind(op):
        case "time":
            return micros_of(op.value)
        case "interval":
            return op.value * unit_of(op.dtype.unit.short)
        case "float":
            return float(op.value)
    return op.value


@register(ops.Cast)
def _cast(op: Any) -> Compute:
    arg, source, to = compile_value(op.arg), kind(op.arg), op.to
    target = kind(op)
    if isinstance(op.arg, ops.Literal) and target == "float" and op.arg.value is not None:
        value = _to_float(to)(float(op.arg.value))
        return lambda row: value
    if source == "null" or (source == target and source in ("bool", "string", "time")):
        return arg
    convert = _conversion(source, target, to)
    return lift1(convert, arg)


def _conversion(source: str, target: str, to: dt.DataType) -> Callable[[Any], Any]:
    numeric = ("int", "float", "bool")
    if source in numeric and target == "bool":
        return lambda v: v != 0
    if source in numeric and target == "int":
        return _to_int(to)
    if source in numeric and target == "float":
        return _to_float(to)
    if source == "int" and target == "string":
        return str
    if source == "bool" and target == "string":
        return lambda v: "true" if v else "false"
    if (source, target) in (("float", "string"), ("string", "int"), ("string", "float"), ("string", "bool")):
        if source == "float":
            through = by_engine("CAST(CAST(? AS DOUBLE) AS VARCHAR)")
            return lambda v: through(repr(v)) if v == v else "-nan" if math.copysign(1, v) < 0 else "nan"
        return by_engine(f"CAST(? AS {_SQL[type(to)]})")
    raise Unsupported(f"a cast of {source} to {to}")


_SQL = {
    dt.Int8: "TINYINT",
    dt.Int16: "SMALLINT",
    dt.Int32: "INTEGER",
    dt.Int64: "BIGINT",
    dt.UInt8: "UTINYINT",
    dt.UInt16: "USMALLINT",
    dt.UInt32: "UINTEGER",
    dt.Float32: "FLOAT",
    dt.Float64: "DOUBLE",
    dt.Boolean: "BOOLEAN",
    dt.String: "VARCHAR",
}


def _to_int(to: Any) -> Callable[[Any], int | None]:
    low, high = to.bounds

    def convert(value: Any) -> int | None:
        if not math.isfinite(value):
            return None
        nearest = round(value)
        return nearest if low <= nearest <= high else None

    return convert


def _to_float(to: Any) -> Callable[[Any], float | None]:
    if not isinstance(to, dt.Float32):
        return float
    import numpy as np

    def convert(value: Any) -> float | None:
        with np.errstate(over="ignore"):
            narrow = float(np.float32(value))
        return None if math.isinf(narrow) and not math.isinf(value) else narrow

    return convert
