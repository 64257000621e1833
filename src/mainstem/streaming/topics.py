"""Messages of a topic as events of a stream, each once: the offsets are written with the events.

A message that is no event is a dead letter, written in the same transaction. Servers that read one topic share its
partitions. While a partition moves, two of them may have its messages: what one has taken, the other finds below the
stored offset, and leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mainstem.errors import ConflictError, RequestError
from mainstem.logs import reached
from mainstem.logs.letters import Letter, append_letters
from mainstem.logs.records import Event
from mainstem.nodes.instants import micros_of
from mainstem.nodes.kafka import Kafka
from mainstem.nodes.records import now
from mainstem.ports import Writer
from mainstem.sources.kafka.messages import Decode, Message, Undecodable, json_object, record_of
from mainstem.sources.kafka.positions import Bounds, Span
from mainstem.streaming.changes import FIELDS
from mainstem.streaming.ingest import Ingest

BACKFILL = "mainstem-backfill"
"""The header of a message whose event arrived when it happened, as `"backfill": true` says of events by HTTP."""


class Taken(NamedTuple):
    """A message with its events, or why it is none. Without both it is left out: a tombstone to be skipped."""

    message: Message
    events: tuple[Event, ...] = ()
    problem: str | None = None


class Result(NamedTuple):
    """What one transaction took: numbers of events, of dead letters and of messages that were left out."""

    events: int
    letters: int
    skipped: int


Write = Callable[[Writer, Sequence[Event]], int]
"""Takes events within a transaction."""


def taken(messages: Sequence[Message], ingest: Ingest, node: Kafka, decode: Decode) -> list[Taken]:
    """Return messages with their events. Raises `Unavailable` before the first run."""
    found, rows = list[Taken](), list[tuple[Message, Any]]()
    for message in messages:
        if message.value is None and node.tombstones == "skip":
            found.append(Taken(message))
            continue
        try:
            rows.append((message, _fields(record_of(message, node, decode), ingest)))
        except Undecodable as problem:
            found.append(Taken(message, problem=str(problem)))
    accepted = _accepted(rows, ingest)
    if not found:
        return accepted
    order = {(message.partition, message.offset): number for number, message in enumerate(messages)}
    return sorted([*found, *accepted], key=lambda each: order[each.message.partition, each.message.offset])


def decoder(node: Kafka) -> Decode:
    """Return the function that reads values of a topic. Raises `MissingExtra`."""
    if node.format == "json":
        return json_object
    from mainstem.sources.kafka.avro import Schemas

    return Schemas(node).decode


def _accepted(rows: Sequence[tuple[Message, Any]], ingest: Ingest) -> list[Taken]:
    """Return the rows as events: all at once, or one by one if one of them is refused."""
    marks = {_is_backfill(message) for message, _ in rows}
    if not ingest.stream.changes and len(marks) < 2:
        try:
            events = ingest.accept([row for _, row in rows], backfill=True in marks)
        except RequestError:
            pass
        else:
            return [Taken(message, (_from(message, event),)) for (message, _), event in zip(rows, events, strict=True)]
    return [_one(message, row, ingest) for message, row in rows]


def _one(message: Message, row: Any, ingest: Ingest) -> Taken:
    try:
        events = ingest.accept([row], backfill=_is_backfill(message))
    except RequestError as problem:
        return Taken(message, problem=_told(problem))
    return Taken(message, tuple(_from(message, event) for event in events))


def _is_backfill(message: Message) -> bool:
    """Return whether a message says that its event arrived when it happened."""
    return any(name == BACKFILL and value == b"true" for name, value in message.headers)


def _from(message: Message, event: Event) -> Event:
    return Event(event.arrived, event.row, event.deleted, event.retracts, (message.partition, message.offset))


def _told(problem: RequestError) -> str:
    """Return why a row is refused, on one line, without the number that it had in its batch."""
    parts = problem.parts
    place = re.sub(r"^.*events\[\d+\]\.?", "", parts.get("where", ""))
    more = [f"{name} {parts[name]}" for name in ("got", "expected") if name in parts]
    return "; ".join([parts["what"] + (f" ({place})" if place else ""), *more])


def _fields(record: Mapping[str, Any], ingest: Ingest) -> Any:
    """Return the fields of a record that the stream's schema names. A topic may have more of them."""
    columns = ingest.schema.columns
    if not ingest.stream.changes:
        return {name: value for name, value in record.items() if name in columns}
    sides = {name: record[name] for name in FIELDS if name in record}
    return {
        name: {n: v for n, v in side.items() if n in columns} if isinstance(side, Mapping) else side
        for name, side in sides.items()
    }


class Landing:
    """Writes what was taken of a topic to a store, with the offsets. `cluster` is the id of the topic's cluster."""

    def __init__(self, stream: str, topic: str, cluster: str | None) -> None:
        self._stream, self._topic, self._cluster = stream, topic, cluster

    def begin(self, writer: Writer, found: Sequence[Span], bounds: Bounds) -> dict[int, int]:
        """Note where partitions begin that have no offset yet, or whose messages expired. Return the next offset of
        each.

        An offset that another server noted meanwhile stays, unless the messages from there on expired.
        """
        known = reached.get(writer, self._stream, self._topic, [span.partition for span in found])
        moved = {
            span.partition: span.first
            for span in found
            if span.partition not in known or known[span.partition] < bounds[span.partition][0]
        }
        if moved:
            reached.put(writer, self._stream, self._topic, self._cluster, moved)
        return {**known, **moved}

    def write(
        self,
        writer: Writer,
        messages: Sequence[Taken],
        ends: Mapping[int, int],
        expected: Mapping[int, int],
        take: Write,
    ) -> Result:
        """Take messages that no transaction took before. `ends` are the next offsets, `expected` those of the last
        transaction of this reader: they may have moved on, but not back.

        Raises `ConflictError` if the store has lost them.
        """
        stored = reached.get(writer, self._stream, self._topic, ends)
        behind = [partition for partition in ends if stored.get(partition, -1) < expected.get(partition, -1)]
        if behind:
            lost = behind[0]
            raise ConflictError(
                f"the online store of the stream {self._stream!r} was replaced while its topic was read",
                got=f"partition {lost} at offset {stored.get(lost, 'none')}",
                expected=f"offset {expected[lost]}",
                hint="the server begins again where the store says",
            )
        fresh = [each for each in messages if each.message.offset >= stored.get(each.message.partition, 0)]
        events = [event for each in fresh for event in each.events]
        take(writer, events)
        at = micros_of(now())
        letters = [
            Letter(at, each.problem, each.message.origin, each.message.raw())
            for each in fresh
            if each.problem is not None
        ]
        append_letters(writer, self._stream, letters)
        moved = {partition: end for partition, end in ends.items() if end > stored.get(partition, -1)}
        reached.put(writer, self._stream, self._topic, self._cluster, moved)
        skipped = sum(not each.events and each.problem is None for each in fresh)
        return Result(len(events), len(letters), skipped)
