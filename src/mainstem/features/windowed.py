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

Two kinds of query are then computed again, each from its own events: those with an event in flight, which had
happened by `t` but not arrived, and those whose sums of squares lost too many digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import ibis

from mainstem.features.algebra import Partial
from mainstem.features.calculus import Columns
from mainstem.features.frames import Rows, with_references
from mainstem.features.view import CompiledView, Feature
from mainstem.features.windows import Window, floor

_CALCULUS = Columns()


def windowed(queries: ibis.Table, view: CompiledView, *, arrived: bool) -> ibis.Table:
    """The features of `view` for each of `queries`: distinct rows of the view's key columns and `_t` (int64, µs).

    With `arrived`, events that had not arrived by `_t` are not seen. A query without events may be missing.
    """
    spans = [_Span(view, w, features, arrived and view.arrives) for w, features in view.windows.items()]
    return reduce(lambda a, b: joined(a, b, [*view.key, "_t"]), (span.compute(queries) for span in spans))


def joined(left: ibis.Table, right: ibis.Table, key: list[str]) -> ibis.Table:
    """Left join on the columns `key`; `right` has each combination at most once, so no row is doubled."""
    new = [column for column in right.columns if column not in key]
    renamed = right.rename({f"_of_{column}": column for column in key})
    matched = left.left_join(renamed, [left[c] == renamed[f"_of_{c}"] for c in key])
    return matched.select(*left.columns, *new)


@dataclass(frozen=True)
class _Span:
    """The features of a view over one window."""

    view: CompiledView
    window: Window
    features: tuple[Feature, ...]
    arrived: bool

    @property
    def key(self) -> list[str]:
        return [*self.view.key, "_t"]

    def compute(self, queries: ibis.Table) -> ibis.Table:
        prefix = self._running(queries, queries["_t"], "p", mirrored=False)
        suffix = self._running(queries, self.window.start(queries["_t"]), "s", mirrored=True)
        halves = joined(prefix, suffix, self.key)
        partials = {
            f.name: _merge(f, _partial(halves, f"s_{f.name}"), _partial(halves, f"p_{f.name}")) for f in self.features
        }
        values = self._finalized(partials, halves["_t"])
        doubts = self._doubts(halves)
        if not doubts:
            return halves.select(*self.key, **values)
        doubtful = reduce(lambda a, b: a | b, doubts)
        settled = halves.select(*self.key, _doubtful=doubtful.fill_null(False), **values)
        return self._corrected(settled)

    # ── running partials ─────────────────────────────────────────────────────────────────────────────

    def _running(self, queries: ibis.Table, at: Any, side: str, *, mirrored: bool) -> ibis.Table:
        """For each query the partials of its block's events up to `at`, or, mirrored, from the block's end down to it.

        Their columns are `SIDE_FEATURE_0, _1, …`; `SIDE_arrived` is the latest arrival, `SIDE_doubt` a loss of digits.
        """
        block = [*self.view.key, "_block"]
        rows = with_references(self._lined_up(queries, at, mirrored), self.features, block)
        frame = ibis.window(group_by=block, order_by=["_at", "_turn"], preceding=None, following=0)
        found, doubts = self._lifted(rows, side, frame)
        if self.arrived:
            found[f"{side}_arrived"] = rows["_arrived"].max().over(frame)
        if doubts:
            found[f"{side}_doubt"] = reduce(lambda a, b: a | b, doubts)
        running = rows.select(*self.key, **found)
        return running.filter(running["_t"].notnull())

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
        arguments = dict.fromkeys(f.argument for f in self.features if f.argument is not None)
        return [*self.view.position, *(["_arrived"] if self.view.arrives else []), *arguments]

    def _lifted(self, rows: ibis.Table, side: str, frame: Any = None) -> tuple[dict[str, Any], list[Any]]:
        found: dict[str, Any] = {}
        doubts: list[Any] = []
        for feature in self.features:
            assert feature.aggregation is not None
            events = Rows(rows, feature, self.view, frame)
            lifted = feature.aggregation.lift(events)
            found |= {f"{side}_{feature.name}_{i}": part for i, part in enumerate(lifted)}
            doubts += events.doubts
        return found, doubts

    def _finalized(self, partials: Mapping[str, Partial], t: Any) -> dict[str, Any]:
        return {f.name: _finalize(f, partials[f.name], t) for f in self.features}

    def _doubts(self, halves: ibis.Table) -> list[Any]:
        doubts = [halves[name] for name in ("p_doubt", "s_doubt") if name in halves.columns]
        if self.arrived:
            latest = _CALCULUS.greatest(halves["p_arrived"], halves["s_arrived"])
            doubts.append(~self._before(latest, halves["_t"]))
        return [doubt.fill_null(False) for doubt in doubts]

    def _before(self, instant: Any, t: Any) -> Any:
        return instant <= t if self.view.inclusive else instant < t

    # ── queries computed again ───────────────────────────────────────────────────────────────────────

    def _corrected(self, settled: ibis.Table) -> ibis.Table:
        again = self._one_by_one(settled.filter(settled["_doubtful"]).select(*self.key))
        again = again.rename({f"_again_{f.name}": f.name for f in self.features})
        both = joined(settled, again, self.key)
        values = {f.name: both["_doubtful"].ifelse(both[f"_again_{f.name}"], both[f.name]) for f in self.features}
        return both.select(*self.key, **values)

    def _one_by_one(self, queries: ibis.Table) -> ibis.Table:
        """The features of a few queries, from the pairs of each and an event in its window."""
        pairs = with_references(self._pairs(queries), self.features, self.key)
        lifted, _ = self._lifted(pairs, "g")
        grouped = pairs.group_by(self.key).aggregate(**lifted)
        partials = {f.name: _partial(grouped, f"g_{f.name}") for f in self.features}
        return grouped.select(*self.key, **self._finalized(partials, grouped["_t"]))

    def _pairs(self, queries: ibis.Table) -> ibis.Table:
        """Events and queries meet in blocks of the window's reach, of which a window touches two at most."""
        reach, blocked = self.window.reach, [*self.view.key, "_block"]
        start = self.window.start(queries["_t"])
        asked = queries.mutate(_start=start, _block=floor(start, reach))
        asked = asked.union(asked.mutate(_block=asked["_block"] + reach))
        events = self.view.events.mutate(_block=floor(self.view.events["_u"], reach))
        events = events.rename({f"_of_{column}": column for column in blocked})
        pairs = asked.inner_join(events, [asked[c] == events[f"_of_{c}"] for c in blocked])
        visible = [pairs["_u"] >= pairs["_start"], self._before(pairs["_u"], pairs["_t"])]
        if self.arrived:
            visible.append(self._before(pairs["_arrived"], pairs["_t"]))
        return pairs.filter(*visible)


def _merge(feature: Feature, earlier: Partial, later: Partial) -> Partial:
    assert feature.aggregation is not None
    return feature.aggregation.merge(_CALCULUS, earlier, later)


def _finalize(feature: Feature, partial: Partial, t: Any) -> Any:
    assert feature.aggregation is not None
    value = feature.aggregation.finalize(_CALCULUS, partial, t)
    value = value.cast("int64" if feature.type.startswith("timestamp") else feature.type)
    return value.isnan().ifelse(ibis.null("float64"), value) if value.type().is_floating() else value


def _partial(table: ibis.Table, name: str) -> Partial:
    parts = [c for c in table.columns if c.startswith(f"{name}_") and c[len(name) + 1 :].isdigit()]
    return tuple(table[column] for column in parts)


def byte(value: int) -> Any:
    """A small constant, to sort by."""
    return ibis.literal(value, type="int8")
