"""Expand the candidates of requests: the rows of a table, which a release has, or the steps of a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.errors import RequestError, SchemaError, Unavailable, UnknownName
from mainstem.features.retrieval import Retrieval, plain
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
from mainstem.nodes.hidden import visible
from mainstem.nodes.offers import MOST, Candidates, Grid, Listed, Neighbours, Offer
from mainstem.nodes.records import Release
from mainstem.serving.decisions.bounds import check_together
from mainstem.serving.decisions.expressions import Compiled, compile_values
from mainstem.serving.decisions.lists import ListOffer, Source, list_of
from mainstem.serving.decisions.lookups import values_of
from mainstem.serving.decisions.neighbours import Asking, NeighbourOffer, asking, near_offer
from mainstem.serving.decisions.phases import brought, phases
from mainstem.serving.decisions.without import Without, without_of

if TYPE_CHECKING:
    import pyarrow as pa

RESERVED = frozenset({"id", "value", "score", "propensity", "explored"})
"""What an answer says of each candidate, beside the names that tell it from the others."""

Columns = Mapping[str, Sequence[Any]]
Stored = Callable[[str, Sequence[str]], "pa.Table"]
"""Returns columns of a relation of the release that is served."""


def no_tables(graph: Graph, release: Release) -> Stored:
    """Refuse to read tables. Raises `Unavailable`."""

    def read(table: str, columns: Sequence[str]) -> pa.Table:
        raise Unavailable("this server does not read tables", got=table, expected="a server that mainstem serve starts")

    return read


@dataclass(frozen=True, eq=False)
class TableOffer:
    """The rows of a table. `types` are those of the columns that a request field or the rule reads."""

    rule: Candidates
    table: str
    types: Mapping[str, str]
    rows: Columns
    without: Without | None = None

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns that name a candidate."""
        return (self.rule.key,)

    def expand(self, columns: Columns, count: int) -> list[Columns]:
        """Return the candidates of `count` requests, as columns. Raises `RequestError` for too many together."""
        each = len(next(iter(self.rows.values()), ()))
        check_together(each * count)
        return [self.rows] * count


@dataclass(frozen=True, eq=False)
class GridOffer:
    """Steps. `compiled` has the bounds of each field; without it the values are `fixed`."""

    types: Mapping[str, str]
    compiled: Compiled | None = None
    fixed: Mapping[str, Any] | None = None
    without: None = None

    @property
    def shown(self) -> tuple[str, ...]:
        return tuple(self.types)

    def expand(self, columns: Columns, count: int) -> list[Columns]:
        """Return the candidates of `count` requests, of which fields and features are columns.

        A request with a bound that is null or not finite has none. Raises `RequestError` for too many.
        """
        if self.fixed is not None:
            return [{name: [value] for name, value in self.fixed.items()}] * count
        assert self.compiled is not None
        bounds = self.compiled.batch({name: list(columns[name]) for name in self.compiled.columns}, count)
        found, total = list[Columns](), 0
        for row in range(count):
            found.append(self._one({name: values[row] for name, values in bounds.items()}, row))
            total += len(next(iter(found[-1].values()), ()))
            check_together(total)
        return found

    def _one(self, bounds: Mapping[str, float | None], row: int) -> Columns:
        axes = [self._axis(name, kind, bounds, row) for name, kind in self.types.items()]
        if math.prod(map(len, axes)) > MOST:
            raise self._too_many(row, math.prod(map(len, axes)))
        found = list(product(*axes))
        return {name: [each[n] for each in found] for n, name in enumerate(self.types)}

    def _axis(self, name: str, kind: str, bounds: Mapping[str, float | None], row: int) -> list[Any]:
        low, high, step = (bounds[bound_of(name, which)] for which in ("low", "high", "step"))
        if low is None or high is None or step is None or not all(map(math.isfinite, (low, high, step))):
            return []
        if step <= 0:
            raise RequestError(f"the step of {name!r} is not positive", where=f"rows[{row}]", got=f"{step:g}")
        steps = math.floor((high - low) / step + 1e-9)
        if steps >= MOST:
            raise self._too_many(row, steps + 1)
        values = [round(low + n * step, 9) for n in range(steps + 1)]
        return list(dict.fromkeys(map(round, values))) if kind == "int64" else values

    def _too_many(self, row: int, count: int) -> RequestError:
        hint = "larger steps, or a smaller range"
        return RequestError(
            "too many candidates", where=f"rows[{row}]", got=f"{count:,}", expected=f"up to {MOST:,}", hint=hint
        )


Offering = TableOffer | NeighbourOffer | ListOffer | GridOffer


@dataclass(frozen=True, eq=False)
class Plan:
    """An offer as its endpoint declares it: what it brings, with Ibis types, before its rows are read."""

    offer: Offer | Mapping[str, Any]
    retrieval: Retrieval
    types: Mapping[str, str]
    compiled: Compiled | None = None
    table: str = ""
    asking: Asking | None = None
    without: Without | None = None
    listed: Source | None = None

    @property
    def views(self) -> frozenset[str]:
        """The views that are read beside those of the model."""
        seen = frozenset() if self.without is None or self.without.lookup is None else frozenset({self.without.name})
        return seen if self.listed is None or self.listed.lookup is None else seen | {self.listed.name}

    @property
    def sent(self) -> dict[str, str]:
        """The field of a request that has a list of candidates, with its type."""
        if not isinstance(self.offer, Listed) or self.offer.field is None:
            return {}
        return {self.offer.field: f"array<{self.types[self.offer.key]}>"}

    def ready(self, stored: Stored, needed: Sequence[str]) -> Offering:
        """Return the offer with its rows: the columns that are `needed`, and the key."""
        if isinstance(self.offer, Candidates):
            types = {name: kind for name, kind in self.types.items() if name in {*needed, self.offer.key}}
            without = None if self.without is None else self.without.ready(stored)
            if isinstance(self.offer, Neighbours) and self.asking is not None:
                found = stored(self.table, list(dict.fromkeys((*types, self.offer.embedding))))
                offered = partial(_offered, self.offer, self.table, types)
                return near_offer(self.offer, self.asking, types, found, offered, stored, without)
            return TableOffer(self.offer, self.table, types, _rows(self.offer, self.table, types, stored), without)
        if isinstance(self.offer, Listed):
            without = None if self.without is None else self.without.ready(stored)
            listed = None if self.listed is None else self.listed.ready(stored, str(self.offer.origin))
            return ListOffer(self.offer, self.types, listed, without)
        if not isinstance(self.offer, Offer):
            fixed = {n: round(v) if self.types[n] == "int64" else float(v) for n, v in self.offer.items()}
            return GridOffer(self.types, fixed=fixed)
        return GridOffer(self.types, self.compiled)

    @cached_property
    def fields(self) -> frozenset[str]:
        """The request fields that candidates bring."""
        return frozenset(self.types.keys() & self.retrieval.request.keys())


def plan_of(graph: Graph, offer: Offer | Mapping[str, Any], retrieval: Retrieval, where: str) -> Plan:
    """Return the plan of an offer, or of a fallback's constants. Raises `UnknownName` and `SchemaError`."""
    if isinstance(offer, Candidates):
        return _table(graph, offer, retrieval)
    if isinstance(offer, Listed):
        return _list(graph, offer, retrieval)
    names = offer.steps if isinstance(offer, Grid) else offer
    assert isinstance(names, Mapping)
    for name in names:
        _free(name, str(offer.origin) if isinstance(offer, Grid) else where)
        _numeric_field(name, retrieval, str(offer.origin) if isinstance(offer, Grid) else where)
    types = {name: retrieval.request[name] for name in names}
    if not isinstance(offer, Grid):
        return Plan(offer, retrieval, types)
    early = {name for action in phases(retrieval, names)[0].actions for name in brought(action)}
    fixed = {name: kind for name, kind in retrieval.request.items() if name not in names}
    fixed |= {name: kind for name, kind in retrieval.columns.items() if name in early}
    bounds = {
        bound_of(name, which): getattr(steps, which)
        for name, steps in offer.steps.items()
        for which in ("low", "high", "step")
    }
    return Plan(offer, retrieval, types, compile_values(bounds, fixed, str(offer.origin)))


def bound_of(name: str, which: str) -> str:
    """Return the name of a bound of a field."""
    return f"{name}: {which}"


def _table(graph: Graph, offer: Candidates, retrieval: Retrieval) -> Plan:
    name, where = graph.name_of(offer.table), str(offer.origin)
    if isinstance(graph[name].node, FeatureView):
        what, expected = "a view offers the keys in one of its features", f'ms.candidates({name}, …, of="FEATURE")'
        raise SchemaError(what, where=where, got="no `of`", expected=expected)
    schema = visible(graph[name].schema or {})
    for column in (offer.key, offer.by):
        if column is not None and column not in schema:
            raise UnknownName.among("column", column, schema, of=repr(name), where=where)
    _free(offer.key, where)
    types = {column: plain(kind) for column, kind in schema.items()}
    if offer.key not in retrieval.request:
        raise UnknownName.among("request field", offer.key, retrieval.request, of=repr(retrieval.model), where=where)
    for column in types.keys() & retrieval.request.keys():
        if types[column] != retrieval.request[column]:
            what = f"the candidates' column {column!r} has another type than the request field"
            raise SchemaError(what, where=where, got=types[column], expected=retrieval.request[column])
    for column in types.keys() & (retrieval.columns.keys() - retrieval.request.keys()):
        what = f"{column!r} is a column of the candidates and a feature of {retrieval.model!r}"
        raise SchemaError(what, where=where, hint="rename the column, or leave it out of the table")
    asked = {field: kind for field, kind in retrieval.request.items() if field not in types}
    near = asking(graph, offer, name, retrieval, asked) if isinstance(offer, Neighbours) else None
    without = without_of(graph, offer, {**types, **asked})
    return Plan(offer, retrieval, types, table=name, asking=near, without=without)


def _list(graph: Graph, offer: Listed, retrieval: Retrieval) -> Plan:
    where = str(offer.origin)
    _free(offer.key, where)
    types, listed = list_of(graph, offer, retrieval)
    asked = {field: kind for field, kind in retrieval.request.items() if field not in types}
    without = without_of(graph, offer, {**types, **asked})
    return Plan(offer, retrieval, types, without=without, listed=listed)


def _free(name: str, where: str) -> None:
    """Refuse a name that an answer has of its own."""
    if name in RESERVED:
        what = f"candidates cannot be told by {name!r}, because their answer has a field of that name"
        raise SchemaError(
            what, where=where, expected=f"none of {', '.join(sorted(RESERVED))}", hint="rename the column"
        )


def _numeric_field(name: str, retrieval: Retrieval, where: str) -> None:
    if name not in retrieval.request:
        raise UnknownName.among("request field", name, retrieval.request, of=repr(retrieval.model), where=where)
    if retrieval.request[name] not in ("int64", "float64"):
        got = retrieval.request[name]
        raise SchemaError(f"the request field {name!r} is not a number", where=where, got=got, expected="a number")


def _rows(offer: Candidates, table: str, types: Mapping[str, str], stored: Stored) -> Columns:
    """Return the offered rows: by `by`, the highest first, and by key. Raises `Unavailable` for more than `limit`
    without an order, and for a key that repeats or is null."""
    found = stored(table, list(dict.fromkeys((*types, *([offer.by] if offer.by else [])))))
    if offer.by is None and found.num_rows > offer.limit:
        raise Unavailable(
            f"{table!r} has more rows than are offered",
            where=str(offer.origin),
            got=f"{found.num_rows:,} rows",
            expected=f"up to {offer.limit:,}",
            hint='by="popularity" offers the highest, or a larger limit=',
        )
    order = ([(offer.by, "descending", "at_end")] if offer.by else []) + [(offer.key, "ascending", "at_end")]
    keys = [(name, direction) for name, direction, _place in order]
    return _offered(offer, table, types, found.sort_by(keys).slice(0, offer.limit))


def _offered(offer: Candidates, table: str, types: Mapping[str, str], chosen: pa.Table) -> Columns:
    """Return rows as columns. Raises `Unavailable` for a key that repeats or is null."""
    names = chosen[offer.key].to_pylist()
    if len(set(names)) < len(names) or None in names:
        raise Unavailable(
            f"{table!r} offers a candidate twice, or one without a key",
            where=str(offer.origin),
            expected=f"one row for each {offer.key!r}",
        )
    schema = ibis.schema(dict(types)).to_pyarrow()
    return {name: values_of(chosen[name].cast(schema.field(name).type)) for name in types}
