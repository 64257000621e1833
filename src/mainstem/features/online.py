"""Features as they stand now: events per key in the online store, and reads of them.

The state of a key is its events, not its features: a query may come for any time from the stated grace on, and
sees exactly what the offline query sees. Events that no such query can see are forgotten; so are, of a latest view, rows
that a later one has superseded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mainstem.errors import RequestError
from mainstem.features.arrivals import Arrivals
from mainstem.features.instants import ALWAYS, instant_of
from mainstem.features.packing import Layout, Packed, encode_key
from mainstem.features.retention import merged
from mainstem.features.sight import latest_at, nothing, windowed_at
from mainstem.features.view import CompiledView
from mainstem.ports import OnlineStore, Writer

META = b""
"""The key of a space's own record: no entity's, for those are never empty."""


class Meta(msgspec.Struct, frozen=True):
    """What is known of a view's state as a whole.

    `watermark` is the newest usable time, `complete_from` the earliest time of a query that is answered exactly; `offset`
    is the first of the stream's log that is not in the state. Until a load is `ready`, `loaded` counts its keys so far.
    """

    watermark: int = ALWAYS
    complete_from: int = -(2**63)
    offset: int = 0
    loaded: int = 0
    ready: bool = False


class Reading(NamedTuple):
    """The features of one key at one time.

    `effective` (µs) is when the newest event seen became usable, `start` (µs) where the longest window begins; `missing`
    says that the key is unknown: nothing of it is in the state.
    """

    values: dict[str, Any]
    effective: int | None
    start: int | None
    missing: bool


class OnlineView:
    """A view's state in an online store: in a space of its definition's own, so that a new one is built beside it."""

    def __init__(self, view: CompiledView, store: OnlineStore, fingerprint: str | None = None) -> None:
        self.view, self._store = view, store
        self.fingerprint = fingerprint or view.fingerprint
        self.space = f"view/{view.name}/{self.fingerprint}"
        self.layout = Layout.of(view)
        self._meta: tuple[bytes | None, Meta] = (None, Meta())
        self._arrivals = Arrivals(view)

    # ── reads ────────────────────────────────────────────────────────────────────────────────────────

    def read(self, keys: Sequence[Sequence[Any]], t: int | Sequence[int]) -> list[Reading]:
        """The features of each key (its values in the order of the view's key; instants as µs) at `t` (µs).

        Raises `RequestError` for a time before what the state can answer exactly.
        """
        times = [t] * len(keys) if isinstance(t, int) else t
        encoded = [encode_key(key) for key in keys]
        distinct = list(dict.fromkeys(encoded))
        meta, *states = self._store.read(self.space, [META, *distinct])
        self._check(meta, times)
        found = {
            key: None if state is None else self.layout.unpack(state)
            for key, state in zip(distinct, states, strict=True)
        }
        return [self._reading(found[key], time) for key, time in zip(encoded, times, strict=True)]

    def meta(self) -> Meta:
        """The state's own record."""
        return self._decoded(self._store.read(self.space, [META])[0])

    def _reading(self, events: Packed | None, t: int) -> Reading:
        view = self.view
        if view.windowed:
            start = min(window.start(t) for window in view.windows)
            if events is None:
                return Reading(nothing(view), None, start, True)
            values, newest = windowed_at(view, events, t)
            return Reading(values, newest, start, False)
        found = None if events is None else latest_at(view, events, t)
        if found is None:
            return Reading(nothing(view), None, None, True)
        return Reading(found[0], found[1], None, False)

    def _check(self, meta: bytes | None, times: Iterable[int]) -> None:
        complete_from = self._decoded(meta).complete_from
        early = min(times, default=complete_from)
        if early < complete_from:
            raise RequestError(
                f"the online state of {self.view.name!r} does not reach back so far",
                got=f"a read at {instant_of(early).isoformat()}",
                expected=f"at or after {instant_of(complete_from).isoformat()}",
                hint=f"grace={self.view.grace_text!r} says how far back reads are answered; "
                "project.dataset() knows the past",
            )

    def _decoded(self, raw: bytes | None) -> Meta:
        if raw != self._meta[0]:
            self._meta = (raw, Meta() if raw is None else _META.decode(raw))
        return self._meta[1]

    # ── writes ───────────────────────────────────────────────────────────────────────────────────────

    def apply(self, writer: Writer, events: Mapping[str, Sequence[Any]], offset: int | None = None) -> int:
        """Take events into the state, as columns of the source's rows with `_seq` and `_arrived`; instants as µs.

        Events that are in the state already, known by their `_seq`, change nothing. `offset` is the log's next. The number of
        events that this view uses.
        """
        meta = self._decoded(writer.get(self.space, META))
        rows = self._arrivals.by_key(events)
        watermark = max(meta.watermark, rows.watermark)
        horizon = watermark - self.view.grace
        forgot = False
        for key, columns in rows.columns.items():
            state = writer.get(self.space, key)
            kept, dropped = merged(self.view, None if state is None else self.layout.unpack(state), columns, horizon)
            forgot |= dropped
            if len(kept["_u"]):
                writer.put(self.space, key, self.layout.pack(kept))
        complete_from = max(meta.complete_from, horizon) if forgot else meta.complete_from
        grown = Meta(watermark, complete_from, meta.offset if offset is None else offset, meta.loaded, True)
        writer.put(self.space, META, encode_meta(grown))
        return rows.total


_META = msgspec.msgpack.Decoder(Meta)


def encode_meta(meta: Meta) -> bytes:
    """A state's own record as bytes."""
    return msgspec.msgpack.encode(meta)
