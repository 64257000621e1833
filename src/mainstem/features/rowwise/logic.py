"""Three-valued logic and conditionals."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import ibis.expr.operations as ops

from mainstem.features.rowwise.comparisons import Comparison, common_of, comparison
from mainstem.features.rowwise.core import Compute, Row, both, compile_value, lift1, lift2, register


def _either(left: Compute, right: Compute) -> Compute:
    def compute(row: Row) -> bool | None:
        a = left(row)
        if a is True:
            return True
        b = right(row)
        return True if b is True else None if a is None or b is None else False

    return compute


@register(ops.And, ops.Or)
def _logic(op: Any) -> Compute:
    join = both if isinstance(op, ops.And) else _either
    return join(compile_value(op.left), compile_value(op.right))


@register(ops.Xor)
def _xor(op: Any) -> Compute:
    return lift2(operator.ne, compile_value(op.left), compile_value(op.right))


@register(ops.Not)
def _not(op: Any) -> Compute:
    return lift1(operator.not_, compile_value(op.arg))


@register(ops.Coalesce)
def _coalesce(op: Any) -> Compute:
    _, options = common_of(op.arg)
    return lambda row: next((v for option in options if (v := option(row)) is not None), None)


@register(ops.NullIf)
def _null_if(op: Any) -> Compute:
    common, (arg, other) = common_of((op.arg, op.null_if_expr))
    same, value = comparison(ops.Equals, common), compile_value(op.arg)

    def compute(row: Row) -> Any:
        a, b = arg(row), other(row)
        return None if a is None or (b is not None and same(a, b)) else value(row)

    return compute


@register(ops.IfElse)
def _if_else(op: Any) -> Compute:
    return _choose([compile_value(op.bool_expr)], [op.true_expr], op.false_null_expr)


@register(ops.SearchedCase)
def _searched_case(op: Any) -> Compute:
    return _choose([compile_value(case) for case in op.cases], op.results, op.default)


@register(ops.SimpleCase)
def _simple_case(op: Any) -> Compute:
    common, (base, *cases) = common_of((op.base, *op.cases))
    same = comparison(ops.Equals, common)
    return _choose([lift2(same, base, case) for case in cases], op.results, op.default)


def _choose(conditions: Sequence[Compute], results: Sequence[Any], default: Any) -> Compute:
    _, (otherwise, *values) = common_of((default, *results))
    branches = list(zip(conditions, values, strict=True))

    def compute(row: Row) -> Any:
        for condition, value in branches:
            if condition(row):
                return value(row)
        return otherwise(row)

    return compute


@register(ops.Greatest, ops.Least)
def _extreme(op: Any) -> Compute:
    common, args = common_of(op.arg)
    return _best(comparison(ops.Greater if isinstance(op, ops.Greatest) else ops.Less, common), args)


def _best(better: Comparison, args: Sequence[Compute]) -> Compute:
    """Return the closure of GREATEST or LEAST. Nulls are skipped."""

    def compute(row: Row) -> Any:
        best = None
        for arg in args:
            value = arg(row)
            if value is not None and (best is None or better(value, best)):
                best = value
        return best

    return compute


@register(ops.Clip)
def _clip(op: Any) -> Compute:
    bounds = [(bound, better) for bound, better in ((op.upper, ops.Less), (op.lower, ops.Greater)) if bound is not None]
    common, (arg, *limits) = common_of((op.arg, *(bound for bound, _ in bounds)))
    clipped = arg
    for limit, (_, better) in zip(limits, bounds, strict=True):
        clipped = _best(comparison(better, common), [clipped, limit])
    return lambda row: None if arg(row) is None else clipped(row)
