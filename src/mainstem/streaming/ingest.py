"""Write events to the log and, in the same transaction, to the features that they change.

An acknowledged event is on disk and counted once. A view's state has the offset of its next event. If events reached
the log while the view was built by another process, they are applied before any newer one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mainstem.errors import RequestError, Unavailable
from mainstem.features.online.corrections import corrections
from mainstem.features.online.view import OnlineView
from mainstem.graph.units import MINUTE
from mainstem.logs.reading import chunks
from mainstem.logs.records import Event, append, decode_event, encode, events_of
from mainstem.logs.standing import resolved
from mainstem.nodes.definition import Definition
from mainstem.nodes.hidden import ARRIVED, DELETED, SEQ, visible
from mainstem.nodes.instants import instant_of, micros_of
from mainstem.nodes.records import now
from mainstem.nodes.sources import Stream
from mainstem.ports import Store, Writer
from mainstem.streaming.changes import changes_in
from mainstem.streaming.rows import RowSchema, iso

AHEAD = 5 * MINUTE
"""The default of how much later than the clock an event may be, since the clocks of senders differ."""


class Ingest:
    """Takes the events of a stream for its views.

    `cutover` is the instant from which events count; earlier ones belong to the history. If a stream with history has
    no recorded cutover, events are refused. `floor` is the end of the lake's copy: a log that ends before it is another
    log. An event may be later than the clock by at most `ahead` (µs).
    """

    def __init__(
        self,
        definition: Definition,
        views: Sequence[OnlineView],
        store: Store,
        cutover: datetime | None = None,
        floor: int = 0,
        ahead: int = AHEAD,
    ) -> None:
        assert isinstance(definition.node, Stream) and definition.events is not None
        self.name, self.stream, self.views = definition.name, definition.node, tuple(views)
        columns = visible(definition.schema or {})
        self.time = str(self.stream.time)
        required = tuple(dict.fromkeys((*self.stream.key, self.time)))
        self.schema = RowSchema(columns, required=required, where=f"stream {self.name}")
        self._store, self._log, self._floor = store, events_of(self.name), floor
        self._cutover = None if cutover is None else micros_of(cutover)
        self._ahead = ahead
        self._correct = corrections(definition)

    def accept(self, rows: Sequence[Any], *, backfill: bool = False, at: datetime | None = None) -> list[Event]:
        """Check rows and return them as events. They arrive now (or `at`); backfilled ones arrive when they happened.

        In a stream of changes each row is a change. Raises `RequestError` for the first invalid row, and `Unavailable`
        before the first run.
        """
        arrived = micros_of(at or now())
        if self.stream.changes:
            found = changes_in(rows, self.schema, self.time, None if backfill else arrived)
            self._check_times([event.row for event in found], arrived)
            return found
        checked = self.schema.check(rows, "events")
        self._check_times(checked, arrived)
        return [Event(row[self.time] if backfill else arrived, row) for row in checked]

    def write(self, writer: Writer, events: Sequence[Event]) -> int:
        """Append events and apply them to every view. Return the first offset. Raises `StorageError`."""
        return self.add(writer, self.resolved(writer, events))

    def resolved(self, writer: Writer, events: Sequence[Event]) -> Sequence[Event]:
        """Return events for `add` and `take`: in a stream of changes, deletions name the rows that they retract."""
        return resolved(writer, self.name, self.stream.key, events) if self.stream.changes and events else events

    def add(self, writer: Writer, events: Sequence[Event]) -> int:
        """Do the same as `write` with resolved events."""
        first = append(writer, self._log, [encode(event) for event in events], self._floor)
        self.take(writer, events, first)
        return first

    def take(self, writer: Writer, events: Sequence[Event], first: int) -> None:
        """Apply the events of the log from the offset `first` on to every view that lacks them."""
        end = first + len(events)
        behind = [view for view in self.views if view.meta(writer).offset < end]
        for view in behind:
            self._catch_up(writer, view, first)
        if events and behind:
            columns = self._columns(range(first, end), events)
            for view in behind:
                view.apply(writer, columns, end)

    def _catch_up(self, writer: Writer, view: OnlineView, end: int) -> None:
        for chunk in chunks(self._store, self._log, view.meta(writer).offset, end):
            columns = self._columns([o for o, _ in chunk], [decode_event(payload) for _, payload in chunk])
            view.apply(writer, columns, chunk[-1][0] + 1)

    def _columns(self, offsets: Sequence[int], events: Sequence[Event]) -> Mapping[str, Sequence[Any]]:
        columns: dict[str, Sequence[Any]] = {
            name: [event.subject.get(name) for event in events] for name in self.schema.columns
        }
        columns |= {SEQ: list(offsets), ARRIVED: [event.arrived for event in events]}
        if self.stream.changes:
            columns[DELETED] = [event.deleted for event in events]
        return self._correct(columns)

    def _check_times(self, rows: Sequence[Mapping[str, Any]], present: int) -> None:
        latest = present + self._ahead
        for index, row in enumerate(rows):
            if row[self.time] > latest:
                raise RequestError(
                    "the event is later than the clock allows",
                    where=f"stream {self.name}, events[{index}].{self.time}",
                    got=iso(instant_of(row[self.time])),
                    expected=f"at most {iso(instant_of(latest))}: now plus the setting [serve] ahead",
                    hint="check the sender's clock and its time zone",
                )
        self._on_this_side(rows)

    def _on_this_side(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.stream.history is None:
            return
        if self._cutover is None:
            raise Unavailable(
                f"stream {self.name!r} does not accept events yet: the end of its history is not recorded",
                hint="mainstem run",
            )
        for index, row in enumerate(rows):
            if row[self.time] < self._cutover:
                raise RequestError(
                    "the event is before the stream's cutover",
                    where=f"stream {self.name}, events[{index}].{self.time}",
                    got=instant_of(row[self.time]).isoformat(),
                    expected=f"at or after {instant_of(self._cutover).isoformat()}",
                    hint="add it to the history instead, so that it counts once",
                )
