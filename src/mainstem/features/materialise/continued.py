"""Continue a view's state for a later snapshot: load the keys whose rows changed, and keep the records of all others.

A state remembers which snapshot it was made of. The keys of the rows that the snapshots do not share are read from the
files that only one of them has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ibis
import msgspec
import pyarrow as pa

from mainstem.errors import SnapshotGone
from mainstem.features.materialise.packed import extent, in_records, key_columns, within
from mainstem.features.online.loading import RECORDS_PER_TRANSACTION, Loading
from mainstem.features.online.meta import META, Meta
from mainstem.features.online.packing import encode_key
from mainstem.features.online.records import is_part
from mainstem.features.online.view import OnlineView
from mainstem.graph.increments import added
from mainstem.graph.lineage import leaves
from mainstem.graph.named import named
from mainstem.planning.execution import Context
from mainstem.ports import Scan, Session
from mainstem.tables.additive import only_adds
from mainstem.tables.new_part import Input, files_between, input_of

_CHANGED = "_changed_keys"


@dataclass(frozen=True)
class Base:
    """A complete state of the same definition and of an earlier snapshot of `source`. `rows` are the view's events
    as made of other rows of the source, `only_new` and `gone` the files that the snapshots do not share."""

    state: OnlineView
    source: str
    rows: ibis.Table
    new: Scan
    gone: Scan


def made_of(view_events: ibis.Table, context: Context) -> Input | None:
    """Return the snapshot that a state is made of, if its events are those of one stored relation."""
    stored = leaves(view_events)
    return input_of(context.snapshot(*stored)) if len(stored) == 1 else None


def base_of(state: OnlineView, context: Context) -> Base | None:
    """Return the base that a complete state is for the snapshot of this run. None if its keys' events cannot be told
    from the rows that changed."""
    view, before = state.view, state.meta().made_of
    if before is None or view.chain is not None or not view.key:
        return None
    (source,) = leaves(view.events)
    now, was = context.snapshot(source), Input(*before)
    rows = added(view.events, source, only_adds)
    if rows is None:
        return None
    try:
        if context.damaged_file(was.of(now)):
            return None
        new, gone = files_between(context, now, was)
    except SnapshotGone:
        return None
    return Base(state, source, rows, Scan(new, now.fields, 0), Scan(gone, now.fields, 0))


def carry_on(base: Base, online: OnlineView, loading: Loading, context: Context) -> tuple[Meta, int] | None:
    """Load a state from its base. Return its record, complete, and the number of keys that were loaded.

    Returns None if most keys changed, or if the base lacks what the state must have. Nothing was loaded then, or it
    must be cleared.
    """
    view, before = online.view, base.state.meta()
    changed = _changed_keys(base, context)
    if 2 * changed.num_rows > before.loaded:
        return None
    with context.session({base.source}) as session:
        session.add(_CHANGED, changed)
        theirs = replace(view, events=_of_keys(view.events, online, changed))
        reached = _reached(base, session, context)
        horizon = reached.watermark - view.grace
        if before.complete_from > horizon:
            return None  # events that the base forgot may be asked for
        kept, complete_from = _keep(base, online, loading, _encoded(changed), horizon, reached)
        loaded = events = 0
        for chunk in in_records(online, session, within(theirs, horizon)):
            loaded, events = loaded + chunk.keys, events + chunk.events
            loading.put(chunk.records, reached)
        if events < session.fetch(theirs.events.count().as_table()).column(0)[0].as_py():
            complete_from = max(complete_from, horizon)
        keys = _count(session, within(view, horizon), online) if view.windowed else kept + loaded
    if not base.state.meta().ready:
        return None  # it was cleared meanwhile
    whole = msgspec.structs.replace(reached, complete_from=complete_from, loaded=keys, swept=horizon)
    return whole, loaded


def _changed_keys(base: Base, context: Context) -> pa.Table:
    """Return the keys of the events that one of the snapshots has and the other may not have."""
    files = (*base.new.files, *base.gone.files)
    with context.engine.session({base.source: Scan(files, base.new.fields, 0)}) as session:
        return session.fetch(base.rows.select(*named(key_columns(base.state.view, base.rows))).distinct())


def _of_keys(events: ibis.Table, online: OnlineView, changed: pa.Table) -> ibis.Table:
    keys = ibis.table(ibis.Schema.from_pyarrow(changed.schema), name=_CHANGED)
    same: list[Any] = [value.identical_to(keys[name]) for name, value in key_columns(online.view, events).items()]
    found: ibis.Table = events.semi_join(keys, same)
    return found


def _reached(base: Base, session: Session, context: Context) -> Meta:
    """Return what the state has reached. Rows that went may have been the newest ones."""
    view, before = base.state.view, base.state.meta()
    if base.gone.files:
        reached, _ = extent(session, view)
        return reached
    start = msgspec.structs.replace(before, loaded=0, ready=False)
    with context.engine.session({base.source: base.new}) as grown:
        reached, _ = extent(grown, replace(view, events=base.rows), start)
    return reached


def _keep(
    base: Base, online: OnlineView, loading: Loading, changed: set[bytes], horizon: int, reached: Meta
) -> tuple[int, int]:
    """Copy the records of the base's other keys that a query may see. Return the number of keys of a latest view that
    are left, and the earliest time of a query that the copy answers."""
    state, before, expired = online.state, base.state.meta(), set[bytes]()
    keys = before.loaded
    for page in base.state.store.scan(base.state.space, RECORDS_PER_TRANSACTION):
        stored = [(address, raw) for address, raw in page if address != META]
        old = set(state.expired(stored, horizon))
        keys -= sum(address in changed or (address in old and not is_part(address, raw)) for address, raw in stored)
        expired |= old
        others = state.others(stored, changed)
        loading.put([each for each in others if each[0] not in expired] if expired else others, reached)
    return keys, max(before.complete_from, horizon) if expired else before.complete_from


def _encoded(keys: pa.Table) -> set[bytes]:
    return {encode_key(list(row.values())) for row in keys.to_pylist()}


def _count(session: Session, events: ibis.Table, online: OnlineView) -> int:
    """Return the number of keys of events."""
    keys = events.select(*named(key_columns(online.view, events))).distinct()
    found: int = session.fetch(keys.count().as_table()).column(0)[0].as_py()
    return found
