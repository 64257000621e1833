"""Windows of time: `floor(t, resolution) − size ≤ u < t`, in int64 microseconds since 1970, UTC.

A window begins on a step of its resolution and ends at the query: a little longer than its size, never shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from mainstem.errors import DefinitionError
from mainstem.graph.units import DAY, HOUR, MINUTE, SECOND
from mainstem.nodes.durations import microseconds

_STEPS = (DAY, HOUR, 5 * MINUTE, MINUTE, SECOND)


def floor(t: Any, step: int) -> Any:
    """`t` rounded down to a multiple of `step`, toward −∞: for ints, numpy arrays and Ibis integers alike.

    Built of `%` alone, whose sign SQL and Python disagree on, and not of division, which SQL does in floats.
    """
    return t - ((t % step) + step) % step


def default_resolution(size: int) -> int:
    """The largest step that divides `size` and is at most 1 d (over 12 d), 1 h (over 12 h), 5 min (over 1 h), 1 min."""
    limit = DAY if size > 12 * DAY else HOUR if size > 12 * HOUR else 5 * MINUTE if size > HOUR else MINUTE
    return next((step for step in _STEPS if step <= limit and size % step == 0), 1)


class Span(NamedTuple):
    """The window of one query: from `start` up to `t`, in µs."""

    start: Any
    t: Any


@dataclass(frozen=True, order=True)
class Window:
    """A window of `size` microseconds that begins on a step of `resolution`; 1 is exact."""

    size: int
    resolution: int
    text: str

    @classmethod
    def parse(cls, text: str, resolution: str | None = None, where: str | None = None) -> Window:
        """From durations as users write them. Raises `DefinitionError` unless the resolution divides the window."""
        size = microseconds(text, where)
        if size <= 0:
            raise DefinitionError(f"the window {text!r} must be positive", where=where, expected="a duration above 0")
        # An instant is a whole microsecond, so a resolution of 0 and of 1 are the same.
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
        """How far back a window can begin: less than this before the query."""
        return self.size + self.resolution

    def start(self, t: Any) -> Any:
        """The first instant that belongs to the window of a query at `t`."""
        return floor(t, self.resolution) - self.size

    def span(self, t: Any) -> Span:
        """The window of a query at `t`."""
        return Span(self.start(t), t)
