"""Find features that may be near duplicates in a sample of the rows, so that only few pairs are compared exactly.

A thousand columns are half a million pairs. An engine that computes a term for each of them never ends; the matrix
products of a sample of the rows take a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 2_048
"""The rows that are looked at, evenly spread. With up to so many, every row is."""

CLOSEST = 10
"""How many columns are named for each."""

LIKELY = 0.99
"""A correlation, or a share of equal texts, in the sample from which a pair is worth an exact look."""

Matrix = npt.NDArray[np.float64]


def sampled(table: ibis.Table, rows: int) -> ibis.Table:
    """Return at most about `ROWS` rows of a table that has `rows`."""
    step = -(-rows // ROWS)
    if step <= 1:
        return table
    numbered = table.mutate(_row=ibis.row_number().over(ibis.window()))
    return numbered.filter(numbered["_row"] % step == 0).drop("_row")


def likely(sample: pa.Table, own: Sequence[str]) -> dict[str, list[str]]:
    """Return for each column of `own` the other columns that seem to tell the same, in the order of the table.

    Numbers are compared by correlation, texts by equality, both where neither is null.
    """
    import pyarrow.types as types

    numbers = [f.name for f in sample.schema if types.is_integer(f.type) or types.is_floating(f.type)]
    texts = [f.name for f in sample.schema if types.is_string(f.type) or types.is_large_string(f.type)]
    found: dict[str, list[str]] = {name: [] for name in own}
    for names, measured in ((numbers, _correlations), (texts, _shares)):
        asked = [place for place, name in enumerate(names) if name in found]
        if asked:
            for place, near in zip(asked, measured([sample[name] for name in names], asked), strict=True):
                found[names[place]] = [names[other] for other in _closest(near, place)]
    return found


def _closest(near: Matrix, own: int) -> list[int]:
    """Return the places of the closest columns but its own, in order."""
    near = near.copy()
    near[own] = -1.0
    ranked = np.argsort(-near, kind="stable")[:CLOSEST]
    return sorted(int(place) for place in ranked if near[place] >= LIKELY)


def _correlations(columns: Sequence[pa.ChunkedArray], own: Sequence[int]) -> Iterator[Matrix]:
    """Yield the absolute correlations of each of the columns `own` with all, over the rows where both have a value."""
    values = np.stack([_floats(column) for column in columns], axis=1)
    there = np.isfinite(values)
    with np.errstate(all="ignore"):
        counts = there.sum(0)
        values = np.where(there, values - np.where(there, values, 0.0).sum(0) / counts, 0.0)
        scale = np.abs(values).max(0, initial=0.0)
        values = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
        mask = there.astype(float)
        mine, here = values[:, own], mask[:, own]
        n = here.T @ mask
        sums, others = mine.T @ mask, here.T @ values
        product = mine.T @ values - sums * others / n
        spread = (mine**2).T @ mask - sums**2 / n, here.T @ values**2 - others**2 / n
        yield from np.nan_to_num(np.abs(product) / np.sqrt(spread[0] * spread[1]), nan=-1.0, posinf=-1.0)


def _floats(column: pa.ChunkedArray) -> Matrix:
    import pyarrow as pa

    found: Matrix = column.cast(pa.float64(), safe=False).fill_null(float("nan")).to_numpy()
    return found


def _shares(columns: Sequence[pa.ChunkedArray], own: Sequence[int]) -> Iterator[Matrix]:
    """Yield the share of rows in which each of the columns `own` equals each, of those where both have a value."""
    codes = _codes(columns)
    there = codes >= 0
    for place in own:
        both = there & there[:, [place]]
        equal = (codes == codes[:, [place]]) & both
        rows: Any = np.maximum(both.sum(0), 1)
        yield equal.sum(0) / rows


def _codes(columns: Sequence[pa.ChunkedArray]) -> npt.NDArray[np.int32]:
    """Return the texts as numbers, rows by columns, the same for the same text; -1 for null."""
    numbers: dict[str | None, int] = {None: -1}
    lists = [[numbers.setdefault(text, len(numbers)) for text in column.to_pylist()] for column in columns]
    return np.array(lists, dtype=np.int32).T
