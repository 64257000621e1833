"""Windowed features from the pairs of each query and an event in its window: exact, but one row per pair."""

from __future__ import annotations

import ibis

from mainstem.features.offline.events import with_origins, with_references
from mainstem.features.offline.joins import byte
from mainstem.features.offline.partials import Lifted, Part
from mainstem.features.windows import floor
from mainstem.graph.named import named


class Pairs(Part):
    """Computes any features, for few queries or few events."""

    def compute(self, queries: ibis.Table) -> ibis.Table:
        """Return the features for `queries`, distinct rows of key and `_t`. Those without events are left out."""
        grouped, lifted = self._reduced(with_references(self._seen(queries), self.features, self.key))
        return self.valued(grouped, lifted.partials(grouped, "s"))

    def halves(self, queries: ibis.Table) -> tuple[ibis.Table, Lifted]:
        """Return the reductions for `queries` with references: all events count in the earlier half of a window.

        The columns `s0, s1, …` have the earlier halves; `p0, p1, …`, the later halves, are empty.
        """
        rows = self._seen(queries)
        grouped, lifted = self._reduced(with_origins(rows, self.features, rows["_t"]))
        later = {f"p{name.removeprefix('s')}": ibis.null(grouped[name].type()) for name in lifted.reduced("s")}
        return grouped.mutate(*named(later), _unsettled=ibis.literal(False)), lifted

    def _reduced(self, rows: ibis.Table) -> tuple[ibis.Table, Lifted]:
        lifted = Lifted(self.features, self.view, rows)
        return rows.group_by(self.key).aggregate(named(lifted.reduced("s"))), lifted

    def _seen(self, queries: ibis.Table) -> ibis.Table:
        """Return queries with the events in their windows, once for each such window."""
        starts = {f"_start{number}": window.start(queries["_t"]) for number, window in enumerate(self.windows)}
        met = self._met(queries.mutate(*named(starts), _start=ibis.least(*starts.values())))
        held = [(met["_u"] >= met[start]).ifelse(byte(number), None) for number, start in enumerate(starts)]
        rows = met.mutate(_window=ibis.array(held).unnest())
        return rows.filter(rows["_window"].notnull())

    def _met(self, queries: ibis.Table) -> ibis.Table:
        """Return queries with the events from `_start` on, joined by blocks of a window's reach: at most two
        per query."""
        reach, events = self.longest, self.view.events
        start, t = queries["_start"], queries["_t"]
        first = queries.mutate(_block=floor(start, reach))
        last = queries.filter(floor(t, reach) != floor(start, reach)).mutate(_block=floor(t, reach))
        asked, at = first.union(last), [*self.view.key, "_block"]
        events = events.mutate(_block=floor(events["_u"], reach)).rename({f"_of_{column}": column for column in at})
        met = asked.inner_join(events, [asked[c] == events[f"_of_{c}"] for c in at])
        return met.filter(met["_u"] >= met["_start"], self.before(met["_u"], met["_t"]), self.stands(met))
