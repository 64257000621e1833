"""Choose rows for a comparison that cannot afford all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstem.models.splits.parts import Rows, Times


def latest(times: Times, limit: int, seed: int = 0, whole: NDArray[np.int64] | None = None) -> Rows:
    """Return at most `limit` ascending row numbers: later rows are sampled more, and all of the past is represented.

    The time is cut into ten blocks of similar size with weights 1, 2, … 10, because predictions follow the latest rows.
    Rows with equal values of `whole` are taken together, about as many.
    """
    if len(times) <= limit:
        return np.arange(len(times))
    if whole is not None:
        _, first, of_row = np.unique(whole, return_index=True, return_inverse=True)
        return np.flatnonzero(np.isin(of_row, latest(times[first], max(1, limit * len(first) // len(times)), seed)))
    random = np.random.default_rng(seed)
    blocks = np.array_split(np.argsort(times, kind="stable"), 10)
    chosen, left, weight = [], limit, sum(range(1, 11))
    for number, block in zip(range(10, 0, -1), reversed(blocks), strict=True):
        take = min(len(block), round(left * number / weight))
        chosen.append(random.choice(block, take, replace=False))
        left, weight = left - take, weight - number
    return np.sort(np.concatenate(chosen))
