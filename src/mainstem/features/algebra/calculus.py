"""The arithmetic that the algebra is written in, for plain Python values and for Ibis columns.

An aggregation is written once, over these few words; each interpreter brings its own meaning of them. A *position* is
an event's place in the total order with its value, `(u, order_by, _seq, value)`; a *list* is sorted and has items, or
is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Calculus(Protocol):
    """Arithmetic over values that may be null. `+`, `−`, `×` and comparisons are the values' own."""

    def number(self, value: int | float) -> Any:
        """A constant. Floats are written through this, for SQL takes `0.1` for a decimal."""

    def share(self, a: Any, b: Any) -> Any:
        """a / b, and 0 where b is 0."""

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        """`value` where the condition holds, else `otherwise` (null)."""

    def least(self, a: Any, b: Any) -> Any:
        """The smaller, of two positions too; a null gives way to the other."""

    def greatest(self, a: Any, b: Any) -> Any:
        """The greater, of two positions too; a null gives way to the other."""

    def root(self, a: Any) -> Any:
        """The square root."""

    def floor(self, a: Any) -> Any:
        """The largest integer that is not above."""

    def halved(self, a: Any) -> Any:
        """2 to the power of −a: what is left of 1 after it has been halved `a` times."""

    def between(self, a: Any, b: Any, share: Any) -> Any:
        """What lies between two numbers at this share of the way, as a float; exact where they are equal."""

    def value(self, position: Any) -> Any:
        """The value at a position."""

    def listed(self, values: Sequence[Any]) -> Any:
        """A list of these values, as they come."""

    def merged(self, a: Any, b: Any) -> Any:
        """The items of two lists as one."""

    def distinct(self, a: Any) -> Any:
        """The list with each item once."""

    def head(self, a: Any, k: int) -> Any:
        """The first `k` items; all, where there are not so many."""

    def tail(self, a: Any, k: int) -> Any:
        """The last `k` items; all, where there are not so many."""

    def turned(self, a: Any) -> Any:
        """The items from the last to the first."""

    def values(self, a: Any) -> Any:
        """The values of a list of positions."""

    def size(self, a: Any) -> Any:
        """The number of items; 0 for null."""

    def item(self, a: Any, at: Any) -> Any:
        """The item at a place from 0 on that is there; null for null."""

    def commonest(self, a: Any) -> Any:
        """The item that is there most often, the greatest of those."""


class Events(Calculus, Protocol):
    """The events of one window, as an interpreter sees them: what an aggregation may ask of an engine.

    Those whose argument is null are none of them.
    """

    @property
    def x(self) -> Any:
        """The argument's values."""

    @property
    def reference(self) -> Any:
        """A value near most of the argument's, to subtract before squaring."""

    @property
    def deviation(self) -> Any:
        """The argument's values minus the reference, as floats."""

    @property
    def origin(self) -> Any:
        """An instant near the events, and after none of them."""

    @property
    def age(self) -> Any:
        """How long before the origin each event was, in µs, as floats."""

    def count(self) -> Any:
        """How many events there are."""

    def sum(self, of: Any) -> Any:
        """The sum, 0 for no events; of conditions, how many hold."""

    def min(self) -> Any:
        """The least value."""

    def max(self) -> Any:
        """The greatest value."""

    def oldest(self) -> Any:
        """The first instant."""

    def newest(self) -> Any:
        """The last instant."""

    def first(self) -> Any:
        """The least position."""

    def last(self) -> Any:
        """The greatest position."""

    def lowest(self) -> Any:
        """The position of the least `by`, the first of those: `(by, *position)`."""

    def highest(self) -> Any:
        """The position of the greatest `by`, the last of those: `(by, *position)`."""

    def sorted(self) -> Any:
        """The list of the values."""

    def unique(self) -> Any:
        """The list of the values, each once."""

    def earliest(self, k: int) -> Any:
        """The list of the first `k` positions."""

    def latest(self, k: int) -> Any:
        """The list of the last `k` positions."""

    def doubt(self, condition: Any) -> None:
        """Where the condition holds, digits were lost: compute again from an origin or a reference that is nearer."""
