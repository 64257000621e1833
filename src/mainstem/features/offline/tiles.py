"""Windowed features from tiles: what stretches of time come to, made once for all queries whose windows hold them.

Time is cut into blocks that are longer than a window reaches, blocks into tiles, and those into small ones. A window
touches two blocks at most, and begins and ends in two tiles of each length:

    │             block              │             block              │
    │       │   s▒▒▒│▒▒▒▒▒▒▒│▒▒▒▒▒▒▒▒│▒▒▒▒▒▒▒│▒▒▒▒t  │       │        │
                ╰──╯ ╰───────────────┴───────╯ ╰──╯
               small       whole tiles         small

so it is a few pieces that lie whole in it: tiles, small ones at its edges, and events at theirs. A piece is what its
events reduce to (sums, counts, the least and the greatest), and those add up.

Each block has its own reference and origin to measure from, so a window is two partials, merged as the algebra says.
"""

from __future__ import annotations

from functools import cached_property, reduce
from typing import Any

import ibis

from mainstem.features.offline.events import with_references
from mainstem.features.offline.partials import Lifted, Part
from mainstem.features.windows import floor

FAN = 16
"""How many tiles a block has, and how many small ones a tile."""

_BLOCK, _TILE, _SMALL = range(3)


class Tiles(Part):
    """Features whose partials add up, of keys with many events."""

    @cached_property
    def sizes(self) -> tuple[int, int, int]:
        """The lengths of a block, a tile and a small one, each a multiple of the next."""
        small = self.window.reach // FAN**2 + 3  # so long that a level may be added to where it begins
        return small * FAN**2, small * FAN, small

    def halves(self, queries: ibis.Table, events: ibis.Table) -> ibis.Table:
        """What features are reduced to in the blocks where the windows of `queries` begin, in columns `s0, s1, …`, and
        where they end, in `p0, p1, …`; queries without events are left out.

        `_unsettled` are those with an event in a tile that had not arrived, or was taken back.
        """
        pieces, lifted = self._pieces(events)
        blocks = self._blocks(self._met(self._asked(queries), pieces), lifted)
        sides = lifted.added(blocks, "s", ~blocks["_later"]) | lifted.added(blocks, "p", blocks["_later"])
        halves = blocks.group_by(self.key).aggregate(**sides, **self._marks(blocks))
        return halves.mutate(_unsettled=~self.stands(halves))

    # ── pieces ───────────────────────────────────────────────────────────────────────────────────────

    def _pieces(self, events: ibis.Table) -> tuple[ibis.Table, Lifted]:
        """All pieces, from `_at` to `_last`, each with the longer one that holds it."""
        events = events.mutate(_block=floor(events["_u"], self.sizes[_BLOCK]))
        rows = with_references(events, self.features, [*self.view.key, "_block"])
        lifted, u = Lifted(self.features, self.view, rows), rows["_u"]
        marks = {name: rows[name] for name in self._marks(rows)}
        place = {"_at": u, "_last": u, "_holder": self._holder(u, _SMALL)}
        own = rows.select(*self.view.key, **place, **lifted.shares(), **marks)
        small = self._tiles(own, lifted, _TILE)
        return own.union(small, self._tiles(small, lifted, _BLOCK)), lifted

    def _tiles(self, pieces: ibis.Table, lifted: Lifted, level: int) -> ibis.Table:
        """The holders of pieces, as pieces that those of a level hold."""
        held = pieces.group_by([*self.view.key, "_holder"])
        tiles = held.aggregate(**lifted.added(pieces, "_r"), **self._marks(pieces))
        at = tiles["_holder"] - (level + 1)
        place = {"_at": at, "_last": at + (self.sizes[level + 1] - 1), "_holder": self._holder(at, level)}
        return tiles.mutate(**place).select(*pieces.columns)

    def _holder(self, instant: Any, level: int) -> Any:
        """The piece of a level that an instant is in: where it begins, plus the level, which no two pieces share."""
        return floor(instant, self.sizes[level]) + level

    def _marks(self, pieces: ibis.Table) -> dict[str, Any]:
        """When the last of some pieces arrived, and the first was taken back, where that matters."""
        arrived = {"_arrived": pieces["_arrived"].max()} if self.arrived else {}
        return arrived | ({"_gone": pieces["_gone"].min()} if self.view.retracts else {})

    # ── queries ──────────────────────────────────────────────────────────────────────────────────────

    def _asked(self, queries: ibis.Table) -> ibis.Table:
        """For each query the pieces in which its window begins and ends, unless it holds them whole."""
        start, t = self.window.start(queries["_t"]), queries["_t"]
        found = []
        for level, size in enumerate(self.sizes):
            first, last = self._holder(start, level), self._holder(t, level)
            for holder, others in ((first, ()), (last, (last != first,))):
                at = holder - level
                whole = (at >= start) & self.before(at + (size - 1), t)
                found.append(queries.mutate(_start=start, _holder=holder).filter(~whole, *others))
        return reduce(lambda a, b: a.union(b), found)

    def _met(self, asked: ibis.Table, pieces: ibis.Table) -> ibis.Table:
        """Queries, and the pieces that are whole in their windows while what holds them is not."""
        at = [*self.view.key, "_holder"]
        pieces = pieces.rename({f"_of_{column}": column for column in at})
        met = asked.inner_join(pieces, [asked[c] == pieces[f"_of_{c}"] for c in at])
        whole = (met["_at"] >= met["_start"]) & self.before(met["_last"], met["_t"])
        return met.filter(whole, (met["_at"] < met["_last"]) | self.stands(met))

    def _blocks(self, met: ibis.Table, lifted: Lifted) -> ibis.Table:
        """What the pieces in each query's earlier block and in its later one come to."""
        block = self.sizes[_BLOCK]
        met = met.mutate(_later=met["_at"] >= floor(met["_start"], block) + block)
        return met.group_by([*self.key, "_later"]).aggregate(**lifted.added(met, "_r"), **self._marks(met))
