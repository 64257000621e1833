"""Where the events of a key are kept in a view's space of the online store, and how a query finds them.

A latest view keeps one record per key. A windowed view cuts time into blocks as long as its longest window reaches and
keeps a record per block and key, so that an event changes a little record and a query reads two; beside them, an index
record per key says which blocks there are. The records of one block lie together, for events come in order, more or
less: a batch changes few pages of the store. Older events of a long record are in parts (`records`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

from mainstem.features.online.arrivals import Arrivals
from mainstem.features.online.packing import EMPTY, Array, Layout
from mainstem.features.online.records import Batch, Records, parts_of
from mainstem.features.online.retention import taken
from mainstem.features.online.sight import latest_at, nothing, windowed_at
from mainstem.features.views.view import CompiledView
from mainstem.features.windows import floor
from mainstem.ports import Writer


class Found(dict[bytes, bytes | None]):
    """Records as they were read. Those that are asked for and are not among them are `wanted`, and as good as none."""

    wanted: Sequence[bytes] = ()

    def __missing__(self, address: bytes) -> None:
        self.__dict__.setdefault("wanted", []).append(address)


class Reading(NamedTuple):
    """The features of one key at one time.

    `effective` (µs) is when the newest event seen became usable, `start` (µs) where the longest window begins;
    `missing` says that the key is unknown, or has no value yet or any more.
    """

    values: dict[str, Any]
    effective: int | None
    start: int | None
    missing: bool


class State(ABC):
    """The events of a view, record by record."""

    def __init__(self, view: CompiledView, space: str) -> None:
        self.view, self.space, self.layout = view, space, Layout.of(view)
        self._records = Records(view, space, self.layout)

    @abstractmethod
    def addresses(self, key: bytes, t: int) -> tuple[bytes, ...]:
        """The records that a query needs, but for parts."""

    @abstractmethod
    def read(self, addresses: tuple[bytes, ...], found: Found, t: int) -> Reading:
        """The answer to a query, given its records; it is to be asked again for while some are wanted."""

    @abstractmethod
    def batch(self, arrivals: Arrivals) -> Batch:
        """Events by the record that they belong to."""

    @abstractmethod
    def touched(self, batch: Batch) -> Iterable[bytes]:
        """The records that `take` may ask for."""

    @abstractmethod
    def take(self, writer: Writer, batch: Batch, horizon: int) -> bool:
        """Add events, and forget what no query from `horizon` on can see; whether anything was forgotten."""

    @abstractmethod
    def block(self, u: Any) -> Any:
        """Which of a key's records an event belongs to: a number, for ints, arrays and Ibis columns."""

    @abstractmethod
    def records(
        self, keys: Iterable[bytes], counts: Iterable[int], blocks: Iterable[int], packed: Iterable[bytes]
    ) -> Iterator[tuple[bytes, bytes]]:
        """What to store of many keys: of each its next `counts` of `blocks`, with their events in `packed`."""


class LatestState(State):
    def __init__(self, view: CompiledView, space: str) -> None:
        super().__init__(view, space)
        self._places = [(f.name, self.layout.places[str(f.argument)]) for f in view.features]

    def addresses(self, key: bytes, t: int) -> tuple[bytes, ...]:
        return (key,)

    def read(self, addresses: tuple[bytes, ...], found: Found, t: int) -> Reading:
        (address,) = addresses
        raw = found[address]
        row = None if raw is None else latest_at(self.view, self.layout.unpack(raw), t)
        if row is None and raw is not None and (parts := parts_of(raw)):
            older = [found[address + part.name] for part in parts if part.start <= t]
            row = latest_at(self.view, self.layout.unpack(*filter(None, older), raw), t)
        if row is None:
            return Reading(nothing(self.view), None, None, True)
        return Reading({name: row[place] for name, place in self._places}, row[0], None, False)

    def batch(self, arrivals: Arrivals) -> Batch:
        bounds = np.searchsorted(arrivals.key, np.arange(len(arrivals.keys) + 1))
        return Batch(arrivals.keys, bounds, arrivals.columns)

    def touched(self, batch: Batch) -> Iterable[bytes]:
        return batch.addresses

    def take(self, writer: Writer, batch: Batch, horizon: int) -> bool:
        _, forgot = self._records.add(writer, batch, horizon)
        return forgot

    def block(self, u: Any) -> Any:
        return u * 0

    def records(
        self, keys: Iterable[bytes], counts: Iterable[int], blocks: Iterable[int], packed: Iterable[bytes]
    ) -> Iterator[tuple[bytes, bytes]]:
        return chain.from_iterable(map(self._records.whole, keys, packed))


class WindowedState(State):
    def addresses(self, key: bytes, t: int) -> tuple[bytes, ...]:
        first = self.block(min(window.start(t) for window in self.view.windows))
        return key, _before(first) + key, _before(first + 1) + key

    def read(self, addresses: tuple[bytes, ...], found: Found, t: int) -> Reading:
        view = self.view
        key, *blocks = addresses
        index, start = found[key], min(window.start(t) for window in view.windows)
        raws = [raw for address in blocks for raw in self._between(address, found, start, t)]
        if found.wanted:
            return Reading({}, None, start, True)
        if not raws:
            return Reading(nothing(view), None, start, index is None)
        values, newest = windowed_at(view, self.layout.unpack(*raws), t)
        return Reading(values, newest, start, False)

    def batch(self, arrivals: Arrivals) -> Batch:
        keys, key, blocks = arrivals.keys, arrivals.key, self.block(arrivals.columns["_u"])
        another = np.ones(len(key), dtype=bool)
        another[1:] = (np.diff(key) != 0) | (np.diff(blocks) != 0)
        starts = np.flatnonzero(another)
        before = {block: _before(block) for block in set(blocks[starts].tolist())}
        pairs = zip(blocks[starts].tolist(), key[starts].tolist(), strict=True)
        addresses = [before[block] + keys[place] for block, place in pairs]
        return Batch(addresses, np.append(starts, len(key)), arrivals.columns)

    def touched(self, batch: Batch) -> Iterable[bytes]:
        return chain(batch.addresses, map(_key, batch.addresses))

    def take(self, writer: Writer, batch: Batch, horizon: int) -> bool:
        expired = self.block(horizon - self.view.reach)
        live = self.block(batch.columns["_u"][batch.bounds[:-1]]) >= expired
        batch = batch if live.all() else _only(batch, live)
        new, forgot = self._records.add(writer, batch, horizon)
        forgot |= self._index(writer, [batch.addresses[n] for n in new], expired)
        return forgot or not live.all()

    def block(self, u: Any) -> Any:
        start = floor(u, self.view.reach)
        return start // self.view.reach

    def records(
        self, keys: Iterable[bytes], counts: Iterable[int], blocks: Iterable[int], packed: Iterable[bytes]
    ) -> Iterator[tuple[bytes, bytes]]:
        numbered = zip(blocks, packed, strict=True)
        for key, count in zip(keys, counts, strict=True):
            own = list(islice(numbered, count))
            yield key, _listed(_number(block) for block, _ in own)
            for block, raw in own:
                yield from self._records.whole(_before(block) + key, raw)

    def _between(self, address: bytes, found: Found, start: int, t: int) -> list[bytes]:
        """A record with those of its parts that have events from `start` to `t`, the oldest first."""
        raw = found[address]
        if raw is None:
            return []
        parts = parts_of(raw)
        ends = [*(part.start for part in parts[1:]), t + 1]
        names = [part.name for part, end in zip(parts, ends, strict=False) if part.start <= t and start < end]
        return [*filter(None, [found[address + name] for name in names]), raw]

    def _index(self, writer: Writer, addresses: Sequence[bytes], expired: int) -> bool:
        """Note new blocks of keys, and delete blocks of theirs that nobody can see any more; whether there were any."""
        keys = list(map(_key, addresses))
        index = {key: raw or b"" for key, raw in zip(keys, writer.get_many(self.space, keys), strict=True)}
        for key, address in zip(keys, addresses, strict=True):
            known, block = index[key], address[1:9]
            index[key] = known + block if known[-8:] < block else _listed({*_blocks(known), block})
        first, gone = _number(expired), list[bytes]()
        for key, known in index.items():
            if known[:8] < first:
                gone += [b"\0" + block + key for block in _blocks(known) if block < first]
                index[key] = _listed(block for block in _blocks(known) if block >= first)
        writer.put_many(self.space, index)
        for address, raw in zip(gone, writer.get_many(self.space, gone) if gone else (), strict=True):
            for name in (b"", *(part.name for part in parts_of(raw or EMPTY))):
                writer.delete(self.space, address + name)
        return bool(gone)


def state_of(view: CompiledView, space: str) -> State:
    """The state of a view, in a space of the online store."""
    return WindowedState(view, space) if view.windowed else LatestState(view, space)


def _before(block: int) -> bytes:
    """What comes before a key in the address of its record in a block.

    An encoded key begins otherwise, and tells its own length, so neither what comes before nor after is taken for it.
    """
    return b"\0" + _number(block)


def _number(block: int) -> bytes:
    """8 bytes whose order is that of the numbers."""
    return (block + 2**63).to_bytes(8, "big")


def _key(address: bytes) -> bytes:
    return address[9:]


def _blocks(index: bytes) -> list[bytes]:
    return [index[at : at + 8] for at in range(0, len(index), 8)]


def _listed(blocks: Iterable[bytes]) -> bytes:
    """The index record of a key."""
    return b"".join(sorted(blocks))


def _only(batch: Batch, records: Array) -> Batch:
    """The events of some of the records."""
    sizes = np.diff(batch.bounds)
    addresses = [address for address, chosen in zip(batch.addresses, records, strict=True) if chosen]
    bounds = np.append(0, np.cumsum(sizes[records]))
    return Batch(addresses, bounds, taken(batch.columns, np.repeat(records, sizes)))
