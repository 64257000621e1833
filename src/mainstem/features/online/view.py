"""Current features: events per key in the online store, and reads of them.

The state of a key is its events, not its features: a query may have any time within the stated grace, and sees exactly
what the offline query sees. Events that no such query can see are deleted. In a latest view, superseded rows are too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from mainstem.errors import RequestError, StorageError, Unavailable
from mainstem.features.online.arrivals import arrivals
from mainstem.features.online.chain import with_features
from mainstem.features.online.meta import META, NEVER, Meta, decode_meta, encode_meta, gone, space_of
from mainstem.features.online.packing import encode_key
from mainstem.features.online.state import Found, Reading, state_of
from mainstem.features.views.view import CompiledView
from mainstem.nodes.instants import instant_of, micros_of
from mainstem.nodes.records import now
from mainstem.ports import OnlineStore, Writer

__all__ = [
    "META",
    "Meta",
    "OnlineView",
    "Query",
    "Reading",
    "encode_meta",
    "online_view",
    "read_together",
    "space_of",
]

ATTEMPTS = 8
"""The number of retries of a read after a late event replaced the records."""


class OnlineView:
    """A view's state in an online store, in the space of its fingerprint, so that a new state is built next to it.

    A `published` state (a release refers to it) is read and updated only if it is complete.
    """

    def __init__(
        self,
        view: CompiledView,
        store: OnlineStore,
        fingerprint: str | None = None,
        used: Sequence[OnlineView] = (),
        *,
        published: bool = False,
    ) -> None:
        self.view, self.store, self.used, self.published = view, store, used, published
        self.fingerprint = fingerprint or view.fingerprint
        self.space = space_of(view.name, self.fingerprint)
        self.state = state_of(view, self.space)

    def read(self, keys: Sequence[Sequence[Any]], t: int | Sequence[int]) -> list[Reading]:
        """Return the features of each key (values in the order of the view's key, instants in µs) at `t` (µs).

        Raises `RequestError` for a time before the state's exact range.
        """
        return read_together([Query(self, keys, [t] * len(keys) if isinstance(t, int) else t)])[0]

    def read_within(self, writer: Writer, keys: Sequence[Sequence[Any]], times: Sequence[int]) -> list[Reading]:
        """Return the same as a transaction sees it."""
        return self.answer_within(writer, Query(self, keys, times))

    def answer_within(self, writer: Writer, query: Query) -> list[Reading]:
        """Return the readings of a query as a transaction sees them."""
        found = Found(zip(query.records, writer.get_many(self.space, query.records), strict=True))
        while True:
            readings = self.answer(found, query)
            if not found.wanted:
                return readings
            parts = list(dict.fromkeys(found.wanted))
            found = Found(found | dict(zip(parts, writer.get_many(self.space, parts), strict=True)))

    def meta(self, writer: Writer | None = None) -> Meta:
        """Return the state's own record, perhaps as a transaction sees it."""
        return decode_meta(writer.get(self.space, META) if writer else self.store.read(self.space, [META])[0])

    def reaches(self, writer: Writer) -> int:
        """Return the earliest time (µs) at which the state can be read, as a transaction sees it."""
        return self.meta(writer).complete_from

    def apply(self, writer: Writer, events: Mapping[str, Sequence[Any]], offset: int | None = None) -> int:
        """Apply events to the state, as columns of the source's rows with `_seq` and `_arrived`. Instants are in µs.

        Events that are in the state already, by `_seq`, change nothing. `offset` is the log's next offset. Returns the
        number of events that this view uses. The views in `used` must have all earlier events, and may have these.
        Events that ask them for a time that they have expired are left out: the state is `lacking` then, and does not
        answer queries that would see them.

        Raises `StorageError` for a missing state.
        """
        brought = with_features(self.view, self.used, writer, events)
        came = arrivals(self.view, brought.rows)
        batch = self.state.batch(came)
        writer.prefetch(self.space, chain([META], batch.addresses))
        meta = self.meta(writer)
        if self.published and not meta.ready:
            raise gone(self.view.name, self.store)
        before = meta.watermark
        meta = self._without(meta.reaching(came.newest, micros_of(now())), brought.lost)
        # A batch forgets nothing by its own times: by the next one a clock that was wrong may be right again.
        horizon = min(before, meta.watermark) - self.view.grace
        forgot = self.state.take(writer, batch, horizon)
        complete_from = max(meta.complete_from, horizon) if forgot else meta.complete_from
        offset = meta.offset if offset is None else offset
        grown = msgspec.structs.replace(meta, complete_from=complete_from, offset=offset, loader="")
        writer.put(self.space, META, encode_meta(grown))
        return came.total

    def _without(self, meta: Meta, lost: Sequence[int]) -> Meta:
        """Return the record of a state that lacks events of these usable times (µs)."""
        if not lost:
            return meta
        age = self.view.reach or (self.view.ttl if self.view.known.moments else None)
        until = NEVER if age is None else max(lost) + age + 1
        seen = until > max(meta.complete_from, meta.watermark - self.view.grace)
        complete_from = max(meta.complete_from, until)
        return msgspec.structs.replace(meta, complete_from=complete_from, lacking=meta.lacking or seen)

    def answer(self, found: Found, query: Query) -> list[Reading]:
        """Return the readings of a query from its records. Raises `RequestError`, or `StorageError` for a missing
        state."""
        self._check(found[META], query.times)
        return [self.state.read(a, found, t) for a, t in zip(query.needed, query.times, strict=True)]

    def _check(self, meta: bytes | None, times: Iterable[int]) -> None:
        known = decode_meta(meta)
        if self.published and not known.ready:
            raise gone(self.view.name, self.store)
        complete_from = known.complete_from
        early = min(times, default=complete_from)
        if early < complete_from and known.lacking:
            raise Unavailable(
                f"the online state of {self.view.name!r} lacks an event that came late",
                got=f"a read at {instant_of(early).isoformat()}",
                expected=f"after {instant_of(complete_from).isoformat()}" if complete_from < NEVER else None,
                hint="mainstem run loads the state anew from the lake",
            )
        if early < complete_from:
            raise RequestError(
                f"the online state of {self.view.name!r} does not reach back that far",
                got=f"a read at {instant_of(early).isoformat()}",
                expected=f"at or after {instant_of(complete_from).isoformat()}",
                hint=f"grace={self.view.grace_text!r} limits how far back reads go; datasets cover the whole past",
            )


class Query:
    """A query of a view: the features of keys, each at a time (µs). `needed` are the records of each."""

    def __init__(self, view: OnlineView, keys: Sequence[Sequence[Any]], times: Sequence[int]) -> None:
        self.view, self.times = view, times
        addresses = view.state.addresses
        self.needed = [addresses(encode_key(key), time) for key, time in zip(keys, times, strict=True)]
        self.records = list(dict.fromkeys(chain([META], *self.needed)))


def read_together(queries: Sequence[Query]) -> list[list[Reading]]:
    """Return the readings of each query, from one consistent view of their store and in one round trip.

    Raises `RequestError` for a time before the exact range of a view's state.
    """
    if not queries:
        return []
    wanted = [(query.view.space, query.records) for query in queries]
    values = queries[0].view.store.read_many(wanted)
    found = [Found(zip(query.records, each, strict=True)) for query, each in zip(queries, values, strict=True)]
    readings = [query.view.answer(each, query) for query, each in zip(queries, found, strict=True)]
    # This is the hot path. It is inlined, because more function calls would be measurable.
    return _with_parts(queries, found) if [each for each in found if each.wanted] else readings


def _with_parts(queries: Sequence[Query], found: Sequence[Found]) -> list[list[Reading]]:
    """Return the readings of queries that also need parts. Raises `StorageError` if parts are missing."""
    for _ in range(ATTEMPTS):
        parts = _read(queries, [list(dict.fromkeys(each.wanted)) for each in found])
        if any(None in each.values() for each in parts):
            # A missing part was replaced in between: the record that named it has changed by now.
            found = _read(queries, [query.records for query in queries])
        else:
            found = [Found(a | b) for a, b in zip(found, parts, strict=True)]
        readings = [query.view.answer(each, query) for query, each in zip(queries, found, strict=True)]
        if not any(each.wanted for each in found):
            return readings
    where = queries[0].view.store.where
    raise StorageError("records of the online state are missing", where=where, hint="rebuild it")


def _read(queries: Sequence[Query], wanted: Sequence[Sequence[bytes]]) -> list[Found]:
    spaces = [query.view.space for query in queries]
    values = queries[0].view.store.read_many(list(zip(spaces, wanted, strict=True)))
    return [Found(zip(keys, each, strict=True)) for keys, each in zip(wanted, values, strict=True)]


def online_view(
    view: CompiledView, store: OnlineStore, online: Mapping[str, str], *, published: bool = False
) -> OnlineView:
    """Return a view's state with those of used views. `online` has each one's fingerprint. Raises `Unavailable`."""
    if view.name not in online:
        raise Unavailable(f"the view {view.name!r} is not online yet", hint="mainstem run")
    lookups = view.chain.lookups if view.chain else ()
    used = [online_view(lookup.view, store, online, published=True) for lookup in lookups]
    return OnlineView(view, store, online[view.name], used, published=published)
