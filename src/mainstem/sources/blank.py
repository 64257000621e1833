"""Columns without a value: text until a value comes, whose type they then have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import ibis

from mainstem.graph.named import named
from mainstem.nodes.sources import Source
from mainstem.nodes.statistics import Statistics

if TYPE_CHECKING:
    from mainstem.planning.execution import Context

TEXT = "string"


def blank(node: Source, counted: Statistics | None) -> frozenset[str]:
    """Return the columns of text that have no value in a snapshot, and whose type the contract lets evolve.

    A type that the source declares, and those of the key, the time and the cursor, stay as they are.
    """
    if counted is None or not counted.rows:
        return frozenset()
    fixed = {*(node.schema or {}), *node.key, node.time, node.cursor}
    return frozenset(
        name
        for name, column in counted.columns.items()
        if column.type == TEXT and column.nulls == counted.rows and name not in fixed and node.policy(name) == "evolve"
    )


def with_values(context: Context, table: str, names: frozenset[str]) -> frozenset[str]:
    """Return the columns that have a value in a stored table: the rows that were set aside keep their texts."""
    held = context.release.tables.get(table)
    columns = {field.name: field.type for field in held.fields} if held is not None and held.rows else {}
    if held is None or not (names := names & columns.keys()):
        return frozenset()
    rows = ibis.table(columns, name=table)
    with context.engine.session({table: context.scan(held)}) as session:
        (found,) = session.fetch(rows.aggregate(named({name: rows[name].count() for name in names}))).to_pylist()
    return frozenset(name for name, count in found.items() if count)


def no_value(names: Iterable[str]) -> str:
    """Return what a run says of columns without a value."""
    every = sorted(names)
    return f"no value yet in {', '.join(every)}: text until one comes" if every else ""
