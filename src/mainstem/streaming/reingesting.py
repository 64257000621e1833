"""What was set aside of a stream comes in again: rows of quarantine, log entries, and dead letters of its topic.

A dead letter that is an event now goes to the log, where it arrives now. A mark in the same transaction says so, so a
run that is killed, or does not publish, does not make two events of it. Rows and log entries were in the log already:
those that the table has, or that the drain reads again, do not come in. A rollback leaves such rows set aside.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis

from mainstem.checks.audit import QUARANTINE, aside_of
from mainstem.checks.calendar import IN_CALENDAR
from mainstem.graph.named import named
from mainstem.nodes.hidden import CHECK, ORIGIN, RAW, SEQ
from mainstem.nodes.kafka import Kafka
from mainstem.nodes.records import Release
from mainstem.planning.execution import Context
from mainstem.ports import DataFile, Scan, Snapshot, Store, Writer
from mainstem.sources.kafka.messages import Message
from mainstem.streaming.ingest import Ingest
from mainstem.streaming.topics import Taken, decoder, taken
from mainstem.streaming.unreadable import PAYLOAD, PREFIX, REASON, SCHEMA, newest

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 10_000
"""The most rows at a time."""

Why = Callable[[tuple[int, bytes]], str | None]
"""Returns why an entry of the log is no row, or None if it is one."""

Lacking = Callable[[Sequence[int]], Collection[int]]
"""Returns the offsets of the log whose entries the drain does not read, and the table does not have."""


class Again(NamedTuple):
    """What is taken in again: entries of the log that are rows now, how many dead letters are events now, and what
    stays in `unreadable.NAME`; None if that stays as it is."""

    entries: Sequence[tuple[int, bytes]] = ()
    letters: int = 0
    left: pa.Table | None = None

    @property
    def message(self) -> str:
        """What a run says of dead letters that are events now."""
        return (
            f"{self.letters:,} dead letter{'s are events' if self.letters > 1 else ' is an event'} now"
            if self.letters
            else ""
        )


def again(context: Context, name: str, store: Store, ahead: int, why: Why, lacking: Lacking) -> Again:
    """Take in again what is in `unreadable.NAME`. Events may be later than the clock by `ahead` (µs).

    Raises `Unavailable` before the stream's cutover is recorded, and `StorageError`.
    """
    import pyarrow as pa

    if not any(held.rows for held in _held(context, name)):
        return Again()
    letters, entries, left, count = _Letters(context, name, store, ahead), list[tuple[int, bytes]](), list[Any](), 0
    for rows in _unreadable(context, name):
        told = letters.take([row for row in rows if row.get(ORIGIN)])
        wanted = lacking([row[SEQ] for row in rows if not row.get(ORIGIN)])
        for row in rows:
            if row.get(ORIGIN):
                reason = told[row[SEQ]]
                count += reason is None
            elif row[SEQ] not in wanted:
                continue
            else:
                entry = (row[SEQ], base64.b64decode(row[PAYLOAD]))
                reason = why(entry)
                entries += [entry] if reason is None else []
            if reason is not None:
                left.append({**row, REASON: reason})
    return Again(entries, count, pa.Table.from_pylist(left, schema=ibis.schema(SCHEMA).to_pyarrow()))


def _held(context: Context, name: str) -> list[Snapshot]:
    """Return the newest snapshot of what is unreadable, and that of the release, which is another after a rollback."""
    found = (newest(context, PREFIX + name), context.release.tables.get(PREFIX + name))
    return list({held.id: held for held in found if held is not None}.values())


def _unreadable(context: Context, name: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the newest rows, and log entries that only the release has: they came in again in a later one. Letters that
    did are events in the log now."""
    seen = set[int]()
    for number, held in enumerate(_held(context, name)):
        with context.engine.session({held.table: context.scan(held)}) as session:
            table = ibis.table({f.name: f.type for f in held.fields}, name=held.table)
            for batch in session.batches(table, ROWS):
                rows = batch.to_pylist()
                if number:
                    yield [row for row in rows if not row.get(ORIGIN) and row[SEQ] not in seen]
                else:
                    seen.update(row[SEQ] for row in rows if not row.get(ORIGIN))
                    yield rows


@dataclass
class _Letters:
    """Dead letters of the topic that feeds a stream."""

    context: Context
    name: str
    store: Store
    ahead: int
    _ingest: Ingest = field(init=False)

    def __post_init__(self) -> None:
        definition, cutover = self.context.graph[self.name], self.context.release.cutovers.get(self.name)
        self._ingest = Ingest(definition, (), self.store, cutover, ahead=self.ahead)

    def take(self, rows: Sequence[Mapping[str, Any]]) -> dict[int, str | None]:
        """Append those that are events now to the log. Return for each why it is none, by its number."""
        node = self._ingest.stream.from_
        told: dict[int, str | None] = {row[SEQ]: row[REASON] for row in rows}
        messages = {row[SEQ]: Message.parse(json.loads(row[RAW])) for row in rows}
        if not isinstance(node, Kafka) or not any(message.topic == node.topic for message in messages.values()):
            return told
        own = {number: message for number, message in messages.items() if message.topic == node.topic}
        numbers = {(message.partition, message.offset): number for number, message in own.items()}
        events = taken(list(own.values()), self._ingest, node, decoder(node))
        found = {numbers[each.message.partition, each.message.offset]: each for each in events}
        with self.store.transaction() as writer:
            fresh = [number for number in sorted(found) if self._is_new(writer, number, found[number])]
            self._ingest.write(writer, [event for number in fresh for event in found[number].events])
            writer.put_many(self._space, {_key(number): b"" for number in fresh})
        return told | {number: each.problem for number, each in found.items()}

    def _is_new(self, writer: Writer, number: int, letter: Taken) -> bool:
        return letter.problem is None and writer.get(self._space, _key(number)) is None

    @property
    def _space(self) -> str:
        """Where the numbers of dead letters are that became events."""
        return f"retaken/{self.name}"


def _key(number: int) -> bytes:
    return number.to_bytes(8, "big")


class Doubtful(NamedTuple):
    """Rows of `quarantine.NAME`: those with all of their values, and those that lost one that no file can hold."""

    relations: Mapping[str, Scan]
    whole: ibis.Table
    broken: ibis.Table


def doubtful(context: Context, name: str, start: int, base: Snapshot | None, release: Release) -> Doubtful | None:
    """Return the rows of a stream that checks set aside, of the release that has `base`, as far as the drain does not
    read them from `start` on and the table at `base` does not have them; None without rows set aside."""
    held = release.tables.get(QUARANTINE + name)
    if held is None or not held.rows:
        return None
    relations = {held.table: context.scan(held)}
    table = ibis.table({f.name: f.type for f in held.fields}, name=held.table)
    table = table.filter(table[SEQ] < start)
    if base is not None:
        relations[base.table] = context.scan(base)
        there = ibis.table({f.name: f.type for f in base.fields}, name=base.table)
        table = table.anti_join(there, SEQ)
    lost = table[CHECK].startswith(IN_CALENDAR).fill_null(False)
    return Doubtful(relations, table.filter(~lost), table.filter(lost))


def still_broken(context: Context, name: str, doubts: Doubtful | None) -> tuple[DataFile, ...]:
    """Write the rows that stay set aside, since a value of theirs is lost."""
    if doubts is None:
        return ()
    place, rows = aside_of(context, name), doubts.broken
    values = {f.name: rows[f.name].cast(f.type) if f.name in rows.columns else ibis.null(f.type) for f in place.fields}
    with context.engine.session(doubts.relations) as session:
        return session.write(rows.select(*named(values)), place)
