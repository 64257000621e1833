"""Scales of numbers: shifted and stretched, logarithms, and ranks among the quantiles of training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Matrix
from mainstem.models.graphs.builder import Builder

FAR = 20.0
"""Scaled values are clipped at this value, so that no single input dominates a linear score."""

KNOTS = 64
"""The quantiles of training, at most, between which ranks are linear."""

Wide = NDArray[np.float64]

_WORDS = {
    "standard": "standardised",
    "min-max": "0 to 1",
    "robust": "by median and quartiles",
    "log": "logarithm, standardised",
}


WITHIN = "within"
"""The scale of numbers that stay as they are, but finite: for algorithms that add them up."""

BEYOND = 10.0
"""How many times the range of training such a number may be outside of it."""

LIMIT = 1e30
"""The largest of them: its square overflows float32, but no sum of some of them does."""


def scaled(dense: Wide, scale: str) -> Affine | Ranks | Within | None:
    """Return a scale, fitted on finite numbers [n, C]; None leaves them as they are."""
    if scale == "as-is":
        return None
    if scale == WITHIN:
        return Within.fit(dense)
    return Ranks.fit(dense) if scale == "quantile" else Affine.fit(dense, scale)


@dataclass(frozen=True, eq=False)
class Affine:
    """Numbers, or their signed logarithms, less a centre, times a factor, and clipped.

    Logarithms are calculated in float64 and rounded once, because runtimes differ in their last digit.
    """

    centre: NDArray[np.floating]
    inverse: NDArray[np.floating]
    name: str

    @classmethod
    def fit(cls, dense: Wide, name: str) -> Affine:
        values = _logarithm(dense) if name == "log" else dense
        centre, spread = _centre(values, name)
        constant = spread <= np.maximum(1e-6 * np.abs(centre), 1e-30)
        inverse = 1 / np.where(constant, 1.0, spread)
        kind = np.float64 if name == "log" else np.float32
        return cls(centre.astype(kind), inverse.astype(kind), name)

    def transform(self, floats: Matrix) -> Matrix:
        with np.errstate(over="ignore", invalid="ignore"):
            values = _logarithm(floats.astype(np.float64)) if self.name == "log" else floats
            scaled = (values - self.centre) * self.inverse
            return np.asarray(np.clip(scaled, -FAR, FAR), np.float32)

    def onnx(self, builder: Builder, floats: str) -> str:
        values = _logarithm_onnx(builder, floats) if self.name == "log" else floats
        centred = builder.add("Sub", values, builder.constant(self.centre))
        scaled = builder.add("Mul", centred, builder.constant(self.inverse))
        ends = (builder.constant(np.array(end, self.inverse.dtype)) for end in (-FAR, FAR))
        clipped = builder.add("Clip", scaled, *ends)
        return builder.cast(clipped, "FLOAT") if self.name == "log" else clipped

    def told(self) -> list[str]:
        return [_WORDS[self.name]] * len(self.centre)


def _centre(values: Wide, name: str) -> tuple[Wide, Wide]:
    """Return what is taken away from each column, and what it is divided by."""
    if name == "min-max":
        return values.min(0), np.ptp(values, axis=0)
    if name == "robust":
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        return middle, np.where(high > low, high - low, values.std(0))
    return values.mean(0), values.std(0)


def _logarithm(values: Wide) -> Wide:
    return np.asarray(np.sign(values) * np.log(1 + np.abs(values)))


def _logarithm_onnx(builder: Builder, floats: str) -> str:
    values = builder.cast(floats, "DOUBLE")
    more = builder.add("Add", builder.add("Abs", values), builder.constant(np.array(1.0)))
    return builder.add("Mul", builder.add("Sign", values), builder.add("Log", more))


@dataclass(frozen=True, eq=False)
class Within:
    """Numbers as they are, clipped at ten times the range of training beyond it, so that nothing overflows."""

    low: Matrix
    high: Matrix

    @classmethod
    def fit(cls, dense: Wide) -> Within:
        least, most = dense.min(0), dense.max(0)
        reach = BEYOND * np.maximum.reduce([most - least, np.abs(most), np.abs(least), np.ones_like(most)])
        ends = (np.clip(end, -LIMIT, LIMIT).astype(np.float32) for end in (least - reach, most + reach))
        return cls(*ends)

    def transform(self, floats: Matrix) -> Matrix:
        return np.clip(floats, self.low, self.high)

    def onnx(self, builder: Builder, floats: str) -> str:
        least = builder.add("Max", floats, builder.constant(self.low))
        return builder.add("Min", least, builder.constant(self.high))

    def told(self) -> list[str]:
        return ["as it is"] * len(self.low)


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks from 0 to 1 among the training rows: linear between `knots`, with the ranks `levels` there."""

    knots: tuple[Matrix, ...]
    levels: tuple[Wide, ...]

    @classmethod
    def fit(cls, dense: Wide) -> Ranks:
        places = np.linspace(0, 1, KNOTS)
        found = [np.unique(np.quantile(column, places).astype(np.float32), return_inverse=True) for column in dense.T]
        levels = [np.bincount(of, places) / np.bincount(of) for _, of in found]
        return cls(tuple(knots for knots, _ in found), tuple(levels))

    def transform(self, floats: Matrix) -> Matrix:
        found = np.empty(floats.shape, np.float32)
        for j, (knots, levels) in enumerate(zip(self.knots, self.levels, strict=True)):
            column = np.clip(floats[:, j], knots[0], knots[-1])
            place = np.searchsorted(knots, column, side="right") - 1
            away = column.astype(np.float64) - knots.astype(np.float64)[place]
            found[:, j] = levels[place] + away * _slopes(knots, levels)[place]
        return found

    def onnx(self, builder: Builder, floats: str) -> str:
        return builder.concat([self._column(builder, floats, j) for j in range(len(self.knots))])

    def _column(self, builder: Builder, floats: str, j: int) -> str:
        knots, levels = self.knots[j], self.levels[j]
        column = builder.add("Gather", floats, builder.constant(np.array([j], np.int64)), axis=1)
        column = builder.add("Clip", column, *(builder.constant(np.array(end)) for end in (knots[0], knots[-1])))
        # The first knot is not asked: every value is at or above it.
        above = builder.cast(builder.add("GreaterOrEqual", column, builder.constant(knots[None, 1:])), "INT64")
        place = builder.add("ReduceSum", above, builder.constant(np.array([1], np.int64)), keepdims=1)
        at, level, slope = (
            builder.add("Gather", builder.constant(each), place)
            for each in (knots.astype(np.float64), levels, _slopes(knots, levels))
        )
        away = builder.add("Sub", builder.cast(column, "DOUBLE"), at)
        return builder.cast(builder.add("Add", level, builder.add("Mul", away, slope)), "FLOAT")

    def told(self) -> list[str]:
        return [f"rank among {len(knots)} quantiles" for knots in self.knots]


def _slopes(knots: Matrix, levels: Wide) -> Wide:
    return np.append(np.diff(levels) / np.diff(knots.astype(np.float64)), 0.0)
