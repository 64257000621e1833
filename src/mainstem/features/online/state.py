"""The storage of a key's events in a view's space of the online store, and how queries find them.

A latest view has one record per key. A windowed view cuts time into blocks as long as its longest window reaches and
has one record per block and key, so an event changes a small record and a query reads two. The records of one block are
stored together: events come roughly in order, so a batch changes few pages of the store. Older events of a long record
are in parts (`records`). Records that no query can see are deleted from time to time (`expiry`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mainstem.features.online.arrivals import Arrivals
from mainstem.features.online.packing import Array, Events, Layout
from mainstem.features.online.records import PART_NAME, Batch, Part, Records, is_part, parts_of
from mainstem.features.online.retention import taken
from mainstem.features.online.sight import Sight, latest_at, nothing, windowed_at
from mainstem.features.online.summaries import Summaries, Summary
from mainstem.features.views.view import CompiledView
from mainstem.features.windows import Window, floor
from mainstem.ports import Writer


class Found(dict[bytes, bytes | None]):
    """Records that were read. Requested records that are missing are added to `wanted` and count as empty."""

    wanted: Sequence[bytes] = ()

    def __missing__(self, address: bytes) -> None:
        self.__dict__.setdefault("wanted", []).append(address)


class Reading(NamedTuple):
    """The features of one key at one time.

    `effective` (µs) is when the newest visible event became usable. `start` (µs) is where the longest window begins.
    `missing` says that the key is unknown, or has no event in its longest window.
    """

    values: dict[str, Any]
    effective: int | None
    start: int | None
    missing: bool


class State(ABC):
    """The events of a view, in records. The key of a record begins after `before_key` bytes of its address."""

    before_key: ClassVar[int] = 0

    def __init__(self, view: CompiledView, space: str) -> None:
        self.view, self.space, self.layout = view, space, Layout.of(view)
        self._records = Records(view, space, self.layout)

    @abstractmethod
    def addresses(self, key: bytes, t: int) -> tuple[bytes, ...]:
        """Return the records that a query needs, without parts."""

    @abstractmethod
    def read(self, addresses: tuple[bytes, ...], found: Found, t: int) -> Reading:
        """Return the answer to a query from its records. If records are `wanted`, it must be repeated with them."""

    @abstractmethod
    def batch(self, arrivals: Arrivals) -> Batch:
        """Return events by their record."""

    @abstractmethod
    def take(self, writer: Writer, batch: Batch, horizon: int) -> bool:
        """Add events, and expire what no query from `horizon` on can see. Return whether any event was expired."""

    @abstractmethod
    def block(self, u: Any) -> Any:
        """Return the number of an event's block, for ints, arrays and Ibis columns."""

    @abstractmethod
    def address(self, key: bytes, block: int) -> bytes:
        """Return the address of the record of a key and block."""

    def records(self, addresses: Iterable[bytes], packed: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Return what to store of the events in `packed` at each of the addresses: the record and its parts."""
        return chain.from_iterable(map(self._records.whole, addresses, packed))

    def others(self, stored: Iterable[tuple[bytes, bytes]], keys: Collection[bytes]) -> list[tuple[bytes, bytes]]:
        """Return the records and parts of other keys.

        A key tells where it ends. So what is left of an address without the name of a part is a key only for a part.
        """
        begin, end = self.before_key, -PART_NAME
        return [
            (address, raw) for address, raw in stored if address[begin:] not in keys and address[begin:end] not in keys
        ]

    @abstractmethod
    def due(self, last: int, horizon: int) -> bool:
        """Return whether much may have expired up to `horizon` that had not up to `last`."""

    @abstractmethod
    def expired(self, stored: Sequence[tuple[bytes, bytes]], horizon: int) -> list[bytes]:
        """Return the addresses of those `stored` records and parts that no query from `horizon` on can see."""


class LatestState(State):
    def __init__(self, view: CompiledView, space: str) -> None:
        super().__init__(view, space)
        self._names = tuple(feature.name for feature in view.features)
        places = [self.layout.places[str(feature.argument)] for feature in view.features]
        self._chosen = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
        self._ttl = view.ttl if view.known.moments else None

    def addresses(self, key: bytes, t: int) -> tuple[bytes, ...]:
        return (key,)

    def read(self, addresses: tuple[bytes, ...], found: Found, t: int) -> Reading:
        (address,) = addresses
        raw = found[address]
        row = None if raw is None else latest_at(self.view, self.layout, [raw], t)
        if row is None and raw is not None and (parts := parts_of(raw)):
            older = filter(None, [found[address + part.name] for part in parts if part.start <= t])
            row = latest_at(self.view, self.layout, [*older, raw], t)
        if row is None:
            return Reading(nothing(self.view), None, None, True)
        return Reading(dict(zip(self._names, self._chosen(row), strict=True)), row[0], None, False)

    def batch(self, arrivals: Arrivals) -> Batch:
        bounds = np.searchsorted(arrivals.key, np.arange(len(arrivals.keys) + 1))
        return Batch(arrivals.keys, bounds, arrivals.columns)

    def take(self, writer: Writer, batch: Batch, horizon: int) -> bool:
        return self._records.add(writer, batch, horizon)

    def block(self, u: Any) -> Any:
        return u * 0

    def address(self, key: bytes, block: int) -> bytes:
        return key

    def due(self, last: int, horizon: int) -> bool:
        return self._ttl is not None and horizon - last >= self._ttl

    def expired(self, stored: Sequence[tuple[bytes, bytes]], horizon: int) -> list[bytes]:
        if self._ttl is None:
            return []
        heads = [(address, raw) for address, raw in stored if not is_part(address, raw)]
        old = self.layout.newest([raw for _, raw in heads], ["_u"])["_u"] < horizon - self._ttl
        gone = [head for head, expired in zip(heads, old.tolist(), strict=True) if expired]
        return [address + name for address, raw in gone for name in (b"", *(part.name for part in parts_of(raw)))]


class WindowedState(State):
    before_key = 8

    def __init__(self, view: CompiledView, space: str) -> None:
        super().__init__(view, space)
        self._summaries = Summaries(view)
        self._is_summarised = all(feature.kind.is_summarised for feature in view.features)

    def addresses(self, key: bytes, t: int) -> tuple[bytes, ...]:
        first = self.block(min(window.start(t) for window in self.view.windows))
        return self.address(key, first), self.address(key, first + 1)

    def read(self, addresses: tuple[bytes, ...], found: Found, t: int) -> Reading:
        view = self.view
        start = min(window.start(t) for window in view.windows)
        raws = [raw for raw in map(found.__getitem__, addresses) if raw is not None]
        if not raws:
            return Reading(nothing(view), None, start, True)
        sights = self._sights(addresses, found, t) if any(map(parts_of, raws)) else None
        if sights is None:
            raws = [raw for address in addresses for raw in self._between(address, found, start, t)]
            sights = dict.fromkeys(view.windows, Sight(self.layout.unpack(*raws)))
        if found.wanted:
            return Reading({}, None, start, True)
        values, newest = windowed_at(view, sights, t)
        return Reading(values, newest, start, newest is None)

    def batch(self, arrivals: Arrivals) -> Batch:
        keys, key, blocks = arrivals.keys, arrivals.key, self.block(arrivals.columns["_u"])
        another = np.ones(len(key), dtype=bool)
        another[1:] = (np.diff(key) != 0) | (np.diff(blocks) != 0)
        starts = np.flatnonzero(another)
        numbers = {block: _number(block) for block in set(blocks[starts].tolist())}
        pairs = zip(blocks[starts].tolist(), key[starts].tolist(), strict=True)
        addresses = [numbers[block] + keys[place] for block, place in pairs]
        return Batch(addresses, np.append(starts, len(key)), arrivals.columns)

    def take(self, writer: Writer, batch: Batch, horizon: int) -> bool:
        live = self.block(batch.columns["_u"][batch.bounds[:-1]]) >= self.block(horizon - self.view.reach)
        if live.all():
            return self._records.add(writer, batch, horizon)
        self._records.add(writer, _only(batch, live), horizon)
        return True

    def block(self, u: Any) -> Any:
        start = floor(u, self.view.reach)
        return start // self.view.reach

    def address(self, key: bytes, block: int) -> bytes:
        return _number(block) + key

    def due(self, last: int, horizon: int) -> bool:
        return bool(self.block(horizon - self.view.reach) > self.block(last - self.view.reach))

    def expired(self, stored: Sequence[tuple[bytes, bytes]], horizon: int) -> list[bytes]:
        first = _number(self.block(horizon - self.view.reach))
        return [address for address, _ in stored if address < first]

    def _sights(self, addresses: tuple[bytes, ...], found: Found, t: int) -> dict[Window, Sight] | None:
        """Return what a query sees in each window, with whole parts as summaries; None if its features need
        each event."""
        if not self._is_summarised:
            return None
        sights = {window: self._sight(addresses, found, window, t) for window in self.view.windows}
        return None if any(sight.is_infinite(self.view) for sight in sights.values()) else sights

    def _sight(self, addresses: tuple[bytes, ...], found: Found, window: Window, t: int) -> Sight:
        """Return what a query sees in a window: of long records, whole parts are represented by their summaries."""
        raws, whole = list[bytes](), None
        for address in addresses:
            if (raw := found[address]) is not None:
                summary, edges = self._parts(address, parts_of(raw), found, window, t)
                raws += [*filter(None, [found[address + name] for name in edges]), raw]
                whole = whole.merged(summary) if whole and summary else whole or summary
        return Sight(self.layout.unpack(*raws), whole)

    def _parts(
        self, address: bytes, parts: Sequence[Part], found: Found, window: Window, t: int
    ) -> tuple[Summary | None, list[bytes]]:
        """Return the summaries of a record's parts in a window, and the names of other parts that may have events in
        it.

        No event of a part is later than the time at which the next part begins. The end of the last one is not looked
        up.
        """
        first = bisect_left(parts, window.start(t), key=_start_of)
        last = (bisect_right if self.view.inclusive else bisect_left)(parts, t, key=_start_of) - 1
        names = [part.name for part in parts[max(first - 1, 0) : last + 1]]
        if last <= first:
            return None, names

        def shows(summary: Summary) -> bool:
            here = not self.view.arrives or summary.arrived < t or (self.view.inclusive and summary.arrived == t)
            return here and not summary.gone

        def events(name: bytes) -> Events | None:
            raw = found[address + name]
            return None if raw is None else self.layout.unpack(raw)

        before, inside = (names[:1], names[1:-1]) if first else ([], names[:-1])
        whole, others = self._summaries.of(inside, first, shows, events)
        return whole, [*before, *others, names[-1]]

    def _between(self, address: bytes, found: Found, start: int, t: int) -> list[bytes]:
        """Return a record with those of its parts that have events from `start` to `t`, oldest first."""
        raw = found[address]
        if raw is None:
            return []
        parts = parts_of(raw)
        later = [*(part.start for part in parts[1:]), t + 1]
        # Parts that begin at the same time have events of that time.
        ends = [max(end, part.start + 1) for part, end in zip(parts, later, strict=False)]
        names = [part.name for part, end in zip(parts, ends, strict=False) if part.start <= t and start < end]
        return [*filter(None, [found[address + name] for name in names]), raw]


def _start_of(part: Part) -> int:
    return part.start


def state_of(view: CompiledView, space: str) -> State:
    """Return the state of a view, in a space of the online store."""
    return WindowedState(view, space) if view.windowed else LatestState(view, space)


def _number(block: int) -> bytes:
    """Return 8 bytes with the order of numbers."""
    return (block + 2**63).to_bytes(8, "big")


def _only(batch: Batch, records: Array) -> Batch:
    """Return the events of some of the records."""
    sizes = np.diff(batch.bounds)
    addresses = [address for address, chosen in zip(batch.addresses, records, strict=True) if chosen]
    bounds = np.append(0, np.cumsum(sizes[records]))
    return Batch(addresses, bounds, taken(batch.columns, np.repeat(records, sizes)))
