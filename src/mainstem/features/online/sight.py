"""What a query sees of one key's events: windows and latest values, in numpy."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import le, lt
from typing import Any, NamedTuple

import numpy as np

from mainstem.features.online.events import Seen
from mainstem.features.online.packing import EMPTY, Array, Events, Layout
from mainstem.features.online.summaries import SCALARS, Summary, is_infinite, key_of
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView, Feature
from mainstem.features.windows import Span, Window

_U, _ARRIVED, _GONE = 0, 1, 2
"""Their places in a row: `Layout.of` puts them first."""


class Sight(NamedTuple):
    """What a query over a window may see: events, one by one, and what others come to that it sees whole."""

    events: Events
    whole: Summary | None = None

    def is_infinite(self, view: CompiledView) -> bool:
        """Whether there is an infinity among the values."""
        return is_infinite(view, self.events) or (self.whole is not None and self.whole.infinite)


def windowed_at(
    view: CompiledView, sights: Mapping[Window, Sight], t: int, *, arrived: bool = True
) -> tuple[dict[str, Any], int | None]:
    """The features of a query at `t`, and when the newest event that it saw became usable."""
    values: dict[str, Any] = {}
    newest = None
    with np.errstate(all="ignore"):  # NaN is null, and so is what infinities make of it
        for window, features in view.windows.items():
            events, whole = sights[window]
            rows = _rows(view, events, window, t, arrived)
            values |= _values(view, sights[window], rows, features, window.span(t))
            for last in (_last(events["_u"], rows), whole and whole.newest):
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
    return windowed_at(view, dict.fromkeys(view.windows, Sight(layout.unpack(EMPTY))), 0)[0]


def exact(feature: Feature, value: Any) -> Any:
    """A feature's value in its own type; NaN is null."""
    if value is None or value != value:
        return None
    if feature.type == "array<float64>":
        return [float(item) for item in value]
    return float(value) if feature.type == "float64" else value


def _values(view: CompiledView, sight: Sight, rows: Any, features: tuple[Feature, ...], span: Span) -> dict[str, Any]:
    seen: dict[tuple[str, ...], Seen] = {}
    found: dict[str, Any] = {}
    for feature in features:
        if feature.arguments not in seen:
            seen[feature.arguments] = Seen(view, sight.events, rows, feature)
        partial = feature.kind.lift(seen[feature.arguments])
        if sight.whole is not None:
            partial = feature.kind.merge(SCALARS, sight.whole.partials[key_of(feature)], partial)
        found[feature.name] = exact(feature, feature.kind.finalize(SCALARS, partial, span))
    return found


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


def _rows(view: CompiledView, events: Events, window: Window, t: int, arrived: bool) -> Any:
    end = (bisect_right if view.inclusive else bisect_left)(events["_u"], t)
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
