"""Features as they stand now: events per key in the online store, and reads of them.

The state of a key is its events, not its features: a query may come for any time from the stated grace on, and sees
exactly what the offline query sees. Events that no such query can see are forgotten; so are, of a latest view, rows
that a later one has superseded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from mainstem.errors import RequestError
from mainstem.features.instants import instant_of
from mainstem.features.online.arrivals import by_key
from mainstem.features.online.meta import META, Meta, decode_meta, encode_meta, gone, space_of
from mainstem.features.online.packing import encode_key
from mainstem.features.online.state import Reading, Records, state_of
from mainstem.features.views.view import CompiledView
from mainstem.ports import OnlineStore, Writer

__all__ = ["META", "Meta", "OnlineView", "Query", "Reading", "encode_meta", "read_together", "space_of"]


class OnlineView:
    """A view's state in an online store: in a space of its definition's own, so that a new one is built beside it.

    One that is `published`, since a release refers to it, is read and added to only when it is whole.
    """

    def __init__(
        self, view: CompiledView, store: OnlineStore, fingerprint: str | None = None, *, published: bool = False
    ) -> None:
        self.view, self.store, self.published = view, store, published
        self.fingerprint = fingerprint or view.fingerprint
        self.space = space_of(view.name, self.fingerprint)
        self.state = state_of(view, self.space)

    def read(self, keys: Sequence[Sequence[Any]], t: int | Sequence[int]) -> list[Reading]:
        """The features of each key (its values in the order of the view's key; instants as µs) at `t` (µs).

        Raises `RequestError` for a time before what the state can answer exactly.
        """
        return read_together([Query(self, keys, [t] * len(keys) if isinstance(t, int) else t)])[0]

    def meta(self, writer: Writer | None = None) -> Meta:
        """The state's own record; as a transaction sees it, if one is given."""
        return decode_meta(writer.get(self.space, META) if writer else self.store.read(self.space, [META])[0])

    def apply(self, writer: Writer, events: Mapping[str, Sequence[Any]], offset: int | None = None) -> int:
        """Take events into the state, as columns of the source's rows with `_seq` and `_arrived`; instants as µs.

        Events that are in the state already, known by their `_seq`, change nothing. `offset` is the log's next one. The
        number of events that this view uses. Raises `StorageError` for a state that is gone.
        """
        rows = by_key(self.view, events)
        changed = (a for key, columns in rows.columns.items() for a in self.state.changed(key, columns["_u"]))
        writer.prefetch(self.space, chain([META], changed))
        meta = self.meta(writer)
        if self.published and not meta.ready:
            raise gone(self.view.name, self.store)
        watermark = max(meta.watermark, rows.watermark)
        horizon = watermark - self.view.grace
        forgot = [self.state.take(writer, key, columns, horizon) for key, columns in rows.columns.items()]
        complete_from = max(meta.complete_from, horizon) if any(forgot) else meta.complete_from
        grown = Meta(watermark, complete_from, meta.offset if offset is None else offset, meta.loaded, meta.ready)
        writer.put(self.space, META, encode_meta(grown))
        return rows.total

    def answer(self, found: Records, query: Query) -> list[Reading]:
        """The readings of a query, given its records. Raises `RequestError`, or `StorageError` if the state is gone."""
        self._check(found[META], query.times)
        return [self.state.read(a, found, t) for a, t in zip(query.needed, query.times, strict=True)]

    def _check(self, meta: bytes | None, times: Iterable[int]) -> None:
        known = decode_meta(meta)
        if self.published and not known.ready:
            raise gone(self.view.name, self.store)
        complete_from = known.complete_from
        early = min(times, default=complete_from)
        if early < complete_from:
            raise RequestError(
                f"the online state of {self.view.name!r} does not reach back so far",
                got=f"a read at {instant_of(early).isoformat()}",
                expected=f"at or after {instant_of(complete_from).isoformat()}",
                hint=f"grace={self.view.grace_text!r} says how far back reads are answered; datasets know all the past",
            )


class Query:
    """What a view is asked: the features of keys, each at a time (µs); `needed` are the records of each."""

    def __init__(self, view: OnlineView, keys: Sequence[Sequence[Any]], times: Sequence[int]) -> None:
        self.view, self.times = view, times
        addresses = view.state.addresses
        self.needed = [addresses(encode_key(key), time) for key, time in zip(keys, times, strict=True)]
        self.records = list(dict.fromkeys(chain([META], *self.needed)))


def read_together(queries: Sequence[Query]) -> list[list[Reading]]:
    """The readings of each query, all from one consistent view of their store, in one round trip to it.

    Raises `RequestError` for a time before what a view's state can answer exactly.
    """
    if not queries:
        return []
    found = queries[0].view.store.read_many([(query.view.space, query.records) for query in queries])
    return [
        q.view.answer(dict(zip(q.records, values, strict=True)), q) for q, values in zip(queries, found, strict=True)
    ]
