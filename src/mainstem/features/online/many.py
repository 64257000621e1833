"""The many events of a window, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mainstem.features.online.events import Position, Seen
from mainstem.features.online.packing import Array, Events
from mainstem.features.values import LARGEST_INT, NULL_INT
from mainstem.features.views.view import CompiledView, Feature
from mainstem.nodes.hidden import ARRIVED, GONE


class Many(Seen):
    """The rows are a range or an array of indices."""

    def __init__(self, view: CompiledView, events: Events, rows: Any, feature: Feature) -> None:
        super().__init__(view, events, feature)
        within = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
        taken = self._column(self._name)[within]
        valid = _valid(taken, self._kind)
        whole = bool(valid.all())
        self.x = taken if whole else taken[valid]
        if self._kind == "boolean":
            self.x = self.x.astype(bool)
        self._within = within if whole else np.asarray(rows)[valid]

    @staticmethod
    def times(events: Events) -> Any:
        return events["_u"]

    @staticmethod
    def _arrived(view: CompiledView, events: Events, rows: range, last: int) -> Any:
        within = slice(rows.start, rows.stop)
        here = events[ARRIVED][within] <= last
        if view.retracts:
            gone = events[GONE][within]
            here &= (gone == NULL_INT) | (gone > last)
        return rows if here.all() else rows.start + np.flatnonzero(here)

    def _column(self, name: str) -> Array:
        column = self._events[name]
        return column if isinstance(column, np.ndarray) else np.array(column, dtype=object)

    @cached_property
    def _rows(self) -> Sequence[int]:  # type: ignore[override]
        rows = self._within
        return range(*rows.indices(len(self._events))) if isinstance(rows, slice) else rows.tolist()

    @cached_property
    def _u(self) -> Array:
        found: Array = self._events["_u"][self._within]
        return found

    # ── arithmetic ───────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def reference(self) -> Any:
        mean = self.x.mean() if len(self.x) else 0.0
        if self._kind != "float64":
            return min(round(float(mean)), LARGEST_INT)
        return float(mean) if np.isfinite(mean) else 0.0

    @cached_property
    def deviation(self) -> Array:
        found: Array = (self.x - self.reference).astype(float)
        return found

    @cached_property
    def age(self) -> Array:
        found: Array = (self.origin - self._u).astype(float)
        return found

    def count(self) -> int:
        return len(self.x)

    def sum(self, of: Any) -> Any:
        return sum(of.tolist()) if _may_overflow(of) else of.sum().item()

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        if isinstance(condition, np.ndarray):
            return np.where(condition, value, 0 if otherwise is None else otherwise)
        return super().when(condition, value, otherwise)

    def root(self, a: Any) -> Any:
        return np.sqrt(a) if isinstance(a, np.ndarray) else super().root(a)

    def halved(self, a: Any) -> Any:
        return np.exp2(-a) if isinstance(a, np.ndarray) else super().halved(a)

    # ── selection ────────────────────────────────────────────────────────────────────────────────────

    def min(self) -> Any:
        return self.x.min(keepdims=True).tolist()[0] if len(self.x) else None

    def max(self) -> Any:
        return self.x.max(keepdims=True).tolist()[0] if len(self.x) else None

    def oldest(self) -> int | None:
        return int(self._u[0]) if len(self._u) else None

    def newest(self) -> int | None:
        return int(self._u[-1]) if len(self._u) else None

    def lowest(self) -> Any:
        return self._ranked(np.min, min)

    def highest(self) -> Any:
        return self._ranked(np.max, max)

    def _ranked(self, extreme: Callable[[Array], Any], best: Callable[[Iterable[Position]], Position]) -> Any:
        if not len(self.x):
            return None
        ranks = self._column(self._by)[self._within]
        chosen = extreme(ranks)
        return best((chosen, *self._position(self._rows[at])) for at in np.flatnonzero(ranks == chosen).tolist())

    def _position(self, row: int) -> Position:
        return (*(self._events[name][row] for name in self._view.position), self._events.value(self._name, row))

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────

    def sorted(self) -> list[Any] | None:
        return np.sort(self.x).tolist() or None

    def unique(self) -> list[Any] | None:
        return np.unique(self.x).tolist() or None


def _may_overflow(of: Array) -> bool:
    """Return whether a sum of integers, or an intermediate sum, may overflow int64."""
    return of.dtype.kind == "i" and len(of) > 0 and len(of) * max(-int(of.min()), int(of.max())) > LARGEST_INT


def _valid(values: Array, kind: str) -> Array:
    found: Array = values != NULL_INT
    if kind == "float64":
        found = values == values
    elif kind == "string":
        found = np.array([value is not None for value in values], dtype=bool)
    return found
