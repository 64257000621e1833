"""What a decision chooses from: rows of a table, a list of keys, or steps of a grid. The server expands them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mainstem.nodes.base import Deferred, NodeRef, Origin, refused
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import a, calculation, column, integer, is_number, mapping, node, optional, text, word

MOST = 10_000
"""The most candidates of one request."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Offer:
    """The candidates of a request."""

    origin: Origin = field(default_factory=Origin.of_caller)

    @property
    def read(self) -> tuple[NodeRef, ...]:
        """What the offer reads."""
        return ()


@dataclass(frozen=True, eq=False)
class Requested:
    """A `field` of a request that has a list."""

    field: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Listed(Offer):
    """The keys in a list, up to `limit`: that of a `field` of the request, or of the feature or the column `of` of a
    `source`, a view or a table whose key the request has. Those that `without` has are removed."""

    key: str
    limit: int
    field: str | None = None
    source: NodeRef | None = None
    of: str | None = None
    without: NodeRef | None = None

    @property
    def read(self) -> tuple[NodeRef, ...]:
        return tuple(each for each in (self.source, self.without) if each is not None)


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidates(Offer):
    """The rows of `table`, each with its `key`: up to `limit`, those with the highest `by` first.

    Those that `without` has, a view or a table, are removed.
    """

    table: NodeRef
    key: str
    limit: int
    by: str | None = None
    without: NodeRef | None = None

    @property
    def read(self) -> tuple[NodeRef, ...]:
        return (self.table, *(() if self.without is None else (self.without,)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Neighbours(Candidates):
    """The rows of `table` whose vectors in the column `embedding` are nearest to that of a request, the nearest first.

    The vector of a request is in the row of the table `to` whose key the request has, or in that of `table` whose key
    is in the request's field `like`.
    """

    embedding: str
    to: NodeRef | None = None
    like: str | None = None
    measure: Literal["cosine", "dot"] = "cosine"

    @property
    def read(self) -> tuple[NodeRef, ...]:
        return (*super().read, *(() if self.to is None else (self.to,)))


@dataclass(frozen=True, eq=False)
class Steps:
    """Numbers from `low` to `high`, both included, `step` apart. Each is a number, or an expression over the request
    and features."""

    low: Deferred
    high: Deferred
    step: Deferred


@dataclass(frozen=True, eq=False, kw_only=True)
class Grid(Offer):
    """Every combination of the steps of some request fields."""

    steps: Mapping[str, Steps]


def _bound(name: str, value: Any) -> None:
    if not is_number(value):
        calculation()(name, value)


def _rows_or_list(name: str, value: Any) -> None:
    if not isinstance(value, Requested):
        node(name, value)


@declared(
    table=_rows_or_list, key=column, limit=integer(1), by=optional(text), of=optional(column), without=optional(node)
)
def candidates(
    table: NodeRef | Requested,
    *,
    key: str,
    limit: int = 500,
    by: str | None = None,
    of: str | None = None,
    without: NodeRef | None = None,
) -> Candidates | Listed:
    """Offer the rows of a table: `key` names the request field that tells them apart, such as `movie`.

    Columns of the table replace request fields of the same name, and `decide` may read all of them. The highest `by`
    comes first. `ms.request("movies")` in place of a table offers the keys in a list that the request has. `of` names a
    feature of a view, or a column of a table, that is a list: the keys in that of the request are offered. `without` is
    a feature view or a table with the key `[viewer, movie]`, say: a candidate that it has for the request is removed. A
    view is read at the moment of the request, a table is that of the live release.
    Raises `DefinitionError` for a `limit` above 10,000, and for an order of a list.
    """
    _check_limit(limit)
    if not isinstance(table, Requested) and of is None:
        return Candidates(table=table, key=key, limit=limit, by=by, without=without)
    if by is not None:
        raise refused("a list of candidates has its own order", f"by={by!r}", "no `by`")
    if not isinstance(table, Requested):
        return Listed(key=key, limit=limit, source=table, of=of, without=without)
    if of is not None:
        raise refused("`of` names a list of a view or a table", f"ms.request({table.field!r})", "a view or a table")
    if table.field == key:
        raise refused("the list and `key` are two fields", key, f'ms.request("{key}s"), say')
    return Listed(key=key, limit=limit, field=table.field, without=without)


@declared(field=column)
def request(field: str) -> Requested:
    """Name a field of requests that has a list of keys, for `ms.candidates(ms.request("movies"), key="movie")`."""
    return Requested(field)


@declared(
    table=node,
    key=column,
    by=column,
    to=optional(node),
    like=optional(column),
    limit=integer(1),
    measure=word("cosine", "dot"),
    without=optional(node),
)
def neighbours(
    table: NodeRef,
    *,
    key: str,
    by: str,
    to: NodeRef | None = None,
    like: str | None = None,
    limit: int = 200,
    measure: Literal["cosine", "dot"] = "cosine",
    without: NodeRef | None = None,
) -> Neighbours:
    """Offer the rows of a table whose vectors, in its column `by`, are nearest to the vector of the request.

    That vector is in the source or table `to`, whose key the request has as fields: in its column that is a list of
    numbers. Or `like` names the field of the request that has the key of a row: its neighbours are offered, and not
    itself. Tables are those of the live release, and the search is exact. `key`, `limit` and `without` are those of
    `ms.candidates`. Raises `DefinitionError` for a `limit` above 10,000, and unless one of `to` and `like` is given.
    """
    _check_limit(limit)
    if (to is None) == (like is None):
        raise refused("neighbours of one vector are offered", "both" if to else None, "one of `to` and `like`")
    return Neighbours(
        table=table, key=key, limit=limit, without=without, embedding=by, to=to, like=like, measure=measure
    )


def _check_limit(limit: int) -> None:
    if limit > MOST:
        raise refused("`limit` is too large", limit, f"up to {MOST:,}")


@declared(low=_bound, high=_bound, step=_bound)
def steps(low: Deferred, high: Deferred, step: Deferred) -> Steps:
    """Return numbers from `low` to `high`, `step` apart, for `ms.grid`.

    A bound may be an expression over the request and features that do not depend on the grid's fields.
    """
    return Steps(low, high, step)


@declared(fields=mapping(a(Steps, "ms.steps(5, 10, 0.5)"), at_least=1))
def grid(**fields: Steps) -> Grid:
    """Offer numbers for request fields, such as `price=ms.steps(_.cost * 1.1, _.cost * 2, 0.05)`; of several fields,
    every combination."""
    return Grid(steps=dict(fields))
