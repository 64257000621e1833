"""Sides that take turns, so that a busy moment of the machine hits all alike; medians, and ratios to the first."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import pyarrow as pa

Side = TypeVar("Side", bound=Hashable)

Turn = Callable[[], Sequence[float]]
"""One turn of a side: the seconds that each piece of its work took."""

Taken = dict[str, list[float]]


def timed(work: Callable[[], object]) -> Turn:
    """A turn that does `work` once."""

    def turn() -> list[float]:
        began = time.perf_counter()
        work()
        return [time.perf_counter() - began]

    return turn


def take_turns(sides: Mapping[Side, Turn], repeat: int, warm: int = 1) -> dict[Side, list[float]]:
    """Seconds of each side in `repeat` rounds, after `warm` rounds which import and fill caches and are not counted.

    Every other round goes from the last to the first, so that none always follows the same one.
    """
    taken: dict[Side, list[float]] = {name: [] for name in sides}
    order = list(sides.items())
    for turn in range(warm + repeat):
        for name, side in order:
            seconds = side()
            if turn >= warm:
                taken[name] += seconds
        order.reverse()
    return taken


def lines(taken: Mapping[str, Sequence[float]], unit: str = "s") -> list[str]:
    """A line for each side, `s` or `µs`: the median, and how many times that of the first."""
    width = max(map(len, taken))
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    base = next(iter(medians.values()))
    shown = {"s": "{:7.2f} s", "µs": "{:8,.0f} µs"}[unit]
    scale = {"s": 1, "µs": 1e6}[unit]
    return [f"  {name:<{width}}  {shown.format(m * scale)}   {m / base:6.2f} ×" for name, m in medians.items()]


def agree(name: str, found: pa.Table, wanted: pa.Table) -> None:
    """Exits unless two results have the same values, row by row and column by column, to a relative 1e-6."""
    if found.shape != wanted.shape:
        raise SystemExit(f"{name}: {found.shape} rows and columns are not {wanted.shape}")
    for column, ours, theirs in zip(wanted.column_names, found.columns, wanted.columns, strict=True):
        for row, (one, other) in enumerate(zip(ours.to_pylist(), theirs.to_pylist(), strict=True)):
            if one != other and (one is None or other is None or not math.isclose(one, other, rel_tol=1e-6)):
                raise SystemExit(f"{name}: {one} is not {other}, in row {row} of {column}")
