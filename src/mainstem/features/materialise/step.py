"""Bring a view online: load its events from the lake into the online store, then apply those logged since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import NamedTuple

import msgspec

from mainstem.features.materialise.continued import Base, base_of, carry_on, made_of
from mainstem.features.materialise.packed import extent, in_records, within
from mainstem.features.offline.join import answered
from mainstem.features.online.corrections import Correct, corrections
from mainstem.features.online.loading import Loading, forget_others
from mainstem.features.online.meta import Meta
from mainstem.features.online.packing import FORMAT
from mainstem.features.online.view import OnlineView, online_view
from mainstem.features.retrieval import compiled
from mainstem.features.sweep import sweep, sweep_standing
from mainstem.features.views.view import CompiledView
from mainstem.graph.fingerprint import digest
from mainstem.graph.lineage import leaves
from mainstem.logs.reading import chunks, lacks
from mainstem.logs.records import event_columns, events_of
from mainstem.nodes.sources import Stream
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Store


class Loaded(NamedTuple):
    """The number of keys of a state, and of those that were loaded if the others were kept."""

    keys: int
    anew: int | None = None


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
            online={view.name: online.fingerprint},
            message=_told(loaded, taken, expired),
            published=loaded.keys if loaded else None,
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

    def _load(self, online: OnlineView, context: Context, *, resume: bool) -> Loaded:
        """Load the state from the lake: the changed part of the published one, if that is possible.

        If a stream has grown since a load was interrupted, the load starts again, because the order of keys has
        changed.
        """
        loading = Loading(self._store, online.view.name, online.fingerprint)
        base = None if self._rebuild else self._base(online.view, context)
        begun = loading.begin(resume=resume)
        if base is not None and not begun.loaded:
            continued = carry_on(base, online, loading, context)
            if continued is not None:
                whole, loaded = continued
                return self._complete(loading, whole, context, online.view, anew=loaded)
            loading.begin(resume=False)
        return self._complete(loading, self._whole(online, loading, begun, context), context, online.view)

    def _base(self, view: CompiledView, context: Context) -> Base | None:
        """Return the published state as a base, if it has the same definition."""
        published = context.release.online.get(view.name)
        if published is None:
            return None
        state = OnlineView(view, self._store, published)
        meta = state.meta()
        if not meta.ready or meta.made_of is None:
            return None
        (source,) = leaves(view.events)
        was = _made_of(context, view, {source: meta.made_of[1]})
        return base_of(state, context) if published.partition(".")[0] == was else None

    def _whole(self, online: OnlineView, loading: Loading, begun: Meta, context: Context) -> Meta:
        """Load all keys. Return the record of the state."""
        view, kept, loaded = answered(online.view), 0, 0
        with context.session(leaves(view.events)) as session:
            reached, events = extent(session, view)
            reached = msgspec.structs.replace(begun if begun.loaded else reached, loader="")
            horizon = reached.watermark - view.grace
            for chunk in in_records(online, session, within(view, horizon)):
                loaded, kept = loaded + chunk.keys, kept + chunk.events
                if loaded > begun.loaded:
                    loading.put(chunk.records, msgspec.structs.replace(reached, loaded=loaded))
                    context.report(f"{view.name}: {loaded:,} key{'' if loaded == 1 else 's'}")
        complete_from = horizon if kept < events else -(2**63)
        return msgspec.structs.replace(reached, complete_from=complete_from, loaded=loaded, swept=horizon)

    def _complete(
        self, loading: Loading, whole: Meta, context: Context, view: CompiledView, anew: int | None = None
    ) -> Loaded:
        """Mark a state as complete."""
        events = answered(view).events
        of_table = not isinstance(context.graph[view.source].node, Stream)
        read = made_of(events, context) if of_table else None
        made = None if read is None else (read.physical, read.id, read.metadata)
        offset = _offset(context, view.source)
        loading.put([], msgspec.structs.replace(whole, offset=offset, ready=True, made_of=made))
        return Loaded(whole.loaded, anew)


def _told(loaded: Loaded | None, taken: int, expired: int) -> str:
    anew = "" if loaded is None or loaded.anew is None else f", {loaded.anew:,} of them loaded anew"
    told = {
        f"key% online{anew}": loaded.keys if loaded else None,
        "event% taken in": taken or None,
        "record% expired": expired or None,
    }
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
    made = _made_of(context, definition, {name: context.snapshot(name).id for name in stored})
    published = context.release.online.get(view, "")
    return published if published.partition(".")[0] == made else made


def _made_of(context: Context, view: CompiledView, snapshots: Mapping[str, int]) -> str:
    """Return the fingerprint of a view's state, given the ids of the snapshots that it is made of."""
    parts = [FORMAT, view.fingerprint, context.graph[view.name].read_fingerprint]
    return digest(*parts, *(f"{name}@{snapshots[name]}" for name in sorted(snapshots)))


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
