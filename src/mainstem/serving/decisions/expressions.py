"""Expressions over request, features and score, compiled as on-demand features are: for one row and for a query.

`_.scores["CLASS"]` reads a flat column, `scores[CLASS]`, in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.errors import SchemaError
from mainstem.features.rowwise.on_demand import RowFunction, canonical, expressions
from mainstem.graph.fingerprint import of_expression
from mainstem.nodes.base import Deferred
from mainstem.nodes.expressions import resolve_column

SCORE, SCORES = "score", "scores"

Over = Callable[[ibis.Table], ibis.Value]
"""An expression as a function of the table that it reads."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """Named expressions. `columns` maps what they read to Ibis types, `classes` are those whose scores they read."""

    values: Mapping[str, Over]
    columns: Mapping[str, str]
    classes: tuple[str, ...]

    @cached_property
    def function(self) -> RowFunction:
        """The values of rows."""
        row = ibis.table(dict(self.columns), name="row")
        return RowFunction(canonical(self.values, row), self.columns)

    def batch(self, columns: Mapping[str, list[Any]], count: int) -> dict[str, list[Any]]:
        """Return the values of `count` rows, which are columns. Constants read no column."""
        if not self.columns:
            return {name: [value] * count for name, value in self.function({}).items()}
        return self.function.batch(columns)

    def over(self, table: ibis.Table) -> dict[str, ibis.Value]:
        """Return the values as expressions over a table that has `columns`."""
        return expressions(self.values, table)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The hash of each expression, independent of how it is written and of columns that none reads."""
        row = ibis.table(dict(self.columns), name="row")
        return {name: of_expression(value) for name, value in canonical(self.values, row).items()}


def compile_values(
    written: Mapping[str, Deferred], columns: Mapping[str, str], where: str, *, conditions: frozenset[str] = frozenset()
) -> Compiled:
    """Return expressions over `columns` (name → Ibis type). Those of `conditions` are boolean, all others numbers.

    Raises `UnknownName` and `SchemaError` at `where`.
    """
    row = ibis.table(dict(columns), name="row")
    found = {name: _value(name, value, row, where, name in conditions) for name, value in written.items()}
    classes = tuple(dict.fromkeys(name for value in found.values() for name in _classes(value, where)))
    read = {field.name for value in found.values() for field in value.op().find(ops.Field)} - {SCORES}
    types = {name: kind for name, kind in columns.items() if name in read}
    types |= {flat(name): "float64" for name in classes}
    values = {name: partial(_rewritten, value) for name, value in found.items()}
    compiled = Compiled(values, types, classes)
    try:
        _ = compiled.function
    except SchemaError as problem:
        raise problem.at(where) from None
    return compiled


def flat(name: str) -> str:
    """Return the column that holds the score of a class."""
    return f"{SCORES}[{name}]"


def _value(name: str, value: Deferred, row: ibis.Table, where: str, condition: bool) -> ibis.Value:
    found = resolve_column(row, value, where)
    kind = found.type()
    if condition:
        if not kind.is_boolean():
            raise SchemaError(f"{name!r} is not a condition", where=where, got=str(kind), expected="boolean")
        return found
    if not kind.is_numeric() or kind.is_boolean():
        raise SchemaError(f"the value of {name!r} is not a number", where=where, got=str(kind), expected="a number")
    return found.cast("float64")


def _classes(value: ibis.Value, where: str) -> list[str]:
    """Return the classes or quantiles whose scores an expression reads.

    Raises `SchemaError` for another use of `_.scores`.
    """
    gets = [get for get in value.op().find(ops.MapGet) if _is_scores(get.arg)]
    names = [get.key.value for get in gets if isinstance(get.key, ops.Literal)]
    names += [get.field for get in value.op().find(ops.StructField) if _is_scores(get.arg)]
    uses = [node for node in value.op().find(ops.Node) if any(map(_is_scores, node.args))]
    if len(names) < len(set(uses)):
        raise SchemaError(
            "`_.scores` is used in another way",
            where=where,
            expected='_.scores["CLASS"], or _.scores.q90 of a model of quantiles',
        )
    return names


def _is_scores(node: Any) -> bool:
    return isinstance(node, ops.Field) and node.name == SCORES


def _rewritten(value: ibis.Value, table: ibis.Table) -> ibis.Value:
    """Return an expression over another table that has the columns it reads."""

    def replace(node: Any, changed: Any) -> Any:
        if isinstance(node, ops.MapGet) and _is_scores(node.arg):
            return table[flat(node.key.value)].op()
        if isinstance(node, ops.StructField) and _is_scores(node.arg):
            return table[flat(node.field)].op()
        if isinstance(node, ops.Field):
            return node if node.name == SCORES else table[node.name].op()
        return node.__recreate__(changed) if changed else node

    found: ibis.Value = value.op().replace(replace).to_expr()
    return found
