"""Bring a view online: its events from the lake into the online store, then those that have been logged since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import ibis
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.features.instants import ALWAYS, micros_of, to_micros
from mainstem.features.latest import ranked, visible
from mainstem.features.online import META, Meta, OnlineView, encode_meta
from mainstem.features.packing import encode_key
from mainstem.features.plan import compiled
from mainstem.features.view import NULL_INT, CompiledView
from mainstem.graph.fingerprint import digest
from mainstem.graph.lineage import leaves
from mainstem.nodes.records import now
from mainstem.nodes.sources import Stream
from mainstem.planning.execution import Context, Outcome
from mainstem.planning.plan import Step
from mainstem.ports import EventLog, OnlineStore, Session

KEYS_PER_TRANSACTION = 50_000
EVENTS_PER_TRANSACTION = 10_000
_SPACES = "views"

Packed = tuple[bytes, bytes, int]
"""A key, its events, and how many there are."""


class Store(OnlineStore, EventLog, Protocol):
    """Online state and event log that share their transactions."""


class Materialise:
    """The executor of `materialise` steps.

    The state of a view of a stream goes on from run to run; that of any other is of one snapshot, and a new one is built
    beside it. Either way readers switch with the release, and what was interrupted goes on where it stopped.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, step: Step, context: Context) -> Outcome:
        view = compiled(context.graph, step.node)
        online = OnlineView(view, self._store, state_of(context, step.node))
        meta = online.meta()
        if not meta.ready:
            meta = self._load(online, context, meta)
        stream = context.graph[view.source].node
        if isinstance(stream, Stream):
            catch_up(online, self._store, view.source)
        self._forget_others(online, context.release.online.get(step.node))
        return Outcome(
            online={view.name: online.fingerprint}, message=f"{meta.loaded:,} keys online", published=meta.loaded
        )

    def _load(self, online: OnlineView, context: Context, begun: Meta) -> Meta:
        view, kept, loaded = online.view, 0, 0
        with context.session(leaves(view.events)) as session:
            watermark, events = _extent(session, view)
            horizon = watermark - view.grace
            groups = _packed(online, session, _within(view, horizon))
            while batch := list(islice(groups, KEYS_PER_TRANSACTION)):
                loaded, kept = loaded + len(batch), kept + sum(count for *_, count in batch)
                if loaded > begun.loaded:
                    self._put(online, batch, Meta(watermark, loaded=loaded))
                    context.report(f"{view.name}: {loaded:,} keys")
        complete_from = horizon if kept < events else -(2**63)
        ready = Meta(watermark, complete_from, _offset(context, view.source), loaded, ready=True)
        self._put(online, [], ready)
        return ready

    def _put(self, online: OnlineView, batch: Sequence[Packed], meta: Meta) -> None:
        with self._store.transaction() as writer:
            for key, value, _ in sorted(batch):
                writer.put(online.space, key, value)
            writer.put(online.space, META, encode_meta(meta))

    def _forget_others(self, online: OnlineView, published: str | None) -> None:
        """Clear states of this view that neither the release published now nor the next one refers to."""
        name, kept = online.view.name.encode(), {online.fingerprint, published}
        with self._store.transaction() as writer:
            raw = writer.get(_SPACES, name)
            known: list[str] = msgspec.json.decode(raw) if raw else []
            for old in set(known) - kept:
                writer.clear(f"view/{online.view.name}/{old}")
            writer.put(_SPACES, name, msgspec.json.encode(sorted(k for k in kept if k)))


def state_of(context: Context, view: str) -> str:
    """The name of a view's online state: its definition's and, unless events go on, those of the snapshots it is of."""
    graph = context.graph
    definition = compiled(graph, view)
    source = graph[definition.source]
    parts = [definition.fingerprint, source.read_fingerprint]
    if not isinstance(source.node, Stream):
        parts += [f"{name}@{context.snapshot(name).id}" for name in sorted(leaves(definition.events))]
    return digest(*parts)


def catch_up(online: OnlineView, store: Store, stream: str) -> int:
    """Take in what the stream's log has beyond the state; the number of log entries."""
    log, taken = f"events/{stream}", 0
    while entries := list(store.replay(log, online.meta().offset, EVENTS_PER_TRANSACTION)):
        with store.transaction() as writer:
            online.apply(writer, columns_of(entries), entries[-1][0] + 1)
        taken += len(entries)
    return taken


def columns_of(entries: Sequence[tuple[int, bytes]]) -> dict[str, list[Any]]:
    """Log entries `(offset, payload)` as columns, `_seq` and `_arrived` among them."""
    events = [msgspec.msgpack.decode(payload) for _, payload in entries]
    names = dict.fromkeys(name for event in events for name in event["row"])
    columns: dict[str, list[Any]] = {name: [event["row"].get(name) for event in events] for name in names}
    return columns | {"_seq": [offset for offset, _ in entries], "_arrived": [e["arrived"] for e in events]}


def _offset(context: Context, source: str) -> int:
    """The first offset of a stream's log that the lake, and so what was loaded from it, does not have."""
    snapshot = context.release.tables.get(source)
    return int(snapshot.cursor or 0) if snapshot is not None and isinstance(context.graph[source].node, Stream) else 0


def _extent(session: Session, view: CompiledView) -> tuple[int, int]:
    """The watermark of a view's events, at most now, and their number."""
    events = view.events
    here = ibis.least(events["_u"], events["_arrived"]) if view.arrives else events["_u"]
    (row,) = session.fetch(events.aggregate(newest=here.max(), count=events.count())).to_pylist()
    return min(ALWAYS if row["newest"] is None else row["newest"], micros_of(now())), row["count"]


def _within(view: CompiledView, horizon: int) -> ibis.Table:
    """The events that a query from `horizon` on may see, by key and in order."""
    if view.windowed:
        events = view.events
        return events.filter(events["_u"] >= horizon - view.reach).order_by(*view.key, *view.position)
    rows = ranked(view)
    seen = visible(rows, view)
    settled = (seen < horizon).ifelse(rows["_rank"], 0).max().over(ibis.window(group_by=list(view.key)))
    rows = rows.mutate(_settled=settled)
    return rows.filter(rows["_rank"] >= rows["_settled"]).order_by(*view.key, "_rank")


def _packed(online: OnlineView, session: Session, events: ibis.Table) -> Iterator[Packed]:
    """Every key's events, packed. A key whose events straddle two batches is put together first."""
    rest: pa.Table | None = None
    for batch in session.batches(_stored(online.view, events)):
        table = pa.Table.from_batches([batch])
        table = table if rest is None else pa.concat_tables([rest, table])
        bounds = _bounds(table, online.view)
        yield from _pack(online, table, bounds[:-1])
        rest = table.slice(bounds[-2])
    if rest is not None and len(rest):
        yield from _pack(online, rest, _bounds(rest, online.view))


def _stored(view: CompiledView, events: ibis.Table) -> ibis.Table:
    keys = {f"_key{i}": _as_int(events[column], kind) for i, (column, kind) in enumerate(view.key.items())}
    names = [*view.position, *(["_arrived"] if view.arrives else []), *view.arguments]
    return events.select(**keys, **{name: events[name] for name in names})


def _as_int(column: Any, kind: str) -> Any:
    return to_micros(column) if kind.startswith("timestamp") else column


def _bounds(table: pa.Table, view: CompiledView) -> list[int]:
    """Where each key's rows begin, and the end."""
    changes = np.zeros(max(len(table) - 1, 0), dtype=bool)
    for i in range(len(view.key)):
        column = table[f"_key{i}"].combine_chunks()
        changes |= pc.not_equal(column.slice(1), column.slice(0, max(len(column) - 1, 0))).to_numpy(
            zero_copy_only=False
        )
    return [0, *(np.flatnonzero(changes) + 1).tolist(), len(table)]


def _pack(online: OnlineView, table: pa.Table, bounds: list[int]) -> Iterator[Packed]:
    columns = {name: _column(table[name], kind) for name, kind in online.layout.kinds.items()}
    starts = pa.array(bounds[:-1], type=pa.int64())
    keys = zip(*(table[f"_key{i}"].take(starts).to_pylist() for i in range(len(online.view.key))), strict=True)
    values = online.layout.pack_many(columns, bounds)
    for key, value, start, end in zip(keys, values, bounds, bounds[1:], strict=False):
        yield encode_key(key), value, end - start


def _column(column: pa.ChunkedArray, kind: str) -> Any:
    if kind == "string":
        return column.to_pylist()
    wide = column.cast(pa.float64() if kind == "float64" else pa.int64())
    return wide.fill_null(float("nan") if kind == "float64" else NULL_INT).to_numpy()
