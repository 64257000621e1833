"""Apply remedies to arriving events: each verb as a function of rows.

Therefore online state has the same events as a query over the lake. The log keeps the sent rows. A remedy that cannot
be applied row by row is refused when the project loads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ibis

from mainstem.features.rowwise.on_demand import RowFunction, canonical
from mainstem.nodes.definition import Definition
from mainstem.nodes.findings import Rule
from mainstem.tables.corrections import corrected_by

Columns = Mapping[str, Sequence[Any]]
Correct = Callable[[Columns], Columns]


def corrections(definition: Definition) -> Correct:
    """Return the function that applies a stream's remedies to columns of events, including hidden columns.

    Columns that no remedy changes are returned unchanged.
    """
    assert definition.events is not None
    row = ibis.table(definition.events.schema(), name="row")
    functions = [_function(rule, row) for rule in definition.rules]

    def correct(columns: Columns) -> Columns:
        for function in functions:
            known = {name: list(values) for name, values in columns.items() if name in function.columns}
            columns = {**columns, **function.batch(known)}
        return columns

    return correct


def _function(rule: Rule, row: ibis.Table) -> RowFunction:
    assert rule.verb.rowwise  # other verbs were refused when the project was loaded
    projection: Any = corrected_by(row, rule).op()
    changed = {rule.column: projection.values[rule.column].to_expr()}
    return RowFunction(canonical(changed, row), {name: str(type) for name, type in row.schema().items()})
