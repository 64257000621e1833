"""Convert rows of a source, as they arrive, to events of a view in normal form: by key, ordered, without duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress, repeat
from typing import Any, NamedTuple

import numpy as np

from mainstem.features.instants import ALWAYS
from mainstem.features.online.packing import Array, encode_key, to_fixed, to_objects
from mainstem.features.online.retention import in_order, taken
from mainstem.features.values import NULL_INT, SMALLEST
from mainstem.features.views.view import CompiledView
from mainstem.nodes.hidden import ARRIVED, DELETED, GONE, SEQ

Rows = Mapping[str, Sequence[Any]]


class Arrivals(NamedTuple):
    """Events of some keys. `key` is for each row the index of its encoded key in `keys`, in ascending order.

    `columns` are arrays in the view's layout, with its nulls. `total` is the number of arrived rows, `newest` the
    newest usable time.
    """

    keys: list[bytes]
    key: Array
    columns: dict[str, Array]
    total: int
    newest: dict[bytes, int]

    def by_key(self) -> Iterator[tuple[bytes, dict[str, Array]]]:
        """Yield each key's columns."""
        bounds = np.searchsorted(self.key, np.arange(len(self.keys) + 1)).tolist()
        for place, key in enumerate(self.keys):
            yield key, taken(self.columns, slice(bounds[place], bounds[place + 1]))


def arrivals(view: CompiledView, rows: Rows) -> Arrivals:
    """Return rows as events. The rows are columns (instants in µs, with `_seq` and `_arrived`).

    Rows without a key, or with a null time, are left out. A deleted row has the time of its deletion in `_gone`: it
    retracts an event of the state.
    """
    columns = _normal(view, rows)
    names = list(map(encode_key, keys_of(rows, tuple(view.key))))
    here = (columns["_u"] != NULL_INT) & _has_key(view, rows)
    if not here.all():
        names, columns = list(compress(names, here)), taken(columns, here)
    keys = sorted(set(names))
    places = {name: place for place, name in enumerate(keys)}
    key = np.fromiter(map(places.__getitem__, names), np.int64, len(names))
    # An event with a future time must not expire the past of the state.
    u = np.minimum(columns["_u"], columns[ARRIVED]) if view.arrives else columns["_u"]
    order = _order(view, key, columns)
    return Arrivals(keys, key[order], taken(columns, order), len(u), _newest(keys, key, u))


def _newest(keys: list[bytes], key: Array, u: Array) -> dict[bytes, int]:
    """Return the newest usable time of each of the two keys with the newest events."""
    newest = np.full(len(keys), ALWAYS)
    np.maximum.at(newest, key, u)
    return {keys[n]: int(newest[n]) for n in np.argsort(newest)[-2:]}


def keys_of(rows: Rows, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Return the values of some columns, row by row."""
    return zip(*(rows[column] for column in columns), strict=True) if columns else repeat((), _size(rows))


def _has_key(view: CompiledView, rows: Rows) -> Array:
    found = np.ones(_size(rows), dtype=bool)
    for column in view.key:
        if None in rows[column]:
            found &= np.array([value is not None for value in rows[column]])
    return found


def _size(rows: Rows) -> int:
    return len(next(iter(rows.values())))


def _normal(view: CompiledView, rows: Rows) -> dict[str, Array]:
    size = _size(rows)
    u = usable(view, rows)
    columns = {"_u": u}
    if view.arrives:
        came = to_fixed(rows.get(ARRIVED) or [None] * size, "int64")
        columns[ARRIVED] = np.where(came == NULL_INT, u, came)
    if view.retracts:
        deleted = np.array(rows.get(DELETED) or [False] * size, dtype=bool)
        columns[GONE] = np.where(deleted, columns[ARRIVED], NULL_INT)
    if view.order is not None:
        columns["_order"] = _ranked(rows[str(view.order_by)], view.order)
    if view.sequenced:
        landed = to_fixed(rows.get(SEQ) or [None] * size, "int64")
        columns[SEQ] = np.where(landed == NULL_INT, -1, landed)
    arguments = view.row_function.batch({name: list(rows[name]) for name in view.inputs})
    return columns | {name: _column(values, view.arguments[name]) for name, values in arguments.items()}


def usable(view: CompiledView, rows: Rows) -> Array:
    """Return when each row became usable; null for never."""
    found = np.full(_size(rows), ALWAYS if view.known.since is None else view.known.since)
    for moment in sorted(view.known.moments):
        at = to_fixed(rows[moment.column], "int64")
        waits = (at == NULL_INT) | (found == NULL_INT)
        found = np.where(waits, NULL_INT, np.maximum(at + moment.offset, found))
    return found


def _ranked(values: Sequence[Any], kind: str) -> Array:
    """Return the `order_by` column, with nulls as the smallest value."""
    column = _column(values, kind)
    if kind == "string":
        return to_objects([SMALLEST[kind] if value is None else value for value in values])
    return np.where(column == column if kind == "float64" else column != NULL_INT, column, SMALLEST[kind])


def _column(values: Sequence[Any], kind: str) -> Array:
    return to_objects(values) if kind == "string" else to_fixed(values, kind)


def _order(view: CompiledView, key: Array, columns: dict[str, Array]) -> Array:
    """Return the rows by key and in order. Of duplicates by `_seq`, the first is kept."""
    u, seq = columns["_u"], columns.get(SEQ)
    if seq is None:
        return in_order(view, columns, key)
    if view.order is None and bool(((u[1:] > u[:-1]) | ((u[1:] == u[:-1]) & (seq[1:] > seq[:-1]))).all()):
        return np.argsort(key, kind="stable")
    rows = np.lexsort((seq, u, key))
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (seq[rows[1:]] < 0) | np.logical_or.reduce([np.diff(column[rows]) != 0 for column in (key, u, seq)])
    once = np.sort(rows[first])
    return once[in_order(view, taken(columns, once), key[once])]
