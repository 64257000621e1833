"""The events of a key as bytes: row after row in their total order, so that newer rows are appended.

    size of the directory u32 │ size of the texts u32 │ directory │ texts, UTF-8, row by row │ rows

A row has 8 bytes per column, fixed columns first. In the places of texts are their lengths. A null is NaN among floats,
the smallest int64 among integers and booleans, and a length of −1 among texts. The directory names the parts that hold
older events; see `records`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView
from mainstem.nodes.hidden import ARRIVED, GONE, SEQ

Array = npt.NDArray[Any]
Columns = Mapping[str, Sequence[Any] | Array]

FORMAT = "blocks"
"""The version of the format. It is part of a state's name, so states of other formats are not read."""

encode_key: Callable[[Sequence[Any]], bytes] = msgspec.msgpack.Encoder().encode
"""Encode key values as unique bytes: `("a", "b")` and `("ab",)` differ, as do 1 and "1"."""

Raw = TypeVar("Raw", bytes, memoryview)

_HEADER = struct.Struct("<II")

EMPTY = _HEADER.pack(0, 0)
"""The packed value without events."""

_TRUTH = {0: False, 1: True, None: None}


def packed(texts: bytes, rows: bytes, directory: bytes = b"") -> bytes:
    """Return the packed value of these parts."""
    return b"".join((_HEADER.pack(len(directory), len(texts)), directory, texts, rows))


def parted(raw: Raw) -> tuple[Raw, Raw, Raw]:
    """Return the texts, the rows and the directory of a packed value."""
    directory, texts = _HEADER.unpack_from(raw)
    start = _HEADER.size + directory
    return raw[start : start + texts], raw[start + texts :], raw[_HEADER.size : start]


def extended(raw: bytes, texts: bytes, rows: bytes) -> bytes:
    """Return a packed value with newer rows appended."""
    if not texts:
        return raw + rows
    old, before, directory = parted(raw)
    return packed(old + texts, before + rows, directory)


@dataclass(frozen=True)
class Layout:
    """The columns of a view's events, in order. `kinds` are int64, float64, boolean or string."""

    kinds: Mapping[str, str]

    @classmethod
    def of(cls, view: CompiledView) -> Layout:
        order = {"_order": view.order} if view.order else {}
        arrived = {ARRIVED: "int64"} if view.arrives else {}
        gone = {GONE: "int64"} if view.retracts else {}
        seq = {SEQ: "int64"} if view.sequenced else {}
        return cls({"_u": "int64", **arrived, **gone, **order, **seq, **view.arguments})

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.kinds.items() if kind != "string")

    @cached_property
    def texts(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.kinds.items() if kind == "string")

    @cached_property
    def reals(self) -> tuple[bool, ...]:
        """Which of the fixed columns are floats."""
        return tuple(self.kinds[name] == "float64" for name in self.fixed)

    @cached_property
    def booleans(self) -> tuple[int, ...]:
        """The places of the booleans."""
        return tuple(place for place, name in enumerate(self.fixed) if self.kinds[name] == "boolean")

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each column's value in a row: fixed columns first, then texts."""
        return {name: place for place, name in enumerate((*self.fixed, *self.texts))}

    @cached_property
    def backwards(self) -> range:
        """The places of the texts, from the last."""
        return range(len(self.kinds) - 1, len(self.fixed) - 1, -1)

    @cached_property
    def row(self) -> struct.Struct:
        """Return one row. Texts are represented by their lengths."""
        return struct.Struct("<" + "".join("d" if real else "q" for real in self.reals) + "q" * len(self.texts))

    def pack(self, columns: Columns) -> bytes:
        """Return one key's packed events from columns of equal length, in order."""
        return next(self.pack_many(columns, [0, len(columns["_u"])]))

    def pack_many(self, columns: Columns, bounds: Sequence[int] | Array) -> Iterator[bytes]:
        """Return one packed value per range `bounds[i]:bounds[i + 1]` of the columns."""
        return map(packed, *self.cut(columns, bounds))

    def cut(self, columns: Columns, bounds: Sequence[int] | Array) -> tuple[list[bytes], list[bytes]]:
        """Return the texts and the rows of each range. They are slices of one buffer, so many keys are cheap."""
        at = np.asarray(bounds)
        table = np.empty((len(columns["_u"]), len(self.kinds)), "<i8")
        for place, name in enumerate(self.fixed):
            table[:, place] = to_fixed(columns[name], self.kinds[name]).view("<i8")
        texts = [b""] * (len(at) - 1)
        if self.texts:
            lengths, text = _to_text([columns[name] for name in self.texts])
            table[:, len(self.fixed) :] = lengths
            texts = _slices(text, np.append(0, _ends(lengths)[:, -1])[at])
        return texts, _slices(table.tobytes(), at * self.row.size)

    def newest(self, raws: Sequence[bytes], names: Sequence[str]) -> dict[str, Array]:
        """Return some int64 columns of the newest rows of many packed values; the smallest int64 for a value without
        rows."""
        size = self.row.size
        nothing = self.row.pack(*[NULL_INT] * len(self.kinds))
        table = b"".join([raw[-size:] if raw != EMPTY else nothing for raw in raws])
        found = np.frombuffer(table, "<i8").reshape(len(raws), -1)
        return {name: found[:, self.places[name]] for name in names}

    def last(self, raw: bytes) -> list[Any]:
        """Return the newest row of a packed value, as `Events.row` does."""
        # Most online reads need only this row: only the end of the bytes is decoded.
        found = list(self.row.unpack_from(raw, len(raw) - self.row.size))
        if NULL_INT in found or (total := sum(found)) != total:
            fixed = zip(found, self.reals, strict=False)
            found[: len(self.fixed)] = [None if (v != v if real else v == NULL_INT) else v for v, real in fixed]
        for place in self.booleans:
            found[place] = _TRUTH[found[place]]
        if self.backwards:
            directory, texts = _HEADER.unpack_from(raw)
            end = _HEADER.size + directory + texts
            for place in self.backwards:
                length = found[place]
                found[place] = None if length < 0 else raw[end - length : end].decode()
                end -= length if length > 0 else 0
        return found

    def unpack(self, *raws: bytes) -> Events:
        """Return one key's events from consecutive packed values."""
        if len(raws) == 1:
            return Events(self, *parted(raws[0])[:2])
        texts, rows, _ = zip(*(parted(memoryview(raw)) for raw in raws), strict=True)
        return Events(self, b"".join(texts), b"".join(rows))


class Events:
    """One key's events. Columns are decoded on demand."""

    def __init__(self, layout: Layout, texts: bytes, rows: bytes) -> None:
        self._layout, self._texts, self._rows = layout, texts, rows
        self._columns: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._rows) // self._layout.row.size

    def __getitem__(self, name: str) -> Any:
        """Return a column: an array (nulls as NaN or the smallest int64), for texts a list (nulls as None)."""
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = self._decode(name)
        return found

    def cells(self, name: str) -> Sequence[Any]:
        """Return a column as Python values: an int, float or text per row, with nulls as in the column."""
        place = self._layout.places[name]
        return self._cells[place] if place < len(self._layout.fixed) else self[name]

    def value(self, name: str, row: int) -> Any:
        """Return one value as a Python value, null as None."""
        value, kind = self[name][row], self._layout.kinds[name]
        return value if kind == "string" else to_python(value, kind)

    def row(self, index: int) -> Sequence[Any]:
        """Return all values of one row as Python values, null as None, in the order of `Layout.places`."""
        return [self.value(name, index) for name in self._layout.places]

    def packed_from(self, first: int) -> bytes:
        """Return the rows from `first` on, packed."""
        dropped = int(np.maximum(self._lengths[:first], 0).sum())
        return packed(self._texts[dropped:], self._rows[first * self._layout.row.size :])

    @cached_property
    def _cells(self) -> Sequence[Sequence[Any]]:
        return list(zip(*self._layout.row.iter_unpack(self._rows), strict=True)) or [()] * len(self._layout.kinds)

    @cached_property
    def _table(self) -> Array:
        return np.frombuffer(self._rows, "<i8").reshape(-1, len(self._layout.kinds))

    @cached_property
    def _lengths(self) -> Array:
        return self._table[:, len(self._layout.fixed) :]

    def _decode(self, name: str) -> Any:
        layout = self._layout
        if layout.kinds[name] == "string":
            return self._decode_text(layout.texts.index(name))
        return self._table[:, layout.places[name]].copy().view(_dtype(layout.kinds[name]))

    def _decode_text(self, index: int) -> list[str | None]:
        ends = _ends(self._lengths)[:, index].tolist()
        lengths = self._lengths[:, index].tolist()
        return [
            None if length < 0 else self._texts[end - length : end].decode()
            for end, length in zip(ends, lengths, strict=True)
        ]


def to_python(value: Any, kind: str) -> Any:
    """Return a stored value as an int, float, bool or str; null as None."""
    if kind == "float64":
        return None if value != value else float(value)
    if value == NULL_INT:
        return None
    return bool(value) if kind == "boolean" else int(value)


def to_fixed(values: Sequence[Any] | Array, kind: str) -> Array:
    """Return values that may be None as an array of 8 bytes each."""
    if isinstance(values, np.ndarray) and values.dtype == _dtype(kind):
        return values
    if kind != "float64" and None in values:
        values = [NULL_INT if value is None else value for value in values]
    return np.array(values, dtype=_dtype(kind))


def to_objects(values: Sequence[Any] | Array) -> Array:
    """Return texts that may be None as an array."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _slices(raw: bytes, bounds: Array) -> list[bytes]:
    return [raw[start:end] for start, end in pairwise(bounds.tolist())]


def _to_text(columns: Sequence[Sequence[str | None] | Array]) -> tuple[Array, bytes]:
    """Return the lengths of texts, row by row, and the texts."""
    encoded = [None if text is None else text.encode() for text in chain.from_iterable(zip(*columns, strict=True))]
    lengths = np.array([-1 if text is None else len(text) for text in encoded], dtype="<i8")
    return lengths.reshape(-1, len(columns)), b"".join(text for text in encoded if text is not None)


def _ends(lengths: Array) -> Array:
    """Return where each text ends among the texts."""
    return np.maximum(lengths, 0).cumsum().reshape(lengths.shape)


def _dtype(kind: str) -> str:
    return "<f8" if kind == "float64" else "<i8"
