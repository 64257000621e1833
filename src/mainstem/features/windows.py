"""Windows of time: `floor(t, resolution) − size ≤ u < t`, in int64 microseconds since 1970, UTC.

A window begins at a step of its resolution and ends at the query. It is never shorter than its size, and at most one
step longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from mainstem.errors import DefinitionError
from mainstem.graph.units import DAY, HOUR, MINUTE, SECOND
from mainstem.nodes.durations import microseconds

_STEPS = (DAY, HOUR, 5 * MINUTE, MINUTE, SECOND)


def floor(t: Any, step: int) -> Any:
    """Round `t` down to a multiple of `step`, toward −∞. Works for ints, numpy arrays and Ibis integers.

    It uses only `%` with corrections: SQL and Python disagree on its sign, and SQL divides in floats.
    """
    return t - ((t % step) + step) % step


def default_resolution(size: int) -> int:
    """Return the largest step that divides `size` and is at most 1 d (over 12 d), 1 h (over 12 h), 5 min (over 1 h), 1
    min."""
    limit = DAY if size > 12 * DAY else HOUR if size > 12 * HOUR else 5 * MINUTE if size > HOUR else MINUTE
    return next((step for step in _STEPS if step <= limit and size % step == 0), 1)


class Span(NamedTuple):
    """The window of one query: from `start` up to `t`, in µs."""

    start: Any
    t: Any


@dataclass(frozen=True, order=True)
class Window:
    """A window of `size` microseconds that begins at a step of `resolution`. A resolution of 1 is exact."""

    size: int
    resolution: int
    text: str

    @classmethod
    def parse(cls, text: str, resolution: str | None = None, where: str | None = None) -> Window:
        """Return the window of durations as users write them. Raises `DefinitionError` if the resolution does not
        divide it."""
        size = microseconds(text, where)
        if size <= 0:
            raise DefinitionError(f"the window {text!r} must be positive", where=where, expected="a duration above 0")
        # Instants are whole microseconds, so resolutions of 0 and 1 are equal.
        step = default_resolution(size) if resolution is None else max(microseconds(resolution, where), 1)
        if size % step:
            raise DefinitionError(
                f"the resolution {resolution!r} does not divide the window {text!r}",
                where=where,
                hint="resolution=None takes the default",
            )
        return cls(size, step, text)

    @property
    def reach(self) -> int:
        """An upper bound of the time between a window's begin and the query."""
        return self.size + self.resolution

    def start(self, t: Any) -> Any:
        """Return the first instant in the window of a query at `t`."""
        return floor(t, self.resolution) - self.size

    def span(self, t: Any) -> Span:
        """Return the window of a query at `t`."""
        return Span(self.start(t), t)
