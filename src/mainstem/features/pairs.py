"""Windowed features from the pairs of each query and an event in its window: exact, at the cost of a row for each."""

from __future__ import annotations

import ibis

from mainstem.features.frames import with_origins, with_references
from mainstem.features.partials import Lifted, Part
from mainstem.features.windows import floor


class Pairs(Part):
    """Any features, of few queries or few events."""

    def compute(self, queries: ibis.Table) -> ibis.Table:
        """The features for `queries`, distinct rows of key and `_t`; those without events are left out."""
        rows = self._seen(queries, self.view.events)
        return self._settled(with_references(rows, self.features, self.key)).drop("_doubtful")

    def settled(self, queries: ibis.Table, events: ibis.Table) -> ibis.Table:
        """The same, of `events` that bring references of their own; `_doubtful` is where those are too far away."""
        rows = self._seen(queries, events)
        return self._settled(with_origins(rows, self.features, rows["_t"]))

    def _settled(self, rows: ibis.Table) -> ibis.Table:
        lifted = Lifted(self.features, self.view, rows)
        grouped = rows.group_by(self.key).aggregate(**lifted.reduced("p"))
        return self.valued(grouped, lifted.partials(grouped, "p"), lifted.doubts(grouped, "p"))

    def _seen(self, queries: ibis.Table, events: ibis.Table) -> ibis.Table:
        """Events and queries meet in blocks of the window's reach, of which a window touches two at most."""
        reach, key = self.window.reach, list(self.view.key)
        start, t = self.window.start(queries["_t"]), queries["_t"]
        first = queries.mutate(_start=start, _block=floor(start, reach))
        last = queries.filter(floor(t, reach) != floor(start, reach)).mutate(_start=start, _block=floor(t, reach))
        asked, blocked = first.union(last), [*key, "_block"]
        events = events.mutate(_block=floor(events["_u"], reach)).rename(
            {f"_of_{column}": column for column in blocked}
        )
        met = asked.inner_join(events, [asked[c] == events[f"_of_{c}"] for c in blocked])
        return met.filter(met["_u"] >= met["_start"], self.before(met["_u"], met["_t"]), self.stands(met))
