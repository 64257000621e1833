"""Preprocess texts as the mean target of their level, cross-fitted on the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Examples, Matrix, Strings
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing.base import APART
from mainstem.models.preprocessing.levels import Found, Levels, frequent
from mainstem.nodes.prepare import Target

FOLDS = 5

Wide = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Means:
    """The smoothed mean target of each level, standardised: `values` [levels + 1, T] of each column, other levels last.

    A training row that saw its own target would make a rare level look certain. It gets the mean of the rows of other
    folds (Micci-Barreca 2001 for the smoothing; Pargent, Pfisterer, Thomas and Bischl 2022 for the folds).
    """

    levels: tuple[Levels, ...]
    values: tuple[Matrix, ...]
    offset: int

    @classmethod
    def fit(cls, examples: Examples, columns: Sequence[int], step: Target) -> tuple[Means, Matrix]:
        """Return the fitted means, and the columns of the training rows, out of fold."""
        strings, offset = examples.rows.strings, examples.rows.floats.shape[1]
        fold = folds_of(examples)
        levels, values, crossed = [], [], [np.empty((len(strings), 0), np.float32)]
        for j in columns:
            found = frequent(strings[:, j], step.levels, step.rare)
            if not found.names:
                continue
            full, out = _means(found, examples, fold, step.smoothing)
            centre, spread = out.mean(0), out.std(0)
            inverse = 1 / np.where(spread <= np.maximum(1e-6 * np.abs(centre), 1e-30), 1.0, spread)
            levels.append(found.levels(j))
            values.append(((full - centre) * inverse).astype(np.float32))
            crossed.append(((out - centre) * inverse).astype(np.float32))
        return cls(tuple(levels), tuple(values), offset), np.hstack(crossed)

    @property
    def origins(self) -> tuple[int, ...]:
        each = zip(self.levels, self.values, strict=True)
        return tuple(self.offset + level.column for level, values in each for _ in range(values.shape[1]))

    @property
    def rising(self) -> tuple[int, ...]:
        return (APART,) * len(self.origins)

    def transform(self, floats: Matrix, strings: Strings) -> Matrix:
        found = [values[level.of(strings)] for level, values in zip(self.levels, self.values, strict=True)]
        return np.hstack(found) if found else np.empty((len(strings), 0), np.float32)

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        each = zip(self.levels, self.values, strict=True)
        return builder.concat(
            [builder.add("Gather", builder.constant(values), level.onnx(builder, strings)) for level, values in each]
        )

    def told(self) -> dict[int, str]:
        return {
            self.offset + level.column: f"mean target out of fold, {level.told()}"
            + (f", {values.shape[1]} columns" if values.shape[1] > 1 else "")
            for level, values in zip(self.levels, self.values, strict=True)
        }


def folds_of(examples: Examples) -> NDArray[np.int64]:
    """Return the fold of each training row, for statistics of the target.

    Rows of a group, and of a query, have the same.
    """
    whole = examples.groups if examples.groups is not None else examples.queries
    number = np.arange(len(examples)) if whole is None else np.unique(whole, return_inverse=True)[1]
    drawn = np.random.default_rng(examples.seed).permutation(int(number.max(initial=-1)) + 1)
    return np.asarray(drawn[number] % FOLDS)


def _means(found: Found, examples: Examples, fold: NDArray[np.int64], smoothing: float) -> tuple[Wide, Wide]:
    """Return the mean of each level [L + 1, T], and that of each row [n, T] without the rows of its fold.

    Both are drawn to the mean of all rows. That of the other folds alone would tell the fold, and with it the target.
    """
    targets = examples.targets
    weights = np.ones(len(targets)) if examples.weights is None else examples.weights
    prior = np.average(targets, axis=0, weights=weights)
    size = len(found.names) + 1
    cell = found.numbers * FOLDS + fold
    counts = np.bincount(cell, weights, size * FOLDS).reshape(size, FOLDS, 1)
    sums = [np.bincount(cell, column, size * FOLDS) for column in ((targets - prior) * weights[:, None]).T]
    away = np.column_stack(sums).reshape(size, FOLDS, len(prior))
    full = prior + away.sum(1) / (counts.sum(1) + smoothing)
    others = prior + (away.sum(1, keepdims=True) - away) / (counts.sum(1, keepdims=True) - counts + smoothing)
    full[-1], others[-1] = prior, prior
    return full, others[found.numbers, fold]
