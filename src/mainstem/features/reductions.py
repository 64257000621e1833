"""From a reduction as users write it (`_.dep_delay.mean()`) to an aggregation of the algebra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.errors import SchemaError
from mainstem.features.algebra import Aggregation, aggregation
from mainstem.nodes.base import Deferred
from mainstem.nodes.expressions import resolve_column


@dataclass(frozen=True, eq=False)
class Reduction:
    """An aggregation of an argument over the rows where `where` holds; None: every row counts."""

    aggregation: Aggregation
    argument: ibis.Value | None
    where: ibis.Value | None


_Mapping = Callable[[Any], str]

REDUCTIONS: dict[type[ops.Reduction], _Mapping] = {
    ops.CountStar: lambda op: "count",
    ops.Count: lambda op: "count",
    ops.Sum: lambda op: "sum",
    ops.Mean: lambda op: "mean",
    ops.Min: lambda op: "min",
    ops.Max: lambda op: "max",
    ops.Variance: lambda op: "var" if op.how == "sample" else "var_pop",
    ops.StandardDev: lambda op: "std" if op.how == "sample" else "std_pop",
    ops.Last: lambda op: "last",
}
"""Ibis' reduction → the name of the aggregation. An aggregation of one's own adds its line."""


def read_reduction(rows: ibis.Table, value: Deferred, where: str) -> Reduction:
    """What `value` means over `rows`. Raises `SchemaError` for anything but one reduction that the algebra has."""
    op: Any = resolve_column(rows, value, where).op()
    named = REDUCTIONS.get(type(op))
    if named is None:
        raise SchemaError(
            f"{value!r} is not a feature over a window",
            where=where,
            got=type(op).__name__ if isinstance(op, ops.Reduction) else "an expression that is not one reduction",
            expected="one of count, sum, mean, min, max, var, std, last over an expression of a row",
            hint="compute on rows first: (_.delay > 15).mean(); combine features with ms.on_demand",
        )
    if getattr(op, "order_by", ()):
        raise SchemaError(
            "events have one order for all features of a view", where=where, hint='ms.feature_view(order_by="…")'
        )
    argument = None if isinstance(op, ops.CountStar) else op.arg.to_expr()
    condition = None if op.where is None else op.where.to_expr()
    return Reduction(aggregation(named(op)), argument, condition)
