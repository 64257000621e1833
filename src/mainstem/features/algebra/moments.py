"""Aggregations of moments: the spread of values around their mean.

A mean is kept in two parts, a value and an offset from it, because near 1e9 a mean in one float loses half of its
digits. To merge sums of powers of deviations, the sums of both sides are moved to the joint mean: for the second power
as in Chan, Golub and LeVeque (1983), for all powers as in Pébay (2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, ClassVar, Literal

from mainstem.errors import DefinitionError
from mainstem.features.algebra.calculus import Calculus, Events
from mainstem.features.algebra.core import Aggregation, Partial, Span, register


def moved(sums: Sequence[Any], by: Any) -> list[Any]:
    """Convert the sums of powers `Σ dᵖ`, p = 0, 1, …, to those of `Σ (d + by)ᵖ`, by the binomial theorem."""
    powers, found = [by], [sums[0]]
    while len(powers) < len(sums) - 1:
        powers.append(powers[-1] * by)
    for p in range(1, len(sums)):
        total = sums[p]
        for k in range(1, p):
            total = total + comb(p, k) * (powers[k - 1] * sums[p - k])
        found.append(total + powers[p - 1] * sums[0])
    return found


def equal(events: Events, sums: Sequence[Any], low: Any, high: Any) -> Any:
    """Return whether all values are equal and finite. They then have no spread, despite rounding."""
    return events.when(sums[0] > 0, (low == high) & (sums[2] < events.number(math.inf)), True)


def centred(
    events: Events, sums: Sequence[Any], reference: Any, flat: Any, low: Any, digits: float = 1e-4
) -> tuple[Any, ...]:
    """Return the mean in two parts, and the sums of powers about it from p = 2 on.

    The input are sums of powers of deviations from `reference`.

    `flat` says whether all values are `low`. A sum of squares below the share `digits` of the terms that it is the
    difference of is marked as doubtful: too many of 16 digits are lost to keep 9.
    """
    count, total, squares, *_ = sums
    offset = events.share(total, count)
    _, _, own, *higher = moved(sums, -offset)
    events.doubt(events.when(flat, squares, own) < squares * digits)
    about = events.when(count > 0, events.when(flat, low, reference), 0)
    return about, *(events.when(flat, 0.0, each) for each in (offset, events.greatest(own, 0.0), *higher))


class Joint:
    """The joint mean of two ranges of `n` and `m` events with the means `a` and `b`, each in two parts.

    `left` and `right` are the differences of their means from it.
    """

    def __init__(self, c: Calculus, n: Any, a: Partial, m: Any, b: Partial) -> None:
        self.about = c.when(n > 0, a[0], b[0])
        theirs = (b[0] - self.about) + b[1]
        ours = c.when(n > 0, (a[0] - self.about) + a[1], theirs)
        apart = c.when(m > 0, theirs, ours) - ours
        self.left, self.right = -apart * c.share(m, n + m), apart * c.share(n, n + m)
        self.mean = self.about, ours - self.left


@dataclass(frozen=True)
class Moments(Aggregation):
    """Count, mean (two parts) and the sums of the 2nd to the `order`th powers of the deviations from it."""

    how: Literal["sample", "pop"] = "sample"
    order: ClassVar[int] = 2
    digits: ClassVar[float] = 1e-4
    asks = frozenset({"x", "reference"})

    def __post_init__(self) -> None:
        if self.how not in ("sample", "pop"):
            raise DefinitionError(f"`how` of {self.name} is invalid", got=self.how, expected="sample, pop")

    def type(self, argument: str) -> str:
        return "float64"

    def lift(self, events: Events) -> Partial:
        powers = [events.deviation]
        while len(powers) < self.order:
            powers.append(powers[-1] * events.deviation)
        sums = [events.count(), *map(events.sum, powers)]
        flat = equal(events, sums, events.min(), events.max())
        return sums[0], *centred(events, sums, events.reference, flat, events.min(), self.digits)

    def merge(self, c: Calculus, a: Partial, b: Partial) -> Partial:
        n, m = a[0], b[0]
        joint = Joint(c, n, a[1:3], m, b[1:3])
        left, right = moved([n, 0.0, *a[3:]], joint.left), moved([m, 0.0, *b[3:]], joint.right)
        return n + m, *joint.mean, *(x + y for x, y in zip(left[2:], right[2:], strict=True))


@register
@dataclass(frozen=True)
class Variance(Moments):
    """The variance. It is exactly 0 for equal values, and null for one value of a sample."""

    name = "var"

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        count, *_, squares = partial
        freedom = count - (1 if self.how == "sample" else 0)
        return c.when(freedom > 0, c.share(squares, freedom))


@register
@dataclass(frozen=True)
class Deviation(Variance):
    """The square root of the variance."""

    name = "std"

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        return c.root(super().finalize(c, partial, span))


@register
@dataclass(frozen=True)
class Skew(Moments):
    """The skewness: G₁ of a sample (of at least three values), g₁ of a population; null for equal values."""

    name = "skew"
    order = 3
    digits = 1e-2

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        count, *_, squares, cubes = partial
        n = c.number(1.0) * count
        found = c.share(cubes * c.root(n), squares * c.root(squares))
        if self.how == "pop":
            return c.when(squares > 0, found)
        return c.when((n > 2) & (squares > 0), c.share(found * c.root(c.greatest(n * (n - 1), 0.0)), n - 2))


@register
@dataclass(frozen=True)
class Kurtosis(Moments):
    """The excess kurtosis: G₂ of a sample (of at least four values), g₂ of a population; 0 for a normal one."""

    name = "kurtosis"
    order = 4
    digits = 1e-2

    def finalize(self, c: Calculus, partial: Partial, span: Span) -> Any:
        count, *_, squares, _, fourths = partial
        n = c.number(1.0) * count
        found = c.share(n * fourths, squares * squares) - 3
        if self.how == "pop":
            return c.when(squares > 0, found)
        return c.when((n > 3) & (squares > 0), c.share((n - 1) * ((n + 1) * found + 6), (n - 2) * (n - 3)))
