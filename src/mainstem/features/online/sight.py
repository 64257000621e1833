"""What a query sees of one key's events: windows and latest values, in numpy."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from operator import le, lt
from typing import Any

import numpy as np

from mainstem.features.online.events import Seen
from mainstem.features.online.packing import Array, Events, Layout
from mainstem.features.online.scalars import Scalars
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView, Feature
from mainstem.features.windows import Span, Window

SCALARS = Scalars()

_U, _ARRIVED, _GONE = 0, 1, 2
"""Their places in a row: `Layout.of` puts them first."""


def windowed_at(
    view: CompiledView, events: Events, t: int, *, arrived: bool = True
) -> tuple[dict[str, Any], int | None]:
    """The features of a query at `t`, and when the newest event that it saw became usable."""
    u = events["_u"]
    end = (bisect_right if view.inclusive else bisect_left)(u, t)
    values: dict[str, Any] = {}
    newest = None
    with np.errstate(all="ignore"):  # NaN is null, and so is what infinities make of it
        for window, features in view.windows.items():
            rows = _rows(view, events, window, end, t, arrived)
            values |= _values(view, events, rows, features, window.span(t))
            last = _last(u, rows)
            newest = last if newest is None or (last is not None and last > newest) else newest
    return values, newest


def latest_at(view: CompiledView, layout: Layout, raws: Sequence[bytes], t: int) -> Sequence[Any] | None:
    """The last row visible at `t` of packed values that follow each other, in the order of `Layout.places`; None for
    none, or one past its ttl."""
    row: Sequence[Any] | None = layout.last(raws[-1])
    if not _shows(view, row, t):  # mostly the newest of all does
        row = _last_visible(view, layout.unpack(*raws), t)
    if row is None or (view.ttl is not None and view.known.moments and row[_U] < t - view.ttl):
        return None
    return row


def nothing(view: CompiledView) -> dict[str, Any]:
    """The features of a key without events."""
    if not view.windowed:
        return dict.fromkeys(view.schema)
    layout = Layout.of(view)
    return windowed_at(view, layout.unpack(layout.pack({name: [] for name in layout.kinds})), 0)[0]


def exact(feature: Feature, value: Any) -> Any:
    """A feature's value in its own type; NaN is null."""
    if value is None or value != value:
        return None
    if feature.type == "array<float64>":
        return [float(item) for item in value]
    return float(value) if feature.type == "float64" else value


def _values(view: CompiledView, events: Events, rows: Any, features: tuple[Feature, ...], span: Span) -> dict[str, Any]:
    seen: dict[tuple[str, ...], Seen] = {}
    for feature in features:
        if feature.arguments not in seen:
            seen[feature.arguments] = Seen(view, events, rows, feature)
    lifted = {f: f.kind.lift(seen[f.arguments]) for f in features}
    return {f.name: exact(f, f.kind.finalize(SCALARS, partial, span)) for f, partial in lifted.items()}


def _shows(view: CompiledView, row: Any, t: int) -> bool:
    """Whether a query at `t` sees a row."""
    if view.retracts and row[_GONE] is not None:
        return False
    last = max(row[_U], row[_ARRIVED]) if view.arrives else row[_U]
    return bool(last < t or (view.inclusive and last == t))


def _last_visible(view: CompiledView, events: Events, t: int) -> Sequence[Any] | None:
    sees = le if view.inclusive else lt
    index = (bisect_right if view.inclusive else bisect_left)(events["_u"], t) - 1
    while view.arrives and index >= 0 and not _stands(view, events, index, t, sees):
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
