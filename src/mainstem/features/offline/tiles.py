"""Windowed features from tiles: reductions of ranges of time, shared by all queries whose windows contain them.

Time is cut into blocks that are longer than a window's reach, blocks into tiles, tiles into smaller ones, and so on. A
window touches at most two blocks, and begins and ends in two tiles of each length:

    │             block              │             block              │
    │       │   s▒▒▒│▒▒▒▒▒▒▒│▒▒▒▒▒▒▒▒│▒▒▒▒▒▒▒│▒▒▒▒t  │       │        │
                ╰──╯ ╰───────────────┴───────╯ ╰──╯
              smaller      whole tiles        smaller

so a window consists of a few whole pieces: tiles, smaller ones at its edges, and events at theirs. A piece holds the
reductions of its events (sums, counts, minimum and maximum), which can be combined. The more events a key has in a
window, the smaller are its smallest tiles.

Each block has its own reference and origin, so a window is two partials that the algebra merges.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import ibis

from mainstem.features.offline.events import group_columns
from mainstem.features.offline.joins import joined
from mainstem.features.offline.partials import Lifted, Part
from mainstem.features.windows import Window, floor
from mainstem.graph.named import named
from mainstem.nodes.hidden import ARRIVED, GONE

LEVELS = range(4)
"""The levels of pieces, without events. Blocks are at level 0."""

FAN = 16
"""The number of pieces of the next level in one piece."""

CROWD = 64
"""The minimum number of events in a piece for cutting it."""


def _length(window: Window, level: int) -> int:
    """Return the length of a level's pieces: a multiple of the next level's. Blocks are longer than a
    window's reach."""
    smallest = window.reach // FAN ** LEVELS[-1] + len(LEVELS)  # a level may be added to where a piece begins
    return int(smallest * FAN ** (LEVELS[-1] - level))


class Tiles(Part):
    """Computes additive features of keys with many events."""

    def halves(self, queries: ibis.Table, events: ibis.Table) -> ibis.Table:
        """Return the reductions of the blocks where windows begin (`s0, s1, …`) and end (`p0, p1, …`).

        Queries without events are left out. `_unsettled` marks those with an event in a tile that had not arrived, or
        that was retracted.
        """
        blocks = self._blocks_of(events)
        depths = self._depths(blocks)
        pieces, lifted = self._pieces(self._referred(events, blocks, depths))
        queries = joined(self.over(queries), depths, [*self.view.key, "_window"], "inner")
        blocks = self._blocks(self._met(self._asked(queries), pieces), lifted)
        sides = lifted.added(blocks, "s", ~blocks["_later"]) | lifted.added(blocks, "p", blocks["_later"])
        halves = blocks.group_by(self.key).aggregate(**sides, **self._marks(blocks))
        return halves.mutate(_unsettled=~self.stands(halves))

    # ── pieces ───────────────────────────────────────────────────────────────────────────────────────

    def _blocks_of(self, events: ibis.Table) -> ibis.Table:
        """Return the blocks of each window, with reference and origin of each, and its number of `_events`."""
        events = self.over(events.select(*self.view.key, "_u", *self.view.arguments))
        events = events.mutate(_block=self._begin(events, events["_u"], 0))
        return self.counted(events, [*self.view.key, "_window", "_block"], **group_columns(events, self.features))

    def _depths(self, blocks: ibis.Table) -> ibis.Table:
        """Return the level of the smallest useful tiles for a key and window: its `_depth`."""
        most = blocks["_events"].max()
        levels = ((most > CROWD * FAN**level).cast("int8") for level in LEVELS[:-1])
        return blocks.group_by([*self.view.key, "_window"]).aggregate(_depth=reduce(lambda a, b: a + b, levels))

    def _referred(self, events: ibis.Table, blocks: ibis.Table, depths: ibis.Table) -> ibis.Table:
        """Return the events once for each window, with their `_depth`, and the reference and origin of their block."""
        rows = self.over(events)
        rows = rows.mutate(_block=self._begin(rows, rows["_u"], 0))
        rows = joined(rows, blocks.drop("_events"), [*self.view.key, "_window", "_block"])
        return joined(rows.drop("_block"), depths, [*self.view.key, "_window"])

    def _pieces(self, rows: ibis.Table) -> tuple[ibis.Table, Lifted]:
        """Return all pieces, from `_at` to `_last`, each with the longer piece that contains it."""
        lifted, u = Lifted(self.features, self.view, rows), rows["_u"]
        marks = {name: rows[name] for name in self._marks(rows)}
        holder = rows["_depth"].cases(*((level, self._begin(rows, u, level) + level) for level in LEVELS))
        piece = {"_at": u, "_last": u, "_holder": holder, **lifted.shares(), **marks}
        found = [rows.select(*self.view.key, "_window", *named(piece))]
        for level in reversed(LEVELS[1:]):
            held = rows.filter(rows["_depth"] == level).select(*self.view.key, "_window", *named(piece))
            held = held.union(found[-1]) if level < LEVELS[-1] else held
            found.append(self._held(held, lifted, level))
        return reduce(lambda a, b: a.union(b), found), lifted

    def _held(self, pieces: ibis.Table, lifted: Lifted, level: int) -> ibis.Table:
        """Return the pieces that contain pieces of a level."""
        held = pieces.group_by([*self.view.key, "_window", "_holder"])
        holders = held.aggregate(**lifted.added(pieces, "_r"), **self._marks(pieces))
        at = holders["_holder"] - level
        last = at + self._length(holders, level) - 1
        place = {"_at": at, "_last": last, "_holder": self._begin(holders, at, level - 1) + (level - 1)}
        return holders.mutate(*named(place)).select(*pieces.columns)

    def _length(self, rows: ibis.Table, level: int) -> Any:
        return self.of(rows, lambda window: _length(window, level))

    def _begin(self, rows: ibis.Table, instant: Any, level: int) -> Any:
        """Return where the piece of a level that contains an instant begins."""
        return floor(instant, self._length(rows, level))

    def _marks(self, pieces: ibis.Table) -> dict[str, Any]:
        """Return when the last event of a piece arrived, and when the first was retracted, if needed."""
        arrived = {ARRIVED: pieces[ARRIVED].max()} if self.arrived else {}
        return arrived | ({GONE: pieces[GONE].min()} if self.view.retracts else {})

    # ── queries ──────────────────────────────────────────────────────────────────────────────────────

    def _asked(self, queries: ibis.Table) -> ibis.Table:
        """Return for each query the pieces in which its window begins and ends, unless it contains them.

        `_next` is the begin of the later block.
        """
        start = self.span(queries).start
        levels = ibis.array([ibis.literal(level, type="int8") for level in LEVELS])
        later = self._begin(queries, start, 0) + self._length(queries, 0)
        each = queries.mutate(_start=start, _next=later, _level=levels.unnest())
        each = each.filter(each["_level"] <= each["_depth"])
        each = each.mutate(_length=each["_level"].cases(*((level, self._length(each, level)) for level in LEVELS)))
        each = each.mutate(_first=floor(each["_start"], each["_length"]), _final=floor(each["_t"], each["_length"]))
        first, final = (each.mutate(_at=each[at]) for at in ("_first", "_final"))
        asked = first.union(final.filter(final["_first"] != final["_final"]))
        whole = (asked["_at"] >= asked["_start"]) & self.before(asked["_at"] + asked["_length"] - 1, asked["_t"])
        return asked.filter(~whole).select(*self.key, "_start", "_next", _holder=asked["_at"] + asked["_level"])

    def _met(self, asked: ibis.Table, pieces: ibis.Table) -> ibis.Table:
        """Return queries with the pieces that are whole in their windows while the containing piece is not."""
        at = [*self.view.key, "_window", "_holder"]
        pieces = pieces.rename({f"_of_{column}": column for column in at})
        met = asked.inner_join(pieces, [asked[c] == pieces[f"_of_{c}"] for c in at])
        whole = (met["_at"] >= met["_start"]) & self.before(met["_last"], met["_t"])
        return met.filter(whole, (met["_at"] < met["_last"]) | self.stands(met))

    def _blocks(self, met: ibis.Table, lifted: Lifted) -> ibis.Table:
        """Return the reductions of the pieces in each query's earlier block and in its later one."""
        met = met.mutate(_later=met["_at"] >= met["_next"])
        return met.group_by([*self.key, "_later"]).aggregate(**lifted.added(met, "_r"), **self._marks(met))
