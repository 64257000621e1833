"""What a query sees of one key's events: the words of `Events`, spoken in numpy."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from operator import le, lt
from typing import Any

import numpy as np

from mainstem.features.calculus import Scalars
from mainstem.features.packing import Array, Events, to_python
from mainstem.features.view import NULL_INT, CompiledView, Feature
from mainstem.features.windows import Window

SCALARS = Scalars()

_U, _ARRIVED, _GONE = 0, 1, 2
"""Their places in a row: `Layout.of` puts them first."""


class Seen(Scalars):
    """The rows `rows` (a slice or an array of indices) of a key's events, for one argument; None counts rows."""

    def __init__(self, view: CompiledView, events: Events, rows: Any, argument: str | None) -> None:
        self._view, self._events, self._rows = view, events, rows
        self._argument = argument or "_u"
        self._kind = view.arguments.get(self._argument, "int64")
        column = events[self._argument]
        if self._kind == "string":
            picked = range(len(events))[rows] if isinstance(rows, slice) else rows
            self.x: Any = [column[i] for i in picked if column[i] is not None]
        else:
            taken = column[rows]
            valid = taken == taken if self._kind == "float64" else taken != NULL_INT
            self.x = taken if valid.all() else taken[valid]

    @cached_property
    def reference(self) -> Any:
        if not len(self.x):
            return 0.0
        mean = self.x.mean()
        return mean.item() if np.isfinite(mean) else 0.0

    @cached_property
    def deviation(self) -> Array:
        found: Array = self.x - self.reference
        return found

    def count(self) -> int:
        return len(self.x)

    def sum(self, of: Any) -> Any:
        return of.sum().item()

    def min(self) -> Any:
        return self._extreme(min, "min")

    def max(self) -> Any:
        return self._extreme(max, "max")

    def _extreme(self, of_list: Any, of_array: str) -> Any:
        if not len(self.x):
            return None
        return of_list(self.x) if self._kind == "string" else to_python(getattr(self.x, of_array)(), self._kind)

    def last(self) -> Any:
        events, rows = self._events, self._rows
        picked = range(len(events))[rows] if isinstance(rows, slice) else rows.tolist()
        best: tuple[Any, ...] | None = None
        for row in reversed(picked):
            position = tuple(events.value(name, row) for name in self._view.position)
            if best is not None and position != best[:-1]:
                break
            value = events.value(self._argument, row)
            if value is not None and (best is None or value > best[-1]):
                best = (*position, value)
        return best

    def difference(self, a: Any, b: Any, zero: Any) -> Any:
        return 0.0 if zero else max(a - b, 0.0)


def windowed_at(
    view: CompiledView, events: Events, t: int, *, arrived: bool = True
) -> tuple[dict[str, Any], int | None]:
    """The features of a query at `t`, and when the newest event that it saw became usable."""
    u = events["_u"]
    end = (bisect_right if view.inclusive else bisect_left)(u, t)
    values: dict[str, Any] = {}
    newest = None
    for window, features in view.windows.items():
        rows = _rows(view, events, window, end, t, arrived)
        seen: dict[str | None, Seen] = {}
        for feature in features:
            if feature.argument not in seen:
                seen[feature.argument] = Seen(view, events, rows, feature.argument)
            values[feature.name] = finalized(feature, seen[feature.argument], t)
        last = _last(u, rows)
        newest = last if newest is None or (last is not None and last > newest) else newest
    return values, newest


def latest_at(view: CompiledView, events: Events, t: int, *, arrived: bool = True) -> Sequence[Any] | None:
    """The last row visible at `t`, in the order of `Layout.places`; None for none, or one past its ttl."""
    row = _last_visible(view, events, t, arrived and view.arrives)
    if row is None or (view.ttl is not None and view.known.moments and row[_U] < t - view.ttl):
        return None
    return row


def finalized(feature: Feature, seen: Seen, t: int) -> Any:
    """A feature's value; NaN is null."""
    kind = feature.aggregation
    assert kind is not None
    value = kind.finalize(SCALARS, kind.lift(seen), t)
    if value is None or value != value:
        return None
    return float(value) if feature.type == "float64" else value


def nothing(view: CompiledView) -> dict[str, Any]:
    """The features of a key without events."""
    return {f.name: None if f.aggregation is None else f.aggregation.empty for f in view.features}


def _last_visible(view: CompiledView, events: Events, t: int, arrived: bool) -> Sequence[Any] | None:
    """Mostly it is the newest of all, so that one is tried before any is searched for."""
    sees = le if view.inclusive else lt
    row = events.newest()
    if sees(row[_U], t) and (not arrived or sees(row[_ARRIVED], t)) and not (view.retracts and row[_GONE] is not None):
        return row
    index = (bisect_right if view.inclusive else bisect_left)(events["_u"], t) - 1
    while arrived and index >= 0 and not _stands(view, events, index, t, sees):
        index -= 1
    return events.row(index) if index >= 0 else None


def _stands(view: CompiledView, events: Events, index: int, t: int, sees: Callable[[Any, int], bool]) -> bool:
    """Whether word of an event had reached us, and none yet that it was taken back."""
    gone = events["_gone"][index] if view.retracts else NULL_INT
    return sees(events["_arrived"][index], t) and (gone == NULL_INT or not sees(gone, t))


def _rows(view: CompiledView, events: Events, window: Window, end: int, t: int, arrived: bool) -> Any:
    start = bisect_left(events["_u"], window.start(t), 0, end)
    if not arrived or not view.arrives or start == end:
        return slice(start, end)
    sees = le if view.inclusive else lt
    here = sees(events["_arrived"][start:end], t)
    if view.retracts:
        gone = events["_gone"][start:end]
        here &= (gone == NULL_INT) | ~sees(gone, t)
    return slice(start, end) if here.all() else start + np.flatnonzero(here)


def _last(u: Array, rows: Any) -> int | None:
    if isinstance(rows, slice):
        return int(u[rows.stop - 1]) if rows.stop > rows.start else None
    return int(u[rows[-1]]) if len(rows) else None
