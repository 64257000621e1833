"""Aggregations that select one value: by size, by the order of events, or by another column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mainstem.features.algebra.calculus import Calculus, Events
from mainstem.features.algebra.core import ORDERED, Aggregation, Partial, Span, register


class Least(Aggregation):
    """The base of aggregations whose partial is the smaller of two."""

    takes = ORDERED

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.least(a[0], b[0]),)


class Greatest(Aggregation):
    """The base of aggregations whose partial is the greater of two."""

    takes = ORDERED

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.greatest(a[0], b[0]),)


@register
@dataclass(frozen=True)
class Min(Least):
    name = "min"

    def lift(self, events: Events) -> Partial:
        return (events.min(),)


@register
@dataclass(frozen=True)
class Max(Greatest):
    name = "max"

    def lift(self, events: Events) -> Partial:
        return (events.max(),)


@register
@dataclass(frozen=True)
class First(Least):
    """The value of the first event that has one, in the order `(u, order_by, _seq, value)`."""

    name = "first"

    def lift(self, events: Events) -> Partial:
        return (events.first(),)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.value(partial[0])


@register
@dataclass(frozen=True)
class Last(Greatest):
    """The value of the last event that has one, in the same order."""

    name = "last"

    def lift(self, events: Events) -> Partial:
        return (events.last(),)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.value(partial[0])


@register
@dataclass(frozen=True)
class ArgMin(First):
    """The value where another column is smallest; for several such events the first."""

    name = "arg_min"
    asks = frozenset({"x", "by"})

    def lift(self, events: Events) -> Partial:
        return (events.lowest(),)


@register
@dataclass(frozen=True)
class ArgMax(Last):
    """The value where another column is greatest; for several such events the last."""

    name = "arg_max"
    asks = frozenset({"x", "by"})

    def lift(self, events: Events) -> Partial:
        return (events.highest(),)
