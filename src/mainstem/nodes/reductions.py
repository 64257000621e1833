"""Reductions that Ibis does not have, and reductions with their own windows or levels: pure declarations.

recent=ms.last_k(_.dep_delay, 3)
trend=ms.windowed(ms.slope(_.dep_delay, per="1h"), "6h", "7d")
delay=ms.by(_.carrier, ["UA", "AA"], _.dep_delay.mean())
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from mainstem.errors import DefinitionError
from mainstem.nodes.base import Deferred, Origin, refused, several
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import (
    Kind,
    anything,
    calculation,
    constants,
    durations,
    expression,
    integer,
    mapping,
    optional,
    positive_duration,
    text,
    word,
)


@dataclass(frozen=True, eq=False)
class Aggregate:
    """The aggregation `name` of `argument` (None: of the rows), perhaps with a second argument `by`, over rows of
    `where`."""

    name: str
    argument: Deferred = None
    by: Deferred = None
    where: Deferred = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Windowed:
    """A reduction over its own windows."""

    reduction: Reduction
    windows: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class By:
    """A reduction over the rows of each level of a column. It makes one feature per level."""

    column: Deferred
    levels: tuple[Any, ...]
    reduction: Reduction


Reduction = Deferred | Aggregate | Windowed | By


def has_windows(reduction: Reduction) -> bool:
    """Return whether a reduction sets its own windows."""
    return isinstance(reduction, Windowed) or (isinstance(reduction, By) and has_windows(reduction.reduction))


_ARGUMENT = expression()
_WHERE: Kind = optional(expression())
_REDUCTION = calculation(Aggregate, Windowed, By)


@declared(reduction=_REDUCTION, windows=anything)
def windowed(reduction: Reduction, *windows: str) -> Windowed:
    """Compute `reduction` over these windows instead of the view's: `ms.windowed(_.delay.mean(), "10min", "30d")`."""
    if not windows:
        raise DefinitionError(
            "ms.windowed requires a window", where=str(Origin.of_caller()), hint='ms.windowed(…, "1h")'
        )
    for each in windows:
        if not isinstance(each, str):
            raise refused(
                "ms.windowed takes each window as a separate argument",
                each,
                'durations: ms.windowed(…, "10min", "30d")',
            )
    durations()("windows", windows)
    return Windowed(reduction, windows)


@declared(column=_ARGUMENT, levels=anything, reduction=_REDUCTION)
def by(column: Deferred, levels: Iterable[Any], reduction: Reduction) -> By:
    """Compute `reduction` for each of some levels of a column: `delay` becomes `delay_UA` and `delay_AA`."""
    listed = several(levels)
    if not listed:
        raise refused("ms.by requires a list of levels", levels, 'at least one: ms.by(_.carrier, ["UA", "AA"], …)')
    constants("levels", list(map(plain, listed)))
    return By(column, tuple(map(plain, listed)), reduction)


@declared(name=text, argument=optional(_ARGUMENT), by=optional(_ARGUMENT), where=_WHERE, parameters=mapping(anything))
def aggregate(
    name: str, argument: Deferred = None, /, *, by: Deferred = None, where: Deferred = None, **parameters: Any
) -> Aggregate:
    """Return an aggregation by its registered name, with its parameters."""
    return Aggregate(name, argument, by, where, {key: plain(value) for key, value in parameters.items()})


def plain(value: Any) -> Any:
    """Return a parameter as Python numbers and tuples, whatever library it comes from."""
    if hasattr(type(value), "tolist"):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value


@declared(argument=_ARGUMENT, k=integer(1), where=_WHERE)
def first_k(argument: Deferred, k: int, *, where: Deferred = None) -> Aggregate:
    """Return the values of the first `k` events that have one, in order."""
    return aggregate("first_k", argument, where=where, k=k)


@declared(argument=_ARGUMENT, k=integer(1), where=_WHERE)
def last_k(argument: Deferred, k: int, *, where: Deferred = None) -> Aggregate:
    """Return the values of the last `k` events that have one, latest first."""
    return aggregate("last_k", argument, where=where, k=k)


@declared(argument=_ARGUMENT, k=integer(1), where=_WHERE)
def top_k(argument: Deferred, k: int, *, where: Deferred = None) -> Aggregate:
    """Return the `k` greatest values in descending order."""
    return aggregate("top_k", argument, where=where, k=k)


@declared(argument=_ARGUMENT, k=integer(1), where=_WHERE)
def bottom_k(argument: Deferred, k: int, *, where: Deferred = None) -> Aggregate:
    """Return the `k` least values in ascending order."""
    return aggregate("bottom_k", argument, where=where, k=k)


@declared(argument=_ARGUMENT, edges=anything, where=_WHERE)
def histogram(argument: Deferred, edges: Iterable[float], *, where: Deferred = None) -> Aggregate:
    """Count the values per bucket: below the first edge, between two edges (lower one included), from the
    last edge on."""
    listed, expected = several(edges), "numbers in rising order: [0, 15, 60]"
    if listed is None:
        raise refused("ms.histogram requires a list of edges", edges, expected)
    for edge in map(plain, listed):
        if isinstance(edge, bool) or not isinstance(edge, (int, float)):
            raise refused("every edge of a histogram must be a number", edge, expected)
    if not listed or any(later <= edge or edge != edge for edge, later in pairwise([*listed, float("inf")])):
        raise refused("the edges of a histogram are not in rising order", edges, expected)
    return aggregate("histogram", argument, where=where, edges=listed)


@declared(condition=_ARGUMENT, where=_WHERE)
def share(condition: Deferred, *, where: Deferred = None) -> Aggregate:
    """Return the share of rows for which a condition holds, among the rows where it is not null."""
    return aggregate("share", condition, where=where)


@declared(argument=_ARGUMENT, how=word("sample", "pop"), where=_WHERE)
def skew(argument: Deferred, *, how: Literal["sample", "pop"] = "sample", where: Deferred = None) -> Aggregate:
    """Return the skewness of the values: G₁ of a sample, g₁ of a population."""
    return aggregate("skew", argument, where=where, how=how)


@declared(argument=_ARGUMENT, half_life=positive_duration, where=_WHERE)
def ewma(argument: Deferred, half_life: str, *, where: Deferred = None) -> Aggregate:
    """Return the mean with weights that halve with every `half_life` of age."""
    return aggregate("ewma", argument, where=where, half_life=half_life)


@declared(argument=_ARGUMENT, per=positive_duration, where=_WHERE)
def slope(argument: Deferred, per: str = "1h", *, where: Deferred = None) -> Aggregate:
    """Return the increase of the values in each `per`: the least-squares slope over event time."""
    return aggregate("slope", argument, where=where, per=per)


@declared(argument=optional(_ARGUMENT), where=_WHERE)
def time_since_last(argument: Deferred = None, *, where: Deferred = None) -> Aggregate:
    """Return the seconds since the last row, or since the last row with a value."""
    return aggregate("time_since_last", argument, where=where)


@declared(argument=optional(_ARGUMENT), per=positive_duration, where=_WHERE)
def rate(argument: Deferred = None, per: str = "1h", *, where: Deferred = None) -> Aggregate:
    """Return the number of rows, or of values, in each `per` of the window."""
    return aggregate("rate", argument, where=where, per=per)
