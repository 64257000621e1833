"""A look at a source as text: whether it is there, its columns beside the known ones, rows, and how fresh they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mainstem.cli.render import tables
from mainstem.cli.render.words import count, instant

if TYPE_CHECKING:
    from mainstem.sources.looking import Look, SourceColumn


def look(found: Look, width: int) -> Iterator[Any]:
    """Yield the lines."""
    yield f"{found.name}: reachable, {found.kind}, {found.seconds:.2f} s until the schema was known"
    if found.latest is not None and found.age is not None:
        yield f"latest time of {count(found.read)} rows: {instant(found.latest)}, {_age(found.age)}"
    yield tables.grid(("column", "type now", "schemas.lock", ""), [_column(each) for each in found.columns])
    names = list(found.rows[0]) if found.rows else []
    if names:
        yield from tables.rows(names, list(found.rows), width)
    more = "all" if found.whole else "the first"
    yield f"{count(len(found.rows))} of {more} {count(found.read)} rows that were read; nothing was collected"


def _column(column: SourceColumn) -> tuple[str, str, str, str]:
    said = ""
    if column.locked is None:
        said = "new"
    elif column.type is None:
        said = "missing"
    elif column.type != column.locked:
        said = "changed"
    return column.name, column.type or "", column.locked or "", said


def _age(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    unit, size = next(((u, s) for u, s in (("d", 86_400), ("h", 3_600), ("min", 60)) if abs(seconds) >= s), ("s", 1))
    return f"{abs(seconds) // size} {unit} {'ago' if seconds >= 0 else 'from now'}"
