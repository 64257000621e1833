"""The operations that the algebra is written in, for plain Python values and for Ibis columns.

An aggregation is written once, with these few operations; each interpreter implements them. A *position* is an event's
place in the total order with its value, `(u, order_by, _seq, value)`. A *list* is sorted and not empty, or null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Calculus(Protocol):
    """Arithmetic over values that may be null. `+`, `−`, `×` and comparisons are the values' own."""

    def number(self, value: int | float) -> Any:
        """Return a constant. Floats need this, because SQL reads `0.1` as a decimal."""

    def share(self, a: Any, b: Any) -> Any:
        """Return a / b, and 0 if b is 0."""

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        """Return `value` if the condition holds, else `otherwise` (null)."""

    def least(self, a: Any, b: Any) -> Any:
        """Return the smaller value or position. Nulls are ignored."""

    def greatest(self, a: Any, b: Any) -> Any:
        """Return the greater value or position. Nulls are ignored."""

    def root(self, a: Any) -> Any:
        """Return the square root."""

    def floor(self, a: Any) -> Any:
        """Return the largest integer that is not greater."""

    def halved(self, a: Any) -> Any:
        """Return 2 to the power of −a: 1 after `a` halvings."""

    def between(self, a: Any, b: Any, share: Any) -> Any:
        """Interpolate between two numbers at this share, as a float. Equal numbers give an exact result."""

    def value(self, position: Any) -> Any:
        """Return the value at a position."""

    def listed(self, values: Sequence[Any]) -> Any:
        """Return a list of these values, in this order."""

    def merged(self, a: Any, b: Any) -> Any:
        """Merge two sorted lists."""

    def distinct(self, a: Any) -> Any:
        """Return the list without repeated items."""

    def head(self, a: Any, k: int) -> Any:
        """Return the first `k` items, or all if there are fewer."""

    def tail(self, a: Any, k: int) -> Any:
        """Return the last `k` items, or all if there are fewer."""

    def turned(self, a: Any) -> Any:
        """Return the items in reverse order."""

    def values(self, a: Any) -> Any:
        """Return the values of a list of positions."""

    def size(self, a: Any) -> Any:
        """Return the number of items; 0 for null."""

    def item(self, a: Any, at: Any) -> Any:
        """Return the item at an index from 0, which must exist; null for null."""

    def commonest(self, a: Any) -> Any:
        """Return the most frequent item; the greatest of several."""


class Events(Calculus, Protocol):
    """The events of one window: the reductions that an aggregation may request from an engine.

    Events whose argument is null are left out.
    """

    @property
    def x(self) -> Any:
        """The values of the argument."""

    @property
    def reference(self) -> Any:
        """A value near most values of the argument, to subtract before squaring."""

    @property
    def deviation(self) -> Any:
        """The argument's values minus the reference, as floats."""

    @property
    def origin(self) -> Any:
        """An instant near the events, and not before any of them."""

    @property
    def age(self) -> Any:
        """The time of each event before the origin, in µs, as floats."""

    def count(self) -> Any:
        """Return the number of events."""

    def sum(self, of: Any) -> Any:
        """Return the sum, 0 without events; for a condition, the number of events where it holds."""

    def min(self) -> Any:
        """Return the smallest value."""

    def max(self) -> Any:
        """Return the greatest value."""

    def oldest(self) -> Any:
        """Return the first instant."""

    def newest(self) -> Any:
        """Return the last instant."""

    def first(self) -> Any:
        """Return the smallest position."""

    def last(self) -> Any:
        """Return the greatest position."""

    def lowest(self) -> Any:
        """Return the position of the smallest `by`; the first of several: `(by, *position)`."""

    def highest(self) -> Any:
        """Return the position of the greatest `by`; the last of several: `(by, *position)`."""

    def sorted(self) -> Any:
        """Return the list of the values."""

    def unique(self) -> Any:
        """Return the list of the distinct values."""

    def earliest(self, k: int) -> Any:
        """Return the list of the first `k` positions."""

    def latest(self, k: int) -> Any:
        """Return the list of the last `k` positions."""

    def doubt(self, condition: Any) -> None:
        """Mark results with lost digits, where the condition holds. They are computed again from a nearer origin or
        reference."""
