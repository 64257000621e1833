"""The events of a window in an online read: the reductions of `Events`, without arithmetic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from mainstem.features.online.packing import Events
from mainstem.features.online.scalars import Scalars
from mainstem.features.views.view import CompiledView, Feature
from mainstem.features.windows import Window

Position = tuple[Any, ...]


class Seen(Scalars, ABC):
    """The rows of a key's events that have a value of a feature's argument.

    In `lift`, `when`, `root` and `halved` may get the values of many events. Nulls among them add nothing.
    """

    _rows: Sequence[int]

    def __init__(self, view: CompiledView, events: Events, feature: Feature) -> None:
        self._view, self._events = view, events
        self._name, self._by = feature.argument or "_u", feature.by or ""
        self._kind = view.arguments.get(self._name, "int64")

    @classmethod
    def visible(cls, view: CompiledView, events: Events, window: Window, t: int, arrived: bool) -> Sequence[int]:
        """Return the rows in a window that a query at `t` sees. If `arrived`, only rows that had arrived by then."""
        times = cls.times(events)
        end = (bisect_right if view.inclusive else bisect_left)(times, t)
        rows = range(bisect_left(times, window.start(t), 0, end), end)
        last = t if view.inclusive else t - 1
        return cls._arrived(view, events, rows, last) if arrived and view.arrives and rows else rows

    @staticmethod
    @abstractmethod
    def times(events: Events) -> Sequence[int]:
        """Return the usable time of each row."""

    @staticmethod
    @abstractmethod
    def _arrived(view: CompiledView, events: Events, rows: range, last: int) -> Sequence[int]:
        """Return the rows that had arrived at `last` and were not retracted by then."""

    @abstractmethod
    def _position(self, row: int) -> Position: ...

    @property
    def origin(self) -> int:
        return self.newest() or 0

    def doubt(self, condition: Any) -> None:
        """Ignore doubts: origin and reference come from these very events."""

    @abstractmethod
    def newest(self) -> int | None: ...

    def first(self) -> Position | None:
        found = self.earliest(1)
        return found[0] if found else None

    def last(self) -> Position | None:
        found = self.latest(1)
        return found[0] if found else None

    def earliest(self, k: int) -> list[Position] | None:
        return self._ordered(self._rows, k)[:k] or None

    def latest(self, k: int) -> list[Position] | None:
        return self._ordered(reversed(self._rows), k)[-k:] or None

    def _ordered(self, rows: Iterable[int], k: int) -> list[Position]:
        """Return the positions of the first `k` rows, and of rows that tie with the last of them except for their
        value."""
        found: list[Position] = []
        for row in rows:
            position = self._position(row)
            if len(found) >= k and position[:-1] != found[-1][:-1]:
                break
            found.append(position)
        return sorted(found)
