"""Bring a view online: load its events from the lake into the online store, then apply those logged since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, repeat
from typing import Any, NamedTuple

import ibis
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.features.instants import to_micros
from mainstem.features.offline.join import answered
from mainstem.features.offline.latest import ranked, visible
from mainstem.features.online.corrections import Correct, corrections
from mainstem.features.online.loading import Loading, forget_others
from mainstem.features.online.meta import Meta
from mainstem.features.online.packing import FORMAT, Array, encode_key
from mainstem.features.online.view import OnlineView, online_view
from mainstem.features.retrieval import compiled
from mainstem.features.sweep import sweep, sweep_standing
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView
from mainstem.graph.fingerprint import digest
from mainstem.graph.lineage import leaves
from mainstem.logs.reading import chunks, lacks
from mainstem.logs.records import event_columns, events_of
from mainstem.nodes.hidden import ARRIVED, GONE
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.nodes.sources import Stream
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Session, Store

ROWS_PER_BATCH = 65_536


class Chunk(NamedTuple):
    """Encoded records of some keys, sorted by address, with the number of keys and events."""

    keys: int
    events: int
    records: list[tuple[bytes, bytes]]


class Materialise:
    """The executor of `materialise` steps.

    The state of a stream's view continues from run to run. The state of another view belongs to one snapshot; for a new
    snapshot, a new state is built next to it. A new state is also built on request (`rebuild`), and for a stream if the
    state lacks events that the log no longer has, or that it could not take in. Readers switch with the release. An
    interrupted load is resumed.
    """

    def __init__(self, store: Store, rebuild: bool = False) -> None:
        self._store, self._rebuild = store, rebuild

    def __call__(self, step: Step, context: Context) -> StepResult:
        view = compiled(context.graph, step.node)
        stream = view.source if isinstance(context.graph[view.source].node, Stream) else None
        online = self._state(view, context, stream)
        loaded = None if online.meta().ready else self._load(online, context, resume=stream is None)
        taken = expired = 0
        if stream is not None:
            correct = corrections(context.graph[stream])
            taken = catch_up(online, self._store, stream, correct)
            if loaded is None and online.meta().lacking:
                online = self._following(online, context)
                loaded = self._load(online, context, resume=False)
                taken = catch_up(online, self._store, stream, correct)
            states = {**context.release.online, view.name: online.fingerprint}
            used = [lookup.view.name for lookup in view.chain.lookups] if view.chain else []
            expired = sweep(context.graph, self._store, states, dict.fromkeys([*used, view.name]))
            sweep_standing(context.graph, self._store, stream)
        published = context.release.online.get(view.name)
        forget_others(self._store, view.name, {online.fingerprint, *filter(None, [published])})
        return StepResult(
            online={view.name: online.fingerprint}, message=_told(loaded, taken, expired), published=loaded
        )

    def _state(self, view: CompiledView, context: Context, stream: str | None) -> OnlineView:
        """Return the target state: the published one, or another if the published one has another definition or
        snapshot."""
        current = self._named(view, context, fingerprint_of(context, view.name))
        meta = current.meta()
        stale = stream is not None and (meta.lacking or lacks(self._store, events_of(stream), meta.offset))
        if not meta.ready or not (self._rebuild or stale):
            return current
        return self._following(current, context)

    def _following(self, online: OnlineView, context: Context) -> OnlineView:
        """Return the next state of the same definition and snapshots that is not complete."""
        following = (self._named(online.view, context, name) for name in generations(online.fingerprint))
        return next(online for online in following if not online.meta().ready)

    def _named(self, view: CompiledView, context: Context, fingerprint: str) -> OnlineView:
        return online_view(view, self._store, {**context.release.online, view.name: fingerprint})

    def _load(self, online: OnlineView, context: Context, *, resume: bool) -> int:
        """Load the state from the lake. Return the number of keys.

        If a stream has grown since a load was interrupted, the load starts again, because the order of keys has
        changed.
        """
        loading = Loading(self._store, online.view.name, online.fingerprint)
        begun = loading.begin(resume=resume)
        view, kept, loaded = answered(online.view), 0, 0
        with context.session(leaves(view.events)) as session:
            reached, events = _extent(session, view)
            reached = msgspec.structs.replace(begun if begun.loaded else reached, loader="")
            horizon = reached.watermark - view.grace
            for chunk in _packed(online, session, _within(view, horizon)):
                loaded, kept = loaded + chunk.keys, kept + chunk.events
                if loaded > begun.loaded:
                    loading.put(chunk.records, msgspec.structs.replace(reached, loaded=loaded))
                    context.report(f"{view.name}: {loaded:,} key{'' if loaded == 1 else 's'}")
        complete_from = horizon if kept < events else -(2**63)
        offset = _offset(context, view.source)
        whole = msgspec.structs.replace(
            reached, complete_from=complete_from, offset=offset, loaded=loaded, ready=True, swept=horizon
        )
        loading.put([], whole)
        return loaded


def _told(loaded: int | None, taken: int, expired: int) -> str:
    told = {"key% online": loaded, "event% taken in": taken or None, "record% expired": expired or None}
    parts = [f"{n:,} {what.replace('%', '' if n == 1 else 's')}" for what, n in told.items() if n is not None]
    return ", ".join(parts) or "online state unchanged"


def fingerprint_of(context: Context, view: str) -> str:
    """Return the name of a view's online state: a fingerprint of its definition and of its snapshots.

    Snapshots of streams do not count, because their events continue. A rebuilt state also has a number.
    """
    graph = context.graph
    definition = compiled(graph, view)
    stored = leaves(answered(definition).events)
    if isinstance(graph[definition.source].node, Stream):
        stored -= graph.of(Stream).keys()
    parts = [FORMAT, definition.fingerprint, graph[view].read_fingerprint]
    made_of = digest(*parts, *(f"{name}@{context.snapshot(name).id}" for name in sorted(stored)))
    published = context.release.online.get(view, "")
    return published if published.partition(".")[0] == made_of else made_of


def generations(fingerprint: str) -> Iterator[str]:
    """Yield the names of later rebuilds of the same definition and snapshots."""
    base, _, number = fingerprint.partition(".")
    return (f"{base}.{n}" for n in count(int(number or 0) + 1))


def catch_up(online: OnlineView, store: Store, stream: str, correct: Correct = dict) -> int:
    """Apply the entries of the stream's log beyond the state, with remedies. Return the number of log entries."""
    log, taken = events_of(stream), 0
    while online.meta().offset < (end := store.end(log)):
        with store.transaction() as writer:
            # Read within the transaction, because a server may apply the same events.
            chunk = next(chunks(store, log, online.meta(writer).offset, end), ())
            if chunk:
                online.apply(writer, correct(event_columns(chunk)), chunk[-1][0] + 1)
        taken += len(chunk)
    return taken


def _offset(context: Context, source: str) -> int:
    """Return the first offset of a stream's log that is not in the lake, and so not in the loaded rows."""
    snapshot = context.release.tables.get(source)
    return int(snapshot.cursor or 0) if snapshot is not None and isinstance(context.graph[source].node, Stream) else 0


def _extent(session: Session, view: CompiledView) -> tuple[Meta, int]:
    """Return the record of a state that has all of a view's events, and their number."""
    events = view.events
    here = ibis.least(events["_u"], events[ARRIVED]) if view.arrives else events["_u"]
    keyed = events.select(**_key_columns(view), _here=here)
    found = keyed.group_by(_keys(view)) if view.key else keyed
    newest = found.aggregate(_newest=keyed["_here"].max(), _count=keyed.count())
    first = newest.mutate(_total=newest["_count"].sum().over(ibis.window()))
    rows = session.fetch(first.order_by(ibis.desc("_newest")).limit(2)).to_pylist()
    usable = [row for row in rows if row["_newest"] is not None]
    times = {encode_key([row[name] for name in _keys(view)]): row["_newest"] for row in usable}
    return Meta().reaching(times, micros_of(now())), int(rows[0]["_total"]) if rows else 0


def _within(view: CompiledView, horizon: int) -> ibis.Table:
    """Return the events that a query from `horizon` on may see, by key and in order."""
    if view.windowed:
        events = view.events
        return events.filter(events["_u"] >= horizon - view.reach).order_by(*view.key, *view.position)
    rows = ranked(view)
    if view.retracts:
        standing = rows[GONE].isnull() | (rows[GONE] >= horizon)
        return rows.filter(standing).order_by(*view.key, "_rank")
    seen = visible(rows, view)
    settled = (seen < horizon).ifelse(rows["_rank"], 0).max().over(ibis.window(group_by=list(view.key)))
    rows = rows.mutate(_settled=settled)
    if view.ttl is not None and view.known.moments:
        rows = rows.filter(rows["_u"] >= horizon - view.ttl)
    return rows.filter(rows["_rank"] >= rows["_settled"]).order_by(*view.key, "_rank")


def _packed(online: OnlineView, session: Session, events: ibis.Table) -> Iterator[Chunk]:
    """Yield every key's events, packed, some keys at a time. Events of a key in several batches are joined first."""
    rest: pa.Table | None = None
    for batch in session.batches(_stored(online, events), ROWS_PER_BATCH):
        table = pa.Table.from_batches([batch])
        table = table if rest is None else pa.concat_tables([rest, table])
        if len(table):
            last = int(_changes(table, _keys(online.view))[-1])
            yield _pack(online, table.slice(0, last))
            rest = table.slice(last)
    if rest is not None:
        yield _pack(online, rest)


def _stored(online: OnlineView, events: ibis.Table) -> ibis.Table:
    """Return the stored columns, with instants in the key as int64."""
    kept = {name: events[name] for name in online.state.layout.kinds}
    return events.select(**_key_columns(online.view, events), **kept)


def _key_columns(view: CompiledView, events: ibis.Table | None = None) -> dict[str, ibis.Value]:
    rows = view.events if events is None else events
    return {
        name: to_micros(rows[column]) if kind.startswith("timestamp") else rows[column]
        for name, (column, kind) in zip(_keys(view), view.key.items(), strict=True)
    }


def _keys(view: CompiledView) -> list[str]:
    return [f"_key{i}" for i in range(len(view.key))]


def _changes(table: pa.Table, columns: Sequence[str]) -> Array:
    """Return the rows at which any of the columns differs from the previous row. The first row is included."""
    changes = np.ones(len(table), dtype=bool)
    if len(table) > 1:
        different = (pc.not_equal(table[c].slice(1), table[c].slice(0, len(table) - 1)) for c in columns)
        changes[1:] = np.any([d.to_numpy() for d in different], axis=0)
    return np.flatnonzero(changes)


def _pack(online: OnlineView, table: pa.Table) -> Chunk:
    """Return the records of every key in a table that is sorted by key and position."""
    if not len(table):
        return Chunk(0, 0, [])
    state, names = online.state, _keys(online.view)
    columns = {name: _column(table[name], kind) for name, kind in state.layout.kinds.items()}
    blocks = state.block(columns["_u"])
    keys = _changes(table, names)
    starts = np.union1d(keys, np.flatnonzero(np.diff(blocks, prepend=blocks[0])))
    firsts = table.take(pa.array(starts))
    values = zip(*(firsts[name].to_pylist() for name in names), strict=True) if names else repeat(())
    addresses = map(state.address, map(encode_key, values), blocks[starts].tolist())
    packed = state.layout.pack_many(columns, [*starts, len(table)])
    return Chunk(len(keys), len(table), sorted(state.records(addresses, packed)))


def _column(column: pa.ChunkedArray, kind: str) -> Any:
    if kind == "string":
        return column.to_pylist()
    wide = column.cast(pa.float64() if kind == "float64" else pa.int64())
    return wide.fill_null(float("nan") if kind == "float64" else NULL_INT).to_numpy()
