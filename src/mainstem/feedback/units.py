"""Units: is a column's present a known conversion of its past, such as seconds where there were minutes?

A change of unit leaves two marks that no season leaves. The distribution comes back into place when the conversion is
undone. And where values are measured on a grid (whole minutes; knots turned into mph) the present values fall off that
grid, and back onto it when undone; this mark is so sharp that no clean stretch of the data tried ever showed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.feedback.grid import TOLERANCES, Grid
from mainstem.monitoring.statistics import kolmogorov_smirnov

Floats = NDArray[np.float64]

FEWEST = 50
"""Known values, zeros left out, that a sample must have."""
OFF_GRID, ON_GRID = 0.5, 0.9
MOVED = 0.1
"""The least KS distance that counts as moved."""


@dataclass(frozen=True)
class Conversion:
    """`new = old * factor + offset`, and how a person would say it."""

    name: str
    factor: float
    offset: float = 0.0

    def undo(self, values: Floats) -> Floats:
        """The values as they were before."""
        return (values - self.offset) / self.factor

    def inverse(self) -> tuple[float, float]:
        """The factor and offset that undo it."""
        return 1 / self.factor, -self.offset / self.factor + 0.0


def _both_ways(one: str, other: str, factor: float, offset: float = 0.0) -> tuple[Conversion, Conversion]:
    return (
        Conversion(f"{one} → {other}", factor, offset),
        Conversion(f"{other} → {one}", 1 / factor, -offset / factor),
    )


CONVERSIONS: tuple[Conversion, ...] = (
    *_both_ways("minutes", "seconds", 60.0),
    *_both_ways("hours", "seconds", 3600.0),
    *_both_ways("days", "hours", 24.0),
    *_both_ways("days", "seconds", 86400.0),
    *_both_ways("units", "tenths", 10.0),
    *_both_ways("fractions", "percent", 100.0),
    *_both_ways("units", "thousandths", 1000.0),
    *_both_ways("units", "millionths", 1_000_000.0),
    *_both_ways("mph", "m/s", 0.44704),
    *_both_ways("mph", "km/h", 1.609344),
    *_both_ways("mph", "knots", 0.8689762),
    *_both_ways("m/s", "km/h", 3.6),
    *_both_ways("m/s", "knots", 1.9438445),
    *_both_ways("ft", "m", 0.3048),
    *_both_ways("in", "cm", 2.54),
    *_both_ways("in", "mm", 25.4),
    *_both_ways("lb", "kg", 0.45359237),
    *_both_ways("inHg", "hPa", 33.8638866667),
    *_both_ways("US gal", "l", 3.785411784),
    *_both_ways("°C", "°F", 1.8, 32.0),
    *_both_ways("°C", "K", 1.0, 273.15),
)


@dataclass(frozen=True)
class Match:
    """A conversion that undone puts the present back in place.

    `before` and `after` are KS distances to the reference, as it came and undone; `usual` is the largest that a clean
    stretch has. `shares` are those of values on the reference's `grid`, as they came and undone, if it has a grid.
    """

    conversion: Conversion
    before: float
    after: float
    usual: float
    grid: Grid | None = None
    shares: tuple[float, float] | None = None


def match(
    reference: Floats,
    current: Floats,
    stretches: Sequence[Floats],
    conversions: Sequence[Conversion] = CONVERSIONS,
) -> Match | None:
    """The conversion that turned values like `reference` into `current`, if there is one.

    `stretches` are parts of the clean past as long as `current`; what they show by themselves is the measure. NaN is
    ignored. None if nothing fits or there are too few values to tell.
    """
    past, present = _known(reference), _known(current)
    parts = [known for part in stretches if len(known := _known(part)) >= FEWEST]
    if min(_telling(past), _telling(present)) < FEWEST or len(np.unique(present)) < 3:
        return None
    moved = kolmogorov_smirnov(past, present)
    usual = max((kolmogorov_smirnov(past, part) for part in parts), default=0.0)
    if moved < MOVED:
        return None
    for grid in _grids(past, parts):
        found = (
            _by_grid(grid, past, present, moved, conversions)
            if grid
            else _by_shape(past, present, moved, usual, conversions)
        )
        if found is not None:
            conversion, distance = found
            shares = (grid.share(present), grid.share(conversion.undo(present))) if grid else None
            return Match(conversion, moved, distance, usual, grid, shares)
    return None


def _grids(past: Floats, parts: Sequence[Floats]) -> list[Grid | None]:
    """The reference's grid, first taken exactly and then with room for rounding; None if it has none."""
    grid = Grid.of(past, parts)
    return [None] if grid is None else [Grid(grid.values, tolerance) for tolerance in TOLERANCES]


def _by_grid(
    grid: Grid, past: Floats, present: Floats, moved: float, conversions: Sequence[Conversion]
) -> tuple[Conversion, float] | None:
    if grid.share(present) > OFF_GRID:
        return None
    fitting = [c for c in conversions if grid.share(c.undo(present)) >= ON_GRID]
    best = _nearest(past, present, fitting)
    return best if best is not None and best[1] <= moved / 2 else None


def _by_shape(
    past: Floats, present: Floats, moved: float, usual: float, conversions: Sequence[Conversion]
) -> tuple[Conversion, float] | None:
    if moved <= usual:
        return None
    best = _nearest(past, present, conversions)
    return best if best is not None and best[1] <= min(MOVED, moved / 3) else None


def _nearest(past: Floats, present: Floats, among: Sequence[Conversion]) -> tuple[Conversion, float] | None:
    distances = [(kolmogorov_smirnov(past, c.undo(present)), i) for i, c in enumerate(among)]
    if not distances:
        return None
    distance, number = min(distances)
    return among[number], distance


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _telling(values: Floats) -> int:
    return int(np.count_nonzero(values))
