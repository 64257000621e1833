"""The reductions that Ibis has no word for, and what else can be said of one: pure declarations.

recent=ms.last_k(_.dep_delay, 3)
trend=ms.windowed(ms.slope(_.dep_delay, per="1h"), "6h", "7d")
delay=ms.by(_.carrier, ["UA", "AA"], _.dep_delay.mean())
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mainstem.errors import DefinitionError
from mainstem.nodes.base import Deferred, Origin, refused, several
from mainstem.nodes.durations import microseconds


@dataclass(frozen=True, eq=False)
class Aggregate:
    """The aggregation `name` of `argument` (None: of the rows) and perhaps a second one, `by`, where `where` holds."""

    name: str
    argument: Deferred = None
    by: Deferred = None
    where: Deferred = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Windowed:
    """A reduction over windows of its own."""

    reduction: Reduction
    windows: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class By:
    """A reduction over the rows of each level of a column: as many features as levels."""

    column: Deferred
    levels: tuple[Any, ...]
    reduction: Reduction


Reduction = Deferred | Aggregate | Windowed | By


def has_windows(reduction: Reduction) -> bool:
    """Whether a reduction says its windows itself."""
    return isinstance(reduction, Windowed) or (isinstance(reduction, By) and has_windows(reduction.reduction))


def windowed(reduction: Reduction, *windows: str) -> Windowed:
    """`reduction` over these windows instead of the view's: `ms.windowed(_.delay.mean(), "10min", "30d")`."""
    if not windows:
        raise DefinitionError(
            "ms.windowed requires a window", where=str(Origin.of_caller()), hint='ms.windowed(…, "1h")'
        )
    for text in windows:
        if not isinstance(text, str):
            raise refused(
                "each window of ms.windowed must be an argument of its own",
                text,
                'durations: ms.windowed(…, "10min", "30d")',
            )
        microseconds(text, str(Origin.of_caller()))
    return Windowed(reduction, windows)


def by(column: Deferred, levels: Iterable[Any], reduction: Reduction) -> By:
    """`reduction` for each of some levels of a column: `delay` becomes `delay_UA` and `delay_AA`."""
    listed = several(levels)
    if not listed:
        raise refused("ms.by requires a list of levels", levels, 'at least one: ms.by(_.carrier, ["UA", "AA"], …)')
    return By(column, tuple(map(plain, listed)), reduction)


def aggregate(
    name: str, argument: Deferred = None, /, *, by: Deferred = None, where: Deferred = None, **parameters: Any
) -> Aggregate:
    """An aggregation by the name under which it is registered, with its parameters."""
    return Aggregate(name, argument, by, where, {key: plain(value) for key, value in parameters.items()})


def plain(value: Any) -> Any:
    """A parameter in Python's own numbers and tuples, whatever library's it was given in."""
    if hasattr(type(value), "tolist"):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value


def first_k(argument: Deferred, k: int, *, where: Deferred = None) -> Aggregate:
    """The values of the first `k` events that have one, from the first on."""
    return aggregate("first_k", argument, where=where, k=k)


def last_k(argument: Deferred, k: int, *, where: Deferred = None) -> Aggregate:
    """The values of the last `k` events that have one, from the last on."""
    return aggregate("last_k", argument, where=where, k=k)


def top_k(argument: Deferred, k: int, *, where: Deferred = None) -> Aggregate:
    """The `k` greatest values, from the greatest on."""
    return aggregate("top_k", argument, where=where, k=k)


def bottom_k(argument: Deferred, k: int, *, where: Deferred = None) -> Aggregate:
    """The `k` least values, from the least on."""
    return aggregate("bottom_k", argument, where=where, k=k)


def histogram(argument: Deferred, edges: Iterable[float], *, where: Deferred = None) -> Aggregate:
    """How many values are below the first edge, from each edge up to the next, and from the last edge on."""
    listed, expected = several(edges), "numbers in rising order: [0, 15, 60]"
    if listed is None:
        raise refused("ms.histogram requires a list of edges", edges, expected)
    for edge in map(plain, listed):
        if isinstance(edge, bool) or not isinstance(edge, (int, float)):
            raise refused("an edge of a histogram is not a number", edge, expected)
    return aggregate("histogram", argument, where=where, edges=listed)


def share(condition: Deferred, *, where: Deferred = None) -> Aggregate:
    """The share of rows for which a condition holds, of those where it is not null."""
    return aggregate("share", condition, where=where)


def skew(argument: Deferred, *, how: Literal["sample", "pop"] = "sample", where: Deferred = None) -> Aggregate:
    """How lopsided the values are: G₁ of a sample, g₁ of a population."""
    return aggregate("skew", argument, where=where, how=how)


def ewma(argument: Deferred, half_life: str, *, where: Deferred = None) -> Aggregate:
    """The mean with weights that halve with every `half_life` of age."""
    return aggregate("ewma", argument, where=where, half_life=half_life)


def slope(argument: Deferred, per: str = "1h", *, where: Deferred = None) -> Aggregate:
    """How much the values rise in each `per`: the line of least squares over the time of their events."""
    return aggregate("slope", argument, where=where, per=per)


def time_since_last(argument: Deferred = None, *, where: Deferred = None) -> Aggregate:
    """Seconds since the last row, or the last that has a value."""
    return aggregate("time_since_last", argument, where=where)


def rate(argument: Deferred = None, per: str = "1h", *, where: Deferred = None) -> Aggregate:
    """How many rows, or values, there are in each `per` of the window."""
    return aggregate("rate", argument, where=where, per=per)
