"""Comparisons: NaN equals itself and is greater than every number."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import ibis.expr.operations as ops

from mainstem.features.rowwise.core import Compute, Row, Unsupported, both, compile_value, kind, lift1, lift2, register

Comparison = Callable[[Any, Any], bool]


def _same(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))


def _less(a: Any, b: Any) -> bool:
    """Return whether a is less than b. NaN is greater than every number."""
    if a != a:
        return False
    return bool(b != b or a < b)


_PLAIN: dict[type[ops.Node], Comparison] = {
    ops.Equals: operator.eq,
    ops.NotEquals: operator.ne,
    ops.Less: operator.lt,
    ops.LessEqual: operator.le,
    ops.Greater: operator.gt,
    ops.GreaterEqual: operator.ge,
}
_FLOATING: dict[type[ops.Node], Comparison] = {
    ops.Equals: _same,
    ops.NotEquals: lambda a, b: not _same(a, b),
    ops.Less: _less,
    ops.LessEqual: lambda a, b: not _less(b, a),
    ops.Greater: lambda a, b: _less(b, a),
    ops.GreaterEqual: lambda a, b: not _less(a, b),
}


def common_of(args: Sequence[Any]) -> tuple[str, list[Compute]]:
    """Return the common kind of operands, and their closures converted to it."""
    kinds = {kind(arg) for arg in args} - {"null"}
    if kinds == {"int", "float"}:
        kinds = {"float"}
    if len(kinds) > 1 or "list" in kinds:
        raise Unsupported(f"comparing {', '.join(sorted(kinds))}")
    common = kinds.pop() if kinds else "null"
    return common, [_as(common, arg) for arg in args]


def _as(target: str, op: Any) -> Compute:
    compute = compile_value(op)
    return lift1(float, compute) if target == "float" and kind(op) == "int" else compute


def comparison(op_type: type[ops.Node], common: str) -> Comparison:
    return (_FLOATING if common == "float" else _PLAIN)[op_type]


@register(*_PLAIN)
def _compare(op: Any) -> Compute:
    common, sides = common_of((op.left, op.right))
    return lift2(comparison(type(op), common), *sides)


@register(ops.Between)
def _between(op: Any) -> Compute:
    common, (arg, low, high) = common_of((op.arg, op.lower_bound, op.upper_bound))
    at_most = comparison(ops.LessEqual, common)
    return both(lift2(at_most, low, arg), lift2(at_most, arg, high))


@register(ops.InValues)
def _in(op: Any) -> Compute:
    if not op.options:
        return lambda row: False
    common, (arg, *options) = common_of((op.value, *op.options))
    same = comparison(ops.Equals, common)

    def compute(row: Row) -> bool | None:
        value = arg(row)
        if value is None:
            return None
        found = [option(row) for option in options]
        if any(option is not None and same(value, option) for option in found):
            return True
        return None if None in found else False

    return compute


@register(ops.IsNull, ops.NotNull)
def _is_null(op: Any) -> Compute:
    arg, expected = compile_value(op.arg), isinstance(op, ops.IsNull)
    return lambda row: (arg(row) is None) is expected


@register(ops.IdenticalTo)
def _identical(op: Any) -> Compute:
    common, (left, right) = common_of((op.left, op.right))
    same = comparison(ops.Equals, common)

    def compute(row: Row) -> bool:
        a, b = left(row), right(row)
        return a is b if a is None or b is None else same(a, b)

    return compute
