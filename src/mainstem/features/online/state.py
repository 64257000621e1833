"""Where the events of a key are kept in a view's space of the online store, and how a query finds them.

A latest view keeps one record per key. A windowed view cuts time into blocks as long as its longest window reaches and
keeps a record per key and block, so that an event changes a little record and a query reads two; beside them, an index
record per key says which blocks there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from mainstem.features.online.packing import Events, Layout
from mainstem.features.online.retention import kept, merged
from mainstem.features.online.sight import latest_at, nothing, windowed_at
from mainstem.features.views.view import CompiledView
from mainstem.features.windows import floor
from mainstem.ports import Writer

Records = Mapping[bytes, bytes | None]


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

    @abstractmethod
    def addresses(self, key: bytes, t: int) -> tuple[bytes, ...]:
        """The records that a query needs."""

    @abstractmethod
    def read(self, addresses: tuple[bytes, ...], records: Records, t: int) -> Reading:
        """The answer to a query, given its records."""

    @abstractmethod
    def changed(self, key: bytes, us: Sequence[int]) -> Iterable[bytes]:
        """The records that events of a key at these times change."""

    @abstractmethod
    def take(self, writer: Writer, key: bytes, columns: Mapping[str, Sequence[Any]], horizon: int) -> bool:
        """Add events of a key, and forget what no query from `horizon` on can see; whether anything was forgotten."""

    @abstractmethod
    def block(self, u: Any) -> Any:
        """Which of a key's records an event belongs to: a number, for ints, arrays and Ibis columns."""

    @abstractmethod
    def records(
        self, keys: Iterable[bytes], counts: Iterable[int], blocks: Iterable[int], packed: Iterable[bytes]
    ) -> Iterator[tuple[bytes, bytes]]:
        """What to store of many keys: of each its next `counts` of `blocks`, with their events in `packed`."""

    def _put(self, writer: Writer, address: bytes, events: Mapping[str, Any], horizon: int) -> bool:
        """Store events in order, without those that no query from `horizon` on can see; whether there were any."""
        rows = kept(self.view, events, horizon)
        left = {name: column[rows] for name, column in events.items()}
        if len(left["_u"]):
            writer.put(self.space, address, self.layout.pack(left))
        else:
            writer.delete(self.space, address)
        return len(left["_u"]) < len(events["_u"])

    def _events(self, *raws: bytes | None) -> Events | None:
        present = [raw for raw in raws if raw is not None]
        return self.layout.unpack(*present) if present else None


class LatestState(State):
    def __init__(self, view: CompiledView, space: str) -> None:
        super().__init__(view, space)
        self._places = [(f.name, self.layout.places[str(f.argument)]) for f in view.features]

    def addresses(self, key: bytes, t: int) -> tuple[bytes, ...]:
        return (key,)

    def read(self, addresses: tuple[bytes, ...], records: Records, t: int) -> Reading:
        raw = records[addresses[0]]
        row = None if raw is None else latest_at(self.view, self.layout.unpack(raw), t)
        if row is None:
            return Reading(nothing(self.view), None, None, True)
        return Reading({name: row[place] for name, place in self._places}, row[0], None, False)

    def changed(self, key: bytes, us: Sequence[int]) -> Iterable[bytes]:
        return (key,)

    def take(self, writer: Writer, key: bytes, columns: Mapping[str, Sequence[Any]], horizon: int) -> bool:
        return self._put(writer, key, merged(self.view, self._events(writer.get(self.space, key)), columns), horizon)

    def block(self, u: Any) -> Any:
        return u * 0

    def records(
        self, keys: Iterable[bytes], counts: Iterable[int], blocks: Iterable[int], packed: Iterable[bytes]
    ) -> Iterator[tuple[bytes, bytes]]:
        return zip(keys, packed, strict=True)


class WindowedState(State):
    def addresses(self, key: bytes, t: int) -> tuple[bytes, ...]:
        first = self.block(min(window.start(t) for window in self.view.windows))
        return key, _address(key, first), _address(key, first + 1)

    def read(self, addresses: tuple[bytes, ...], records: Records, t: int) -> Reading:
        view = self.view
        index, *blocks = (records[address] for address in addresses)
        events = self._events(*blocks)
        start = min(window.start(t) for window in view.windows)
        if events is None:
            return Reading(nothing(view), None, start, index is None)
        values, newest = windowed_at(view, events, t)
        return Reading(values, newest, start, False)

    def changed(self, key: bytes, us: Sequence[int]) -> Iterable[bytes]:
        return key, *(_address(key, block) for block in {self.block(u) for u in us})

    def take(self, writer: Writer, key: bytes, columns: Mapping[str, Sequence[Any]], horizon: int) -> bool:
        expired, forgot = self.block(horizon - self.view.reach), False
        for block, rows in self._by_block(columns).items():
            if block < expired:
                forgot = True
                continue
            address = _address(key, block)
            raw = writer.get(self.space, address)
            if raw is None:
                forgot |= self._index(writer, key, block, expired)
            forgot |= self._put(writer, address, merged(self.view, self._events(raw), rows), horizon)
        return forgot

    def block(self, u: Any) -> Any:
        start = floor(u, self.view.reach)
        return start // self.view.reach

    def records(
        self, keys: Iterable[bytes], counts: Iterable[int], blocks: Iterable[int], packed: Iterable[bytes]
    ) -> Iterator[tuple[bytes, bytes]]:
        numbered = zip(blocks, packed, strict=True)
        for key, count in zip(keys, counts, strict=True):
            own = list(islice(numbered, count))
            yield key, msgspec.msgpack.encode([block for block, _ in own])
            yield from ((_address(key, block), raw) for block, raw in own)

    def _by_block(self, columns: Mapping[str, Sequence[Any]]) -> dict[int, dict[str, list[Any]]]:
        rows: dict[int, list[int]] = {}
        for row, u in enumerate(columns["_u"]):
            rows.setdefault(self.block(u), []).append(row)
        return {
            b: {name: [column[r] for r in chosen] for name, column in columns.items()} for b, chosen in rows.items()
        }

    def _index(self, writer: Writer, key: bytes, block: int, expired: int) -> bool:
        """Note a new block of a key, and delete those that nobody can see any more."""
        raw = writer.get(self.space, key)
        known: list[int] = msgspec.msgpack.decode(raw) if raw else []
        old = [b for b in known if b < expired]
        for b in old:
            writer.delete(self.space, _address(key, b))
        writer.put(self.space, key, msgspec.msgpack.encode([*(b for b in known if b >= expired), block]))
        return bool(old)


def state_of(view: CompiledView, space: str) -> State:
    """The state of a view, in a space of the online store."""
    return WindowedState(view, space) if view.windowed else LatestState(view, space)


def _address(key: bytes, block: int) -> bytes:
    # An encoded key tells its own length, so what follows cannot be taken for a part of it.
    return key + block.to_bytes(8, "big", signed=True)
