"""The variation of a clean history: how far its stretches are from the rest.

A test against one reference asks whether two seasons differ, and they do. The question is whether the present stretch
is further away than clean stretches of the same length. A year of training rows answers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Micros = NDArray[np.int64]

MINUTE = 60_000_000
DAY = 86_400_000_000
WEEK = 7 * DAY
FEWEST = 8
MOST = 60


def stretch(span: int, history: int) -> int:
    """Return the length of the stretches that a partition of `span` µs is compared with.

    It is the span, but at most a week, and short enough for a dozen stretches in the history. Shorter stretches vary
    more, so the comparison is lenient for a long partition.
    """
    return max(min(span, WEEK, history // 12), MINUTE)


def stretches(times: Micros, length: int, fewest_rows: int = 50) -> Iterator[NDArray[np.intp]]:
    """Yield row numbers of consecutive stretches of `length` µs, counted back from the last; at most `MOST`."""
    if not len(times):
        return
    number = (int(times.max()) - times) // length
    order = np.argsort(number, kind="stable")
    found, starts = np.unique(number[order], return_index=True)
    parts = [part for part in np.split(order, starts[1:]) if len(part) >= fewest_rows] if len(found) else []
    if parts:
        chosen = np.unique(np.linspace(0, len(parts) - 1, min(len(parts), MOST)).astype(int))
        yield from (parts[int(i)] for i in chosen)


def clusters(times: Micros) -> NDArray[Any]:
    """Return the resampling unit of each row: its day, or its hour or minute if there are few days.

    Rows of one hour share weather and delays. Resampling them one by one would make intervals too narrow.
    """
    for unit in (DAY, DAY // 24, MINUTE):
        number = times // unit
        if len(np.unique(number)) >= FEWEST:
            return np.unique(number, return_inverse=True)[1]
    return np.arange(len(times))
