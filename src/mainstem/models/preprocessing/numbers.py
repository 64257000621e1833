"""Preprocess numbers: what stands for missing ones, their scale, and indicators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Matrix, Strings
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing.base import APART
from mainstem.models.preprocessing.scales import Affine, Ranks, Within, scaled
from mainstem.nodes.prepare import Number

KEEP, ALWAYS = "keep", "always"
"""What stands for a missing number in trees: NaN where training had one, else the median. And NaN always."""

LARGEST = np.finfo(np.float32).max


def finite(matrix: Matrix) -> Matrix:
    """Return a matrix with the largest numbers for infinite ones, which some libraries refuse. No tree tells the two
    apart."""
    return np.clip(matrix, -LARGEST, LARGEST)


@dataclass(frozen=True, eq=False)
class Numbers:
    """Some of `width` numbers, all prepared by one step.

    `fill` stands for a missing number unless NaN is `kept`. `flagged` are the places of those with an indicator.
    """

    columns: tuple[int, ...]
    width: int
    fill: Matrix
    kept: NDArray[np.bool_]
    flagged: NDArray[np.int64]
    scale: Affine | Ranks | Within | None
    missing: str

    @classmethod
    def fit(cls, floats: Matrix, step: Number, columns: Sequence[int] | None = None) -> Numbers:
        """Fit on training rows [n, F], by a step that leaves nothing open."""
        chosen = tuple(range(floats.shape[1]) if columns is None else columns)
        own = _taken(floats, chosen)
        gaps = np.asarray(np.isnan(own).any(0))
        fill = _fills(own, step.missing)
        kept = gaps if step.missing == KEEP else np.full(len(chosen), step.missing == ALWAYS)
        flagged = np.flatnonzero(gaps if step.indicator else np.zeros_like(gaps))
        asis = step.scale == "as-is"
        scale = None if asis else scaled(np.where(np.isfinite(own), own, fill).astype(np.float64), str(step.scale))
        return cls(chosen, floats.shape[1], fill, kept, flagged, scale, str(step.missing))

    @property
    def origins(self) -> tuple[int, ...]:
        return (*self.columns, *(self.columns[i] for i in self.flagged))

    @property
    def rising(self) -> tuple[int, ...]:
        return (*self.columns, *(APART for _ in self.flagged))

    def transform(self, floats: Matrix, strings: Strings | None = None) -> Matrix:
        own = _taken(floats, self.columns)
        missing = np.isnan(own)
        found = np.where(missing, self.fill, own)
        found = found if self.scale is None else self.scale.transform(found)
        if self.kept.any():
            found = np.where(missing & self.kept, np.float32(np.nan), found)
        return np.asarray(np.hstack([found, missing[:, self.flagged]]), np.float32)

    def onnx(self, builder: Builder, floats: str, strings: str = "") -> str:
        if self.columns != tuple(range(self.width)):
            floats = builder.add("Gather", floats, builder.constant(np.array(self.columns, np.int64)), axis=1)
        missing = builder.add("IsNaN", floats)
        bare = np.where(self.kept, np.float32(np.nan), self.fill)
        found = builder.add("Where", missing, builder.constant(self.fill if self.scale else bare), floats)
        if self.scale is not None:
            found = self.scale.onnx(builder, found)
            if self.kept.any():
                gone = builder.add("And", missing, builder.constant(self.kept))
                found = builder.add("Where", gone, builder.constant(np.array(np.nan, np.float32)), found)
        if not len(self.flagged):
            return found
        flags = builder.add("Gather", builder.cast(missing, "FLOAT"), builder.constant(self.flagged), axis=1)
        return builder.concat([found, flags])

    def told(self) -> dict[int, str]:
        scales = self.scale.told() if self.scale is not None else ["as it is"] * len(self.columns)
        return {column: self._told(i, scales[i]) for i, column in enumerate(self.columns)}

    def _told(self, place: int, scale: str) -> str:
        value = f"{self.fill[place]:.4g}"
        if self.missing == ALWAYS:
            gap = "a missing one is left out"
        elif self.kept[place]:
            gap = "a missing one stays missing"
        else:
            gap = f"median {value}" if self.missing == KEEP else value
            gap = f"{self.missing} {value}" if self.missing in ("median", "mean", "mode") else gap
            gap += " for a missing one"
        flag = ["indicator"] if (self.flagged == place).any() else []
        return ", ".join([scale, gap, *flag])


def _taken(floats: Matrix, columns: tuple[int, ...]) -> Matrix:
    return floats if columns == tuple(range(floats.shape[1])) else floats[:, list(columns)]


def _fills(floats: Matrix, missing: str | float | None) -> Matrix:
    """Return what stands for a missing number of each column, from its finite values; 0 without any."""
    if isinstance(missing, float):
        return np.full(floats.shape[1], np.clip(missing, -LARGEST, LARGEST), np.float32)
    if missing not in ("mean", "mode") and floats.size and np.isfinite(floats).all():
        return np.asarray(np.median(floats.astype(np.float64), axis=0), np.float32)
    statistics: dict[str, Any] = {"mean": np.mean, "mode": _mode}
    statistic = statistics.get(str(missing), np.median)
    known = (column[np.isfinite(column)].astype(np.float64) for column in floats.T)
    return np.asarray([statistic(column) if len(column) else 0.0 for column in known], np.float32)


def _mode(values: NDArray[np.float64]) -> float:
    """Return the most frequent value; of several, the smallest."""
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])
