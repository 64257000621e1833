"""The few events of a window, in plain Python. For few events, numpy calls take longer than Python loops."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mainstem.features.online.events import Position, Seen
from mainstem.features.online.packing import Events
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView, Feature
from mainstem.nodes.hidden import ARRIVED, GONE

FEW = 128
"""The maximum number of events of a key for which this is faster."""


Operation = Callable[[Any, Any], Any]


def _each(of: Operation) -> Callable[[Vector, Any], Vector]:
    def over(self: Vector, other: Any) -> Vector:
        if isinstance(other, Vector):
            return Vector(list(map(of, self.items, other.items)))
        return Vector([of(item, other) for item in self.items])

    return over


def _swapped(of: Operation) -> Callable[[Vector, Any], Vector]:
    return _each(lambda b, a: of(a, b))


def _seldom(of: Callable[..., Any]) -> Callable[..., Vector]:
    """Return a rarely used operation, computed by numpy."""
    return lambda *over: Vector(of(*(np.array(v.items) if isinstance(v, Vector) else v for v in over)).tolist())


def _seldom_swapped(of: Operation) -> Callable[[Vector, Any], Vector]:
    return _seldom(lambda b, a: of(a, b))


def _divided(a: Any, b: Any) -> Any:
    return a / b if b else a * math.copysign(math.inf, b)


class Vector:
    """A replacement for numpy's array of many values: arithmetic and comparisons apply to each item."""

    __slots__ = ("items",)
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # makes numpy numbers defer `number + vector` to this class

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __bool__(self) -> bool:
        raise TypeError("many values have no truth value: use `when`, &, | and ~")

    __add__, __radd__ = _each(operator.add), _swapped(operator.add)
    __sub__, __rsub__ = _each(operator.sub), _swapped(operator.sub)
    __mul__ = __rmul__ = _each(operator.mul)
    __truediv__, __rtruediv__ = _each(_divided), _swapped(_divided)
    __lt__, __le__, __gt__, __ge__ = map(_each, (operator.lt, operator.le, operator.gt, operator.ge))
    __eq__, __ne__ = _each(operator.eq), _each(operator.ne)  # type: ignore[assignment]
    __and__ = __rand__ = _each(operator.and_)
    __or__ = __ror__ = _each(operator.or_)
    __xor__ = __rxor__ = _each(operator.xor)
    __mod__, __rmod__ = _seldom(operator.mod), _seldom_swapped(operator.mod)
    __floordiv__, __rfloordiv__ = _seldom(operator.floordiv), _seldom_swapped(operator.floordiv)
    __pow__, __rpow__ = _seldom(operator.pow), _seldom_swapped(operator.pow)
    __neg__, __invert__, __abs__ = _seldom(operator.neg), _seldom(operator.invert), _seldom(operator.abs)


class Few(Seen):
    """The rows are indices."""

    def __init__(self, view: CompiledView, events: Events, rows: Sequence[int], feature: Feature) -> None:
        super().__init__(view, events, feature)
        cells = events.cells(self._name)
        if self._kind == "float64":
            rows = [row for row in rows if cells[row] == cells[row]]
        else:
            null = None if self._kind == "string" else NULL_INT
            rows = [row for row in rows if cells[row] != null]
        self._rows = rows
        items = [cells[row] for row in rows]
        self.x = Vector(list(map(bool, items)) if self._kind == "boolean" else items)

    @staticmethod
    def times(events: Events) -> Sequence[int]:
        return events.cells("_u")

    @staticmethod
    def _arrived(view: CompiledView, events: Events, rows: range, last: int) -> Sequence[int]:
        came = events.cells(ARRIVED)
        found = [row for row in rows if came[row] <= last]
        if view.retracts:
            gone = events.cells(GONE)
            found = [row for row in found if gone[row] == NULL_INT or gone[row] > last]
        return found

    # ── arithmetic ───────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def reference(self) -> Any:
        mean = sum(self.x) / len(self.x) if self._rows else 0.0
        if self._kind != "float64":
            return round(mean)
        return mean if math.isfinite(mean) else 0.0

    @cached_property
    def deviation(self) -> Vector:
        reference = self.reference
        return Vector([float(item - reference) for item in self.x])

    @cached_property
    def age(self) -> Vector:
        origin, u = self.origin, self._events.cells("_u")
        return Vector([float(origin - u[row]) for row in self._rows])

    def count(self) -> int:
        return len(self._rows)

    def sum(self, of: Any) -> Any:
        return sum(of)

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        if not isinstance(condition, Vector):
            return value if condition else otherwise
        given, other = self._spread(value), self._spread(0 if otherwise is None else otherwise)
        return Vector([a if holds else b for holds, a, b in zip(condition, given, other, strict=True)])

    def _spread(self, a: Any) -> Vector:
        return a if isinstance(a, Vector) else Vector([a] * len(self.x))

    def root(self, a: Any) -> Any:
        if not isinstance(a, Vector):
            return super().root(a)
        return Vector([math.sqrt(item) if item >= 0 else math.nan for item in a])

    def halved(self, a: Any) -> Any:
        return Vector(list(map(super().halved, a))) if isinstance(a, Vector) else super().halved(a)

    # ── selection ────────────────────────────────────────────────────────────────────────────────────

    def min(self) -> Any:
        return min(self.x, default=None)

    def max(self) -> Any:
        return max(self.x, default=None)

    def oldest(self) -> int | None:
        return self._events.cells("_u")[self._rows[0]] if self._rows else None

    def newest(self) -> int | None:
        return self._events.cells("_u")[self._rows[-1]] if self._rows else None

    def lowest(self) -> Any:
        return min(self._ranked(), default=None)

    def highest(self) -> Any:
        return max(self._ranked(), default=None)

    def _ranked(self) -> list[Position]:
        ranks = self._events.cells(self._by)
        return [(ranks[row], *self._position(row)) for row in self._rows]

    def _position(self, row: int) -> Position:
        cells, value = self._events.cells, self._events.cells(self._name)[row]
        return (*(cells(name)[row] for name in self._view.position), bool(value) if self._kind == "boolean" else value)

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────

    def sorted(self) -> list[Any] | None:
        return sorted(self.x) or None

    def unique(self) -> list[Any] | None:
        return sorted(set(self.x)) or None
