"""Latest values for many queries at once, as one Ibis query.

The rows of a key have one total order `(u, order_by, _seq, values)`. A query returns the greatest row that it sees:
first it finds the instant of that row, then the last row at this instant. For a key with few events, the instant is the
maximum over the pairs of a query and an event. For a key with many, it is a running maximum in the order in which rows
became visible (usable and arrived), so late arrivals need no correction. The pairs are used only if that row was
retracted.
"""

from __future__ import annotations

from typing import Any

import ibis

from mainstem.features.offline.joins import byte
from mainstem.features.offline.visibility import Visibility
from mainstem.features.views.view import CompiledView
from mainstem.graph.named import named
from mainstem.nodes.hidden import ARRIVED


def latest(queries: ibis.Table, view: CompiledView, *, arrived: bool) -> ibis.Table:
    """Return the features of `view` for each of `queries`: distinct rows of the view's key columns and `_t` (int64,
    µs)."""
    found = _Latest(view, arrived and view.arrives).rows(queries)
    if view.ttl is not None and view.known.moments:
        found = found.filter(found["_u"] >= found["_t"] - view.ttl)
    return found.select(*view.key, "_t", *named({f.name: found[str(f.argument)] for f in view.features}))


def ranked(view: CompiledView) -> ibis.Table:
    """Return the events of each key with their `_rank` from 0. Nulls rank lowest."""
    events = view.events
    order = [ibis.asc(events[c], nulls_first=True) for c in (*view.position, *view.arguments)]
    return events.mutate(_rank=ibis.row_number().over(ibis.window(group_by=list(view.key), order_by=order)))


def visible(events: ibis.Table, view: CompiledView) -> Any:
    """Return when each event was both usable and arrived."""
    return ibis.greatest(events["_u"], events[ARRIVED]) if view.arrives else events["_u"]


class _Latest(Visibility):
    def rows(self, queries: ibis.Table) -> ibis.Table:
        """Return the row that each query sees. Queries without a row are left out."""
        key, events = list(self.view.key), self.view.events
        crowd = self.crowded(self.counted(events, key))
        busy, many = queries.semi_join(crowd, key), events.semi_join(crowd, key)
        newest = self._newest_of_pairs(queries.anti_join(crowd, key), events).union(self._newest_so_far(busy, many))
        found = self._last(newest)
        if self.view.retracts:
            lost = newest.anti_join(found, self.key).select(*self.key)
            found = found.union(self._last(self._newest_of_pairs(lost, many)))
        return found

    def _newest_of_pairs(self, queries: ibis.Table, events: ibis.Table) -> ibis.Table:
        """Return the greatest `_u` that each query sees."""
        met = self._met(queries, events, list(self.view.key))
        return met.group_by(self.key).aggregate(_u=met["_u"].max())

    def _newest_so_far(self, queries: ibis.Table, events: ibis.Table) -> ibis.Table:
        """Return the greatest `_u` that each query sees, ignoring retractions."""
        seen_at = visible(events, self.view) if self.arrived else events["_u"]
        theirs = events.select(*self.view.key, "_u", _at=seen_at, _turn=byte(1), _t=ibis.null("int64"))
        turn, t = byte(2 if self.view.inclusive else 0), queries["_t"]
        lined_up = theirs.union(queries.select(*self.view.key, _u=ibis.null("int64"), _at=t, _turn=turn, _t=t))
        frame = ibis.window(group_by=list(self.view.key), order_by=["_at", "_turn"], preceding=None, following=0)
        running = lined_up.select(*self.key, _u=lined_up["_u"].max().over(frame))
        return running.filter(running["_t"].notnull(), running["_u"].notnull())

    def _last(self, newest: ibis.Table) -> ibis.Table:
        """Return the last event of each query at the given instant."""
        met = self._met(newest, self.view.events, [*self.view.key, "_u"])
        order = [ibis.desc(met[c], nulls_first=False) for c in (*self.view.position, *self.view.arguments)]
        last = ibis.row_number().over(ibis.window(group_by=self.key, order_by=order)) == 0
        return met.mutate(_last=last).filter(lambda rows: rows["_last"])

    def _met(self, queries: ibis.Table, events: ibis.Table, on: list[str]) -> ibis.Table:
        """Return queries with the events that they see and that are equal in some columns."""
        theirs = events.rename({f"_of_{column}": column for column in on})
        met = queries.inner_join(theirs, [queries[column] == theirs[f"_of_{column}"] for column in on])
        return met.filter(self.before(met["_u"], met["_t"]), self.stands(met))
