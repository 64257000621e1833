"""Units: is a column's present a known conversion of its past, such as seconds instead of minutes?

A change of unit has two marks that a season does not have. The distribution returns to its place when the conversion is
reversed. If values are on a grid (whole minutes; knots converted to mph), the present values leave the grid, and return
to it when reversed. No clean part of the tested data ever showed the second mark.
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
"""The minimum number of known non-zero values of a sample."""
OFF_GRID, ON_GRID = 0.5, 0.9
MOVED = 0.1
"""The minimum KS distance of a moved distribution."""


@dataclass(frozen=True)
class Conversion:
    """`new = old * factor + offset`, with a readable name."""

    name: str
    factor: float
    offset: float = 0.0

    def undo(self, values: Floats) -> Floats:
        """Return the values before the conversion."""
        return (values - self.offset) / self.factor

    def inverse(self) -> tuple[float, float]:
        """Return the factor and the offset of the reverse conversion."""
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
    """A conversion whose reversal moves the present back to the reference.

    `before` and `after` are KS distances to the reference, without and with the reversal. `usual` is the largest
    distance of a clean stretch. `shares` are the shares of values on the reference's `grid`, without and with the
    reversal, if there is a grid.
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
    """Return the conversion that turned values like `reference` into `current`, if there is one.

    `stretches` are parts of the clean past as long as `current`. Their distances are the threshold. NaN is ignored.
    Returns None if no conversion fits or there are too few values.
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
    """Return the reference's grid, exact and with tolerance for rounding; None without a grid."""
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
