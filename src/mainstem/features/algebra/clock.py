"""Aggregations of time: recency, rates and trends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mainstem.errors import DefinitionError
from mainstem.features.algebra.calculus import Calculus, Events
from mainstem.features.algebra.core import ORDERED, Aggregation, Partial, Span, register
from mainstem.features.algebra.moments import Joint, centred, equal
from mainstem.features.algebra.sums import Count
from mainstem.graph.units import SECOND
from mainstem.nodes.durations import microseconds

_FADED = 2.0**-600
"""Sums of weights below this have lost digits, or will lose them in a merge."""


def _length(text: str) -> float:
    found = microseconds(text)
    if found <= 0:
        raise DefinitionError(f"the duration {text!r} must be positive", expected="a duration above 0")
    return float(found)


@register
@dataclass(frozen=True)
class TimeSinceLast(Aggregation):
    """Seconds from the last event to the query."""

    name = "time_since_last"
    takes = ORDERED
    asks = frozenset()

    def type(self, argument: str) -> str:
        return "float64"

    def lift(self, events: Events) -> Partial:
        count = events.count()
        return count, events.when(count > 0, events.newest(), 0)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        return a[0] + b[0], _later(c, a, b)

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        count, newest = partial
        return c.when(count > 0, (span.t - newest) / SECOND)


@register
@dataclass(frozen=True)
class Rate(Count):
    """The number of values in each `per` of the window; 0 without values."""

    per: str = "1h"
    name = "rate"

    def __post_init__(self) -> None:
        _length(self.per)

    def type(self, argument: str) -> str:
        return "float64"

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.share(partial[0], (span.t - span.start) / c.number(_length(self.per)))


@register
@dataclass(frozen=True)
class Ewma(Aggregation):
    """The mean with weights that halve with every `half_life` of age.

    A partial is the sum of weights, the instant of weight 1, and the weighted sum of values.
    """

    half_life: str
    name = "ewma"
    asks = frozenset({"x", "origin"})

    def __post_init__(self) -> None:
        _length(self.half_life)

    def type(self, argument: str) -> str:
        return "float64"

    def lift(self, events: Events) -> Partial:
        count, weight = events.count(), events.halved(events.age / events.number(_length(self.half_life)))
        weights, total = events.sum(weight), events.sum(events.x * weight)
        events.doubt((count > 0) & ((weights < events.number(_FADED)) | (total * 0 != 0)))
        return weights, events.when(count > 0, events.origin, 0), total

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        origin, half_life = _later(c, a, b), c.number(_length(self.half_life))
        left, right = (c.when(p[0] > 0, c.halved((origin - p[1]) / half_life), 0.0) for p in (a, b))
        return a[0] * left + b[0] * right, origin, a[2] * left + b[2] * right

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        weights, _, total = partial
        return c.when(weights > 0, c.share(total, weights))


@register
@dataclass(frozen=True)
class Slope(Aggregation):
    """The increase of values in each `per`: the least-squares slope over time; null without two different instants.

    A partial is a count, the means of time and value (two parts each), the sum of squared deviations of time, and the
    sum of products of the deviations of time and value.
    """

    per: str = "1h"
    name = "slope"
    asks = frozenset({"x", "reference", "origin"})

    def __post_init__(self) -> None:
        _length(self.per)

    def type(self, argument: str) -> str:
        return "float64"

    def lift(self, events: Events) -> Partial:
        count, time, value = events.count(), -events.age, events.deviation
        times, values = ([count, events.sum(d), events.sum(d * d)] for d in (time, value))
        still = equal(events, times, events.oldest(), events.newest())
        level = equal(events, values, events.min(), events.max())
        *when, squares = centred(events, times, events.origin, still, events.oldest())
        *mean, _ = centred(events, values, events.reference, level, events.min())
        products = events.sum(time * value) - times[1] * events.share(values[1], count)
        return count, *when, *mean, squares, events.when(still | level, 0.0, products)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        n, m = a[0], b[0]
        time, value = Joint(c, n, a[1:3], m, b[1:3]), Joint(c, n, a[3:5], m, b[3:5])
        squares = a[5] + n * time.left * time.left + b[5] + m * time.right * time.right
        products = a[6] + n * time.left * value.left + b[6] + m * time.right * value.right
        return n + m, *time.mean, *value.mean, squares, products

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        *_, squares, products = partial
        return c.when(squares > 0, c.share(products, squares) * c.number(_length(self.per)))


def _later(c: Calculus, a: Partial, b: Partial) -> Any:
    """Return the later of the instants in two partials that begin with their weight. Empty partials are ignored."""
    return c.when(a[0] > 0, c.when(b[0] > 0, c.greatest(a[1], b[1]), a[1]), b[1])
