"""Insert events into their records, many records at a time.

Most arriving events are newer than the stored ones, so most records only grow at their end, by slices of the whole
batch. A record is merged event by event if an event is late, repeated or retracted, or if the record has become long. A
long record keeps its newest events; older ones move to parts of bounded size. A part never changes: its name is a hash
of its bytes, so a reader that finds it has the right content. The record's directory has the usable time at which each
part begins. Events of one time are in one part, or in several that begin at that time: before those, and in all of them
but the last, there are no events of another time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import add
from typing import NamedTuple

import numpy as np

from mainstem.features.online.packing import EMPTY, Array, Columns, Events, Layout, extended, packed, parted
from mainstem.features.online.retention import kept, merged, taken, visible
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView
from mainstem.nodes.hidden import ARRIVED, GONE, SEQ
from mainstem.ports import Writer

LONG = 32_768
"""A record with more bytes is long. A part has about half of that."""

DIRECTORIES = 256
"""The number of cached directories of long records: most are read again before they change."""

FEW = 16
"""Records of a latest view with fewer rows are not searched for expired rows."""

PART_NAME = 16
"""The number of bytes of a part's name."""

_ENTRY = struct.Struct(f"<q{PART_NAME}s")
_NO_PARTS = EMPTY[:4]


class Batch(NamedTuple):
    """Events by record: those of `addresses[n]` are the rows `bounds[n]:bounds[n + 1]` of `columns`, in order."""

    addresses: list[bytes]
    bounds: Array
    columns: dict[str, Array]


class Part(NamedTuple):
    """Older events of a record, from the usable time `start` on, stored separately at its address and `name`."""

    start: int
    name: bytes


class Piece(NamedTuple):
    """A part, with its bytes if they are new."""

    part: Part
    raw: bytes | None


def parts_of(raw: bytes) -> tuple[Part, ...]:
    """Return the parts of a record, oldest first."""
    return () if raw[:4] == _NO_PARTS else _parts(parted(raw)[2])


@lru_cache(DIRECTORIES)
def _parts(directory: bytes) -> tuple[Part, ...]:
    return tuple(Part(*entry) for entry in _ENTRY.iter_unpack(directory))


def is_part(address: bytes, raw: bytes) -> bool:
    """Return whether the value at an address is a part and not a record."""
    return address.endswith(_hash(raw))


class Records:
    """The records of a view, in a space of the online store."""

    def __init__(self, view: CompiledView, space: str, layout: Layout) -> None:
        self.view, self.space, self.layout = view, space, layout
        self._supersedes = not view.windowed and not view.retracts
        self._divides = view.sequenced and view.order is None and not view.retracts
        """Whether events of one time may be in several parts: they are ordered by `_seq` alone."""
        self._looked_at = tuple(name for name in ("_u", ARRIVED, SEQ) if name in layout.places)

    def add(self, writer: Writer, batch: Batch, horizon: int) -> bool:
        """Insert events into their records, and expire what no query from `horizon` on can see, now or later.

        Return whether any event was expired.
        """
        if not batch.addresses:
            return False
        raws = [EMPTY if raw is None else raw for raw in writer.get_many(self.space, batch.addresses)]
        newest = self.layout.newest(raws, self._looked_at)
        forgot = self._supersedes and self._forget(raws, newest, horizon)
        texts, rows = self.layout.cut(batch.columns, batch.bounds)
        grown = list(map(extended, raws, texts, rows)) if self.layout.texts else list(map(add, raws, rows))
        records = dict(zip(batch.addresses, grown, strict=True))
        for n in np.flatnonzero(~self._follows(newest, batch) | (_sizes(grown) > LONG)).tolist():
            new = taken(batch.columns, slice(*batch.bounds[n : n + 2]))
            forgot |= self._merge(writer, records, batch.addresses[n], raws[n], new, horizon)
        writer.put_many(self.space, records)
        return forgot

    def whole(self, address: bytes, raw: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return what to store for a packed value that may be long: its parts, and the record."""
        if len(raw) <= LONG:
            return iter([(address, raw)])
        events = self.layout.unpack(raw)
        *parts, rest = self._cut({name: events[name] for name in self.layout.kinds})
        return self._stored(address, parts, rest.raw or b"")

    def _follows(self, newest: Columns, batch: Batch) -> Array:
        """Return the records whose new events are plain ones after all existing ones."""
        first = batch.bounds[:-1]
        u, last = batch.columns["_u"][first], newest["_u"]
        found: Array = u > last
        if self.view.sequenced and self.view.order is None:
            found |= (u == last) & (batch.columns[SEQ][first] > newest[SEQ])
        if self.view.retracts:
            found &= ~np.logical_or.reduceat(batch.columns[GONE] != NULL_INT, first)
        return found

    def _forget(self, raws: list[bytes], newest: Columns, horizon: int) -> bool:
        """Remove superseded rows if they are all but the newest, or half of many."""
        forgot, sizes = False, _sizes(raws)
        many = sizes > FEW * self.layout.row.size
        old = (visible(self.view, newest) < horizon) & (sizes > len(EMPTY) + self.layout.row.size)
        for n in np.flatnonzero(many | old).tolist():
            events = self.layout.unpack(raws[n])
            superseded = kept(self.view, events, horizon).start
            if superseded and (old[n] or 2 * superseded >= len(events)) and raws[n][:4] == _NO_PARTS:
                raws[n], forgot = events.packed_from(superseded), True
        return forgot

    # ── event by event ───────────────────────────────────────────────────────────────────────────────

    def _merge(
        self, writer: Writer, records: dict[bytes, bytes], address: bytes, raw: bytes, new: Columns, horizon: int
    ) -> bool:
        """Merge a record of old and new events, with its new parts, into `records`. Return whether any event was
        expired."""
        pieces, forgot = self._pieces(writer, address, raw, new, horizon)
        while self._supersedes and len(pieces) > 1 and self._settled(writer, address, pieces[1], horizon):
            pieces, forgot = pieces[1:], True
        del records[address]
        if pieces:
            *parts, rest = pieces
            records |= self._stored(address, parts, self._raw(writer, address, rest))
        else:
            writer.delete(self.space, address)
        for part in set(parts_of(raw)).difference(parts_of(records.get(address, EMPTY))):
            writer.delete(self.space, address + part.name)
        return forgot

    def _pieces(
        self, writer: Writer, address: bytes, raw: bytes, new: Columns, horizon: int
    ) -> tuple[list[Piece], bool]:
        """Return all events of a record as pieces, by usable time, newest last; and whether any was expired."""
        u = self.layout.unpack(raw)["_u"]
        rest = Piece(Part(int(u[0]) if len(u) else 0, b""), raw)
        held = [*(Piece(part, None) for part in parts_of(raw)), rest]
        bounds = np.searchsorted(new["_u"], [piece.part.start for piece in held[1:]]).tolist()
        pieces, forgot = list[Piece](), False
        for piece, rows in zip(held, map(slice, [0, *bounds], [*bounds, len(new["_u"])]), strict=True):
            if piece.raw is None and rows.start == rows.stop:
                pieces.append(piece)
                continue
            some, raws = taken(new, rows), [self._raw(writer, address, piece)]
            while self._among_earlier(piece, self.layout.unpack(raws[0]), pieces, some):
                raws.insert(0, self._raw(writer, address, pieces.pop()))
            columns = merged(self.view, self.layout.unpack(*raws), some)
            left = taken(columns, kept(self.view, columns, horizon))
            forgot |= len(left["_u"]) < len(columns["_u"])
            pieces += self._cut(left)
        return pieces, forgot

    def _among_earlier(self, piece: Piece, held: Events, before: Sequence[Piece], new: Columns) -> bool:
        """Return whether new events of the time at which a piece begins may belong to the piece before it."""
        if not before or before[-1].part.start != piece.part.start or not len(held):
            return False
        return bool(((new["_u"] == piece.part.start) & (new[SEQ] <= held[SEQ][0])).any())

    def _cut(self, columns: Columns) -> list[Piece]:
        """Return events in order as pieces of bounded size."""
        u = np.asarray(columns["_u"])
        size = len(self.layout.pack(columns))
        step = len(u) if size <= LONG else max(1, len(u) * LONG // (2 * size))
        places = np.arange(0, len(u), max(1, step))
        starts = np.searchsorted(u, u[places])
        if self._divides and len(u) and int(np.min(columns[SEQ])) >= 0:
            many = np.searchsorted(u, u[places], "right") - starts > step
            starts = np.where(many, starts + (places - starts) // step * step, starts)
            starts = np.concatenate([np.searchsorted(u, u[starts]), starts])
        starts = np.unique(starts)
        raws = self.layout.pack_many(columns, [*starts, len(u)])
        return [Piece(Part(at, _hash(raw)), raw) for at, raw in zip(u[starts].tolist(), raws, strict=True)]

    def _stored(self, address: bytes, parts: Sequence[Piece], rest: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield what to store for a record: its new parts, and the record."""
        for part, raw in parts:
            if raw is not None:
                yield address + part.name, raw
        texts, rows, _ = parted(rest)
        yield address, packed(texts, rows, b"".join(_ENTRY.pack(*piece.part) for piece in parts))

    def _settled(self, writer: Writer, address: bytes, piece: Piece, horizon: int) -> bool:
        """Return whether no query from `horizon` on needs a latest value before this piece."""
        first = visible(self.view, self.layout.unpack(self._raw(writer, address, piece)))[0]
        return bool(first < horizon)

    def _raw(self, writer: Writer, address: bytes, piece: Piece) -> bytes:
        if piece.raw is not None:
            return piece.raw
        raw = writer.get(self.space, address + piece.part.name)
        assert raw is not None, "a part exists as long as a record names it"
        return raw


def _sizes(raws: Sequence[bytes]) -> Array:
    return np.fromiter(map(len, raws), np.int64, len(raws))


def _hash(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()
