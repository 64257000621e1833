"""What a decision chooses from: the rows of a table, or the steps of a grid. The server expands them for a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstem.nodes.base import Deferred, NodeRef, Origin, refused
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import a, calculation, column, integer, is_number, mapping, node, optional, text

MOST = 10_000
"""The most candidates of one request."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Offer:
    """The candidates of a request."""

    origin: Origin = field(default_factory=Origin.of_caller)


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidates(Offer):
    """The rows of `table`, each with its `key`: up to `limit`, those with the highest `by` first."""

    table: NodeRef
    key: str
    limit: int
    by: str | None = None


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


@declared(table=node, key=column, limit=integer(1), by=optional(text))
def candidates(table: NodeRef, *, key: str, limit: int = 500, by: str | None = None) -> Candidates:
    """Offer the rows of a table: `key` names the request field that tells them apart, such as `movie`.

    Columns of the table replace request fields of the same name, and `decide` may read all of them. The highest `by`
    comes first. Raises `DefinitionError` for a `limit` above 10,000.
    """
    if limit > MOST:
        raise refused("`limit` is too large", limit, f"up to {MOST:,}")
    return Candidates(table=table, key=key, limit=limit, by=by)


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
