"""Rows that stand in several parts of a split, equal in inputs and target: they make a score too good."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Examples
from mainstem.models.training.prepared import Prepared

MIXED = np.uint64(0x9E3779B97F4A7C15)
"""An odd number with scattered bits, by which hashes are multiplied from column to column."""


def shared(prepared: Prepared) -> int:
    """Return how many test rows equal a training row."""
    holdout = prepared.parts.holdout
    if holdout is None:
        return 0
    found = hashes(prepared.examples)
    return int(np.isin(found[holdout.test], found[holdout.train]).sum())


def alike(prepared: Prepared) -> int:
    """Return how many rows of the folds of a cross-validation equal a row of another fold."""
    if prepared.parts.holdout is not None:
        return 0
    parts = [fold.test for fold in prepared.parts.folds]
    found = hashes(prepared.examples)[np.concatenate(parts)]
    fold = np.repeat(np.arange(len(parts)), [len(each) for each in parts])
    _, of_row = np.unique(found, return_inverse=True)
    first, last = np.full(len(found), len(parts)), np.full(len(found), -1)
    np.minimum.at(first, of_row, fold)
    np.maximum.at(last, of_row, fold)
    return int((first < last)[of_row].sum())


def hashes(examples: Examples) -> NDArray[np.uint64]:
    """Return a hash [n] of the inputs and the target of each row. Among millions of rows, two that differ have the same
    one by a chance of less than one in a million.

    A query of a thousand columns takes the engine's compiler ten seconds.
    """
    found = np.zeros(len(examples), np.uint64)
    for column in (*examples.rows.floats.T, *examples.rows.strings.T, np.asarray(examples.y)):
        found = _mixed(found ^ _bits(column))
    return found


def _bits(column: NDArray[Any]) -> NDArray[np.uint64]:
    if column.dtype == object:
        import pyarrow as pa

        return np.asarray(pa.array(column, pa.string()).dictionary_encode().indices, np.uint64)
    values = column.astype(np.float64) + 0.0  # −0 is 0
    values[np.isnan(values)] = np.nan
    return values.view(np.uint64)


def _mixed(found: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes with every bit spread over all others (Stafford's mix 13, as in SplitMix64)."""
    found = found + MIXED
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))
