"""Windowed features for many queries at once, as one Ibis query.

Time is cut into blocks as long as the window. A window that begins on a step of its resolution reaches from somewhere
in one block to somewhere in the next (van Herk, 1992):

        block k−1                    block k
    ├──────────s▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒┼▒▒▒▒▒▒▒▒▒t────────────┤
               └─── suffix ────┘└ prefix ┘

so it is the partial from `s` to the end of its block, merged with the partial from the start of the next block to `t`.
Both are running aggregates over one constant frame, ROWS UNBOUNDED PRECEDING, which every engine computes in one pass
for any aggregation, invertible or not; the suffix is the prefix in mirrored time. Frames of a RANGE over the window's
length, the obvious way, cost DuckDB about ten times as much.

What does not run along is computed from each query's own events (`pairs`): aggregations that collect, and once more
the queries with an event in flight, which had happened by `t` but not arrived, or one that had been taken back by then,
and those in whose results too many digits cancelled.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import ibis

from mainstem.features.frames import with_references
from mainstem.features.joins import byte, joined
from mainstem.features.pairs import Pairs
from mainstem.features.partials import CALCULUS, Lifted, Part
from mainstem.features.stages import staged
from mainstem.features.view import CompiledView
from mainstem.features.windows import floor


def windowed(queries: ibis.Table, view: CompiledView, *, arrived: bool) -> ibis.Table:
    """The features of `view` for each of `queries`: distinct rows of the view's key columns and `_t` (int64, µs).

    With `arrived`, events that had not arrived by `_t` are not seen. A query without events may be missing.
    """
    frames, pairs = [], []
    for window, features in view.windows.items():
        running = tuple(f for f in features if f.kind.running)
        collected = tuple(f for f in features if not f.kind.running)
        if running:
            frames.append(Frames(view, window, running, arrived and view.arrives).compute(queries))
        if collected:
            pairs.append(Pairs(view, window, collected, arrived and view.arrives).compute(queries))
    first, *rest = [*(frames or [queries]), *pairs]  # only frames answer every query
    return reduce(lambda left, right: joined(left, right, [*view.key, "_t"]), rest, first)


class Frames(Part):
    """The features that run along."""

    def compute(self, queries: ibis.Table) -> ibis.Table:
        """The features for each of `queries`, distinct rows of key and `_t`."""
        prefix, lifted = self._running(queries, queries["_t"], "p", mirrored=False)
        suffix, _ = self._running(queries, self.window.start(queries["_t"]), "s", mirrored=True)
        halves = joined(prefix, suffix, self.key)
        later, earlier = lifted.partials(halves, "p"), lifted.partials(halves, "s")
        merged = {f.name: f.kind.merge(CALCULUS, earlier[f.name], later[f.name]) for f in self.features}
        values = self.finalized(merged, halves["_t"])
        doubts = [*lifted.doubts(halves, "p"), *lifted.doubts(halves, "s"), *self._in_flight(halves)]
        doubts += self._taken_back(halves)
        if not doubts:
            return staged(halves, self.key, values)
        doubtful = reduce(lambda a, b: a | b, (doubt.fill_null(False) for doubt in doubts))
        return self._corrected(staged(halves, self.key, {"_doubtful": doubtful, **values}))

    def _running(self, queries: ibis.Table, at: Any, side: str, *, mirrored: bool) -> tuple[ibis.Table, Lifted]:
        """For each query what is reduced of its block's events up to `at`, or, mirrored, from the block's end to it.

        Beside that `SIDE_arrived` is the latest arrival, and `SIDE_gone` when the first of them was taken back.
        """
        block = [*self.view.key, "_block"]
        rows = with_references(self._lined_up(queries, at, mirrored), self.features, block)
        frame = ibis.window(group_by=block, order_by=["_at", "_turn"], preceding=None, following=0)
        lifted = Lifted(self.features, self.view, rows, frame)
        found = lifted.reduced(side)
        if self.arrived:
            found[f"{side}_arrived"] = rows["_arrived"].max().over(frame)
        if self.view.retracts:
            found[f"{side}_gone"] = rows["_gone"].min().over(frame)
        running = rows.select(*self.key, **found)
        return running.filter(running["_t"].notnull()), lifted

    def _lined_up(self, queries: ibis.Table, at: Any, mirrored: bool) -> ibis.Table:
        """Events and queries in one relation, in the order `_at`, `_turn` within each `_block`."""
        events, size, sign = self.view.events, self.window.size, -1 if mirrored else 1
        # The first instant of a window belongs to it; the last only if it is closed on both sides.
        turn = 2 if mirrored or self.view.inclusive else 0
        theirs = {"_block": floor(events["_u"], size), "_at": events["_u"] * sign, "_turn": byte(1)}
        ours = {"_block": floor(at, size), "_at": at * sign, "_turn": byte(turn), "_t": queries["_t"]}
        seen = {name: events[name] for name in self._seen}
        unseen = {name: ibis.null(column.type()) for name, column in seen.items()}
        return events.select(*self.view.key, **theirs, _t=ibis.null("int64"), **seen).union(
            queries.select(*self.view.key, **ours, **unseen)
        )

    @property
    def _seen(self) -> list[str]:
        """The columns of the events that these features read."""
        arguments = dict.fromkeys(argument for f in self.features for argument in f.arguments)
        marks = (*(["_arrived"] if self.view.arrives else []), *(["_gone"] if self.view.retracts else []))
        return [*self.view.position, *marks, *arguments]

    def _in_flight(self, halves: ibis.Table) -> list[Any]:
        """Whether a window has an event that had not arrived by the time of its query."""
        if not self.arrived:
            return []
        return [~self.before(CALCULUS.greatest(halves["p_arrived"], halves["s_arrived"]), halves["_t"])]

    def _taken_back(self, halves: ibis.Table) -> list[Any]:
        """Whether a window has an event that had been corrected or deleted by the time of its query."""
        if not self.view.retracts:
            return []
        return [self.before(CALCULUS.least(halves["p_gone"], halves["s_gone"]), halves["_t"])]

    def _corrected(self, settled: ibis.Table) -> ibis.Table:
        again = Pairs(self.view, self.window, self.features, self.arrived).compute(
            settled.filter(settled["_doubtful"]).select(*self.key)
        )
        both = joined(settled, again.rename({f"_again_{f.name}": f.name for f in self.features}), self.key)
        values = {f.name: both["_doubtful"].ifelse(both[f"_again_{f.name}"], both[f.name]) for f in self.features}
        return both.select(*self.key, **values)
