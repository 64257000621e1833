"""The arithmetic that the algebra is written in, for plain Python values and for Ibis columns.

An aggregation is written once, over these few words; each interpreter brings its own meaning of them.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import ibis


class Calculus(Protocol):
    """Arithmetic over values that may be null. `+`, `−`, `×` and comparisons are the values' own."""

    def share(self, a: Any, b: Any) -> Any:
        """a / b, and 0 where b is 0."""

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        """`value` where the condition holds, else `otherwise` (null)."""

    def least(self, a: Any, b: Any) -> Any:
        """The smaller; a null gives way to the other."""

    def greatest(self, a: Any, b: Any) -> Any:
        """The greater; a null gives way to the other. Also of two positions, as `Events.last` gives them."""

    def root(self, a: Any) -> Any:
        """The square root."""

    def value(self, position: Any) -> Any:
        """The value at a position, as `Events.last` gives it."""


class Events(Calculus, Protocol):
    """The events of one window, as an interpreter sees them: what an aggregation may ask of an engine."""

    @property
    def x(self) -> Any:
        """The argument's values; nulls among them are skipped by everything below."""

    @property
    def reference(self) -> Any:
        """A value near most of the argument's, to subtract before squaring."""

    @property
    def deviation(self) -> Any:
        """The argument's values minus the reference."""

    def count(self) -> Any:
        """How many events have a value (without an argument: how many events there are)."""

    def sum(self, of: Any) -> Any:
        """The sum, 0 for no events."""

    def min(self) -> Any: ...

    def max(self) -> Any: ...

    def last(self) -> Any:
        """The greatest position `(u, order_by, _seq, value)`; null for no events."""

    def difference(self, a: Any, b: Any, zero: Any) -> Any:
        """a − b, which is not negative; 0 where `zero` holds.

        Digits may cancel: an interpreter whose reference is far from the mean has to see whether too many did.
        """


class Scalars:
    """Python values, one at a time; null is None."""

    def share(self, a: Any, b: Any) -> Any:
        return a / b if b else 0

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        return value if condition else otherwise

    def least(self, a: Any, b: Any) -> Any:
        return b if a is None else a if b is None else min(a, b)

    def greatest(self, a: Any, b: Any) -> Any:
        return b if a is None else a if b is None else max(a, b)

    def root(self, a: Any) -> Any:
        return None if a is None else math.sqrt(a)

    def value(self, position: Any) -> Any:
        return None if position is None else position[-1]


class Columns:
    """Ibis columns."""

    def share(self, a: Any, b: Any) -> Any:
        return (a / b.nullif(0)).fill_null(0)

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        return condition.ifelse(value, ibis.null() if otherwise is None else otherwise)

    def least(self, a: Any, b: Any) -> Any:
        return ibis.coalesce(ibis.least(a, b), a, b)

    def greatest(self, a: Any, b: Any) -> Any:
        if a.type().is_struct():
            # The halves of a window share no instant, so `u` alone decides.
            return (b.isnull() | (a["u"] > b["u"])).ifelse(a, b)
        return ibis.coalesce(ibis.greatest(a, b), a, b)

    def root(self, a: Any) -> Any:
        return a.sqrt()

    def value(self, position: Any) -> Any:
        return position["value"]
