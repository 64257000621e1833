"""What a query sees of one key's events: the words of `Events`, spoken in numpy."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import Any

import numpy as np

from mainstem.features.calculus import Scalars
from mainstem.features.packing import Array, Events, to_python
from mainstem.features.view import NULL_INT, CompiledView, Feature
from mainstem.features.windows import Window

SCALARS = Scalars()


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


def latest_at(view: CompiledView, events: Events, t: int, *, arrived: bool = True) -> tuple[dict[str, Any], int] | None:
    """The features of the last row visible at `t`, and when it became usable; None for none, or one past its ttl."""
    u = events["_u"]
    row = (bisect_right if view.inclusive else bisect_left)(u, t) - 1
    if arrived and view.arrives:
        came = events["_arrived"]
        while row >= 0 and (came[row] > t if view.inclusive else came[row] >= t):
            row -= 1
    if row < 0 or (view.ttl is not None and view.known.moments and u[row] < t - view.ttl):
        return None
    return {f.name: events.value(str(f.argument), row) for f in view.features}, int(u[row])


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


def _rows(view: CompiledView, events: Events, window: Window, end: int, t: int, arrived: bool) -> Any:
    start = bisect_left(events["_u"], window.start(t), 0, end)
    if not arrived or not view.arrives or start == end:
        return slice(start, end)
    came = events["_arrived"][start:end]
    here = came <= t if view.inclusive else came < t
    return slice(start, end) if here.all() else start + np.flatnonzero(here)


def _last(u: Array, rows: Any) -> int | None:
    if isinstance(rows, slice):
        return int(u[rows.stop - 1]) if rows.stop > rows.start else None
    return int(u[rows[-1]]) if len(rows) else None
