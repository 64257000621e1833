"""Preprocess the block of floats: missing values, and scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Matrix
from mainstem.models.graphs.builder import Builder

FAR = 20.0
"""Standardised values are clipped at this value, so that no single input dominates a linear score."""


LARGEST = np.finfo(np.float32).max


def finite(matrix: Matrix) -> Matrix:
    """Return a matrix with the largest numbers for infinite ones, which some libraries refuse. No tree tells the two
    apart."""
    return np.clip(matrix, -LARGEST, LARGEST)


@dataclass(frozen=True, eq=False)
class Filled:
    """Unchanged floats, for trees. NaN stays in columns that had NaN in training, else it becomes the median."""

    fill: Matrix

    @classmethod
    def fit(cls, floats: Matrix) -> Filled:
        missing = np.isnan(floats).any(0)
        return cls(np.where(missing, np.nan, _medians(floats)).astype(np.float32))

    @property
    def origins(self) -> tuple[int, ...]:
        return tuple(range(len(self.fill)))

    def transform(self, floats: Matrix) -> Matrix:
        return np.where(np.isnan(floats), self.fill, floats)

    def onnx(self, builder: Builder, floats: str) -> str:
        return builder.add("Where", builder.add("IsNaN", floats), builder.constant(self.fill), floats)


@dataclass(frozen=True, eq=False)
class Scaled:
    """Floats for linear models: NaN becomes the median; values are standardised and clipped.

    Each column that had NaN in training also gets an indicator.
    """

    fill: Matrix
    mean: Matrix
    inverse: Matrix
    flagged: NDArray[np.int64]

    @classmethod
    def fit(cls, floats: Matrix) -> Scaled:
        fill = _medians(floats)
        dense = np.where(np.isfinite(floats), floats, fill).astype(np.float64)
        spread = dense.std(0)
        constant = spread <= np.maximum(1e-6 * np.abs(dense.mean(0)), 1e-30)
        inverse = 1 / np.where(constant, 1.0, spread)
        flagged = np.flatnonzero(np.isnan(floats).any(0))
        return cls(fill, dense.mean(0).astype(np.float32), inverse.astype(np.float32), flagged)

    @property
    def origins(self) -> tuple[int, ...]:
        return (*range(len(self.fill)), *(int(i) for i in self.flagged))

    def transform(self, floats: Matrix) -> Matrix:
        missing = np.isnan(floats)
        with np.errstate(over="ignore"):
            scaled = (np.where(missing, self.fill, floats) - self.mean) * self.inverse
        return np.asarray(np.hstack([np.clip(scaled, -FAR, FAR), missing[:, self.flagged]]), np.float32)

    def onnx(self, builder: Builder, floats: str) -> str:
        missing = builder.add("IsNaN", floats)
        dense = builder.add("Where", missing, builder.constant(self.fill), floats)
        centred = builder.add("Sub", dense, builder.constant(self.mean))
        scaled = builder.add("Mul", centred, builder.constant(self.inverse))
        far = np.float32(FAR)
        clipped = builder.add("Clip", scaled, builder.constant(np.array(-far)), builder.constant(np.array(far)))
        if not len(self.flagged):
            return clipped
        flags = builder.add("Gather", builder.cast(missing, "FLOAT"), builder.constant(self.flagged), axis=1)
        return builder.concat([clipped, flags])


def _medians(floats: Matrix) -> Matrix:
    """Return the median of each column's finite values; 0 without any."""
    finite = (column[np.isfinite(column)].astype(np.float64) for column in floats.T)
    return np.asarray([np.median(column) if len(column) else 0.0 for column in finite], np.float32)
