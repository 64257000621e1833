"""Preprocess the block of texts: frequent levels as indicators, or as codes in order of the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import NULL, Matrix, Strings
from mainstem.models.graphs.builder import ML, Builder

FEWEST_ROWS = 20
"""A level with fewer training rows is counted among the others. Unknown levels are too.

In small tables a level needs fewer: see `fewest`."""

SMOOTHING = 50.0


def fewest(rows: int) -> int:
    """Return the rows that a level needs: 20 of 500 rows or more, of fewer rows in proportion, at least 2."""
    return max(2, min(FEWEST_ROWS, rows // 25))


@dataclass(frozen=True)
class Levels:
    """The frequent levels of a text column, each with a code. `other` is the code of all other levels."""

    column: int
    names: tuple[str, ...]
    codes: tuple[int, ...]
    other: int

    def of(self, strings: Strings) -> NDArray[np.int64]:
        """Return the code of each row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = np.array([*self.codes, self.other], np.int64)
        names = pa.array(self.names, pa.string())
        found = pc.index_in(pa.array(strings[:, self.column], pa.string()), value_set=names)
        return np.asarray(table[found.fill_null(len(self.codes)).to_numpy(zero_copy_only=False)])

    def onnx(self, builder: Builder, strings: str) -> str:
        """Add the codes as int64 [n] to a graph."""
        column = builder.add("Gather", strings, builder.constant(np.array(self.column, np.int64)), axis=1)
        return builder.add(
            "LabelEncoder",
            column,
            domain=ML,
            keys_strings=list(self.names),
            values_int64s=list(self.codes),
            default_int64=self.other,
        )


@dataclass(frozen=True, eq=False)
class OneHot:
    """One indicator column per frequent level, and one for all others."""

    levels: tuple[Levels, ...]
    offset: int

    @classmethod
    def fit(cls, strings: Strings, offset: int, *, cap: int) -> OneHot:
        found = (_frequent(strings[:, j], cap) for j in range(strings.shape[1]))
        kept = [
            Levels(j, names, tuple(range(len(names))), len(names)) for j, (names, _, _) in enumerate(found) if names
        ]
        return cls(tuple(kept), offset)

    @property
    def origins(self) -> tuple[int, ...]:
        return tuple(self.offset + level.column for level in self.levels for _ in range(level.other + 1))

    def transform(self, strings: Strings) -> Matrix:
        matrix = np.zeros((len(strings), len(self.origins)), np.float32)
        start = 0
        for level in self.levels:
            matrix[np.arange(len(strings)), start + level.of(strings)] = 1
            start += level.other + 1
        return matrix

    def onnx(self, builder: Builder, strings: str) -> list[str]:
        zero_one = builder.constant(np.array([0, 1], np.float32)) if self.levels else ""
        return [
            builder.add(
                "OneHot",
                level.onnx(builder, strings),
                builder.constant(np.array(level.other + 1, np.int64)),
                zero_one,
                axis=-1,
            )
            for level in self.levels
        ]


@dataclass(frozen=True, eq=False)
class Ordinal:
    """One code per text column, for trees: levels are ordered by their smoothed mean target.

    For several classes, the order is by the first principal component (Coppersmith, Hong and Hosking, 1999), which
    gives the same order for two. Other levels get the place of their pooled rows, or the prior's without rows.
    """

    levels: tuple[Levels, ...]
    offset: int

    @classmethod
    def fit(cls, strings: Strings, targets: NDArray[np.float64], offset: int, *, cap: int) -> Ordinal:
        kept = []
        for j in range(strings.shape[1]):
            names, codes, counts = _frequent(strings[:, j], cap)
            if names:
                place = np.argsort(np.argsort(_positions(codes, counts, targets), kind="stable"))
                kept.append(Levels(j, names, tuple(int(p) for p in place[:-1]), int(place[-1])))
        return cls(tuple(kept), offset)

    @property
    def origins(self) -> tuple[int, ...]:
        return tuple(self.offset + level.column for level in self.levels)

    def transform(self, strings: Strings) -> Matrix:
        columns = [level.of(strings).astype(np.float32) for level in self.levels]
        return np.column_stack(columns) if columns else np.empty((len(strings), 0), np.float32)

    def onnx(self, builder: Builder, strings: str) -> list[str]:
        if not self.levels:
            return []
        axis = builder.constant(np.array([1], np.int64))
        codes = [builder.add("Unsqueeze", level.onnx(builder, strings), axis) for level in self.levels]
        return [builder.cast(builder.concat(codes), "FLOAT")]


def _frequent(column: NDArray[Any], cap: int) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Return the at most `cap` most frequent levels with enough rows, each row's level number, and the rows per level.

    The last number is that of all other levels.
    """
    import pyarrow as pa

    encoded = pa.array(column, pa.string()).fill_null(NULL).dictionary_encode()
    numbers, names = encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()
    counts = np.bincount(numbers, minlength=len(names))
    order = sorted(range(len(names)), key=lambda i: (-counts[i], names[i]))[:cap]
    kept = [i for i in order if counts[i] >= fewest(len(column))]
    number = np.full(len(names), len(kept), np.int64)
    number[kept] = np.arange(len(kept))
    codes = number[numbers]
    return tuple(names[i] for i in kept), codes, np.bincount(codes, minlength=len(kept) + 1)


def _positions(codes: NDArray[np.int64], counts: NDArray[np.int64], targets: NDArray[np.float64]) -> NDArray[Any]:
    prior = targets.mean(0)
    sums = np.column_stack([np.bincount(codes, t, minlength=len(counts)) for t in targets.T])
    away = (sums - counts[:, None] * prior) / (counts[:, None] + SMOOTHING)
    if targets.shape[1] == 1:
        return np.asarray(away[:, 0])
    _, _, components = np.linalg.svd(away * np.sqrt(counts[:, None]), full_matrices=False)
    first = components[0] * np.sign(components[0][np.argmax(np.abs(components[0]))])
    return np.asarray(away @ first)
