"""Nearest neighbours as candidates: the rows of a table whose vectors are nearest to that of a request.

The search is exact: one product of matrices for all requests together. 100,000 vectors of 64 numbers take some
milliseconds; an index would answer faster, and not always rightly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import SchemaError, Unavailable, UnknownName
from mainstem.features.retrieval import Retrieval
from mainstem.nodes.definition import Graph
from mainstem.nodes.hidden import visible
from mainstem.nodes.offers import Neighbours
from mainstem.serving.decisions.bounds import check_together
from mainstem.serving.decisions.lookups import key_of, values_of
from mainstem.serving.decisions.without import Without

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VECTORS = 1_000_000
"""The most rows of a table of vectors: they are held in memory."""

MOST_PRODUCTS = 16_000_000
"""The most products of a request's vector and a row's that are in memory at once: 64 MB."""

Columns = Mapping[str, Sequence[Any]]
Stored = Callable[[str, Sequence[str]], "pa.Table"]
Vectors = NDArray[np.float32]
_LISTS = ("array<float64>", "array<float32>", "array<int64>")


@dataclass(frozen=True)
class Asking:
    """Where the vector of a request is: in the row of `table` whose key the request's `fields` have. The `column` has
    the vectors. `name` is what an unknown key is flagged by."""

    name: str
    table: str
    column: str
    fields: tuple[str, ...]
    key: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class NeighbourOffer:
    """The rows of a table, each with a vector [rows, numbers], of length 1 if the measure is the cosine.

    `wanted` are the vectors of requests, `places` their places by key. With `itself`, both are the rows', and a row is
    not a neighbour of its own.
    """

    rule: Neighbours
    asking: Asking
    types: Mapping[str, str]
    rows: Columns
    vectors: Vectors = field(repr=False)
    wanted: Vectors = field(repr=False)
    places: Mapping[tuple[Any, ...], int] = field(repr=False)
    without: Without | None = None

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns that name a candidate."""
        return (self.rule.key,)

    def unknown(self, columns: Columns, count: int) -> list[bool]:
        """Return whether each of `count` requests has no vector."""
        return [place is None for place in self._places(columns, count)]

    def expand(self, columns: Columns, count: int) -> list[Columns]:
        """Return the candidates of `count` requests, as columns. A request without a vector has none.

        Raises `RequestError` for too many together.
        """
        found: list[Columns] = [{name: [] for name in self.types} for _request in range(count)]
        places = {n: place for n, place in enumerate(self._places(columns, count)) if place is not None}
        if not places or not len(self.vectors):
            return found
        check_together(len(places) * min(self.rule.limit, len(self.vectors)))
        together = max(1, MOST_PRODUCTS // len(self.vectors))
        pairs = list(places.items())
        for start in range(0, len(pairs), together):
            some = pairs[start : start + together]
            every = self.wanted[[place for _n, place in some]] @ self.vectors.T
            for (n, place), near in zip(some, every, strict=True):
                chosen = self._nearest(near, place if self.rule.like else None)
                found[n] = {name: [values[each] for each in chosen] for name, values in self.rows.items()}
        return found

    def _places(self, columns: Columns, count: int) -> list[int | None]:
        keys = zip(*(columns[name] for name in self.asking.fields), strict=True)
        return [self.places.get(key) for key in keys]

    def _nearest(self, near: Vectors, itself: int | None) -> list[int]:
        """Return the places of the nearest rows. Of equally near ones, the first key comes first."""
        if itself is not None:
            near[itself] = -np.inf
        count = min(self.rule.limit, len(near) - (itself is not None))
        if not count:
            return []
        lowest = np.partition(near, len(near) - count)[len(near) - count]
        some = np.flatnonzero(near >= lowest)
        return [int(each) for each in some[np.argsort(-near[some], kind="stable")][:count]]


def asking(graph: Graph, offer: Neighbours, table: str, retrieval: Retrieval, fields: Mapping[str, str]) -> Asking:
    """Return where the vectors of requests are, given the fields of a request (name → Ibis type).

    Raises `UnknownName` and `SchemaError`.
    """
    where = str(offer.origin)
    _check_vectors(visible(graph[table].schema or {}), table, offer.embedding, where)
    if offer.like is not None:
        if offer.like not in fields:
            raise UnknownName.among("request field", offer.like, fields, of=repr(retrieval.model), where=where)
        if fields[offer.like] != retrieval.request[offer.key]:
            what = f"the field {offer.like!r} has another type than {offer.key!r}"
            raise SchemaError(what, where=where, got=fields[offer.like], expected=retrieval.request[offer.key])
        return Asking(offer.like, table, offer.embedding, (offer.like,), (offer.key,))
    assert offer.to is not None
    name = graph.name_of(offer.to)
    key = key_of(graph, name, fields, where)
    schema = visible(graph[name].schema or {})
    lists = [column for column, kind in schema.items() if _plain(kind) in _LISTS]
    column = lists[0] if len(lists) == 1 else offer.embedding
    _check_vectors(schema, name, column, where)
    return Asking(name, name, column, key, key)


def near_offer(
    offer: Neighbours,
    asks: Asking,
    types: Mapping[str, str],
    found: pa.Table,
    offered: Callable[[pa.Table], Columns],
    stored: Stored,
    without: Without | None,
) -> NeighbourOffer:
    """Return the offer of the rows that are `found`, which `offered` brings to columns.

    Raises `Unavailable` for too many rows, and for vectors that cannot be compared.
    """
    some, vectors = _vectors(offer, found.sort_by(offer.key), offer.embedding)
    if offer.like is not None:
        places = {(key,): n for n, key in enumerate(values_of(some[offer.key]))}
        return NeighbourOffer(offer, asks, types, offered(some), vectors, vectors, places, without)
    own, wanted = _vectors(offer, stored(asks.table, [*asks.key, asks.column]), asks.column)
    if len(wanted) and len(vectors) and wanted.shape[1] != vectors.shape[1]:
        raise Unavailable(
            f"the vectors of {asks.table!r} have another length",
            where=str(offer.origin),
            got=f"{wanted.shape[1]} numbers",
            expected=f"{vectors.shape[1]}, as in {offer.embedding!r}",
        )
    keys = zip(*(values_of(own[column]) for column in asks.key), strict=True)
    places = {key: n for n, key in enumerate(keys)}
    return NeighbourOffer(offer, asks, types, offered(some), vectors, wanted, places, without)


def _check_vectors(schema: Mapping[str, str], table: str, column: str, where: str) -> None:
    if column not in schema:
        raise UnknownName.among("column", column, schema, of=repr(table), where=where)
    if _plain(schema[column]) not in _LISTS:
        what = f"the column {column!r} of {table!r} does not hold vectors"
        raise SchemaError(what, where=where, got=_plain(schema[column]), expected=" or ".join(_LISTS))


def _plain(kind: str) -> str:
    return kind.replace("!", "")


def _vectors(offer: Neighbours, table: pa.Table, column: str) -> tuple[pa.Table, Vectors]:
    """Return the rows that have a vector, with these, as the measure compares them.

    A vector of zeros has no direction, so no cosine.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    where = str(offer.origin)
    some = table.filter(pc.is_valid(table[column]))
    if some.num_rows > MOST_VECTORS:
        got, expected = f"{some.num_rows:,}", f"up to {MOST_VECTORS:,}"
        raise Unavailable("the vectors are too many to hold in memory", where=where, got=got, expected=expected)
    lengths = set(pc.list_value_length(some[column]).to_pylist())
    if len(lengths) > 1:
        raise Unavailable("the vectors differ in length", where=where, got=", ".join(map(str, sorted(lengths))))
    flat = pc.list_flatten(some[column]).to_numpy()
    vectors = np.asarray(flat, np.float32).reshape(some.num_rows, lengths.pop() if lengths else 0)
    if not np.isfinite(vectors).all():
        raise Unavailable("a vector has numbers that are null or not finite", where=where, expected="finite numbers")
    if offer.measure == "dot" or not some.num_rows:
        return some, vectors
    norms = np.linalg.norm(vectors, axis=1)
    return some.filter(pa.array(norms > 0)), vectors[norms > 0] / norms[norms > 0, None]
