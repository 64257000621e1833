"""Arithmetic: null where int64 overflows, IEEE for float64."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import ibis.expr.operations as ops

from mainstem.features.rowwise.core import Compute, Unsupported, kind, lift1, lift2, numeric, register, whole

_ARITHMETIC: dict[type[ops.Node], Callable[[Any, Any], Any]] = {
    ops.Add: operator.add,
    ops.Subtract: operator.sub,
    ops.Multiply: operator.mul,
}


@register(*_ARITHMETIC)
def _arithmetic(op: Any) -> Compute:
    function = _ARITHMETIC[type(op)]
    sides = numeric(op.left, op.right)
    if op.dtype.is_floating():
        return lift2(function, *sides)
    return lift2(lambda a, b: whole(function(a, b)), *sides)


@register(ops.Divide)
def _divide(op: Any) -> Compute:
    return lift2(_quotient, *numeric(op.left, op.right))


def _quotient(a: Any, b: Any) -> float:
    a, b = float(a), float(b)
    if b:
        return float(a / b)
    return math.nan if a == 0 or a != a or b != b else math.copysign(math.inf, a) * math.copysign(1.0, b)


@register(ops.FloorDivide)
def _floor_divide(op: Any) -> Compute:
    return lift2(lambda a, b: _integral(math.floor, _quotient(a, b)), *numeric(op.left, op.right))


def _integral(function: Callable[[float], int], value: Any) -> int | None:
    """Round a float to int64 as DuckDB does: as a double first, which loses the same digits. Null if out of range."""
    value = float(value)
    return whole(function(value)) if math.isfinite(value) else None


@register(ops.Modulus)
def _modulus(op: Any) -> Compute:
    if op.dtype.is_floating():
        return lift2(_float_remainder, *numeric(op.left, op.right))
    return lift2(_int_remainder, *numeric(op.left, op.right))


def _int_remainder(a: int, b: int) -> int | None:
    if b == 0 or whole(a // b) is None:  # DuckDB divides to get the remainder, and −2⁶³ / −1 overflows
        return None
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


def _float_remainder(a: Any, b: Any) -> float:
    try:
        return math.fmod(a, b)
    except ValueError:
        return math.nan


@register(ops.Power)
def _power(op: Any) -> Compute:
    return lift2(_pow, *numeric(op.left, op.right))


def _pow(a: Any, b: Any) -> float:
    a, b = float(a), float(b)
    odd = b % 2 == 1
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and odd else math.inf
    except ValueError:
        if a == 0:
            return math.copysign(math.inf, a) if odd else math.inf
        return math.nan


@register(ops.Negate)
def _negate(op: Any) -> Compute:
    return lift1(operator.neg if kind(op.arg) == "float" else lambda v: whole(-v), *numeric(op.arg))


@register(ops.Abs)
def _abs(op: Any) -> Compute:
    return lift1(abs if kind(op.arg) == "float" else lambda v: whole(abs(v)), *numeric(op.arg))


@register(ops.Floor, ops.Ceil)
def _floor(op: Any) -> Compute:
    function = math.floor if isinstance(op, ops.Floor) else math.ceil
    return lift1(lambda v: _integral(function, v), *numeric(op.arg))


@register(ops.Round)
def _round(op: Any) -> Compute:
    digits = op.digits
    if kind(op.arg) != "float" or not (digits is None or (isinstance(digits, ops.Literal) and digits.value >= 0)):
        raise Unsupported("Round of an integer, or to tens")
    if not digits or not digits.value:
        return lift1(lambda v: _integral(int, _half_away(v)), *numeric(op.arg))
    modifier = math.pow(10.0, digits.value)

    def to_digits(value: float) -> float:
        if not math.isfinite(value * modifier):
            return value
        return _half_away(value * modifier) / modifier

    return lift1(to_digits, *numeric(op.arg))


def _half_away(value: float) -> float:
    if not math.isfinite(value):
        return value
    lower = math.floor(abs(value))
    return math.copysign(lower + (abs(value) - lower >= 0.5), value)


def _logarithm(function: Callable[[float], float]) -> Callable[[Any], float]:
    def compute(value: Any) -> float:
        if value > 0 or value != value:
            return function(value)
        return -math.inf if value == 0 else math.nan

    return compute


def _exp(value: Any) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


_FUNCTIONS: dict[type[ops.Node], Callable[[Any], Any]] = {
    ops.Sqrt: lambda v: math.sqrt(v) if v >= 0 or v != v else math.nan,
    ops.Exp: _exp,
    ops.Ln: _logarithm(math.log),
    ops.Log2: _logarithm(math.log2),
    ops.Log10: _logarithm(math.log10),
}


@register(*_FUNCTIONS)
def _function(op: Any) -> Compute:
    function = _FUNCTIONS[type(op)]
    return lift1(lambda v: function(float(v)), *numeric(op.arg))


@register(ops.Log)
def _log(op: Any) -> Compute:
    if op.base is not None:
        raise Unsupported("Log to a base")
    return lift1(lambda v: _FUNCTIONS[ops.Ln](float(v)), *numeric(op.arg))


@register(ops.IsNan, ops.IsInf)
def _is_odd(op: Any) -> Compute:
    function = math.isnan if isinstance(op, ops.IsNan) else math.isinf
    return lift1(function, *numeric(op.arg))
