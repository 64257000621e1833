"""Streams: events from a log, preceded by their history, without retracted ones. A run drains the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mainstem.errors import SchemaError
from mainstem.graph.named import named
from mainstem.logs.letters import letters_of
from mainstem.logs.records import events_of
from mainstem.nodes.base import NodeRef
from mainstem.nodes.definition import Definition
from mainstem.nodes.hidden import ARRIVED, DELETED, GONE, SEQ, is_hidden, visible_names
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.sources import Stream
from mainstem.planning.kinds import Due, due
from mainstem.planning.outlook import Outlook
from mainstem.project.kinds.base import Log
from mainstem.project.kinds.scope import Scope
from mainstem.project.kinds.source import AnySource, observed, reingested
from mainstem.tables.memory import Memory

if TYPE_CHECKING:
    import ibis


class StreamKind(AnySource[Stream]):
    node_type = Stream

    def define(self, name: str, node: Stream, inputs: tuple[str, ...], scope: Scope) -> Definition:
        for column, kind in (node.schema or {}).items():
            _check_type(column, kind)
        return super().define(name, node, inputs, scope)

    def references(self, node: Stream, memory: Memory | None = None) -> Sequence[NodeRef]:
        return [] if node.history is None else [node.history]

    def hidden(self, node: Stream) -> Sequence[str]:
        return [*super().hidden(node), ARRIVED, *([DELETED] if node.changes else [])]

    def events(self, name: str, node: Stream, inputs: tuple[str, ...], stored: ibis.Table, scope: Scope) -> ibis.Table:
        events = _versions(stored, node.key) if node.changes else stored
        if not inputs:
            return events
        past = scope.done[inputs[0]].read
        assert past is not None
        return _united(events, _like(events, past, inputs[0], str(node.time)), str(node.time), scope.cutovers.get(name))

    def due(self, name: str, node: Stream, outlook: Outlook) -> Iterable[Due]:
        reason = reingested(name, outlook) or outlook.pending(name) or outlook.unmade(name, "never drained")
        return due("drain", reason or (observed(name, outlook) if node.from_ is not None else None), "data")

    def log(self, name: str) -> Log:
        return Log(events_of(name), name, (Log(letters_of(name), f"unreadable.{name}"),))


def _check_type(column: str, kind: str) -> None:
    """Refuse a column that an event cannot carry, before a server fails to load the release."""
    from mainstem.streaming.rows import converter

    try:
        converter(kind)
    except SchemaError as problem:
        problem.what = f"the column {column!r} has an unsupported type for events"
        raise


def _versions(log: ibis.Table, key: Sequence[str]) -> ibis.Table:
    """Return the rows that ever existed, each with the arrival of the change that retracted it, or null.

    In the order of arrival, the next row of the same key is the deletion of a row, or it does not affect it.
    """
    import ibis

    following = ibis.window(group_by=list(key), order_by=SEQ)
    taken_back = log[DELETED].lead().over(following).fill_null(False)
    gone = taken_back.ifelse(log[ARRIVED].lead().over(following), ibis.null(log[ARRIVED].type()))
    rows: ibis.Table = log.mutate(**{GONE: gone})
    return rows.filter(~rows[DELETED]).drop(DELETED)


def _like(events: ibis.Table, past: ibis.Table, history: str, time: str) -> ibis.Table:
    """Return the history with the columns of the events. Raises `SchemaError` if it does not fit."""
    import ibis

    missing = [c for c in events.columns if c not in past.columns and not is_hidden(c)]
    if missing:
        raise SchemaError(
            f"the history {history!r} lacks columns of the stream",
            got=", ".join(past.columns),
            expected=", ".join(visible_names(events.columns)),
        )
    given = {c: past[c] for c in visible_names(events.columns)}
    unlike = [c for c, column in given.items() if not column.type().castable(events[c].type())]
    if unlike:
        raise SchemaError(
            f"{unlike[0]!r} has a different type in the history {history!r}",
            got=str(past[unlike[0]].type()),
            expected=str(events[unlike[0]].type()),
        )
    values = {**given, SEQ: ibis.null("int64"), ARRIVED: past[time], GONE: ibis.null(INSTANT)}
    return past.select(*named({c: values[c].cast(events[c].type()) for c in events.columns}))


def _united(events: ibis.Table, past: ibis.Table, time: str, cutover: datetime | None) -> ibis.Table:
    """Return the history before the cutover and the events from it on. No event is on both sides, and none is lost."""
    import ibis

    if cutover is None:
        return past.union(events)
    instant = ibis.literal(cutover).cast(events[time].type())
    return past.filter(past[time] < instant).union(events.filter(events[time] >= instant))
