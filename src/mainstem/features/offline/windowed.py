"""Windowed features for many queries at once, as one Ibis query.

What adds up is reduced by `tiles` of time that many windows share where a key has many events, and from the `pairs` of
a query and an event in its window where it has few. Results that lost too many digits are computed from pairs once
more, and so are the aggregations that have to collect the events of a window.
"""

from __future__ import annotations

from functools import reduce

import ibis

from mainstem.features.offline.events import reference_columns
from mainstem.features.offline.joins import joined
from mainstem.features.offline.pairs import Pairs
from mainstem.features.offline.partials import CALCULUS, Lifted, Part
from mainstem.features.offline.tiles import Tiles
from mainstem.features.views.view import CompiledView


def windowed(queries: ibis.Table, view: CompiledView, *, arrived: bool) -> ibis.Table:
    """The features of `view` for each of `queries`: distinct rows of the view's key columns and `_t` (int64, µs).

    With `arrived`, events that had not arrived by `_t` are not seen.
    """
    found = []
    for window, features in view.windows.items():
        for way, running in ((_Running, True), (Pairs, False)):
            chosen = tuple(feature for feature in features if feature.kind.running is running)
            if chosen:
                found.append(way(view, arrived and view.arrives, window, chosen).compute(queries))
    return reduce(lambda left, right: joined(left, right, [*view.key, "_t"]), found, queries)


class _Running(Part):
    """The features whose partials add up."""

    def compute(self, queries: ibis.Table) -> ibis.Table:
        """The features for `queries`; those without events are left out."""
        key, events = list(self.view.key), self.view.events
        keys = self.busy(events, **reference_columns(events, self.features))
        asking = joined(queries, keys, key)
        crowd = events.semi_join(keys.filter(keys["_busy"]), key)
        few, lifted = self.by(Pairs).halves(asking.filter(~asking["_busy"]))
        many = self.by(Tiles).halves(asking.filter(asking["_busy"]).select(*self.key), crowd)
        return self._corrected(self._merged(few.union(many.select(*few.columns)), lifted))

    def _merged(self, halves: ibis.Table, lifted: Lifted) -> ibis.Table:
        """The features, and which of them are `_doubtful`, from what the halves of windows are reduced to."""
        earlier, later = lifted.partials(halves, "s"), lifted.partials(halves, "p")
        merged = {f.name: f.kind.merge(CALCULUS, earlier[f.name], later[f.name]) for f in self.features}
        doubts = [*lifted.doubts(halves, "s"), *lifted.doubts(halves, "p"), halves["_unsettled"]]
        doubtful = reduce(lambda a, b: a | b, (doubt.fill_null(False) for doubt in doubts))
        return self.valued(halves, merged, _doubtful=doubtful)

    def _corrected(self, settled: ibis.Table) -> ibis.Table:
        """The doubtful results computed again."""
        again = self.by(Pairs).compute(settled.filter(settled["_doubtful"]).select(*self.key))
        both = joined(settled, again.rename({f"_again_{f.name}": f.name for f in self.features}), self.key)
        values = {f.name: both["_doubtful"].ifelse(both[f"_again_{f.name}"], both[f.name]) for f in self.features}
        return both.select(*self.key, **values)
