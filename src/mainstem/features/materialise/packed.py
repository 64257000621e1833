"""The rows of a view's events, read in order and packed as the records of its online state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.features.instants import to_micros
from mainstem.features.offline.latest import ranked, visible
from mainstem.features.online.meta import Meta
from mainstem.features.online.packing import Array, encode_key
from mainstem.features.online.view import OnlineView
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView
from mainstem.graph.named import named
from mainstem.nodes.hidden import ARRIVED, GONE
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.ports import Session

ROWS_PER_BATCH = 65_536

START = Meta()
"""The record of a state without events."""


class Chunk(NamedTuple):
    """Encoded records of some keys, sorted by address, with the number of keys and events."""

    keys: int
    events: int
    records: list[tuple[bytes, bytes]]


def extent(session: Session, view: CompiledView, before: Meta = START) -> tuple[Meta, int]:
    """Return the record of a state that has all of a view's events, and those of the state `before`; and the number of
    the view's events."""
    events = view.events
    here = ibis.least(events["_u"], events[ARRIVED]) if view.arrives else events["_u"]
    keyed = events.select(*named(key_columns(view)), _here=here)
    found = keyed.group_by(key_names(view)) if view.key else keyed
    newest = found.aggregate(_newest=keyed["_here"].max(), _count=keyed.count())
    first = newest.mutate(_total=newest["_count"].sum().over(ibis.window()))
    rows = session.fetch(first.order_by(ibis.desc("_newest")).limit(2)).to_pylist()
    usable = [row for row in rows if row["_newest"] is not None]
    times = {encode_key([row[name] for name in key_names(view)]): row["_newest"] for row in usable}
    return before.reaching(times, micros_of(now())), int(rows[0]["_total"]) if rows else 0


def within(view: CompiledView, horizon: int) -> ibis.Table:
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


def in_records(online: OnlineView, session: Session, events: ibis.Table) -> Iterator[Chunk]:
    """Yield every key's events, packed, some keys at a time. Events of a key in several batches are joined first."""
    rest: pa.Table | None = None
    for batch in session.batches(_stored(online, events), ROWS_PER_BATCH):
        table = pa.Table.from_batches([batch])
        table = table if rest is None else pa.concat_tables([rest, table])
        if len(table):
            last = int(_changes(table, key_names(online.view))[-1])
            yield _pack(online, table.slice(0, last))
            rest = table.slice(last)
    if rest is not None:
        yield _pack(online, rest)


def _stored(online: OnlineView, events: ibis.Table) -> ibis.Table:
    """Return the stored columns, with instants in the key as int64."""
    kept = {name: events[name] for name in online.state.layout.kinds}
    return events.select(*named(key_columns(online.view, events)), *named(kept))


def key_columns(view: CompiledView, events: ibis.Table | None = None) -> dict[str, ibis.Value]:
    rows = view.events if events is None else events
    return {
        name: to_micros(rows[column]) if kind.startswith("timestamp") else rows[column]
        for name, (column, kind) in zip(key_names(view), view.key.items(), strict=True)
    }


def key_names(view: CompiledView) -> list[str]:
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
    state, names = online.state, key_names(online.view)
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
