"""The partition of a table: `"country"`, or `"month(sold_at)"`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mainstem.errors import SchemaError, UnknownName
from mainstem.nodes.base import names, refused
from mainstem.ports import Partition

_UNIT = re.compile(r"(year|month|day|hour)\(\s*(.+?)\s*\)")


def partitions(given: str | Sequence[str] | None, parts: Any, where: str | None = None) -> tuple[Partition, ...]:
    """Return a declared partition. Raises `DefinitionError` for one beside `parts`: an order of all rows, or a way in
    which a run replaces parts of the table."""
    found = tuple(_partition(text) for text in names(given))
    if found and parts:
        problem = refused(
            "`partition` does not go with `sort`, `incremental`, `write` or `versions`", parts, "`partition` without it"
        )
        problem.where = where or problem.where
        raise problem
    return found


def _partition(text: str) -> Partition:
    match = _UNIT.fullmatch(text.strip())
    unit: Any = match[1] if match else "value"
    return Partition(match[2] if match else text, unit)


def partition_of(node: Any) -> tuple[Partition, ...]:
    """Return the partition of a node's rows."""
    found: tuple[Partition, ...] = getattr(node, "partition", ())
    return found


def check_partition(node: Any, schema: Mapping[str, str]) -> None:
    """Refuse a column that the table does not have, and one whose values cannot part it. Raises `UnknownName` or
    `SchemaError`."""
    for column, unit in partition_of(node):
        if column not in schema:
            raise UnknownName.among("column", column, schema)
        kind, expected = schema[column], "text, an integer, a boolean or a date"
        if unit == "value":
            fits = kind in ("string", "boolean", "date") or kind.startswith(("int", "uint"))
        else:
            expected = "a date or an instant" if unit != "hour" else "an instant"
            fits = kind.startswith("timestamp") or (kind == "date" and unit != "hour")
        if not fits:
            raise SchemaError(
                f"{column!r} cannot part a table" if unit == "value" else f"{column!r} has no {unit}",
                got=kind,
                expected=expected,
                hint=f'partition="month({column})"' if kind.startswith("timestamp") else None,
            )
