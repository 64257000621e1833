"""Aggregations that need the events of a window. Their partials are lists, which are exact at any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mainstem.errors import DefinitionError
from mainstem.features.algebra.calculus import Calculus, Events
from mainstem.features.algebra.core import LISTED, NUMERIC, ORDERED, Aggregation, Partial, Span, register

LONGEST_KEPT = 32
"""The longest lists of which online reads keep partials: a view has thousands of them in memory."""


class Collected(Aggregation):
    """The base of aggregations whose partial is the list of all values."""

    running = False

    def lift(self, events: Events) -> Partial:
        return (events.sorted(),)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.merged(a[0], b[0]),)


@dataclass(frozen=True)
class Shortlist(Collected):
    """A list of at most `k` values. Its item 0 is the result of the aggregation without `k`."""

    k: int
    takes = LISTED

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 1:
            raise DefinitionError(f"`k` of {self.name} must be positive", got=repr(self.k), expected="k of 1 or more")

    @property
    def is_summarised(self) -> bool:
        return self.k <= LONGEST_KEPT

    def type(self, argument: str) -> str:
        return f"array<{argument}>"


@dataclass(frozen=True)
class Foremost(Shortlist):
    """The first items of a list."""

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.head(c.merged(a[0], b[0]), self.k),)


@dataclass(frozen=True)
class Hindmost(Shortlist):
    """The last items of a list, in reverse order."""

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.tail(c.merged(a[0], b[0]), self.k),)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.turned(partial[0])


@register
@dataclass(frozen=True)
class FirstK(Foremost):
    """The values of the first events, in order."""

    name = "first_k"

    def lift(self, events: Events) -> Partial:
        return (events.earliest(self.k),)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.values(partial[0])


@register
@dataclass(frozen=True)
class LastK(Hindmost):
    """The values of the last events, latest first."""

    name = "last_k"

    def lift(self, events: Events) -> Partial:
        return (events.latest(self.k),)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.values(super().finalize(c, partial, span))


@register
@dataclass(frozen=True)
class BottomK(Foremost):
    """The smallest values, in ascending order."""

    name = "bottom_k"

    def lift(self, events: Events) -> Partial:
        return (events.head(events.sorted(), self.k),)


@register
@dataclass(frozen=True)
class TopK(Hindmost):
    """The greatest values, in descending order."""

    name = "top_k"

    def lift(self, events: Events) -> Partial:
        return (events.tail(events.sorted(), self.k),)


@register
@dataclass(frozen=True)
class NUnique(Collected):
    """The number of different values; 0 without values."""

    name = "n_unique"
    takes = ORDERED

    def type(self, argument: str) -> str:
        return "int64"

    def lift(self, events: Events) -> Partial:
        return (events.unique(),)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.distinct(c.merged(a[0], b[0])),)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.size(partial[0])


@register
@dataclass(frozen=True)
class Quantile(Collected):
    """The `q` quantile, interpolated between two values (definition 7 of Hyndman and Fan)."""

    q: float = 0.5
    name = "quantile"
    takes = NUMERIC

    def __post_init__(self) -> None:
        if not 0 <= self.q <= 1:
            raise DefinitionError(
                "`q` of a quantile must be between 0 and 1", got=str(self.q), expected="q between 0 and 1"
            )

    def type(self, argument: str) -> str:
        return "float64"

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        (values,) = partial
        last = c.greatest(c.size(values) - 1, 0)
        place = c.number(float(self.q)) * last
        below = c.floor(place)
        above = c.least(below + 1, last)
        return c.between(c.item(values, below), c.item(values, above), place - below)


@register
@dataclass(frozen=True)
class Mode(Collected):
    """The most frequent value; the greatest of several."""

    name = "mode"
    takes = ORDERED

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.commonest(partial[0])
