"""What is no row, kept as it came, with the reason, in `unreadable.RELATION`: log entries and dead letters of a topic.

The drain goes on. The snapshot's cursor is the next offset in the log of dead letters.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

import ibis
import pyarrow as pa

from mainstem.errors import SnapshotGone
from mainstem.graph.named import named
from mainstem.logs.letters import decode_letter, letters_of
from mainstem.nodes.hidden import ORIGIN, RAW, RUN, SEQ, SET_ASIDE_AT
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.records import Release, now
from mainstem.planning.execution import Context
from mainstem.ports import Append, Change, DataFile, EventLog, ReplaceAll, Snapshot, Target

PREFIX = "unreadable."
REASON, PAYLOAD = "reason", "payload"
SCHEMA = {
    SEQ: "int64",
    REASON: "string",
    PAYLOAD: "string",
    RUN: "string",
    SET_ASIDE_AT: INSTANT,
    ORIGIN: "string",
    RAW: "string",
}
"""The offset in the log, why the entry is no row, its bytes in base64, the run, when it was set aside, and of a dead
letter where it came from, and the message in JSON instead of its bytes."""


CHANGE = "mainstem.change"
"""The snapshot property with the number of changes before it, and its own."""


class Unreadable(NamedTuple):
    """A log entry that cannot be written as a row, and why."""

    offset: int
    payload: bytes
    reason: str
    origin: str | None = None


class Letters(NamedTuple):
    """Dead letters that are not in the lake yet, and the next offset in their log; None without a log."""

    found: Sequence[Unreadable]
    end: int | None

    @property
    def message(self) -> str:
        """What a run says of dead letters."""
        count = len(self.found)
        return f"{count:,} message{'s are' if count > 1 else ' is'} no event: kept with the reason" if count else ""


def dead_letters(context: Context, stream: str, log: EventLog) -> Letters:
    """Return the dead letters of a stream that are not in the lake yet. Those that a release has leave the log."""
    name, base = letters_of(stream), newest(context, PREFIX + stream)
    start = int(base.cursor or 0) if base else 0
    if not log.end(name) and start:
        log.begin(name, start)  # the store was lost
    end = log.end(name)
    if not end:
        return Letters((), None)
    head = context.state.get(Release, context.state.head(context.branch) or "")
    released = head.tables.get(PREFIX + stream) if head else None
    if base is not None and released is not None and base.id == released.id:
        log.trim(name, start)
    found = list[Unreadable]()
    for offset, payload in log.entries(name, start):
        letter = decode_letter(payload)
        found.append(Unreadable(offset, letter.raw.encode(), letter.reason, letter.origin))
        end = offset + 1
    return Letters(found, end)


def keep(
    context: Context,
    relation: str,
    found: Sequence[Unreadable],
    cursor: int | None = None,
    left: pa.Table | None = None,
) -> dict[str, Snapshot]:
    """Commit entries beside those of earlier runs, or beside those of them that are `left`. Return an empty mapping
    where nothing changes."""
    if not found and left is None:
        return {}
    name, moment = PREFIX + relation, now()
    target, base = context.lake.target(name, SCHEMA), newest(context, name)
    rows = {
        SEQ: [each.offset for each in found],
        REASON: [each.reason for each in found],
        PAYLOAD: [None if each.origin else base64.b64encode(each.payload).decode() for each in found],
        RUN: [context.run] * len(found),
        SET_ASIDE_AT: [moment] * len(found),
        ORIGIN: [each.origin for each in found],
        RAW: [each.payload.decode() if each.origin else None for each in found],
    }
    new = pa.table(rows, schema=ibis.schema(SCHEMA).to_pyarrow())
    new = new if left is None else pa.concat_tables([left, new])
    files: tuple[DataFile, ...] = ()
    if new.num_rows:
        with context.engine.session({"unreadable": new}) as session:
            files = session.write(ibis.table(SCHEMA, name="unreadable"), target)
    change: Change = Append() if left is None else ReplaceAll()
    if base is not None and base.fields != target.fields and left is None:
        files, change = (*files, *_moved(context, base, target)), ReplaceAll()
    reached = base.cursor if cursor is None and base is not None else cursor
    kept = context.lake.commit(
        name,
        target,
        files,
        base=base,
        run=context.run,
        change=change,
        cursor=None if reached is None else str(reached),
        properties={CHANGE: str(_number(base) + 1)},
    )
    return {name: kept}


def _number(snapshot: Snapshot | None) -> int:
    return int(snapshot.properties.get(CHANGE, 0)) if snapshot else 0


def newest(context: Context, name: str) -> Snapshot | None:
    """Return the snapshot that reaches furthest: a rollback does not bring entries back to the log, and an erasure
    leaves a snapshot with fewer rows, as taking in again does."""
    releases = [context.release, *context.ancestors]
    every = {release.tables[name].id: release.tables[name] for release in releases if name in release.tables}
    held = [snapshot for snapshot in every.values() if _is_there(context, snapshot)]
    return max(held, key=lambda each: (int(each.cursor or 0), _number(each), each.rows), default=None)


def _is_there(context: Context, snapshot: Snapshot) -> bool:
    try:
        context.lake.scan(snapshot)
    except SnapshotGone:
        return False
    return True


def _moved(context: Context, base: Snapshot, target: Target) -> tuple[DataFile, ...]:
    """Write the entries of a snapshot from before entries had an origin."""
    old = ibis.table({field.name: field.type for field in base.fields}, name="before")
    values = {name: old[name] if name in old.columns else ibis.null(type) for name, type in SCHEMA.items()}
    with context.engine.session({"before": context.scan(base)}) as session:
        return session.write(old.select(*named(values)), target)
