"""The types of feature values, and what counts as null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from mainstem.errors import SchemaError
from mainstem.nodes.instants import INSTANT

NULL_INT = -(2**63)
"""The smallest int64 counts as null, because the online state stores null as this number."""

LARGEST_INT = 2**63 - 1

SMALLEST: Mapping[str, Any] = {"int64": NULL_INT, "float64": float("-inf"), "string": "", "boolean": False}
"""The value, by type, that represents a null in `order_by`."""


def logical_type(value: ibis.Value, where: str) -> str:
    """Return the type of a value in features: int64, float64, boolean, string or an instant. Raises `SchemaError`."""
    kind = value.type()
    if kind.is_integer():
        return "int64"
    if kind.is_floating() or kind.is_decimal():
        return "float64"
    if kind.is_boolean() or kind.is_string():
        return "boolean" if kind.is_boolean() else "string"
    if kind.is_timestamp() and kind.timezone == "UTC":
        return INSTANT
    raise SchemaError(
        "unsupported type of a feature column",
        where=where,
        got=str(kind),
        expected=f"a number, boolean, string or {INSTANT}",
        hint=_hint(kind),
    )


def _hint(kind: dt.DataType) -> str:
    if kind.is_timestamp():
        return "a naive timestamp has no time zone"
    return f'.cast("{INSTANT}") in the table of its rows' if kind.is_date() else '.cast("string")'


def stored_type(logical: str) -> str:
    return "int64" if logical == INSTANT else logical


def nulls(value: Any) -> Any:
    """Return a value with NaN and the smallest int64 replaced by null."""
    if value.type().is_floating():
        return value.isnan().ifelse(ibis.null("float64"), value)
    return value.nullif(NULL_INT) if value.type().is_integer() else value


def present(value: Any) -> Any:
    """Return whether a value is not null in the sense of `nulls`."""
    if value.type().is_floating():
        return value.notnull() & ~value.isnan()
    return value.nullif(NULL_INT).notnull() if value.type().is_integer() else value.notnull()


def without_nan(value: Any) -> Any:
    """Return an expression that reads null where a column, or what it compares, is NaN.

    Engines sort NaN above all numbers, so `_.delay > 15` would be true of a delay that is missing. `isnan()` of a
    column tells NaN apart as written; of null it is null, which Spark says is false.
    """
    return value.op().replace(_without_nan, filter=ops.Value).to_expr()


def _without_nan(op: Any, changed: dict[str, Any] | None) -> Any:
    if isinstance(op, ops.IsNan) and isinstance(op.arg, ops.Field):
        return ops.IfElse(ops.IsNull(op.arg), ops.Literal(None, op.dtype.copy(nullable=True)), op)
    if isinstance(op, ops.Comparison | ops.Between | ops.InValues):
        given = changed or dict(zip(op.argnames, op.args, strict=True))
        return op.__recreate__({name: _compared(arg) for name, arg in given.items()})
    found = op.__recreate__(changed) if changed else op
    return _null_if_nan(found) if isinstance(op, ops.Field) else found


def _compared(arg: Any) -> Any:
    if isinstance(arg, tuple):
        return tuple(map(_compared, arg))
    return arg if isinstance(arg, ops.Literal) or _is_guarded(arg) else _null_if_nan(arg)


def _is_guarded(op: Any) -> bool:
    return isinstance(op, ops.IfElse) and isinstance(op.bool_expr, ops.IsNan)


def _null_if_nan(op: Any) -> Any:
    if not op.dtype.is_floating():
        return op
    return ops.IfElse(ops.IsNan(op), ops.Literal(None, op.dtype.copy(nullable=True)), op)
