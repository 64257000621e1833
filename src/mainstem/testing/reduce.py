"""A naive definition of each aggregation, on the non-null values in the order of their events.

To check an aggregation of your own, add its definition to `REDUCE`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from mainstem.nodes.durations import microseconds as micros


class Window(NamedTuple):
    """Values, values of the second argument, and the time of each event (µs), in order; from `start` up to `t`."""

    values: list[Any]
    by: list[Any]
    times: list[int]
    start: int
    t: int


REDUCE: dict[str, Callable[..., Any]] = {
    "count": lambda w: len(w.values),
    "sum": lambda w: total(w.values) if w.values else None,
    "mean": lambda w: total(w.values) / len(w.values) if w.values else None,
    "share": lambda w: sum(w.values) / len(w.values) if w.values else None,
    "min": lambda w: min(w.values, default=None),
    "max": lambda w: max(w.values, default=None),
    "first": lambda w: w.values[0] if w.values else None,
    "last": lambda w: w.values[-1] if w.values else None,
    "arg_min": lambda w: min(zip(w.by, range(len(w.by)), w.values, strict=True))[-1] if w.values else None,
    "arg_max": lambda w: max(zip(w.by, range(len(w.by)), w.values, strict=True))[-1] if w.values else None,
    "var": lambda w, how: variance(w.values, how),
    "std": lambda w, how: None if (found := variance(w.values, how)) is None else math.sqrt(found),
    "skew": lambda w, how: skew(w.values, how),
    "kurtosis": lambda w, how: kurtosis(w.values, how),
    "first_k": lambda w, k: w.values[:k] or None,
    "last_k": lambda w, k: w.values[::-1][:k] or None,
    "bottom_k": lambda w, k: sorted(w.values)[:k] or None,
    "top_k": lambda w, k: sorted(w.values)[::-1][:k] or None,
    "n_unique": lambda w: len(set(w.values)),
    "mode": lambda w: max((n, v) for v, n in Counter(w.values).items())[1] if w.values else None,
    "quantile": lambda w, q: quantile(sorted(w.values), q) if w.values else None,
    "histogram": lambda w, edges: [sum(bisect_right(edges, v) == i for v in w.values) for i in range(len(edges) + 1)],
    "time_since_last": lambda w: (w.t - w.times[-1]) / 1_000_000 if w.times else None,
    "rate": lambda w, per: len(w.times) / ((w.t - w.start) / micros(per)),
    "ewma": lambda w, half_life: ewma(w.values, [(u - w.times[-1]) / micros(half_life) for u in w.times]),
    "slope": lambda w, per: slope(w.times, w.values, micros(per)),
}
"""Window and parameters of the aggregation → the value. NaN counts as null."""

SCALE: dict[str, Callable[..., float]] = {
    "sum": lambda w: sum(map(abs, w.values)),
    "mean": lambda w: max(map(abs, w.values)),
    "ewma": lambda w, half_life: max(map(abs, w.values)),
    "skew": lambda w, how: 1.0,
    "kurtosis": lambda w, how: 10.0,
    "slope": lambda w, per: steepness(w.times, w.values, micros(per)),
}
"""The scale of the tolerance of results that are small differences of large sums; elsewhere it is the result itself."""


def total(values: list[Any]) -> Any:
    """Return the sum: exact for integers, the nearest float for floats."""
    return sum(values) if isinstance(values[0], int) or infinite(values) else math.fsum(values)


def infinite(values: list[Any]) -> bool:
    return any(isinstance(value, float) and math.isinf(value) for value in values)


def deviations(values: list[Any]) -> list[Fraction]:
    """Return the exact deviations from the mean."""
    exact = list(map(Fraction, values))
    mean = sum(exact, Fraction(0)) / len(exact)
    return [value - mean for value in exact]


def central(values: list[Any], power: int) -> Fraction:
    """Return the sum of powers of the deviations from the mean."""
    return sum((d**power for d in deviations(values)), Fraction(0))


def variance(values: list[Any], how: str) -> float | None:
    freedom = len(values) - (how == "sample")
    return float(central(values, 2) / freedom) if freedom > 0 and not infinite(values) else None


def skew(values: list[Any], how: str) -> float | None:
    n = len(values)
    if infinite(values) or n < (3 if how == "sample" else 1) or not central(values, 2):
        return None
    found = math.sqrt(n) * float(central(values, 3)) / float(central(values, 2)) ** 1.5
    return float(found if how == "pop" else found * math.sqrt(n * (n - 1)) / (n - 2))


def kurtosis(values: list[Any], how: str) -> float | None:
    n = len(values)
    if infinite(values) or n < (4 if how == "sample" else 1) or not central(values, 2):
        return None
    found = float(n * central(values, 4) / central(values, 2) ** 2) - 3
    return found if how == "pop" else (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * found + 6)


def quantile(values: list[Any], q: float) -> float:
    place = q * (len(values) - 1)
    low, high = float(values[math.floor(place)]), float(values[min(math.floor(place) + 1, len(values) - 1)])
    return low if low == high else low + (high - low) * (place - math.floor(place))


def ewma(values: list[Any], ages: list[float]) -> float | None:
    weights = [2.0**age for age in ages]
    weighted = [value * weight for value, weight in zip(values, weights, strict=True)]
    return total(weighted) / math.fsum(weights) if values else None


def slope(times: list[int], values: list[Any], per: int) -> float | None:
    if infinite(values) or len(set(times)) < 2:
        return None
    products = sum(d * e for d, e in zip(deviations(times), deviations(values), strict=True))
    return float(products / central(times, 2) * per)


def steepness(times: list[int], values: list[Any], per: int) -> float:
    """Return the largest slope that points with these deviations can have."""
    if infinite(values) or len(set(times)) < 2:
        return 0.0
    return math.sqrt(central(values, 2) / central(times, 2)) * per
