"""Preprocess texts as indicators: of their frequent levels, or of what levels are hashed to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from mainstem.models.data.rows import Matrix, Strings
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing.base import APART
from mainstem.models.preprocessing.levels import Levels, fewest, frequent
from mainstem.nodes import prepare

USUAL_LEVELS = 100

MOST_HASHED = 50_000
"""The levels of training, at most, that are hashed. ONNX has no hash: their buckets are written to the graph."""


@dataclass(frozen=True, eq=False)
class Indicators:
    """One indicator column per code of a level, and one for all other levels."""

    levels: tuple[Levels, ...]
    offset: int
    hashed: bool = False

    @classmethod
    def one_hot(cls, strings: Strings, offset: int, columns: Sequence[int], step: prepare.OneHot) -> Indicators:
        most, rare = step.levels or USUAL_LEVELS, step.rare or fewest(len(strings))
        found = [(j, frequent(strings[:, j], most, rare)) for j in columns]
        return cls(tuple(each.levels(j) for j, each in found if each.names), offset)

    @classmethod
    def hashing(cls, strings: Strings, offset: int, columns: Sequence[int], step: prepare.Hashed) -> Indicators:
        levels = []
        for j in columns:
            found = frequent(strings[:, j], MOST_HASHED, 1)
            codes = tuple(_bucket(name, step.buckets) for name in found.names)
            levels.append(Levels(j, found.names, codes, step.buckets, found.others))
        return cls(tuple(levels), offset, hashed=True)

    @property
    def origins(self) -> tuple[int, ...]:
        return tuple(self.offset + level.column for level in self.levels for _ in range(level.other + 1))

    @property
    def rising(self) -> tuple[int, ...]:
        return (APART,) * len(self.origins)

    def transform(self, floats: Matrix, strings: Strings) -> Matrix:
        matrix = np.zeros((len(strings), len(self.origins)), np.float32)
        start = 0
        for level in self.levels:
            matrix[np.arange(len(strings)), start + level.of(strings)] = 1
            start += level.other + 1
        return matrix

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        zero_one = builder.constant(np.array([0, 1], np.float32))
        each = [
            builder.add(
                "OneHot",
                level.onnx(builder, strings),
                builder.constant(np.array(level.other + 1, np.int64)),
                zero_one,
                axis=-1,
            )
            for level in self.levels
        ]
        return builder.concat(each)

    def told(self) -> dict[int, str]:
        return {
            self.offset + each.column: f"hashed to {each.other:,} columns, {each.told()}"
            if self.hashed
            else f"one-hot, {each.told()}"
            for each in self.levels
        }


def _bucket(level: str, buckets: int) -> int:
    """Return a bucket that is the same in every process."""
    return int.from_bytes(blake2b(level.encode(), digest_size=8).digest(), "big") % buckets
