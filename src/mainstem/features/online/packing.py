"""The events of one key as bytes: column after column, sorted by their total order.

    rows u32 │ size of each text column u32 … │ fixed columns, 8 bytes a value │ text columns: lengths i32, UTF-8

A null is NaN among floats, the smallest int64 among integers and booleans, and a length of −1 among texts. Columns of
many keys are packed by cutting slices out of the whole, so loading costs little per key.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView

Array = npt.NDArray[Any]

_LENGTH = struct.Struct("<i")


def encode_key(values: Sequence[Any]) -> bytes:
    """Key values as bytes that no other combination has: `("a", "b")` and `("ab",)` differ, so do 1 and "1"."""
    return msgspec.msgpack.encode(tuple(values))


@dataclass(frozen=True)
class Layout:
    """Which columns the events of a view have, in order; `kinds` are int64, float64, boolean or string."""

    kinds: Mapping[str, str]

    @classmethod
    def of(cls, view: CompiledView) -> Layout:
        order = {"_order": view.order} if view.order else {}
        arrived = {"_arrived": "int64"} if view.arrives else {}
        gone = {"_gone": "int64"} if view.retracts else {}
        seq = {"_seq": "int64"} if view.sequenced else {}
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
        """The places of those that are booleans."""
        return tuple(place for place, name in enumerate(self.fixed) if self.kinds[name] == "boolean")

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where in a row a column's value is: the fixed columns first, then the texts."""
        return {name: place for place, name in enumerate((*self.fixed, *self.texts))}

    @cached_property
    def header(self) -> struct.Struct:
        return struct.Struct(f"<{1 + len(self.texts)}I")

    def pack(self, columns: Mapping[str, Sequence[Any] | Array]) -> bytes:
        """One key's events: columns of equal length, in order."""
        count = len(columns["_u"])
        return next(self.pack_many(columns, [0, count]))

    def pack_many(self, columns: Mapping[str, Sequence[Any] | Array], bounds: Sequence[int]) -> Iterator[bytes]:
        """One packed value per stretch `bounds[i]:bounds[i + 1]` of the columns."""
        rows = np.asarray(bounds)
        texts = [_to_text(columns[name]) for name in self.texts]
        sizes = [np.diff(rows), *(np.diff(at[rows]) for _, _, at in texts)]
        header = np.stack(sizes, axis=1).astype("<u4").tobytes()
        parts = [_cut(header, np.arange(len(rows)) * self.header.size)]
        parts += [_cut(to_fixed(columns[name], self.kinds[name]).tobytes(), rows * 8) for name in self.fixed]
        for lengths, text, at in texts:
            parts += [_cut(lengths, rows * 4), _cut(text, at[rows])]
        return map(b"".join, zip(*parts, strict=True))

    def unpack(self, *raws: bytes) -> Events:
        """One key's events, of packed values that follow each other in order."""
        if len(raws) == 1:
            return _Packed(self, *raws)
        return _Joined(self, [_Packed(self, raw) for raw in raws])


class Events(ABC):
    """One key's events, decoded column by column when asked."""

    def __init__(self, layout: Layout, count: int) -> None:
        self._layout, self._count = layout, count
        self._columns: dict[str, Any] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, name: str) -> Any:
        """A column: an array (nulls as NaN or the smallest int64), for texts a list (nulls as None)."""
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = self._decode(name)
        return found

    def value(self, name: str, row: int) -> Any:
        """One value as Python has it, null as None."""
        value, kind = self[name][row], self._layout.kinds[name]
        return value if kind == "string" else to_python(value, kind)

    def row(self, index: int) -> Sequence[Any]:
        """All values of one row as Python has them, null as None, in the order of `Layout.places`."""
        return [self.value(name, index) for name in self._layout.places]

    def newest(self) -> Sequence[Any]:
        """The last row."""
        return self.row(len(self) - 1)

    @abstractmethod
    def _decode(self, name: str) -> Any: ...


class _Joined(Events):
    def __init__(self, layout: Layout, parts: Sequence[Events]) -> None:
        super().__init__(layout, sum(map(len, parts)))
        self._parts = parts

    def _decode(self, name: str) -> Any:
        columns = [part[name] for part in self._parts]
        if self._layout.kinds[name] == "string":
            return [value for column in columns for value in column]
        return np.concatenate(columns)


class _Packed(Events):
    def __init__(self, layout: Layout, raw: bytes) -> None:
        count, *self._sizes = layout.header.unpack_from(raw)
        super().__init__(layout, count)
        self._raw = raw

    def newest(self) -> Sequence[Any]:
        # What most online reads are about: no column is decoded, only what ends each of them.
        layout, raw, count = self._layout, self._raw, self._count
        fixed = _last_of(layout.reals, count).unpack_from(raw, layout.header.size)
        found = list(_nulled(fixed, layout.reals))
        for place in layout.booleans:
            found[place] = None if found[place] is None else bool(found[place])
        at = layout.header.size + 8 * count * len(fixed)
        for size in self._sizes:
            at += 4 * count + size
            (length,) = _LENGTH.unpack_from(raw, at - size - 4)
            found.append(None if length < 0 else raw[at - length : at].decode())
        return found

    def _decode(self, name: str) -> Any:
        layout = self._layout
        if layout.kinds[name] == "string":
            return self._decode_text(layout.texts.index(name))
        at = layout.header.size + layout.fixed.index(name) * 8 * self._count
        return np.frombuffer(self._raw, _dtype(layout.kinds[name]), self._count, at)

    def _decode_text(self, index: int) -> list[str | None]:
        at = self._layout.header.size + 8 * self._count * len(self._layout.fixed)
        at += 4 * self._count * index + sum(self._sizes[:index])
        lengths = np.frombuffer(self._raw, "<i4", self._count, at).tolist()
        at += 4 * self._count
        values: list[str | None] = []
        for length in lengths:
            values.append(None if length < 0 else self._raw[at : at + length].decode())
            at += max(length, 0)
        return values


def to_python(value: Any, kind: str) -> Any:
    """A stored value as an int, float, bool or str; null as None."""
    if kind == "float64":
        return None if value != value else float(value)
    if value == NULL_INT:
        return None
    return bool(value) if kind == "boolean" else int(value)


def to_fixed(values: Sequence[Any] | Array, kind: str) -> Array:
    """Values that may be None as an array of 8 bytes each."""
    if isinstance(values, np.ndarray) and values.dtype == _dtype(kind):
        return values
    null = np.nan if kind == "float64" else NULL_INT
    return np.array([null if value is None else value for value in values], dtype=_dtype(kind))


def _nulled(values: Sequence[Any], reals: Sequence[bool]) -> Sequence[Any]:
    """Fixed values with None for nulls. Mostly there is none, which two passes in C find out."""
    if NULL_INT not in values and (total := sum(values)) == total:
        return values
    return [None if (v != v if real else v == NULL_INT) else v for v, real in zip(values, reals, strict=True)]


@lru_cache(maxsize=4096)
def _last_of(reals: tuple[bool, ...], count: int) -> struct.Struct:
    """Takes the last of `count` values out of each fixed column."""
    return struct.Struct("<" + "".join(f"{8 * (count - 1)}x{'d' if real else 'q'}" for real in reals))


def _cut(raw: bytes, bounds: Array) -> list[bytes]:
    ends = bounds.tolist()
    return [raw[start:end] for start, end in pairwise(ends)]


def _to_text(values: Sequence[str | None] | Array) -> tuple[bytes, bytes, Array]:
    """Lengths and text as bytes, and where each value begins in the text."""
    encoded = [None if value is None else value.encode() for value in values]
    lengths = np.array([-1 if value is None else len(value) for value in encoded], dtype="<i4")
    ends = np.concatenate([[0], np.cumsum(np.maximum(lengths, 0))])
    return lengths.tobytes(), b"".join(value for value in encoded if value is not None), ends


def _dtype(kind: str) -> str:
    return "<f8" if kind == "float64" else "<i8"
