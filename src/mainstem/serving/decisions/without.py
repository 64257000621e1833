"""Candidates that are removed: those that a view or a table has for the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mainstem.errors import SchemaError, Unavailable
from mainstem.features.online.view import OnlineView, Query, read_together
from mainstem.features.views.view import Lookup
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
from mainstem.nodes.offers import Candidates, Listed
from mainstem.serving.decisions.lookups import key_of, lookup_of, values_of

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SEEN = 1_000_000
"""The most rows of a table that removes candidates: they are held in memory."""

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Without:
    """What removes candidates: the `lookup` of a view, or the rows `seen` of a table. `on` are the fields of its key.

    A candidate is removed if the view knows its key at the time of the prediction, or if the table has it.
    """

    name: str
    on: tuple[str, ...]
    where: str
    lookup: Lookup | None = None
    seen: frozenset[tuple[Any, ...]] = field(default=frozenset(), repr=False)

    def ready(self, stored: Callable[[str, Sequence[str]], pa.Table]) -> Without:
        """Return it with the rows of its table. Raises `Unavailable` for too many."""
        if self.lookup is not None:
            return self
        found = stored(self.name, list(self.on))
        if found.num_rows > MOST_SEEN:
            raise Unavailable(
                f"{self.name!r} has too many rows to remove candidates by",
                where=self.where,
                got=f"{found.num_rows:,}",
                expected=f"up to {MOST_SEEN:,}",
                hint="a feature view with the same key is read for each request instead",
            )
        rows = frozenset(zip(*(values_of(found[column]) for column in self.on), strict=True))
        return Without(self.name, self.on, self.where, seen=rows)

    def left(
        self, offers: Sequence[Columns], known: Columns, times: Sequence[int], views: Mapping[str, OnlineView]
    ) -> list[Columns]:
        """Return the offers of requests, which have the `known` fields, without the candidates that are removed."""
        sizes = [len(next(iter(offer.values()), ())) for offer in offers]
        keys = [
            tuple(offer[name][n] if name in offer else known[name][request] for name in self.on)
            for request, (offer, size) in enumerate(zip(offers, sizes, strict=True))
            for n in range(size)
        ]
        gone = self._gone(keys, [time for time, size in zip(times, sizes, strict=True) for _each in range(size)], views)
        found, start = list[Columns](), 0
        for offer, size in zip(offers, sizes, strict=True):
            kept = [n for n in range(size) if not gone[start + n]]
            found.append(offer if len(kept) == size else {name: [v[n] for n in kept] for name, v in offer.items()})
            start += size
        return found

    def _gone(
        self, keys: Sequence[tuple[Any, ...]], times: Sequence[int], views: Mapping[str, OnlineView]
    ) -> Sequence[bool]:
        if self.lookup is None:
            return [key in self.seen for key in keys]
        (readings,) = read_together([Query(views[self.name], keys, times)])
        return [not reading.missing for reading in readings]


def without_of(graph: Graph, offer: Candidates | Listed, fields: Mapping[str, str]) -> Without | None:
    """Return what removes candidates of an offer, given the fields of requests and candidates (name → Ibis type).

    Raises `UnknownName` and `SchemaError`.
    """
    if offer.without is None:
        return None
    name, where = graph.name_of(offer.without), str(offer.origin)
    lookup = lookup_of(graph, name, fields, where) if isinstance(graph[name].node, FeatureView) else None
    on = key_of(graph, name, fields, where) if lookup is None else lookup.on
    if offer.key not in on:
        raise SchemaError(
            f"{name!r} cannot remove candidates",
            where=where,
            got=f"the key {', '.join(on)}",
            expected=f"one with {offer.key!r}",
        )
    return Without(name, on, where, lookup)
