"""Preprocess texts as codes in the order of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Matrix, Strings
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing.base import APART
from mainstem.models.preprocessing.levels import Levels, fewest, frequent
from mainstem.nodes import prepare

USUAL_LEVELS = 250

SMOOTHING = 50.0


@dataclass(frozen=True, eq=False)
class Ordinal:
    """One code per text column, for trees: levels are ordered by their smoothed mean target.

    For several classes, the order is by the first principal component (Coppersmith, Hong and Hosking, 1999), which
    gives the same order for two. Other levels get the place of their pooled rows, or the prior's without rows.
    """

    levels: tuple[Levels, ...]
    offset: int

    @classmethod
    def fit(
        cls,
        strings: Strings,
        targets: NDArray[np.float64],
        offset: int,
        columns: Sequence[int],
        step: prepare.Ordinal,
    ) -> Ordinal:
        kept = []
        for j in columns:
            found = frequent(strings[:, j], step.levels or USUAL_LEVELS, step.rare or fewest(len(strings)))
            if found.names:
                place = np.argsort(np.argsort(_positions(found.numbers, found.counts, targets), kind="stable"))
                kept.append(Levels(j, found.names, tuple(int(p) for p in place[:-1]), int(place[-1]), found.others))
        return cls(tuple(kept), offset)

    @property
    def origins(self) -> tuple[int, ...]:
        return tuple(self.offset + level.column for level in self.levels)

    @property
    def rising(self) -> tuple[int, ...]:
        return (APART,) * len(self.levels)

    def transform(self, floats: Matrix, strings: Strings) -> Matrix:
        columns = [level.of(strings).astype(np.float32) for level in self.levels]
        return np.column_stack(columns) if columns else np.empty((len(strings), 0), np.float32)

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        axis = builder.constant(np.array([1], np.int64))
        codes = [builder.add("Unsqueeze", level.onnx(builder, strings), axis) for level in self.levels]
        return builder.cast(builder.concat(codes), "FLOAT")

    def told(self) -> dict[int, str]:
        return {self.offset + each.column: f"codes by mean target, {each.told()}" for each in self.levels}


def _positions(codes: NDArray[np.int64], counts: NDArray[np.int64], targets: NDArray[np.float64]) -> NDArray[Any]:
    prior = targets.mean(0)
    sums = np.column_stack([np.bincount(codes, t, minlength=len(counts)) for t in targets.T])
    away = (sums - counts[:, None] * prior) / (counts[:, None] + SMOOTHING)
    if targets.shape[1] == 1:
        return np.asarray(away[:, 0])
    _, _, components = np.linalg.svd(away * np.sqrt(counts[:, None]), full_matrices=False)
    first = components[0] * np.sign(components[0][np.argmax(np.abs(components[0]))])
    return np.asarray(away @ first)
