"""Columns without a value: text until a value comes, whose type they then have."""

from __future__ import annotations

from collections.abc import Iterable

from mainstem.nodes.sources import Source
from mainstem.nodes.statistics import Statistics

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


def no_value(names: Iterable[str]) -> str:
    """Return what a run says of columns without a value."""
    every = sorted(names)
    return f"no value yet in {', '.join(every)}: text until one comes" if every else ""
