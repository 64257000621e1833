"""Queries of a ranking: rows that are ranked together stay together, in time and in every split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.data.rows import Examples
from mainstem.models.metrics import unjudged

Numbers = NDArray[np.int64]


def latest_of(times: Numbers, queries: Numbers) -> Numbers:
    """Return for each row the latest time of its query, so that a split by time cannot divide it."""
    number = np.unique(queries, return_inverse=True)[1]
    latest = np.full(int(number.max(initial=-1)) + 1, np.iinfo(np.int64).min)
    np.maximum.at(latest, number, times)
    return latest[number]


def whole(parts: Numbers, queries: Numbers, of: str) -> None:
    """Refuse a query whose rows are in several parts. Raises `ModelError`."""
    pairs = len(np.unique(np.column_stack([queries, parts]), axis=0))
    several = pairs - len(np.unique(queries))
    if several > 0:
        raise ModelError(
            f"rows of one query have several values of `{of}`",
            got=f"{several:,} more pairs of both than queries",
            expected=f"`{of}` that is the same for all rows of a query, which are ranked together",
        )


def told(examples: Examples) -> str:
    """Return how many queries there are, and how many have no order to judge."""
    queries, single, without = unjudged(examples.truth)
    said = f"{queries:,} with {len(examples):,} rows"
    return f"{said}; {single:,} of one row and {without:,} without a grade above 0 are not judged"
