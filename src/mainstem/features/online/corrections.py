"""Remedies on events as they come: what reading a stream corrects, corrected row by row.

A stream's `read` ends in the projections that its remedies are; those are compiled, so an event enters online state
as a query over the lake will see it. The log keeps what was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.features.rowwise.on_demand import RowFunction, expressions

Columns = Mapping[str, Sequence[Any]]
Correct = Callable[[Columns], Columns]


def corrections(read: ibis.Table) -> Correct:
    """The function that corrects columns of events, hidden ones among them; it gives back what it need not change."""
    steps = _steps(read)

    def correct(columns: Columns) -> Columns:
        for function in steps:
            known = {name: list(values) for name, values in columns.items() if name in function.columns}
            columns = {**columns, **function.batch(known)}
        return columns

    return correct


def _steps(read: ibis.Table) -> list[RowFunction]:
    """The projections above the stored rows (or their union with a history), the first to be done first."""
    found: list[RowFunction] = []
    op: Any = read.op()
    while isinstance(op, ops.Project):
        row = ibis.table(op.parent.schema, name="row")
        changed = {
            name: value.replace({op.parent: row.op()}).to_expr()
            for name, value in op.values.items()
            if not (isinstance(value, ops.Field) and value.name == name)
        }
        if changed:
            columns = {name: str(type) for name, type in row.schema().items()}
            found.append(RowFunction(expressions(changed, row), columns))
        op = op.parent
    return found[::-1]
