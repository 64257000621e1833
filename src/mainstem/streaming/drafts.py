"""The entries of one log on the way into one stored relation: where they go on, which are rows, and what is committed.

After a rollback a draft goes on at the newest snapshot: the log may have lost the entries before it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import ibis
import msgspec
import pyarrow as pa

from mainstem.errors import SchemaError, StorageError
from mainstem.graph.named import named
from mainstem.logs import reached
from mainstem.logs.predictions import each_row, size_of
from mainstem.nodes.hidden import SEQ
from mainstem.nodes.records import Release
from mainstem.nodes.verbs.values import Cast
from mainstem.planning.execution import Context
from mainstem.planning.outlook import OBSERVED
from mainstem.ports import DataFile, Session, Snapshot, Store, Target
from mainstem.sources.kafka.positions import Positions
from mainstem.streaming.entries import Columns, Reader, next_batch
from mainstem.streaming.reingesting import Doubtful
from mainstem.streaming.unreadable import PREFIX, Unreadable

logger = logging.getLogger(__name__)

BATCH = 50_000
"""The number of rows in memory at a time."""

TOPIC = "mainstem.topic"
"""The snapshot property with the topic that a stream is fed from, and how far its messages are in the lake."""

NO_ROW = (SchemaError, msgspec.DecodeError, OverflowError, ValueError)
"""What is raised for an entry that is no row."""


@dataclass
class Draft:
    """The entries of one log on the way into one stored relation."""

    table: str
    name: str
    schema: Mapping[str, str]
    columns: Columns
    log: Store
    context: Context
    before: Mapping[str, str] = field(default_factory=dict)
    topic: str | None = None
    """The topic that the log's stream is fed from."""
    observed: str | None = None
    """How the topic looked before it was read."""

    def __post_init__(self) -> None:
        self.base = self._base()
        if self.base is not None:
            self.context.refuse_damaged(self.base)
            self.schema = self._kept_columns(self.base) | dict(self.schema)
        self.reader = Reader(self.name, self.schema, self.columns)
        self.start = _offset(self.base)
        self.end = self.start
        self.rows = 0
        self.unreadable: list[Unreadable] = []
        self.lost: list[str] = []
        self.target: Target = self.context.lake.target(self.table, self.schema)
        if self.base is not None and self.base.id == self._released:
            self.log.trim(self.name, self.start)

    def write(self, again: Sequence[tuple[int, bytes]] = ()) -> tuple[DataFile, ...]:
        """Write the new rows as files, and entries of the log that come in `again`. If the schema changed, the base's
        rows are written too."""
        files = self._moved()
        for start in range(0, len(again), BATCH):
            files += self._written(self.reader.read(again[start : start + BATCH]))
        entries = self.log.entries(self.name, self.start)
        while batch := next_batch(entries, BATCH):
            good, bad = self._readable(batch)
            self.unreadable += bad
            self.rows += len(bad)
            files += self._written(good)
            offset, payload = batch[-1]
            self.end = offset + size_of(payload)
        return files

    def _written(self, rows: pa.Table) -> tuple[DataFile, ...]:
        with self.context.engine.session({"incoming": rows}) as session:
            files = session.write(ibis.table(dict(self.schema), name="incoming"), self.target)
        self.rows += rows.num_rows
        self.context.report(f"{self.rows:,} rows")
        return files

    def taken_back(self, doubts: Doubtful | None) -> tuple[DataFile, ...]:
        """Write the rows that checks set aside, with null in columns that the schema has got since."""
        if doubts is None:
            return ()
        rows = doubts.whole
        values = {c: rows[c].cast(t) if c in rows.columns else ibis.null(t) for c, t in self.schema.items()}
        with self.context.engine.session(doubts.relations) as session:
            files = session.write(rows.select(*named(values)), self.target)
        self.rows += sum(file.rows for file in files)
        return files

    def refused(self, entry: tuple[int, bytes]) -> str | None:
        """Return why an entry of the log is no row; None if it is one."""
        try:
            self.reader.read([entry])
        except NO_ROW as reason:
            return str(getattr(reason, "got", None) or reason)
        return None

    def lacking(self, offsets: Sequence[int]) -> set[int]:
        """Return the offsets of entries that are before the first one to read, and are no rows of the base."""
        found = {offset for offset in offsets if offset < self.start}
        if self.base is None or not found:
            return found
        asked = pa.table({SEQ: pa.array(sorted(found), pa.int64())})
        with self.context.engine.session({"base": self.context.scan(self.base), "asked": asked}) as session:
            rows = ibis.table({f.name: f.type for f in self.base.fields}, name="base")
            there = session.fetch(rows.semi_join(ibis.table({SEQ: "int64"}, name="asked"), SEQ).select(SEQ))
        return found - set(there[SEQ].to_pylist())

    def commit(self, files: tuple[DataFile, ...]) -> Snapshot:
        return self.context.lake.commit(
            self.table,
            self.target,
            files,
            base=self.kept,
            run=self.context.run,
            cursor=str(self.end),
            properties=self._properties(),
        )

    def _properties(self) -> dict[str, str]:
        """Return how far the topic is in the lake, so that its reader finds it without the online store."""
        before = dict(self.base.properties) if self.base else {}
        looked = {OBSERVED: self.observed} if self.observed else {}
        if self.topic is None or not self.reader.reached:
            return {TOPIC: before[TOPIC], **looked} if TOPIC in before else looked
        held = topic_positions(self.base, self.topic)
        cluster = reached.cluster_of(self.log, self.table, self.topic) or held.cluster
        # Entries that came in again are of earlier messages.
        ahead = {p: max(at, held.offsets.get(p, at)) for p, at in self.reader.reached.items()}
        positions = Positions(cluster, {**held.offsets, **ahead})
        return {TOPIC: json.dumps({"topic": self.topic, "positions": positions.text()}), **looked}

    @property
    def kept(self) -> Snapshot | None:
        """The base, if its rows stay as they are stored."""
        return self.base if self.base and self.base.fields == self.target.fields else None

    @cached_property
    def release(self) -> Release:
        """The release that has the base: after a rollback a newer one. What was set aside is beside it."""
        own = self.context.release
        if self.base is None or own.tables.get(self.table) == self.base:
            return own
        with_it = (each for each in self.context.ancestors if each.tables.get(self.table) == self.base)
        return next(with_it, own)

    @property
    def _released(self) -> int | None:
        release = self.context.state.get(Release, self.context.state.head(self.context.branch) or "")
        held = release.tables.get(self.table) if release else None
        return held.id if held else None

    def _base(self) -> Snapshot | None:
        """Return the snapshot to append to: the release's, or after a rollback the newest one of the branch's releases.

        A rollback does not undo acknowledged entries, and the log may be trimmed already.
        """
        held = self.context.release.tables.get(self.table)
        self._begin_again()
        end = self.log.end(self.name)
        first = next((offset for offset, _ in self.log.entries(self.name, 0)), end)
        if first <= _offset(held) <= end:
            return held
        fitting = [s for s in self._published() if max(first, _offset(held)) <= _offset(s) <= end]
        if not fitting:
            raise StorageError(
                f"the log {self.name!r} does not continue at the end of the lake",
                got=f"offsets {first} to {end}",
                expected=f"offset {_offset(held)} in this range",
                hint="use the online store that these rows came from",
            )
        return max(fitting, key=_offset)

    def _begin_again(self) -> None:
        """Continue an empty log at the end of the lake. Its store was lost.

        Its acknowledged entries are in the lake, except those after the last run.
        """
        if self.log.end(self.name):
            return
        drained = max(map(_offset, self._published()), default=0)
        if drained:
            logger.warning("the log %r was lost; it continues at offset %s, the end of the lake", self.name, drained)
            self.log.begin(self.name, drained)

    def _published(self) -> list[Snapshot]:
        """Return every snapshot of the table in a release of the branch, or in the release in the making.

        A release of a deleted branch with the same name is none: its entries were of another log.
        """
        releases = [self.context.release, *self.context.ancestors]
        return [release.tables[self.table] for release in releases if self.table in release.tables]

    @property
    def message(self) -> str:
        """What a run says of entries that are no rows."""
        if not self.unreadable:
            return "; ".join(self.lost)
        many = len(self.unreadable) > 1
        said = f"{len(self.unreadable):,} log {'entries are no rows' if many else 'entry is no row'}"
        return "; ".join([f"{said}: {PREFIX}{self.table} has {'them' if many else 'it'}, with the reason", *self.lost])

    def _readable(self, batch: list[tuple[int, bytes]]) -> tuple[pa.Table, list[Unreadable]]:
        """Return the rows of a batch, and its entries that are none.

        Raises `SchemaError` if all of them are none: the schema has changed.
        """
        try:
            return self.reader.read(batch), []
        except StorageError as problem:
            raise problem.at(f"the log {self.name}") from None
        except NO_ROW as problem:
            batch = [*chain.from_iterable(each_row(*entry) for entry in batch)]
            told = [(entry, self.refused(entry)) for entry in batch]
            good = [entry for entry, reason in told if reason is None]
            if not good and isinstance(problem, SchemaError):
                raise
            return self.reader.read(good), [Unreadable(*entry, reason) for entry, reason in told if reason is not None]

    def _kept_columns(self, base: Snapshot) -> dict[str, str]:
        """Return the columns of the base that stay, whatever the schema has."""
        return {}

    def _moved(self) -> tuple[DataFile, ...]:
        """Write the base's rows in the new schema. A new column has the value of `before`, else null. Raises
        `SchemaError` for values that a new type cannot hold."""
        if self.base is None or self.base.fields == self.target.fields:
            return ()
        old = ibis.table({f.name: f.type for f in self.base.fields}, name="before")
        values = {
            name: _as(old, name, type) if name in old.columns else ibis.literal(self.before.get(name), type)
            for name, type in self.schema.items()
        }
        with self.context.engine.session({"before": self.context.scan(self.base)}) as session:
            self._compare(session, old, values)
            return session.write(old.select(*named(values)), self.target)

    def _compare(self, session: Session, old: ibis.Table, values: Mapping[str, Any]) -> None:
        """Lose the values of columns whose type changed that the new type cannot hold."""
        changed = [name for name in self.schema if name in old.columns and old[name].type() != values[name].type()]
        lost = {name: old[name].notnull() & values[name].isnull() for name in changed}
        counts = {f"rows_{n}": lost[name].sum() for n, name in enumerate(changed)}
        some = {f"value_{n}": old[name].cast("string").min(where=lost[name]) for n, name in enumerate(changed)}
        (found,) = session.fetch(old.aggregate(**counts, **some)).to_pylist() if changed else [{}]
        for n, name in enumerate(changed):
            if found[f"rows_{n}"]:
                self._lose(name, found[f"rows_{n}"], f"{found[f'value_{n}']} of type {old[name].type()}")

    def _lose(self, name: str, rows: int, got: str) -> None:
        raise SchemaError(
            f"stored values of {name!r} do not fit the new type",
            where=self.context.graph[self.table].where,
            got=f"{got}, in {rows:,} rows",
            expected=self.schema[name],
            hint=f"keep the type, and convert the column in a table: ms.clean.cast({name!r}, {self.schema[name]!r})",
        )


class Logged(Draft):
    """What an endpoint logged. It cannot be made again, so the columns of features that a model had stay."""

    def _kept_columns(self, base: Snapshot) -> dict[str, str]:
        return {field.name: field.type for field in base.fields}

    def _lose(self, name: str, rows: int, got: str) -> None:
        """Say so, and go on: a feature whose type changed does not keep predictions from the lake."""
        self.lost.append(f"{rows:,} logged values of {name} do not fit {self.schema[name]}: null")


def _as(rows: ibis.Table, name: str, type: str) -> Any:
    """Return a column in a type: null where the type cannot hold a value."""
    return rows[name] if rows[name].type() == ibis.dtype(type) else Cast(column=name, to=type).value(rows[name])


def topic_positions(snapshot: Snapshot | None, topic: str) -> Positions:
    """Return how far the events of a stream's topic are in the lake; none if it was fed from another topic."""
    told = json.loads(snapshot.properties.get(TOPIC, "{}")) if snapshot else {}
    return Positions.parse(told["positions"]) if told.get("topic") == topic else Positions()


def _offset(snapshot: Snapshot | None) -> int:
    return int(snapshot.cursor or 0) if snapshot else 0
