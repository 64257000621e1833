"""Drain a log into the lake: acknowledged entries become rows exactly once.

The snapshot's cursor is the next offset, so rows and cursor are one commit. The log is trimmed in the next run, below
the end of the *published* snapshot, so after a failed run or a crash all entries are still there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import ibis
import msgspec
import pyarrow as pa

from mainstem.checks.audit import QUARANTINE, judge, keep_aside, ordered, set_aside, subject_of
from mainstem.checks.examine import refuse
from mainstem.checks.unusual import unusual
from mainstem.checks.violations import declared
from mainstem.errors import SchemaError, StorageError
from mainstem.graph.lineage import leaves
from mainstem.graph.named import named
from mainstem.logs import reached
from mainstem.logs.outcomes import outcome_row, outcomes_of, outcomes_table
from mainstem.logs.predictions import each_row, prediction_row, size_of
from mainstem.logs.records import event_row, events_of, predictions_of
from mainstem.logs.shadows import SCHEMA, shadowed_row, shadows_of, shadows_table
from mainstem.nodes.checks import Check, Unique
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.hidden import SEQ
from mainstem.nodes.kafka import Kafka
from mainstem.nodes.records import Release, now
from mainstem.nodes.sources import Stream
from mainstem.nodes.verbs.values import Cast
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.outlook import OBSERVED
from mainstem.planning.plan import Step
from mainstem.ports import DataFile, Snapshot, Store, Target
from mainstem.sources.inspection import settled
from mainstem.sources.kafka.positions import Positions
from mainstem.statistics.keeping import Counting
from mainstem.streaming.entries import Columns, Reader, next_batch
from mainstem.streaming.ingest import AHEAD
from mainstem.streaming.outcomes import outcome_schema
from mainstem.streaming.predictions import BEFORE, prediction_schema
from mainstem.streaming.reingesting import Again, Doubtful, again, doubtful, still_broken
from mainstem.streaming.taking import Taking
from mainstem.streaming.unreadable import PREFIX, Unreadable, dead_letters, keep

logger = logging.getLogger(__name__)

BATCH = 50_000
"""The number of rows in memory at a time."""

TOPIC = "mainstem.topic"
"""The snapshot property with the topic that a stream is fed from, and how far its messages are in the lake."""

NO_ROW = (SchemaError, msgspec.DecodeError, OverflowError, ValueError)
"""What is raised for an entry that is no row."""


class Drain:
    """The executor of `drain` steps: a stream's events, or an endpoint's predictions, outcomes and shadows."""

    def __init__(self, log: Store, taking: Taking | None = None, reingest: frozenset[str] = frozenset()) -> None:
        """With `taking`, topics that feed streams are taken first. What was set aside of the streams `reingest` comes
        in again."""
        self.log, self.taking, self.reingest = log, taking, reingest

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Commit the entries of the log that are not in the lake yet. Raises `StorageError`.

        Raises `CheckFailed` if a check of severity `error` finds violations. The run then publishes nothing.
        """
        node = context.graph[step.node].node
        if isinstance(node, Endpoint):
            return self._predictions(step.node, context)
        assert isinstance(node, Stream)
        return self._events(step.node, node, context)

    def _predictions(self, name: str, context: Context) -> StepResult:
        schema = prediction_schema(context.graph, name)
        log, told = self.log, outcome_schema(context.graph, name)
        drafts = [_Logged(f"predictions.{name}", predictions_of(name), schema, prediction_row, log, context, BEFORE)]
        if outcomes_table(name) in context.release.tables or log.end(outcomes_of(name)):
            drafts.append(_Logged(outcomes_table(name), outcomes_of(name), told, outcome_row, log, context))
        if shadows_table(name) in context.release.tables or log.end(shadows_of(name)):
            drafts.append(_Logged(shadows_table(name), shadows_of(name), SCHEMA, shadowed_row, log, context))
        tables = {each.table: each.commit(each.write()) for each in drafts}
        for each in drafts:
            tables |= keep(context, each.table, each.unreadable)
        rows, lost = sum(each.rows for each in drafts), sum(len(each.unreadable) for each in drafts)
        words = {outcomes_table(name): "outcomes", shadows_table(name): "scores of shadows"}
        said = [f"{each.rows:,} {words[each.table]}" for each in drafts[1:] if each.rows]
        return StepResult(
            tables=tables,
            rows_in=rows,
            published=rows - lost,
            quarantined=lost,
            message="; ".join(filter(None, [*said, *(each.message for each in drafts)])),
        )

    def _events(self, name: str, node: Stream, context: Context) -> StepResult:
        schema = context.graph[name].schema or {}
        draft = _Draft(name, events_of(name), schema, event_row, self.log, context)
        lost = self._take(draft, name, node, context)
        retaken = self._again(draft, name, context) if name in self.reingest else Again()
        doubts = doubtful(context, name, draft.start, draft.base, draft.release) if name in self.reingest else None
        subject = subject_of(context, name, _checks(node))
        written = (*draft.write(retaken.entries), *draft.taken_back(doubts))
        good, aside, results = set_aside(context, subject, written, draft.target)
        aside = (*aside, *still_broken(context, name, doubts))
        counting = Counting(context, draft.target, good, base=draft.kept)
        snapshot = draft.commit(good)
        counted = counting.of(snapshot)
        judged = (*judge(context, subject, snapshot), *unusual(context, subject, counted))
        results = ordered(subject.checks, results, judged)
        refuse(name, results, where=context.graph[name].where, kept=snapshot.id)
        anew = draft.base is None or doubts is not None
        apart = keep_aside(context, name, aside, replaced="all" if anew else frozenset(), release=draft.release)
        if draft.release is not context.release and QUARANTINE + name in draft.release.tables:
            apart = {QUARANTINE + name: draft.release.tables[QUARANTINE + name], **apart}
        letters = dead_letters(context, name, self.log)
        quarantined = sum(file.rows for file in aside) + len(draft.unreadable)
        unread = keep(context, name, [*draft.unreadable, *letters.found], letters.end, retaken.left)
        return StepResult(
            tables={name: snapshot, **apart, **unread},
            cutovers=_cutover(name, node, context),
            rows_in=draft.rows + len(letters.found),
            published=draft.rows - quarantined,
            quarantined=quarantined + len(letters.found),
            checks=results,
            message="; ".join(filter(None, (lost, retaken.message, draft.message, letters.message))),
            records=(counted,),
        )

    def _again(self, draft: _Draft, name: str, context: Context) -> Again:
        ahead = AHEAD if self.taking is None else self.taking.ahead
        return again(context, name, self.log, ahead, draft.refused, draft.lacking)

    def _take(self, draft: _Draft, name: str, node: Stream, context: Context) -> str:
        """Take what is new in the topic that feeds a stream. Return a text about messages that are lost."""
        if not isinstance(node.from_, Kafka):
            return ""
        draft.topic = node.from_.topic
        if self.taking is None:
            return ""
        draft.observed = settled(node.from_, self.taking.root)
        return self.taking(context, name, node.from_, self.log, topic_positions(draft.base, draft.topic))


@dataclass
class _Draft:
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

    @property
    def release(self) -> Release:
        """The release that has the base: after a rollback a newer one. What was set aside is beside it."""
        if self.base is not None:
            for each in (self.context.release, *self.context.ancestors):
                if self.table in each.tables and each.tables[self.table].id == self.base.id:
                    return each
        return self.context.release

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
            for name in self.schema.keys() & set(old.columns):
                lost = old.filter(old[name].notnull() & _as(old, name, self.schema[name]).isnull())
                told = lost.aggregate(rows=lost.count(), value=lost[name].cast("string").min())
                ((rows, value),) = session.fetch(told).to_pandas().itertuples(index=False)
                if rows:
                    self._lose(name, rows, f"{value} of type {old[name].type()}")
            return session.write(old.select(*named(values)), self.target)

    def _lose(self, name: str, rows: int, got: str) -> None:
        raise SchemaError(
            f"stored values of {name!r} do not fit the new type",
            where=self.context.graph[self.table].where,
            got=f"{got}, in {rows:,} rows",
            expected=self.schema[name],
            hint=f"keep the type, and convert the column in a table: ms.clean.cast({name!r}, {self.schema[name]!r})",
        )


class _Logged(_Draft):
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


def _checks(node: Stream) -> tuple[Check, ...]:
    """Return the stream's checks. A client resends after a lost answer, so a repeated key is reported and does not
    block.

    In a stream of changes a key occurs once per change.
    """
    if node.changes:
        return node.checks
    own = set(node.checks)
    return tuple(
        replace(check, severity="warn") if isinstance(check, Unique) and check not in own else check
        for check in declared(node)
    )


def _cutover(name: str, node: Stream, context: Context) -> dict[str, datetime]:
    """Return the instant from which events count. It is recorded once: right after the last row of the history, or that
    of the run if it has none yet."""
    if name in context.release.cutovers or node.history is None:
        return {}
    past = context.graph[context.graph.name_of(node.history)]
    assert past.read is not None
    with context.session(leaves(past.read)) as session:
        latest = session.fetch(past.read.aggregate(latest=past.read[node.time].max()))["latest"][0].as_py()
    return {name: now() if latest is None else latest + timedelta(microseconds=1)}
