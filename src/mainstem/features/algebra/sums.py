"""Additive aggregations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mainstem.errors import DefinitionError
from mainstem.features.algebra.calculus import Calculus, Events
from mainstem.features.algebra.core import ORDERED, Aggregation, Partial, Span, register


class Additive(Aggregation):
    """The base of aggregations whose partials are added, part by part."""

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return tuple(left + right for left, right in zip(a, b, strict=True))


@register
@dataclass(frozen=True)
class Count(Additive):
    """The number of values; 0 without values."""

    name = "count"
    takes = ORDERED
    asks = frozenset()

    def type(self, argument: str) -> str:
        return "int64"

    def lift(self, events: Events) -> Partial:
        return (events.count(),)


@register
@dataclass(frozen=True)
class Sum(Additive):
    """The sum, exact for integers."""

    name = "sum"

    def lift(self, events: Events) -> Partial:
        return events.count(), events.sum(events.x)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        count, total = partial
        return c.when(count > 0, total)


@register
@dataclass(frozen=True)
class Mean(Sum):
    name = "mean"

    def type(self, argument: str) -> str:
        return "float64"

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        count, total = partial
        return c.when(count > 0, c.share(total, count))


@register
@dataclass(frozen=True)
class Share(Mean):
    """The share of events for which a condition holds."""

    name = "share"
    takes = frozenset({"boolean"})


def _whole(edge: float) -> float:
    """Return an edge as an integer if it is one. Integers of more than 53 bits must not be compared as floats."""
    return int(edge) if isinstance(edge, float) and edge.is_integer() and abs(edge) < 2**63 else edge


@register
@dataclass(frozen=True)
class Histogram(Additive):
    """The number of values below the first edge, from each edge up to the next, and from the last one on."""

    edges: tuple[float, ...]
    name = "histogram"

    def __post_init__(self) -> None:
        numbers = all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in self.edges)
        if not self.edges or not numbers or any(not low < high for low, high in pairwise(self.edges)):
            raise DefinitionError(
                "the edges of a histogram must increase", got=str(list(self.edges)), expected="such as [0, 15]"
            )

    def type(self, argument: str) -> str:
        return "array<int64>"

    def lift(self, events: Events) -> Partial:
        edges = [events.number(_whole(edge)) for edge in self.edges]
        inner = (events.sum((events.x >= low) & (events.x < high)) for low, high in pairwise(edges))
        return events.sum(events.x < edges[0]), *inner, events.sum(events.x >= edges[-1])

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.listed(partial)
