"""Row-level expressions for the engine that have a value for every row: null where a result does not exist.

DuckDB refuses a whole query if one row overflows an integer, rounds or casts a NaN, or divides an integer by zero to
get a remainder. The closures return null in these cases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz
from ibis.common.collections import FrozenDict
from ibis.expr.operations.udf import InputType


class _Function(ops.ScalarUDF):  # type: ignore[misc]
    """A function of the engine of one argument."""

    arg: ops.Value

    __input_type__ = InputType.BUILTIN
    __config__ = FrozenDict()
    __udf_namespace__ = ops.Namespace(database=None, catalog=None)


class Try(_Function):
    """The value of `arg`, or null if its computation fails. A failure costs some 40 µs."""

    __func_name__ = "try"
    dtype = rlz.dtype_like("arg")


class FloorOf(_Function):
    """`Floor` as float64."""

    __func_name__ = "floor"
    dtype = dt.float64


class CeilOf(_Function):
    """`Ceil` as float64."""

    __func_name__ = "ceil"
    dtype = dt.float64


class RoundOf(_Function):
    """`Round` as float64."""

    __func_name__ = "round"
    dtype = dt.float64


def total(value: ibis.Value) -> ibis.Value:
    """Return a value that is null in the rows for which the engine could not compute it.

    Texts that are not of the type to which they are cast stay errors.
    """
    found: ibis.Value = value.op().replace(_replaced, filter=ops.Value).to_expr()
    return found


def _replaced(op: Any, changed: dict[str, Any] | None) -> Any:
    op = op.__recreate__(changed) if changed else op
    rule = _RULES.get(type(op))
    return op if rule is None else rule(op)


def _whole(op: Any) -> Any:
    """Guard rounding to int64: its final cast fails for NaN, infinities and numbers beyond int64."""
    to_float = {ops.Floor: FloorOf, ops.Ceil: CeilOf, ops.Round: RoundOf}[type(op)]
    if op.arg.dtype.is_floating() and op.dtype.is_integer():
        return ops.TryCast(to_float(op.arg), op.dtype)
    return Try(op) if op.dtype.is_integer() else op


def _floor_divide(op: Any) -> Any:
    return ops.TryCast(FloorOf(ops.Divide(op.left, op.right)), op.dtype) if op.dtype.is_integer() else op


def _modulus(op: Any) -> Any:
    return Try(ops.Modulus(op.left, ops.NullIf(op.right, _zero(op.right)))) if op.dtype.is_integer() else op


def _zero(op: Any) -> Any:
    return ops.Literal(0, op.dtype.copy(nullable=True))


def _cast(op: Any) -> Any:
    to, source = op.to, op.arg.dtype
    if not source.is_numeric():
        return op
    if to.is_timestamp():
        return Try(op)
    narrows = to.is_integer() or to.is_decimal() or isinstance(to, dt.Float32)
    return ops.TryCast(op.arg, to) if narrows and not _holds(to, source) else op


def _holds(to: dt.DataType, source: dt.DataType) -> bool:
    """Return whether an integer type holds all values of another type."""
    if not isinstance(to, dt.Integer) or not isinstance(source, dt.Integer):
        return bool(source.is_boolean())
    return bool(to.bounds.lower <= source.bounds.lower and source.bounds.upper <= to.bounds.upper)


def _exact(op: Any) -> Any:
    return Try(op) if op.dtype.is_integer() or op.dtype.is_decimal() else op


def _shift(op: Any) -> Any:
    return op if isinstance(op.right, ops.Literal) else Try(op)


_RULES: dict[type[ops.Node], Callable[[Any], Any]] = {
    **dict.fromkeys((ops.Add, ops.Subtract, ops.Multiply, ops.Negate, ops.Abs, ops.BitwiseLeftShift), _exact),
    **dict.fromkeys((ops.Floor, ops.Ceil, ops.Round), _whole),
    **dict.fromkeys((ops.TimestampAdd, ops.TimestampSub), _shift),
    **dict.fromkeys((ops.IntervalFromInteger, ops.TimestampFromUNIX), Try),
    ops.FloorDivide: _floor_divide,
    ops.Modulus: _modulus,
    ops.Cast: _cast,
}
