"""Windowed features from each query's own events: exact for everything, at the cost of a row for each pair of them."""

from __future__ import annotations

from typing import Any

import ibis

from mainstem.features.frames import with_references
from mainstem.features.partials import Lifted, Part
from mainstem.features.stages import staged
from mainstem.features.windows import floor


class Pairs(Part):
    """The features of a few queries, or those that no frame can run along."""

    def compute(self, queries: ibis.Table) -> ibis.Table:
        """The features for `queries`, distinct rows of key and `_t`; those without events are left out."""
        rows = with_references(self._seen(queries), self.features, self.key)
        lifted = Lifted(self.features, self.view, rows)
        grouped = rows.group_by(self.key).aggregate(**lifted.reduced("p"))
        return staged(grouped, self.key, self.finalized(lifted.partials(grouped, "p"), grouped["_t"]))

    def _seen(self, queries: ibis.Table) -> ibis.Table:
        """Events and queries meet in blocks of the window's reach, of which a window touches two at most."""
        reach, blocked = self.window.reach, [*self.view.key, "_block"]
        start = self.window.start(queries["_t"])
        asked = queries.mutate(_start=start, _block=floor(start, reach))
        asked = asked.union(asked.mutate(_block=asked["_block"] + reach))
        events = self.view.events.mutate(_block=floor(self.view.events["_u"], reach))
        events = events.rename({f"_of_{column}": column for column in blocked})
        met = asked.inner_join(events, [asked[c] == events[f"_of_{c}"] for c in blocked])
        visible: list[Any] = [met["_u"] >= met["_start"], self.before(met["_u"], met["_t"])]
        if self.arrived:
            visible.append(self.before(met["_arrived"], met["_t"]))
        if self.view.retracts:
            visible.append(~self.before(met["_gone"], met["_t"]).fill_null(False))
        return met.filter(*visible)
