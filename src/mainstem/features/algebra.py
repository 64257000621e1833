"""The algebra: every aggregation as a partial (a tuple), one joint merge and a finalizer.

    lift       the events of one stretch of time → a partial
    merge      the partials of two stretches → that of both; associative and commutative
    finalize   a partial and the query's time → the feature's value

The offline query, the stream's state and the online read interpret these three methods and know no aggregation by name.
An aggregation of one's own is a class with these methods and a call of `register`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from mainstem.errors import UnknownName
from mainstem.features.calculus import Calculus, Events

Partial = tuple[Any, ...]

NUMERIC = frozenset({"int64", "float64"})
ORDERED = frozenset({"int64", "float64", "boolean", "string", "timestamp('UTC', 6)"})


class Aggregation(Protocol):
    """What a window is reduced to. `empty` is the value of a window without events.

    `takes` are the argument's types that it understands: booleans are 0 and 1 where only numbers are taken.
    One that uses `Events.reference` says so by `centred`.
    """

    name: ClassVar[str]
    takes: ClassVar[frozenset[str]]
    empty: ClassVar[Any]
    centred: ClassVar[bool]

    def type(self, argument: str) -> str:
        """The Ibis type of the result, given the argument's."""

    def lift(self, events: Events) -> Partial: ...

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial: ...

    def finalize(self, c: Calculus, partial: Partial, t: Any) -> Any: ...


AGGREGATIONS: dict[str, Aggregation] = {}


def register(aggregation: Aggregation) -> Aggregation:
    """Make an aggregation known to every interpreter under its name."""
    AGGREGATIONS[aggregation.name] = aggregation
    return aggregation


def aggregation(name: str) -> Aggregation:
    """The aggregation of that name. Raises `UnknownName`."""
    if name not in AGGREGATIONS:
        raise UnknownName.among("aggregation", name, AGGREGATIONS)
    return AGGREGATIONS[name]


@dataclass(frozen=True)
class Count:
    """How many values; 0 for none."""

    name: ClassVar[str] = "count"
    takes: ClassVar[frozenset[str]] = ORDERED
    empty: ClassVar[Any] = 0
    centred: ClassVar[bool] = False

    def type(self, argument: str) -> str:
        return "int64"

    def lift(self, events: Events) -> Partial:
        return (events.count(),)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (a[0] + b[0],)

    def finalize(self, c: Calculus, partial: Partial, t: Any) -> Any:
        return partial[0]


@dataclass(frozen=True)
class Sum:
    """Exact for integers."""

    name: ClassVar[str] = "sum"
    takes: ClassVar[frozenset[str]] = NUMERIC
    empty: ClassVar[Any] = None
    centred: ClassVar[bool] = False

    def type(self, argument: str) -> str:
        return argument

    def lift(self, events: Events) -> Partial:
        return events.count(), events.sum(events.x)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return a[0] + b[0], a[1] + b[1]

    def finalize(self, c: Calculus, partial: Partial, t: Any) -> Any:
        count, total = partial
        return c.when(count > 0, total)


@dataclass(frozen=True)
class Mean(Sum):
    name: ClassVar[str] = "mean"

    def type(self, argument: str) -> str:
        return "float64"

    def finalize(self, c: Calculus, partial: Partial, t: Any) -> Any:
        count, total = partial
        return c.when(count > 0, c.share(total, count))


@dataclass(frozen=True)
class Min:
    name: ClassVar[str] = "min"
    takes: ClassVar[frozenset[str]] = ORDERED
    empty: ClassVar[Any] = None
    centred: ClassVar[bool] = False

    def type(self, argument: str) -> str:
        return argument

    def lift(self, events: Events) -> Partial:
        return (events.min(),)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.least(a[0], b[0]),)

    def finalize(self, c: Calculus, partial: Partial, t: Any) -> Any:
        return partial[0]


@dataclass(frozen=True)
class Max(Min):
    name: ClassVar[str] = "max"

    def lift(self, events: Events) -> Partial:
        return (events.max(),)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.greatest(a[0], b[0]),)


@dataclass(frozen=True)
class Last(Min):
    """The value of the last event that has one, in the order `(u, order_by, _seq, value)`."""

    name: ClassVar[str] = "last"

    def lift(self, events: Events) -> Partial:
        return (events.last(),)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.greatest(a[0], b[0]),)

    def finalize(self, c: Calculus, partial: Partial, t: Any) -> Any:
        return c.value(partial[0])


@dataclass(frozen=True)
class Variance:
    """Count, mean and sum of squared deviations, merged after Chan, Golub and LeVeque (1983).

    The mean is kept in two parts, a value and an offset from it: near 1e9 a mean in one float has lost half its digits.
    `lift` is their two-pass algorithm with its correction term, about a reference instead of the mean where an engine
    cannot know the mean in advance. Equal values have a variance of exactly 0.
    """

    sample: bool = True
    name: ClassVar[str] = "var"
    takes: ClassVar[frozenset[str]] = NUMERIC
    empty: ClassVar[Any] = None
    centred: ClassVar[bool] = True

    def type(self, argument: str) -> str:
        return "float64"

    def lift(self, events: Events) -> Partial:
        count, low, high = events.count(), events.min(), events.max()
        deviation = events.deviation * 1.0
        total, squares = events.sum(deviation), events.sum(deviation * deviation)
        constant = low == high
        about = events.when(count > 0, events.when(constant, low, events.reference), 0)
        offset = events.when(constant, 0.0, events.share(total, count))
        return count, about, offset, events.difference(squares, events.share(total * total, count), zero=constant)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        count, about = a[0] + b[0], c.when(a[0] > 0, a[1], b[1])
        left, right = (a[1] - about) + a[2], (b[1] - about) + b[2]
        apart = right - left
        offset = left + apart * c.share(b[0], count)
        return count, about, offset, a[3] + b[3] + apart * apart * c.share(a[0] * b[0], count)

    def finalize(self, c: Calculus, partial: Partial, t: Any) -> Any:
        count, *_, squares = partial
        freedom = count - (1 if self.sample else 0)
        return c.when(freedom > 0, c.share(squares, freedom))


@dataclass(frozen=True)
class Deviation(Variance):
    name: ClassVar[str] = "std"

    def finalize(self, c: Calculus, partial: Partial, t: Any) -> Any:
        return c.root(super().finalize(c, partial, t))


@dataclass(frozen=True)
class PopulationVariance(Variance):
    sample: bool = False
    name: ClassVar[str] = "var_pop"


@dataclass(frozen=True)
class PopulationDeviation(Deviation):
    sample: bool = False
    name: ClassVar[str] = "std_pop"


for each in (
    Count(),
    Sum(),
    Mean(),
    Min(),
    Max(),
    Last(),
    Variance(),
    Deviation(),
    PopulationVariance(),
    PopulationDeviation(),
):
    register(each)
