"""The part of one key's events that a query sees: windows and latest values."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import le, lt
from typing import Any, NamedTuple

import numpy as np

from mainstem.features.online import few
from mainstem.features.online.few import Few
from mainstem.features.online.many import Many
from mainstem.features.online.packing import EMPTY, Events, Layout
from mainstem.features.online.summaries import SCALARS, Summary, is_infinite, key_of
from mainstem.features.values import LARGEST_INT, NULL_INT
from mainstem.features.views.view import CompiledView, Feature
from mainstem.features.windows import Span, Window
from mainstem.nodes.hidden import ARRIVED, GONE

_U, _ARRIVED, _GONE = 0, 1, 2
"""Their places in a row: `Layout.of` puts them first."""


class Sight(NamedTuple):
    """The visible events of a window: single events, and summaries of parts that are visible as wholes."""

    events: Events
    whole: Summary | None = None

    def is_infinite(self, view: CompiledView) -> bool:
        """Return whether there is an infinity among the values."""
        return is_infinite(view, self.events) or (self.whole is not None and self.whole.infinite)

    @property
    def seen(self) -> type[Few | Many]:
        """Return how the events are represented."""
        return Few if len(self.events) <= few.FEW else Many


def windowed_at(
    view: CompiledView, sights: Mapping[Window, Sight], t: int, *, arrived: bool = True
) -> tuple[dict[str, Any], int | None]:
    """Return the features of a query at `t`, and when the newest event that it saw became usable."""
    values: dict[str, Any] = {}
    newest = None
    with np.errstate(all="ignore"):  # NaN is null, also if infinities cause it
        for window, features in view.windows.items():
            sight = sights[window]
            rows = sight.seen.visible(view, sight.events, window, t, arrived)
            values |= _values(view, sight, rows, features, window.span(t))
            last = int(sight.seen.times(sight.events)[rows[-1]]) if len(rows) else None
            newest = SCALARS.greatest(newest, SCALARS.greatest(last, sight.whole and sight.whole.newest))
    return values, newest


def latest_at(view: CompiledView, layout: Layout, raws: Sequence[bytes], t: int) -> Sequence[Any] | None:
    """Return the last row visible at `t` of consecutive packed values, in the order of `Layout.places`.

    Returns None without such a row, or if it is past its ttl.
    """
    row: Sequence[Any] | None = layout.last(raws[-1])
    if not _shows(view, row, t):  # usually the newest row is visible
        row = _last_visible(view, layout.unpack(*raws), t)
    if row is None or (view.ttl is not None and view.known.moments and row[_U] < t - view.ttl):
        return None
    return row


def nothing(view: CompiledView) -> dict[str, Any]:
    """Return the features of a key without events."""
    if not view.windowed:
        return dict.fromkeys(view.schema)
    layout = Layout.of(view)
    return windowed_at(view, dict.fromkeys(view.windows, Sight(layout.unpack(EMPTY))), 0)[0]


def exact(feature: Feature, value: Any) -> Any:
    """Return a feature's value in its type. NaN is null, and so is an integer beyond int64."""
    if value is None or value != value:
        return None
    if feature.type == "int64":
        return value if NULL_INT < value <= LARGEST_INT else None
    if feature.type == "array<float64>":
        return [float(item) for item in value]
    return float(value) if feature.type == "float64" else value


def _values(view: CompiledView, sight: Sight, rows: Any, features: tuple[Feature, ...], span: Span) -> dict[str, Any]:
    kind, seen = sight.seen, dict[tuple[str, ...], Few | Many]()
    found: dict[str, Any] = {}
    for feature in features:
        if feature.arguments not in seen:
            seen[feature.arguments] = kind(view, sight.events, rows, feature)
        partial = feature.kind.lift(seen[feature.arguments])
        if sight.whole is not None:
            partial = feature.kind.merge(SCALARS, sight.whole.partials[key_of(feature)], partial)
        found[feature.name] = exact(feature, feature.kind.finalize(SCALARS, partial, span))
    return found


def _shows(view: CompiledView, row: Any, t: int) -> bool:
    """Return whether a query at `t` sees a row."""
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
    """Return whether an event had arrived and was not retracted by then."""
    gone = events[GONE][index] if view.retracts else NULL_INT
    return sees(events[ARRIVED][index], t) and (gone == NULL_INT or not sees(gone, t))
