"""Windowed features for many queries at once, as one Ibis query.

What adds up is computed by `tiles` of time that many windows share where a key has many events, and from `pairs` of
each query and an event in its window where it has few. So are the results that lost too many digits, once more, and the
aggregations that have to collect the events of a window.
"""

from __future__ import annotations

from functools import reduce

import ibis

from mainstem.features.frames import reference_columns
from mainstem.features.joins import joined
from mainstem.features.pairs import Pairs
from mainstem.features.partials import Part
from mainstem.features.tiles import FAN, Tiles
from mainstem.features.view import CompiledView

FEW = FAN * FAN
"""Up to so many events of a key are no reason for tiles."""


def windowed(queries: ibis.Table, view: CompiledView, *, arrived: bool) -> ibis.Table:
    """The features of `view` for each of `queries`: distinct rows of the view's key columns and `_t` (int64, µs).

    With `arrived`, events that had not arrived by `_t` are not seen.
    """
    found = []
    for window, features in view.windows.items():
        for way, running in ((_Running, True), (Pairs, False)):
            chosen = tuple(feature for feature in features if feature.kind.running is running)
            if chosen:
                found.append(way(view, window, chosen, arrived and view.arrives).compute(queries))
    return reduce(lambda left, right: joined(left, right, [*view.key, "_t"]), found, queries)


class _Running(Part):
    """The features whose partials add up."""

    def compute(self, queries: ibis.Table) -> ibis.Table:
        """The features for `queries`; those without events are left out."""
        key, events = list(self.view.key), self.view.events
        keys = events.group_by(key).aggregate(_busy=events.count() > FEW, **reference_columns(events, self.features))
        events = joined(events, keys, key)
        busy = queries.semi_join(keys.filter(keys["_busy"]), key)
        few = self.by(Pairs).settled(queries, events.filter(~events["_busy"]))
        many = self.by(Tiles).settled(busy, events.filter(events["_busy"]).select(*self.view.events.columns))
        return self._corrected(few.union(many))

    def _corrected(self, settled: ibis.Table) -> ibis.Table:
        """Doubtful results computed again."""
        again = self.by(Pairs).compute(settled.filter(settled["_doubtful"]).select(*self.key))
        both = joined(settled, again.rename({f"_again_{f.name}": f.name for f in self.features}), self.key)
        values = {f.name: both["_doubtful"].ifelse(both[f"_again_{f.name}"], both[f.name]) for f in self.features}
        return both.select(*self.key, **values)
