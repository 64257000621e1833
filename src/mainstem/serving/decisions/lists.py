"""Lists of keys as candidates: of a field of the request, or of a view or a table whose key the request has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mainstem.errors import RequestError, SchemaError, Unavailable, UnknownName
from mainstem.features.online.view import OnlineView, Query, read_together
from mainstem.features.retrieval import TIME, Retrieval, compiled, plain
from mainstem.features.views.view import Lookup
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
from mainstem.nodes.hidden import visible
from mainstem.nodes.offers import Listed
from mainstem.serving.decisions.bounds import check_together
from mainstem.serving.decisions.lookups import key_of, lists_of, lookup_of, values_of
from mainstem.serving.decisions.without import Without
from mainstem.streaming.predictions import example_key

if TYPE_CHECKING:
    import pyarrow as pa

MOST_LISTS = 1_000_000
"""The most rows of a table of lists: they are held in memory."""

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Source:
    """Where the list of a request is: under the key that its fields `on` have, of a view or of a table `name`.

    The `lookup` is of a view. The `lists` of a table are held in memory, by key.
    """

    name: str
    of: str
    on: tuple[str, ...]
    lookup: Lookup | None = None
    lists: Mapping[tuple[Any, ...], Sequence[Any] | None] = field(default_factory=dict, repr=False)

    def ready(self, stored: Callable[[str, Sequence[str]], pa.Table], where: str) -> Source:
        """Return it with the lists of its table. Raises `Unavailable` for too many."""
        if self.lookup is not None:
            return self
        found = stored(self.name, [*self.on, self.of])
        if found.num_rows > MOST_LISTS:
            got, expected = f"{found.num_rows:,}", f"up to {MOST_LISTS:,}"
            raise Unavailable(f"{self.name!r} has too many lists", where=where, got=got, expected=expected)
        keys = zip(*(values_of(found[column]) for column in self.on), strict=True)
        return replace(self, lists=dict(zip(keys, lists_of(found[self.of]), strict=True)))

    def read(
        self, columns: Columns, times: Sequence[int], views: Mapping[str, OnlineView]
    ) -> list[Sequence[Any] | None]:
        """Return the list of each request; None for an unknown key."""
        keys = list(zip(*(columns[name] for name in self.on), strict=True))
        if self.lookup is None:
            return [(self.lists[key] or ()) if key in self.lists else None for key in keys]
        (readings,) = read_together([Query(views[self.name], keys, times)])
        return [None if reading.missing else reading.values[self.of] or () for reading in readings]


@dataclass(frozen=True, eq=False)
class ListOffer:
    """The keys in a list, each once, in its order. `types` has the type of the key.

    The `column` of requests has their lists. Those of a `source` are read by `asked`.
    """

    rule: Listed
    types: Mapping[str, str]
    source: Source | None = None
    without: Without | None = None

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns that name a candidate."""
        return (self.rule.key,)

    @property
    def column(self) -> str:
        """The column of requests that has their lists."""
        return str(self.rule.field) if self.source is None else f"{self.source.name}: {self.source.of}"

    def check(self, rows: Sequence[Any], where: str) -> None:
        """Refuse rows of a request whose list has more than the limit, before its elements are read. Raises
        `RequestError`."""
        if self.rule.field is None:
            return
        for place, row in enumerate(rows):
            listed = row.get(self.rule.field) if isinstance(row, dict) else None
            if isinstance(listed, list) and len(listed) > self.rule.limit:
                raise RequestError(
                    "the list has too many candidates",
                    where=f"{where}, rows[{place}].{self.rule.field}",
                    got=f"{len(listed):,}",
                    expected=f"up to {self.rule.limit:,}",
                )

    def asked(
        self, columns: Columns, times: Sequence[int], views: Mapping[str, OnlineView]
    ) -> tuple[dict[str, list[Any]], list[list[str]]]:
        """Return the lists of requests as a column, and the flags of each request."""
        if self.source is None:
            lists = columns[self.column]
            return {}, [[] if len(set(each)) == len(each) else [f"repeated:{self.column}"] for each in lists]
        found = self.source.read(columns, times, views)
        return {self.column: [each or () for each in found]}, [
            [f"unknown:{self.source.name}"] if each is None else [] for each in found
        ]

    def expand(self, columns: Columns, count: int) -> list[Columns]:
        """Return the candidates of `count` requests, as columns. Raises `RequestError` for too many together."""
        found, total = list[Columns](), 0
        for listed in columns[self.column]:
            keys = [key for key in dict.fromkeys(listed) if key is not None][: self.rule.limit]
            found.append({self.rule.key: keys})
            total += len(keys)
            check_together(total)
        return found


def list_of(graph: Graph, offer: Listed, retrieval: Retrieval) -> tuple[dict[str, str], Source | None]:
    """Return the type of the key, and where the lists are if requests do not have them.

    Raises `UnknownName` and `SchemaError`.
    """
    where, request = str(offer.origin), retrieval.request
    if offer.key not in request:
        raise UnknownName.among("request field", offer.key, request, of=repr(retrieval.model), where=where)
    types = {offer.key: request[offer.key]}
    if offer.source is None:
        if offer.field in {*request, *example_key(graph, retrieval.model), TIME}:
            what = f"requests to {retrieval.model!r} have another field {offer.field!r}"
            raise SchemaError(what, where=where, hint="give the list another name")
        return types, None
    name, of = graph.name_of(offer.source), str(offer.of)
    is_view = isinstance(graph[name].node, FeatureView)
    schema = compiled(graph, name).schema if is_view else visible(graph[name].schema or {})
    if of not in schema:
        raise UnknownName.among("feature" if is_view else "column", of, schema, of=repr(name), where=where)
    if plain(schema[of]) != f"array<{types[offer.key]}>":
        what = f"{of!r} of {name!r} is not a list of {offer.key!r}"
        raise SchemaError(what, where=where, got=plain(schema[of]), expected=f"array<{types[offer.key]}>")
    fields = {field: kind for field, kind in request.items() if field != offer.key}
    if is_view:
        lookup = lookup_of(graph, name, fields, where)
        return types, Source(name, of, lookup.on, lookup)
    return types, Source(name, of, key_of(graph, name, fields, where))
