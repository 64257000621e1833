"""The levels of a text: which of them are frequent, and a code for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import NULL, Strings
from mainstem.models.graphs.builder import ML, Builder

FEWEST_ROWS = 20
"""A level with fewer training rows is counted among the others. Unknown levels are too.

In small tables a level needs fewer: see `fewest`."""


def fewest(rows: int) -> int:
    """Return the rows that a level needs: 20 of 500 rows or more, of fewer rows in proportion, at least 2."""
    return max(2, min(FEWEST_ROWS, rows // 25))


@dataclass(frozen=True)
class Levels:
    """Levels of a text column, each with a code. `other` is the code of all other levels; training had `others`."""

    column: int
    names: tuple[str, ...]
    codes: tuple[int, ...]
    other: int
    others: int = 0

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

    def told(self) -> str:
        """Return how many levels there are, in words."""
        kept = f"{len(self.names):,} level{'' if len(self.names) == 1 else 's'}"
        return f"{kept}, {self.others:,} rare as one" if self.others else kept


@dataclass(frozen=True, eq=False)
class Found:
    """The frequent levels of the training rows, most frequent first, the number of each row's level, and the rows of
    each. The last number is that of all `others`."""

    names: tuple[str, ...]
    numbers: NDArray[np.int64]
    counts: NDArray[np.int64]
    others: int

    def levels(self, column: int) -> Levels:
        """Return the levels with their numbers as codes."""
        return Levels(column, self.names, tuple(range(len(self.names))), len(self.names), self.others)


def frequent(column: NDArray[Any], most: int, rare: int) -> Found:
    """Return the at most `most` most frequent levels that at least `rare` rows have."""
    import pyarrow as pa

    encoded = pa.array(column, pa.string()).fill_null(NULL).dictionary_encode()
    numbers, names = encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()
    counts = np.bincount(numbers, minlength=len(names))
    order = sorted(range(len(names)), key=lambda i: (-counts[i], names[i]))[:most]
    kept = [i for i in order if counts[i] >= rare]
    number = np.full(len(names), len(kept), np.int64)
    number[kept] = np.arange(len(kept))
    codes = number[numbers]
    return Found(
        tuple(names[i] for i in kept), codes, np.bincount(codes, minlength=len(kept) + 1), len(names) - len(kept)
    )
