"""Relations while a project is resolved: unbound tables, their types, and the columns that a node declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mainstem.checks.violations import validate
from mainstem.errors import SchemaError, UnknownName
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.sources import Source
from mainstem.nodes.tables import Table

if TYPE_CHECKING:
    import ibis


def unbound(name: str, schema: Mapping[str, str]) -> ibis.Table:
    """Return an unbound table of that name and schema."""
    import ibis

    return ibis.table(dict(schema), name=name)


def types_of(table: ibis.Table) -> dict[str, str]:
    """Return the columns of a table with their Ibis types."""
    return {name: str(dtype) for name, dtype in table.schema().items()}


def check_columns(node: Source | Table, schema: Mapping[str, str]) -> None:
    """Raise `UnknownName` or `SchemaError` for a key, a time or a check that does not fit the schema."""
    for column in (*node.key, *([node.time] if node.time else [])):
        if column not in schema:
            raise UnknownName.among("column", column, schema)
    if node.time and not schema[node.time].startswith("timestamp('UTC'"):
        raise SchemaError(
            f"the time {node.time!r} is not an instant",
            got=schema[node.time],
            expected=INSTANT,
            hint="give it a time zone; a naive timestamp is ambiguous",
        )
    if node.checks:
        validate(unbound("checked", schema), node.checks)
