"""Aggregations that need the events of a window themselves: their partials are lists, exact whatever their size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mainstem.errors import DefinitionError
from mainstem.features.algebra.calculus import Calculus, Events
from mainstem.features.algebra.core import LISTED, NUMERIC, ORDERED, Aggregation, Partial, Span, register


class Collected(Aggregation):
    """One whose partial is the list of all values."""

    running = False

    def lift(self, events: Events) -> Partial:
        return (events.sorted(),)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.merged(a[0], b[0]),)


@dataclass(frozen=True)
class Shortlist(Collected):
    """A list of at most `k` values; item 0 is what the word without `k` gives."""

    k: int
    takes = LISTED

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 1:
            raise DefinitionError(f"`k` of {self.name} must be positive", got=repr(self.k), expected="k of 1 or more")

    def type(self, argument: str) -> str:
        return f"array<{argument}>"


@dataclass(frozen=True)
class Foremost(Shortlist):
    """The first items of a list."""

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.head(c.merged(a[0], b[0]), self.k),)


@dataclass(frozen=True)
class Hindmost(Shortlist):
    """The last items of a list, the last one first."""

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return (c.tail(c.merged(a[0], b[0]), self.k),)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.turned(partial[0])


@register
@dataclass(frozen=True)
class FirstK(Foremost):
    """The values of the first events, from the first on."""

    name = "first_k"

    def lift(self, events: Events) -> Partial:
        return (events.earliest(self.k),)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.values(partial[0])


@register
@dataclass(frozen=True)
class LastK(Hindmost):
    """The values of the last events, from the last on."""

    name = "last_k"

    def lift(self, events: Events) -> Partial:
        return (events.latest(self.k),)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.values(super().finalize(c, partial, span))


@register
@dataclass(frozen=True)
class BottomK(Foremost):
    """The least values, from the least on."""

    name = "bottom_k"

    def lift(self, events: Events) -> Partial:
        return (events.head(events.sorted(), self.k),)


@register
@dataclass(frozen=True)
class TopK(Hindmost):
    """The greatest values, from the greatest on."""

    name = "top_k"

    def lift(self, events: Events) -> Partial:
        return (events.tail(events.sorted(), self.k),)


@register
@dataclass(frozen=True)
class NUnique(Collected):
    """How many different values; 0 for none."""

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
    """The value below which the share `q` is, between two values in proportion (definition 7 of Hyndman and Fan)."""

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
    """The value that occurs most often, of several the greatest."""

    name = "mode"
    takes = ORDERED

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.commonest(partial[0])
