"""The events of a window as an online read sees them: the words of `Events`, spoken in numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np

from mainstem.features.online.packing import Array, Events
from mainstem.features.online.scalars import Scalars
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView, Feature

Position = tuple[Any, ...]


class Seen(Scalars):
    """The rows (a slice or an array of indices) of a key's events that have a value of a feature's argument.

    In `lift`, `when`, `root` and `halved` take the values of many events, too; what is null there adds nothing.
    """

    def __init__(self, view: CompiledView, events: Events, rows: Any, feature: Feature) -> None:
        self._view, self._events, self._by = view, events, feature.by
        self._name = feature.argument or "_u"
        self._kind = view.arguments.get(self._name, "int64")
        taken = self._column(self._name)[rows]
        valid = _valid(taken, self._kind)
        whole = bool(valid.all())
        self.x = taken if whole else taken[valid]
        self._rows: Any = rows if whole else np.arange(len(events))[rows][valid]

    def _column(self, name: str) -> Array:
        column = self._events[name]
        return column if isinstance(column, np.ndarray) else np.array(column, dtype=object)

    @cached_property
    def _indices(self) -> list[int]:
        rows = self._rows
        return list(range(*rows.indices(len(self._events)))) if isinstance(rows, slice) else rows.tolist()

    @cached_property
    def _u(self) -> Array:
        found: Array = self._events["_u"][self._rows]
        return found

    def _python(self, values: Array) -> list[Any]:
        return list(map(bool, values)) if self._kind == "boolean" else values.tolist()

    # ── arithmetic ───────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def reference(self) -> Any:
        mean = self.x.mean() if len(self.x) else 0.0
        if self._kind != "float64":
            return round(float(mean))
        return float(mean) if np.isfinite(mean) else 0.0

    @cached_property
    def deviation(self) -> Array:
        found: Array = (self.x - self.reference).astype(float)
        return found

    @property
    def origin(self) -> int:
        return self.newest() or 0

    @cached_property
    def age(self) -> Array:
        found: Array = (self.origin - self._u).astype(float)
        return found

    def count(self) -> int:
        return len(self.x)

    def sum(self, of: Any) -> Any:
        return of.sum().item()

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        if isinstance(condition, np.ndarray):
            return np.where(condition, value, 0 if otherwise is None else otherwise)
        return super().when(condition, value, otherwise)

    def root(self, a: Any) -> Any:
        return np.sqrt(a) if isinstance(a, np.ndarray) else super().root(a)

    def halved(self, a: Any) -> Any:
        return np.exp2(-a) if isinstance(a, np.ndarray) else super().halved(a)

    def doubt(self, condition: Any) -> None:
        """Never: the origin and the reference are those of these very events."""

    # ── selection ────────────────────────────────────────────────────────────────────────────────────

    def min(self) -> Any:
        return self._python(self.x.min(keepdims=True))[0] if len(self.x) else None

    def max(self) -> Any:
        return self._python(self.x.max(keepdims=True))[0] if len(self.x) else None

    def oldest(self) -> int | None:
        return int(self._u[0]) if len(self._u) else None

    def newest(self) -> int | None:
        return int(self._u[-1]) if len(self._u) else None

    def first(self) -> Position | None:
        found = self.earliest(1)
        return found[0] if found else None

    def last(self) -> Position | None:
        found = self.latest(1)
        return found[0] if found else None

    def lowest(self) -> Any:
        return self._ranked(np.min, min)

    def highest(self) -> Any:
        return self._ranked(np.max, max)

    def _ranked(self, extreme: Callable[[Array], Any], best: Callable[[Iterable[Position]], Position]) -> Any:
        if not len(self.x):
            return None
        ranks = self._column(str(self._by))[self._rows]
        chosen = extreme(ranks)
        return best((chosen, *self._position(self._indices[at])) for at in np.flatnonzero(ranks == chosen))

    def _position(self, row: int) -> Position:
        return (*(self._events[name][row] for name in self._view.position), self._events.value(self._name, row))

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────

    def sorted(self) -> list[Any] | None:
        return self._python(np.sort(self.x)) or None

    def unique(self) -> list[Any] | None:
        return self._python(np.unique(self.x)) or None

    def earliest(self, k: int) -> list[Position] | None:
        return self._ordered(self._indices, k)[:k] or None

    def latest(self, k: int) -> list[Position] | None:
        return self._ordered(reversed(self._indices), k)[-k:] or None

    def _ordered(self, rows: Iterable[int], k: int) -> list[Position]:
        """The positions of the first `k` rows, and of those that only their value tells from the last of them."""
        found: list[Position] = []
        for row in rows:
            position = self._position(row)
            if len(found) >= k and position[:-1] != found[-1][:-1]:
                break
            found.append(position)
        return sorted(found)


def _valid(values: Array, kind: str) -> Array:
    found: Array = values != NULL_INT
    if kind == "float64":
        found = values == values
    elif kind == "string":
        found = np.array([value is not None for value in values], dtype=bool)
    return found
