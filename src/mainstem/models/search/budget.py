"""The budget of a training's searches: a number of trials for each, or a time for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from mainstem.nodes.durations import microseconds


@dataclass(frozen=True)
class Budget:
    """What one search may use: trials, or seconds."""

    trials: int | None = None
    seconds: float | None = None


@dataclass(eq=False)
class Allowance:
    """The budget of all searches of a training. A time is divided among those that are left.

    `stopped` is set by an interrupt: what is left then compares the defaults only.
    """

    tune: int | str
    searches: int = 1
    clock: Callable[[], float] = perf_counter
    stopped: bool = False
    _left: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._left = microseconds(self.tune) / 1e6 if isinstance(self.tune, str) else 0.0

    def next(self) -> Budget:
        """Return the budget of the next search."""
        if not isinstance(self.tune, str):
            return Budget(trials=self.tune)
        return Budget(seconds=max(self._left, 0.0) / max(self.searches, 1))

    def used(self, seconds: float) -> None:
        """Count a search that took so many seconds."""
        self._left -= seconds
        self.searches -= 1

    @property
    def said(self) -> str:
        """The budget as declared, in words."""
        return self.tune if isinstance(self.tune, str) else f"{self.tune:,} trials"
