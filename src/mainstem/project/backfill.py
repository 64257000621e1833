"""The span of a backfill, as a user gives it."""

from __future__ import annotations

from datetime import UTC, date, datetime

from mainstem.errors import DefinitionError, NotFound
from mainstem.graph.selection import select as selected
from mainstem.nodes.definition import Graph
from mainstem.nodes.spans import LAST, Span, second_of
from mainstem.nodes.tables import Table
from mainstem.planning.outlook import is_by_time

Moment = str | date | datetime
"""A date or an instant, or its ISO 8601 text. Without a time zone it is UTC."""


def span_of(
    graph: Graph, start: Moment | None, end: Moment | None, select: str | None, full_refresh: bool = False
) -> Span | None:
    """Return the span from `start` to before `end`; None without both. Raises `DefinitionError`, or `NotFound` if no
    selected table is incremental."""
    if start is None and end is None:
        return None
    if start is None:
        raise DefinitionError("a backfill requires a start", got=f"--end {end}", expected="--start 2026-01-01")
    if full_refresh:
        raise DefinitionError(
            "a full refresh builds all intervals", got="--full-refresh and --start", expected="one of them"
        )
    span = Span(_second(start, "start"), LAST if end is None else _second(end, "end"))
    if span.start >= span.end:
        raise DefinitionError(
            "the backfill has no interval: its end is not after its start",
            got=f"--start {start} --end {end}",
            expected="an end after the start; the end itself is not included",
        )
    chosen = selected(graph.dag, select)
    if not any(is_by_time(graph[name]) for name in chosen if name in graph):
        tables = [name for name in graph.of(Table) if name in chosen]
        raise NotFound(
            "no selected table is incremental, and no selected source has a key and a cursor of time",
            got=", ".join(tables) or "no table",
            expected='a table with @ms.table(incremental="sold_at")',
            hint="mainstem run --full-refresh builds all rows of the other tables",
        )
    return span


def _second(moment: Moment, name: str) -> int:
    try:
        return second_of(datetime.fromisoformat(moment) if isinstance(moment, str) else moment)
    except (ValueError, TypeError, AttributeError):
        raise DefinitionError(
            f"--{name} is not a date", got=str(moment), expected=f"--{name} {datetime.now(UTC):%Y-%m-%d}"
        ) from None
