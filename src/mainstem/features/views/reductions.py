"""Convert a reduction as users write it (`_.dep_delay.mean()`, `ms.last_k(_.dep_delay, 3)`) to an aggregation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.errors import DefinitionError, MainstemError, SchemaError
from mainstem.features.algebra import Aggregation, aggregation
from mainstem.nodes.expressions import resolve_boolean, resolve_column
from mainstem.nodes.reductions import Aggregate, By, Windowed, plain
from mainstem.nodes.reductions import Reduction as Declared


@dataclass(frozen=True, eq=False)
class Reduction:
    """An aggregation of `argument` (None: of the rows), perhaps with a second one, `by`, over rows of `where`."""

    name: str
    aggregation: Aggregation
    argument: ibis.Value | None
    by: ibis.Value | None
    where: ibis.Value | None
    windows: tuple[str, ...]


_Mapping = Callable[[Any], Aggregation]


def _constant(op: Any) -> Any:
    if not isinstance(op, ops.Literal):
        raise DefinitionError(
            "a quantile must be one number", got=type(op).__name__, expected="a number between 0 and 1"
        )
    return plain(op.value)


REDUCTIONS: dict[type[ops.Reduction], _Mapping] = {
    ops.CountStar: lambda op: aggregation("count"),
    ops.Count: lambda op: aggregation("count"),
    ops.Sum: lambda op: aggregation("sum"),
    ops.Mean: lambda op: aggregation("mean"),
    ops.Min: lambda op: aggregation("min"),
    ops.Max: lambda op: aggregation("max"),
    ops.All: lambda op: aggregation("min"),
    ops.Any: lambda op: aggregation("max"),
    ops.Variance: lambda op: aggregation("var", how=op.how),
    ops.StandardDev: lambda op: aggregation("std", how=op.how),
    ops.Kurtosis: lambda op: aggregation("kurtosis", how=op.how),
    ops.First: lambda op: aggregation("first"),
    ops.Last: lambda op: aggregation("last"),
    ops.ArgMin: lambda op: aggregation("arg_min"),
    ops.ArgMax: lambda op: aggregation("arg_max"),
    ops.CountDistinct: lambda op: aggregation("n_unique"),
    ops.ApproxCountDistinct: lambda op: aggregation("n_unique"),
    ops.Median: lambda op: aggregation("quantile", q=0.5),
    ops.ApproxMedian: lambda op: aggregation("quantile", q=0.5),
    ops.Quantile: lambda op: aggregation("quantile", q=_constant(op.quantile)),
    ops.ApproxQuantile: lambda op: aggregation("quantile", q=_constant(op.quantile)),
    ops.Mode: lambda op: aggregation("mode"),
}
"""Ibis' reductions → aggregations. Add a line for your own, or use it through `ms.aggregate`."""

_WORDS = (
    "count sum mean min max any all var std kurtosis first last argmin argmax nunique median quantile mode, "
    "ms.share skew first_k last_k top_k bottom_k histogram ewma slope rate time_since_last aggregate"
)


def read_reductions(
    rows: ibis.Table, name: str, value: Declared, windows: tuple[str, ...], where: str
) -> Iterator[Reduction]:
    """Yield the meaning of the feature `name` over `rows`: one reduction, or one for each level of a column.

    Raises `SchemaError` for an expression that is not a reduction of the algebra.
    """
    match value:
        case Windowed():
            yield from read_reductions(rows, name, value.reduction, value.windows, where)
        case By():
            column = resolve_column(rows, value.column, where)
            for level in value.levels:
                holds = _is_level(column, level, where)
                word = re.sub(r"\W", "_", str(level))
                for reduction in read_reductions(rows, f"{name}_{word}", value.reduction, windows, where):
                    yield replace(reduction, where=_both(reduction.where, holds))
        case Aggregate():
            yield _named(rows, name, value, windows, where)
        case _:
            yield _written(rows, name, value, windows, where)


def _named(rows: ibis.Table, name: str, value: Aggregate, windows: tuple[str, ...], where: str) -> Reduction:
    try:
        kind = aggregation(value.name, **value.parameters)
    except MainstemError as problem:
        raise problem.at(where) from None
    argument, by = (None if v is None else resolve_column(rows, v, where) for v in (value.argument, value.by))
    condition = None if value.where is None else resolve_boolean(rows, value.where, where)
    return Reduction(name, kind, argument, by, condition, windows)


def _written(rows: ibis.Table, name: str, value: Declared, windows: tuple[str, ...], where: str) -> Reduction:
    op: Any = resolve_column(rows, value, where).op()
    named = REDUCTIONS.get(type(op))
    if named is None or getattr(op, "include_null", False):
        raise SchemaError(
            f"{value!r} is not a feature over a window",
            where=where,
            got=type(op).__name__ if isinstance(op, ops.Reduction) else "an expression that is not one reduction",
            expected=f"one of {_WORDS}, over an expression of a row",
            hint="compute on rows first: (_.delay > 15).mean(); combine features with ms.on_demand",
        )
    if getattr(op, "order_by", ()):
        raise SchemaError(
            "all features of a view must use one order of events", where=where, hint='ms.feature_view(order_by="…")'
        )
    argument = None if isinstance(op, ops.CountStar) else op.arg.to_expr()
    by = op.key.to_expr() if isinstance(op, (ops.ArgMin, ops.ArgMax)) else None
    condition = None if op.where is None else op.where.to_expr()
    try:
        return Reduction(name, named(op), argument, by, condition, windows)
    except MainstemError as problem:
        raise problem.at(where) from None


def _is_level(column: ibis.Value, level: Any, where: str) -> ibis.Value:
    if level is None:
        raise SchemaError(
            "a level must not be null",
            where=where,
            got="None",
            expected=f"a value of the type {column.type()}",
            hint="where=_.column.isnull() reduces the rows without a value",
        )
    try:
        return column == level
    except Exception:
        raise SchemaError(
            "a level does not fit the type of its column",
            where=where,
            got=f"{level!r}, of type {type(level).__name__}",
            expected=f"a value of the type {column.type()}",
        ) from None


def _both(a: ibis.Value | None, b: ibis.Value) -> ibis.Value:
    return b if a is None else a & b
