"""Windowed features from tiles: what stretches of time come to, made once for all queries whose windows hold them.

Time is cut into blocks that are longer than a window reaches, blocks into tiles, those into smaller ones, and so on. A
window touches two blocks at most, and begins and ends in two tiles of each length:

    │             block              │             block              │
    │       │   s▒▒▒│▒▒▒▒▒▒▒│▒▒▒▒▒▒▒▒│▒▒▒▒▒▒▒│▒▒▒▒t  │       │        │
                ╰──╯ ╰───────────────┴───────╯ ╰──╯
              smaller      whole tiles        smaller

so it is a few pieces that lie whole in it: tiles, smaller ones at its edges, and events at theirs. A piece is what its
events reduce to (sums, counts, the least and the greatest), and those add up. The more events a key has in a window,
the smaller are its smallest tiles.

Each block has its own reference and origin to measure from, so a window is two partials, merged as the algebra says.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import ibis

from mainstem.features.offline.events import group_columns
from mainstem.features.offline.joins import joined
from mainstem.features.offline.partials import Lifted, Part
from mainstem.features.windows import Window, floor
from mainstem.nodes.hidden import ARRIVED, GONE

LEVELS = range(4)
"""Of pieces, beside events: blocks are at level 0."""

FAN = 16
"""How many pieces of the next level there are in one."""

CROWD = 64
"""Events in a piece from which it is worth to be cut into smaller ones."""


def _length(window: Window, level: int) -> int:
    """How long the pieces of a level are: each a multiple of the next, and a block longer than the window reaches."""
    smallest = window.reach // FAN ** LEVELS[-1] + len(LEVELS)  # a level may be added to where a piece begins
    return int(smallest * FAN ** (LEVELS[-1] - level))


class Tiles(Part):
    """Features whose partials add up, of keys with many events."""

    def halves(self, queries: ibis.Table, events: ibis.Table) -> ibis.Table:
        """What features are reduced to in the blocks where the windows of `queries` begin, in columns `s0, s1, …`, and
        where they end, in `p0, p1, …`; queries without events are left out.

        `_unsettled` are those with an event in a tile that had not arrived, or was taken back.
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
        """The blocks of each window, with what is measured from in each, and how many `_events` it has."""
        events = self.over(events.select(*self.view.key, "_u", *self.view.arguments))
        events = events.mutate(_block=self._begin(events, events["_u"], 0))
        return self.counted(events, [*self.view.key, "_window", "_block"], **group_columns(events, self.features))

    def _depths(self, blocks: ibis.Table) -> ibis.Table:
        """The level of the smallest tiles that are worth it for a key and window: its `_depth`."""
        most = blocks["_events"].max()
        levels = ((most > CROWD * FAN**level).cast("int8") for level in LEVELS[:-1])
        return blocks.group_by([*self.view.key, "_window"]).aggregate(_depth=reduce(lambda a, b: a + b, levels))

    def _referred(self, events: ibis.Table, blocks: ibis.Table, depths: ibis.Table) -> ibis.Table:
        """The events once for each window, with their `_depth`, and what is measured from in their block."""
        rows = self.over(events)
        rows = rows.mutate(_block=self._begin(rows, rows["_u"], 0))
        rows = joined(rows, blocks.drop("_events"), [*self.view.key, "_window", "_block"])
        return joined(rows.drop("_block"), depths, [*self.view.key, "_window"])

    def _pieces(self, rows: ibis.Table) -> tuple[ibis.Table, Lifted]:
        """All pieces, from `_at` to `_last`, each with the longer one that holds it."""
        lifted, u = Lifted(self.features, self.view, rows), rows["_u"]
        marks = {name: rows[name] for name in self._marks(rows)}
        holder = rows["_depth"].cases(*((level, self._begin(rows, u, level) + level) for level in LEVELS))
        piece = {"_at": u, "_last": u, "_holder": holder, **lifted.shares(), **marks}
        found = [rows.select(*self.view.key, "_window", **piece)]
        for level in reversed(LEVELS[1:]):
            held = rows.filter(rows["_depth"] == level).select(*self.view.key, "_window", **piece)
            held = held.union(found[-1]) if level < LEVELS[-1] else held
            found.append(self._held(held, lifted, level))
        return reduce(lambda a, b: a.union(b), found), lifted

    def _held(self, pieces: ibis.Table, lifted: Lifted, level: int) -> ibis.Table:
        """The holders of pieces, which are at a level, as pieces themselves."""
        held = pieces.group_by([*self.view.key, "_window", "_holder"])
        holders = held.aggregate(**lifted.added(pieces, "_r"), **self._marks(pieces))
        at = holders["_holder"] - level
        last = at + self._length(holders, level) - 1
        place = {"_at": at, "_last": last, "_holder": self._begin(holders, at, level - 1) + (level - 1)}
        return holders.mutate(**place).select(*pieces.columns)

    def _length(self, rows: ibis.Table, level: int) -> Any:
        return self.of(rows, lambda window: _length(window, level))

    def _begin(self, rows: ibis.Table, instant: Any, level: int) -> Any:
        """Where the piece of a level begins that an instant is in."""
        return floor(instant, self._length(rows, level))

    def _marks(self, pieces: ibis.Table) -> dict[str, Any]:
        """When the last of some pieces arrived, and the first was taken back, where that matters."""
        arrived = {ARRIVED: pieces[ARRIVED].max()} if self.arrived else {}
        return arrived | ({GONE: pieces[GONE].min()} if self.view.retracts else {})

    # ── queries ──────────────────────────────────────────────────────────────────────────────────────

    def _asked(self, queries: ibis.Table) -> ibis.Table:
        """For each query the pieces in which its window begins and ends, unless it holds them whole; and when the later
        of its blocks begins, `_next`.
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
        """Queries, and the pieces that are whole in their windows while what holds them is not."""
        at = [*self.view.key, "_window", "_holder"]
        pieces = pieces.rename({f"_of_{column}": column for column in at})
        met = asked.inner_join(pieces, [asked[c] == pieces[f"_of_{c}"] for c in at])
        whole = (met["_at"] >= met["_start"]) & self.before(met["_last"], met["_t"])
        return met.filter(whole, (met["_at"] < met["_last"]) | self.stands(met))

    def _blocks(self, met: ibis.Table, lifted: Lifted) -> ibis.Table:
        """What the pieces in each query's earlier block and in its later one come to."""
        met = met.mutate(_later=met["_at"] >= met["_next"])
        return met.group_by([*self.key, "_later"]).aggregate(**lifted.added(met, "_r"), **self._marks(met))
