"""Incremental tables while a project is loaded and planned: what they must declare, and which intervals are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.nodes.spans import Span, aligned, moment_of, seconds, told
from mainstem.nodes.tables import Table
from mainstem.nodes.verbs import Hash, Verb
from mainstem.planning.outlook import Outlook
from mainstem.tables.intervals import ledger_of

_DAY = 86_400


def check_intervals(node: Table, verbs: Sequence[Verb], schema: Mapping[str, str], place: str) -> None:
    """Refuse a column of intervals that is not an instant or a date, and verbs that compare rows.

    Raises `UnknownName`, `SchemaError` or `DefinitionError`.
    """
    column = node.incremental
    if column is None:
        return
    if column not in schema:
        raise UnknownName.among("column", column, schema, where=place)
    kind = schema[column]
    if not kind.startswith(("timestamp", "date")):
        raise SchemaError(
            f"`incremental` requires a date or an instant: {column!r}",
            where=place,
            got=kind,
            expected="date or timestamp",
        )
    if kind == "date" and seconds(node.interval) % _DAY:
        raise DefinitionError(
            f"the intervals of {column!r}, a date, must be whole days", where=place, got=node.interval, expected='"1d"'
        )
    for verb in verbs if node.intervals else ():
        if not verb.rowwise or isinstance(verb, Hash) or column in verb.changed:
            raise DefinitionError(
                f"an incremental table cannot be cleaned by {verb.describe()}",
                where=place,
                expected=f"verbs that treat each row by itself, with constant results, and leave {column!r} as it is",
                hint="clean a table of its own, and read it in this one",
            )


def intervals_due(name: str, node: Table, outlook: Outlook) -> tuple[str, ...]:
    """Return which intervals a build will make, as far as it is known before the inputs are read."""
    length = seconds(node.interval)
    held = outlook.release.tables.get(name)
    newest = None if held is None else ledger_of(held).newest
    unmade = outlook.unmade(name, "never built")
    if unmade is not None and unmade.text != "a backfill":
        return (f"all intervals of {node.interval}",)
    found = []
    if outlook.situation.between:
        found.append(told([aligned(outlook.situation.between, length)], length, node.interval))
    found.append("the intervals of new or changed rows")
    if node.lookback and newest is not None:
        start = Span(newest - -(-seconds(node.lookback) // length) * length)
        found.append(f"those from {moment_of(start.start):%Y-%m-%d %H:%M} on (lookback {node.lookback})")
    return (", ".join(found),)
