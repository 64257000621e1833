"""Windowed features for many queries at once, as one Ibis query.

Additive features of a key with many events and many queries are computed from `tiles` of time that windows share.
Others are computed from `pairs` of a query and an event in its window. Results that lost too many digits are computed
again from pairs. So are aggregations that collect the events of a window.
"""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from typing import Any

import ibis

from mainstem.features.offline.events import reference_columns
from mainstem.features.offline.joins import joined
from mainstem.features.offline.pairs import Pairs
from mainstem.features.offline.partials import CALCULUS, Lifted, Part
from mainstem.features.offline.tiles import Tiles
from mainstem.features.views.view import CompiledView, Feature
from mainstem.features.windows import Window, floor
from mainstem.graph.named import named

WORTH = 6
"""The number of pairs that take about as long as one event in tiles."""


def windowed(queries: ibis.Table, view: CompiledView, *, arrived: bool) -> ibis.Table:
    """Return the features of `view` for each of `queries`: distinct rows of the view's key columns and `_t` (int64,
    µs).

    With `arrived`, only events that had arrived by `_t` are seen.
    """
    key, found = [*view.key, "_t"], queries
    for way, running in ((_Running, True), (Pairs, False)):
        for windows in _alike(view, running):
            part = way(view, arrived and view.arrives, tuple(windows), next(iter(windows.values())))
            rows = part.compute(queries)
            for number, features in enumerate(windows.values()):
                own = rows.filter(rows["_window"] == number)
                values = {f.name: own[like.name] for f, like in zip(features, part.features, strict=True)}
                found = joined(found, own.select(*key, *named(values)), key)
    return found


def _alike(view: CompiledView, running: bool) -> list[dict[Window, tuple[Feature, ...]]]:
    """Group the running (or other) features by window. Windows with the same features are grouped together."""
    found: dict[Any, dict[Window, tuple[Feature, ...]]] = defaultdict(dict)
    for window, features in view.windows.items():
        chosen = tuple(feature for feature in features if feature.kind.running is running)
        found[tuple((id(f.kind), f.argument, f.by) for f in chosen)][window] = chosen
    return [windows for what, windows in found.items() if what]


class _Running(Part):
    """Computes the additive features."""

    def compute(self, queries: ibis.Table) -> ibis.Table:
        """Return the features for `queries`. Those without events are left out."""
        key, events = list(self.view.key), self.view.events
        keys = self.counted(events, key, **reference_columns(events, self.features))
        busy = self._busy(keys, queries)
        asking = joined(queries, joined(keys, busy.mutate(_busy=True), key), key)
        crowd = asking["_busy"].fill_null(False)
        few, lifted = self.by(Pairs).halves(asking.filter(~crowd))
        many = self.by(Tiles).halves(asking.filter(crowd).select(*key, "_t"), events.semi_join(busy, key))
        return self._corrected(self._merged(few.union(many.select(*few.columns)), lifted))

    def _busy(self, keys: ibis.Table, queries: ibis.Table) -> ibis.Table:
        """Return those of `keys` with too many pairs, for which tiles are faster."""
        key, events = list(self.view.key), self.view.events
        many = self.crowded(keys)  # most keys have few events
        some = events.semi_join(many, key)
        stretches = some.mutate(_stretch=floor(some["_u"], self.longest))
        stretches = self.counted(stretches, [*key, "_stretch"])
        busy = joined(stretches.group_by(key).aggregate(_most=stretches["_events"].max()), many, key)
        busy = joined(busy, queries.group_by(key).aggregate(_asked=queries.count()), key)
        worth = busy["_asked"] * busy["_most"] > busy["_events"] * (WORTH * len(self.windows))
        return busy.filter(worth).select(*key)

    def _merged(self, halves: ibis.Table, lifted: Lifted) -> ibis.Table:
        """Return the features, and which of them are `_doubtful`, from the reductions of the halves of windows."""
        earlier, later = lifted.partials(halves, "s"), lifted.partials(halves, "p")
        merged = {f.name: f.kind.merge(CALCULUS, earlier[f.name], later[f.name]) for f in self.features}
        doubts = [*lifted.doubts(halves, "s"), *lifted.doubts(halves, "p"), halves["_unsettled"]]
        doubtful = reduce(lambda a, b: a | b, (doubt.fill_null(False) for doubt in doubts))
        return self.valued(halves, merged, _doubtful=doubtful)

    def _corrected(self, settled: ibis.Table) -> ibis.Table:
        """Return the features with doubtful results computed again."""
        doubtful = settled.filter(settled["_doubtful"]).select(*self.view.key, "_t").distinct()
        again = self.by(Pairs).compute(doubtful)
        both = joined(settled, again.rename({f"_again_{f.name}": f.name for f in self.features}), self.key)
        values = {f.name: both["_doubtful"].ifelse(both[f"_again_{f.name}"], both[f.name]) for f in self.features}
        return both.select(*self.key, *named(values))
